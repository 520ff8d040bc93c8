"""What a check is, and the ways it can end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING, Literal, NoReturn

if TYPE_CHECKING:
    from forecast_core.conformance.subject import Subject

__all__ = ["Check", "CheckFailed", "CheckSkipped", "Outcome", "check", "fail", "skip"]


class CheckFailed(AssertionError):
    """The model breaks the rule; the message says how."""


class CheckSkipped(Exception):
    """The rule does not apply to the model; the message says why."""


def fail(message: str) -> NoReturn:
    """End a check: the model breaks the rule."""
    raise CheckFailed(message)


def skip(reason: str) -> NoReturn:
    """End a check: the rule does not apply."""
    raise CheckSkipped(reason)


@dataclass(frozen=True)
class Check:
    """A rule for models. run: raises `CheckFailed` or `CheckSkipped`; anything else raised is a failure too.

    needs: checks that have to pass first, since their failure would show here again. once: whether it is
    about the model as such, so that one configuration is enough.
    """

    name: str
    summary: str
    run: Callable[[Subject], None]
    needs: tuple[str, ...] = ()
    once: bool = False


@dataclass(frozen=True)
class Outcome:
    """How a check ended; message: why it was skipped or failed."""

    status: Literal["passed", "failed", "skipped"]
    message: str = ""

    @classmethod
    def of(cls, check: Check, subject: Subject) -> Outcome:
        """Run a check, whatever it raises."""
        try:
            check.run(subject)
        except CheckSkipped as reason:
            return cls("skipped", str(reason))
        except CheckFailed as error:
            return cls("failed", str(error))
        except (Exception, SystemExit) as error:
            return cls("failed", f"{type(error).__name__}: {error} ({_place(error)})")
        return cls("passed")


def check(*, needs: tuple[str, ...] = (), once: bool = False) -> Callable[[Callable[[Subject], None]], Check]:
    """Make a function a check: named after it, summed up by the first line of its docstring."""

    def wrap(function: Callable[[Subject], None]) -> Check:
        lines = (function.__doc__ or "").splitlines()
        return Check(function.__name__, lines[0] if lines else "", function, needs, once)

    return wrap


def _place(error: BaseException) -> str:
    frames = extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "no traceback"
