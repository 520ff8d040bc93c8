"""Finding, loading and calling plugins, each in isolation.

Nothing is loaded at import; the first look-up loads every entry point of the group "forecast.plugins".
The entry point's name is the namespace of its ids. A plugin that fails becomes a `PluginFailure` and a
warning, and everybody else goes on.

FORECAST_PLUGINS=a,b loads a subset (core's own are always there; a name that nobody has is a failure);
FORECAST_STRICT_PLUGINS=1 raises the first failure instead of warning.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

import pluggy

from forecast_core import hookspecs
from forecast_core.errors import DuplicateIdError, InvalidInputError, PluginError, near_misses

__all__ = [
    "Plugin",
    "PluginFailure",
    "PluginWarning",
    "call_isolated",
    "collect",
    "generation",
    "plugin_failures",
    "plugins",
    "record_failure",
    "register_plugin",
    "unregister_plugin",
]

GROUP = "forecast.plugins"
CORE = "forecast-core"


class PluginWarning(UserWarning):
    """A plugin is broken and was left out, or one of its hooks failed."""


@dataclass(frozen=True)
class Plugin:
    """A loaded plugin: its namespace, the module or object, and the distribution it came in."""

    name: str
    target: Any = field(repr=False)
    distribution: str
    version: str

    @property
    def package(self) -> str:
        """The top-level package its code lives in."""
        return self.module.partition(".")[0]

    @property
    def module(self) -> str:
        """The module its hooks are written in."""
        if isinstance(self.target, ModuleType):
            return self.target.__name__
        return (self.target if isinstance(self.target, type) else type(self.target)).__module__


@dataclass(frozen=True)
class PluginFailure:
    """What went wrong in a plugin: where (discovery, import, hook name, spec) and the error."""

    plugin: str
    distribution: str
    stage: str
    error: BaseException

    def __str__(self) -> str:
        source = f" ({self.distribution})" if self.distribution else ""
        what = f"{type(self.error).__name__}: {self.error}"
        return f"plugin {self.plugin!r}{source} failed at {self.stage}: {what}"


class _Host:
    """All plugins of this process."""

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager(hookspecs.PROJECT)
        self.manager.add_hookspecs(hookspecs)
        self.plugins: dict[str, Plugin] = {}
        self.failures: list[PluginFailure] = []
        self.spaces: list[object] = []
        self.generation = 0

    def load(self) -> None:
        found, missing = _discover()
        for name in missing:
            hint = near_misses(name, (entry.name for entry in entry_points(group=GROUP)))
            self.fail(
                name, "", "discovery", PluginError(f"FORECAST_PLUGINS names no installed plugin; {hint}")
            )
        for name, entries in found.items():
            mine = [e for e in entries if _distribution(e)[0] == CORE]
            chosen = mine[0] if mine else entries[0]
            if len(entries) > 1:
                others = [e for e in entries if e not in mine]
                owners = " and ".join(_distribution(e)[0] for e in others)
                self.fail(name, owners, "discovery", _taken(name, entries))
                if not mine:
                    continue
            self.load_entry(name, chosen)
        for plugin, specs in list(self.results("forecast_hookspecs")):
            self.attempt(plugin, "forecast_hookspecs", self.add_specs, specs)
        for plugin in list(self.plugins.values()):
            self.attempt(plugin, "registration", self.check_hook_names, plugin)

    def load_entry(self, name: str, entry: EntryPoint) -> None:
        distribution, version = _distribution(entry)
        try:
            target = entry.load()
        except (Exception, SystemExit) as error:
            self.fail(name, distribution, "import", error)
            return
        plugin = Plugin(name, target, distribution, version)
        self.attempt(plugin, "registration", self.add, plugin)

    def attempt(self, plugin: Plugin, stage: str, action: Callable[[Any], None], argument: Any) -> None:
        """Do something for a plugin; what goes wrong becomes its failure."""
        try:
            action(argument)
        except Exception as error:
            self.fail(plugin.name, plugin.distribution, stage, error)

    def add(self, plugin: Plugin) -> None:
        if plugin.name in self.plugins:
            owner = self.plugins[plugin.name]
            raise DuplicateIdError(
                f"the plugin name {plugin.name!r} of {plugin.distribution or plugin.package} is taken by "
                f"{owner.distribution or owner.package}"
            )
        try:
            self.manager.register(plugin.target, plugin.name)
        except Exception as error:  # also what reading the plugin's attributes raises
            if self.manager.get_plugin(plugin.name) is not None:
                self.manager.unregister(name=plugin.name)
            raise PluginError(" ".join(str(error).split())) from error
        self.plugins[plugin.name] = plugin
        self.generation += 1

    def remove(self, name: str) -> None:
        if self.plugins.pop(name, None) is not None:
            self.manager.unregister(name=name)
        self.failures = [f for f in self.failures if f.plugin != name]
        self.generation += 1

    def add_specs(self, specs: Any) -> None:
        """Hook specs of a plugin's own; they stay when the plugin goes."""
        for space in _several(specs):
            if any(space is known for known in self.spaces):
                continue
            try:
                self.manager.add_hookspecs(space)
            except Exception as error:
                raise PluginError(" ".join(str(error).split())) from error
            self.spaces.append(space)

    def check_hook_names(self, plugin: Plugin) -> None:
        """A hook nobody specified is most likely misspelt."""
        for caller in self.manager.get_hookcallers(plugin.target) or ():
            mine = [impl for impl in caller.get_hookimpls() if impl.plugin_name == plugin.name]
            if not caller.has_spec() and not all(impl.optionalhook for impl in mine):
                raise PluginError(
                    f"{caller.name!r} is no hook; {near_misses(caller.name, self.hook_names())}"
                )

    def hook_names(self) -> list[str]:
        """Hooks that core or a plugin has specified."""
        return [name for name, caller in vars(self.manager.hook).items() if caller.has_spec()]

    def results(self, hook: str, **arguments: Any) -> Iterator[tuple[Plugin, Any]]:
        """What each plugin returns, in order of registration; a failing one is left out."""
        caller = getattr(self.manager.hook, hook, None)
        if caller is None or not caller.has_spec():
            raise PluginError(f"{hook!r} is no hook; {near_misses(hook, self.hook_names())}")
        for implementation in caller.get_hookimpls():
            plugin = self.plugins.get(implementation.plugin_name)
            if plugin is None:
                continue
            try:
                result = implementation.function(*(arguments[name] for name in implementation.argnames))
                if isinstance(result, Iterator):
                    result = list(result)
            except (Exception, SystemExit) as error:
                self.fail(plugin.name, plugin.distribution, hook, error)
                continue
            yield plugin, result

    def fail(self, plugin: str, distribution: str, stage: str, error: BaseException) -> None:
        failure = PluginFailure(plugin, distribution, stage, error)
        if os.environ.get("FORECAST_STRICT_PLUGINS") == "1":
            raise PluginError(str(failure)) from error
        if any(str(failure) == str(known) for known in self.failures):
            return
        self.failures.append(failure)
        warnings.warn(str(failure), PluginWarning, stacklevel=3)


