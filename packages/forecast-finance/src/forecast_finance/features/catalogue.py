"""Names, groups and meanings of the features, in their order, and the options of their rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from forecast_core.config import ModelConfig

__all__ = ["FEATURES", "VERSION", "Feature", "FeatureConfig", "Group", "names"]

Group = Literal["technical", "timeframe", "smart-money"]

VERSION = 2
"""Raised when the meaning of a feature changes; data sets and models of another version are refused."""


@dataclass(frozen=True)
class Feature:
    """One column: its name, group, and what it is."""

    name: str
    group: Group
    meaning: str


class FeatureConfig(ModelConfig):
    """Options of the smart-money rules."""

    swing_length: int = Field(
        default=5, ge=1, description="bars on either side of a swing; it is known that many bars later"
    )
    displacement: float = Field(
        default=0.02, ge=0, description="share by which a close passes a candle to make it an order block"
    )
    expiry: int = Field(
        default=250, ge=1, description="bars after which an order block or gap counts no more"
    )


def _group(group: Group, *features: tuple[str, str]) -> tuple[Feature, ...]:
    return tuple(Feature(name, group, meaning) for name, meaning in features)


FEATURES: tuple[Feature, ...] = (
    *_group(
        "technical",
        ("rsi_14", "relative strength index over 14 bars (Wilder), 0 to 100"),
        ("macd", "EMA12 less EMA26 of the close, over the close"),
        ("macd_signal", "EMA9 of that difference, over the close"),
        ("macd_histogram", "difference less signal, over the close"),
        ("bollinger", "place between the bands of 20 bars, 2 sd (ddof 0): 0 at the lower, 1 at the upper"),
        ("atr_14", "average true range over 14 bars (Wilder), over the close"),
        ("adx_14", "average directional index over 14 bars (Wilder), 0 to 100"),
        ("obv_trend", "change of on-balance volume over 10 bars, over the mean volume of 20"),
        ("vwap_distance", "close over the volume-weighted typical price of 20 bars, less 1"),
        ("ema_9", "close over its EMA9, less 1"),
        ("ema_21", "close over its EMA21, less 1"),
        ("relative_volume", "volume over its mean of 20 bars, the present one included"),
    ),
    *_group(
        "timeframe",
        *(
            (f"trend_{name}", f"{of} bars, closed ones: 1 if close > EMA9 > EMA21, -1 if reversed, else 0")
            for name, of in (
                ("month", "monthly"),
                ("week", "weekly"),
                ("day", "daily"),
                ("4h", "4-hour"),
                ("1h", "1-hour"),
            )
        ),
    ),
    *_group(
        "smart-money",
        ("bullish_blocks", "live bullish order blocks"),
        ("bearish_blocks", "live bearish order blocks"),
        ("bullish_gaps", "open bullish fair value gaps"),
        ("bearish_gaps", "open bearish fair value gaps"),
        ("block_distance", "to the nearest live order block in ATRs; above is positive, inside 0"),
        ("gap_distance", "to the nearest open fair value gap in ATRs; above is positive, inside 0"),
        ("swing_high_distance", "from the close up to the last confirmed swing high in ATRs"),
        ("swing_low_distance", "from the last confirmed swing low up to the close in ATRs"),
        ("bullish_break", "1 on the bar whose close breaks a swing high with the trend"),
        ("bearish_break", "1 on the bar whose close breaks a swing low with the trend"),
        ("bullish_change", "1 on the bar whose close breaks a swing high against the trend"),
        ("bearish_change", "1 on the bar whose close breaks a swing low against the trend"),
    ),
)


def names() -> tuple[str, ...]:
    """The 29 features' names, in the order of their columns."""
    return tuple(feature.name for feature in FEATURES)
