"""The veto: was the ensemble's direction right? Learnt from predictions of what the members had not seen."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from forecast_core.artifacts import State
from forecast_core.errors import LeakError, MissingDependencyError, ShapeError
from forecast_finance.bar_windows import BarWindows
from forecast_finance.configs import VetoConfig
from forecast_finance.evaluation.backtesting import backtest_signals

__all__ = ["BasePredictions", "Veto"]

_HELD_OUT = 0.2
_THRESHOLDS = tuple(np.round(np.arange(0.50, 0.70, 0.01), 2).tolist())
_PROBABILITY_BOUNDS = (1e-4, 1 - 1e-4)


@dataclass(frozen=True, eq=False)
class BasePredictions:
    """What the members said of some windows, and until when they had learnt.

    inputs [n, 39]: the 29 features, 6 predicted returns and 4 uncertainties; expected [n]: the ensemble's
    return over the decision horizon; step: of that horizon; trained_until [n]: time at which the last target
    that the members learnt from was known.
    """

    windows: BarWindows
    inputs: np.ndarray
    expected: np.ndarray
    step: int
    trained_until: np.ndarray

    def __post_init__(self) -> None:
        n = len(self.windows)
        if not (len(self.inputs) == len(self.expected) == len(self.trained_until) == n):
            raise ShapeError("inputs", f"have a row a window ({n})", got=len(self.inputs))

    def take(self, index: np.ndarray) -> BasePredictions:
        """Those of some windows."""
        return BasePredictions(
            self.windows.take(index),
            self.inputs[index],
            self.expected[index],
            self.step,
            self.trained_until[index],
        )

    def right(self) -> tuple[np.ndarray, np.ndarray]:
        """Whether the direction was right [n], and where that is known [n]: the return is, and is not 0."""
        returns = self.windows.targets()[0][:, self.step, 0]
        known = ~np.isnan(returns) & (returns != 0)
        return np.sign(returns) == np.sign(self.expected), known


@dataclass(eq=False)
class Veto:
    """LightGBM's probability that a direction is right, calibrated, and the threshold below which to hold."""

    config: VetoConfig
    booster: Any = None
    slope: float = 1.0
    offset: float = 0.0
    threshold: float = 0.65
    importance: dict[str, float] = field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        base: BasePredictions,
        *,
        config: VetoConfig,
        names: tuple[str, ...],
        validation: BasePredictions | None = None,
        seed: int = 0,
    ) -> Self:
        """Learn from out-of-fold predictions; calibrate and choose the threshold on validation alone.

        The last fifth of dates stops the boosting, and serves for validation where none is given. Raises
        LeakError where a member had learnt a target that was not known at a window's origin.
        """
        refuse_in_sample(base)
        if validation is not None:
            refuse_in_sample(validation)
        lightgbm = _lightgbm()
        right, known = base.right()
        base, right = base.take(np.flatnonzero(known)), right[known]
        times = np.unique(base.windows.origins)
        if len(times) < 10:
            raise ShapeError("base", "has at least 10 dates", got=len(times))
        first = times[int(len(times) * (1 - _HELD_OUT))]
        early = np.flatnonzero(base.windows.label_ends <= first)
        late = np.flatnonzero(base.windows.origins >= first)
        if not len(early):
            raise ShapeError("base", "leaves dates before the purged last fifth", got=f"{len(times)} dates")
        told = lightgbm.Dataset(base.inputs[early], label=right[early], feature_name=list(names))
        held = lightgbm.Dataset(base.inputs[late], label=right[late], reference=told)
        booster = lightgbm.train(
            {
                "objective": "binary",
                "num_leaves": config.num_leaves,
                "max_depth": config.max_depth,
                "min_data_in_leaf": config.min_leaf,
                "learning_rate": config.learning_rate,
                "feature_fraction": config.fraction,
                "bagging_fraction": config.fraction,
                "bagging_freq": 5,
                "lambda_l1": config.l1,
                "lambda_l2": config.l2,
                "seed": seed % 2**31,
                "num_threads": config.threads,
                "deterministic": True,
                "force_row_wise": True,
                "verbosity": -1,
            },
            told,
            num_boost_round=config.max_rounds,
            valid_sets=[held],
            callbacks=[lightgbm.early_stopping(config.patience, verbose=False)],
        )
        gain = booster.feature_importance("gain")
        total = max(float(gain.sum()), 1e-300)
        veto = cls(
            config, booster, importance={n: float(g / total) for n, g in zip(names, gain, strict=True)}
        )
        veto._calibrate(base.take(late) if validation is None else validation)
        return veto

    def probability(self, inputs: np.ndarray) -> np.ndarray:
        """P(the direction is right), calibrated, [n]."""
        return _logistic(self.slope * self._logit(inputs) + self.offset)

    def _logit(self, inputs: np.ndarray) -> np.ndarray:
        raw = np.clip(self.booster.predict(inputs, num_threads=self.config.threads), *_PROBABILITY_BOUNDS)
        logit: np.ndarray = np.log(raw / (1 - raw))
        return logit

    def _calibrate(self, held: BasePredictions) -> None:
        """Platt scaling on windows not learnt from, then the threshold."""
        right, known = held.right()
        logit = self._logit(held.inputs)
        self.slope, self.offset = _platt(logit[known], right[known])
        given = self.config.threshold
        self.threshold = self._best_threshold(held) if isinstance(given, str) else given

    def _best_threshold(self, held: BasePredictions) -> float:
        """The threshold of the highest Sharpe ratio after costs; the lowest of equals."""
        probability = self.probability(held.inputs)
        hold = held.windows.data.horizons[held.step]

        def sharpe(threshold: float) -> float:
            actions = np.where(probability >= threshold, np.sign(held.expected), 0.0)
            return float(backtest_signals(held.windows, actions, hold=hold).metrics["sharpe"])

        best: float = max(_THRESHOLDS, key=lambda threshold: (sharpe(threshold), -threshold))
        return best

    def state(self) -> State:
        """The trees as LightGBM's text, and the rest as JSON."""
        about = {
            "slope": self.slope,
            "offset": self.offset,
            "threshold": self.threshold,
            "importance": self.importance,
        }
        return State(texts={"veto.txt": self.booster.model_to_string(), "veto.json": json.dumps(about)})

    @classmethod
    def from_state(cls, state: State, *, config: VetoConfig) -> Self:
        """What `state` gave."""
        about = json.loads(state.texts["veto.json"])
        return cls(config, _lightgbm().Booster(model_str=state.texts["veto.txt"]), **about)


