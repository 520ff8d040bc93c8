"""Who may ask: API keys, the interface a server listens on, and the host it is addressed by."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Self

from forecast_core.errors import ConfigError
from forecast_core.serving.problems import Problem, UnauthorizedError, WrongHostError, answer_with

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["KEY_VARIABLE", "ApiKeys", "Guard", "check_binding", "is_loopback"]

KEY_VARIABLE = "FORECAST_API_KEY"
_SHORTEST = 16
_OPEN = ("/v2/health/live", "/v2/health/ready")


class ApiKeys:
    """The keys that are accepted; several while one takes the place of another. Only hashes are kept.

    Raises ConfigError for a key of fewer than 16 characters, or none at all.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        given = [key.strip() for key in keys]
        short = next((k for k, key in enumerate(given) if len(key) < _SHORTEST), None)
        if short is not None or not given:
            place = None if short is None else f"key {short}"
            raise ConfigError("API key", f"has at least {_SHORTEST} characters", place=place)
        self._digests = [hashlib.sha256(key.encode()).digest() for key in given]

    @classmethod
    def find(cls, file: Path | None = None, *, environment: Mapping[str, str] = os.environ) -> Self | None:
        """Keys of a file, one a line, or the one of FORECAST_API_KEY; None where there is neither.

        Keys are never options of a command: other users of a machine see those. Raises ConfigError for a
        file that cannot be read.
        """
        if file is not None:
            try:
                lines = file.read_text().splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError("API key file", f"is a readable text ({error})", got=str(file)) from error
            return cls([line for line in lines if line.strip()])
        key = environment.get(KEY_VARIABLE)
        return None if key is None else cls([key])

    def accept(self, key: bytes) -> bool:
        """Whether this is one of the keys, in a time that does not tell how near it is."""
        digest = hashlib.sha256(key).digest()
        return sum(hmac.compare_digest(digest, known) for known in self._digests) > 0

    def __repr__(self) -> str:
        return f"ApiKeys({len(self._digests)})"


def is_loopback(host: str) -> bool:
    """Whether a host is this machine's own: localhost, or an address such as 127.0.0.1 or ::1."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_binding(host: str, keys: ApiKeys | None, *, insecure: bool = False) -> None:
    """Raise ConfigError for a host that others can reach without a key, unless that is asked for."""
    if keys is None and not insecure and not is_loopback(host):
        raise ConfigError(
            "host",
            "is loopback, or an API key is set",
            got=repr(host),
            hint=f"set {KEY_VARIABLE} or give an API key file; --insecure serves everybody without one",
        )


class Guard:
    """ASGI middleware: the API key, and without one, that a loopback server is addressed as such.

    The key is the header X-API-Key or Authorization: Bearer; probes of health need none. Without keys
    and with `local`, a Host that is not loopback's is refused, so that no page of a browser reaches the
    server through a name of its own (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, *, keys: ApiKeys | None, local: bool) -> None:
        self._app, self._keys, self._local = app, keys, local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is allowed, answer 401 or 421 to the rest."""
        if scope["type"] == "http":
            error = self._refusal(scope)
            if error is not None:
                await answer_with(Problem.of(error), scope, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> UnauthorizedError | WrongHostError | None:
        headers = dict(scope["headers"])
        if self._keys is None:
            host = headers.get(b"host", b"").decode("latin-1")
            name = host if host.endswith("]") or ":" not in host else host.rpartition(":")[0]
            if self._local and not is_loopback(name):
                return WrongHostError(f"host: is a loopback name, got {host[:80]!r}")
            return None
        if scope["path"] in _OPEN:
            return None
        key = headers.get(b"x-api-key")
        if key is None:
            scheme, _, bearer = headers.get(b"authorization", b"").partition(b" ")
            key = bearer.strip() if scheme.lower() == b"bearer" else None
        if key is None:
            return UnauthorizedError("an API key is needed: header X-API-Key, or Authorization: Bearer")
        if not self._keys.accept(key):
            return UnauthorizedError("the API key is not accepted")
        return None
