"""Checks of what is kept: predictions as text and bytes, models as artifacts."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from forecast_core.conformance.check import check, fail
from forecast_core.conformance.comparing import need_same
from forecast_core.conformance.subject import Subject
from forecast_core.errors import ArtifactError
from forecast_core.prediction import Prediction
from forecast_core.registry import load_model

__all__ = ["no_pickle", "save_and_load", "stored_prediction", "tampering_refused"]

_PICKLES = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))
_ZIP = b"PK\x03\x04"  # torch.save writes pickles in a zip


@check(needs=("predict",))
def stored_prediction(subject: Subject) -> None:
    """A prediction survives JSON and bytes exactly."""
    prediction = subject.predict()
    if Prediction.from_json(prediction.to_json()) != prediction:
        fail("from_json(to_json()) differs")
    if Prediction.from_bytes(prediction.to_bytes()) != prediction:
        fail("from_bytes(to_bytes()) differs")


@check(needs=("config_round_trip", "repeatable"))
def save_and_load(subject: Subject) -> None:
    """A loaded model predicts exactly as the saved one, and knows the same of itself."""
    model = subject.fitted()
    with _saved(subject) as path:
        loaded = load_model(path)
    if loaded.config != model.config:
        fail("the loaded configuration differs")
    if model.info.trained_on is not None and loaded.info != model.info:
        fail(f"info of the loaded model is {loaded.info!r}, saved was {model.info!r}")
    need_same(subject.predict(model=loaded), subject.predict(), what="predict after loading")
    windows = subject.windows(subject.data())
    need_same(
        loaded.predict_windows(windows), model.predict_windows(windows), what="predict_windows after loading"
    )


@check(needs=("predict",))
def no_pickle(subject: Subject) -> None:
    """Saving and loading go through no pickle, and no file of the artifact is one."""
    with _watching() as unpickled, _saved(subject) as path:
        for file in _files(path):
            start = file.read_bytes()[:4]
            if start[:2] in _PICKLES or start == _ZIP:
                fail(f"{file.name} is a pickle or a zip; give arrays and texts to State")
        load_model(path)
    if unpickled:
        fail(f"loading unpickles {', '.join(sorted(set(unpickled)))}; give arrays and texts to State")


@check(needs=("save_and_load",))
def tampering_refused(subject: Subject) -> None:
    """An artifact with a changed, shortened, missing or foreign file is refused."""
    with _saved(subject) as path:
        copy = path.with_name("copy")
        for file in _files(path):
            content = file.read_bytes()
            middle = len(content) // 2
            flipped = (
                content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :] if content else b"1"
            )
            changes = [("changed", flipped), ("shortened", content[:-1]), ("missing", None)]
            for what, written in changes if content else [changes[0], changes[2]]:
                shutil.copytree(path, copy)
                target = copy / file.relative_to(path)
                target.unlink()
                if written is not None:
                    target.write_bytes(written)
                _need_refusal(copy, f"{file.name} {what}")
        shutil.copytree(path, copy)
        (copy / "foreign.bin").write_bytes(b"foreign")
        _need_refusal(copy, "foreign.bin added")


def _need_refusal(path: Path, what: str) -> None:
    try:
        load_model(path)
    except ArtifactError:
        shutil.rmtree(path)
        return
    fail(f"an artifact with {what} is loaded")


@contextmanager
def _saved(subject: Subject) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        subject.fitted().save(path)
        yield path


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file())


class _Watch:
    """Classes that were unpickled while watching; an audit hook stays for good, so it is added once."""

    installed: bool = False
    seen: list[str] | None = None

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "pickle.find_class" and self.seen is not None:
            self.seen.append(".".join(map(str, arguments)))


_watch = _Watch()


@contextmanager
def _watching() -> Iterator[list[str]]:
    if not _watch.installed:
        sys.addaudithook(_watch.hear)
        _watch.installed = True
    seen: list[str] = []
    _watch.seen = seen
    try:
        yield seen
    finally:
        _watch.seen = None
