"""Running the server: one process that stops without losing a request."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

import uvicorn

from forecast_core.errors import ConfigError
from forecast_core.serving.app import Server, create_app
from forecast_core.serving.limits import Limits
from forecast_core.serving.models import ModelPool
from forecast_core.serving.security import ApiKeys, check_binding, is_loopback
from forecast_core.serving.sources import ModelSource

__all__ = ["GracefulServer", "serve"]

_log = logging.getLogger("forecast")

# How long a thread may hold the interpreter while others wait: answers wait for a model's arithmetic.
_SWITCH_SECONDS = 0.001
_LINGER_SECONDS = 0.2


def serve(
    sources: Mapping[str, ModelSource],
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    keys: ApiKeys | None = None,
    insecure: bool = False,
    limits: Limits | None = None,
    reload_seconds: float = 2.0,
    drain_seconds: float = 1.0,
    grace_seconds: int = 30,
    announce: Callable[[str], None] | None = None,
) -> None:
    """Serve models by name until SIGTERM or SIGINT.

    host: loopback, unless there are keys or it is said to be insecure. port: 0 takes a free one.
    drain_seconds: how long a stopping server still takes requests while it says it is not ready;
    grace_seconds: how long it then waits for those it took. announce: called with the address when the
    server answers. Raises ConfigError for a binding others could reach without a key or a port that is
    taken, and what loading the models raises, before anything listens.
    """
    check_binding(host, keys, insecure=insecure)
    app = create_app(
        ModelPool(sources),
        limits=limits,
        keys=keys,
        local=is_loopback(host),
        reload_seconds=reload_seconds,
    )
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        ws="none",
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=grace_seconds,
    )
    sys.setswitchinterval(_SWITCH_SECONDS)
    GracefulServer(config, server=app.state.server, drain_seconds=drain_seconds, announce=announce).run()


class GracefulServer(uvicorn.Server):
    """Told to stop, it says it is not ready and asks each client to connect anew, for a while; then it
    takes no more connections, finishes what it took, and ends. Told twice, it ends at once.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        server: Server,
        drain_seconds: float,
        announce: Callable[[str], None] | None,
    ) -> None:
        super().__init__(config)
        self._server, self._drain_seconds, self._announce = server, drain_seconds, announce
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: Any = None) -> None:
        """Listen, and announce where."""
        self._loop = asyncio.get_running_loop()
        try:
            await super().startup(sockets=sockets)
        except SystemExit:
            address = f"{self.config.host}:{self.config.port}"
            raise ConfigError("port", "is free to listen on", got=address) from None
        if self._announce is not None:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self._announce(f"http://{f'[{host}]' if ':' in host else host}:{port}")

    async def shutdown(self, sockets: Any = None) -> None:
        """Accept no more, give clients that are connected a moment to send what they began, and finish."""
        for server in self.servers:
            server.close()
        await asyncio.sleep(_LINGER_SECONDS)
        await super().shutdown(sockets=sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal begins to drain; the second ends the process, whatever its threads do."""
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_DFL)
        if self._loop is None:
            self.should_exit = True
            return
        _log.info("stopping: draining for %g s", self._drain_seconds)
        self._server.draining = True
        self._loop.call_soon_threadsafe(self._loop.call_later, self._drain_seconds, self._stop)

    def _stop(self) -> None:
        self.should_exit = True
