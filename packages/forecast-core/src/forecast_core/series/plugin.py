"""What core itself registers: the task `series` and its naive baselines."""

from __future__ import annotations

from forecast_core.hookspecs import hookimpl
from forecast_core.specs import Capabilities, ModelSpec, TaskSpec

_BASELINE = Capabilities(prediction="mixture", missing_values=True, needs_fit=False)


@hookimpl
def forecast_tasks() -> list[TaskSpec]:
    """The task `series`."""
    return [
        TaskSpec(
            id="series",
            data="forecast_core.data.panel:Panel",
            baseline="series/seasonal-naive",
            objective="crps",
            sample_data="forecast_core.series.sample:sample_panel",
            request="forecast_core.series.serving:SeriesRequest",
        )
    ]


@hookimpl
def forecast_models() -> list[ModelSpec]:
    """The naive baselines."""
    return [
        ModelSpec(
            id="series/naive",
            task="series",
            entry_point="forecast_core.series.naive:Naive",
            config_entry_point="forecast_core.series.configs:NaiveConfig",
            summary="The last observed value, with intervals from past one-step changes",
            capabilities=_BASELINE,
            test_configs=({"horizon": 6},),
        ),
        ModelSpec(
            id="series/seasonal-naive",
            task="series",
            entry_point="forecast_core.series.seasonal_naive:SeasonalNaive",
            config_entry_point="forecast_core.series.configs:SeasonalNaiveConfig",
            summary="The value one season ago, with intervals from past seasonal changes",
            capabilities=_BASELINE,
            test_configs=({"horizon": 6, "seasonality": 12}, {"horizon": 30, "seasonality": 12}),
        ),
    ]
