"""What this package registers. Specs name code as text, so that listing models imports none of it."""

from __future__ import annotations

from forecast_core.hookspecs import hookimpl
from forecast_core.metrics import Metric
from forecast_core.specs import Capabilities, DatasetSpec, ModelSpec, TaskSpec


@hookimpl
def forecast_tasks() -> list[TaskSpec]:
    """The task `sky`: what tomorrow's sky is like."""
    return [
        TaskSpec(
            id="sky",
            kind="classification",
            data="forecast_hello.sky:SkyLog",
            baseline="hello/sky-frequency",
            objective="surprise",
            sample_data="forecast_hello.sky:sample_sky",
        )
    ]


@hookimpl
def forecast_models() -> list[ModelSpec]:
    """One model of task `series`, two of task `sky`."""
    return [
        ModelSpec(
            id="hello/mean",
            task="series",
            entry_point="forecast_hello.mean:Mean",
            config_entry_point="forecast_hello.configs:MeanConfig",
            summary="The mean of each phase of the season, with the spread around it",
            capabilities=Capabilities(prediction="mixture", missing_values=True),
            test_configs=({"horizon": 6, "seasonality": 24}, {"horizon": 6}),
        ),
        ModelSpec(
            id="hello/sky-frequency",
            task="sky",
            entry_point="forecast_hello.frequency:Frequency",
            config_entry_point="forecast_hello.configs:FrequencyConfig",
            summary="How often each sky has been seen so far",
            capabilities=Capabilities(prediction="class", needs_fit=False),
        ),
        ModelSpec(
            id="hello/sky-markov",
            task="sky",
            entry_point="forecast_hello.markov:Markov",
            config_entry_point="forecast_hello.configs:MarkovConfig",
            summary="How often each sky has followed today's",
            capabilities=Capabilities(prediction="class"),
        ),
    ]


@hookimpl
def forecast_metrics() -> list[Metric]:
    """The metric `surprise`."""
    from forecast_hello.surprise import SURPRISE

    return [SURPRISE]


@hookimpl
def forecast_datasets() -> list[DatasetSpec]:
    """A made-up year of skies."""
    return [
        DatasetSpec(
            id="hello/sky",
            task="sky",
            entry_point="forecast_hello.sky:year_of_sky",
            summary="366 simulated days of sun, cloud and rain, 2024",
            licence="CC0-1.0",
        )
    ]
