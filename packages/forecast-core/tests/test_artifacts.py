"""Saved models: exact round trips, nothing altered gets in, nothing half written stays."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import save

from forecast_core.arrays import arrays_equal
from forecast_core.artifacts import (
    Limits,
    State,
    manifest as schema,
    read_artifact,
    read_manifest,
    write_artifact,
)
from forecast_core.errors import (
    ArtifactError,
    ArtifactIntegrityError,
    ArtifactVersionError,
    InvalidInputError,
)

DTYPES = ["<f2", "<f4", "<f8", "<i1", "<i2", "<i4", "<i8", "<u1", "<u2", "<u4", "<u8", "?"]
NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_./\-]{0,12}", fullmatch=True)
FILES = st.from_regex(r"[a-z0-9_][a-z0-9_.\-]{0,12}", fullmatch=True).filter(
    lambda n: n not in ("manifest.json", "manifest.sha256", "weights.safetensors")
)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
ARRAYS = st.sampled_from(DTYPES).flatmap(lambda d: hnp.arrays(np.dtype(d), SHAPES))
STATES = st.builds(
    State,
    arrays=st.dictionaries(NAMES, ARRAYS, max_size=3),
    texts=st.dictionaries(FILES, st.text(st.characters(exclude_categories=["Cs"])), max_size=2),
)


def write(path: Path, state: State | None = None, **fields: Any) -> Path:
    chosen = state if state is not None else State({"w": np.arange(3.0)}, {"note.txt": "hello"})
    write_artifact(path, chosen, **{"spec_id": "a/b", "spec_version": 1, **fields})
    return path


@settings(max_examples=60, deadline=None)
@given(state=STATES)
def test_states_come_back_bit_for_bit(tmp_path_factory: pytest.TempPathFactory, state: State) -> None:
    path = write(
        tmp_path_factory.mktemp("a") / "m", state, config={"x": [1, None, "é"]}, metrics={"mae": 0.1}
    )
    manifest, back = read_artifact(path)
    assert manifest.config == {"x": [1, None, "é"]}
    assert manifest.metrics == {"mae": 0.1}
    assert back.arrays.keys() == state.arrays.keys()
    for name, array in state.arrays.items():
        assert arrays_equal(back.arrays[name], array) or back.arrays[name].tobytes() == array.tobytes()
    assert dict(back.texts) == dict(state.texts)


def refused(path: Path) -> None:
    with pytest.raises((ArtifactIntegrityError, ArtifactError)):
        read_artifact(path)


def test_every_byte_flip_and_truncation_of_every_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "m")
    read_artifact(path)
    for file in sorted(path.iterdir()):
        whole = file.read_bytes()
        for at in range(len(whole)):
            for bit in (1, 0x20, 0x80):
                file.write_bytes(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :])
                refused(path)
            file.write_bytes(whole[:at])
            refused(path)
        for extra in (b"\n", b"\0", b" "):
            file.write_bytes(whole + extra)
            refused(path)
        file.write_bytes(whole)
    read_artifact(path)


def reseal(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Alter the manifest and give it a digest that fits, as an attacker would."""
    fields = json.loads((path / "manifest.json").read_text())
    change(fields)
    raw = json.dumps(fields).encode()
    (path / "manifest.json").write_bytes(raw)
    (path / "manifest.sha256").write_text(hashlib.sha256(raw).hexdigest())


def place(path: Path, name: str, raw: bytes) -> None:
    (path / name).write_bytes(raw)
    entry = {"sha256": hashlib.sha256(raw).hexdigest(), "size": len(raw)}
    reseal(path, lambda fields: fields["files"].__setitem__(name, entry))


