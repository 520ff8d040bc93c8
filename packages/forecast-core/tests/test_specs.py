"""Specs are checked when they are written: grammar, types, and code named as text."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, strategies as st

from forecast_core.errors import PluginError
from forecast_core.specs import Capabilities, DatasetSpec, LossSpec, ModelSpec, TaskSpec, namespace_of

POINT = Capabilities(prediction="point")
names = st.from_regex(r"[a-z][a-z0-9]{0,5}(-[a-z0-9]{1,4}){0,2}", fullmatch=True)


def model(**changes: Any) -> ModelSpec:
    """A valid model spec with some fields changed."""
    fields: dict[str, Any] = {
        "id": "toys/ball",
        "task": "series",
        "entry_point": "toys.models:Ball",
        "config_entry_point": "toys.configs:BallConfig",
        "summary": "a ball",
        "capabilities": POINT,
    }
    return ModelSpec(**{**fields, **changes})


@given(names, names)
def test_ids_are_a_namespace_and_a_name(namespace: str, name: str) -> None:
    spec = model(id=f"{namespace}/{name}")
    assert namespace_of(spec.id) == namespace
    assert ModelSpec.model_validate_json(spec.model_dump_json()) == spec


@given(st.text(max_size=12).filter(lambda t: not re.fullmatch(r"[a-z][a-z0-9-]*/[a-z][a-z0-9-]*", t)))
def test_any_other_text_is_no_id(text: str) -> None:
    with pytest.raises(PluginError, match="namespace/name"):
        model(id=text)


@pytest.mark.parametrize(
    "path", ["toys", "toys:", ":Ball", "toys/x:Ball", "toys.:Ball", "toys:Ball()", "toys:a b"]
)
def test_code_is_a_module_and_an_attribute(path: str) -> None:
    with pytest.raises(PluginError, match=r"ModelSpec 'toys/ball'\.entry_point: .*package\.module:attribute"):
        model(entry_point=path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"summary": ""}, "summary"),
        ({"version": 0}, "version"),
        ({"test_configs": None}, "test_configs"),
        ({"task": "Series"}, "lower-case name"),
        ({"capabilites": POINT}, "did you mean 'capabilities'"),
    ],
)
def test_a_wrong_field_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PluginError, match=message):
        model(**changes)


def test_a_spec_without_id_is_named_by_its_kind() -> None:
    with pytest.raises(
        PluginError, match=r"^Capabilities\.predictions: is not a field; did you mean 'prediction'"
    ):
        Capabilities(prediction="point", predictions="point")  # type: ignore[call-arg]


def test_specs_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        model().version = 2  # type: ignore[misc]


def test_every_piece_of_code_is_listed() -> None:
    task = TaskSpec(
        id="toys", data="toys.d:Box", baseline="toys/ball", objective="mae", sample_data="toys.d:box"
    )
    assert task.code() == ("toys.d:Box", "toys.d:box")
    assert TaskSpec(**{**task.model_dump(), "request": "toys.r:R"}).code()[-1] == "toys.r:R"
    assert model().code() == ("toys.models:Ball", "toys.configs:BallConfig")
    data = DatasetSpec(id="toys/d", task="toys", entry_point="toys.d:load", summary="s", licence="CC0-1.0")
    assert data.code() == ("toys.d:load",)
    assert LossSpec(id="toys/l", entry_point="toys.l:loss", summary="s").code() == ("toys.l:loss",)


def test_capabilities_refuse_what_they_do_not_declare() -> None:
    able = Capabilities(prediction=("point", "quantile"), past_covariates=True)
    held = frozenset({"past_covariates", "missing_values", "multi_item"})
    assert able.refuses(held) == {"missing_values"}
    assert able.prediction_kinds == ("point", "quantile")
    assert POINT.prediction_kinds == ("point",)
