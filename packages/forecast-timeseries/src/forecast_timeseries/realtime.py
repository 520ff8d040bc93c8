"""`RealTimePredictor`: a fitted model behind checks of what it is asked, one window at a time."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, Literal

import numpy as np
from pydantic import ValidationError

from forecast_core.data import Freq, Panel
from forecast_core.data.frames import as_frame
from forecast_core.errors import DataError, ForecastError, FrequencyError, InvalidInputError, NotFittedError
from forecast_core.prediction import Prediction
from forecast_core.predictor import ModelInfo, Predictor
from forecast_core.registry import load_model
from forecast_core.series.serving import SeriesRequest
from forecast_core.serving.joining import Joiner, Question
from forecast_core.validation import typed_error
from forecast_timeseries.stream import StreamBuffer

__all__ = ["OutOfRangeWarning", "RealTimePredictor", "ShortWindowWarning"]


class OutOfRangeWarning(UserWarning):
    """A window holds values far from those of training."""


class ShortWindowWarning(UserWarning):
    """A window holds fewer rows than a forecast looks at; with more of them it might be another."""


class RealTimePredictor:
    """Predicts what follows a window: a panel, a `StreamBuffer`, a frame, or a mapping as the REST body.

    artifact: a saved model's directory, or a fitted model. Windows are checked before they are predicted:
    their columns and frequency, that every series has a value, and that none lies further outside the range
    of training than `margin` ranges; out_of_range says whether that is warned of (OutOfRangeWarning, and
    `metadata["out_of_range"]`) or refused (DataError). A window with fewer rows than `reach()` is warned
    of as well (ShortWindowWarning, and `metadata["missing_rows"]`). device: as of `load_model`. Raises
    NotFittedError for a model that is not fitted.
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
        if not isinstance(margin, int | float | np.number) or not margin >= 0:
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

    def reach(self, *, horizon: int | None = None) -> int | None:
        """Rows that a forecast looks at, None for all or where the model does not tell; see
        `Predictor.reach`. A `StreamBuffer` of as many predicts what the whole history does.
        """
        return self._model.reach(horizon=horizon)

    def predict(self, window: Any, *, horizon: int | None = None) -> Prediction:
        """The steps after a window, in the target's unit, with its intervals.

        horizon: default is that of a mapping, else the model's. `metadata` tells the last time known
        ("origin"), what is out of range, and how many rows are missing. Raises InvalidInputError, or one of
        its kinds, naming the column or row that is wrong.
        """
        question, outside = self._checked(window, horizon)
        prediction = self._model.predict(question.data, horizon=question.horizon)
        return self._told(prediction, question, outside)

    def predict_batch(self, windows: Sequence[Any], *, horizon: int | None = None) -> list[Prediction]:
        """Predictions of several windows, computed together where that cannot change them.

        An error names the window: all are predicted, or none.
        """
        questions, told = [], []
        for k, window in enumerate(windows):
            try:
                question, outside = self._checked(window, horizon)
            except InvalidInputError as error:
                raise _at(k, error) from error
            questions.append(question)
            told.append(outside)
        predictions = []
        for k, answer in enumerate(self._joiner.predict(questions)):
            if isinstance(answer, InvalidInputError):
                raise _at(k, answer) from answer
            if isinstance(answer, Exception):
                raise answer
            predictions.append(self._told(answer, questions[k], told[k]))
        return predictions

    def _told(self, prediction: Prediction, question: Question, outside: list[str]) -> Prediction:
        panel, reach = question.data, self._model.reach(horizon=question.horizon) or 0
        if panel.known_rows < reach:
            warnings.warn(
                f"window of {panel.known_rows} rows, where a forecast looks at {reach}: give as many, or a "
                "StreamBuffer whose context_length is reach()",
                ShortWindowWarning,
                stacklevel=3,
            )
        told = {
            "origin": str(panel.timestamps[panel.known_rows - 1]),
            "out_of_range": list(outside),
            "missing_rows": max(reach - panel.known_rows, 0),
        }
        return prediction.replace(metadata={**prediction.metadata, **told})

    def _checked(self, window: Any, horizon: int | None) -> tuple[Question, list[str]]:
        """What is asked, and what of the window lies out of range."""
        panel, horizon = self._asked(window, horizon)
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
        return Question(panel, horizon), outside

    def _check_kind(self, panel: Panel) -> None:
        """Frequency and targets are those of training, for models that take any, too."""
        known = self._model.info.data
        if "freq" in known and panel.freq != Freq.parse(str(known["freq"])):
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

    def _asked(self, window: Any, horizon: int | None) -> tuple[Panel, int | None]:
        """The window as a panel, and the steps that it asks for, or that are asked for beside it."""
        if not isinstance(window, Mapping):
            return self._panel(window), horizon
        try:
            request = SeriesRequest.model_validate(dict(window))
        except ValidationError as error:
            raise typed_error("window", error, known=SeriesRequest.model_fields) from error
        if request.quantile_levels is not None:
            hint = "ask the prediction: .quantile(levels)"
            raise InvalidInputError("window.quantile_levels", "are left out", hint=hint)
        if horizon is not None and request.horizon not in (None, horizon):
            rule = f"is that beside the window, {horizon}, where both are given"
            raise InvalidInputError("window.horizon", rule, got=request.horizon)
        return request.to_data(self.info), request.horizon if horizon is None else horizon

    def _panel(self, window: Any) -> Panel:
        if isinstance(window, Panel):
            return window
        if isinstance(window, StreamBuffer):
            return window.window()
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
