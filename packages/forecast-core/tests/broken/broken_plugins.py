"""A sound little model, and plugins that each break one rule of the conformance checks with it.

`PLUGINS` says which check is meant to find each of them.
"""

from __future__ import annotations

import base64
import pickle
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from pydantic import ConfigDict, Field, field_validator

from forecast_core.artifacts import State
from forecast_core.config import ModelConfig
from forecast_core.data import Panel
from forecast_core.errors import DataError, ShapeError
from forecast_core.hookspecs import hookimpl
from forecast_core.prediction import Interval, MixturePrediction, PointPrediction
from forecast_core.predictor import Predictor
from forecast_core.specs import Capabilities, ModelSpec


class SoundConfig(ModelConfig):
    """Options of all models here."""

    context_length: int = Field(default=8, ge=1, description="rows that are averaged")
    horizon: int = Field(default=4, ge=1, description="steps ahead")


class Sound(Predictor[Panel]):
    """The mean of the last rows plus a learnt offset, with a learnt spread."""

    config_class: ClassVar[type[ModelConfig]] = SoundConfig
    kind: ClassVar[type[MixturePrediction]] = MixturePrediction

    def _fit(self, data: Panel, *, validation: Any, seed: int, run: Any) -> None:
        self.offset = 0.01 * data.values.mean(axis=(0, 1))  # [target]
        self.sigma = data.values.std(axis=(0, 1)) + 0.1

    def _predict(self, data: Panel, *, horizon: int | None) -> Any:
        length = self.config.context_length
        if data.known_rows < length:
            raise ShapeError("data", f"has at least {length} rows", got=data.known_rows)
        contexts = data.values[data.known_rows - length : data.known_rows].swapaxes(
            0, 1
        )  # [item, time, target]
        return self._answer(
            contexts,
            horizon or self.config.horizon,
            item_ids=data.item_ids,
            timestamps=data.future_timestamps(horizon or self.config.horizon),
            target_names=data.target_names,
        )

    def _predict_windows(self, windows: Any) -> Any:
        if (windows.rows + 1 < self.config.context_length).any():
            raise ShapeError("windows", f"have at least {self.config.context_length} rows of context")
        return self._answer(
            windows.contexts(self.config.context_length),
            windows.horizon,
            item_ids=windows.item_ids,
            timestamps=windows.timestamps(),
            target_names=windows.panel.target_names,
        )

    def _answer(self, contexts: np.ndarray, horizon: int, **identity: Any) -> Any:
        if contexts.shape[-1] != len(self.offset):
            raise ShapeError("data", f"has {len(self.offset)} targets", got=contexts.shape[-1])
        level = self._level(contexts) + self.offset  # [n, target]
        means = np.repeat(level[:, None, :, None], horizon, axis=1)  # [n, horizon, target, 1]
        spread = self.sigma[:, None] * np.sqrt(np.arange(1, horizon + 1))[:, None, None]
        return self.kind(
            weights=np.ones((len(means), 1, 1, 1)),
            means=means,
            sigmas=np.broadcast_to(spread, means.shape),
            **identity,
        )

    def _level(self, contexts: np.ndarray) -> np.ndarray:
        return contexts.mean(axis=1)

    def _state(self) -> State:
        return State(arrays={"offset": self.offset, "sigma": self.sigma})

    def _load_state(self, state: State) -> None:
        self.offset, self.sigma = state.arrays["offset"], state.arrays["sigma"]


class ReadsTheFuture(Sound):
    """Centres windows by the mean of their whole panel."""

    def _predict_windows(self, windows: Any) -> Any:
        made = super()._predict_windows(windows)
        return made.replace(means=made.means + 0.1 * windows.panel.values.mean())


class AsksForTargets(Sound):
    """Takes the number of steps from the very values to be predicted."""

    def _predict_windows(self, windows: Any) -> Any:
        values, _ = windows.targets()
        made = super()._predict_windows(windows)
        return made.at_steps(np.arange(values.shape[1]))


class NormalisesTheBatch(Sound):
    """Shrinks towards the mean of whatever is predicted together."""

    def _level(self, contexts: np.ndarray) -> np.ndarray:
        level = super()._level(contexts)
        return 0.9 * level + 0.1 * level.mean(axis=0)


class ForgetsState(Sound):
    """Saves its spread but not its offset."""

    def _load_state(self, state: State) -> None:
        super()._load_state(state)
        self.offset = np.zeros_like(self.offset)


class IgnoresSeed(Sound):
    """Starts from random numbers that no seed controls."""

    def _fit(self, data: Panel, **given: Any) -> None:
        super()._fit(data, **given)
        self.offset = self.offset + np.random.default_rng().normal(size=self.offset.shape)


