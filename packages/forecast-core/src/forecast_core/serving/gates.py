"""Before a request reaches its route: turned away while its model is busy, sent elsewhere before the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING

from forecast_core.serving.problems import OverloadedError, Problem, answer_with

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from forecast_core.serving.batching import Lane
    from forecast_core.serving.limits import Limits

__all__ = ["Budget", "Closing", "Shedding"]


class Shedding:
    """ASGI middleware: a request to a model that takes none is refused before its body is read.

    Under overload refusals are most of the work, and what they cost is lost to the requests accepted.
    lanes: path -> the lane and the route it leads to.
    """

    def __init__(self, app: ASGIApp, *, lanes: Mapping[str, tuple[Lane, str]]) -> None:
        self._app, self._lanes = app, lanes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 503, or pass on."""
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in self._lanes:
            lane, route = self._lanes[scope["path"]]
            refusal = lane.refusal()
            if refusal is not None:
                scope["route"] = SimpleNamespace(path=route)  # for metrics
                await answer_with(Problem.of(refusal), scope, send)
                return
        await self._app(scope, receive, send)


class Budget:
    """ASGI middleware: bodies that are read, wait or are being answered have at most so many bytes together,
    or as many as one may have. Reading one beyond raises OverloadedError, once; what still comes is not kept.
    """

    def __init__(self, app: ASGIApp, *, limits: Limits) -> None:
        self._app, self._each = app, limits.max_body
        self._most, self._held = max(limits.max_bytes, limits.max_body), 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, counting what is received until it is answered."""
        mine, refused = 0, False

        async def counted() -> Message:
            nonlocal mine, refused
            message = await receive()
            if refused:
                return {**message, "body": b""}
            size = min(len(message.get("body", b"")), self._each - mine)  # what is beyond is not kept
            if self._held + size > self._most:
                self._held, mine, refused = self._held - mine, 0, True
                raise OverloadedError("too many bytes wait to be answered", seconds=1)
            self._held, mine = self._held + size, mine + size
            return message

        try:
            await self._app(scope, counted, send)
        finally:
            self._held -= mine


class Closing:
    """ASGI middleware: while the server drains, every response asks its client to connect anew."""

    def __init__(self, app: ASGIApp, *, draining: Callable[[], bool]) -> None:
        self._app, self._draining = app, draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on; add `Connection: close` to responses that begin while the server drains."""

        async def closing(message: Message) -> None:
            if message["type"] == "http.response.start" and self._draining():
                kept = [pair for pair in message["headers"] if pair[0].lower() != b"connection"]
                message = {**message, "headers": [*kept, (b"connection", b"close")]}
            await send(message)

        await self._app(scope, receive, closing if scope["type"] == "http" else send)
