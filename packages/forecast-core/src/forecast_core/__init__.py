"""forecast-core: predict what happens next, with honest uncertainty.

Names are imported when first used (PEP 562), so that importing this package costs no more than its few
hard dependencies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecast_core.lazy import lazy_exports

if TYPE_CHECKING:
    from forecast_core import plugins as plugins, splits as splits
    from forecast_core.artifacts import State as State
    from forecast_core.compose.creating import (
        conformalize as conformalize,
        create_ensemble as create_ensemble,
    )
    from forecast_core.config import ModelConfig as ModelConfig, RunConfig as RunConfig, Search as Search
    from forecast_core.conformance import (
        ConformanceReport as ConformanceReport,
        PredictorConformance as PredictorConformance,
        check_predictor as check_predictor,
    )
    from forecast_core.data import (
        Data as Data,
        Freq as Freq,
        Panel as Panel,
        PanelWindows as PanelWindows,
        Windows as Windows,
    )
    from forecast_core.errors import ForecastError as ForecastError
    from forecast_core.evaluation import (
        Backtest as Backtest,
        Comparison as Comparison,
        CrossValidation as CrossValidation,
        Evaluation as Evaluation,
        RefitPolicy as RefitPolicy,
        backtest as backtest,
        compare as compare,
        cross_validate as cross_validate,
        evaluate as evaluate,
    )
    from forecast_core.exporting import Exported as Exported, export as export
    from forecast_core.hookspecs import hookimpl as hookimpl, hookspec as hookspec
    from forecast_core.metrics import Metric as Metric, available_metrics as available_metrics
    from forecast_core.plugins import register_plugin as register_plugin
    from forecast_core.prediction import (
        ClassPrediction as ClassPrediction,
        ForecastPrediction as ForecastPrediction,
        Interval as Interval,
        MixturePrediction as MixturePrediction,
        PathMixturePrediction as PathMixturePrediction,
        PointPrediction as PointPrediction,
        Prediction as Prediction,
        QuantilePrediction as QuantilePrediction,
        SamplePrediction as SamplePrediction,
        Uncertainty as Uncertainty,
    )
    from forecast_core.predictor import ModelInfo as ModelInfo, Predictor as Predictor
    from forecast_core.registry import (
        available_datasets as available_datasets,
        available_losses as available_losses,
        available_models as available_models,
        available_tasks as available_tasks,
        create_model as create_model,
        describe_model as describe_model,
        get_loss as get_loss,
        load_dataset as load_dataset,
        load_model as load_model,
    )
    from forecast_core.run import Run as Run
    from forecast_core.run_files import (
        compose_run_configs as compose_run_configs,
        read_run_config as read_run_config,
    )
    from forecast_core.specs import (
        Capabilities as Capabilities,
        DatasetSpec as DatasetSpec,
        LossSpec as LossSpec,
        ModelSpec as ModelSpec,
        TaskSpec as TaskSpec,
    )
    from forecast_core.tracking import (
        MLflowTracker as MLflowTracker,
        ModelRegistry as ModelRegistry,
        RegisteredModel as RegisteredModel,
    )
    from forecast_core.tuning import Tuning as Tuning, tune as tune

_EXPORTS = {
    "artifacts": ("State",),
    "compose.creating": ("conformalize", "create_ensemble"),
    "config": ("ModelConfig", "RunConfig", "Search"),
    "conformance": ("ConformanceReport", "PredictorConformance", "check_predictor"),
    "data": ("Data", "Freq", "Panel", "PanelWindows", "Windows"),
    "errors": ("ForecastError",),
    "evaluation": (
        "Backtest",
        "Comparison",
        "CrossValidation",
        "Evaluation",
        "RefitPolicy",
        "backtest",
        "compare",
        "cross_validate",
        "evaluate",
    ),
    "exporting": ("Exported", "export"),
    "hookspecs": ("hookimpl", "hookspec"),
    "metrics": ("Metric", "available_metrics"),
    "plugins": ("register_plugin",),
    "prediction": (
        "ClassPrediction",
        "ForecastPrediction",
        "Interval",
        "MixturePrediction",
        "PathMixturePrediction",
        "PointPrediction",
        "Prediction",
        "QuantilePrediction",
        "SamplePrediction",
        "Uncertainty",
    ),
    "predictor": ("ModelInfo", "Predictor"),
    "registry": (
        "available_datasets",
        "available_losses",
        "available_models",
        "available_tasks",
        "create_model",
        "describe_model",
        "get_loss",
        "load_dataset",
        "load_model",
    ),
    "run": ("Run",),
    "run_files": ("compose_run_configs", "read_run_config"),
    "specs": ("Capabilities", "DatasetSpec", "LossSpec", "ModelSpec", "TaskSpec"),
    "tracking": ("MLflowTracker", "ModelRegistry", "RegisteredModel"),
    "tuning": ("Tuning", "tune"),
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS, modules=("plugins", "splits"))
__version__ = "0.1.0"
