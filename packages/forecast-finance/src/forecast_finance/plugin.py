"""What this package registers: its task, models, datasets and commands, as specs."""

from __future__ import annotations

from forecast_core.hookspecs import hookimpl
from forecast_core.specs import Capabilities, DatasetSpec, ModelSpec, TaskSpec


@hookimpl
def forecast_tasks() -> list[TaskSpec]:
    return [
        TaskSpec(
            id="bars",
            data="forecast_finance.bars:Bars",
            baseline="finance/always-up",
            objective="crps",
            sample_data="forecast_finance.simulated:sample_bars",
        )
    ]


@hookimpl
def forecast_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            id="finance/always-up",
            task="bars",
            entry_point="forecast_finance.models.always_up:AlwaysUp",
            config_entry_point="forecast_finance.configs:AlwaysUpConfig",
            summary="Prices rise, whatever happened: the base that every accuracy is held to",
            capabilities=Capabilities(prediction="mixture", needs_fit=False),
            test_configs=({"context_length": 20},),
        ),
        ModelSpec(
            id="finance/momentum",
            task="bars",
            entry_point="forecast_finance.models.momentum:Momentum",
            config_entry_point="forecast_finance.configs:MomentumConfig",
            summary="Part of the past return goes on",
            capabilities=Capabilities(prediction="mixture", needs_fit=False),
            test_configs=({"context_length": 20},),
        ),
        ModelSpec(
            id="finance/ridge",
            task="bars",
            entry_point="forecast_finance.models.ridge:Ridge",
            config_entry_point="forecast_finance.configs:RidgeConfig",
            summary="Ridge regression of returns on the features, in closed form",
            capabilities=Capabilities(prediction="mixture"),
            requires=("numba", "talib"),
            install_hint="pip install forecast-finance",
            test_configs=({"context_length": 60}, {"embedding": "statistical", "components": 8}),
        ),
        ModelSpec(
            id="finance/lightgbm",
            task="bars",
            entry_point="forecast_finance.models.lightgbm:LightGBM",
            config_entry_point="forecast_finance.configs:LightGBMConfig",
            summary="Gradient-boosted trees of returns on the features, a set a horizon",
            capabilities=Capabilities(prediction="mixture"),
            requires=("lightgbm", "numba", "talib"),
            install_hint="pip install 'forecast-finance[lightgbm]'",
            test_configs=(
                {"context_length": 60, "max_rounds": 10, "min_leaf": 10, "num_leaves": 7, "threads": 1},
            ),
        ),
        ModelSpec(
            id="finance/timeformer-xl",
            task="bars",
            entry_point="forecast_finance.models.timeformer_xl:TimeFormerXL",
            config_entry_point="forecast_finance.configs:TimeFormerConfig",
            summary="Transformer over patches of bars, 5.0 million weights: Gaussian returns, directions",
            capabilities=Capabilities(prediction="mixture"),
            requires=("numba", "talib", "torch"),
            install_hint="pip install forecast-finance",
            test_configs=(
                {**_SMALL, "embedding": "none", "context_length": 60, "layers": 1, "feed_forward": 8},
                {**_SMALL, "components": 4, "layers": 1, "feed_forward": 8},
            ),
        ),
        ModelSpec(
            id="finance/tft-xl",
            task="bars",
            entry_point="forecast_finance.models.tft_xl:TFTXL",
            config_entry_point="forecast_finance.configs:TFTConfig",
            summary="Temporal fusion transformer of bars, 5.2 million weights: quantiles, directions",
            capabilities=Capabilities(prediction="quantile"),
            requires=("numba", "talib", "torch"),
            install_hint="pip install forecast-finance",
            test_configs=(
                {**_SMALL, "embedding": "none", "context_length": 60, "layers": 2, "embedding_size": 4},
            ),
        ),
        ModelSpec(
            id="finance/ensemble",
            task="bars",
            entry_point="forecast_finance.models.ensemble:Ensemble",
            config_entry_point="forecast_finance.configs:EnsembleConfig",
            summary="TimeFormer-XL and TFT-XL, and a veto learnt out of fold that turns doubt into HOLD",
            capabilities=Capabilities(prediction="mixture"),
            requires=("lightgbm", "numba", "talib", "torch"),
            install_hint="pip install 'forecast-finance[lightgbm]'",
            test_configs=(
                {
                    "timeformer": {**_TINY, "feed_forward": 8},
                    "tft": {**_TINY, "embedding_size": 4},
                    "veto": {"max_rounds": 10, "min_leaf": 5, "num_leaves": 7, "threads": 1},
                    "folds": 2,
                    "embargo": 1,
                },
            ),
        ),
    ]


_SMALL = {"size": 8, "heads": 2, "max_epochs": 1, "batch_size": 32, "windows_per_epoch": 64}
_TINY = {**_SMALL, "embedding": "none", "context_length": 60, "layers": 1}


@hookimpl
def forecast_datasets() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            id="finance/us-indices",
            task="bars",
            entry_point="forecast_finance.datasets.indices:load",
            summary="Daily bars of the S&P 500 and the NASDAQ Composite, 1999-2018",
            licence="NCSA (package arch); figures of Yahoo! Finance",
            requires=("arch", "pandas"),
            install_hint="pip install 'forecast-finance[indices]'",
        )
    ]
