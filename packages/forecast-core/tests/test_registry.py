"""Looking models up by id: what plugins may register, and what is said of everything else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import Field

import forecast_core as fc
from forecast_core import plugins, registry
from forecast_core.errors import (
    ConfigError,
    InvalidInputError,
    MissingDependencyError,
    PluginError,
    UnknownIdError,
)
from forecast_core.series.sample import sample_panel

POINT = fc.Capabilities(prediction="point")
Register = Callable[..., ModuleType]


class BallConfig(fc.ModelConfig):
    """Options of a ball."""

    horizon: Annotated[int, fc.Search(1, 9, step=2)] = Field(default=2, ge=1, description="steps ahead")
    colour: Annotated[Literal["red", "blue"], fc.Search(choices=("red", "blue"))] = "red"
    weights: tuple[float, ...] | None = None


class Ball(fc.Predictor[fc.Panel]):
    """Rolls on."""

    config_class: ClassVar[type[fc.ModelConfig]] = BallConfig

    def _predict(self, data: fc.Panel, *, horizon: int | None) -> Any:
        raise NotImplementedError


class Other(fc.ModelConfig):
    """Options of something else."""


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Iterator[Register]:
    """Registers a plugin module of the package `toys`; returns the module."""
    home = ModuleType("toys")
    vars(home).update(Ball=Ball, BallConfig=BallConfig, Other=Other, load=lambda *, size=1: {"size": size})
    home.loss = lambda prediction, target: prediction - target  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "toys", home)
    names: list[str] = []

    def register(name: str = "toys", **hooks: list[Any]) -> ModuleType:
        target = ModuleType("toys")
        for hook, items in hooks.items():
            setattr(target, hook, fc.hookimpl(lambda items=items: items))
        plugins.register_plugin(target, name=name)
        names.append(name)
        return home

    yield register
    for name in names:
        plugins.unregister_plugin(name)


def ball(**changes: Any) -> fc.ModelSpec:
    """A model spec of the package `toys`."""
    fields: dict[str, Any] = {
        "id": "toys/ball",
        "task": "series",
        "entry_point": "toys:Ball",
        "config_entry_point": "toys:BallConfig",
        "summary": "rolls",
        "capabilities": POINT,
    }
    return fc.ModelSpec(**{**fields, **changes})


def task(**changes: Any) -> fc.TaskSpec:
    """A task spec of the package `toys`."""
    fields = {"id": "play", "data": "toys:Box", "baseline": "toys/ball", "objective": "mae"}
    return fc.TaskSpec(**{**fields, "sample_data": "toys:load", **changes})


def test_models_come_and_go_with_their_plugin(register: Register) -> None:
    register(forecast_models=[ball(), ball(id="toys/hoop", task="play")], forecast_tasks=[task()])
    assert {"toys/ball", "toys/hoop"} <= set(fc.available_models())
    assert fc.available_models(task="play") == ["compose/conformal", "compose/ensemble", "toys/hoop"]
    assert "play" in fc.available_tasks()
    plugins.unregister_plugin("toys")
    assert "toys/ball" not in fc.available_models()
    assert "play" not in fc.available_tasks()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (ball(id="series/ball"), "'series/ball' lies outside the plugin's namespace.*begin with 'toys/'"),
        (ball(entry_point="os:system"), "names code outside the package 'toys': 'os:system'"),
        (ball(config_entry_point="forecast_core.config:ModelConfig"), "outside the package 'toys'"),
        (ball(plugin_api=99), "written for plugin API 99; this core supports 1..1"),
        (task(), "a ModelSpec is wanted, got TaskSpec"),
    ],
)
def test_a_spec_that_breaks_a_rule_is_left_out(register: Register, spec: Any, message: str) -> None:
    register(forecast_models=[spec, ball(id="toys/hoop")])
    with pytest.warns(plugins.PluginWarning, match=message):
        models = fc.available_models()
    assert "toys/hoop" in models
    assert "series/naive" in models
    assert getattr(spec, "id", None) not in models


def test_an_id_given_twice_names_both_owners(register: Register) -> None:
    register("toys", forecast_tasks=[task()])
    register("games", forecast_tasks=[task(objective="crps")])
    with pytest.warns(plugins.PluginWarning, match="'play' of plugin 'games' .* taken by plugin 'toys'"):
        assert registry.task_spec("play").objective == "mae"
    register("more", forecast_models=[ball(id="more/ball"), ball(id="more/ball", summary="again")])
    with pytest.warns(plugins.PluginWarning, match="'more/ball' of plugin 'more'"):
        assert registry.model_spec("more/ball").summary == "rolls"


def test_an_unknown_id_comes_with_near_misses() -> None:
    with pytest.raises(
        UnknownIdError, match="no model 'series/seasonal_naive'; did you mean 'series/seasonal-naive'"
    ):
        fc.create_model("series/seasonal_naive")
    with pytest.raises(UnknownIdError, match="no task 'seres'; did you mean 'series'"):
        registry.task_spec("seres")
    with pytest.raises(UnknownIdError, match="no dataset"):
        fc.load_dataset("toys/none")
    with pytest.raises(UnknownIdError, match="no loss"):
        fc.get_loss("toys/none")


def test_a_model_is_created_from_keywords_or_a_config(register: Register) -> None:
    register(forecast_models=[ball()])
    assert fc.create_model("toys/ball", horizon=3).config == BallConfig(horizon=3)
    config = BallConfig(horizon=5)
    assert fc.create_model("toys/ball", config).config is config
    with pytest.raises(ConfigError, match="by keyword or as one config"):
        fc.create_model("toys/ball", config, horizon=3)
    with pytest.raises(ConfigError, match="config: is a BallConfig, got Other"):
        fc.create_model("toys/ball", Other())
    with pytest.raises(ConfigError, match="did you mean 'horizon'"):
        fc.create_model("toys/ball", horizons=3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"entry_point": "toys:BallConfig"}, "'toys:BallConfig' of 'toys/ball' is no subclass of Predictor"),
        ({"entry_point": "toys:Bell"}, "'toys:Bell' of 'toys/ball' cannot be imported: AttributeError"),
        ({"entry_point": "toys.none:Ball"}, "'toys.none:Ball' of 'toys/ball' cannot be imported"),
        ({"config_entry_point": "toys:Ball"}, "is no subclass of ModelConfig"),
        ({"config_entry_point": "toys:Other"}, "config_class is not 'toys:Other'"),
    ],
)
def test_code_that_is_not_what_the_spec_says_is_refused(
    register: Register, changes: dict[str, str], message: str
) -> None:
    register(forecast_models=[ball(**changes)])
    with pytest.raises(PluginError, match=message):
        fc.create_model("toys/ball")


def test_a_missing_library_is_named_with_the_command_that_brings_it(register: Register) -> None:
    needs = {"requires": ("no_such_library",)}
    register(
        forecast_models=[
            ball(**needs, install_hint="pip install 'toys[all]'"),
            ball(id="toys/hoop", **needs),
        ],
        forecast_datasets=[
            fc.DatasetSpec(
                id="toys/box", task="play", entry_point="toys:load", summary="s", licence="CC0", **needs
            )
        ],
    )
    with pytest.raises(
        MissingDependencyError, match=r"'toys/ball' needs no_such_library.*pip install 'toys\[all\]'"
    ):
        fc.create_model("toys/ball")
    with pytest.raises(MissingDependencyError, match="pip install no_such_library"):
        fc.create_model("toys/hoop")
    with pytest.raises(MissingDependencyError):
        fc.load_dataset("toys/box")
    assert not fc.describe_model("toys/ball").installed


def test_a_description_tells_every_option(register: Register) -> None:
    register(forecast_models=[ball()])
    told = fc.describe_model("toys/ball")
    assert told.installed
    assert told.config_schema["title"] == "BallConfig"
    horizon, colour, weights = told.fields
    assert (horizon.name, horizon.type, horizon.default) == ("horizon", "integer", 2)
    assert horizon.description == "steps ahead"
    assert horizon.search == {"low": 1, "high": 9, "step": 2}
    assert (colour.type, colour.search) == ("'red' | 'blue'", {"choices": ["red", "blue"]})
    assert (weights.type, weights.default, weights.search) == ("list[number] | null", None, None)


def test_datasets_and_losses_are_loaded_by_id(register: Register) -> None:
    register(
        forecast_datasets=[
            fc.DatasetSpec(id="toys/box", task="play", entry_point="toys:load", summary="s", licence="CC0")
        ],
        forecast_losses=[fc.LossSpec(id="toys/gap", entry_point="toys:loss", summary="s", requires=())],
    )
    assert "toys/box" in fc.available_datasets()
    assert "toys/gap" in fc.available_losses()
    assert fc.load_dataset("toys/box", size=3) == {"size": 3}
    with pytest.raises(InvalidInputError, match=r"options: are those of 'toys/box'.*'zz'"):
        fc.load_dataset("toys/box", zz=1)
    assert fc.get_loss("toys/gap")(3, 1) == 2


def test_core_registers_its_own_baselines() -> None:
    assert {"series/naive", "series/seasonal-naive"} <= set(fc.available_models(task="series"))
    assert registry.task_spec("series").baseline == "series/seasonal-naive"
    panel = registry.load_object(registry.task_spec("series").sample_data, owner="series")()
    assert panel == sample_panel()


@pytest.mark.parametrize("wanted", [None, 3, ["a"]])
def test_what_is_no_id_is_unknown(wanted: Any) -> None:
    with pytest.raises(UnknownIdError, match="no model"):
        fc.create_model(wanted)


@pytest.mark.parametrize("path", [None, 3])
def test_a_model_lies_in_a_folder(path: Any) -> None:
    for action in (fc.load_model, fc.create_model("series/naive").save):
        with pytest.raises(InvalidInputError, match="path: is that of a folder"):
            action(path)
