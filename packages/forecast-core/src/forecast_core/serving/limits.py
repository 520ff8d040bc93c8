"""How much a request may ask for, and the reading of its body within that."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pydantic import Field

from forecast_core.config import ModelConfig
from forecast_core.serving.problems import BodyTooLargeError, MediaTypeError, OverloadedError, SlowBodyError

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = ["Limits", "read_body"]

_DISCARD_SECONDS = 10.0


class Limits(ModelConfig):
    """Bounds of a server; raises ConfigError naming the one that makes no sense."""

    max_body: int = Field(default=8 * 2**20, ge=1, description="bytes of a request's body")
    max_bytes: int = Field(default=64 * 2**20, ge=1, description="bytes of all bodies not answered yet")
    body_seconds: float = Field(default=30.0, gt=0, description="time a body may take to arrive")
    max_requests: int = Field(default=256, ge=1, description="requests in one predict_batch or forecast")
    max_values: int = Field(default=1_000_000, ge=1, description="numbers in an answer")
    max_joined: int = Field(default=32, ge=1, description="requests that are predicted in one go")
    max_waiting: int = Field(default=256, ge=1, description="requests that wait for one model")
    max_wait: float = Field(default=0.2, gt=0, description="seconds a request may be expected to wait")
    max_streams: int = Field(default=10_000, ge=0, description="streams at a time")
    max_stream_rows: int = Field(default=100_000, ge=1, description="rows a stream keeps")
    max_stream_values: int = Field(
        default=50_000_000, ge=1, description="numbers all streams keep, eight bytes of names as one"
    )


async def read_body(request: Request, limits: Limits) -> bytes:
    """The body of a JSON request.

    Raises MediaTypeError unless it is declared as plain JSON, BodyTooLargeError as soon as it is known to
    be too large, whether or not its length was declared, SlowBodyError where it does not arrive in time,
    OverloadedError where bodies of others leave no room.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise MediaTypeError(f"content-type: is application/json, got {media_type[:80]!r}")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise MediaTypeError("content-encoding: compressed bodies are not read")
    too_large = BodyTooLargeError(f"body: has at most {limits.max_body} bytes")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared[:20]) > limits.max_body:
        if request.headers.get("expect", "").lower() != "100-continue":
            await _discard(request)
        raise too_large
    chunks, size = [], 0
    try:
        async with asyncio.timeout(limits.body_seconds):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limits.max_body:
                    break
                chunks.append(chunk)
    except OverloadedError:
        await _discard(request)
        raise
    except TimeoutError:
        raise SlowBodyError(f"body: arrives within {limits.body_seconds:g} s") from None
    if size > limits.max_body:
        await _discard(request)
        raise too_large
    return b"".join(chunks)


async def _discard(request: Request) -> None:
    """Let a sender finish for a while, without keeping anything: who cannot send cannot read the answer."""
    try:
        async with asyncio.timeout(_DISCARD_SECONDS):
            while True:
                message = await request.receive()
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
    except TimeoutError:
        return
