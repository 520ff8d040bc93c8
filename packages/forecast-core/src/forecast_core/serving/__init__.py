"""Serving saved models over REST; needs the extra `[serve]`, but for the bodies of requests.

`serve(sources)` runs a server, `create_app(pool)` gives the ASGI application alone. A domain describes the
body of its requests by a subclass of `ModelRequest` or `ForecastRequest`, which need pydantic only.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from forecast_core.errors import MissingDependencyError
from forecast_core.lazy import lazy_exports

if TYPE_CHECKING:
    from forecast_core.serving.app import create_app as create_app
    from forecast_core.serving.limits import Limits as Limits
    from forecast_core.serving.models import ModelPool as ModelPool
    from forecast_core.serving.request import (
        Body as Body,
        ForecastRequest as ForecastRequest,
        ModelRequest as ModelRequest,
        TensorSpec as TensorSpec,
    )
    from forecast_core.serving.security import ApiKeys as ApiKeys
    from forecast_core.serving.server import serve as serve
    from forecast_core.serving.sources import (
        DirectorySource as DirectorySource,
        ModelSource as ModelSource,
        RegistrySource as RegistrySource,
    )

_EXPORTS = {
    "app": ("create_app",),
    "limits": ("Limits",),
    "models": ("ModelPool",),
    "request": ("Body", "ForecastRequest", "ModelRequest", "TensorSpec"),
    "security": ("ApiKeys",),
    "server": ("serve",),
    "sources": ("DirectorySource", "ModelSource", "RegistrySource"),
}
_NEED_EXTRA = ("create_app", "serve")

_find, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)


def __getattr__(name: str) -> Any:
    if name in _NEED_EXTRA:
        for library in ("fastapi", "uvicorn", "prometheus_client"):
            if find_spec(library) is None:
                raise MissingDependencyError(
                    library, purpose="serving", install="pip install 'forecast-core[serve]'"
                )
    return _find(name)
