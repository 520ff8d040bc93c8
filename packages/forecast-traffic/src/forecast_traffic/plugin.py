"""What this package registers for task `graph`: the task and its models, as specs."""

from __future__ import annotations

from forecast_core.hookspecs import hookimpl
from forecast_core.specs import Capabilities, ModelSpec, TaskSpec


@hookimpl
def forecast_tasks() -> list[TaskSpec]:
    return [
        TaskSpec(
            id="graph",
            data="forecast_traffic.graph.panel:GraphPanel",
            baseline="traffic/last-value",
            objective="crps",
            sample_data="forecast_traffic.graph.sample:sample_graph",
            request="forecast_traffic.serving:GraphRequest",
        )
    ]


@hookimpl
def forecast_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            id="traffic/last-value",
            task="graph",
            entry_point="forecast_traffic.models.last_value:LastValue",
            config_entry_point="forecast_traffic.configs:LastValueConfig",
            summary="The last observed value, as wide as changes over that many steps have been",
            capabilities=Capabilities(prediction="mixture", missing_values=True, needs_fit=False),
            test_configs=({"horizon": 6},),
        ),
        ModelSpec(
            id="traffic/seasonal-naive",
            task="graph",
            entry_point="forecast_traffic.models.seasonal_naive:SeasonalNaive",
            config_entry_point="forecast_traffic.configs:SeasonalNaiveConfig",
            summary="The value a day or a week ago, with intervals from past repetitions",
            capabilities=Capabilities(prediction="mixture", missing_values=True, needs_fit=False),
            test_configs=({"horizon": 6, "period": "day"}, {"horizon": 6}),
        ),
        ModelSpec(
            id="traffic/historical-average",
            task="graph",
            entry_point="forecast_traffic.models.historical_average:HistoricalAverage",
            config_entry_point="forecast_traffic.configs:HistoricalAverageConfig",
            summary="What is usual at a node at this time of this weekday, with its spread",
            capabilities=Capabilities(prediction="mixture", missing_values=True),
            test_configs=(
                {"horizon": 6},
                {"horizon": 6, "period": "day", "shrinkage": 0},
                {"horizon": 6, "period": "weekpart"},
            ),
        ),
        ModelSpec(
            id="traffic/stid",
            task="graph",
            entry_point="forecast_traffic.models.stid:STID",
            config_entry_point="forecast_traffic.configs:STIDConfig",
            summary="A small MLP that knows which node and what time of the week it reads; Gaussian mixtures",
            capabilities=Capabilities(prediction="mixture", missing_values=True),
            requires=("torch",),
            install_hint="pip install forecast-traffic",
            test_configs=(
                {**_SMALL, "hidden_size": 8},
                {
                    **_SMALL,
                    "hidden_size": 8,
                    "components": 1,
                    "weekdays": False,
                    "scaling": "node",
                    "residual": False,
                    "mixture_weights": "shared",
                    "loss": {"crps": 0.0, "nll": 1.0, "mae": 0.5},
                },
            ),
        ),
        ModelSpec(
            id="traffic/stmgt",
            task="graph",
            entry_point="forecast_traffic.models.stmgt:STMGT",
            config_entry_point="forecast_traffic.configs:STMGTConfig",
            summary="Graph transformer over roads, time and weather; Gaussian mixtures",
            capabilities=Capabilities(prediction="mixture", missing_values=True, future_covariates=True),
            requires=("torch",),
            install_hint="pip install forecast-traffic",
            test_configs=(
                {**_SMALL, **_TINY},
                {
                    **_SMALL,
                    **_TINY,
                    "block": "sequential",
                    "dense": True,
                    "adaptive": False,
                    "mixture_weights": "shared",
                    "ema": 0.9,
                    "calendar": ("day",),
                },
                {
                    **_SMALL,
                    **_TINY,
                    "road": False,
                    "components": 1,
                    "patch_length": 1,
                    "residual": False,
                    "loss": {"crps": 0.0, "nll": 1.0, "mae": 0.5},
                },
            ),
        ),
    ]


_SMALL = {
    "context_length": 8,
    "horizon": 4,
    "max_epochs": 2,
    "batch_size": 16,
    "windows_per_epoch": 48,
}
_TINY = {"hidden_size": 8, "head_size": 16, "head_layers": 1, "heads": 2, "patch_length": 2}