def test_files_that_do_not_belong_are_refused(tmp_path: Path) -> None:
    for k, spoil in enumerate(
        [
            lambda p: (p / "extra.txt").write_text("x"),
            lambda p: (p / "sub").mkdir(),
            lambda p: (p / "note.txt").unlink(),
            lambda p: ((p / "note.txt").unlink(), (p / "note.txt").symlink_to("/etc/hostname")),
            lambda p: ((p / "note.txt").unlink(), os.mkfifo(p / "note.txt")),
            lambda p: ((p / "manifest.sha256").unlink(), os.mkfifo(p / "manifest.sha256")),
            lambda p: (
                (p / "manifest.json").rename(p.parent / "x"),
                (p / "manifest.json").symlink_to(p.parent / "x"),
            ),
        ]
    ):
        path = write(tmp_path / f"m{k}")
        spoil(path)  # type: ignore[no-untyped-call]
        refused(path)


@pytest.mark.parametrize("name", ["../up.txt", "/etc/passwd", "a/b", "", ".hidden", "manifest.json", "x\0y"])
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "m")
    entry = {"sha256": "0" * 64, "size": 0}
    reseal(path, lambda fields: fields["files"].__setitem__(name, entry))
    refused(path)


def test_wrong_manifests_are_refused(tmp_path: Path) -> None:
    changes: list[Callable[[dict[str, Any]], object]] = [
        lambda f: f.__setitem__("unknown", 1),
        lambda f: f.__setitem__("spec_version", "1"),
        lambda f: f.__setitem__("spec_version", True),
        lambda f: f.__setitem__("schema_version", 0),
        lambda f: f.__setitem__("schema_version", "1"),
        lambda f: f.pop("schema_version"),
        lambda f: f.pop("spec_id"),
        lambda f: f["files"].pop("weights.safetensors"),
        lambda f: f.__setitem__("metrics", {"mae": float("nan")}),
    ]
    for k, change in enumerate(changes):
        path = write(tmp_path / f"m{k}")
        reseal(path, change)  # type: ignore[arg-type]
        refused(path)
    for k, raw in enumerate([b"[" * 100_000, b'{"a": 1, "a": 2}', b"\xff", b"null", b"{}"]):
        path = write(tmp_path / f"n{k}")
        (path / "manifest.json").write_bytes(raw)
        (path / "manifest.sha256").write_text(hashlib.sha256(raw).hexdigest())
        refused(path)


def test_newer_schemas_say_upgrade_and_older_ones_migrate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "m")
    reseal(path, lambda f: f.__setitem__("schema_version", 2))
    with pytest.raises(ArtifactVersionError, match="upgrade"):
        read_artifact(path)
    path = write(tmp_path / "old")
    reseal(path, lambda f: f.__setitem__("model", f.pop("spec_id")))
    monkeypatch.setattr(schema, "SCHEMA_VERSION", 2)
    monkeypatch.setitem(
        schema.SCHEMA_MIGRATIONS,
        1,
        lambda f: {**{k: v for k, v in f.items() if k != "model"}, "spec_id": f["model"]},
    )
    assert read_artifact(path)[0].spec_id == "a/b"


def test_sizes_and_counts_are_capped_before_reading(tmp_path: Path) -> None:
    path = write(tmp_path / "m", State({f"a{k}": np.zeros(4) for k in range(5)}, {"t.txt": "x" * 100}))
    for limits in (
        Limits(manifest=10),
        Limits(file=50),
        Limits(total=60),
        Limits(files=2),
        Limits(arrays=3),
        Limits(header=16),
    ):
        with pytest.raises(ArtifactIntegrityError):
            read_artifact(path, limits=limits)
    read_artifact(path)
    bomb = (2**62).to_bytes(8, "little") + b"{}"
    place(path, "weights.safetensors", bomb)
    refused(path)


def test_what_is_no_artifact_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no saved model"):
        read_artifact(tmp_path / "nothing")
    (tmp_path / "file").write_text("x")
    with pytest.raises(ArtifactError):
        read_manifest(tmp_path / "file")


