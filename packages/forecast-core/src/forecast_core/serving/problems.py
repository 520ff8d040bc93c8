"""Errors as answers: each has a status, a type, a message, and the fields that are wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import ValidationError
from pydantic_core import to_json

from forecast_core.errors import (
    CapabilityError,
    ConflictError,
    ForecastError,
    InvalidInputError,
    UnknownIdError,
)

if TYPE_CHECKING:
    from starlette.types import Scope, Send

__all__ = [
    "BodyTooLargeError",
    "FieldProblem",
    "MediaTypeError",
    "ModelFailureError",
    "OverloadedError",
    "Problem",
    "RequestError",
    "ServingError",
    "SlowBodyError",
    "UnauthorizedError",
    "UnavailableError",
    "WrongHostError",
    "answer_with",
    "renamed",
]

_SHOWN = 20
_OPEN_INFERENCE, _KSERVE_FORECAST = "/v2", "/v1/timeseries"


class ServingError(ForecastError):
    """A request that is not answered, with the HTTP status that says so."""

    status: ClassVar[int] = 422


class UnauthorizedError(ServingError):
    """The API key is missing or wrong."""

    status = 401


class SlowBodyError(ServingError):
    """The body did not arrive in time."""

    status = 408


class BodyTooLargeError(ServingError):
    """The body is larger than the server reads."""

    status = 413


class MediaTypeError(ServingError):
    """The body is not declared as plain JSON."""

    status = 415


class WrongHostError(ServingError):
    """A server on loopback was addressed by a name that is not loopback's."""

    status = 421


class ModelFailureError(ServingError):
    """The model itself failed; the log says how."""

    status = 500


class UnavailableError(ServingError):
    """The server or the model cannot answer now."""

    status = 503


class OverloadedError(UnavailableError):
    """More requests than can be answered soon. seconds: when to try again."""

    def __init__(self, message: str, *, seconds: float) -> None:
        self.seconds = max(1, math.ceil(seconds))
        super().__init__(f"{message}; try again in {self.seconds} s")


@dataclass(frozen=True)
class FieldProblem:
    """What is wrong with one field. path: its names and positions, joined by dots."""

    path: str
    rule: str


class RequestError(ServingError):
    """Fields of a body break rules."""

    def __init__(self, fields: list[FieldProblem]) -> None:
        self.fields = fields
        more = f" (and {len(fields) - 1} more)" if len(fields) > 1 else ""
        super().__init__(f"{fields[0].path}: {fields[0].rule}{more}")

    @classmethod
    def one(cls, path: str, rule: str) -> Self:
        """Of one field."""
        return cls([FieldProblem(path, rule)])

    @classmethod
    def of(cls, error: ValidationError) -> Self:
        """From pydantic's error."""
        return cls(
            [
                FieldProblem(
                    ".".join(map(str, each["loc"])) or "body", each["msg"].removeprefix("Value error, ")
                )
                for each in error.errors(include_url=False, include_context=False, include_input=False)[
                    :_SHOWN
                ]
            ]
        )

    @classmethod
    def at(cls, path: str, error: ForecastError, fields: Mapping[str, str] | None = None) -> Self:
        """From an error of ours about the field at `path`, or one inside it; fields: as of a `Question`."""
        if isinstance(error, RequestError):
            return cls([FieldProblem(f"{path}.{each.path}", each.rule) for each in error.fields])
        if isinstance(error, InvalidInputError):
            return cls([_of_argument(renamed(error, fields or {}, place=path))])
        return cls([FieldProblem(path, str(error))])


@dataclass(frozen=True)
class Problem:
    """An error as it is answered."""

    status: int
    type: str
    message: str
    fields: list[FieldProblem] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, error: Exception) -> Self:
        """What to answer to an error; whatever is not of ours is the server's fault, and is not shown."""
        name = type(error).__name__
        if isinstance(error, RequestError):
            return cls(error.status, name, str(error), error.fields)
        if isinstance(error, ServingError):
            headers = {}
            if isinstance(error, OverloadedError):
                headers["Retry-After"] = str(error.seconds)
            elif isinstance(error, UnavailableError):
                headers["Retry-After"] = "1"
            if isinstance(error, BodyTooLargeError | SlowBodyError):
                headers["Connection"] = "close"
            if isinstance(error, UnauthorizedError):
                headers["WWW-Authenticate"] = "Bearer"
            return cls(error.status, name, str(error), headers=headers)
        if isinstance(error, InvalidInputError):
            return cls(422, name, str(error), [_of_argument(error)])
        if isinstance(error, CapabilityError):
            return cls(422, name, str(error))
        if isinstance(error, ConflictError):
            return cls(409, name, str(error))
        if isinstance(error, UnknownIdError):
            return cls(404, name, str(error))
        return cls(500, "ModelFailureError", "the server failed; its log says how")

    def body(self, path: str) -> bytes:
        """JSON in the form of the protocol that the path of the request belongs to."""
        fields = [{"path": each.path, "rule": each.rule} for each in self.fields]
        content: dict[str, Any]
        if path == _OPEN_INFERENCE or path.startswith(_OPEN_INFERENCE + "/"):
            content = {"error": self.message, "type": self.type, "fields": fields}
        elif path.startswith(_KSERVE_FORECAST):
            param = self.fields[0].path if self.fields else None
            error = {"code": str(self.status), "message": self.message, "param": param, "type": self.type}
            content = {"error": error}
        else:
            content = {"error": {"type": self.type, "message": self.message, "fields": fields}}
        return to_json(content)


async def answer_with(problem: Problem, scope: Scope, send: Send) -> None:
    """Answer a request with a problem, as ASGI messages."""
    body = problem.body(scope["path"])
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **problem.headers}
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})


def renamed(error: InvalidInputError, fields: Mapping[str, str], *, place: str = "") -> InvalidInputError:
    """The error itself, from now on about the field of the body, at `place`, that holds its argument.

    fields: as of a `Question`.
    """
    name, dot, inner = error.argument.removeprefix("data.").partition(".")
    path = fields.get(name, f"{place}.{name}" if place else name) + dot + inner
    InvalidInputError.__init__(error, path, error.rule, place=error.place, got=error.got, hint=error.hint)
    return error


def _of_argument(error: InvalidInputError) -> FieldProblem:
    place = "" if error.place is None else f" at {error.place}"
    got = "" if error.got is None else f", got {error.got}"
    hint = "" if error.hint is None else f"; {error.hint}"
    return FieldProblem(error.argument, f"{error.rule}{place}{got}{hint}")
