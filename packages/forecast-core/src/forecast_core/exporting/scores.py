"""Scores of a model for its card: a backtest, or the file of one."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from forecast_core.errors import InvalidInputError
from forecast_core.evaluation.scores import Scores

if TYPE_CHECKING:
    from forecast_core.evaluation import Backtest

__all__ = ["ScoreTable", "score_table"]


class ScoreTable(BaseModel):
    """What a backtest found: on how many windows of which steps from when on, and every model's metrics."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    start: str
    horizon: int | None
    stride: int
    windows: int
    metrics: tuple[str, ...]
    scores: tuple[Scores, ...]


def score_table(scores: Backtest | str | PathLike[str], *, model_id: str) -> ScoreTable:
    """Of a backtest, or of the metrics.json that `forecast train` writes.

    InvalidInputError for a file that is none, and where the model is not among those scored.
    """
    if isinstance(scores, str | PathLike):
        try:
            text = Path(scores).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInputError("scores", "is a file of scores", got=f"{scores}: {error}") from error
    else:
        text = scores.to_json()
    try:
        table = ScoreTable.model_validate_json(text)
    except ValidationError as error:
        rule = "is a backtest, or the metrics.json of a run"
        raise InvalidInputError("scores", rule, got=error.errors()[0]["msg"]) from error
    if model_id not in {each.model for each in table.scores}:
        found = ", ".join(each.model for each in table.scores)
        raise InvalidInputError("scores", f"holds those of {model_id}", got=found)
    return table
