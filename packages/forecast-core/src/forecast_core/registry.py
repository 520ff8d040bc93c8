"""Looking up and building what plugins registered, by id."""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue

from forecast_core import plugins
from forecast_core.config import ModelConfig, search_space
from forecast_core.errors import (
    ConfigError,
    DuplicateIdError,
    ForecastError,
    InvalidInputError,
    MissingDependencyError,
    PluginError,
    UnknownIdError,
    near_misses,
)
from forecast_core.specs import (
    ANY_TASK,
    SUPPORTED_PLUGIN_APIS,
    DatasetSpec,
    LossSpec,
    ModelSpec,
    TaskSpec,
    namespace_of,
)

if TYPE_CHECKING:
    from forecast_core.predictor import Predictor

__all__ = [
    "ConfigField",
    "ModelDescription",
    "available_datasets",
    "available_losses",
    "available_models",
    "available_tasks",
    "config_class",
    "create_model",
    "dataset_spec",
    "describe_model",
    "get_loss",
    "load_dataset",
    "load_model",
    "load_object",
    "model_spec",
    "predictor_class",
    "task_spec",
]

S = TypeVar("S", ModelSpec, TaskSpec, DatasetSpec, LossSpec)


@dataclass
class _Catalogue:
    """All specs of this process, rebuilt when a plugin comes or goes."""

    generation: int = -1
    models: dict[str, ModelSpec] = field(default_factory=dict)
    tasks: dict[str, TaskSpec] = field(default_factory=dict)
    datasets: dict[str, DatasetSpec] = field(default_factory=dict)
    losses: dict[str, LossSpec] = field(default_factory=dict)


_catalogue = _Catalogue()


def _current() -> _Catalogue:
    global _catalogue
    now = plugins.generation()
    if _catalogue.generation != now:
        _catalogue = _Catalogue(
            now,
            _gather("forecast_models", ModelSpec, namespaced=True),
            _gather("forecast_tasks", TaskSpec, namespaced=False),
            _gather("forecast_datasets", DatasetSpec, namespaced=True),
            _gather("forecast_losses", LossSpec, namespaced=True),
        )
    return _catalogue


def _gather(hook: str, kind: type[S], *, namespaced: bool) -> dict[str, S]:
    found: dict[str, S] = {}
    owners: dict[str, plugins.Plugin] = {}
    for plugin, spec in plugins.collect(hook):
        try:
            _check_spec(plugin, spec, kind, namespaced=namespaced)
            if spec.id in found:
                owner = owners[spec.id]
                raise DuplicateIdError(
                    f"the id {spec.id!r} of plugin {plugin.name!r} ({plugin.distribution or plugin.package}) "
                    f"is taken by plugin {owner.name!r} ({owner.distribution or owner.package})"
                )
        except PluginError as error:
            plugins.record_failure(plugin, hook, error)
            continue
        found[spec.id], owners[spec.id] = spec, plugin
    return found


def _check_spec(plugin: plugins.Plugin, spec: Any, kind: type[S], *, namespaced: bool) -> None:
    if not isinstance(spec, kind):
        raise PluginError(f"a {kind.__name__} is wanted, got {type(spec).__name__}")
    if spec.plugin_api not in SUPPORTED_PLUGIN_APIS:
        raise PluginError(
            f"{spec.id!r} is written for plugin API {spec.plugin_api}; this core supports "
            f"{SUPPORTED_PLUGIN_APIS.start}..{SUPPORTED_PLUGIN_APIS.stop - 1}"
        )
    if namespaced and namespace_of(spec.id) != plugin.name:
        raise PluginError(
            f"{spec.id!r} lies outside the plugin's namespace; its entry point is named {plugin.name!r}, so "
            f"its ids begin with '{plugin.name}/'"
        )
    for path in spec.code():
        if path.partition(":")[0].partition(".")[0] != plugin.package:
            raise PluginError(f"{spec.id!r} names code outside the package {plugin.package!r}: {path!r}")


def available_models(*, task: str | None = None) -> list[str]:
    """Ids of all models, sorted; of those that one task's data suits if given. Imports no model code."""
    return sorted(m.id for m in _current().models.values() if task is None or m.task in (task, ANY_TASK))


def available_tasks() -> list[str]:
    """Names of all tasks, sorted."""
    return sorted(_current().tasks)


def available_datasets() -> list[str]:
    """Ids of all datasets, sorted."""
    return sorted(_current().datasets)


def available_losses() -> list[str]:
    """Ids of all losses that plugins registered, sorted."""
    return sorted(_current().losses)


def model_spec(model_id: str) -> ModelSpec:
    """The spec of a model; UnknownIdError with near misses and plugin failures otherwise."""
    return _find(_current().models, model_id, "model")


def task_spec(task: str) -> TaskSpec:
    """The spec of a task; UnknownIdError with near misses otherwise."""
    return _find(_current().tasks, task, "task")


def dataset_spec(dataset_id: str) -> DatasetSpec:
    """The spec of a dataset; UnknownIdError with near misses otherwise."""
    return _find(_current().datasets, dataset_id, "dataset")


def _find(specs: dict[str, S], wanted: str, what: str) -> S:
    if isinstance(wanted, str) and wanted in specs:
        return specs[wanted]
    message = f"no {what} {wanted!r}; {near_misses(str(wanted), specs)}"
    failures = plugins.plugin_failures()
    if failures:
        message += "; broken plugins: " + "; ".join(str(f) for f in failures)
    raise UnknownIdError(message)


