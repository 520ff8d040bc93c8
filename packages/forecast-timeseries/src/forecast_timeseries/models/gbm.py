"""`timeseries/gbm`: gradient-boosted trees on lags and calendar, a booster for each quantile."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from typing import Any, ClassVar

import lightgbm
import numpy as np

from forecast_core.artifacts import State
from forecast_core.config import ModelConfig
from forecast_core.data import Panel, PanelWindows
from forecast_core.errors import DataError
from forecast_core.prediction import Prediction, QuantilePrediction
from forecast_core.predictor import Predictor
from forecast_core.run import Run
from forecast_timeseries.channels import ChannelScaling
from forecast_timeseries.configs import GBMConfig
from forecast_timeseries.known import (
    Known,
    channels_of,
    check_history,
    held_out,
    spanned,
    steps_within,
    training_windows,
    validation_windows,
)
from forecast_timeseries.lagged import LaggedSeries, LagPlan

__all__ = ["GBM"]

_RADIUS = 2  # rows beside the target's phase a season ago that are averaged
_SPANS = 3  # seasons that training holds at least, for the season to be looked at
_WEEKS = 8  # of training, for the place in the week to be looked at
_HELD_ROWS = 50_000  # (window, step) pairs that choose the number of trees and the stretch, at most
_STRETCHES = np.linspace(0.5, 3.0, 126)

_Examples = tuple[np.ndarray, np.ndarray]  # table [n, column] and change from the level [n]


class GBM(Predictor[Panel]):
    """LightGBM, direct: one booster a quantile level for all items and steps, the step being a column.

    It sees the last values, trailing means, the target's phase in the last seasons, the calendar, the item
    and covariates, and predicts the change from the mean of the last values in units of the item's spread
    in training. Missing values stay missing; with none of the last values there, the level is the last one
    before.

    A booster stops where its pinball loss out of sample is least, on `validation` where that is given, else
    on the last fifth of origins, before it is fitted again on all. There it is also told how far to stretch
    the quantiles from their middle: trees fit their own rows too closely for honest intervals.

    Sources: Ke et al. 2017, LightGBM; Makridakis et al. 2022, M5 accuracy competition (direct, on lags).
    """

    config_class: ClassVar[type[ModelConfig]] = GBMConfig
    accepts_windows = True

    config: GBMConfig

    _known: Known
    _plan: LagPlan
    _scaling: ChannelScaling
    _boosters: tuple[lightgbm.Booster, ...] = ()
    _stretch: np.ndarray  # [level]

    # fitting

    def _fit(self, data: Any, *, validation: Any, seed: int, run: Run) -> None:
        panel = data.panel if isinstance(data, PanelWindows) else data
        context, horizon = self.config.lags, self.config.horizon
        windows = training_windows("data", data, context=context, horizon=horizon)
        self._known = Known.of(panel)
        spans = spanned(windows, context=context)
        self._scaling = ChannelScaling.fit(panel.values, spans=spans)
        self._plan = _plan(self.config, panel, rows=len(spans))
        draw = partial(self._examples, rng=np.random.default_rng(seed))
        most = self.config.training_rows
        if validation is None:
            early, late = held_out(windows.rows, context=context, horizon=horizon)
            held = draw("data", windows.take(late), most=_HELD_ROWS)
            train = draw("data", windows.take(early), most=most)
        else:
            later = validation_windows(data, validation, context=context, horizon=horizon)
            self._known.check(later.panel, argument="validation")
            held = draw("validation", later, most=_HELD_ROWS)
            train = draw("data", windows, most=most)
        self._boosters = self._boosted(train, held=held, seed=seed)
        self._stretch = self._best_stretch(*held)
        if validation is None:
            trees = [booster.num_trees() for booster in self._boosters]
            self._boosters = self._boosted(draw("data", windows, most=most), trees=trees, seed=seed)

    def _boosted(
        self, train: _Examples, *, seed: int, held: _Examples | None = None, trees: list[int] | None = None
    ) -> tuple[lightgbm.Booster, ...]:
        """A booster a level, which stops by the examples held out, or has a number of trees."""
        config = self.config
        rules: dict[str, Any] = {}
        columns = self._plan.names()
        names = [columns.index("item")] if len(self._known.items) > 1 else []
        data = lightgbm.Dataset(*train, categorical_feature=names)
        if held is not None and config.patience is not None:
            stop = lightgbm.early_stopping(config.patience, verbose=False)
            rules = {"valid_sets": [data.create_valid(*held)], "callbacks": [stop]}
        boosters = []
        for k, level in enumerate(config.quantile_levels):
            options = {
                "objective": "quantile",
                "alpha": level,
                "learning_rate": config.learning_rate,
                "num_leaves": config.num_leaves,
                "min_data_in_leaf": config.min_leaf,
                "feature_fraction": config.feature_share,
                "num_threads": config.num_threads,
                "seed": seed,
                "deterministic": True,
                "force_row_wise": True,
                "verbosity": -1,
            }
            rounds = config.num_trees if trees is None else trees[k]
            booster = lightgbm.train(options, data, num_boost_round=rounds, **rules)
            text = booster.model_to_string(num_iteration=booster.best_iteration)
            boosters.append(lightgbm.Booster(model_str=text))
        return tuple(boosters)

    def _best_stretch(self, table: np.ndarray, change: np.ndarray) -> np.ndarray:
        """How far from the middle each quantile lies, [level], as a multiple of where its booster puts it:
        the multiple whose pinball loss on some examples is least.
        """
        levels = np.array(self.config.quantile_levels)
        quantiles = self._quantiles(table)  # [n, level]
        middle = _middle(levels)
        centre = quantiles[:, middle, None]
        loss = np.empty((len(_STRETCHES), len(levels)))
        for k, stretch in enumerate(_STRETCHES):
            error = change[:, None] - (centre + stretch * (quantiles - centre))
            loss[k] = np.maximum(levels * error, (levels - 1.0) * error).mean(axis=0)
        best: np.ndarray = _STRETCHES[loss.argmin(axis=0)]
        best[middle] = 1.0
        return best

    def _quantiles(self, table: np.ndarray) -> np.ndarray:
        """What the boosters say, [n, level]."""
        threads = self.config.num_threads
        return np.stack([each.predict(table, num_threads=threads) for each in self._boosters], axis=-1)

    def _examples(
        self, argument: str, windows: PanelWindows, *, rng: np.random.Generator, most: int
    ) -> _Examples:
        """Of (window, target, step) triples drawn without repeats, those whose target was observed."""
        targets, horizon = len(self._known.targets), self.config.horizon
        series = self._series(windows.panel)
        total = len(windows) * targets * horizon
        drawn = np.arange(total) if total <= most else np.sort(rng.choice(total, most, replace=False))
        window, rest = np.divmod(drawn, targets * horizon)
        target, steps = rest // horizon, rest % horizon + 1
        rows, channels = windows.rows[window], windows.items[window] * targets + target
        change = series.change(rows, channels, steps)
        seen = ~np.isnan(change)
        if not seen.any():
            raise DataError(argument, "holds an observed target within some window's horizon")
        return series.table(rows[seen], channels[seen], steps[seen]), change[seen]

    def _series(self, panel: Panel) -> LaggedSeries:
        channels = self._known.channels(panel)
        codes = np.stack(np.divmod(channels, len(self._known.targets)), axis=1)
        return LaggedSeries(panel, self._plan, scaling=self._scaling.take(channels), codes=codes)

    # predicting

    def _context_rows(self, data: Panel) -> int:
        return self.config.lags

    def _reach(self, horizon: int | None) -> int:
        return self._plan.reach(horizon or self.config.horizon)

    def _predict(self, data: Panel, *, horizon: int | None) -> Prediction:
        steps, items = steps_within(horizon, self.config.horizon), len(data.item_ids)
        self._known.check(data)
        check_history("data", np.full(items, data.known_rows - 1), context=self.config.lags)
        data.future_values(steps)
        recent = data.rows(max(data.known_rows - self._plan.reach(steps), 0), len(data))
        last = recent.values[: recent.known_rows][-self.config.lags :]
        if not np.isnan(last).all(axis=0).any():
            data = recent  # else the last value seen may lie before it
        windows = PanelWindows(data, None, steps, np.full(items, data.known_rows - 1), np.arange(items))
        return self._answer(windows, data.future_timestamps(steps), item_ids=data.item_ids)

    def _predict_windows(self, windows: Any) -> Prediction:
        assert isinstance(windows, PanelWindows)
        steps_within(windows.horizon, self.config.horizon)
        self._known.check(windows.panel)
        check_history("windows", windows.rows, context=self.config.lags)
        return self._answer(windows, windows.timestamps(), item_ids=windows.item_ids)

    def _answer(self, windows: PanelWindows, timestamps: np.ndarray, **identity: Any) -> QuantilePrediction:
        steps, targets = windows.horizon, len(self._known.targets)
        levels = np.array(self.config.quantile_levels)
        series = self._series(windows.panel)
        rows = np.repeat(windows.rows, targets)
        channels = channels_of(windows.items, targets=targets)  # [n*target]
        ahead = np.tile(np.arange(1, steps + 1), len(rows))
        quantiles = self._quantiles(series.table(np.repeat(rows, steps), np.repeat(channels, steps), ahead))
        centre = quantiles[:, _middle(levels), None]
        change = centre + self._stretch * (quantiles - centre)
        change = np.sort(change, axis=-1).reshape(len(rows), steps, -1)  # [n*target, step, level]
        known = self._known.channels(windows.panel)[channels]
        scale = self._scaling.scale[known]
        shift = self._scaling.mean[known] + scale * series.level(rows, channels)
        values = change * scale[:, None, None] + shift[:, None, None]
        return QuantilePrediction(
            levels=levels,
            values=values.reshape(len(windows), targets, steps, -1).transpose(0, 2, 1, 3),
            steps=tuple(range(1, steps + 1)),
            timestamps=timestamps,
            target_names=self._known.targets,
            **identity,
        )

    # storage

    def _state(self) -> State:
        texts = {f"booster-{k}.txt": each.model_to_string() for k, each in enumerate(self._boosters)}
        texts["known.json"] = self._known.to_json()
        texts["plan.json"] = json.dumps(asdict(self._plan))
        arrays = {"mean": self._scaling.mean, "scale": self._scaling.scale, "stretch": self._stretch}
        return State(arrays=arrays, texts=texts)

    def _load_state(self, state: State) -> None:
        self._known = Known.from_json(state.texts["known.json"])
        plan: dict[str, Any] = json.loads(state.texts["plan.json"])
        plan = {name: tuple(value) if isinstance(value, list) else value for name, value in plan.items()}
        self._plan = LagPlan(**plan)
        series, levels = len(self._known.items) * len(self._known.targets), len(self.config.quantile_levels)
        for name, shape in {"mean": (series,), "scale": (series,), "stretch": (levels,)}.items():
            if state.arrays[name].shape != shape:
                raise ValueError(f"{name} has the shape {state.arrays[name].shape}, not {shape}")
        self._scaling = ChannelScaling(mean=state.arrays["mean"], scale=state.arrays["scale"])
        self._stretch = state.arrays["stretch"]
        texts = [state.texts[f"booster-{k}.txt"] for k in range(levels)]
        try:
            self._boosters = tuple(lightgbm.Booster(model_str=text) for text in texts)
        except lightgbm.basic.LightGBMError as error:
            raise ValueError(str(error)) from error


def _plan(config: GBMConfig, panel: Panel, *, rows: int) -> LagPlan:
    """The columns for the first rows of a panel as training."""
    freq, lags = panel.freq, config.lags
    day = freq.seasonality
    within_days = freq.is_fixed and freq.unit not in ("D", "W") and day > 1
    seasons, calendar = config.seasons, config.calendar
    if seasons is None:
        found = (day, 7 * day) if within_days else (day,)
        seasons = tuple(season for season in found if season > 1 and _SPANS * season <= rows)
    if calendar is None:
        of_week = panel.timestamps[rows - 1] - panel.timestamps[0] >= _WEEKS * np.timedelta64(7, "D")
        calendar = (
            *(("hour_sin", "hour_cos") if within_days else ()),
            "is_weekend",
            *(("weekday_sin", "weekday_cos") if of_week else ()),
        )
    means = sorted({max(lags // 4, 1), 2 * lags, *seasons[:1]} - {1, lags})
    return LagPlan(
        lags=lags,
        means=tuple(means),
        seasons=seasons,
        repeats=config.repeats,
        radius=_RADIUS,
        calendar=calendar,
    )


def _middle(levels: np.ndarray) -> int:
    """Position of the level nearest the median."""
    return int(np.abs(levels - 0.5).argmin())
