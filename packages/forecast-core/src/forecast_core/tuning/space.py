"""The search space: from a config's `Search` metadata, a mapping, or a YAML file."""

from __future__ import annotations

import itertools
import json
import math
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import JsonValue, ValidationError

from forecast_core.config import ModelConfig, Search, search_space
from forecast_core.errors import ConfigError, MissingDependencyError, near_misses

__all__ = ["Dimension", "Space", "read_space"]

Space = Mapping[str, Any] | str | PathLike[str]

_BOUNDS = ("low", "high", "log", "step")
_QUESTION = ("horizon",)  # another value asks another question, so scores do not compare


@dataclass(frozen=True)
class Dimension:
    """One field and where to look for it: whole numbers or numbers between bounds, or choices.

    Choices are JSON values. What a study stores of them (`encode`) is the choice itself where it is a
    text, a number, a truth value or None, and its JSON text otherwise.
    """

    name: str
    kind: Literal["float", "int", "choice"]
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: float | None = None
    choices: tuple[JsonValue, ...] = ()

    def holds(self, value: JsonValue) -> bool:
        """Whether the dimension has this value."""
        if self.kind == "choice":
            return any(_same(value, choice) for choice in self.choices)
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not self.low <= value <= self.high
        ):
            return False
        if self.kind == "int" and not float(value).is_integer():
            return False
        return self.step is None or abs((value - self.low) / self.step % 1.0 - 0.5) > 0.5 - 1e-9

    def encode(self, value: JsonValue) -> str | int | float | bool | None:
        """A value as the study stores it."""
        if self.kind == "choice":
            value = next(choice for choice in self.choices if _same(value, choice))
        return value if value is None or isinstance(value, str | int | float) else json.dumps(value)

    def decode(self, stored: str | int | float | bool | None) -> JsonValue:
        """What `encode` made, back as a value of the field."""
        if self.kind != "choice":
            return stored
        return next(choice for choice in self.choices if _same(self.encode(choice), stored))

    def size(self) -> int:
        """How many values there are; ConfigError where there is no end of them."""
        if self.kind == "choice":
            return len(self.choices)
        steps = (self.high - self.low) / self._step()
        if not math.isfinite(steps):
            raise ConfigError(f"space.{self.name}", "has bounds with fewer steps between them for a grid")
        return math.floor(steps + 1e-9) + 1

    def grid(self) -> tuple[JsonValue, ...]:
        """Every value, in order; ConfigError where there is no end of them."""
        if self.kind == "choice":
            return self.choices
        values = (self.low + k * self._step() for k in range(self.size()))
        return tuple(
            int(v) if self.kind == "int" else float(f"{v:.12g}") for v in values
        )  # not 0.30000000000000004

    def _step(self) -> float:
        if self.step is not None:
            return self.step
        if self.kind == "int" and not self.log:
            return 1.0
        raise ConfigError(f"space.{self.name}", "has choices or a step for a grid", got=self.to_dict())

    def to_dict(self) -> dict[str, JsonValue]:
        """The entry as a YAML grid would have it."""
        if self.kind == "choice":
            return {"choices": list(self.choices)}
        number = int if self.kind == "int" else float
        entry: dict[str, JsonValue] = {"low": number(self.low), "high": number(self.high)}
        if self.log:
            entry["log"] = True
        if self.step is not None:
            entry["step"] = number(self.step)
        return entry


def read_space(
    space: Space | None, *, config_class: type[ModelConfig], base: Mapping[str, Any] | None = None
) -> tuple[Dimension, ...]:
    """Dimensions to search, checked against the configuration they are fields of.

    space: name -> {low, high, log, step}, {choices: [...]} or a list of choices; the path of a YAML file
    with such a mapping; or None for the fields that `Annotated[..., Search(...)]` marks. base: options that
    stay as they are; fields of the metadata found there are not searched. Whether a field is a whole number
    is told by its type. Raises ConfigError naming the field for one that does not exist (with near misses),
    a bound or choice that its validation refuses, one that base fixes too, or no field at all.
    """
    base = dict(base or {})
    config_class(**base)  # what is fixed has to be right by itself
    owner = config_class.__name__
    if space is None:
        found = {name: s for name, s in search_space(config_class).items() if name not in base}
        entries = {name: s for name, s in found.items() if name not in _QUESTION}
    else:
        entries = {
            name: _entry(name, given, config_class=config_class) for name, given in _mapping(space).items()
        }
        for name in entries:
            if name in base:
                raise ConfigError(
                    f"space.{name}", "is either searched or fixed, not both", got=repr(base[name])
                )
    if not entries:
        raise ConfigError(
            "space",
            f"names at least one field of {owner} that is not fixed",
            hint="give a mapping or a YAML file such as {learning_rate: {low: 0.001, high: 0.01, log: true}}",
        )
    return tuple(_dimension(name, s, config_class=config_class, base=base) for name, s in entries.items())


def combinations(dimensions: Sequence[Dimension]) -> list[dict[str, JsonValue]]:
    """Every combination of a grid, the last dimension changing fastest."""
    names = [d.name for d in dimensions]
    return [
        dict(zip(names, values, strict=True)) for values in itertools.product(*(d.grid() for d in dimensions))
    ]


