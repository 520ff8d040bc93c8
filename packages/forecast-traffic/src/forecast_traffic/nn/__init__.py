"""Networks over a road graph (torch). Nothing here imports torch before it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecast_core.lazy import lazy_exports

if TYPE_CHECKING:
    from forecast_traffic.nn.edge_plan import EdgePlan as EdgePlan
    from forecast_traffic.nn.mixture_head import MixtureHead as MixtureHead
    from forecast_traffic.nn.shared_attention import SharedGATv2 as SharedGATv2

_EXPORTS = {
    "edge_plan": ("EdgePlan",),
    "mixture_head": ("MixtureHead",),
    "shared_attention": ("SharedGATv2",),
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
