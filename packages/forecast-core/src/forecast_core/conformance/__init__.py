"""What every model has to keep to, as one list of checks with three doors.

`check_predictor(id)` gives a report, `class TestMine(PredictorConformance)` makes each check a test, and
`pytest --forecast-model ID` runs them without a test file.
"""

from __future__ import annotations

from forecast_core.conformance.check import Check as Check
from forecast_core.conformance.checklist import CHECKS as CHECKS
from forecast_core.conformance.pytest_class import PredictorConformance as PredictorConformance
from forecast_core.conformance.report import (
    ConformanceReport as ConformanceReport,
    FailedCheck as FailedCheck,
    SkippedCheck as SkippedCheck,
    check_predictor as check_predictor,
)

__all__ = [
    "CHECKS",
    "Check",
    "ConformanceReport",
    "FailedCheck",
    "PredictorConformance",
    "SkippedCheck",
    "check_predictor",
]
