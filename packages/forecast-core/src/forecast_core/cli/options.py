"""Options that several commands share: where data comes from."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, Literal

import typer

from forecast_core.config import DataConfig

__all__ = ["DEVICE", "Layout", "data_config", "with_data_options"]

Layout = Literal["long", "wide"]

DEVICE: Any = typer.Option(
    None, "--device", help="Where networks compute, such as cpu; default: where they were trained."
)


def data_config(
    source: str = typer.Option(..., "--data", help="Id of a dataset, or path of a csv or parquet file."),
    layout: Layout = typer.Option(
        "long", "--layout", help="long: a row an (item, time); wide: a column an item."
    ),
    timestamp: str = typer.Option("timestamp", help="Column of times."),
    item_id: str = typer.Option(None, help="Column of item ids; without it the table is one series."),
    target: str = typer.Option("target", help="Columns to predict, comma-separated."),
    freq: str = typer.Option(None, help="Frequency such as h or 5min; inferred by default."),
    past: str = typer.Option("", "--past-covariates", help="Columns known up to now, comma-separated."),
    future: str = typer.Option("", "--future-covariates", help="Columns known ahead, comma-separated."),
    static: str = typer.Option(
        "", "--static-covariates", help="Columns constant within an item, comma-separated."
    ),
    tz: str = typer.Option(None, help="Zone whose clock calendar features follow."),
) -> DataConfig:
    """The data options of a command line as one object."""
    return DataConfig(
        source=source,
        layout=layout,
        timestamp=timestamp,
        item_id=item_id,
        target=_words(target),
        freq=freq,
        past_covariates=_words(past),
        future_covariates=_words(future),
        static_covariates=_words(static),
        tz=tz,
    )


def with_data_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose parameter `data: DataConfig` is given by the options of `data_config`.

    Where that parameter has the default None, --data may be left out, and `data` is then None.
    """
    own = inspect.signature(command, eval_str=True).parameters
    options = dict(inspect.signature(data_config, eval_str=True).parameters)
    if own["data"].default is None:
        optional = typer.Option(None, "--data", help=options["source"].default.help)
        options["source"] = options["source"].replace(default=optional)
    parameters: list[inspect.Parameter] = []
    for name, parameter in own.items():
        parameters += options.values() if name == "data" else [parameter]

    @wraps(command)
    def told(*arguments: Any, **given: Any) -> None:
        chosen = {name: given.pop(name) for name in options}
        data = None if chosen["source"] is None else data_config(**chosen)
        command(*arguments, **given, data=data)

    keyword = inspect.Parameter.KEYWORD_ONLY
    told.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [parameter.replace(kind=keyword) for parameter in parameters]
    )
    told.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return told


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())