def refuse_in_sample(base: BasePredictions) -> None:
    """LeakError where members had learnt a target that was not known at the origin."""
    seen = base.trained_until > base.windows.origins
    if seen.any():
        first = int(seen.argmax())
        raise LeakError(
            f"the veto learns from predictions of what was not seen; {int(seen.sum())} of {len(seen)} are of "
            f"members that had learnt later targets, the first {base.windows.item_ids[first]} at "
            f"{base.windows.origins[first]}, learnt until {base.trained_until[first]}; give out-of-fold ones"
        )


def _platt(logit: np.ndarray, right: np.ndarray) -> tuple[float, float]:
    """Slope and offset of a logistic regression on the logit, by Newton's method with a weak pull to (0, 0).

    Source: Platt (1999), Probabilistic outputs for support vector machines. A slope below 0 would turn the
    ranking round, which validation noise must not do: then the share of right ones is all that is told.
    """
    if not len(logit):
        return 1.0, 0.0
    inputs = np.stack([logit, np.ones(len(logit))], axis=1)
    weights = np.zeros(2)
    for _ in range(50):
        p = _logistic(inputs @ weights)
        gradient = inputs.T @ (p - right) + 1e-3 * weights
        curvature = (inputs * (p * (1 - p))[:, None]).T @ inputs + 1e-3 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        weights = weights - step
        if np.abs(step).max() < 1e-10:
            break
    if weights[0] < 0:
        share = np.clip(right.mean(), *_PROBABILITY_BOUNDS)
        return 0.0, float(np.log(share / (1 - share)))
    return float(weights[0]), float(weights[1])


def _logistic(x: np.ndarray) -> np.ndarray:
    p: np.ndarray = 0.5 * (1.0 + np.tanh(0.5 * x))
    return p


def _lightgbm() -> Any:
    try:
        import lightgbm
    except ImportError as error:
        raise MissingDependencyError(
            "lightgbm", purpose="the veto", install="pip install 'forecast-finance[lightgbm]'"
        ) from error
    return lightgbm
