"""Tuning: a model's options searched with Optuna, scored on validation, resumable and in parallel."""

from forecast_core.tuning.failures import TuningError as TuningError
from forecast_core.tuning.result import TrialRecord as TrialRecord, Tuning as Tuning
from forecast_core.tuning.space import Dimension as Dimension, read_space as read_space
from forecast_core.tuning.study import tune as tune