_host: _Host | None = None
_lock = threading.RLock()


def _loaded() -> _Host:
    global _host
    with _lock:
        if _host is None:
            host = _Host()
            _host = host  # a plugin that looks something up while it is imported finds what is there so far
            try:
                host.load()
            except BaseException:
                _host = None
                raise
        return _host


def plugins() -> tuple[Plugin, ...]:
    """All loaded plugins, by name."""
    host = _loaded()
    return tuple(host.plugins[name] for name in sorted(host.plugins))


def plugin_failures() -> tuple[PluginFailure, ...]:
    """What has failed so far in this process."""
    return tuple(_loaded().failures)


def record_failure(plugin: Plugin, stage: str, error: BaseException) -> None:
    """Note that something a plugin gave does not hold; raises where plugins are strict."""
    _loaded().fail(plugin.name, plugin.distribution, stage, error)


def generation() -> int:
    """A number that changes whenever a plugin comes or goes."""
    return _loaded().generation


def register_plugin(target: Any, *, name: str) -> None:
    """Add a plugin by hand: a module or object with hook implementations, under its namespace `name`.

    Raises InvalidInputError for a name that is no text, DuplicateIdError if it is taken, PluginError if the
    plugin's hooks do not fit their specs; nothing of it is left then.
    """
    if not isinstance(name, str) or not name:
        raise InvalidInputError("name", "is the namespace of the plugin's ids", got=repr(name))
    host, plugin = _loaded(), Plugin(name, target, "", "")
    with _lock:
        host.add(plugin)
        try:
            for owner, specs in list(host.results("forecast_hookspecs")):
                if owner is plugin:
                    host.add_specs(specs)
            host.check_hook_names(plugin)
        except BaseException:
            host.remove(name)
            raise


def unregister_plugin(name: str) -> None:
    """Take a plugin away that `register_plugin` added; its failures are forgotten."""
    host = _loaded()
    with _lock:
        host.remove(name)


def call_isolated(hook: str, **arguments: Any) -> list[Any]:
    """Call a hook of every plugin; what failing ones would have returned is left out."""
    return [result for _, result in _loaded().results(hook, **arguments)]


def collect(hook: str) -> Iterator[tuple[Plugin, Any]]:
    """Every item that plugins return from a hook that gives several, with its plugin."""
    for plugin, items in _loaded().results(hook):
        try:
            given = _several(items)
        except PluginError as error:
            record_failure(plugin, hook, error)
            continue
        for item in given:
            yield plugin, item


def _several(items: Any) -> Collection[Any]:
    """What a hook that gives several returned, None being none of them."""
    if items is not None and not isinstance(items, list | tuple | set | frozenset):
        raise PluginError(f"a list is wanted, got {type(items).__name__}")
    return items or ()


def _discover() -> tuple[dict[str, list[EntryPoint]], list[str]]:
    """Entry points by name, core's first; a distribution seen twice on the path counts once. And the names
    that FORECAST_PLUGINS asks for in vain.
    """
    wanted = os.environ.get("FORECAST_PLUGINS")
    chosen = None if wanted is None else {name.strip() for name in wanted.split(",") if name.strip()}
    found: dict[str, dict[tuple[str, str], EntryPoint]] = defaultdict(dict)
    for entry in sorted(entry_points(group=GROUP), key=lambda e: (_distribution(e)[0] != CORE, e.name)):
        distribution, _ = _distribution(entry)
        if chosen is None or entry.name in chosen or distribution == CORE:
            found[entry.name].setdefault((distribution, entry.value), entry)
    missing = sorted((chosen or set()) - set(found))
    return {name: list(entries.values()) for name, entries in found.items()}, missing


def _distribution(entry: EntryPoint) -> tuple[str, str]:
    return (entry.dist.name, entry.dist.version) if entry.dist is not None else ("", "")


def _taken(name: str, entries: list[EntryPoint]) -> DuplicateIdError:
    owners = " and ".join(f"{_distribution(e)[0]} ({e.value})" for e in entries)
    return DuplicateIdError(f"the plugin name {name!r} is claimed by {owners}; uninstall one")
