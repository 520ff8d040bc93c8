"""The packages that a model needs elsewhere: exact versions, and wheels where they are at hand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from forecast_core import plugins, registry
from forecast_core.errors import ArtifactError, InvalidInputError, MissingDependencyError
from forecast_core.specs import ModelSpec, namespace_of

if TYPE_CHECKING:
    from packaging.requirements import Requirement

__all__ = ["Needed", "needed", "wheels_of"]

_CORE = "forecast-core"
_EXTRAS = ("cli", "serve")  # what `forecast serve` needs
_OF_A_PLATFORM = re.compile(r"platform|os_name")

Needed = Mapping[str, str]
"""Name of a distribution, in lower case with dashes -> its exact version."""


def needed(model_id: str, config: Mapping[str, JsonValue]) -> tuple[Needed, tuple[str, ...]]:
    """What has to be installed to serve a model, as installed here; and which of it are plugins or core.

    All requirements of requirements count, but for those of one platform, and those that what is installed
    here does not meet: pip finds them where it installs. Local parts of versions ("+cpu") are left out.
    Raises ArtifactError for a plugin that was not installed as a package, MissingDependencyError without the
    library that reads requirements.
    """
    ours = {_CORE}
    roots = [f"{_CORE}[{','.join(_EXTRAS)}]"]
    for spec in _specs(model_id, config):
        name = _provider(spec)
        ours.add(name)
        roots += [name, *_distributions(spec.requires)]
    found: dict[str, str] = {}
    pending, seen, unmet = [_requirement(root) for root in roots], set(), set()
    while pending:
        each = pending.pop()
        name = _plain(each.name)
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            raise MissingDependencyError(
                name, purpose="a list of what to install elsewhere", install=f"pip install {each.name}"
            ) from None
        if not each.specifier.contains(installed.version, prereleases=True):
            unmet.add(name)
        if (name, frozenset(each.extras)) in seen:
            continue
        seen.add((name, frozenset(each.extras)))
        found[name] = installed.version.partition("+")[0]
        pending += _of(installed.requires or (), each.extras)
    return {name: found[name] for name in sorted(found.keys() - unmet)}, tuple(sorted(ours))


def wheels_of(folder: Path, packages: Needed, *, at_least: Iterable[str]) -> list[Path]:
    """Wheels in a folder of the versions needed; InvalidInputError where one of `at_least` has none."""
    _packaging()
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename
    from packaging.version import Version

    found: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.whl")):
        try:
            name, version, _, _ = parse_wheel_filename(path.name)
        except InvalidWheelFilename:
            continue
        wanted = packages.get(name)
        if wanted is not None and Version(wanted) == Version(str(version).partition("+")[0]):
            found.setdefault(name, []).append(path)
    missing = [f"{name} {packages[name]}" for name in at_least if name not in found]
    if missing:
        raise InvalidInputError(
            "wheels", "holds a wheel of each package of ours", got=f"none of {', '.join(missing)} in {folder}"
        )
    return [path for paths in found.values() for path in paths]


def _specs(model_id: str, config: Mapping[str, JsonValue]) -> Iterator[ModelSpec]:
    """The model's spec, and those of the models that its configuration names by id."""
    yield registry.model_spec(model_id)
    known = set(registry.available_models())
    pending: list[Any] = [config]
    while pending:
        each = pending.pop()
        if isinstance(each, dict):
            if isinstance(name := each.get("id"), str) and name in known:
                yield registry.model_spec(name)
            pending += each.values()
        elif isinstance(each, list):
            pending += each


def _provider(spec: ModelSpec) -> str:
    """The distribution that registered a model."""
    found = next((p.distribution for p in plugins.plugins() if p.name == namespace_of(spec.id)), "")
    if not found:
        raise ArtifactError(
            f"{spec.id} was registered by code that is no installed package, so nobody else could install it"
        )
    return _plain(found)


def _distributions(libraries: Iterable[str]) -> list[str]:
    known = packages_distributions()
    return [_plain(known[name][0]) for name in libraries if known.get(name)]


def _of(texts: Iterable[str], extras: Iterable[str]) -> Iterator[Requirement]:
    for text in texts:
        each = _requirement(text)
        if each.marker is not None:
            holds = any(each.marker.evaluate({"extra": extra}) for extra in (*extras, ""))
            if not holds or _OF_A_PLATFORM.search(str(each.marker)):
                continue
        yield each


def _requirement(text: str) -> Requirement:
    _packaging()
    from packaging.requirements import Requirement

    return Requirement(text)


def _packaging() -> None:
    try:
        import packaging  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            "packaging", purpose="export", install="pip install 'forecast-core[export]'"
        ) from error


def _plain(name: str) -> str:
    """A name as the package index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()