def test_only_artifacts_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(ArtifactError, match="no artifact"):
        write(tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
    (tmp_path / "file").write_text("x")
    with pytest.raises(ArtifactError, match="no directory"):
        write(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty")
    write(tmp_path / "empty", State(texts={"note.txt": "second"}))
    assert read_artifact(tmp_path / "empty")[1].texts["note.txt"] == "second"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty", "file", "mine"]


def test_states_that_cannot_be_stored_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    for bad in (
        {"arrays": {"../x y": np.zeros(1)}},
        {"arrays": {"a": np.array(["text"])}},
        {"arrays": {"a": np.array([object()])}},
        {"arrays": {"a": [1.0]}},
        {"texts": {"UP.txt": "x"}},
        {"texts": {"manifest.json": "x"}},
        {"texts": {"a.txt": b"x"}},
    ):
        with pytest.raises(InvalidInputError):
            State(**bad)  # type: ignore[arg-type]
    with pytest.raises(ArtifactError):
        write(tmp_path / "m", metrics={"mae": float("nan")})
    with pytest.raises(ArtifactError):
        write(tmp_path / "m", config={"x": object()})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("call", ["open", "fsync", "mkdir", "rename", "fdopen"])
def test_a_failing_disk_leaves_the_former_artifact_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = write(tmp_path / "m", State(texts={"note.txt": "first"}))
    monkeypatch.setattr("forecast_core.artifacts.writing._exchange", lambda a, b: False)
    original, left = getattr(os, call), [0]

    def failing(*arguments: Any, **options: Any) -> Any:
        if left[0] == 0:
            left[0] = -1
            raise OSError(28, "No space left on device")
        left[0] -= 1
        return original(*arguments, **options)

    for k in range(12):
        left[0] = k
        with monkeypatch.context() as patch:
            patch.setattr(os, call, failing)
            try:
                write(path, State(texts={"note.txt": f"try {k}"}))
                failed = False
            except ArtifactError:
                failed = True
        text = read_artifact(path)[1].texts["note.txt"]
        whole = {"first"} | {f"try {j}" for j in range(k)}
        assert text in (whole | {f"try {k}"} if failed else {f"try {k}"})  # the last flush may fail too
        assert [p.name for p in tmp_path.iterdir() if not p.name.startswith(".")] == ["m"]


_SAVER = """
import sys, numpy as np
from forecast_core.artifacts import State, write_artifact
path, k = sys.argv[1], int(sys.argv[2])
while True:
    k += 1
    write_artifact(path, State({"w": np.full(5000, float(k))}, {"k.txt": str(k)}), spec_id="a/b", spec_version=1)
    print(k, flush=True)
"""


def killed_while_saving(tmp_path: Path, times: int) -> None:
    path, last = tmp_path / "m", 0
    rng = np.random.default_rng(0)
    for _ in range(times):
        saver = subprocess.Popen([sys.executable, "-c", _SAVER, str(path), str(last)], stdout=subprocess.PIPE)
        assert saver.stdout is not None
        saver.stdout.readline()
        for _ in range(int(rng.integers(0, 12))):
            saver.stdout.readline()
        saver.kill()
        saver.communicate()
        _, state = read_artifact(path)
        now = int(state.texts["k.txt"])
        assert now > last
        assert (state.arrays["w"] == now).all()
        last = now


def test_kill_9_while_saving_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    killed_while_saving(tmp_path, 8)


@pytest.mark.slow
def test_200_kills_while_saving_leave_the_old_or_the_new(tmp_path: Path) -> None:
    killed_while_saving(tmp_path, 200)


def test_malicious_artifacts_execute_nothing(tmp_path: Path) -> None:
    evil = b"cos\nsystem\n(S'touch " + str(tmp_path / "owned").encode() + b"'\ntR."
    path = write(tmp_path / "m")
    place(path, "weights.safetensors", evil)
    other = write(tmp_path / "n", State(texts={"booster.txt": evil.decode()}))
    nested = write(tmp_path / "o")
    place(nested, "weights.safetensors", save({"w": np.zeros(2)})[:-3] + evil)
    code = f"""
import sys
from forecast_core.artifacts import read_artifact
from forecast_core.errors import ArtifactError
seen = []
sys.addaudithook(lambda n, a: seen.append(n) if n.split(".")[0] in ("pickle", "subprocess", "os.system", "exec") else None)
for path in {[str(path), str(other), str(nested)]!r}:
    try:
        read_artifact(path)
    except ArtifactError:
        pass
assert not seen, seen
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert not (tmp_path / "owned").exists()
