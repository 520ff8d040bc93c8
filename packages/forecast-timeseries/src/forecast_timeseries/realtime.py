"""`RealTimePredictor`: a fitted model behind checks of what it is asked, one window at a time."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, Literal

import numpy as np
from pydantic import ValidationError

from forecast_core.data import Panel
from forecast_core.data.frames import as_frame
from forecast_core.errors import DataError, ForecastError, FrequencyError, InvalidInputError, NotFittedError
from forecast_core.prediction import Prediction
from forecast_core.predictor import ModelInfo, Predictor
from forecast_core.registry import load_model
from forecast_core.series.serving import SeriesRequest
from forecast_core.serving.joining import Joiner, Question
from forecast_core.validation import typed_error
from forecast_timeseries.stream import StreamBuffer

__all__ = ["OutOfRangeWarning", "RealTimePredictor"]


class OutOfRangeWarning(UserWarning):
    """A window holds values far from those of training."""


class RealTimePredictor:
    """Predicts what follows a window: a panel, a `StreamBuffer`, a frame, or a mapping as the REST body.

    artifact: a saved model's directory, or a fitted model. Windows are checked before they are predicted:
    their columns and frequency, that every series has a value, and that none lies further outside the range
    of training than `margin` ranges; out_of_range says whether that is warned of (OutOfRangeWarning, and
    `metadata["out_of_range"]`) or refused (DataError). device: as of `load_model`. Raises NotFittedError for
    a model that is not fitted.
    """

    def __init__(
        self,
        artifact: str | PathLike[str] | Predictor[Panel],
        *,
        out_of_range: Literal["warn", "refuse"] = "warn",
        margin: float = 0.25,
        device: str | None = None,
    ) -> None:
        if out_of_range not in ("warn", "refuse"):
            raise InvalidInputError("out_of_range", "is 'warn' or 'refuse'", got=repr(out_of_range))
        if isinstance(margin, str) or not margin >= 0:
            raise InvalidInputError("margin", "is at least 0", got=margin)
        if isinstance(artifact, Predictor) and device is not None:
            raise InvalidInputError("device", "is given for a saved model, not for one in memory", got=device)
        self._model = artifact if isinstance(artifact, Predictor) else load_model(artifact, device=device)
        if not self._model.is_fitted:
            raise NotFittedError(f"{self._model.spec.id} has to be fitted first; call fit(train)")
        self._refuses = out_of_range == "refuse"
        self._joiner = Joiner(self._model)
        ranges = self._model.info.data.get("ranges", {})
        assert isinstance(ranges, dict)
        self._bounds = {
            sort: _widened(columns, margin) for sort, columns in ranges.items() if isinstance(columns, dict)
        }

    @property
    def info(self) -> ModelInfo:
        """What the model is and was fitted on."""
        return self._model.info

    def predict(self, window: Any, *, horizon: int | None = None) -> Prediction:
        """The steps after a window, in the target's unit, with its intervals.

        `metadata` tells the last time known ("origin") and what is out of range. Raises InvalidInputError,
        or one of its kinds, naming the column or row that is wrong.
        """
        panel, outside = self._checked(window)
        return self._told(self._model.predict(panel, horizon=horizon), panel, outside)

    def predict_batch(self, windows: Sequence[Any], *, horizon: int | None = None) -> list[Prediction]:
        """Predictions of several windows, computed together where that cannot change them.

        An error names the window: all are predicted, or none.
        """
        questions, told = [], []
        for k, window in enumerate(windows):
            try:
                panel, outside = self._checked(window)
            except InvalidInputError as error:
                raise _at(k, error) from error
            questions.append(Question(panel, horizon))
            told.append(outside)
        predictions = []
        for k, answer in enumerate(self._joiner.predict(questions)):
            if isinstance(answer, InvalidInputError):
                raise _at(k, answer) from answer
            if isinstance(answer, Exception):
                raise answer
            predictions.append(self._told(answer, questions[k].data, told[k]))
        return predictions

    def _told(self, prediction: Prediction, panel: Panel, outside: list[str]) -> Prediction:
        origin = str(panel.timestamps[panel.known_rows - 1])
        told = {**prediction.metadata, "origin": origin, "out_of_range": list(outside)}
        return prediction.replace(metadata=told)

    def _checked(self, window: Any) -> tuple[Panel, list[str]]:
        """The window as a panel, and what of it lies out of range."""
        panel = self._panel(window)
        self._check_kind(panel)
        known = panel.values[: panel.known_rows]
        blank = np.isnan(known).all(axis=0)  # [item, target]
        if blank.any():
            item, target = np.argwhere(blank)[0].tolist()
            place = f"item {panel.item_ids[item]!r}"
            raise DataError(panel.target_names[target], "has a value within the window", place=place)
        outside = self._outside(panel)
        if outside and self._refuses:
            raise DataError("window", "lies within the range of training", got=outside[0])
        if outside:
            warnings.warn(
                f"window out of the range of training: {outside[0]}", OutOfRangeWarning, stacklevel=3
            )
        return panel, outside

    def _check_kind(self, panel: Panel) -> None:
        """Frequency and targets are those of training, for models that take any, too."""
        known = self._model.info.data
        if "freq" in known and str(panel.freq) != known["freq"]:
            raise FrequencyError("window", f"is of the frequency {known['freq']}", got=str(panel.freq))
        if "target_names" in known and list(panel.target_names) != known["target_names"]:
            raise DataError(
                "window", f"has the targets {known['target_names']}", got=list(panel.target_names)
            )

    def _outside(self, panel: Panel) -> list[str]:
        """Columns that leave their range, each in words."""
        sorts = {
            "target_names": (panel.target_names, panel.values),
            "past_covariates": (panel.past_covariate_names, panel.past_covariates),
            "future_covariates": (panel.future_covariate_names, panel.future_covariates),
            "static_covariates": (panel.static_covariate_names, panel.static_covariates),
        }
        found = []
        for sort, (names, array) in sorts.items():
            bounds = self._bounds.get(sort, {})
            for k, name in enumerate(names):
                if name not in bounds or array is None:
                    continue
                low, high = bounds[name]
                column = array[..., k]
                wrong = (column < low) | (column > high)
                if wrong.any():
                    worst = float(column[wrong][0])
                    found.append(f"{name} is {worst:g}, outside {low:g}..{high:g}")
        return found

    def _panel(self, window: Any) -> Panel:
        if isinstance(window, Panel):
            return window
        if isinstance(window, StreamBuffer):
            return window.window()
        if isinstance(window, Mapping):
            try:
                request = SeriesRequest.model_validate(dict(window))
            except ValidationError as error:
                raise typed_error("window", error, known=SeriesRequest.model_fields) from error
            return request.to_data(self.info)
        frame = as_frame(window)
        data: Mapping[str, Any] = self.info.data
        return Panel.from_frame(
            window,
            timestamp="timestamp",
            target=data.get("target_names", ["target"]),
            item_id="item_id" if "item_id" in frame.columns else None,
            freq=data.get("freq"),
            past_covariates=data.get("past_covariates", ()),
            future_covariates=data.get("future_covariates", ()),
            static_covariates=data.get("static_covariates", ()),
            tz=data.get("tz"),
        )


def _widened(columns: Mapping[str, Any], margin: float) -> dict[str, tuple[float, float]]:
    return {
        name: (low - margin * (high - low), high + margin * (high - low))
        for name, (low, high) in columns.items()
    }


def _at(position: int, error: InvalidInputError) -> ForecastError:
    """The same error, naming the window it is about."""
    return type(error)(
        f"windows[{position}].{error.argument}", error.rule, place=error.place, got=error.got, hint=error.hint
    )
