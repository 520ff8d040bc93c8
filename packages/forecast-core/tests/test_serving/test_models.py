"""The models of a server: several by name, replaced while they serve, and never by something broken."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import forecast_core as fc
from forecast_core.errors import ArtifactError, CapabilityError, ConfigError, UnknownIdError
from forecast_core.serving import DirectorySource, ModelPool, RegistrySource
from forecast_core.serving.models import ServedModel, UnknownModelError
from forecast_core.serving.sources import source_of


def points(path: Path, **options: Any) -> Path:
    fc.create_model("toys/touchy", **options).save(path)
    return path


def mean(client: Any, body: Any, name: str = "points") -> float:
    return float(client.post(f"/models/{name}/predict", body).json()["mean"]["target"][0][0])


def test_several_models_answer_by_name(
    touchy: Any, tmp_path: Path, opened: Callable[..., Any], body: Any, seasonal: Path
) -> None:
    client = opened(seasonal, points(tmp_path / "points"))
    named = {m["name"]: m["model"] for m in client.get("/models").json()["models"]}
    assert named == {"daily": "series/seasonal-naive", "points": "toys/touchy"}
    for name, model in named.items():
        assert client.post(f"/models/{name}/predict", body).json()["model"]["id"] == model


def test_a_new_artifact_takes_the_place_of_the_old_one(
    touchy: Any, tmp_path: Path, opened: Callable[..., Any], body: Any
) -> None:
    folder = points(tmp_path / "points")
    client = opened(folder)
    before, old = mean(client, body), client.get("/models").json()["models"][0]["version"]
    assert client.pool.refresh() == []
    points(folder, shift=100.0)
    assert mean(client, body) == before  # not before it is looked at
    assert [model.name for model in client.pool.refresh()] == ["points"]
    assert mean(client, body) == before + 100.0
    shown = client.get("/models").json()["models"][0]
    assert shown["version"] != old
    assert shown["reload_error"] is None


def test_the_server_looks_by_itself(
    touchy: Any, tmp_path: Path, opened: Callable[..., Any], body: Any
) -> None:
    folder = points(tmp_path / "points")
    client = opened(folder, reload_seconds=0.01)
    before, old = mean(client, body), client.pool.get("points").current.version
    points(folder, shift=1.0)
    for _ in range(500):
        if mean(client, body) != before:
            break
    assert mean(client, body) == before + 1.0
    metrics = client.get("/metrics").text
    version = client.pool.get("points").current.version
    assert f'forecast_model_info{{id="toys/touchy",model="points",version="{version}"}} 1.0' in metrics
    assert old not in metrics


def _flip(folder: Path) -> None:
    weights = folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes() + b" ")


def _no_digest(folder: Path) -> None:
    (folder / "manifest.sha256").write_text("0" * 64)


BREAK: dict[str, Callable[[Path], object]] = {
    "altered weights under a new manifest": _flip,
    "another digest": _no_digest,
    "no digest": lambda folder: (folder / "manifest.sha256").write_text("?"),
    "gone": lambda folder: shutil.rmtree(folder),
}


@pytest.mark.parametrize("how", BREAK)
def test_a_broken_artifact_leaves_the_old_one_serving_and_is_told_of(
    touchy: Any, tmp_path: Path, opened: Callable[..., Any], body: Any, how: str
) -> None:
    folder = points(tmp_path / "points")
    client = opened(folder)
    before, version = mean(client, body), client.pool.get("points").current.version
    points(folder, shift=7.0)
    BREAK[how](folder)
    assert client.pool.refresh() == []
    client.server.metrics.serves(client.pool.get("points"))
    assert mean(client, body) == before
    shown = client.get("/v2/models/points/ready").json()
    assert shown["ready"] is True
    assert shown["version"] == version
    assert shown["reload_error"].startswith("Artifact")
    assert 'forecast_model_reload_failing{model="points"} 1.0' in client.get("/metrics").text
    shutil.rmtree(folder, ignore_errors=True)
    points(folder, shift=7.0)
    client.pool.get("points")._next_try = 0.0  # as if the pause after a failure had passed
    assert len(client.pool.refresh()) == 1
    assert mean(client, body) == before + 7.0
    assert client.get("/v2/models/points/ready").json()["reload_error"] is None


class Champion:
    """A source such as a registry's alias: what it gives is moved by hand."""

    def __init__(self, *models: fc.Predictor[Any]) -> None:
        self.models, self.now, self.loads = models, 0, 0

    def version(self) -> str:
        return str(self.now)

    def load(self) -> tuple[str, fc.Predictor[Any]]:
        self.loads += 1
        return str(self.now), self.models[self.now]


def test_any_source_of_versions_can_be_served(touchy: Any, opened: Callable[..., Any], body: Any) -> None:
    champion = Champion(*(fc.create_model("toys/touchy", shift=float(k)) for k in range(3)))
    client = opened(sources={"best": champion})
    first = mean(client, body, "best")
    champion.now = 2
    client.pool.refresh()
    assert mean(client, body, "best") == first + 2.0
    client.pool.refresh()
    assert champion.loads == 2  # only versions that changed are loaded


