"""`finance/ensemble`: TimeFormer-XL and TFT-XL together, with a veto that turns doubt into holding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

import numpy as np

from forecast_core.artifacts import State
from forecast_core.config import ModelConfig
from forecast_core.errors import InvalidInputError, NotFittedError
from forecast_core.prediction import ForecastPrediction, MixturePrediction
from forecast_core.run import Run
from forecast_core.splits import PurgedWalkForward
from forecast_finance.bar_windows import BarWindows
from forecast_finance.bars import Bars
from forecast_finance.configs import EnsembleConfig
from forecast_finance.feature_bars import FeatureBars, features_of
from forecast_finance.feature_models import FeaturePredictor, known_targets, validation_targets
from forecast_finance.features.catalogue import names
from forecast_finance.models.tft_xl import TFTXL
from forecast_finance.models.timeformer_xl import TimeFormerXL
from forecast_finance.predicting import BarPredictor, direction_probability
from forecast_finance.signals import Action, Signal
from forecast_finance.veto import BasePredictions, Veto

__all__ = ["Ensemble"]

_P90_LESS_P10 = 2.5631031310892007  # of a Gaussian, in standard deviations
_MEMBERS = ("timeformer", "tft")

V = TypeVar("V")


class Ensemble(BarPredictor):
    """A mixture of both members' returns, and an action a window.

    aux: `action` [n] (1 buy, -1 sell, 0 hold), `veto_probability` [n] (also the prediction's confidence),
    `direction_probability`, `timeformer_return` and `tft_return` [n, horizon] in log returns. TFT-XL's part
    of the mixture is the Gaussian of its median and P90 - P10. Fitting trains both members once for each of
    `folds` walk-forward folds, for the veto, and once on all of training.
    """

    config_class: ClassVar[type[ModelConfig]] = EnsembleConfig
    accepts_windows = True
    fits_validation = True

    config: EnsembleConfig

    _members: dict[str, FeaturePredictor]
    _veto: Veto | None = None

    def _fit(self, data: Any, *, validation: Any, seed: int, run: Run) -> None:
        windows = known_targets(data, context_length=self.config.context_length)
        self._step(windows.data)
        later = None
        if validation is not None:
            later = validation_targets(validation, like=windows, context_length=self.config.context_length)
        splitter = PurgedWalkForward(n_splits=self.config.folds, embargo=self.config.embargo)
        parts = []
        for k, (train, test) in enumerate(splitter.split(windows), start=1):
            members = self._trained(windows.take(train), validation=None, seed=seed + k)
            until = windows.label_ends[train].max()
            parts.append(self._base(members, windows.take(test), until))
        order = [part.windows.rows for part in parts]
        rows = np.concatenate(order)
        base = BasePredictions(
            BarWindows(windows.data, rows, windows.horizon),
            np.concatenate([part.inputs for part in parts]),
            np.concatenate([part.expected for part in parts]),
            parts[0].step,
            np.concatenate([part.trained_until for part in parts]),
        )
        self._members = self._trained(windows, validation=validation, seed=seed)
        held = None
        if later is not None:
            held = self._base(self._members, later, windows.label_ends.max())
        self._veto = Veto.fit(
            base,
            config=self.config.veto,
            names=_input_names(windows.data.horizons),
            validation=held,
            seed=seed,
        )

    def _trained(self, windows: BarWindows, *, validation: Any, seed: int) -> dict[str, FeaturePredictor]:
        members = self._new_members()
        for member in members.values():
            member._fit(windows, validation=validation, seed=seed, run=Run())
        return members

    def _new_members(self) -> dict[str, FeaturePredictor]:
        return {"timeformer": TimeFormerXL(self.config.timeformer), "tft": TFTXL(self.config.tft)}

    def _featured(self, bars: Bars) -> Bars:
        """The bars with their features, so that members and veto do not compute them one by one."""
        config = self.config.timeformer.features
        if isinstance(bars, FeatureBars) or self.config.tft.features != config:
            return bars
        vectors = np.zeros((len(bars), 0), dtype=np.float32)
        return FeatureBars.of(
            bars, features=features_of(bars, config), vectors=vectors, feature_config=config
        )

    def _step(self, bars: Bars) -> int:
        """Position of the decision's horizon among the data's."""
        if self.config.decision_horizon not in bars.horizons:
            raise InvalidInputError(
                "decision_horizon",
                f"is one of the data's horizons {bars.horizons}",
                got=self.config.decision_horizon,
            )
        return bars.horizons.index(self.config.decision_horizon)

    def _base(
        self, members: dict[str, FeaturePredictor], windows: BarWindows, until: np.datetime64
    ) -> BasePredictions:
        """What members say of windows, as the veto reads it."""
        told = {name: member._predict_rows(windows) for name, member in members.items()}
        step = self._step(windows.data)
        return BasePredictions(
            windows,
            self._inputs(windows, told, step),
            self._returns(told)[:, step],
            step,
            np.full(len(windows), until),
        )

    def _returns(self, told: dict[str, ForecastPrediction]) -> np.ndarray:
        """The ensemble's expected log returns [n, horizon]."""
        first, second = self.config.weights
        expected: np.ndarray = (first * told["timeformer"].median() + second * told["tft"].median())[..., 0]
        return expected

    def _inputs(self, windows: BarWindows, told: dict[str, ForecastPrediction], step: int) -> np.ndarray:
        """Features, predicted returns and uncertainties [n, 39]."""
        features = features_of(windows.data, self.config.timeformer.features)[windows.rows]
        returns = [told[name].median()[..., 0] for name in _MEMBERS]  # [n, horizon] each
        attention = told["tft"].aux["attention"]
        entropy = -(attention * np.log(np.where(attention > 0, attention, 1.0))).sum(axis=1)
        low, high = told["tft"].interval(0.8)
        uncertainties = [
            np.sqrt(told["timeformer"].variance()[:, step, 0]),
            (high - low)[:, step, 0],
            entropy,
            np.abs(returns[0] - returns[1])[:, step],
        ]
        return np.concatenate([features, *returns, np.stack(uncertainties, axis=1)], axis=1)

    def _predict_rows(self, windows: BarWindows) -> ForecastPrediction:
        if self._veto is None:
            raise NotFittedError("finance/ensemble has to be fitted first; call fit(train)")
        step = self._step(windows.data)
        full = BarWindows(self._featured(windows.data), windows.rows, len(windows.data.horizons))
        told = {name: member._predict_rows(full) for name, member in self._members.items()}
        expected = self._returns(told)
        probability = self._veto.probability(self._inputs(full, told, step))
        sure = probability >= self._veto.threshold
        low, high = told["tft"].interval(0.8)
        means = np.stack([told[name].median()[..., 0] for name in _MEMBERS], axis=-1)
        sigmas = np.stack(
            [
                np.sqrt(told["timeformer"].variance()[..., 0]),
                np.maximum((high - low)[..., 0] / _P90_LESS_P10, 1e-6),
            ],
            axis=-1,
        )  # [n, horizon, member]
        rises = [direction_probability(told[name]) for name in _MEMBERS]
        first, second = self.config.weights
        k = windows.horizon
        return MixturePrediction(
            item_ids=windows.item_ids,
            target_names=windows.data.target_names,
            steps=windows.data.horizons[:k],
            weights=np.broadcast_to([first, second], (len(windows), 1, 1, 2)),
            means=means[:, :k, None],
            sigmas=sigmas[:, :k, None],
            confidence=probability,
            importance=self._veto.importance,
            aux={
                "action": np.where(sure, np.sign(expected[:, step]), 0.0).astype(np.int64),
                "veto_probability": probability,
                "direction_probability": (first * rises[0] + second * rises[1])[:, :k],
                "timeformer_return": means[:, :k, 0],
                "tft_return": means[:, :k, 1],
            },
            metadata={"decision_step": step, "threshold": float(self._veto.threshold)},
        )

    # live use

    def predict_next(self, bars: Bars) -> Signal:
        """What to do about the one symbol of some recent bars, after their last close.

        Raises NotFittedError, ShapeError for too few bars, InvalidInputError for more than one symbol.
        """
        if len(bars.symbols) != 1:
            raise InvalidInputError(
                "bars", "are of one symbol", got=len(bars.symbols), hint="use predict_all for several"
            )
        return self.predict_all(bars)[0]

    def predict_all(self, bars: Bars) -> tuple[Signal, ...]:
        """What to do about each symbol, after its last close; errors as of `predict_next`."""
        prediction = self.predict(bars, horizon=len(bars.horizons))  # whichever of them decides
        assert isinstance(prediction, MixturePrediction)
        step = int(str(prediction.metadata["decision_step"]))
        mean = prediction.mean()[:, step, 0]
        lower, upper = (bound[:, step, 0] for bound in prediction.interval(0.9))
        above = 1.0 - prediction.cdf(0.0)[:, step, 0]
        aux = prediction.aux
        actions = {1: Action.BUY, -1: Action.SELL, 0: Action.HOLD}
        return tuple(
            Signal(
                symbol=symbol,
                timestamp=str(bars.timestamps[bars.offsets[k + 1] - 1]),
                action=actions[int(aux["action"][k])],
                horizon=self.config.decision_horizon,
                expected_return=float(np.expm1(mean[k])),
                interval=(float(np.expm1(lower[k])), float(np.expm1(upper[k]))),
                confidence=float(above[k] if mean[k] > 0 else 1.0 - above[k]),
                parts={name: float(np.expm1(aux[f"{name}_return"][k, step])) for name in _MEMBERS},
                veto_probability=float(aux["veto_probability"][k]),
                threshold=float(str(prediction.metadata["threshold"])),
            )
            for k, symbol in enumerate(bars.symbols)
        )

    # storage

    def _state(self) -> State:
        assert self._veto is not None
        states = {name: member._state() for name, member in self._members.items()}
        arrays = {f"{n}/{key}": a for n, state in states.items() for key, a in state.arrays.items()}
        texts = {f"{n}.{key}": t for n, state in states.items() for key, t in state.texts.items()}
        return State(arrays=arrays, texts={**texts, **self._veto.state().texts})

    def _load_state(self, state: State) -> None:
        self._members = self._new_members()
        for name, member in self._members.items():
            own = State(arrays=_under(state.arrays, f"{name}/"), texts=_under(state.texts, f"{name}."))
            member._load_state(own)
        self._veto = Veto.from_state(state, config=self.config.veto)


def _under(mapping: Mapping[str, V], prefix: str) -> dict[str, V]:
    """What a mapping holds under a prefix, without it."""
    return {key.removeprefix(prefix): value for key, value in mapping.items() if key.startswith(prefix)}


def _input_names(horizons: tuple[int, ...]) -> tuple[str, ...]:
    returns = (f"{member}_return_{ahead}" for member in _MEMBERS for ahead in horizons)
    return (*names(), *returns, "timeformer_sigma", "tft_width", "attention_entropy", "disagreement")
