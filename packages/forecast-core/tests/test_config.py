"""A model's configuration refuses what it does not know and says where a tuner may look."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import pytest
from hypothesis import given, strategies as st
from pydantic import Field, ValidationError

from forecast_core.config import DataConfig, ModelConfig, RunConfig, Search, search_space
from forecast_core.errors import ConfigError

numbers = st.floats(allow_nan=False, allow_infinity=False, width=32)


class ToyConfig(ModelConfig):
    """Options of a toy."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"deep": {"layers": 9, "lags": (1, 2)}}

    learning_rate: Annotated[float, Search(1e-4, 1e-2, log=True)] = Field(default=1e-3, gt=0)
    layers: Annotated[int, Search(1, 3, step=1)] = 2
    head: Annotated[Literal["point", "quantile"], Search(choices=("point", "quantile"))] = "point"
    lags: tuple[int, ...] = (24,)


def test_an_unknown_option_is_refused_with_near_misses() -> None:
    with pytest.raises(
        ConfigError, match=r"ToyConfig\.learning_rat: is not a field; did you mean 'learning_rate'"
    ):
        ToyConfig(learning_rat=0.1)  # type: ignore[call-arg]


@pytest.mark.parametrize("value", [0, -1.0, float("inf"), float("nan"), "fast", None])
def test_a_wrong_value_is_refused_by_name(value: object) -> None:
    with pytest.raises(ConfigError, match=r"ToyConfig\.learning_rate"):
        ToyConfig(learning_rate=value)  # type: ignore[arg-type]


def test_defaults_are_validated_too() -> None:
    class Wrong(ModelConfig):
        layers: int = Field(default=0, ge=1)

    with pytest.raises(ConfigError, match=r"Wrong\.layers"):
        Wrong()


def test_a_configuration_cannot_be_changed_but_replaced() -> None:
    config = ToyConfig()
    with pytest.raises(ValidationError, match="frozen"):
        config.layers = 3  # type: ignore[misc]
    assert config.replace(layers=3).layers == 3
    assert config.layers == 2
    with pytest.raises(ConfigError, match="layers"):
        config.replace(layers="many")


@given(st.floats(1e-6, 10.0), st.integers(1, 9), st.lists(st.integers(1, 500), max_size=4))
def test_a_configuration_survives_json(rate: float, layers: int, lags: list[int]) -> None:
    config = ToyConfig(learning_rate=rate, layers=layers, lags=tuple(lags))
    assert ToyConfig(**json.loads(config.model_dump_json())) == config
    assert ToyConfig(**config.model_dump()) == config


def test_the_search_space_is_read_off_the_fields() -> None:
    assert search_space(ToyConfig) == {
        "learning_rate": Search(1e-4, 1e-2, log=True),
        "layers": Search(1, 3, step=1),
        "head": Search(choices=("point", "quantile")),
    }


@given(numbers, numbers)
def test_bounds_are_accepted_in_order_only(low: float, high: float) -> None:
    if low < high:
        assert Search(low, high).low == low
    else:
        with pytest.raises(ConfigError, match="low < high"):
            Search(low, high)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"low": 1.0},
        {"low": 0.0, "high": 1.0, "log": True},
        {"low": 1.0, "high": 2.0, "log": True, "step": 0.1},
        {"low": 1.0, "high": 2.0, "step": 0.0},
        {"choices": (1, 2), "low": 1.0, "high": 2.0},
        {"choices": (1, 2), "log": True},
        {"low": "a", "high": 3.0},
        {"low": 1.0, "high": 3.0, "step": "b"},
    ],
)
def test_contradictory_search_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="Search"):
        Search(**arguments)  # type: ignore[arg-type]


def test_a_run_is_saved_whole_as_json() -> None:
    run = RunConfig(
        model="series/naive", params={"horizon": 3}, data=DataConfig(source="table.csv", freq="h")
    )
    assert RunConfig(**json.loads(run.model_dump_json())) == run
    with pytest.raises(ConfigError, match="DataConfig"):
        RunConfig(model="series/naive", data=DataConfig(source="a.csv", layout="tall"))  # type: ignore[arg-type]


def test_a_preset_gives_fields_that_others_change() -> None:
    config = ToyConfig(preset="deep", lags=(7,))  # type: ignore[call-arg]
    assert config == ToyConfig(layers=9, lags=(7,))
    assert "preset" not in config.model_dump()
    assert config.replace(layers=1).layers == 1


@pytest.mark.parametrize("name", ["depe", None, 3])
def test_an_unknown_preset_is_refused_with_near_misses(name: object) -> None:
    with pytest.raises(ConfigError, match=r"ToyConfig\.preset: is one of deep"):
        ToyConfig(preset=name)  # type: ignore[call-arg]


def test_without_presets_the_word_is_a_field_like_any_other() -> None:
    with pytest.raises(ConfigError, match="preset: is not a field"):
        DataConfig(source="x", preset="deep")  # type: ignore[call-arg]
