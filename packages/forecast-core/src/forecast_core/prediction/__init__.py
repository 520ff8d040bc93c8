"""Predictions: typed, frozen distributions with one algebra, open to further kinds."""

from forecast_core.prediction.base import (
    ModelRef as ModelRef,
    Prediction as Prediction,
    prediction_kinds as prediction_kinds,
)
from forecast_core.prediction.classes import ClassPrediction as ClassPrediction
from forecast_core.prediction.forecast import (
    ForecastPrediction as ForecastPrediction,
    Interval as Interval,
    Uncertainty as Uncertainty,
)
from forecast_core.prediction.mixture import MixturePrediction as MixturePrediction
from forecast_core.prediction.paths import PathMixturePrediction as PathMixturePrediction
from forecast_core.prediction.point import PointPrediction as PointPrediction
from forecast_core.prediction.quantile import QuantilePrediction as QuantilePrediction
from forecast_core.prediction.samples import SamplePrediction as SamplePrediction