def _mapping(space: Space) -> Mapping[str, Any]:
    if isinstance(space, Mapping):
        return space
    if find_spec("yaml") is None:
        raise MissingDependencyError(
            "pyyaml", purpose="a search space in YAML", install="pip install 'forecast-core[tune]'"
        )
    import yaml

    try:
        loaded = yaml.safe_load(Path(space).read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError("space", f"is a readable YAML file ({reason})", got=str(space)) from error
    if not isinstance(loaded, dict) or not all(isinstance(name, str) for name in loaded):
        raise ConfigError("space", "is a mapping from fields to bounds or choices", got=str(space))
    return loaded


def _entry(name: str, given: Any, *, config_class: type[ModelConfig]) -> Search:
    """What is given for a field as a Search."""
    place = f"space.{name}"
    if name not in config_class.model_fields:
        raise ConfigError(
            place,
            f"is a field of {config_class.__name__}",
            hint=near_misses(name, config_class.model_fields),
        )
    if name in _QUESTION:
        raise ConfigError(place, "is not searched: scores of different horizons do not compare")
    if isinstance(given, Search):
        return given
    if isinstance(given, Mapping):
        for key in given:
            if key not in (*_BOUNDS, "choices"):
                raise ConfigError(
                    f"{place}.{key}", "is known", hint=near_misses(str(key), (*_BOUNDS, "choices"))
                )
        if not isinstance(given.get("log", False), bool):
            raise ConfigError(f"{place}.log", "is true or false", got=repr(given["log"]))
        options: dict[str, Any] = {
            key: _number(f"{place}.{key}", v) if key in ("low", "high", "step") else v
            for key, v in given.items()
        }
    else:
        options = {"choices": given}
    if "choices" in options:
        choices = options["choices"]
        if isinstance(choices, str) or not isinstance(choices, Sequence) or not choices:
            raise ConfigError(place, "has a list of at least one choice", got=repr(choices))
        options["choices"] = tuple(choices)
    try:
        return Search(**options)
    except ConfigError as error:
        raise ConfigError(place, error.rule, got=error.got) from error


def _dimension(
    name: str, search: Search, *, config_class: type[ModelConfig], base: Mapping[str, Any]
) -> Dimension:
    place = f"space.{name}"
    number = _number_type(config_class.model_fields[name].annotation)
    if search.choices:
        choices = tuple(_json(place, choice) for choice in search.choices)
        for k, choice in enumerate(choices):
            if any(_same(choice, other) for other in choices[:k]):
                raise ConfigError(place, "has every choice once", got=repr(choice))
        dimension = Dimension(name, "choice", choices=choices)
        ends: tuple[JsonValue, ...] = choices
    else:
        assert search.low is not None
        assert search.high is not None
        if number is None:
            raise ConfigError(place, "is a number to have bounds", hint="give choices: [...]")
        for key in _BOUNDS:
            value = getattr(search, key)
            if number is int and key != "log" and value is not None and not float(value).is_integer():
                raise ConfigError(f"{place}.{key}", "is a whole number, as the field is", got=value)
        kind: Literal["int", "float"] = "int" if number is int else "float"
        dimension = Dimension(name, kind, search.low, search.high, search.log, search.step)
        ends = (number(search.low), number(search.high))
    for end in ends:
        _accepted(name, end, config_class=config_class, base=base)
    return dimension


def _accepted(
    name: str, value: JsonValue, *, config_class: type[ModelConfig], base: Mapping[str, Any]
) -> None:
    """ConfigError where the field itself refuses a value; rules between fields are left to the trials."""
    try:
        config_class(**{**base, name: value})
    except ConfigError as error:
        cause = error.__cause__
        if isinstance(cause, ValidationError):
            own = next((e for e in cause.errors(include_url=False) if e["loc"][:1] == (name,)), None)
            if own is None:
                return
            inner = own.get("ctx", {}).get("error")
            rule = str(inner) if isinstance(inner, ValueError) else own["msg"]
            raise ConfigError(
                f"space.{name}",
                f"stays within what {config_class.__name__} accepts ({rule})",
                got=repr(value),
            ) from error
        raise


def _number_type(annotation: Any) -> type[int] | type[float] | None:
    """int or float where a field takes one (and perhaps None), else None."""
    options = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    options = tuple(o for o in options if o is not type(None))
    if options == (int,):
        return int
    return float if options and set(options) <= {int, float} else None


def _number(place: str, value: Any) -> float | None:
    if value is None:
        return None
    try:
        if isinstance(value, bool):
            raise TypeError
        number = float(value)  # YAML reads 1e-4, without a point, as text
    except (TypeError, ValueError):
        raise ConfigError(place, "is a number", got=repr(value)) from None
    if not math.isfinite(number):
        raise ConfigError(place, "is finite", got=value)
    return number


def _json(place: str, value: Any) -> JsonValue:
    try:
        loaded: JsonValue = json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ConfigError(place, f"has choices that JSON can hold ({error})", got=repr(value)) from error
    return loaded


def _same(left: Any, right: Any) -> bool:
    """Equal, and both or neither of them a truth value (1 is not true)."""
    return bool(left == right) and isinstance(left, bool) == isinstance(right, bool)
