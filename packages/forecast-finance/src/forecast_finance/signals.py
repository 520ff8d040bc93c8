"""`Signal`: what to do about one symbol now."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Action", "Signal"]


class Action(StrEnum):
    """What to do at the next open."""

    BUY = "BUY"
    SELL = "SELL"
    HOLD = "HOLD"


@dataclass(frozen=True)
class Signal:
    """A decision at the close of `timestamp`.

    horizon: bars it is about; expected_return and interval (90 %): simple returns over them; confidence: the
    share of the predicted distribution on the expected side of 0; parts: each member's simple return;
    veto_probability: that the direction is right, and threshold: below which the action is HOLD.
    """

    symbol: str
    timestamp: str
    action: Action
    horizon: int
    expected_return: float
    interval: tuple[float, float]
    confidence: float
    parts: dict[str, float]
    veto_probability: float
    threshold: float