class GoesOnFitting(Sound):
    """Adds to what an earlier fit left."""

    def _fit(self, data: Panel, **given: Any) -> None:
        before = getattr(self, "offset", 0.0)
        super()._fit(data, **given)
        self.offset = self.offset + before


class NeverTheSame(Sound):
    """Draws unseeded numbers while predicting."""

    def _level(self, contexts: np.ndarray) -> np.ndarray:
        return super()._level(contexts) + np.random.default_rng().normal()


class ChangesItsInput(Sound):
    """Centres the training data in place."""

    def _fit(self, data: Panel, **given: Any) -> None:
        super()._fit(data, **given)
        if data.values.flags.owndata:
            data.values.flags.writeable = True
            data.values[...] -= data.values.mean()


class IgnoresHorizon(Sound):
    """Always answers with the configured horizon."""

    def _predict(self, data: Panel, *, horizon: int | None) -> Any:
        return super()._predict(data, horizon=self.config.horizon)


class MixesUpItems(Sound):
    """Works on items sorted by level and forgets to sort back."""

    _predict_windows = Predictor._predict_windows

    def _level(self, contexts: np.ndarray) -> np.ndarray:
        return np.sort(super()._level(contexts), axis=0)


class SeedsTheWorld(Sound):
    """Seeds numpy's global generator."""

    def _fit(self, data: Panel, **given: Any) -> None:
        np.random.seed(given["seed"])  # noqa: NPY002
        super()._fit(data, **given)


class ClaimsGaps(Sound):
    """Declares missing values but cannot take them."""

    def _fit(self, data: Panel, **given: Any) -> None:
        if np.isnan(data.values).any():
            raise DataError("data", "has no missing value")
        super()._fit(data, **given)


class OpensTheDoor(Sound):
    """Takes covariates that it does not declare, and silently ignores them."""

    def _check_traits(self, argument: str, data: Any) -> None:
        return


class BareErrors(Sound):
    """Looks at the first row of its context without asking whether there is one."""

    def _predict(self, data: Panel, *, horizon: int | None) -> Any:
        data.values[data.known_rows - self.config.context_length]
        return super()._predict(data, horizon=horizon)


class TwoMinds(Sound):
    """Takes the median in windows, the mean otherwise."""

    def _predict_windows(self, windows: Any) -> Any:
        made = super()._predict_windows(windows)
        contexts = windows.contexts(self.config.context_length)
        apart = np.median(contexts, axis=1) - contexts.mean(axis=1)
        return made.replace(means=made.means + apart[:, None, :, None])


class StartsLate(Sound):
    """Labels the first step with the last known time."""

    def _predict(self, data: Panel, *, horizon: int | None) -> Any:
        made = super()._predict(data, horizon=horizon)
        return made.replace(timestamps=made.timestamps - data.freq.delta)


class ReversesRows(Sound):
    """Names its rows in another order than the data does."""

    def _predict(self, data: Panel, *, horizon: int | None) -> Any:
        made = super()._predict(data, horizon=horizon)
        return made.take(np.arange(len(made))[::-1])

    _predict_windows = Predictor._predict_windows


class NarrowPrediction(MixturePrediction):
    """Its intervals are those of half the coverage."""

    kind: ClassVar[str] = "narrow"

    def interval(self, coverage: float = 0.9) -> Interval:
        """Too narrow."""
        return super().interval(coverage / 2)


class WidePrediction(MixturePrediction):
    """Its draws lie twice as far from the mean."""

    kind: ClassVar[str] = "wide"

    def _sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return self.mean() + 2.0 * (super()._sample(n, rng) - self.mean())


class Narrow(Sound):
    """Answers with a kind of its own, whose intervals contradict its quantiles."""

    kind = NarrowPrediction


class Wide(Sound):
    """Answers with a kind of its own, whose draws contradict its quantiles."""

    kind = WidePrediction


class SaysOtherwise(Sound):
    """Declares mixtures and gives points."""

    def _answer(self, contexts: np.ndarray, horizon: int, **identity: Any) -> Any:
        return PointPrediction(values=super()._answer(contexts, horizon, **identity).mean(), **identity)


class _Scaler:
    def __init__(self, offset: list[float]) -> None:
        self.offset = offset


class Pickles(Sound):
    """Keeps an object as a pickle in a text."""

    def _state(self) -> State:
        blob = base64.b64encode(pickle.dumps(_Scaler(self.offset.tolist()))).decode()
        return State(arrays={"sigma": self.sigma}, texts={"scaler.txt": blob})

    def _load_state(self, state: State) -> None:
        scaler = pickle.loads(base64.b64decode(state.texts["scaler.txt"]))
        self.offset, self.sigma = np.array(scaler.offset), state.arrays["sigma"]


