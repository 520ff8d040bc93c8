"""Our artifact as an MLflow model: its folder as it is, and the name of the module that loads it."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from forecast_core import registry
from forecast_core.artifacts import Manifest, read_manifest
from forecast_core.artifacts.layout import MANIFEST
from forecast_core.errors import ArtifactError
from forecast_core.predictor import Predictor
from forecast_core.tracking.pyfunc import PARAMETERS

__all__ = ["WITHIN", "Staged", "pack", "sha256_of", "staged"]

WITHIN = "data/artifact"  # where an MLflow model of ours holds the artifact
_LOADER = "forecast_core.tracking.pyfunc"


class Staged(NamedTuple):
    """A verified copy of an artifact, its manifest, and the manifest's SHA-256."""

    path: Path
    manifest: Manifest
    sha256: str


@contextmanager
def staged(model: Predictor[Any] | str | PathLike[str]) -> Iterator[Staged]:
    """A copy of a model's artifact that was loaded once, and so verified to its last byte.

    Raises what `Predictor.save` and `load_model` raise; ArtifactError where a folder is no artifact.
    """
    with tempfile.TemporaryDirectory(prefix="forecast-") as folder:
        path = Path(folder) / Path(WITHIN).name
        if isinstance(model, Predictor):
            model.save(path)
        else:
            read_manifest(model)  # refuses links and foreign files before anything is copied
            try:
                shutil.copytree(model, path, symlinks=True)
            except (OSError, shutil.Error) as error:
                raise ArtifactError(f"{model}: cannot be copied: {error}") from error
        registry.load_model(path, device="cpu")  # wherever it was trained, it is verified here
        yield Staged(path, read_manifest(path), sha256_of(path / MANIFEST))


def sha256_of(path: Path) -> str:
    """SHA-256 of a file; ArtifactError where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read: {error.strerror or error}") from error


def pack(artifact: Staged, folder: Path, *, run_id: str, model_id: str, location: str) -> None:
    """Write the MLflow model to `folder`: a pyfunc of our loader and our artifact, nothing pickled.

    Its requirements are the packages the artifact was saved with.
    """
    import mlflow.pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types.schema import DataType, ParamSchema, ParamSpec

    parameters = [
        ParamSpec(name, DataType[kind], [] if is_list else None, (-1,) if is_list else None)
        for name, (kind, is_list) in PARAMETERS.items()
    ]
    versions = {name: text for name, text in artifact.manifest.packages.items() if name != "python"}
    mlflow.pyfunc.save_model(
        path=str(folder),
        loader_module=_LOADER,
        data_path=str(artifact.path),
        model_config={"device": None},  # which whoever loads it may name
        mlflow_model=Model(artifact_path=location, run_id=run_id, model_uuid=model_id, model_id=model_id),
        signature=ModelSignature(params=ParamSchema(parameters)),
        pip_requirements=[f"{name}=={text}" for name, text in versions.items()],
    )
