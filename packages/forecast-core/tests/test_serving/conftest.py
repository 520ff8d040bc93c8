"""Clients of a server in this process, and models to serve."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import httpx
import numpy as np
import pytest
from pydantic import Field

import forecast_core as fc
from forecast_core import plugins
from forecast_core.series.sample import sample_panel
from forecast_core.serving import DirectorySource, Limits, ModelPool, create_app
from forecast_core.serving.answers import iso


class Client:
    """Asks an application without a network; what the application lets through is raised here."""

    def __init__(self, sources: Mapping[str, Any], **options: Any) -> None:
        options.setdefault("reload_seconds", 0.0)
        self.pool = ModelPool(sources)
        self.app = create_app(self.pool, **options)
        self.server = self.app.state.server
        self._runner = asyncio.Runner()
        self._life = self.app.router.lifespan_context(self.app)
        self._runner.run(self._life.__aenter__())
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app), base_url="http://127.0.0.1", timeout=60.0
        )

    def close(self) -> None:
        self._runner.run(self._client.aclose())
        self._runner.run(self._life.__aexit__(None, None, None))
        self._runner.close()

    def ask(self, method: str, path: str, **content: Any) -> httpx.Response:
        return self._runner.run(self._client.request(method, path, **content))

    def get(self, path: str, **content: Any) -> httpx.Response:
        return self.ask("GET", path, **content)

    def post(self, path: str, body: Any = None, **content: Any) -> httpx.Response:
        return self.ask("POST", path, **({"json": body} if body is not None else {}), **content)

    def raw(self, path: str, text: str | bytes) -> httpx.Response:
        return self.post(path, content=text, headers={"content-type": "application/json"})

    def together(self, path: str, bodies: Sequence[Any]) -> list[httpx.Response]:
        async def all_at_once() -> list[httpx.Response]:
            return await asyncio.gather(*(self._client.post(path, json=body) for body in bodies))

        return self._runner.run(all_at_once())


def body_of(panel: fc.Panel, **more: Any) -> dict[str, Any]:
    """The body of a request to predict what follows a panel."""
    values = panel.values[: panel.known_rows]
    columns = {
        name: [[None if np.isnan(x) else x for x in row] for row in values[..., k].T.tolist()]
        for k, name in enumerate(panel.target_names)
    }
    stamps = iso(panel.timestamps[: panel.known_rows])
    return {
        "context": columns,
        "timestamps": stamps,
        "item_ids": list(panel.item_ids),
        "freq": str(panel.freq),
        **more,
    }


class TouchyConfig(fc.ModelConfig):
    """Options of `Touchy`."""

    horizon: int | None = Field(default=3, description="steps ahead")
    shift: float = Field(default=0.0, description="added to every prediction")
    seconds: float = Field(default=0.0, description="how long a prediction takes")
    social: bool = Field(default=False, description="whether items look at each other")
    wrong: bool = Field(default=False, description="whether it fails")


class Touchy(fc.Predictor[fc.Panel]):
    """Last values, plus whatever its options say; remembers the threads and sizes of its calls."""

    config_class: ClassVar[type[fc.ModelConfig]] = TouchyConfig
    calls: ClassVar[list[tuple[str, int]]] = []

    def _predict(self, data: fc.Panel, *, horizon: int | None) -> Any:
        assert horizon is not None
        type(self).calls.append((threading.current_thread().name, len(data.item_ids)))
        if self.config.wrong:
            raise RuntimeError("secret inner workings")
        time.sleep(self.config.seconds)
        last = data.values[data.known_rows - 1]  # [item, target]
        if self.config.social:
            last = last - last.mean(0)
        values = np.repeat(last[:, None], horizon, axis=1) + self.config.shift
        ahead = data.future_values(horizon)
        if ahead is not None:
            values = values + ahead.sum(-1).T[..., None]
        if data.past_covariates is not None:
            values = values + np.nan_to_num(data.past_covariates[data.known_rows - 1]).sum(-1)[:, None, None]
        if data.static_covariates is not None:
            values = values + data.static_covariates.sum(-1)[:, None, None]
        return fc.PointPrediction(
            values=values,
            item_ids=data.item_ids,
            timestamps=data.future_timestamps(horizon),
            target_names=data.target_names,
        )


TOUCHY = fc.ModelSpec(
    id="toys/touchy",
    task="series",
    entry_point="toys:Touchy",
    config_entry_point="toys:TouchyConfig",
    summary="the last values",
    capabilities=fc.Capabilities(
        prediction="point",
        past_covariates=True,
        future_covariates=True,
        static_covariates=True,
        needs_fit=False,
    ),
)


@pytest.fixture
def touchy(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Touchy]]:
    """The model `toys/touchy`, registered."""
    home, plugin = ModuleType("toys"), ModuleType("toys")
    vars(home).update(Touchy=Touchy, TouchyConfig=TouchyConfig)
    plugin.forecast_models = fc.hookimpl(lambda: [TOUCHY])  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "toys", home)
    plugins.register_plugin(plugin, name="toys")
    Touchy.calls = []
    yield Touchy
    plugins.unregister_plugin("toys")


@pytest.fixture
def seasonal(tmp_path: Path) -> Path:
    """A saved `series/seasonal-naive` of six steps, called "daily"."""
    path = tmp_path / "daily"
    fc.create_model("series/seasonal-naive", seasonality=24, horizon=6).save(path)
    return path


@pytest.fixture
def opened() -> Iterator[Callable[..., Client]]:
    """Makes clients of servers of some folders; closes them in the end."""
    clients: list[Client] = []

    def make(*folders: Path, **options: Any) -> Client:
        limits = {k: options.pop(k) for k in list(options) if k in Limits.model_fields}
        sources = {folder.name: DirectorySource(folder) for folder in folders}
        clients.append(Client(options.pop("sources", sources), limits=Limits(**limits), **options))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(opened: Callable[..., Client], seasonal: Path) -> Client:
    """A server of the model "daily"."""
    return opened(seasonal)


@pytest.fixture
def panel() -> fc.Panel:
    """Three days of two hourly series."""
    return sample_panel(rows=72, items=2)


@pytest.fixture
def body(panel: fc.Panel) -> dict[str, Any]:
    """A request about `panel`."""
    return body_of(panel, horizon=12)


@pytest.fixture
def as_body() -> Callable[..., dict[str, Any]]:
    """Makes the body of a request of a panel."""
    return body_of
