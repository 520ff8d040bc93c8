"""`walk_forward`: models beside the baselines on later dates, each with intervals, seeds, and a verdict."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from forecast_core import registry
from forecast_core.data.frames import build_frame
from forecast_core.errors import InvalidInputError, UnknownIdError
from forecast_core.evaluation.significance import BlockBootstrap, block_bootstrap
from forecast_core.metrics import score_metrics
from forecast_core.prediction import ForecastPrediction
from forecast_core.validation import whole
from forecast_finance.bar_windows import BarWindows
from forecast_finance.bars import Bars
from forecast_finance.dataset import split_by_date, with_features
from forecast_finance.evaluation.backtesting import BacktestResult, backtest_signals
from forecast_finance.evaluation.dates import Estimate
from forecast_finance.evaluation.directions import DirectionScores, score_directions
from forecast_finance.evaluation.overfitting import deflated_sharpe_ratio, probability_of_overfitting
from forecast_finance.feature_bars import FeatureBars
from forecast_finance.predicting import direction_probability

__all__ = ["BASELINES", "ModelResult", "WalkForward", "walk_forward"]

BASELINES = ("finance/always-up", "finance/momentum", "finance/ridge", "finance/lightgbm")


@dataclass(frozen=True, eq=False)
class ModelResult:
    """One model with one seed: scores by horizon, the account, and its advantage over always-up's.

    advantage: of mean daily returns, with a 95 % interval and p-value; crps: of returns, mean over horizons.
    """

    label: str
    seed: int
    directions: tuple[DirectionScores, ...]
    account: BacktestResult
    sharpe: Estimate
    advantage: BlockBootstrap | None
    crps: float | None
    prediction: ForecastPrediction


@dataclass(frozen=True, eq=False)
class WalkForward:
    """What `walk_forward` found, a result a (label, seed), baselines first.

    market: equal parts of all symbols held throughout, without costs; what doing nothing would have earned.
    """

    results: tuple[ModelResult, ...]
    market: BacktestResult
    windows: BarWindows
    decision: int
    cost_bp: float
    train_end: str
    valid_end: str

    @property
    def bars_a_year(self) -> float:
        """Bars that annual figures of all accounts take a year to have."""
        return self.market.bars_a_year

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels in order."""
        return tuple(dict.fromkeys(result.label for result in self.results))

    def of(self, label: str) -> tuple[ModelResult, ...]:
        """Results of one label, a seed each; InvalidInputError if there is none."""
        found = tuple(result for result in self.results if result.label == label)
        if not found:
            raise InvalidInputError("label", f"is one of {list(self.labels)}", got=repr(label))
        return found

    def has_edge(self, label: str) -> bool:
        """Whether with every seed both direction and account beat always-up by intervals that exclude it."""
        return all(
            result.directions[self.decision].has_edge
            and result.advantage is not None
            and -result.advantage.upper > 0
            for result in self.of(label)
        )

    def verdict(self, label: str) -> str:
        """One sentence about a model."""
        if label == BASELINES[0]:
            return "the base that others are held to"
        if self.has_edge(label):
            return "an edge over always-up, in direction and after costs, with every seed"
        return "no edge over always-up that its intervals do not explain"

    def overfitting(self) -> tuple[float, float]:
        """Deflated Sharpe ratio of the best of all tried, and the probability of backtest overfitting.

        Every (label, seed) counts as a try. NaN where accounts never moved or are too short.
        """
        accounts = [result.account.returns for result in self.results]
        moving = [a for a in accounts if a.std() > 0]
        if len(moving) < 2 or len(moving[0]) < 32:
            return math.nan, math.nan
        daily = np.array([a.mean() / a.std(ddof=1) for a in moving])
        best = moving[int(daily.argmax())]
        deflated = deflated_sharpe_ratio(best, n_trials=len(moving), variance=float(daily.var(ddof=1)))
        return deflated, probability_of_overfitting(np.stack(moving, axis=1))

    def to_frame(self, *, backend: str | None = None) -> Any:
        """A row a (label, seed): metrics over the decision's horizon, each with lower and upper bound."""
        columns: dict[str, list[Any]] = {"model": [], "seed": []}
        for result in self.results:
            columns["model"].append(result.label)
            columns["seed"].append(result.seed)
            for name, estimate in _figures(result, self.decision).items():
                columns.setdefault(name, []).append(estimate.value)
                columns.setdefault(f"{name}_lower", []).append(estimate.lower)
                columns.setdefault(f"{name}_upper", []).append(estimate.upper)
        return build_frame(columns, backend=backend)

    def to_json(self) -> str:
        """All figures, without the predictions."""
        deflated, overfitted = self.overfitting()
        rows = [
            {
                "model": result.label,
                "seed": result.seed,
                "verdict": self.verdict(result.label),
                "horizons": {
                    str(scores.horizon): {name: _told(e) for name, e in scores.metrics.items()}
                    for scores in result.directions
                },
                "account": {name: _number(value) for name, value in result.account.metrics.items()},
                "sharpe": _told(result.sharpe),
                "advantage_per_day": None
                if result.advantage is None
                else _told(
                    Estimate(
                        -result.advantage.mean_difference, -result.advantage.upper, -result.advantage.lower
                    )
                ),
                "crps": result.crps,
            }
            for result in self.results
        ]
        about = {
            "train_end": self.train_end,
            "valid_end": self.valid_end,
            "windows": len(self.windows),
            "decision_horizon": self.windows.data.horizons[self.decision],
            "cost_bp": self.cost_bp,
            "bars_a_year": self.bars_a_year,
            "market": {name: _number(value) for name, value in self.market.metrics.items()},
            "deflated_sharpe_ratio_of_best": _number(deflated),
            "probability_of_overfitting": _number(overfitted),
        }
        return json.dumps({**about, "results": rows}, indent=2)

    def report(self, path: str | PathLike[str], *, title: str = "Walk-forward report") -> Path:
        """One self-contained HTML file with tables and plots, and the figures as JSON beside it."""
        from forecast_finance.evaluation.report import write_report

        return write_report(self, Path(path), title=title)


