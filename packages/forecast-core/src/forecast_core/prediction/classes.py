"""Class predictions: a probability for each class."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from pydantic import model_validator

from forecast_core.arrays import FloatArray
from forecast_core.data.frames import id_column
from forecast_core.errors import InvalidInputError, ShapeError
from forecast_core.prediction.base import Prediction
from forecast_core.prediction.checks import check_dims, check_simplex

__all__ = ["ClassPrediction"]


class ClassPrediction(Prediction):
    """probabilities [item, class], summing to 1; classes: at least two distinct names."""

    kind: ClassVar[str] = "class"
    axes: ClassVar[dict[str, tuple[int | None, int | None]]] = {
        **Prediction.axes,
        "probabilities": (0, None),
    }

    probabilities: FloatArray
    classes: tuple[str, ...]

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_dims("probabilities", self.probabilities, ("item", "class"))
        rows, columns = self.probabilities.shape
        if rows != len(self.item_ids):
            raise ShapeError("item_ids", f"needs one id a row ({rows})", got=len(self.item_ids))
        if len(self.classes) != columns or columns < 2 or len(set(self.classes)) != columns:
            raise InvalidInputError(
                "classes", f"are {columns} distinct names, at least two", got=self.classes
            )
        check_simplex("probabilities", self.probabilities)
        if self.confidence is not None and self.confidence.shape != (rows,):
            raise ShapeError("confidence", f"is [{rows}]", got=self.confidence.shape)
        return self

    def label_index(self) -> np.ndarray:
        """Index of the most probable class [item]; the first one on ties."""
        index: np.ndarray = self.probabilities.argmax(-1)
        return index

    def labels(self) -> list[str]:
        """Name of the most probable class of each row."""
        return [self.classes[k] for k in self.label_index().tolist()]

    def probability(self, name: str) -> np.ndarray:
        """Probability of one class [item]; InvalidInputError if there is none of that name."""
        if name not in self.classes:
            raise InvalidInputError("name", f"is one of {list(self.classes)}", got=repr(name))
        return self.probabilities[:, self.classes.index(name)]

    def entropy(self) -> np.ndarray:
        """Shannon entropy [item] in nats; 0 is certain."""
        p = self.probabilities.astype(np.float64)
        entropy: np.ndarray = -(p * np.log(np.where(p > 0, p, 1.0))).sum(-1)
        return entropy

    def _columns(self) -> dict[str, Any]:
        columns: dict[str, Any] = {"item_id": id_column(self.item_ids), "label": self.labels()}
        for k, name in enumerate(self.classes):
            columns[f"p({name})" if name in ("item_id", "label") else name] = self.probabilities[:, k]
        return columns