class LooseConfig(SoundConfig):
    """Takes options that do not exist."""

    model_config = ConfigDict(extra="ignore")


class Loose(Sound):
    """Has a configuration that takes anything."""

    config_class = LooseConfig


class PercentConfig(SoundConfig):
    """Turns percent into a share every time it is read."""

    share: float = Field(default=50.0, description="percent")

    @field_validator("share")
    @classmethod
    def _as_share(cls, value: float) -> float:
        return value / 100.0


class Percent(Sound):
    """Has a configuration that is another one when it is read back."""

    config_class = PercentConfig


class Online(Sound):
    """Learns the spread from changes between rows, of later rows as if it had been fitted on all of them."""

    def _fit(self, data: Panel, *, validation: Any, seed: int, run: Any) -> None:
        self.offset = np.zeros(data.values.shape[2])
        self.sums = np.zeros((2, data.values.shape[2]))  # count and sum of squared changes, each [target]
        self._learn(data.values)

    def _learn(self, values: np.ndarray) -> None:
        squares = np.diff(values, axis=0) ** 2
        count = np.full(values.shape[2], squares.shape[0] * squares.shape[1])
        self.sums = self.sums + np.stack([count, squares.sum((0, 1))])
        self.sigma = np.sqrt(self.sums[1] / self.sums[0])

    def _update(self, data: Panel, *, since: Any) -> None:
        first = int(np.searchsorted(data.timestamps, since))
        self._learn(data.values[max(first - 1, 0) :])

    def _state(self) -> State:
        return State(arrays={"offset": self.offset, "sigma": self.sigma, "sums": self.sums})

    def _load_state(self, state: State) -> None:
        super()._load_state(state)
        self.sums = state.arrays["sums"]


class CentresWhatItLearns(Online):
    """Changes the rows that it is updated with."""

    def _update(self, data: Panel, *, since: Any) -> None:
        super()._update(data, since=since)
        values = data.values
        values.setflags(write=True)
        values -= values.mean()


class LearnsContextAgain(Online):
    """Takes rows it has learned already for new ones."""

    def _update(self, data: Panel, *, since: Any) -> None:
        self._learn(data.values)


class LearnsNothing(Online):
    """Is updated in vain."""

    def _update(self, data: Panel, *, since: Any) -> None:
        return


@dataclass(frozen=True)
class Broken:
    """A plugin of one model, and the one check that is meant to find its fault."""

    model: type[Predictor[Any]]
    check: str
    kind: str = "mixture"
    missing_values: bool = False
    online: bool = False
    exact_update: bool = False

    @hookimpl
    def forecast_models(self) -> list[ModelSpec]:
        """The model."""
        return [
            ModelSpec(
                id="broken/model",
                task="series",
                entry_point=f"{__name__}:{self.model.__name__}",
                config_entry_point=f"{__name__}:{self.model.config_class.__name__}",
                summary=(self.model.__doc__ or "").strip(),
                capabilities=Capabilities(
                    prediction=self.kind,
                    missing_values=self.missing_values,
                    online=self.online,
                    exact_update=self.exact_update,
                ),
            )
        ]


SOUND = Broken(Sound, "none")
SOUND_ONLINE = Broken(Online, "none", online=True, exact_update=True)
PLUGINS = (
    Broken(ReadsTheFuture, "future_unseen"),
    Broken(AsksForTargets, "targets_unread"),
    Broken(NormalisesTheBatch, "batch_independent"),
    Broken(TwoMinds, "windows_agree"),
    Broken(ForgetsState, "save_and_load"),
    Broken(Pickles, "no_pickle"),
    Broken(IgnoresSeed, "same_seed_same_model"),
    Broken(GoesOnFitting, "refit_from_scratch"),
    Broken(NeverTheSame, "repeatable"),
    Broken(ChangesItsInput, "input_unchanged"),
    Broken(SeedsTheWorld, "global_state_unchanged"),
    Broken(IgnoresHorizon, "horizon"),
    Broken(MixesUpItems, "item_permutation"),
    Broken(ReversesRows, "shapes"),
    Broken(StartsLate, "timestamps"),
    Broken(ClaimsGaps, "declared_accepted", missing_values=True),
    Broken(OpensTheDoor, "undeclared_refused"),
    Broken(BareErrors, "bad_input"),
    Broken(Narrow, "consistent_distribution", kind="narrow"),
    Broken(Wide, "samples_follow_distribution", kind="wide"),
    Broken(SaysOtherwise, "predict"),
    Broken(Loose, "unknown_option_refused"),
    Broken(Percent, "config_round_trip"),
    Broken(CentresWhatItLearns, "online_update", online=True),
    Broken(LearnsContextAgain, "exact_update", online=True, exact_update=True),
    Broken(LearnsNothing, "update_follows_drift", online=True),
)
