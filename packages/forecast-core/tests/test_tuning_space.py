"""Search spaces: what they hold, where they come from, and what they refuse before any trial."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import optuna
import pytest
from hypothesis import given, settings, strategies as st
from pydantic import Field

from forecast_core.config import ModelConfig, Search
from forecast_core.errors import ConfigError
from forecast_core.tuning import Dimension, read_space
from forecast_core.tuning.sampling import suggest
from forecast_core.tuning.space import combinations


class Options(ModelConfig):
    """Fields of every kind."""

    horizon: Annotated[int, Search(1, 9)] = Field(default=3, ge=1)
    rate: Annotated[float, Search(1e-4, 1e-1, log=True)] = Field(default=1e-2, gt=0)
    layers: Annotated[int, Search(1, 3)] = Field(default=2, ge=1, le=4)
    context: Annotated[int, Search(24, 100, step=24)] = Field(default=48, ge=1)
    patience: int | None = Field(default=None, ge=1)
    head: Annotated[Literal["a", "b"], Search(choices=("a", "b"))] = "a"
    lags: tuple[int, ...] = ()
    deep: bool = False


def space(given: Any = None, **base: Any) -> dict[str, Dimension]:
    return {d.name: d for d in read_space(given, config_class=Options, base=base)}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)
dimensions = st.one_of(
    st.lists(json_values, min_size=1, max_size=5).map(
        lambda values: Dimension("x", "choice", choices=tuple(_distinct(values)))
    ),
    st.tuples(st.integers(1, 50), st.integers(1, 50), st.integers(1, 7)).map(
        lambda v: Dimension("x", "int", low=v[0], high=v[0] + v[1], step=v[2])
    ),
    st.tuples(st.integers(1, 50), st.integers(1, 50)).map(
        lambda v: Dimension("x", "int", low=v[0], high=v[0] + v[1], log=True)
    ),
    st.tuples(st.floats(1e-3, 10), st.floats(0.1, 10), st.booleans()).map(
        lambda v: Dimension("x", "float", low=v[0], high=v[0] + v[1], log=v[2])
    ),
    st.tuples(st.integers(0, 9), st.integers(1, 9)).map(
        lambda v: Dimension("x", "float", low=v[0] / 10, high=(v[0] + v[1]) / 10, step=0.1)
    ),
)


def _distinct(values: list[Any]) -> list[Any]:
    kept: list[Any] = []
    for value in values:
        if not any(value == k and type(value) is type(k) for k in kept):
            kept.append(value)
    # a text that is the JSON of another choice, or 1 beside true, is stored like it
    stored = [Dimension("x", "choice", choices=(v,)).encode(v) for v in kept]
    return [v for k, v in enumerate(kept) if stored.index(stored[k]) == k]


@given(dimensions, st.integers(0, 1000))
@settings(deadline=None, max_examples=60)
def test_what_is_suggested_lies_in_the_dimension_and_comes_back_from_storage(
    dimension: Dimension, seed: int
) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    trial = study.ask()
    value = suggest(trial, dimension)
    assert dimension.holds(value)
    assert dimension.decode(trial.params["x"]) == value
    assert dimension.decode(dimension.encode(value)) == value
    assert suggest(trial, dimension) == value


@given(dimensions.filter(lambda d: d.kind == "choice" or d.step is not None))
def test_a_grid_is_every_value_once(dimension: Dimension) -> None:
    values = dimension.grid()
    assert len(values) == dimension.size()
    assert all(dimension.holds(v) for v in values)
    if dimension.kind != "choice":
        assert len(set(values)) == len(values)
        assert values[0] == dimension.low
        assert dimension.high - values[-1] < (dimension.step or 0) + 1e-9


def test_metadata_tells_bounds_and_types() -> None:
    found = space()
    assert list(found) == ["rate", "layers", "context", "head"]  # the horizon is the question, not an option
    assert found["rate"] == Dimension("rate", "float", 1e-4, 1e-1, True)
    assert found["layers"].kind == found["context"].kind == "int"
    assert found["context"].step == 24
    assert found["head"].choices == ("a", "b")
    assert list(space(layers=1, head="b")) == ["rate", "context"]


def test_a_yaml_file_says_the_same_as_a_mapping(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text(
        "rate: {low: 1e-4, high: 1e-1, log: true}\n"
        "patience: {low: 1, high: 5}\n"
        "context: {low: 24, high: 100, step: 24}\n"
        "head: [a]\n"
        "lags: {choices: [[], [24, 48]]}\n"
    )
    same = {
        "rate": {"low": 1e-4, "high": 1e-1, "log": True},
        "patience": {"low": 1, "high": 5},
        "context": {"low": 24, "high": 100, "step": 24},
        "head": ["a"],
        "lags": [(), (24, 48)],
    }
    assert space(path) == space(str(path)) == space(same)
    assert space(path)["patience"].kind == "int"
    written = {name: d.to_dict() for name, d in space(path).items()}
    assert space(written) == space(path)


def test_combinations_are_all_of_them_in_order() -> None:
    found = combinations(list(space({"layers": [1, 2], "context": {"low": 1, "high": 3}}).values()))
    assert found == [{"layers": x, "context": y} for x in (1, 2) for y in (1, 2, 3)]


@pytest.mark.parametrize(
    ("given_space", "message"),
    [
        ({"layer": [1]}, r"space\.layer: is a field of Options; did you mean 'layers'"),
        ({"horizon": [1, 2]}, r"space\.horizon: is not searched"),
        ({"layers": {"low": 0, "high": 3}}, r"space\.layers: stays within what Options accepts.*got 0"),
        ({"layers": {"low": 1, "high": 5}}, r"space\.layers: .*less than or equal to 4.*got 5"),
        ({"layers": [1, 2, 9]}, r"space\.layers: .*got 9"),
        ({"layers": {"low": 1.5, "high": 3}}, r"space\.layers\.low: is a whole number"),
        ({"layers": {"low": 3, "high": 1}}, r"space\.layers: has low < high"),
        ({"layers": {"low": 1}}, r"space\.layers: has low < high"),
        ({"layers": {"low": 1, "hihg": 3}}, r"space\.layers\.hihg: is known; did you mean 'high'"),
        ({"layers": {"low": "one", "high": 3}}, r"space\.layers\.low: is a number"),
        ({"layers": {"low": True, "high": 3}}, r"space\.layers\.low: is a number"),
        ({"rate": {"low": 0.1, "high": float("inf")}}, r"space\.rate\.high: is finite"),
        ({"rate": {"low": 0.0, "high": 1.0, "log": True}}, r"space\.rate: on a log scale"),
        ({"rate": {"low": 0.1, "high": 1.0, "log": "yes"}}, r"space\.rate\.log: is true or false"),
        ({"rate": {"low": -1.0, "high": 1.0}}, r"space\.rate: stays within.*greater than 0"),
        ({"head": {"low": 0, "high": 1}}, r"space\.head: is a number to have bounds"),
        ({"deep": {"low": 0, "high": 1}}, r"space\.deep: is a number to have bounds"),
        ({"head": ["a", "c"]}, r"space\.head: .*got 'c'"),
        ({"head": []}, r"space\.head: has a list of at least one choice"),
        ({"head": "a"}, r"space\.head: has a list of at least one choice"),
        ({"head": {"choices": None}}, r"space\.head: has a list"),
        ({"head": ["a", "b", "a"]}, r"space\.head: has every choice once"),
        ({"lags": [{1, 2}]}, r"space\.lags: has choices that JSON can hold"),
        ({"head": {"choices": ["a"], "low": 1}}, r"space\.head: has either choices or bounds"),
        ({}, r"space: names at least one field"),
    ],
)
def test_a_space_that_validation_refuses_is_refused_naming_the_field(given_space: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        space(given_space)


def test_what_is_fixed_is_not_searched_and_must_be_right() -> None:
    with pytest.raises(ConfigError, match=r"space\.layers: is either searched or fixed"):
        space({"layers": [1, 2]}, layers=1)
    with pytest.raises(ConfigError, match=r"Options\.layers"):
        space(None, layers=7)
    with pytest.raises(ConfigError, match="space: names at least one field"):
        space(None, rate=0.1, layers=1, context=24, head="a")


@pytest.mark.parametrize("text", ["a: [", "[1, 2]", "1: [2]", "just text", ""])
def test_a_file_that_is_no_space_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="space: is a"):
        space(path)
    with pytest.raises(ConfigError, match=r"space: is a readable YAML file .*No such file"):
        space(tmp_path / "none.yaml")


def test_an_endless_grid_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"space\.rate: has choices or a step"):
        combinations(list(space({"rate": {"low": 0.1, "high": 1.0}}).values()))
    wide = Dimension("rate", "float", -1e308, 1e308, step=1e-300)
    with pytest.raises(ConfigError, match=r"space\.rate: has bounds with fewer steps"):
        wide.size()
