"""Runs and models in MLflow: tracking that survives a server's absence, and a registry without pickle."""

from forecast_core.tracking.connection import RegistryError as RegistryError
from forecast_core.tracking.delivery import Resent as Resent, resend as resend
from forecast_core.tracking.registry import ModelRegistry as ModelRegistry
from forecast_core.tracking.tracker import MLflowTracker as MLflowTracker
from forecast_core.tracking.versions import (
    Alias as Alias,
    Lineage as Lineage,
    RegisteredModel as RegisteredModel,
)
