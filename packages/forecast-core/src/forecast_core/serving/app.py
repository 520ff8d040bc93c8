"""The ASGI application: routes, errors as answers, and what runs beside them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from forecast_core import __version__
from forecast_core.errors import ForecastError
from forecast_core.serving import kserve_forecast, protocol_v2, stream_routes, typed
from forecast_core.serving.batching import Lane
from forecast_core.serving.gates import Budget, Closing, Shedding
from forecast_core.serving.limits import Limits
from forecast_core.serving.metrics import Metrics, Observed
from forecast_core.serving.models import ModelPool
from forecast_core.serving.problems import Problem
from forecast_core.serving.security import ApiKeys, Guard
from forecast_core.serving.stream_routes import StreamStore

__all__ = ["Server", "create_app"]

_log = logging.getLogger("forecast")

_REF = "#/components/schemas/{model}"

Handler = Callable[..., Awaitable[Response]]


class Server:
    """What the routes share: models and their lanes, streams, limits, metrics.

    draining: whether the server is about to stop; it still answers, but asks every client to connect
    anew, elsewhere.
    """

    def __init__(self, pool: ModelPool, *, limits: Limits) -> None:
        self.pool, self.limits, self.metrics = pool, limits, Metrics()
        self.streams = StreamStore(limits)
        self.draining = False
        self.bodies: dict[str, type[BaseModel]] = {}
        self._lanes = {m.name: Lane(m, limits=limits, metrics=self.metrics) for m in pool}
        for model in pool:
            self.metrics.serves(model)

    def lane(self, name: str) -> Lane:
        """The queue of a model."""
        return self._lanes[name]

    def lanes_by_path(self) -> dict[str, tuple[Lane, str]]:
        """Paths that ask one model, each with its lane and its route."""
        routes = ("/models/{name}/predict", "/models/{name}/predict_batch", "/v2/models/{name}/infer")
        return {
            route.format(name=name): (lane, route) for name, lane in self._lanes.items() for route in routes
        }

    def response(self, body: bytes, *, status: int = 200) -> Response:
        """A response of JSON text."""
        return Response(body, status_code=status, media_type="application/json")

    def json(self, content: Any, *, status: int = 200) -> Response:
        """A response of some content as JSON."""
        return self.response(to_json(content), status=status)

    def get(self, app: FastAPI, path: str, handler: Handler, summary: str) -> None:
        """Add a route that shows something."""
        self._add(app, "GET", path, handler, summary)

    def delete(self, app: FastAPI, path: str, handler: Handler, summary: str) -> None:
        """Add a route that removes something."""
        self._add(app, "DELETE", path, handler, summary)

    def post(
        self,
        app: FastAPI,
        path: str,
        handler: Handler,
        summary: str,
        *,
        bodies: Mapping[str, type[BaseModel]],
    ) -> None:
        """Add a route that takes one of some bodies, which it reads itself."""
        self.bodies.update(bodies)
        schemas = [{"$ref": _REF.format(model=name)} for name in bodies]
        schema = schemas[0] if len(schemas) == 1 else {"oneOf": schemas}
        content = {"application/json": {"schema": schema}}
        self._add(app, "POST", path, handler, summary, requestBody={"required": True, "content": content})

    def _add(
        self, app: FastAPI, method: str, path: str, handler: Handler, summary: str, **extra: Any
    ) -> None:
        status = 204 if method == "DELETE" else 200
        errors: dict[int | str, dict[str, Any]] = {"4XX": {"description": "What is wrong with the request"}}
        if method == "POST":
            errors[503] = {"description": "Too many requests wait; see Retry-After"}
        name = f"{method.lower()}{path}".replace("/", "_").replace("{", "").replace("}", "")
        app.add_api_route(
            path,
            handler,
            methods=[method],
            summary=summary,
            name=name,
            operation_id=name,
            response_class=Response,
            status_code=status,
            responses=errors,
            openapi_extra=extra,
        )

    async def keep_fresh(self, seconds: float) -> None:
        """Replace models as their sources change, until cancelled."""
        while True:
            await asyncio.sleep(seconds)
            await asyncio.to_thread(self.pool.refresh)
            for model in self.pool:
                self.metrics.serves(model)

    @asynccontextmanager
    async def running(self, reload_seconds: float) -> AsyncIterator[None]:
        """Lanes that answer, and models that stay up to date."""
        tasks = [asyncio.create_task(lane.run()) for lane in self._lanes.values()]
        if reload_seconds:
            tasks.append(asyncio.create_task(self.keep_fresh(reload_seconds)))
        try:
            yield
        finally:
            for lane in self._lanes.values():
                lane.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def create_app(
    pool: ModelPool,
    *,
    limits: Limits | None = None,
    keys: ApiKeys | None = None,
    local: bool = True,
    reload_seconds: float = 2.0,
) -> FastAPI:
    """An ASGI application that serves the models of a pool; `app.state.server` is its `Server`.

    keys: accepted API keys; None asks for none. local: it listens on loopback only (see `Guard`).
    reload_seconds: how often sources are asked for a new version; 0: never.
    """
    server = Server(pool, limits=limits if limits is not None else Limits())

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with server.running(reload_seconds):
            yield

    app = FastAPI(
        title="forecast",
        version=__version__,
        summary="Predict what happens next, with honest uncertainty.",
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.server = server
    for module in (protocol_v2, kserve_forecast, typed, stream_routes):
        module.add_to(app, server)

    async def metrics() -> Response:
        return Response(server.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    server.get(app, "/metrics", metrics, "Metrics for Prometheus")
    _answer_errors(app, server)
    _describe_bodies(app, server)
    app.add_middleware(Budget, limits=server.limits)
    app.add_middleware(Shedding, lanes=server.lanes_by_path())
    app.add_middleware(Guard, keys=keys, local=local)
    app.add_middleware(Closing, draining=lambda: server.draining)
    app.add_middleware(Observed, metrics=server.metrics)
    return app


def _answer_errors(app: FastAPI, server: Server) -> None:
    def respond(request: Request, problem: Problem) -> Response:
        response = server.response(problem.body(request.url.path), status=problem.status)
        response.headers.update(problem.headers)
        return response

    async def of_ours(request: Request, error: Exception) -> Response:
        problem = Problem.of(error)
        if problem.status == 500:
            _log.error("%s %s failed", request.method, request.scope.get("path"), exc_info=error)
        return respond(request, problem)

    async def of_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        kinds = {404: "UnknownRouteError", 405: "MethodError"}
        kind = kinds.get(error.status_code, "HTTPError")
        headers = dict(error.headers or {})
        return respond(request, Problem(error.status_code, kind, str(error.detail), headers=headers))

    async def of_leaving(request: Request, error: Exception) -> Response:
        return Response(status_code=400)  # nobody reads it

    app.add_exception_handler(ForecastError, of_ours)
    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(ClientDisconnect, of_leaving)


def _describe_bodies(app: FastAPI, server: Server) -> None:
    """Put the schemas of bodies, which routes read themselves, and the names of models into the description
    of the service.
    """

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
            modes = [(body, "validation") for body in server.bodies.values()]
            _, definitions = models_json_schema(modes, ref_template=_REF)  # type: ignore[arg-type]
            schema.setdefault("components", {}).setdefault("schemas", {}).update(definitions["$defs"])
            names = sorted(model.name for model in server.pool)
            for operation in [each for path in schema["paths"].values() for each in path.values()]:
                for parameter in operation.get("parameters", ()):
                    if parameter["name"] == "name":
                        parameter["schema"]["enum"] = names
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
