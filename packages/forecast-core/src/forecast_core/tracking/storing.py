"""Putting a model into MLflow: its run, its files as a pyfunc, and a version of a registered name."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from forecast_core.predictor import ModelInfo
from forecast_core.tracking.catalogue import MODEL, NUMBERS, SHA256
from forecast_core.tracking.connection import Connection
from forecast_core.tracking.delivery import log_params
from forecast_core.tracking.packing import Staged, pack
from forecast_core.tracking.provenance import metric_name, model_params, model_tags

__all__ = ["TRANSFER_SECONDS", "registration_run", "store"]

TRANSFER_SECONDS = 60.0
_FROM_RUN = ("forecast.commit", "forecast.dirty", "forecast.run")
_REGISTERED = "forecast.registered"


@contextmanager
def registration_run(
    client: Any, connection: Connection, artifact: Staged, *, name: str, experiment: str
) -> Iterator[str]:
    """Id of a new run that stands for registering a model whose training was not tracked; then closed."""
    info = ModelInfo.model_validate(artifact.manifest.info)
    made = client.create_run(
        connection.experiment(client, experiment),
        run_name=f"register {name}",
        tags={**model_tags(info), _REGISTERED: name},
    )
    run_id, status = str(made.info.run_id), "FAILED"
    try:
        log_params(client, run_id, model_params(info))
        yield run_id
        status = "FINISHED"
    finally:
        client.set_terminated(run_id, status)


def store(
    client: Any,
    connection: Connection,
    artifact: Staged,
    *,
    name: str,
    run_id: str,
    metrics: Mapping[str, float],
    tags: Mapping[str, str],
) -> int:
    """Upload the artifact as a pyfunc of a run, and make it a version of `name`; the version's number."""
    from mlflow.entities import LoggedModelOutput, Metric
    from mlflow.exceptions import MlflowException

    run = client.get_run(run_id)
    logged = client.create_logged_model(
        run.info.experiment_id, name=name, source_run_id=run_id, model_type="forecast"
    )
    client.log_outputs(run_id, models=[LoggedModelOutput(logged.model_id, step=0)])
    now = time.time_ns() // 1_000_000
    rows = [Metric(metric_name(k), v, now, 0, model_id=logged.model_id) for k, v in metrics.items()]
    if rows:
        client.log_batch(run_id, metrics=rows)
    folder = artifact.path.parent / "packed"
    pack(artifact, folder, run_id=run_id, model_id=logged.model_id, location=logged.artifact_location)
    with connection.session(timeout=TRANSFER_SECONDS):
        client.log_model_artifacts(logged.model_id, str(folder))
    client.finalize_logged_model(logged.model_id, "READY")
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    made = client.create_model_version(
        name,
        logged.artifact_location,
        run_id=run_id,
        model_id=logged.model_id,
        tags={
            **tags,
            MODEL: artifact.manifest.spec_id,
            SHA256: artifact.sha256,
            NUMBERS: json.dumps(dict(metrics)),
            **{tag: run.data.tags[tag] for tag in _FROM_RUN if tag in run.data.tags},
            "forecast.commit_of": "registration" if _REGISTERED in run.data.tags else "training",
        },
    )
    return int(made.version)
