"""Metadata as arrays: positions as waves, categories as numbers of a fitted vocabulary, texts as vectors."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from forecast_core.errors import InvalidInputError
from forecast_vision.metadata.record import TEXTS, Metadata

__all__ = [
    "CATEGORIES",
    "NULL",
    "UNKNOWN",
    "MetadataArrays",
    "Vocabulary",
    "encode",
    "gps_waves",
    "positions_of",
]

CATEGORIES = ("weather", "daytime", "scene_environment")
NULL, UNKNOWN = 0, 1  # codes of "not known" and "not seen in training"; known values begin at 2
_WAVES = 32
_LONGEST, _SHORTEST = 360.0, 0.01  # degrees


class MetadataArrays(NamedTuple):
    """waves [n, 128] and whether the position is known [n]; codes [n, 3] of `CATEGORIES`; texts [n, 384] and
    whether there is one [n].
    """

    waves: np.ndarray
    located: np.ndarray
    codes: np.ndarray
    texts: np.ndarray
    told: np.ndarray


@dataclass(frozen=True)
class Vocabulary:
    """Values of each category seen in training, in order of the alphabet, without regard to case."""

    values: dict[str, tuple[str, ...]]

    @classmethod
    def fit(cls, records: Sequence[Metadata], *, least: int = 1) -> Self:
        """Of the training records; a value seen less than `least` times stays unknown."""
        found = {}
        for field in CATEGORIES:
            count = Counter(value.casefold() for r in records if (value := getattr(r, field)) is not None)
            found[field] = tuple(sorted(value for value, times in count.items() if times >= least))
        return cls(found)

    def sizes(self) -> tuple[int, ...]:
        """Codes of each category, NULL and UNKNOWN among them."""
        return tuple(len(self.values[field]) + 2 for field in CATEGORIES)

    def codes(self, records: Sequence[Metadata]) -> np.ndarray:
        """int64 [n, 3]."""
        where = [{value: k + 2 for k, value in enumerate(self.values[field])} for field in CATEGORIES]
        rows = [
            [
                NULL if (value := getattr(r, field)) is None else known.get(value.casefold(), UNKNOWN)
                for field, known in zip(CATEGORIES, where, strict=True)
            ]
            for r in records
        ]
        return np.array(rows, dtype=np.int64).reshape(len(records), len(CATEGORIES))

    def to_json(self) -> str:
        """As JSON, for an artifact."""
        return json.dumps(self.values)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What `to_json` wrote; ValueError or KeyError for anything else."""
        told = json.loads(text)
        return cls({field: tuple(map(str, told[field])) for field in CATEGORIES})


def gps_waves(positions: np.ndarray) -> np.ndarray:
    """Sine and cosine of latitude and longitude at 32 wavelengths from 360 to 0.01 degrees, float32 [n, 128].

    positions: [n, 2] in degrees, NaN where not known, whose rows are 0. In order: sines of latitude, cosines
    of latitude, sines and cosines of longitude, long waves first.
    """
    lengths = np.geomspace(_LONGEST, _SHORTEST, _WAVES)
    phase = 2 * np.pi * positions[:, :, None] / lengths  # [n, 2, wave], in float64: waves are short
    waves = np.stack([np.sin(phase), np.cos(phase)], axis=2).reshape(len(positions), -1)
    known: np.ndarray = np.nan_to_num(waves, nan=0.0).astype(np.float32)
    return known


def positions_of(records: Sequence[Metadata]) -> np.ndarray:
    """Latitude and longitude float64 [n, 2], NaN where not known."""
    unknown = (np.nan, np.nan)
    rows = [unknown if r.gps is None else r.gps for r in records]
    return np.array(rows, dtype=np.float64).reshape(len(records), 2)


def encode(
    records: Sequence[Metadata], vocabulary: Vocabulary, *, text_fields: Sequence[str] = ()
) -> MetadataArrays:
    """The arrays of some records. text_fields: whose texts are joined and embedded; none by default, as a
    description often exists only where there is something to describe. Raises InvalidInputError for a field
    that is no text, MissingDependencyError where texts are wanted and cannot be embedded.
    """
    from forecast_vision.metadata.text import TEXT_DIM, embed_texts

    for field in text_fields:
        if field not in TEXTS:
            raise InvalidInputError("text_fields", f"are of {TEXTS}", got=repr(field))
    places = positions_of(records)
    joined = [". ".join(t for f in text_fields if (t := getattr(r, f)) is not None) for r in records]
    told = np.array([bool(text) for text in joined], dtype=np.bool_)
    texts = np.zeros((len(records), TEXT_DIM), dtype=np.float32)
    if told.any():
        texts[told] = embed_texts([text for text in joined if text])
    return MetadataArrays(
        waves=gps_waves(places),
        located=~np.isnan(places).any(1),
        codes=vocabulary.codes(records),
        texts=texts,
        told=told,
    )