def walk_forward(
    bars: Bars,
    *,
    train_end: Any,
    valid_end: Any,
    models: Mapping[str, tuple[str, Mapping[str, Any]]] | None = None,
    seeds: Iterable[int] = (0, 1, 2),
    decision_horizon: int = 3,
    cost_bp: float = 5.0,
    bars_a_year: float | None = None,
    embargo: int = 5,
    context_length: int = 120,
    embedding: str = "statistical",
) -> WalkForward:
    """Fit on bars before `train_end`, validate before `valid_end`, and test on those after, once.

    models: label -> (id, options); always-up, momentum, ridge and LightGBM are always beside them. A model
    trades the sign of its expected return over `decision_horizon` bars, or the actions it gives itself; its
    positions are held that long at `cost_bp` a side. Models that need no fitting run once, others once a
    seed. All are tested on the same windows. bars_a_year: see `backtest_signals`. Raises InvalidInputError,
    UnknownIdError or ConfigError for wrong arguments before anything is fitted, and what splitting, fitting
    and predicting raise.
    """
    tried = _tried(models or {})
    seeds = _seeds(seeds)
    if decision_horizon not in bars.horizons:
        raise InvalidInputError("decision_horizon", f"is one of {bars.horizons}", got=decision_horizon)
    decision = bars.horizons.index(decision_horizon)
    if not 0 <= cost_bp < math.inf:
        raise InvalidInputError("cost_bp", "is at least 0", got=cost_bp)
    if bars_a_year is not None and not 0 < bars_a_year < math.inf:
        raise InvalidInputError("bars_a_year", "is above 0", got=bars_a_year)
    featured = bars if isinstance(bars, FeatureBars) else with_features(bars, embedding=embedding)
    split = split_by_date(featured, train_end, valid_end, embargo=embargo)
    windows = split.test.windows(context_length=context_length)
    results: list[ModelResult] = []
    base: BacktestResult | None = None
    for label, (model, options) in tried.items():
        needs_fit = registry.model_spec(model).capabilities.needs_fit
        for seed in seeds if needs_fit else seeds[:1]:
            predictor = registry.create_model(model, **options)
            if needs_fit:
                predictor.fit(split.train, validation=split.valid, seed=seed)
            prediction = predictor.predict_windows(windows)
            assert isinstance(prediction, ForecastPrediction)
            result = _scored(
                label,
                seed,
                prediction,
                windows,
                decision=decision,
                cost_bp=cost_bp,
                bars_a_year=bars_a_year,
                base=base,
            )
            base = result.account if base is None else base
            results.append(result)
    return WalkForward(
        results=tuple(results),
        market=backtest_signals(
            windows,
            np.ones(len(windows)),
            hold=bars.horizons[decision],
            cost_bp=0.0,
            bars_a_year=bars_a_year,
        ),
        windows=windows,
        decision=decision,
        cost_bp=cost_bp,
        train_end=str(train_end),
        valid_end=str(valid_end),
    )


