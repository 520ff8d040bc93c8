"""`export`: a saved model as a folder that works elsewhere by its own README."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from forecast_core import registry
from forecast_core.artifacts import read_artifact, read_manifest
from forecast_core.artifacts.replacing import swap_directories
from forecast_core.errors import (
    ArtifactError,
    CapabilityError,
    ConfigError,
    ForecastError,
    InvalidInputError,
    PluginError,
)
from forecast_core.exporting.card import model_card
from forecast_core.exporting.describing import FORMAT, Subject, metadata
from forecast_core.exporting.examples import client, onnx_example
from forecast_core.exporting.graph import Graph
from forecast_core.exporting.onnx_file import need_onnx, to_onnx
from forecast_core.exporting.readme import readme
from forecast_core.exporting.requirements import needed, wheels_of
from forecast_core.exporting.scores import score_table
from forecast_core.predictor import Predictor
from forecast_core.serving.request import ModelRequest
from forecast_core.serving.sources import check_name

if TYPE_CHECKING:
    from forecast_core.evaluation import Backtest

__all__ = ["Exported", "export"]

_MODEL, _METADATA = "model", "metadata.json"
_EXAMPLE_ROWS = (64, 256, 1024, 4096)  # of a request; the fewest that the model can predict from


@dataclass(frozen=True)
class Exported:
    """A folder that was written: where it is, the name its model is served under, and its files.

    onnx: whether an ONNX file is among them.
    """

    path: Path
    name: str
    files: tuple[str, ...]
    onnx: bool


def export(
    model: Predictor[Any] | str | PathLike[str],
    path: str | PathLike[str],
    *,
    name: str | None = None,
    onnx: bool | None = None,
    scores: Backtest | str | PathLike[str] | None = None,
    wheels: str | PathLike[str] | None = None,
    device: str | None = None,
    replace: bool = False,
) -> Exported:
    """Write a folder with all that is needed to use a fitted model elsewhere.

    It holds the artifact (weights and scalers), metadata.json, a model card, exact requirements, a README
    with the commands to install and serve it, a client and a request to try. Where the model offers a graph,
    `onnx/` holds it as ONNX, compared with torch beforehand, beside examples and the arrays of its scaling.

    model: a predictor, or the folder of a saved one. name: to serve it under; default: that of `path`.
    onnx: True demands an ONNX file, False leaves it out; None: where the model offers one. scores: a
    backtest that the model took part in, or the metrics.json of its run, for the model card. wheels: a
    folder of wheels, of which those needed are copied; it has to hold those of core and the model's plugin.
    device: where networks will compute, such as "cpu"; default: where they were trained. replace: put it in
    the place of an older export.

    Everything is written beside `path` and put there in one step, so that on an error nothing has changed.
    Raises what `load_model` raises; InvalidInputError where `path` holds something else, or wheels are
    missing; CapabilityError for a model without graph; MissingDependencyError where ONNX is not installed.
    """
    if "\0" in os.fspath(path):
        raise InvalidInputError("path", "is a path", got=repr(path))
    target = Path(os.path.abspath(path))
    served = check_name(target.name if name is None else name)
    replaces = _replaces(target, allowed=replace)
    if onnx:
        need_onnx()
    with _beside(target) as folder:
        loaded = _artifact(model, folder / _MODEL, device=device)
        manifest, state = read_artifact(folder / _MODEL)
        graph, reason = _graph(loaded, onnx)
        packages, ours = needed(manifest.spec_id, manifest.config)
        if wheels is not None:
            copied = wheels_of(Path(wheels), packages, at_least=ours)
            (folder / "wheels").mkdir()
            for wheel in copied:
                shutil.copyfile(wheel, folder / "wheels" / wheel.name)
        if graph is not None:
            _write_graph(folder / "onnx", graph, owner=manifest.spec_id)
        body = _request(loaded)
        if body is not None:
            (folder / "request.json").write_text(json.dumps(body) + "\n", encoding="utf-8")
        subject = Subject(
            name=served,
            manifest=manifest,
            state=state,
            graph=graph,
            without_graph=reason,
            packages=packages,
            ours=ours,
            scores=None if scores is None else score_table(scores, model_id=manifest.spec_id),
            is_served=loaded.task.request is not None,
            has_request=body is not None,
            has_wheels=wheels is not None,
            onnx_packages={} if graph is None else {lib: version(lib) for lib in ("numpy", "onnxruntime")},
        )
        texts = {
            "README.md": readme(subject),
            "MODEL_CARD.md": model_card(subject),
            "requirements.txt": _requirements(subject),
        }
        if subject.is_served:
            texts["client.py"] = client(served)
        for file, text in texts.items():
            (folder / file).write_text(text, encoding="utf-8")
        hashes = {file: hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in _files(folder)}
        (folder / _METADATA).write_text(metadata(subject, hashes), encoding="utf-8")
        files = tuple(_files(folder))
        _put(folder, target, replaces=replaces)
    return Exported(path=target, name=served, files=files, onnx=graph is not None)


def _artifact(
    model: Predictor[Any] | str | PathLike[str], copy: Path, *, device: str | None
) -> Predictor[Any]:
    """Put the artifact at `copy`; the model as it loads from there, verified to its last byte."""
    if isinstance(model, Predictor):
        model.save(copy)
    else:
        read_manifest(model)  # refuses links and foreign files before anything is copied
        try:
            shutil.copytree(model, copy, symlinks=True)
        except (OSError, shutil.Error) as error:
            raise ArtifactError(f"{model}: cannot be copied: {error}") from error
    try:
        loaded = registry.load_model(copy, device=device)
        if device is not None and loaded.config != type(loaded.config)(**read_manifest(copy).config):
            loaded.save(copy)
        return loaded
    except ArtifactError as error:
        if isinstance(model, Predictor):
            raise
        raise type(error)(str(error).replace(str(copy), str(model))) from error


def _graph(model: Predictor[Any], wanted: bool | None) -> tuple[Graph | None, str]:
    """The model's graph, or why there is none."""
    if wanted is False:
        return None, "it was left out"
    try:
        graph = model._graph()
    except CapabilityError as error:
        if wanted:
            raise
        return None, str(error)
    need_onnx()
    return graph, ""


