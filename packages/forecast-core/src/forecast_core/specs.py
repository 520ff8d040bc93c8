"""Specs: what a plugin says about its tasks, models, datasets and losses, in text alone.

Code is named as "module:attribute" and imported only when it is used, so registering costs nothing.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from forecast_core.errors import PluginError
from forecast_core.validation import typed_error

__all__ = [
    "ANY_TASK",
    "PLUGIN_API_VERSION",
    "SUPPORTED_PLUGIN_APIS",
    "Capabilities",
    "DatasetSpec",
    "LossSpec",
    "ModelSpec",
    "TaskSpec",
    "namespace_of",
]

PLUGIN_API_VERSION = 1
SUPPORTED_PLUGIN_APIS = range(1, PLUGIN_API_VERSION + 1)

ANY_TASK = "any"
"""Task of models made of other models: each instance is of its members' task."""

_NAME = r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*"
_ID = re.compile(rf"{_NAME}/{_NAME}")
_TASK = re.compile(_NAME)
_CODE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")


def _matches(pattern: re.Pattern[str], rule: str) -> AfterValidator:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(f"must be {rule}, got {text!r}")
        return text

    return AfterValidator(check)


SpecId = Annotated[str, _matches(_ID, "namespace/name in lower case, words joined by '-'")]
TaskName = Annotated[str, _matches(_TASK, "a lower-case name, words joined by '-'")]
CodePath = Annotated[str, _matches(_CODE, "'package.module:attribute'")]


def namespace_of(spec_id: str) -> str:
    """The part of an id before the slash."""
    return spec_id.partition("/")[0]


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            owner = type(self).__name__ + (f" {fields['id']!r}" if "id" in fields else "")
            raise PluginError(str(typed_error(owner, error, known=type(self).model_fields))) from error

    def code(self) -> tuple[str, ...]:
        """Every "module:attribute" the spec names."""
        return ()


class Capabilities(_Spec):
    """What a model takes and gives. Whatever is not declared is refused with a typed error.

    prediction: kind of prediction, or the kinds its configuration chooses from. past_, future_,
    static_covariates: whether such covariates may be in the data. missing_values: NaN targets. online:
    `update`. exact_update: fitting on some rows and updating with the next equals fitting on both.
    multi_item: more than one item. exchangeable_items: permuting items permutes predictions.
    needs_fit: False where `predict` works at once. joint_samples: `sample` gives whole paths.
    """

    prediction: str | tuple[str, ...]
    past_covariates: bool = False
    future_covariates: bool = False
    static_covariates: bool = False
    missing_values: bool = False
    online: bool = False
    exact_update: bool = False
    multi_item: bool = True
    exchangeable_items: bool = True
    needs_fit: bool = True
    joint_samples: bool = False

    @property
    def prediction_kinds(self) -> tuple[str, ...]:
        """The declared kinds, as a tuple."""
        return (self.prediction,) if isinstance(self.prediction, str) else self.prediction

    def refuses(self, traits: frozenset[str]) -> frozenset[str]:
        """Those traits of some data that the model did not declare."""
        return frozenset(trait for trait in traits if not getattr(self, trait, True))


class ModelSpec(_Spec):
    """A model. id: "namespace/name"; task: what data it takes (`ANY_TASK` for a model made of others, whose
    instances then say more in their own `spec`); entry_point: its Predictor class;
    config_entry_point: its ModelConfig, in a module that imports nothing heavy.

    requires: libraries that must be importable; install_hint: the command that brings them. version:
    of the fitted state, raised when old artifacts need `_migrate_state`. test_configs: small
    configurations that the conformance kit runs; none where each names something of the user's, such as
    a file of weights, and whoever checks the model gives them.
    """

    id: SpecId
    task: TaskName
    entry_point: CodePath
    config_entry_point: CodePath
    summary: str = Field(min_length=1)
    capabilities: Capabilities
    requires: tuple[str, ...] = ()
    install_hint: str = ""
    plugin_api: int = PLUGIN_API_VERSION
    version: int = Field(default=1, ge=1)
    test_configs: tuple[dict[str, Any], ...] = ({},)

    def code(self) -> tuple[str, ...]:
        """The predictor and its configuration."""
        return (self.entry_point, self.config_entry_point)


class TaskSpec(_Spec):
    """A kind of problem. data: the class of its data; baseline: id of the naive model that every
    comparison holds; objective: the metric to tune and rank by; sample_data: a function of no
    arguments (or of `seed`) that makes small data for conformance; request: pydantic body of a REST
    request with `.to_data(info)`, None where the task is not served.
    """

    id: TaskName
    data: CodePath
    baseline: SpecId
    objective: str
    sample_data: CodePath
    request: CodePath | None = None
    kind: Literal["forecast", "classification"] = "forecast"
    plugin_api: int = PLUGIN_API_VERSION

    def code(self) -> tuple[str, ...]:
        """Data class, sample maker and request body."""
        return tuple(path for path in (self.data, self.sample_data, self.request) if path is not None)


class DatasetSpec(_Spec):
    """A dataset that `load_dataset(id)` returns. entry_point: a function giving the task's data."""

    id: SpecId
    task: TaskName
    entry_point: CodePath
    summary: str = Field(min_length=1)
    licence: str = Field(min_length=1)
    requires: tuple[str, ...] = ()
    install_hint: str = ""
    plugin_api: int = PLUGIN_API_VERSION

    def code(self) -> tuple[str, ...]:
        """The loading function."""
        return (self.entry_point,)


class LossSpec(_Spec):
    """A training loss that `get_loss(id)` returns. entry_point: a function of tensors."""

    id: SpecId
    entry_point: CodePath
    summary: str = Field(min_length=1)
    requires: tuple[str, ...] = ("torch",)
    install_hint: str = ""
    plugin_api: int = PLUGIN_API_VERSION

    def code(self) -> tuple[str, ...]:
        """The loss function."""
        return (self.entry_point,)
