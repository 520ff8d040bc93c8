"""Diebold-Mariano tests of every pair of several models."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from forecast_core.data.frames import build_frame
from forecast_core.errors import ShapeError
from forecast_core.evaluation.significance.checks import loss_table
from forecast_core.evaluation.significance.diebold_mariano import diebold_mariano
from forecast_core.evaluation.significance.holm import holm
from forecast_core.validation import fraction

__all__ = ["PairTest", "Significance", "compare_losses"]


@dataclass(frozen=True)
class PairTest:
    """One pair; a negative dm or mean difference speaks for model_a.

    mean_difference: mean loss of a less that of b. dm: the Diebold-Mariano statistic. p: two-sided; p_holm:
    adjusted for all pairs. better: the model of lower loss where p_holm is at most the size, else None.
    observations: origins at which both have a loss.
    """

    model_a: str
    model_b: str
    mean_difference: float
    dm: float
    p: float
    p_holm: float
    better: str | None
    observations: int


@dataclass(frozen=True)
class Significance:
    """What `compare_losses` found, a test a pair in the order of the models."""

    pairs: tuple[PairTest, ...]
    horizon: int
    size: float

    def to_frame(self, *, backend: str | None = None) -> Any:
        """A row a pair with the fields of `PairTest` as columns."""
        names = ("model_a", "model_b", "mean_difference", "dm", "p", "p_holm", "better", "observations")
        return build_frame(
            {name: [getattr(pair, name) for pair in self.pairs] for name in names}, backend=backend
        )

    def to_json(self) -> str:
        """Everything as JSON; an infinite statistic is null."""
        rows = [{**asdict(pair), "dm": pair.dm if math.isfinite(pair.dm) else None} for pair in self.pairs]
        return json.dumps({"horizon": self.horizon, "size": self.size, "pairs": rows}, indent=2)


def compare_losses(losses: Mapping[str, Any], *, horizon: int = 1, size: float = 0.05) -> Significance:
    """Test every pair of models with `diebold_mariano`, adjusted for their number by `holm`.

    losses: model -> [origin] in order of time, NaN where it has none; a pair is compared where both have
    one. horizon: how many successive origins have targets in common, ceil(h / s) for forecasts of h steps
    from every s-th row. size: probability of naming any model better where none is.

    Raises what `diebold_mariano` raises, naming the pair, and InvalidInputError for no model.
    """
    size = fraction("size", size)
    names, table = loss_table(losses)
    pairs = list(combinations(range(len(names)), 2))
    tests = []
    for a, b in pairs:
        try:
            tests.append(diebold_mariano(table[:, a], table[:, b], horizon=horizon))
        except ShapeError as error:
            place = f"{names[a]!r} and {names[b]!r}"
            raise ShapeError("losses", error.rule, place=place, got=error.got) from error
    adjusted = holm([test.p_value for test in tests]).tolist()
    return Significance(
        pairs=tuple(
            PairTest(
                model_a=names[a],
                model_b=names[b],
                mean_difference=test.mean_difference,
                dm=test.statistic,
                p=test.p_value,
                p_holm=p_holm,
                better=names[a if test.mean_difference < 0 else b] if p_holm <= size else None,
                observations=test.observations,
            )
            for (a, b), test, p_holm in zip(pairs, tests, adjusted, strict=True)
        ),
        horizon=horizon,
        size=size,
    )