def _tried(models: Mapping[str, Any]) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """Label -> (id, options) of the baselines and the models given, each of which could be created."""
    tried: dict[str, tuple[str, Mapping[str, Any]]] = {name: (name, {}) for name in BASELINES}
    for label, given in models.items():
        if not isinstance(given, Sequence) or isinstance(given, str) or len(given) != 2:
            rule = "give an id and its options, such as ('finance/ridge', {})"
            raise InvalidInputError("models", rule, place=repr(label), got=repr(given))
        model, options = given
        if model not in registry.available_models():
            raise UnknownIdError(f"model {model!r} of label {label!r} is not registered")
        if (task := registry.model_spec(model).task) != "bars":
            raise InvalidInputError("models", "are of the task 'bars'", place=repr(label), got=repr(task))
        if not isinstance(options, Mapping):
            rule = "give options by their names"
            raise InvalidInputError("models", rule, place=repr(label), got=repr(options))
        registry.create_model(model, **options)
        tried[label] = (model, options)
    return tried


def _seeds(seeds: Iterable[int]) -> tuple[int, ...]:
    given = tuple(seeds) if isinstance(seeds, Iterable) else ()
    if not given:
        raise InvalidInputError("seeds", "are at least one", got=repr(seeds))
    return tuple(whole("seeds", seed, least=0) for seed in given)


def _scored(
    label: str,
    seed: int,
    prediction: ForecastPrediction,
    windows: BarWindows,
    *,
    decision: int,
    cost_bp: float,
    base: BacktestResult | None,
    bars_a_year: float | None = None,
) -> ModelResult:
    expected, probability = prediction.median()[..., 0], direction_probability(prediction)
    actions = prediction.aux.get("action")
    if actions is None:
        actions = np.sign(expected[:, decision])
    hold = windows.data.horizons[decision]
    account = backtest_signals(windows, actions, hold=hold, cost_bp=cost_bp, bars_a_year=bars_a_year)
    advantage = None
    if base is not None and not np.array_equal(account.returns, base.returns):
        # Losses are returns with their sign turned: a negative difference speaks for the model.
        advantage = block_bootstrap(-account.returns, -base.returns, block_length=max(2 * hold, 10))
    targets, mask = windows.targets()
    crps = score_metrics(prediction, targets, mask, ["crps"], missing="nan").overall["crps"]
    return ModelResult(
        label=label,
        seed=seed,
        directions=tuple(
            score_directions(windows, probability[:, k], expected=expected[:, k], step=k)
            for k in range(windows.horizon)
        ),
        account=account,
        sharpe=account.sharpe_interval(),
        advantage=advantage,
        crps=None if crps is None or not math.isfinite(crps) else float(crps),
        prediction=prediction,
    )


def _figures(result: ModelResult, decision: int) -> dict[str, Estimate]:
    """Estimates over the decision's horizon, the account's figures (without interval) among them."""
    figures = dict(result.directions[decision].metrics)
    figures["sharpe"] = result.sharpe
    for name, value in result.account.metrics.items():
        figures.setdefault(name, Estimate(value, math.nan, math.nan))
    return figures


def _told(estimate: Estimate) -> list[float | None]:
    return [_number(estimate.value), _number(estimate.lower), _number(estimate.upper)]


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
