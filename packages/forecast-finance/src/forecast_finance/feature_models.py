"""What models that read features share: inputs, targets in units of volatility, and their state."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from forecast_core.artifacts import State
from forecast_core.data.overlap import unseen
from forecast_core.errors import DataError, ShapeError
from forecast_finance.bar_windows import BarWindows
from forecast_finance.bars import Bars
from forecast_finance.configs import TabularConfig
from forecast_finance.feature_bars import check_version, embeddings_of, features_of
from forecast_finance.features.catalogue import VERSION
from forecast_finance.predicting import BarPredictor
from forecast_finance.volatility import volatility

__all__ = ["FeaturePredictor", "Samples", "hold_out", "known_targets", "validation_targets"]

_HELD_OUT = 0.2  # of training dates, where no validation is given


class Samples(NamedTuple):
    """features [n, 29] and vectors [n, e] of some windows; targets [n, horizon] in volatility * sqrt(h)."""

    features: np.ndarray
    vectors: np.ndarray
    targets: np.ndarray


def known_targets(data: Bars | BarWindows, *, context_length: int, argument: str = "data") -> BarWindows:
    """Windows to learn from: all their returns are known and they have enough bars before them.

    argument: what errors call the data.
    """
    windows = data if isinstance(data, BarWindows) else data.windows(context_length=context_length)
    if windows.horizon != len(windows.data.horizons):
        raise ShapeError(
            argument, f"has windows of all horizons {windows.data.horizons}", got=windows.horizon
        )
    short = np.flatnonzero(windows.data.position[windows.rows] + 1 < context_length)
    if len(short):
        rule = f"leaves {context_length} bars up to each origin"
        raise ShapeError(argument, rule, place=f"window {short[0]} ({windows.item_ids[short[0]]})")
    usable = windows.targets()[1].all(axis=(1, 2))
    if not usable.any():
        raise ShapeError(argument, f"has a window whose returns over {windows.data.horizons} bars are known")
    return windows.take(np.flatnonzero(usable))


def validation_targets(validation: Bars | BarWindows, *, like: BarWindows, context_length: int) -> BarWindows:
    """Windows to validate on, of bars with the horizons and interval of those learned from.

    Bars of a symbol that is learned from, of the time that is, are context only; windows are taken as given.
    """
    bars = validation.data if isinstance(validation, BarWindows) else validation
    check_alike("validation", bars, horizons=like.data.horizons, interval=like.data.interval)
    windows = known_targets(validation, context_length=context_length, argument="validation")
    if isinstance(validation, BarWindows):
        return windows
    kept = unseen(windows, like)
    if not len(kept):
        rule = f"has a window after {like.label_ends.max()}, when the last return learned from is earned"
        raise ShapeError("validation", rule, got=f"origins up to {windows.origins.max()}")
    assert isinstance(kept, BarWindows)
    return kept


def check_alike(argument: str, bars: Bars, *, horizons: Sequence[int], interval: np.timedelta64) -> None:
    """DataError unless bars have the horizons and the interval of training."""
    if bars.horizons != tuple(horizons) or bars.interval != interval:
        rule = f"has the horizons {list(horizons)} and the interval of training, {interval.item()}"
        raise DataError(argument, rule, got=f"{list(bars.horizons)}, {bars.interval.item()}")


def hold_out(windows: BarWindows) -> tuple[BarWindows, BarWindows]:
    """Windows of the earlier dates, purged, and of the last fifth."""
    times = np.unique(windows.origins)
    first = times[min(int(len(times) * (1 - _HELD_OUT)), len(times) - 1)]
    early = np.flatnonzero(windows.label_ends <= first)
    late = np.flatnonzero(windows.origins >= first)
    if not len(early) or not len(late):
        raise ShapeError("data", "has enough dates to hold a purged fifth of them out", got=len(times))
    return windows.take(early), windows.take(late)


class FeaturePredictor(BarPredictor):
    """A model of features and embeddings of the origin's bar, which knows on what bars it was fitted."""

    accepts_windows = True

    config: TabularConfig

    _about: dict[str, Any]

    def _begin(self, bars: Bars) -> None:
        """Take note of what is being fitted on."""
        self._about = {
            "horizons": list(bars.horizons),
            "interval_us": int(bars.interval / np.timedelta64(1, "us")),
            "features_version": VERSION,
            "digest": None,
        }

    def _samples(self, windows: BarWindows, *, targets: bool = False) -> Samples:
        config = self.config
        vectors, info = embeddings_of(
            windows.data,
            windows.rows,
            backend=config.embedding,
            path=config.embedding_path,
            cache=config.embedding_cache,
            digest=self._about["digest"],
        )
        self._about["digest"] = info.digest
        features = features_of(windows.data, config.features)[windows.rows]
        if not targets:
            return Samples(features, vectors, np.zeros((len(windows), 0)))
        returns = windows.targets()[0][..., 0] / self._unit(windows)
        return Samples(features, vectors, returns)

    def _unit(self, windows: BarWindows) -> np.ndarray:
        ahead = np.array(windows.data.horizons[: windows.horizon])
        unit: np.ndarray = volatility(windows)[:, None] * np.sqrt(ahead)
        return unit

    def _check_bars(self, windows: BarWindows) -> None:
        """Bars like those of training, enough of them up to each origin."""
        about = self._about
        check_version("model", about["features_version"])
        interval = np.timedelta64(about["interval_us"], "us")
        check_alike("data", windows.data, horizons=about["horizons"], interval=interval)
        windows.contexts(self.config.context_length)

    def _state(self) -> State:
        return State(texts={"about.json": json.dumps(self._about)})

    def _load_state(self, state: State) -> None:
        self._about = json.loads(state.texts["about.json"])