class ConfigField(BaseModel):
    """One option of a model: its type as text, default, meaning, whether it must be given, and where a
    tuner looks.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    type: str
    default: JsonValue
    description: str
    required: bool
    search: dict[str, JsonValue] | None


class ModelDescription(BaseModel):
    """A model's spec, whether its libraries are here, its options, and the presets of them by name."""

    model_config = ConfigDict(frozen=True)

    spec: ModelSpec
    installed: bool
    fields: tuple[ConfigField, ...]
    config_schema: dict[str, JsonValue]
    presets: dict[str, dict[str, JsonValue]]


def describe_model(model_id: str) -> ModelDescription:
    """What a model is and takes, without importing it: only the module of its configuration is."""
    spec = model_spec(model_id)
    config = config_class(spec)
    schema = config.model_json_schema()
    space = search_space(config)
    fields = tuple(
        ConfigField(
            name=name,
            type=_type_text(schema["properties"][name], schema.get("$defs", {})),
            default=schema["properties"][name].get("default"),
            description=info.description or "",
            required=info.is_required(),
            search=_search_values(space[name]) if name in space else None,
        )
        for name, info in config.model_fields.items()
    )
    missing = [name for name in spec.requires if find_spec(name) is None]
    return ModelDescription(
        spec=spec,
        installed=not missing,
        fields=fields,
        config_schema=schema,
        presets=json.loads(json.dumps(config.presets)),
    )


def _search_values(search: Any) -> dict[str, JsonValue]:
    if search.choices:
        return {"choices": list(search.choices)}
    given = {"low": search.low, "high": search.high, "log": search.log, "step": search.step}
    return {name: value for name, value in given.items() if value not in (None, False)}


def _type_text(schema: dict[str, Any], defs: dict[str, Any]) -> str:
    if "$ref" in schema:
        return _type_text(defs[schema["$ref"].rpartition("/")[2]], defs)
    if "const" in schema:
        return repr(schema["const"])
    if "enum" in schema:
        return " | ".join(repr(value) for value in schema["enum"])
    if "anyOf" in schema:
        return " | ".join(_type_text(each, defs) for each in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list[{_type_text(schema.get('items', {}), defs)}]"
    return str(schema.get("type", "any"))


def create_model(model_id: str, config: ModelConfig | None = None, /, **params: Any) -> Predictor[Any]:
    """A new, unfitted predictor, configured by keyword or by one config object.

    preset="name" begins with one of the presets that `describe_model` lists.

    Raises UnknownIdError, ConfigError naming the wrong field, MissingDependencyError saying what to
    install, or PluginError if the plugin's class breaks the rules.
    """
    spec = model_spec(model_id)
    wanted = config_class(spec)
    if config is None:
        config = wanted(**params)
    elif params:
        raise ConfigError("params", "are given by keyword or as one config, not both", got=sorted(params))
    elif not isinstance(config, wanted):
        raise ConfigError("config", f"is a {wanted.__name__}", got=type(config).__name__)
    return predictor_class(spec)(config, spec=spec)


def load_model(path: str | PathLike[str], *, device: str | None = None) -> Predictor[Any]:
    """The predictor saved at `path`, verified byte by byte before anything is built from it.

    device: where its networks, and those of models it holds, compute, such as "cpu"; default: where they
    were trained; models without networks have no use for one. The class is found through the registry alone;
    nothing is unpickled. Raises DeviceError for a device that is not here, ArtifactError (among others where
    the one it was trained on is not), ArtifactIntegrityError, ArtifactVersionError or UnknownIdError (its
    plugin is not installed).
    """
    from forecast_core.predictor import Predictor

    return Predictor._load(path, device=device)


def config_class(spec: ModelSpec) -> type[ModelConfig]:
    """The configuration class of a model."""
    found = load_object(spec.config_entry_point, owner=spec.id)
    if not (isinstance(found, type) and issubclass(found, ModelConfig)):
        raise PluginError(f"{spec.config_entry_point!r} of {spec.id!r} is no subclass of ModelConfig")
    return found


def predictor_class(spec: ModelSpec) -> type[Predictor[Any]]:
    """The predictor class of a model, checked against its spec."""
    from forecast_core.predictor import Predictor

    _need(spec)
    found = load_object(spec.entry_point, owner=spec.id)
    if not (isinstance(found, type) and issubclass(found, Predictor)):
        raise PluginError(f"{spec.entry_point!r} of {spec.id!r} is no subclass of Predictor")
    if getattr(found, "config_class", None) is not config_class(spec):
        raise PluginError(
            f"{spec.entry_point!r} of {spec.id!r}: config_class is not {spec.config_entry_point!r}"
        )
    return found


def load_dataset(dataset_id: str, **options: Any) -> Any:
    """The data of a registered dataset; MissingDependencyError says what to install, InvalidInputError which
    option there is not.
    """
    spec = dataset_spec(dataset_id)
    _need(spec)
    load = load_object(spec.entry_point, owner=spec.id)
    try:
        inspect.signature(load).bind(**options)
    except TypeError as error:
        raise InvalidInputError("options", f"are those of {spec.id!r} ({error})") from error
    return load(**options)


def get_loss(loss_id: str) -> Callable[..., Any]:
    """The function of a registered loss."""
    spec = _find(_current().losses, loss_id, "loss")
    _need(spec)
    loss: Callable[..., Any] = load_object(spec.entry_point, owner=spec.id)
    return loss


def load_object(path: str, *, owner: str) -> Any:
    """What "module:attribute" names; PluginError naming the owner where it cannot be imported."""
    module, _, attribute = path.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for name in attribute.split("."):
            found = getattr(found, name)
    except ForecastError:
        raise
    except Exception as error:
        raise PluginError(
            f"{path!r} of {owner!r} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    return found


def _need(spec: ModelSpec | DatasetSpec | LossSpec) -> None:
    for library in spec.requires:
        if find_spec(library) is None:
            raise MissingDependencyError(
                library, purpose=repr(spec.id), install=spec.install_hint or f"pip install {library}"
            )
