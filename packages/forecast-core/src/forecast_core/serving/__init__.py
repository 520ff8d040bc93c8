"""Serving saved models over REST; needs the extra `[serve]`, but for the bodies of requests.

`serve(sources)` runs a server, `create_app(pool)` gives the ASGI application alone. A domain describes the
body of its requests by a subclass of `ModelRequest` or `ForecastRequest`, which need pydantic only.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

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
    from forecast_core.serving.streams import Stream as Stream

_HOME = {
    "ApiKeys": "security",
    "Body": "request",
    "DirectorySource": "sources",
    "ForecastRequest": "request",
    "Limits": "limits",
    "ModelPool": "models",
    "ModelRequest": "request",
    "ModelSource": "sources",
    "RegistrySource": "sources",
    "Stream": "streams",
    "TensorSpec": "request",
    "create_app": "app",
    "serve": "server",
}
_NEED_EXTRA = ("create_app", "serve")

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _NEED_EXTRA:
        for library in ("fastapi", "uvicorn", "prometheus_client"):
            if find_spec(library) is None:
                from forecast_core.errors import MissingDependencyError

                raise MissingDependencyError(
                    library, purpose="serving", install="pip install 'forecast-core[serve]'"
                )
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