def _write_graph(folder: Path, graph: Graph, *, owner: str) -> None:
    raw = to_onnx(graph, owner=owner)
    folder.mkdir()
    (folder / "model.onnx").write_bytes(raw)
    example = graph.example()
    expected = {f"expected_{name}": value for name, value in graph.run(example).items()}
    _save_arrays(folder / "example.npz", {**example, **expected}, owner)
    _save_arrays(folder / "arrays.npz", graph.arrays, owner)
    (folder / "predict.py").write_text(onnx_example(), encoding="utf-8")


def _save_arrays(path: Path, arrays: Mapping[str, np.ndarray], owner: str) -> None:
    strange = next((name for name, array in arrays.items() if array.dtype.kind not in "fiub"), None)
    if strange is not None:  # numpy would pickle it
        raise PluginError(f"{owner}: the array {strange!r} of its graph holds no numbers")
    np.savez(path, **arrays)  # type: ignore[arg-type]


def _request(model: Predictor[Any]) -> dict[str, Any] | None:
    """A body that the model answers, if its task makes examples."""
    if model.task.request is None:
        return None
    kind = registry.load_object(model.task.request, owner=model.task.id)
    if not (isinstance(kind, type) and issubclass(kind, ModelRequest)):
        return None
    for rows in _EXAMPLE_ROWS:
        body = kind.example(model.info, rows=rows)
        if body is None:
            return None
        try:
            model.predict(kind.model_validate(body, strict=False).to_data(model.info))
        except ConfigError:
            raise  # nobody could ask it
        except (ForecastError, ValidationError):
            continue
        return body
    return None


def _requirements(subject: Subject) -> str:
    lines = [f"# What {subject.name} needs, as it was when it was exported."]
    extras = {"forecast-core": "[cli,serve]"}
    lines += [f"{name}{extras.get(name, '')}=={text}" for name, text in subject.packages.items()]
    return "\n".join(lines) + "\n"


def _files(folder: Path) -> list[str]:
    return sorted(each.relative_to(folder).as_posix() for each in folder.rglob("*") if each.is_file())


def _replaces(target: Path, *, allowed: bool) -> bool:
    """Whether there is an older export to replace; InvalidInputError for other than an empty folder."""
    if not os.path.lexists(target):
        return False
    if target.is_symlink() or not target.is_dir():
        raise InvalidInputError("path", "is a new folder", got=f"{target}, which is no folder")
    if not any(target.iterdir()):
        return False
    told: Any = None
    with suppress(OSError, ValueError):
        told = json.loads((target / _METADATA).read_text(encoding="utf-8"))
    is_export = isinstance(told, dict) and told.get("format") == FORMAT
    if allowed and is_export:
        ours = {_METADATA, *told.get("files", ())}
        others = next((file for file in _files(target) if file not in ours), None)
        if others is None:
            return True
        hint = "move it away first, or choose another folder"
        raise InvalidInputError("path", "holds an export alone", got=f"{target / others}", hint=hint)
    hint = "replace=True (--replace) puts a new export in its place" if is_export else "choose another"
    raise InvalidInputError("path", "is a new or empty folder", got=f"{target}, which holds files", hint=hint)


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A hidden folder beside `target` to write to, gone afterwards with what is then in it."""
    new = [each for each in target.parents if not each.exists()]  # innermost first
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = target.with_name(f".{target.name}.tmp-{secrets.token_hex(8)}")
        folder.mkdir()
    except OSError as error:
        raise ArtifactError(f"{target}: cannot be written: {error.strerror or error}") from error
    try:
        yield folder
    except OSError as error:
        reason = error.strerror or error
        raise ArtifactError(f"{target}: cannot be written: {reason}; nothing was changed") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for each in new:
            with suppress(OSError):  # where something was put there
                each.rmdir()


def _put(folder: Path, target: Path, *, replaces: bool) -> None:
    if replaces:
        swap_directories(folder, target)
    else:
        os.rename(folder, target)
