"""What MLflow calls to load a model of ours as a pyfunc, and what then answers its requests.

MLflow imports this module by name and hands it the folder of our artifact; nothing is unpickled. It works
for `mlflow models serve`, batch scoring and `mlflow.pyfunc.load_model` alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from forecast_core import registry
from forecast_core.data import Panel
from forecast_core.errors import CapabilityError, InvalidInputError
from forecast_core.prediction import Prediction
from forecast_core.predictor import Predictor
from forecast_core.validation import typed_error

__all__ = ["PARAMETERS", "TablePredictor"]

# name -> (MLflow's type, whether it is a list); what a request may say beside its table
PARAMETERS: Mapping[str, tuple[str, bool]] = {
    "horizon": ("long", False),
    "timestamp": ("string", False),
    "item_id": ("string", False),
    "target": ("string", True),
    "past_covariates": ("string", True),
    "future_covariates": ("string", True),
    "static_covariates": ("string", True),
    "freq": ("string", False),
    "tz": ("string", False),
}
_FROM_DATA = ("past_covariates", "future_covariates", "static_covariates", "freq", "tz")


def _load_pyfunc(data_path: str, model_config: Mapping[str, Any] | None = None) -> TablePredictor:
    """The hook that MLflow looks for in a loader module; model_config may name a `device`."""
    return TablePredictor(registry.load_model(data_path, **(model_config or {})))


class TablePredictor:
    """A model that takes tables and answers with tables, as MLflow's scoring does."""

    def __init__(self, model: Predictor[Any]) -> None:
        self.model = model

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> Any:
        """The prediction as a pandas frame: item_id, timestamp, step, target, mean and quantiles.

        For a model of panels, model_input is a long frame, a row an (item, time), with the columns of
        the training data; rows without target at the end are the future. params: `horizon`, and, where
        columns are called otherwise, `timestamp`, `item_id`, `target`, `past_covariates`,
        `future_covariates`, `static_covariates`, `freq`, `tz`. For a model of another task each row is
        one request as the task defines it, and column `request` says which one an answer belongs to.
        Raises CapabilityError where the task defines no request, and what `Panel.from_frame` and
        `predict` raise.
        """
        given = {name: value for name, value in (params or {}).items() if value not in (None, [])}
        unknown = next((name for name in given if name not in PARAMETERS), None)
        if unknown is not None:
            raise InvalidInputError("params", f"are among {', '.join(PARAMETERS)}", got=repr(unknown))
        task = self.model.task
        if issubclass(registry.load_object(task.data, owner=task.id), Panel):
            return self._predicted(self._panel(model_input, given), given).to_frame(backend="pandas")
        if task.request is None:
            raise CapabilityError(
                f"{self.model.spec.id} cannot be asked through a table: task {task.id!r} defines no request; "
                "load it with ModelRegistry.load and call predict"
            )
        return self._answers(model_input, given, registry.load_object(task.request, owner=task.id))

    def _predicted(self, data: Any, given: Mapping[str, Any]) -> Prediction:
        return self.model.predict(data, horizon=given.get("horizon"))

    def _panel(self, frame: Any, given: Mapping[str, Any]) -> Panel:
        """The table as a panel; what a request does not say is as in the training data."""
        known: Mapping[str, Any] = self.model.info.data
        said = {name: given.get(name, known.get(name)) for name in _FROM_DATA}
        item_id = given.get("item_id")
        if item_id is None and "item_id" in getattr(frame, "columns", ()):
            item_id = "item_id"
        return Panel.from_frame(
            frame,
            timestamp=given.get("timestamp", "timestamp"),
            target=tuple(given.get("target", known.get("target_names", ("target",)))),
            item_id=item_id,
            freq=said["freq"],
            past_covariates=tuple(said["past_covariates"] or ()),
            future_covariates=tuple(said["future_covariates"] or ()),
            static_covariates=tuple(said["static_covariates"] or ()),
            tz=said["tz"],
        )

    def _answers(self, frame: Any, given: Mapping[str, Any], request: Any) -> Any:
        import pandas as pd

        if not isinstance(frame, pd.DataFrame):
            raise InvalidInputError("model_input", "is a table", got=type(frame).__name__)
        answers = []
        for row, fields in enumerate(frame.to_dict(orient="records")):
            try:
                body = request.model_validate({str(k): v for k, v in fields.items() if not _is_missing(v)})
            except ValidationError as error:
                raise typed_error(f"row {row}", error, known=request.model_fields) from error
            answer = self._predicted(body.to_data(self.model.info), given).to_frame(backend="pandas")
            answer.insert(0, "request", row)
            answers.append(answer)
        if not answers:
            raise InvalidInputError("model_input", "has at least one row")
        return pd.concat(answers, ignore_index=True)


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
