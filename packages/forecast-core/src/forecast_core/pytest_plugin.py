"""`pytest --forecast-model ID`: the conformance checks of a model as tests, without a test file.

Loaded in every run of pytest, so nothing but pytest is imported until the option is used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

__all__ = ["ConformanceItem", "ModelCollector"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.getgroup("forecast").addoption(
        "--forecast-model",
        action="append",
        default=[],
        metavar="ID",
        help="check the model registered under ID (repeatable); without paths, nothing else is run",
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Without paths on the command line, only the models are checked."""
    given = config.args_source is pytest.Config.ArgsSource.ARGS
    return True if config.getoption("forecast_model") and not given else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Add the checks of each model named."""
    for model_id in config.getoption("forecast_model"):
        collector = ModelCollector.from_parent(session, name=model_id, nodeid=f"forecast-model:{model_id}")
        items.extend(collector.collect())


class ModelCollector(pytest.Collector):
    """The checks of one model."""

    def collect(self) -> list[pytest.Item]:
        """An item for each check and test configuration."""
        from forecast_core.conformance.pytest_class import case_name, cases
        from forecast_core.errors import ForecastError

        try:
            found = cases(self.name)
        except ForecastError as error:
            raise pytest.UsageError(f"--forecast-model: {error}") from error
        return [
            ConformanceItem.from_parent(self, name=case_name(check, config), check=check, config_index=config)
            for check, config in found
        ]


class ConformanceItem(pytest.Item):
    """One check of one model with one of its test configurations."""

    def __init__(self, *, check: Any, config_index: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.check, self.config_index = check, config_index

    def runtest(self) -> None:
        """Run the check."""
        from forecast_core.conformance.pytest_class import run_case

        assert self.parent is not None
        run_case(self.parent.name, self.check, self.config_index)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """What the test is called in reports."""
        return self.path, None, f"{self.nodeid}"
