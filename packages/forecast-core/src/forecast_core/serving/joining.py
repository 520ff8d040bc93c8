"""Several questions to a model answered by one call of it, where that cannot change an answer."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from forecast_core.conformance.comparing import TOLERANCE, difference
from forecast_core.data import Panel
from forecast_core.errors import ForecastError
from forecast_core.prediction import Prediction
from forecast_core.predictor import Predictor

__all__ = ["Joiner", "Question"]

_log = logging.getLogger("forecast")

_FIRST, _EVERY = 3, 100


@dataclass(frozen=True, eq=False)
class Question:
    """Data to go on from, and how many steps; None for the model's own, or for classes.

    place: path of the part of the body it comes from, where there are several; fields: argument of the data
    -> path of the field of the body that holds it, where that is called otherwise.
    """

    data: Any
    horizon: int | None
    place: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)


class Joiner:
    """Predicts questions together as items of one panel, or one by one.

    Together go panels of the same rows, frequency and columns, without a missing value, that share no
    item, for models that declare `multi_item` and `exchangeable_items`. Exchangeable is not independent,
    so that is checked: the first joint answers of a model, and one in a hundred later on, are computed
    both ways. Where they differ, the separate ones are given, and nothing is joined any more.

    calls: how many the latest questions took.
    """

    def __init__(self, predictor: Predictor[Any]) -> None:
        capabilities = predictor.spec.capabilities
        self._predictor = predictor
        self._joins = capabilities.multi_item and capabilities.exchangeable_items
        self._joined = 0
        self.calls = 0

    @property
    def joins(self) -> bool:
        """Whether questions may still be joined."""
        return self._joins

    def predict(self, questions: Sequence[Question]) -> list[Prediction | Exception]:
        """An answer for each question: a prediction, or the error that it alone would have raised."""
        answers: list[Prediction | Exception] = [ForecastError()] * len(questions)
        groups = self._groups(questions)
        self.calls = len(groups)
        for group in groups:
            for k, answer in zip(group, self._together([questions[k] for k in group]), strict=True):
                answers[k] = answer
        return answers

    def _groups(self, questions: Sequence[Question]) -> list[list[int]]:
        """Positions of questions that go together."""
        groups: list[list[int]] = []
        places: dict[Hashable, list[tuple[list[int], set[Any]]]] = {}
        for k, question in enumerate(questions):
            key = _key(question) if self._joins and len(questions) > 1 else None
            if key is None:
                groups.append([k])
                continue
            items = set(question.data.item_ids)
            for group, taken in places.setdefault(key, []):
                if not taken & items:
                    group.append(k)
                    taken |= items
                    break
            else:
                groups.append([k])
                places[key].append((groups[-1], items))
        return groups

    def _together(self, questions: list[Question]) -> list[Prediction | Exception]:
        if len(questions) == 1:
            return [self._alone(questions[0])]
        self._joined += 1
        check = self._joined <= _FIRST or self._joined % _EVERY == 0
        try:
            joint = self._shares(questions)
        except Exception:  # of one among them; each gets its own
            return [self._alone(question) for question in questions]
        if not check:
            return joint
        separate = [self._alone(question) for question in questions]
        for one, other in zip(joint, separate, strict=True):
            if isinstance(one, Prediction) and isinstance(other, Prediction):
                apart = difference(one, other, tolerance=TOLERANCE)
                if apart and self._joins:
                    self._joins = False
                    _log.info("%r answers requests one by one: joined, %s", self._predictor, apart)
        return separate

    def _alone(self, question: Question) -> Prediction | Exception:
        try:
            if question.horizon is None:
                return self._predictor.predict(question.data)
            return self._predictor.predict(question.data, horizon=question.horizon)
        except Exception as error:
            return error

    def _shares(self, questions: list[Question]) -> list[Prediction | Exception]:
        counts = [len(question.data.item_ids) for question in questions]
        panel = _joined([question.data for question in questions])
        whole = self._predictor.predict(panel, horizon=questions[0].horizon)
        if whole.item_ids != panel.item_ids:
            raise ForecastError("rows of the prediction are not the items")
        ends = np.cumsum(counts)
        return [
            whole.take(np.arange(end - count, end)) for end, count in zip(ends.tolist(), counts, strict=True)
        ]


def _key(question: Question) -> Hashable | None:
    """What joined questions agree in; None for those that stay alone."""
    panel = question.data
    if not isinstance(panel, Panel) or question.horizon is None or "missing_values" in panel.traits():
        return None
    return (
        question.horizon,
        panel.timestamps[0],
        len(panel),
        panel.known_rows,
        panel.freq,
        panel.tz,
        panel.target_names,
        panel.past_covariate_names,
        panel.future_covariate_names,
        panel.static_covariate_names,
    )


def _joined(panels: list[Panel]) -> Panel:
    """One panel of all items, [time, item, ...]."""
    first = panels[0]
    changes: dict[str, Any] = {
        name: np.concatenate([getattr(panel, name) for panel in panels], axis=axis)
        for name, axis in (
            ("values", 1),
            ("past_covariates", 1),
            ("future_covariates", 1),
            ("static_covariates", 0),
        )
        if getattr(first, name) is not None
    }
    changes["item_ids"] = tuple(item for panel in panels for item in panel.item_ids)
    if first.future_covariates is not None:
        changes["known"] = first.known_rows
    return replace(first, **changes)
