"""`forecast vision describe | views | train | predict`: photos in folders, from the command line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from forecast_core import registry
from forecast_core.cli.options import DEVICE
from forecast_core.cli.output import JSON, print_json, print_table
from forecast_core.errors import ConfigError, InvalidInputError

__all__ = ["add_to"]

_ROOT = typer.Argument(help="Folder of photos: metadata.jsonl or .csv, images/ and labels/, yes/ and no/.")
_SPLIT = typer.Option(None, help="Subfolder of images/ and labels/, such as train; other folders have none.")
_MODELS = ("vision/roadwork", "vision/logistic")
_SHOWN = 30


def add_to(cli: typer.Typer) -> None:
    """Add the group `vision`."""
    group = typer.Typer(no_args_is_help=True, help="Roadwork in photos.")
    for command in (describe, views, train, predict):
        group.command(command.__name__)(command)
    cli.add_typer(group, name="vision")


def describe(root: Path = _ROOT, split: str = _SPLIT, as_json: bool = JSON) -> None:
    """Count photos, labels, metadata fields and clusters of positions."""
    from dataclasses import asdict

    from forecast_vision.describing import describe_dataset
    from forecast_vision.photos import PhotoSet

    found = describe_dataset(PhotoSet.from_folder(root, split=split))
    if as_json:
        print_json(asdict(found))
    else:
        typer.echo(str(found))


def views(
    photo: Path = typer.Argument(help="A photo."),
    output: Path = typer.Option(None, help="Draw the views on the photo: a .png, .svg or .pdf file."),
    as_json: bool = JSON,
) -> None:
    """Show where the twelve views of a photo lie."""
    from dataclasses import asdict

    from forecast_vision.folders import readable
    from forecast_vision.views import image_size, plot_views, view_boxes

    _check_output(output, (".png", ".svg", ".pdf"))
    boxes = view_boxes(*image_size(photo))
    if output is not None:
        plot_views(photo).savefig(output, dpi=110)
        typer.echo(f"wrote {readable(str(output))}")
    elif as_json:
        print_json([asdict(box) for box in boxes])
    else:
        rows = [[b.name, *map(str, (b.top, b.left, b.bottom, b.right))] for b in boxes]
        print_table(readable(str(photo)), ["view", "top", "left", "bottom", "right"], rows)


def train(
    root: Path = _ROOT,
    split: str = _SPLIT,
    validation_split: str = typer.Option(None, help="Subfolder whose photos stop training."),
    model: str = typer.Option(_MODELS[0], help=f"One of {', '.join(_MODELS)}."),
    option: list[str] = typer.Option([], "--option", "-o", help="Option of the model, name=value."),
    seed: int = typer.Option(0, help="Seed of everything random."),
    out: Path = typer.Option(Path("runs"), help="Folder in which the run gets one of its own."),
    as_json: bool = JSON,
) -> None:
    """Fit a model on the labelled photos of a folder and save it."""
    from forecast_core.run import Run
    from forecast_core.training.history import HistoryWriter
    from forecast_core.training.progress import ProgressBar
    from forecast_vision.folders import readable
    from forecast_vision.photos import PhotoSet

    if model not in _MODELS:
        raise ConfigError("--model", f"is one of {', '.join(_MODELS)}", got=repr(model))
    predictor = registry.create_model(model, **_options(option))
    photos = PhotoSet.from_folder(root, split=split)
    held = None if validation_split is None else PhotoSet.from_folder(root, split=validation_split)
    listeners: list[Any] = [HistoryWriter(), *([] if as_json else [ProgressBar()])]
    run = Run.create(out, model, listeners=listeners)
    predictor.fit(photos, validation=held, seed=seed, run=run)
    assert run.directory is not None
    folder = run.directory / "model"
    predictor.save(folder)
    report = getattr(predictor, "report", None)
    told = {"model": str(folder), "report": None if report is None else report.model_dump(mode="json")}
    if as_json:
        print_json(told)
        return
    if report is not None:
        rows = [[k, "-" if v is None else f"{v:.4g}"] for k, v in report.out_of_fold.items()]
        print_table("out-of-fold photos", ["metric", "value"], rows)
    typer.echo(f"saved {readable(str(folder))}")


def predict(
    artifact: Path = typer.Argument(help="Folder of a saved model."),
    root: Path = typer.Argument(help="A photo, or a folder of photos."),
    split: str = _SPLIT,
    device: str = DEVICE,
    output: Path = typer.Option(None, help="Write a .csv or .json file instead of printing."),
    as_json: bool = JSON,
) -> None:
    """Tell for each photo whether there is roadwork in it, and which view says so."""
    from forecast_core.training.atomic import write_atomically
    from forecast_vision.folders import readable
    from forecast_vision.photos import Photo, PhotoSet

    _check_output(output, (".csv", ".json"))
    if split is not None and not root.is_dir():
        raise ConfigError("--split", "is left out where a photo is given", got=repr(split))
    model = registry.load_model(artifact, device=device)
    if root.is_dir():
        photos = PhotoSet.from_folder(root, split=split)
    else:
        photos = PhotoSet([Photo(root, name=readable(root.name))])
    prediction = model.predict(photos)
    if as_json:
        typer.echo(prediction.to_json())
    elif output is None:
        columns = _columns(prediction)
        rows = [[str(c[k]) for c in columns.values()] for k in range(min(len(prediction), _SHOWN))]
        print_table(repr(prediction), list(columns), rows)
        if len(prediction) > _SHOWN:
            typer.echo(f"{len(prediction) - _SHOWN} more photos; --output FILE writes all")
    else:
        text = prediction.to_json() if output.suffix == ".json" else _csv(_columns(prediction))
        write_atomically(output, [text.encode()])
        typer.echo(f"wrote {readable(str(output))}")


def _check_output(output: Path | None, suffixes: Sequence[str]) -> None:
    if output is None:
        return
    if output.suffix not in suffixes:
        rule = f"ends in {', '.join(suffixes[:-1])} or {suffixes[-1]}"
        raise ConfigError("--output", rule, got=str(output))
    if not output.absolute().parent.is_dir():
        raise ConfigError("--output", "lies in a folder that exists", got=str(output))


def _columns(prediction: Any) -> dict[str, list[Any]]:
    from forecast_vision.views import view_boxes

    columns: dict[str, list[Any]] = {
        "photo": list(prediction.item_ids),
        "roadwork": [f"{p:.4f}" for p in prediction.probability("roadwork")],
    }
    if "decision" in prediction.aux:
        names = [box.name for box in view_boxes(32, 32)]
        columns["decision"] = ["yes" if d else "no" for d in prediction.aux["decision"]]
        columns["view"] = [names[k] for k in prediction.aux["view_weights"].argmax(1)]
    return columns


def _csv(columns: dict[str, list[Any]]) -> str:
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue()


def _options(given: list[str]) -> dict[str, Any]:
    """Options as the configuration takes them: JSON where it is JSON, else text."""
    options: dict[str, Any] = {}
    for each in given:
        name, equals, text = each.partition("=")
        name = name.replace("-", "_")
        if not equals or not name or name in options:
            raise InvalidInputError("--option", "is name=value, each name once", got=repr(each))
        try:
            options[name] = json.loads(text)
        except ValueError:
            options[name] = text
    return options
