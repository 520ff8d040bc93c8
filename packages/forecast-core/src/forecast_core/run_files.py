"""Run configurations from files: one YAML or JSON file, or a folder that Hydra composes; overrides, sweeps.

Hydra only composes text. What comes out is validated by pydantic as a RunConfig, and models are built by
the registry: no file names code.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import Any

from forecast_core.config import RunConfig
from forecast_core.errors import ConfigError, MissingDependencyError

__all__ = ["compose_run_configs", "read_run_config", "read_run_configs", "sweeps"]

_YAML = (".yaml", ".yml")


def read_run_config(path: str | PathLike[str], overrides: Sequence[str] = ()) -> RunConfig:
    """The RunConfig in a YAML or JSON file, changed by overrides in Hydra's grammar ("data.freq=h").

    Raises ConfigError naming the file, and the path of the wrong field or override; MissingDependencyError
    where overrides or YAML are given without hydra-core.
    """
    file = Path(path)
    fields = _read(file)
    for change in _parsed(overrides):
        _apply(fields, change)
    return _validated(fields, source=str(path))


def read_run_configs(path: str | PathLike[str], overrides: Sequence[str] = ()) -> list[RunConfig]:
    """`read_run_config` for each combination of what the overrides sweep over ("seed=0,1")."""
    return [read_run_config(path, each) for each in sweeps(overrides)]


def compose_run_configs(
    folder: str | PathLike[str],
    *,
    name: str = "config",
    overrides: Sequence[str] = (),
    multirun: bool = False,
) -> list[RunConfig]:
    """What Hydra composes from `folder/name.yaml`, its defaults list and the overrides.

    Groups (model, data, training) are sub-folders whose files say by `# @package` which part of the
    RunConfig they fill. multirun: one for each combination of what the overrides sweep over. Raises
    ConfigError for what Hydra refuses, for a sweep without multirun, and naming the path of a wrong field.
    """
    _need_hydra("composing configurations")
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import OmegaConf

    root = Path(folder)
    if not (root / f"{name}.yaml").is_file():
        raise ConfigError("config", "is a file of the folder", got=str(root / f"{name}.yaml"))
    if not multirun and any(change.is_sweep_override() for change in _parsed(overrides)):
        raise ConfigError("overrides", "sweep only with --multirun", got=list(overrides))
    configs = []
    with _hydra_errors(f"{root}/{name}.yaml"):
        GlobalHydra.instance().clear()
        try:
            with initialize_config_dir(config_dir=str(root.resolve()), version_base="1.3"):
                for each in sweeps(overrides) if multirun else [list(overrides)]:
                    composed = compose(config_name=name, overrides=each)
                    fields = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
                    configs.append(_validated(fields, source=f"{root}/{name}.yaml"))
        finally:
            GlobalHydra.instance().clear()
    return configs


def sweeps(overrides: Sequence[str]) -> list[list[str]]:
    """Every combination of what overrides sweep over: ["seed=0,1", "a=b"] is [[seed=0, a=b], [seed=1, a=b]].

    Raises ConfigError for ranges and intervals that have no finite list of values.
    """
    choices: list[list[str]] = []
    for change in _parsed(overrides):
        if not change.is_sweep_override():
            choices.append([change.input_line])
        elif change.is_discrete_sweep():
            key = change.get_key_element()
            choices.append([f"{key}={value}" for value in change.sweep_string_iterator()])
        else:
            raise ConfigError("overrides", "sweep over a list or a range of values", got=change.input_line)
    return [list(each) for each in itertools.product(*choices)]


def _read(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
        if file.suffix in _YAML:
            _need_hydra("YAML")
            import yaml

            try:
                fields = yaml.safe_load(text)
            except yaml.YAMLError as error:
                raise ValueError(str(error)) from error
        else:
            fields = json.loads(text)
    except (OSError, ValueError) as error:
        raise ConfigError("config", f"is a readable YAML or JSON file ({error})", got=str(file)) from error
    if not isinstance(fields, dict):
        raise ConfigError("config", "is a mapping of fields", got=str(file))
    return fields


def _validated(fields: Any, *, source: str) -> RunConfig:
    try:
        return RunConfig(**fields)
    except ConfigError as error:
        raise ConfigError(
            f"{source}: {error.argument}", error.rule, place=error.place, got=error.got, hint=error.hint
        ) from error
    except TypeError as error:
        raise ConfigError("config", f"has fields named by text ({error})", got=source) from error


def _parsed(overrides: Sequence[str]) -> list[Any]:
    if not overrides:
        return []
    _need_hydra("overrides")
    from hydra.core.override_parser.overrides_parser import OverridesParser

    with _hydra_errors("overrides"):
        return list(OverridesParser.create().parse_overrides(list(overrides)))


def _apply(fields: dict[str, Any], change: Any) -> None:
    """Set or delete one value of nested fields; unknown names are left for validation to refuse."""
    if change.is_sweep_override():
        raise ConfigError("overrides", "sweep only with --multirun", got=change.input_line)
    *path, last = change.key_or_group.split(".")
    at: Any = fields
    for name in path:
        at = at.setdefault(name, {}) if isinstance(at, dict) else None
    if not isinstance(at, dict):
        raise ConfigError("overrides", "name a field within mappings", got=change.input_line)
    if change.is_delete():
        if last not in at:
            raise ConfigError("overrides", "delete fields that are there", got=change.input_line)
        del at[last]
    else:
        at[last] = _plain(change.value())


def _plain(value: Any) -> Any:
    """Hydra's quoted strings as text, within lists and mappings too."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    return getattr(value, "text", value)


@contextmanager
def _hydra_errors(source: str) -> Iterator[None]:
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError("config", " ".join(str(error).split()), got=source) from error


def _need_hydra(purpose: str) -> None:
    if find_spec("hydra") is None:
        raise MissingDependencyError(
            "hydra-core", purpose=purpose, install="pip install 'forecast-core[cli]'"
        )
