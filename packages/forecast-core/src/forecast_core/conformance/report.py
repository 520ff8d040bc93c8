"""`check_predictor`: all checks of a model, and what came of them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, computed_field

from forecast_core import registry
from forecast_core.conformance.check import Check
from forecast_core.conformance.checklist import BY_NAME, CHECKS
from forecast_core.conformance.subject import Subject
from forecast_core.errors import InvalidInputError, near_misses

__all__ = ["ConformanceReport", "FailedCheck", "SkippedCheck", "check_predictor"]


class SkippedCheck(BaseModel):
    """A check that does not apply, why, and to which of the spec's test_configs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    check: str
    config: int
    reason: str


class FailedCheck(BaseModel):
    """A check that a model fails, how, and with which of the spec's test_configs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    check: str
    config: int
    message: str


class ConformanceReport(BaseModel):
    """What the checks of one model came to: how many ran and passed, which were skipped, which failed."""

    model_config = ConfigDict(frozen=True)

    model: str
    run: int
    passed: int
    skipped: tuple[SkippedCheck, ...]
    failed: tuple[FailedCheck, ...]
    seconds: float

    @computed_field  # type: ignore[prop-decorator]
    @property
    def ok(self) -> bool:
        """Whether something ran and nothing failed."""
        return self.run > 0 and not self.failed

    def summary(self) -> str:
        """The report as text: counts, then each failure and each skip with its reason."""
        lines = [
            f"{self.model}: {self.run} checks run, {self.passed} passed, {len(self.failed)} failed, "
            f"{len(self.skipped)} skipped ({self.seconds:.1f} s)"
        ]
        lines += [f"  FAILED {f.check} (configuration {f.config}): {f.message}" for f in self.failed]
        for reason, names in self._skips().items():
            lines.append(f"  skipped {', '.join(names)}: {reason}")
        if not self.run:
            lines.append("  FAILED: no check ran")
        return "\n".join(lines)

    def _skips(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for each in self.skipped:
            names = found.setdefault(each.reason, [])
            if each.check not in names:
                names.append(each.check)
        return found


def check_predictor(
    model_id: str,
    *,
    only: Iterable[str] | None = None,
    configs: Iterable[Mapping[str, Any]] | None = None,
) -> ConformanceReport:
    """Run all checks on a model, with each of its spec's test_configs, on its task's sample data.

    only: names of checks to run; checks they need are run too, but not reported. configs: options to run
    them with instead, which a model without test_configs needs. Raises UnknownIdError for an unknown model,
    InvalidInputError for an unknown check or no configuration, ConfigError for a wrong one.
    """
    chosen = _chosen(only)
    tried = _configs(model_id, configs)
    began = time.perf_counter()
    passed, skipped, failed = 0, list[SkippedCheck](), list[FailedCheck]()
    for config, params in enumerate(tried):
        subject = Subject(model_id, config, params=params)
        for check in chosen:
            if check.once and config:
                continue
            outcome = subject.outcome(check, BY_NAME)
            if outcome.status == "passed":
                passed += 1
            elif outcome.status == "failed":
                failed.append(FailedCheck(check=check.name, config=config, message=outcome.message))
            else:
                skipped.append(SkippedCheck(check=check.name, config=config, reason=outcome.message))
    return ConformanceReport(
        model=model_id,
        run=passed + len(failed),
        passed=passed,
        skipped=tuple(skipped),
        failed=tuple(failed),
        seconds=time.perf_counter() - began,
    )


def _configs(model_id: str, configs: Iterable[Mapping[str, Any]] | None) -> tuple[Mapping[str, Any], ...]:
    spec = registry.model_spec(model_id)
    if configs is None and spec.test_configs:
        return spec.test_configs
    given = tuple(configs or ())
    if not given:
        required = [f.name for f in registry.describe_model(model_id).fields if f.required]
        raise InvalidInputError(
            "configs",
            f"are given for {model_id}, which has none of its own to be checked with",
            hint=f"name what it needs ({', '.join(required)}): configs=[{{...}}], or --option value after "
            "the id of the model",
        )
    for params in given:
        registry.config_class(spec)(**params)
    return given


def _chosen(only: Iterable[str] | None) -> tuple[Check, ...]:
    if only is None:
        return CHECKS
    wanted = {only} if isinstance(only, str) else set(only)
    unknown = sorted(wanted - BY_NAME.keys())
    if unknown:
        raise InvalidInputError(
            "only", "names checks", got=repr(unknown[0]), hint=near_misses(unknown[0], BY_NAME)
        )
    return tuple(check for check in CHECKS if check.name in wanted)
