"""The checks as a test class, for a plugin's own test suite."""

from __future__ import annotations

from typing import Any, ClassVar

from forecast_core import registry
from forecast_core.conformance.check import Check
from forecast_core.conformance.checklist import BY_NAME, CHECKS
from forecast_core.conformance.subject import subject_of
from forecast_core.errors import InvalidInputError

__all__ = ["PredictorConformance", "cases", "run_case"]


class PredictorConformance:
    """Subclass it in a test file and name the model; each check with each configuration is a test:

    class TestMine(PredictorConformance):
        model_id = "mine/model"
    """

    model_id: ClassVar[str]

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """A test for each check and test configuration."""
        if metafunc.function.__name__ == "test_check":
            found = cases(self.model_id)
            metafunc.parametrize(
                ("check", "config"), found, ids=[case_name(check, config) for check, config in found]
            )

    def test_check(self, check: Check, config: int) -> None:
        """The model keeps to the rule."""
        run_case(self.model_id, check, config)


def cases(model_id: str) -> list[tuple[Check, int]]:
    """Every check with every test configuration it is for, those of one configuration together."""
    configs = range(len(registry.model_spec(model_id).test_configs))
    if not configs:
        raise InvalidInputError(
            "model_id",
            f"names a model with test_configs, which {model_id} has not",
            hint="call check_predictor(model_id, configs=[...])",
        )
    return [(check, config) for config in configs for check in CHECKS if not (check.once and config)]


def case_name(check: Check, config: int) -> str:
    """What a test of a check is called."""
    return check.name if check.once else f"{check.name}-{config}"


def run_case(model_id: str, check: Check, config: int) -> None:
    """Run a check under pytest: skips and failures become pytest's."""
    import pytest

    outcome = subject_of(model_id, config).outcome(check, BY_NAME)
    if outcome.status == "skipped":
        pytest.skip(outcome.message)
    if outcome.status == "failed":
        pytest.fail(f"{model_id}, {check.name}: {outcome.message}", pytrace=False)
