"""Torch blocks that several domains use: attention with rotary positions, and gated residual networks.

Nothing here imports torch before it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecast_core.lazy import lazy_exports

if TYPE_CHECKING:
    from forecast_core.nn.attention import RotaryAttention as RotaryAttention
    from forecast_core.nn.gating import (
        GatedLinearUnit as GatedLinearUnit,
        GatedResidualNetwork as GatedResidualNetwork,
    )
    from forecast_core.nn.rotary import rotary_angles as rotary_angles, rotate as rotate

_EXPORTS = {
    "attention": ("RotaryAttention",),
    "gating": ("GatedLinearUnit", "GatedResidualNetwork"),
    "rotary": ("rotary_angles", "rotate"),
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
