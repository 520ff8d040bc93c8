"""What a server tells Prometheus, and the middleware that counts requests."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from forecast_core.serving.models import ServedModel

__all__ = ["Metrics", "Observed"]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_COUNTS = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Counters of one server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "forecast_requests",
            "Requests answered.",
            ("route", "method", "status"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "forecast_request_seconds",
            "Time from a request's headers to the end of its response.",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.in_flight = Gauge("forecast_requests_in_flight", "Requests in work.", registry=self.registry)
        self.batches = Histogram(
            "forecast_batch_size",
            "Requests answered in one go.",
            ("model",),
            buckets=_COUNTS,
            registry=self.registry,
        )
        self.refusals = Counter(
            "forecast_refused", "Requests refused for overload.", ("model",), registry=self.registry
        )
        self.versions = Gauge(
            "forecast_model_info",
            "1 for the version that serves.",
            ("model", "id", "version"),
            registry=self.registry,
        )
        self.stale = Gauge(
            "forecast_model_reload_failing",
            "1 while a newer version cannot be loaded.",
            ("model",),
            registry=self.registry,
        )
        self.streams = Gauge("forecast_streams", "Streams kept.", registry=self.registry)

    def answered(self, model: str, count: int) -> None:
        """A model answered so many requests in one go."""
        self.batches.labels(model).observe(count)

    def refused(self, model: str) -> None:
        """A request to a model was refused for overload."""
        self.refusals.labels(model).inc()

    def serves(self, model: ServedModel) -> None:
        """Which version of a model serves, and whether a newer one fails."""
        current = model.current
        for labels in [each.labels for metric in self.versions.collect() for each in metric.samples]:
            if labels["model"] == model.name:
                self.versions.remove(labels["model"], labels["id"], labels["version"])
        self.versions.labels(model.name, current.info.id, current.version).set(1)
        self.stale.labels(model.name).set(model.failure is not None)

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)


class Observed:
    """ASGI middleware: counts and times requests by route, never by path, which clients choose."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and count it when it is answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, began = 0, time.perf_counter()

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._metrics.in_flight.inc()
        try:
            await self._app(scope, receive, counted)
        finally:
            self._metrics.in_flight.dec()
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in ("GET", "POST", "DELETE") else "other"
            self._metrics.requests.labels(route, method, str(status)).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - began)
