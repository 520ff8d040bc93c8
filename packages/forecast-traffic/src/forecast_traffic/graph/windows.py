"""Windows of a graph panel: an (origin, node) each, as index arrays into one tensor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast_core.arrays import positions
from forecast_core.data import PanelWindows

if TYPE_CHECKING:
    from forecast_traffic.graph.panel import GraphPanel

__all__ = ["GraphWindows"]


@dataclass(frozen=True, eq=False)
class GraphWindows:
    """n windows: `rows` [n] are positions of origins (last known rows), `items` [n] of nodes.

    context_length None means all history up to the origin. A model of the whole network reads all nodes at an
    origin, whichever of its windows are asked for.
    """

    panel: GraphPanel
    context_length: int | None
    horizon: int
    rows: np.ndarray
    items: np.ndarray

    @classmethod
    def rolling(
        cls,
        panel: GraphPanel,
        *,
        context_length: int | None,
        horizon: int | None,
        origins: np.ndarray | None,
        stride: int,
    ) -> GraphWindows:
        """See `GraphPanel.windows`."""
        found = PanelWindows.rolling(
            panel.series, context_length=context_length, horizon=horizon, origins=origins, stride=stride
        )
        return cls(panel, found.context_length, found.horizon, found.rows, found.items)

    @cached_property
    def series(self) -> PanelWindows:
        """The same windows over single series, without graph, weather and events."""
        return PanelWindows(self.panel.series, self.context_length, self.horizon, self.rows, self.items)

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: np.ndarray) -> GraphWindows:
        """The windows at some positions (whole numbers or a boolean mask), in the order given."""
        index = positions("index", index, length=len(self))
        return replace(self, rows=self.rows[index], items=self.items[index])

    def targets(self) -> tuple[np.ndarray, np.ndarray]:
        """Values [n, horizon, channel] with NaN where missing, and the mask of what was observed."""
        return self.series.targets()

    def contexts(self, length: int | None = None) -> np.ndarray:
        """History [n, length, channel] up to the origin, NaN where missing or before the panel begins."""
        return self.series.contexts(length)

    def timestamps(self) -> np.ndarray:
        """Times of the targets [n, horizon]."""
        return self.series.timestamps()

    @property
    def item_ids(self) -> tuple[int | str, ...]:
        """Id of each window's node."""
        return self.series.item_ids

    @property
    def origins(self) -> np.ndarray:
        """Timestamp of each window's last known row."""
        stamps: np.ndarray = self.panel.timestamps[self.rows]
        return stamps

    @property
    def label_ends(self) -> np.ndarray:
        """Timestamp of each window's last target row."""
        stamps: np.ndarray = self.panel.timestamps[self.rows + self.horizon]
        return stamps

    @property
    def groups(self) -> np.ndarray:
        """Position of each window's node."""
        return self.items

    @property
    def strata(self) -> None:
        """Forecast windows have no classes."""
        return None

    # what the optional protocols ask

    def traits(self) -> frozenset[str]:
        """Those of the panel."""
        return self.panel.traits()

    def without(self, traits: frozenset[str]) -> GraphWindows:
        """The same windows over a panel without weather and events."""
        return replace(self, panel=self.panel.without(traits))

    def histories(self) -> Iterator[tuple[np.ndarray, GraphPanel, np.ndarray]]:
        """For each origin: positions of its windows, the panel as it was known then (with weather and events
        of the horizon), and the nodes of those windows.
        """
        order = np.argsort(self.rows, kind="stable")
        rows, first = np.unique(self.rows[order], return_index=True)
        for row, at in zip(rows.tolist(), np.split(order, first[1:]), strict=True):
            yield at, self.known_at(row), self.items[at]

    def known_at(self, row: int) -> GraphPanel:
        """The panel as it was known after a row: values up to it, weather and events of the horizon too."""
        panel = self.panel
        if not panel.looks_ahead:
            return panel.rows(0, row + 1)
        ahead = panel.rows(0, row + 1 + self.horizon)
        values = ahead.values.copy()
        values[row + 1 :] = np.nan
        return replace(ahead, values=values, mask=~np.isnan(values), known=row + 1)

    def naive_scale(
        self, seasonality: int | None, *, before: Any = None, squared: bool = False
    ) -> np.ndarray:
        """Mean absolute (or squared) difference at lag `seasonality` of each window's node, [n, channel]; see
        `PanelWindows.naive_scale`.
        """
        return self.series.naive_scale(seasonality, before=before, squared=squared)
