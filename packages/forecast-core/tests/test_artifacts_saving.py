"""Saving leaves the former artifact or the new one, whatever fails, and touches nothing else."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forecast_core.artifacts import State, read_artifact, replacing, write_artifact
from forecast_core.errors import ArtifactError, InvalidInputError

TEMPORARY = "0123456789abcdef"


def write(path: Path, text: str = "first") -> None:
    state = State({"w": np.arange(3.0)}, {"note.txt": text})
    write_artifact(path, state, spec_id="series/dummy", spec_version=1)


def content(path: Path) -> str:
    return read_artifact(path)[1].texts["note.txt"]


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


def disk(path: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(path)): p.read_bytes() if p.is_file() else None for p in path.rglob("*")}


def test_saving_again_replaces_the_artifact_and_leaves_nothing_behind(tmp_path: Path) -> None:
    for text in ("first", "second", "third"):
        write(tmp_path / "runs" / "m", text)
        assert content(tmp_path / "runs" / "m") == text
    assert names(tmp_path / "runs") == ["m"]


def test_a_path_may_be_relative_and_an_empty_directory_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m").mkdir()
    write(Path("m"))
    assert content(Path("m")) == "first"
    assert names(tmp_path) == ["m"]


@pytest.mark.skipif(sys.platform == "win32", reason="no file modes there")
def test_an_artifact_is_as_readable_as_other_files_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "usual").mkdir()
    (tmp_path / "usual" / "file").touch()
    write(tmp_path / "m")
    assert (tmp_path / "m").stat().st_mode == (tmp_path / "usual").stat().st_mode
    wanted = (tmp_path / "usual" / "file").stat().st_mode
    assert {p.stat().st_mode for p in (tmp_path / "m").iterdir()} == {wanted}


def make_file(path: Path) -> None:
    path.write_text("years of work")


def make_directory(path: Path) -> None:
    path.mkdir()
    (path / "thesis.txt").write_text("years of work")


def make_web_page(path: Path) -> None:
    path.mkdir()
    (path / "manifest.json").write_text("{}")


def make_artifact_with_subdirectory(path: Path) -> None:
    write(path)
    make_directory(path / "plots")


def make_link_to_artifact(path: Path) -> None:
    write(path.with_name("real"))
    path.symlink_to("real")


def make_broken_link(path: Path) -> None:
    path.symlink_to("nowhere")


@pytest.mark.parametrize(
    "make",
    [
        make_file,
        make_directory,
        make_web_page,
        make_artifact_with_subdirectory,
        make_link_to_artifact,
        make_broken_link,
    ],
)
def test_what_is_no_artifact_is_not_overwritten(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "mine")
    before = disk(tmp_path)
    with pytest.raises(ArtifactError, match="choose another path"):
        write(tmp_path / "mine")
    assert disk(tmp_path) == before


@pytest.mark.parametrize("path", ["", ".", "..", "a/..", "/", "a\0b"])
def test_a_path_without_a_name_is_refused(path: str) -> None:
    with pytest.raises(InvalidInputError, match="path"):
        write_artifact(path, State(), spec_id="series/dummy", spec_version=1)


def test_a_path_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ArtifactError):
        write(tmp_path / "file" / "m")
    assert (tmp_path / "file").read_text() == "x"


class Failing:
    """A function whose call number `at` fails, or all from there on."""

    def __init__(self, original: Callable[..., Any], at: int, error: BaseException, lasting: bool) -> None:
        self.original, self.at, self.error, self.lasting, self.calls = original, at, error, lasting, 0

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.calls += 1
        if self.calls == self.at or (self.lasting and self.calls > self.at):
            raise self.error
        return self.original(*arguments, **options)


@pytest.mark.parametrize("stepwise", [False, True])
@pytest.mark.parametrize("former", [False, True])
@pytest.mark.parametrize(
    ("call", "lasting", "least"),  # least: how often a save makes the call
    [
        ("write", False, 4),
        ("write", True, 4),
        ("fsync", False, 6),
        ("fsync", True, 6),
        ("open", False, 6),
        ("mkdir", False, 2),
        ("scandir", False, 0),
        ("lstat", False, 2),
        ("rename", False, 0),
    ],
)
@pytest.mark.parametrize("kind", [OSError, KeyboardInterrupt])
def test_whichever_call_fails_the_former_artifact_stays_whole(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    lasting: bool,
    least: int,
    former: bool,
    stepwise: bool,
    kind: type[BaseException],
) -> None:
    """The first call fails, then the second, and so on until a save ends before it gets that far."""
    if stepwise:
        monkeypatch.setattr(replacing, "_exchange", lambda first, second: False)
    path, at, calls = tmp_path / "m", 0, 0
    while calls >= at:
        at += 1
        if former:
            write(path, "former")
        failing = Failing(getattr(os, call), at, kind(errno.ENOSPC, "No space left on device"), lasting)
        met: list[BaseException | None] = []
        with monkeypatch.context() as patch:
            patch.setattr(os, call, failing)
            try:
                write(path, "new")
            except (ArtifactError, KeyboardInterrupt) as error:
                met = [error, error.__cause__]
        if met:
            assert failing.error in met
            assert names(tmp_path) == (["m"] if former else [])
            assert not former or content(path) == "former"
        else:
            assert content(path) == "new"
            assert names(tmp_path) == ["m"]
            shutil.rmtree(path)
        calls = failing.calls
    assert calls >= least


def test_a_save_that_cannot_be_made_durable_is_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "m", "former")

    def flush(path: Path) -> None:
        if path == tmp_path:
            assert content(tmp_path / "m") == "new"
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(replacing, "flush_directory", flush)
    with pytest.raises(ArtifactError, match="Input/output error; nothing was changed"):
        write(tmp_path / "m", "new")
    assert content(tmp_path / "m") == "former"
    assert names(tmp_path) == ["m"]


def test_an_exchange_that_fails_leaves_the_former_artifact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "m", "former")
    failing = Failing(replacing._exchange, 1, OSError(errno.ENOSPC, "No space left on device"), False)
    monkeypatch.setattr(replacing, "_exchange", failing)
    with pytest.raises(ArtifactError, match="No space left"):
        write(tmp_path / "m", "new")
    assert content(tmp_path / "m") == "former"
    assert names(tmp_path) == ["m"]


@pytest.mark.skipif(sys.platform != "linux", reason="directories are exchanged in one step on Linux")
def test_linux_exchanges_directories_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def step(*arguments: Any) -> None:
        raise AssertionError("took steps")

    write(tmp_path / "m", "first")
    monkeypatch.setattr(replacing, "_swap_stepwise", step)
    write(tmp_path / "m", "second")
    assert content(tmp_path / "m") == "second"


@pytest.mark.skipif(sys.platform == "win32", reason="no locks on directories there")
def test_leftovers_of_killed_writers_go_with_the_next_save_and_nothing_else_does(tmp_path: Path) -> None:
    write(tmp_path / "m")
    for stale in (f".m.tmp-{TEMPORARY}", f".m.old-{TEMPORARY}"):
        write(tmp_path / stale)
    kept = [f".n.tmp-{TEMPORARY}", ".m.tmp-mine", f"m.tmp-{TEMPORARY}", f"xm.tmp-{TEMPORARY}"]
    for name in kept:
        write(tmp_path / name)
    write(tmp_path / "m", "second")
    assert names(tmp_path) == sorted([*kept, "m"])


@pytest.mark.skipif(sys.platform == "win32", reason="no locks on directories there")
def test_temporaries_of_a_living_writer_stay(tmp_path: Path) -> None:
    with replacing.new_directory(tmp_path / "m") as directory:
        write(tmp_path / "m")
        assert directory.is_dir()
    assert names(tmp_path) == ["m"]


def test_an_artifact_that_stepped_aside_when_its_writer_was_killed_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / f".m.old-{TEMPORARY}", "former")

    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(ArtifactError):
        write(tmp_path / "m", "new")
    assert content(tmp_path / "m") == "former"
    assert names(tmp_path) == ["m"]


@pytest.mark.parametrize("foreign", [False, True])
def test_a_first_save_that_another_writer_overtakes_replaces_an_artifact_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, foreign: bool
) -> None:
    path, rename = tmp_path / "m", os.rename

    def overtaken(source: Path, target: Path) -> None:
        monkeypatch.setattr(os, "rename", rename)
        if foreign:
            target.mkdir()
            (target / "notes").touch()
        else:
            write(path)
        rename(source, target)

    monkeypatch.setattr(os, "rename", overtaken)
    if foreign:
        with pytest.raises(ArtifactError, match="other than an artifact"):
            write(path)
        return
    write(path, "second")
    assert content(path) == "second"
    assert names(tmp_path) == ["m"]


def test_readers_and_writers_of_one_path_at_once_see_whole_artifacts_only(tmp_path: Path) -> None:
    path, failures, done = tmp_path / "m", [], threading.Event()
    write(path, "0")

    def work(step: Callable[[], object], until: Callable[[], bool]) -> None:
        try:
            while not until():
                step()
        except BaseException as error:
            failures.append(error)

    counts = iter(range(1, 121))

    def save_next() -> None:
        if (k := next(counts, None)) is None:
            done.set()
        else:
            write(path, str(k))

    threads = [threading.Thread(target=work, args=(save_next, done.is_set)) for _ in range(2)]
    threads += [
        threading.Thread(target=work, args=(lambda: int(content(path)), done.is_set)) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert int(content(path)) >= 119
    assert names(tmp_path) == ["m"]


_SAVER = """
import sys
import numpy as np
from forecast_core.artifacts import State, write_artifact
path, k = sys.argv[1], int(sys.argv[2])
while True:
    k += 1
    state = State({"w": np.full(20_000, float(k))}, {"note.txt": str(k)})
    write_artifact(path, state, spec_id="series/dummy", spec_version=1)
    print(k, flush=True)
"""


def kill_savers(path: Path, times: int) -> None:
    """Kill a process that saves without pause; what lies there is whole and no older than it has told."""
    rng, last = np.random.default_rng(0), 0
    for _ in range(times):
        command = [sys.executable, "-c", _SAVER, str(path), str(last)]
        saver = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert saver.stdout is not None
        told = [int(saver.stdout.readline()) for _ in range(int(rng.integers(1, 4)))]
        time.sleep(float(rng.uniform(0.0, 0.01)))
        saver.kill()
        told += map(int, saver.communicate()[0].split())
        _, state = read_artifact(path)
        now = int(state.texts["note.txt"])
        assert now in (told[-1], told[-1] + 1)
        assert now > last
        assert (state.arrays["w"] == now).all()
        assert len(names(path.parent)) <= 2  # the artifact, and what this kill left
        last = now


@pytest.mark.skipif(sys.platform != "linux", reason="directories are exchanged in one step on Linux")
def test_kill_9_while_saving_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    kill_savers(tmp_path / "m", 20)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="directories are exchanged in one step on Linux")
def test_200_kills_while_saving_leave_the_old_or_the_new(tmp_path: Path) -> None:
    kill_savers(tmp_path / "m", 200)