class Shelf:
    """A registry of versions 1, 2, ... of one model."""

    def __init__(self, *models: fc.Predictor[Any]) -> None:
        self.models, self.champion = models, 1

    def get(self, name: str, *, alias: Any = None) -> Any:
        assert (name, alias) == ("demand", "champion")
        return SimpleNamespace(version=self.champion)

    def load(self, name: str, *, version: int | None = None, device: str | None = None) -> fc.Predictor[Any]:
        assert version is not None
        assert device is None
        self.champion = 2  # promoted while the former champion is read
        return self.models[version - 1]


def test_the_champion_of_a_registry_is_followed(touchy: Any, opened: Callable[..., Any], body: Any) -> None:
    shelf = Shelf(*(fc.create_model("toys/touchy", shift=float(k)) for k in range(2)))
    client = opened(sources={"demand": RegistrySource(shelf, "demand")})
    assert client.pool.get("demand").current.version == "1"
    first = mean(client, body, "demand")
    client.pool.refresh()
    assert mean(client, body, "demand") == first + 1.0
    assert client.pool.get("demand").current.version == "2"


@pytest.mark.slow
def test_a_promotion_in_the_registry_is_served(
    tmp_path: Path, opened: Callable[..., Any], body: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    from forecast_core.tracking import ModelRegistry

    monkeypatch.chdir(tmp_path)
    registry = ModelRegistry("sqlite:///mlflow.db")
    del body["horizon"]
    for horizon in (4, 8):
        model = fc.create_model("series/seasonal-naive", seasonality=24, horizon=horizon)
        model.save(tmp_path / f"model{horizon}")
        registry.register(tmp_path / f"model{horizon}", "demand")
    registry.promote("demand", 1)
    client = opened(sources={"demand": RegistrySource(registry, "demand")})

    def steps() -> int:
        return len(client.post("/models/demand/predict", body).json()["steps"])

    assert steps() == 4
    registry.promote("demand", 2)
    client.pool.refresh()
    assert steps() == 8


def test_failures_are_tried_again_ever_more_rarely(touchy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("forecast_core.serving.models.time.monotonic", lambda: now)
    champion = Champion(fc.create_model("toys/touchy"))
    model = ServedModel("best", champion)
    champion.now = 5  # there is no such version
    tries = []
    for _ in range(200):
        loads = champion.loads
        assert not model.refresh()
        if champion.loads > loads:
            tries.append(now)
        now += 1.0
    assert [later - earlier for earlier, later in pairwise(tries)] == [
        1,
        2,
        4,
        8,
        16,
        32,
        60,
        60,
    ]
    assert model.failure is not None
    champion.now = 0
    now += 60.0
    assert not model.refresh()  # the version that serves is the one wanted again
    assert model.failure is None


def test_requests_keep_their_form_while_a_model_is_replaced(
    touchy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion = Champion(fc.create_model("toys/touchy"), fc.create_model("toys/touchy"))
    model = ServedModel("best", champion)
    other = fc.TaskSpec(**{**model.task.model_dump(), "id": "other"})
    monkeypatch.setattr(type(champion.models[1]), "task", other)
    champion.now = 1
    assert not model.refresh()
    assert model.failure is not None
    assert "task" in model.failure


def test_what_cannot_be_served_is_refused_at_the_start(
    touchy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="at least one"):
        ModelPool({})
    with pytest.raises(ArtifactError, match="not a forecast artifact"):
        ModelPool({"none": DirectorySource(tmp_path)})
    with pytest.raises(ConfigError, match="letters, digits"):
        ModelPool({"a b": DirectorySource(points(tmp_path / "points"))})
    model = fc.create_model("toys/touchy")
    monkeypatch.setattr(type(model), "task", model.task.model_copy(update={"request": None}))
    with pytest.raises(CapabilityError, match="describes no request"):
        ServedModel("best", Champion(model))


def test_names_come_from_folders_or_are_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points_folder = tmp_path / "points"
    points_folder.mkdir()
    (tmp_path / "a=b").mkdir()
    assert source_of(str(points_folder))[0] == "points"
    assert source_of(f"best={points_folder}")[0] == "best"
    shelf = Shelf()
    for text, name in (("demand@champion", "demand"), ("best=demand@champion", "best")):
        found, source = source_of(text, lambda: shelf)
        assert found == name
        assert source.version() == "1"
    (tmp_path / "demand@champion").mkdir()
    with pytest.raises(ConfigError, match="letters"):  # a folder of that name comes first
        source_of(str(tmp_path / "demand@champion"), lambda: shelf)
    monkeypatch.chdir(points_folder)
    assert source_of(".")[0] == "points"
    with pytest.raises(ConfigError, match="NAME=FOLDER"):
        source_of(str(tmp_path / "a=b"))


def test_an_artifact_replaced_while_it_is_read_is_read_again(
    touchy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = points(tmp_path / "points")
    source = DirectorySource(folder)
    real, shifts = fc.load_model, iter([1.0, 2.0])

    def load(path: Any, *, device: str | None) -> Any:
        model = real(path, device=device)
        shift = next(shifts, None)
        if shift is not None:
            points(folder, shift=shift)
        return model

    monkeypatch.setattr("forecast_core.registry.load_model", load)
    version, model = source.load()
    assert model.config.shift == 2.0
    assert version == source.version()


def test_unknown_names_have_near_misses(touchy: Any, tmp_path: Path) -> None:
    pool = ModelPool({"points": DirectorySource(points(tmp_path / "points"))})
    with pytest.raises(UnknownModelError, match="did you mean 'points'"):
        pool.get("point")
    assert not issubclass(UnknownModelError, UnknownIdError)
