"""What core registers of composed models."""

from __future__ import annotations

from forecast_core.hookspecs import hookimpl
from forecast_core.specs import ANY_TASK, Capabilities, ModelSpec

_NAIVE = {"id": "series/naive", "params": {"horizon": 6}}
_SEASONAL = {"id": "series/seasonal-naive", "params": {"horizon": 6, "seasonality": 12}}


@hookimpl
def forecast_models() -> list[ModelSpec]:
    """The ensemble and the conformal wrapper; an instance's capabilities follow from its members'."""
    return [
        ModelSpec(
            id="compose/ensemble",
            task=ANY_TASK,
            entry_point="forecast_core.compose.ensemble:EnsemblePredictor",
            config_entry_point="forecast_core.compose.configs:EnsembleConfig",
            summary="Several models of one task as one: the weighted mixture of their distributions",
            capabilities=Capabilities(
                prediction=("mixture", "quantile", "sample", "point", "path-mixture", "class"),
                past_covariates=True,
                future_covariates=True,
                static_covariates=True,
                missing_values=True,
            ),
            test_configs=(
                {"members": [_NAIVE, _SEASONAL]},
                {"members": [_NAIVE, {"id": "compose/conformal", "params": {"model": _SEASONAL}}]},
            ),
        ),
        ModelSpec(
            id="compose/conformal",
            task=ANY_TASK,
            entry_point="forecast_core.compose.conformal:ConformalPredictor",
            config_entry_point="forecast_core.compose.configs:ConformalConfig",
            summary="A forecast model with quantiles corrected by its errors on held-back data",
            capabilities=Capabilities(
                prediction="quantile",
                past_covariates=True,
                future_covariates=True,
                static_covariates=True,
                missing_values=True,
                online=True,
            ),
            test_configs=(
                {"model": _SEASONAL},
                {"model": _NAIVE, "method": "adaptive", "groups": "item", "coverage": [0.5, 0.8]},
            ),
        ),
    ]
