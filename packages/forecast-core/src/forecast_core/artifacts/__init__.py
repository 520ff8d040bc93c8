"""Saved models: a directory of a manifest, safetensors and texts, hashed, written and read all or nothing."""

from forecast_core.artifacts.layout import Limits as Limits
from forecast_core.artifacts.manifest import (
    SCHEMA_MIGRATIONS as SCHEMA_MIGRATIONS,
    SCHEMA_VERSION as SCHEMA_VERSION,
    FileEntry as FileEntry,
    Manifest as Manifest,
)
from forecast_core.artifacts.reading import read_artifact as read_artifact, read_manifest as read_manifest
from forecast_core.artifacts.state import State as State
from forecast_core.artifacts.writing import write_artifact as write_artifact
