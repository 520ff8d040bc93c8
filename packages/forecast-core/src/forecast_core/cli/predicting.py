"""`forecast predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import typer

from forecast_core import registry
from forecast_core.cli.options import DEVICE, with_data_options
from forecast_core.cli.output import JSON, print_table
from forecast_core.cli.sources import load_data
from forecast_core.config import DataConfig
from forecast_core.errors import ConfigError

__all__ = ["add_to"]

_SHOWN = 30


def add_to(app: typer.Typer) -> None:
    """Add `predict`."""
    app.command("predict")(with_data_options(predict))


def predict(
    artifact: Path = typer.Argument(help="Folder of a saved model."),
    *,
    data: DataConfig,
    horizon: int = typer.Option(None, min=1, help="Steps ahead; default: the model's."),
    device: str = DEVICE,
    output: Path = typer.Option(
        None, help="Write a .csv, .parquet or .json file instead of printing a table."
    ),
    as_json: bool = JSON,
) -> None:
    """Predict the steps after the end of the data."""
    import narwhals as nw

    from forecast_core.evaluation.scores import adapted

    if output is not None and output.suffix not in (".csv", ".parquet", ".json"):
        raise ConfigError("--output", "ends in .csv, .parquet or .json", got=str(output))
    if output is not None and not output.absolute().parent.is_dir():
        raise ConfigError("--output", "lies in a folder that exists", got=str(output))
    model = registry.load_model(artifact, device=device)
    prediction = model.predict(adapted(model, load_data(data)), horizon=horizon)
    if output is not None:
        if output.suffix == ".json":
            output.write_text(prediction.to_json())
        else:
            frame = nw.from_native(prediction.to_frame(), eager_only=True)
            (frame.write_csv if output.suffix == ".csv" else frame.write_parquet)(str(output))
    if as_json:
        typer.echo(prediction.to_json())
        return
    if output is not None:
        typer.echo(f"wrote {output}")
        return
    columns = prediction._columns()
    names = list(columns)
    total = len(columns[names[0]])
    rows = [[_cell(columns[name][k]) for name in names] for k in range(min(total, _SHOWN))]
    print_table(repr(prediction), names, rows)
    if total > _SHOWN:
        typer.echo(f"{total - _SHOWN} more rows; --output FILE writes all")


def _cell(value: Any) -> str:
    """Numbers to four digits, times to the second or the minute they fall on."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, np.datetime64):
        text = str(value.astype("datetime64[s]"))
        return text.removesuffix(":00")
    return str(value)
