"""Backbones by name: those of this package and those that plugins register."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec

from forecast_core import plugins, registry
from forecast_core.errors import (
    ConfigError,
    DuplicateIdError,
    MissingDependencyError,
    PluginError,
    UnknownIdError,
    near_misses,
)
from forecast_vision.backbones.protocol import Backbone
from forecast_vision.specs import BackboneSpec

__all__ = ["available_backbones", "backbone_spec", "load_backbone"]


def available_backbones() -> dict[str, str]:
    """Name -> one line about it."""
    return {name: spec.summary for name, spec in _specs(plugins.generation()).items()}


def backbone_spec(name: str) -> BackboneSpec:
    """The spec of a registered backbone; UnknownIdError with near misses."""
    found = _specs(plugins.generation())
    if name not in found:
        raise UnknownIdError(f"there is no backbone {name!r}; {near_misses(name, found)}")
    return found[name]


def load_backbone(
    name: str, checkpoint: str | None = None, *, device: str = "cpu", merge: float = 0.0
) -> Backbone:
    """A backbone with its weights, kept for the next call.

    checkpoint: folder or hub id of the weights, for those that need one; merge: share of tokens merged away
    over all blocks, 0 for none. Raises UnknownIdError, MissingDependencyError with what to install,
    ConfigError for a checkpoint or merge that the backbone has no use for or lacks, PluginError for a
    backbone that does not follow the protocol.
    """
    spec = backbone_spec(name)
    if spec.needs_checkpoint and not checkpoint:
        raise ConfigError("checkpoint", f"names the folder with the weights of {name}")
    if checkpoint and not spec.needs_checkpoint:
        raise ConfigError("checkpoint", f"is left out: {name} brings its weights", got=repr(checkpoint))
    if not 0.0 <= merge < 1.0:
        raise ConfigError("merge", "lies in [0, 1)", got=merge)
    if merge and not spec.merges_tokens:
        raise ConfigError("merge", f"is 0: {name} has no tokens to merge", got=merge)
    for library in spec.requires:
        if find_spec(library) is None:
            raise MissingDependencyError(library, purpose=f"backbone {name}", install=spec.install_hint)
    return _load(spec, checkpoint, device, merge)


@lru_cache(maxsize=2)
def _load(spec: BackboneSpec, checkpoint: str | None, device: str, merge: float) -> Backbone:
    build = registry.load_object(spec.entry_point, owner=spec.name)
    backbone = build(checkpoint, device=device, merge=merge)
    if not isinstance(backbone, Backbone):
        raise PluginError(f"backbone {spec.name}: {type(backbone).__name__} does not follow the protocol")
    return backbone


@lru_cache(maxsize=1)
def _specs(generation: int) -> dict[str, BackboneSpec]:
    found: dict[str, BackboneSpec] = {}
    owners: dict[str, str] = {}
    for plugin, spec in plugins.collect("forecast_backbones"):
        if not isinstance(spec, BackboneSpec):
            error = PluginError(f"a BackboneSpec is wanted, got {type(spec).__name__}")
            plugins.record_failure(plugin, "forecast_backbones", error)
            continue
        if spec.name in found:
            raise DuplicateIdError(f"backbone {spec.name!r} is of both {owners[spec.name]} and {plugin.name}")
        found[spec.name], owners[spec.name] = spec, plugin.name
    return found
