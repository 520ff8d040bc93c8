"""The hook that this package adds for other plugins."""

from __future__ import annotations

from collections.abc import Iterable

from forecast_core.hookspecs import hookspec
from forecast_vision.specs import BackboneSpec

__all__ = ["VisionHooks"]


class VisionHooks:
    """Hooks of forecast-vision."""

    @hookspec
    def forecast_backbones(self) -> Iterable[BackboneSpec]:
        """Frozen networks that turn views into features, by spec; nothing heavy may be imported here."""
        return ()
