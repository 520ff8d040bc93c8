"""`BackboneSpec`: what a plugin says of a backbone it registers."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from forecast_core.errors import PluginError
from forecast_core.specs import PLUGIN_API_VERSION, CodePath, TaskName
from forecast_core.validation import typed_error

__all__ = ["BackboneSpec"]


class BackboneSpec(BaseModel):
    """A frozen network that turns views into features.

    name: lower case, words joined by "-", free of other plugins' names; entry_point: a function
    (checkpoint, *, device, merge) -> Backbone, "package.module:attribute". needs_checkpoint: whether it wants
    a folder or hub id of weights; merges_tokens: whether it can merge alike tokens. requires: libraries that
    must be importable; install_hint: the command that brings them. Raises PluginError for a broken rule.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: TaskName
    entry_point: CodePath
    summary: str = Field(min_length=1)
    needs_checkpoint: bool = False
    merges_tokens: bool = False
    requires: tuple[str, ...] = ("torch",)
    install_hint: str = ""
    plugin_api: int = PLUGIN_API_VERSION

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            owner = f"BackboneSpec {fields.get('name', '')!r}"
            raise PluginError(str(typed_error(owner, error, known=type(self).model_fields))) from error
