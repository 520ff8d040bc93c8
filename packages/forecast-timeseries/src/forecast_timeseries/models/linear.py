"""`timeseries/linear`: one linear map from the last rows to all steps ahead, in closed form."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import numpy as np

from forecast_core.artifacts import State
from forecast_core.config import ModelConfig
from forecast_core.data import Panel, PanelWindows
from forecast_core.errors import DataError
from forecast_core.exporting import WINDOW, Graph, GraphOutput
from forecast_core.prediction import MixturePrediction, Prediction
from forecast_core.predictor import Predictor
from forecast_core.run import Run
from forecast_timeseries.channels import Channels, ChannelScaling
from forecast_timeseries.configs import LinearConfig
from forecast_timeseries.inputs import Inputs
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
from forecast_timeseries.ridge import (
    RidgePath,
    apply_ridge,
    moving_average,
    ridge_error,
    ridge_weights,
    second_moments,
)

__all__ = ["Linear", "default_context"]

_CHUNK = 4096  # windows held in memory at once
_STRENGTHS = np.logspace(-5.0, 2.0, 29)
_SEASONS = 14  # of context, where data allow
_LONGEST = 512  # rows of context that are chosen unasked
_LEAST_SPREAD = 1e-6  # of a prediction, in units of the series' own
_RESOLUTION = 1e-12  # and as a share of its mean
_AGED_WINDOWS = 4_000  # that tell the spread after gaps, at most; more are thinned out evenly, by origin


class Linear(Predictor[Panel]):
    """DLinear and NLinear as ridge regression: each step ahead is linear in the last `context_length` rows.

    One map serves every item and target, each scaled by its own mean and spread in training. Gaussian
    answers: the spread of each series and step is that of errors out of sample, on `validation` where it
    is given, else on the last fifth of origins, before the map is fitted again on all. Errors of
    overlapping windows are worth about one a horizon, so a series with few of them leans on the others.

    Missing values in a context are filled with the last value before them, in fitting and in predicting.
    Fitting leaves out windows that miss any target or more than a quarter of their context. A context whose
    last rows are missing has a map and a spread of its own: those of the same windows with as many rows taken
    for missing, or somewhat more. Where all of a context is missing, the last value before it counts as one
    of any age up to three times the length of the context.

    Source: Zeng et al. 2023, Are Transformers Effective for Time Series Forecasting?; Toner & Darlow 2024,
    An Analysis of Linear Time Series Forecasting Models (closed form).
    """

    config_class: ClassVar[type[ModelConfig]] = LinearConfig
    accepts_windows = True

    config: LinearConfig

    _known: Known
    _context: int
    _strength: float
    _scaling: ChannelScaling
    _weights: np.ndarray  # [1 + inputs, horizon]
    _spread: np.ndarray  # [channel, horizon], in units of the channel's scale
    _aged_weights: np.ndarray  # [gap, 1 + inputs, horizon], for contexts that end in gaps
    _aged_spread: np.ndarray  # [gap, channel, horizon]

    # fitting

    def _fit(self, data: Any, *, validation: Any, seed: int, run: Run) -> None:
        panel = data.panel if isinstance(data, PanelWindows) else data
        horizon = self.config.horizon
        self._known = Known.of(panel)
        self._context = self.config.context_length or default_context(panel, horizon=horizon)
        drawn = training_windows("data", data, context=self._context, horizon=horizon)
        self._scaling = ChannelScaling.fit(panel.values, spans=spanned(drawn, context=self._context))
        series, windows = self._usable("data", drawn)
        if validation is None:
            early, late = held_out(windows[0], context=self._context, horizon=horizon)
            held, of_held = tuple(each[late] for each in windows), series
            known = self._known.channels(panel)
            moments = self._moments(series, tuple(each[early] for each in windows))
        else:
            moments = self._moments(series, windows)
            later = validation_windows(data, validation, context=self._context, horizon=horizon)
            self._known.check(later.panel, argument="validation")
            of_held, held = self._usable("validation", later)
            known = self._known.channels(later.panel)
        held_moments = self._moments(of_held, held)
        path = self._path(moments)
        self._strength = self._chosen(path, held_moments)
        self._weights = path.weights(self._strength)
        self._spread = self._errors(of_held, held, known)
        self._aged_weights = self._weights_after_gaps(moments)
        self._aged_spread = self._spread_after_gaps(of_held, held, known)
        if validation is None:
            between = ~early & ~late
            moments += held_moments + self._moments(series, tuple(each[between] for each in windows))
            self._weights = self._path(moments).weights(self._strength)
            self._aged_weights = self._weights_after_gaps(moments)

    def _chosen(self, path: RidgePath, held: np.ndarray) -> float:
        if self.config.ridge is not None:
            return self.config.ridge
        errors = [ridge_error(held, path.weights(strength)) for strength in _STRENGTHS]
        return float(_STRENGTHS[int(np.argmin(errors))])

    def _path(self, moments: np.ndarray) -> RidgePath:
        return RidgePath(moments, inputs=self._context + len(self.config.calendar), basis=self._basis())

    def _basis(self) -> np.ndarray | None:
        inputs = self._context + len(self.config.calendar)
        if self.config.normalisation != "decompose":
            return None
        trend = moving_average(self._context, width=min(self.config.trend_length, self._context))
        basis = np.zeros((inputs, inputs + self._context))
        basis[: self._context, : self._context] = trend.T
        basis[: self._context, self._context : 2 * self._context] = (np.eye(self._context) - trend).T
        np.fill_diagonal(basis[self._context :, 2 * self._context :], 1.0)
        return basis

    def _weights_after_gaps(self, moments: np.ndarray) -> np.ndarray:
        """Weights [gap, 1 + inputs, horizon] for contexts that end in each of the gaps."""
        inputs, basis = self._context + len(self.config.calendar), self._basis()
        found = [
            ridge_weights(self._blanked(moments, gap), self._strength, inputs=inputs, basis=basis)
            for gap in _gaps(self._context)
        ]
        return np.stack(found)

    def _blanked(self, moments: np.ndarray, gap: int) -> np.ndarray:
        """The moments of the same windows, had the last `gap` values of their context been missing."""
        columns = np.arange(len(moments))  # the one, the context, the calendar, what is ahead
        last = max(self._context - gap, 1)  # of the context, of which at least one value is left
        columns[last : self._context + 1] = last
        rows = moments[columns]
        if self.config.normalisation != "last":
            return rows[:, columns]
        told = np.r_[1 : self._context + 1, -self.config.horizon : 0]  # from the last value
        rows[told] -= moments[last]
        found = rows[:, columns]
        found[:, told] -= rows[:, [last]]
        return found

    def _spread_after_gaps(
        self, series: Channels, windows: tuple[np.ndarray, ...], known: np.ndarray
    ) -> np.ndarray:
        """Root mean squared errors [gap, channel, horizon] after gaps; no smaller after longer ones."""
        rows = windows[0]
        few = (rows - rows.min()) % -(-len(rows) // _AGED_WINDOWS) == 0
        rows, channels = (each[few] for each in windows)
        length, spreads = self._context, [self._spread]
        context = series.contexts(rows, channels, length=length)
        truth = series.values[rows[:, None] + np.arange(1, self.config.horizon + 1), channels[:, None]]
        for gap, weights in zip(_gaps(length), self._aged_weights, strict=True):
            if gap < length:
                context[:, length - gap :] = context[:, [length - gap - 1]]
            else:
                older = rows - np.random.default_rng(0).integers(
                    length, 3 * length, len(rows)
                )  # at any phase
                context[:] = series.contexts(np.maximum(older, 0), channels, length=1)
            inputs, level = self._told(context, series.calendar[rows])
            squares = (apply_ridge(weights, inputs) + level - truth) ** 2
            spreads.append(self._spread_of([(known[channels], squares)]))
        return np.maximum.accumulate(spreads)[1:]

    def _usable(self, argument: str, windows: PanelWindows) -> tuple[Channels, tuple[np.ndarray, np.ndarray]]:
        """The series of some windows' panel; rows and channels of those windows that can be learnt from."""
        series, targets = self._channels(windows.panel), len(self._known.targets)
        rows = np.repeat(windows.rows, targets)
        channels = channels_of(windows.items, targets=targets)  # [n*target]
        good = series.complete(rows, channels, context=self._context, horizon=self.config.horizon)
        if not good.any():
            raise DataError(
                argument,
                "holds a window with every target and three quarters of its context observed",
                hint="choose a shorter horizon or context_length, or fill gaps first",
            )
        return series, (rows[good], channels[good])

    def _chunks(
        self, series: Channels, windows: tuple[np.ndarray, ...]
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
        """Of some windows at a time: channels [n], inputs [n, input], level [n, 1], targets [n, horizon]."""
        rows, channels = windows
        ahead = np.arange(1, self.config.horizon + 1)
        for at in range(0, len(rows), _CHUNK):
            row, channel = rows[at : at + _CHUNK], channels[at : at + _CHUNK]
            inputs, level = self._inputs(series, row, channel)
            yield channel, inputs, level, series.values[row[:, None] + ahead, channel[:, None]]

    def _moments(self, series: Channels, windows: tuple[np.ndarray, ...]) -> np.ndarray:
        return second_moments(
            (np.hstack([x, y - level]) for _, x, level, y in self._chunks(series, windows)),
            columns=self._context + len(self.config.calendar) + self.config.horizon,
        )

    def _inputs(
        self, series: Channels, rows: np.ndarray, channels: np.ndarray, *, gap: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Inputs [n, context + calendar] and the level [n, 1] that was taken off the context, of which the
        last `gap` rows are taken for missing.
        """
        context = series.contexts(rows, channels, length=self._context, gap=gap)
        return self._told(context, series.calendar[rows])

    def _told(self, context: np.ndarray, calendar: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        level = context[:, -1:] if self.config.normalisation == "last" else np.zeros((len(context), 1))
        return np.hstack([context - level, calendar]), level

    def _errors(self, series: Channels, windows: tuple[np.ndarray, ...], known: np.ndarray) -> np.ndarray:
        """Root mean squared errors [channel, horizon] of the channels of training, which are at `known`."""
        return self._spread_of(
            (known[channel], (apply_ridge(self._weights, x) + level - y) ** 2)
            for channel, x, level, y in self._chunks(series, windows)
        )

    def _spread_of(self, chunks: Iterable[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        """Roots of mean squares [channel, horizon] of channels [n] and squares [n, horizon]; each counts as
        if a horizon of windows more had the squares of all channels.
        """
        steps = self.config.horizon
        count = np.zeros((len(self._scaling.mean), 1))
        total = np.zeros((len(self._scaling.mean), steps))
        for channel, squares in chunks:
            np.add.at(count, channel, 1.0)
            np.add.at(total, channel, squares)
        shared = total.sum(axis=0) / count.sum()
        spread: np.ndarray = np.sqrt((total + steps * shared) / (count + steps))
        return spread

    # predicting

    def _context_rows(self, data: Panel) -> int:
        if self.is_fitted:
            return self._context
        return self.config.context_length or default_context(data, horizon=self.config.horizon)

    def _reach(self, horizon: int | None) -> int:
        return self._context

    def _predict(self, data: Panel, *, horizon: int | None) -> Prediction:
        steps = steps_within(horizon, self.config.horizon)
        rows = np.full(len(data.item_ids), data.known_rows - 1)
        check_history("data", rows, context=self._context)
        recent = data.rows(data.known_rows - self._context, data.known_rows)
        if not np.isnan(recent.values).any():  # else what fills a gap may lie before it
            data, rows = recent, np.full(len(rows), self._context - 1)
        return self._answer(
            data,
            rows,
            np.arange(len(rows)),
            item_ids=data.item_ids,
            steps=tuple(range(1, steps + 1)),
            timestamps=data.future_timestamps(steps),
        )

    def _predict_windows(self, windows: Any) -> Prediction:
        assert isinstance(windows, PanelWindows)
        steps = steps_within(windows.horizon, self.config.horizon)
        check_history("windows", windows.rows, context=self._context)
        return self._answer(
            windows.panel,
            windows.rows,
            windows.items,
            item_ids=windows.item_ids,
            steps=tuple(range(1, steps + 1)),
            timestamps=windows.timestamps(),
        )

    def _answer(
        self, panel: Panel, rows: np.ndarray, items: np.ndarray, *, steps: tuple[int, ...], **identity: Any
    ) -> MixturePrediction:
        """Predictions after each (row, item)."""
        self._known.check(panel)
        series, targets = self._channels(panel), len(self._known.targets)
        rows = np.repeat(rows, targets)
        position = channels_of(items, targets=targets)  # [n*target], in the panel
        known = self._known.channels(panel)[position]
        means = self._means(series, rows, position, self._weights)
        spread = self._spread[known]
        gaps = _gaps(self._context)
        ages = np.minimum(series.age[rows, position], self._context)
        for k, gap in enumerate(gaps):
            at = np.flatnonzero((ages <= gap) & (ages > (gaps[k - 1] if k else 0)))
            if len(at):
                blank = gap if gap < self._context else 0
                means[at] = self._means(series, rows[at], position[at], self._aged_weights[k], gap=blank)
                spread[at] = self._aged_spread[k, known[at]]
        means, spread = means[:, : len(steps)], spread[:, : len(steps)]
        scale = self._scaling.scale[known][:, None]
        means = means * scale + self._scaling.mean[known][:, None]
        sigmas = np.maximum(spread, _LEAST_SPREAD) * scale
        sigmas = np.maximum(sigmas, _RESOLUTION * np.abs(means))
        # [n*target, horizon] -> [n, horizon, target, 1]
        shape = (len(items), targets, len(steps))
        return MixturePrediction(
            weights=np.ones((len(items), 1, 1, 1)),
            means=means.reshape(shape).transpose(0, 2, 1)[..., None],
            sigmas=sigmas.reshape(shape).transpose(0, 2, 1)[..., None],
            steps=steps,
            target_names=self._known.targets,
            **identity,
        )

    def _means(
        self, series: Channels, rows: np.ndarray, channels: np.ndarray, weights: np.ndarray, *, gap: int = 0
    ) -> np.ndarray:
        """Means [n, horizon] of what follows each row, in units of the channel's scale."""
        means = np.empty((len(rows), self.config.horizon))
        for at in range(0, len(rows), _CHUNK):
            chunk = slice(at, at + _CHUNK)
            inputs, level = self._inputs(series, rows[chunk], channels[chunk], gap=gap)
            means[chunk] = apply_ridge(weights, inputs) + level
        return means

    def _channels(self, panel: Panel) -> Channels:
        scaling = self._scaling.take(self._known.channels(panel))
        return Channels.of(panel, scaling=scaling, calendar=self.config.calendar)

    # export

    def _graph(self) -> Graph:
        from forecast_timeseries.nn.linear_graph import RawLinear

        self._need_fitted("export")
        shape = (len(self._known.items), len(self._known.targets))
        mean, scale = (each.reshape(shape) for each in (self._scaling.mean, self._scaling.scale))
        spread = np.stack([self._spread, *self._aged_spread]).reshape(-1, *shape, self.config.horizon)
        inputs = Inputs(
            self._known,
            context=self._context,
            horizon=self.config.horizon,
            level=mean,
            spread=scale,
            times=1 if self.config.calendar else 0,
            before=True,
            tz=self.info.data.get("tz"),
        )
        axes = (WINDOW, "step", "target")
        return Graph(
            module=RawLinear(
                weights=np.stack([self._weights, *self._aged_weights]),
                spread=spread,
                gaps=(0, *_gaps(self._context)),
                mean=mean,
                scale=scale,
                calendar=self.config.calendar,
                from_last=self.config.normalisation == "last",
                least_spread=_LEAST_SPREAD,
                resolution=_RESOLUTION,
            ).eval(),
            inputs=inputs.described(),
            outputs=(
                GraphOutput("mean", "mean of each step's Gaussian", axes),
                GraphOutput("sigma", "standard deviation of each step's Gaussian", axes),
            ),
            feed=inputs.feed,
            facts=inputs.facts(),
            arrays={"mean": mean, "scale": scale, "spread": spread[0]},
        )

    # storage

    def _state(self) -> State:
        fitted = {"context_length": self._context, "ridge": self._strength}
        arrays = {
            "weights": self._weights,
            "spread": self._spread,
            "aged_weights": self._aged_weights,
            "aged_spread": self._aged_spread,
            "mean": self._scaling.mean,
            "scale": self._scaling.scale,
        }
        texts = {"known.json": self._known.to_json(), "fitted.json": json.dumps(fitted)}
        return State(arrays=arrays, texts=texts)

    def _load_state(self, state: State) -> None:
        self._known = Known.from_json(state.texts["known.json"])
        fitted = json.loads(state.texts["fitted.json"])
        self._context, self._strength = int(fitted["context_length"]), float(fitted["ridge"])
        channels, horizon = len(self._known.items) * len(self._known.targets), self.config.horizon
        inputs, gaps = self._context + len(self.config.calendar), len(_gaps(self._context))
        expected = {
            "weights": (1 + inputs, horizon),
            "spread": (channels, horizon),
            "aged_weights": (gaps, 1 + inputs, horizon),
            "aged_spread": (gaps, channels, horizon),
            "mean": (channels,),
            "scale": (channels,),
        }
        for name, shape in expected.items():
            if state.arrays[name].shape != shape:
                raise ValueError(f"{name} has the shape {state.arrays[name].shape}, not {shape}")
        self._weights, self._spread = state.arrays["weights"], state.arrays["spread"]
        self._aged_weights, self._aged_spread = state.arrays["aged_weights"], state.arrays["aged_spread"]
        self._scaling = ChannelScaling(mean=state.arrays["mean"], scale=state.arrays["scale"])


def _gaps(context: int) -> tuple[int, ...]:
    """Lengths of the gaps at the end of a context that are told apart, rising; a whole context comes last."""
    some = {length << k for length in (2, 3) for k in range(context.bit_length())}
    most = {context - (context >> k) for k in (2, 3)}
    return (*sorted(gap for gap in {1, *some, *most, context - 1} if 0 < gap < context), context)


def default_context(panel: Panel, *, horizon: int) -> int:
    """Rows of context for a panel: fourteen seasons or two horizons, whichever is longer.

    At most 512 and a quarter of the rows before the last horizon, so that there is enough to learn from;
    whole seasons where one fits.
    """
    season = panel.freq.seasonality
    most = min(_LONGEST, (panel.known_rows - horizon) // 4)
    length = min(max(_SEASONS * season, 2 * horizon), most)
    return max(length - length % season if length >= season else length, 1)
