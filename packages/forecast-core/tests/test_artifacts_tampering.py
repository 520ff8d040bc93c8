"""What is not exactly as it was written is refused with a typed error; it runs nothing, hangs nothing."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from forecast_core.artifacts import (
    Limits,
    State,
    manifest as schema,
    read_artifact,
    read_manifest,
    reading,
    write_artifact,
)
from forecast_core.errors import ArtifactError, ArtifactIntegrityError, ArtifactVersionError

WEIGHTS = "weights.safetensors"


def write(path: Path, arrays: dict[str, np.ndarray] | None = None, text: str = "hello") -> Path:
    arrays = arrays if arrays is not None else {"w": np.arange(3.0)}
    write_artifact(path, State(arrays, {"note.txt": text}), spec_id="series/dummy", spec_version=1)
    return path


def seal(path: Path, raw: bytes) -> None:
    """Put `raw` in the manifest's place with a digest that fits, as an attacker would."""
    (path / "manifest.json").write_bytes(raw)
    (path / "manifest.sha256").write_text(hashlib.sha256(raw).hexdigest())


def reseal(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    fields = json.loads((path / "manifest.json").read_text())
    change(fields)
    seal(path, json.dumps(fields).encode())


def place(path: Path, name: str, raw: bytes) -> None:
    """Put a file into the artifact, listed with its true hash."""
    (path / name).write_bytes(raw)
    entry = {"sha256": hashlib.sha256(raw).hexdigest(), "size": len(raw)}
    reseal(path, lambda fields: fields["files"].update({name: entry}))


def safetensors(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(raw) if length is None else length).to_bytes(8, "little") + raw + data


def test_every_flip_truncation_and_extension_of_every_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "m")
    read_artifact(path)
    for file in sorted(path.iterdir()):
        whole = file.read_bytes()
        spoiled = [whole[:at] for at in range(len(whole))]
        spoiled += [whole + extra for extra in (b"\n", b"\0", b" ", whole)]
        for at, byte in enumerate(whole):
            flips = range(8) if file.name == "manifest.sha256" else (at % 8, 5)  # 5: the case of a letter
            spoiled += [whole[:at] + bytes([byte ^ (1 << bit)]) + whole[at + 1 :] for bit in flips]
        for raw in spoiled:
            file.write_bytes(raw)
            with pytest.raises(ArtifactIntegrityError):
                read_artifact(path)
        file.write_bytes(whole)
    read_artifact(path)


def test_files_of_another_artifact_are_refused(tmp_path: Path) -> None:
    for name in ("manifest.json", "manifest.sha256", WEIGHTS, "note.txt"):
        path = write(tmp_path / f"m-{name}")
        other = write(tmp_path / f"n-{name}", {"w": np.arange(3.0)[::-1]}, "there")
        shutil.copy(other / name, path / name)
        with pytest.raises(ArtifactIntegrityError, match=r"altered|bytes"):
            read_artifact(path)


def test_two_files_that_change_places_are_refused(tmp_path: Path) -> None:
    texts = {"a.txt": "one", "b.txt": "two"}
    write_artifact(tmp_path / "m", State(texts=texts), spec_id="series/dummy", spec_version=1)
    (tmp_path / "m" / "a.txt").write_text("two")
    (tmp_path / "m" / "b.txt").write_text("one")
    with pytest.raises(ArtifactIntegrityError, match=r"a\.txt"):
        read_artifact(tmp_path / "m")


def become_link(path: Path) -> None:
    shutil.move(path, path.parent.parent / "elsewhere")
    path.symlink_to(path.parent.parent / "elsewhere")


def become_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def become_socket(path: Path) -> None:
    path.unlink()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))  # such a name may be 108 bytes long


def become_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.skipif(sys.platform == "win32", reason="no links, pipes and sockets there")
@pytest.mark.parametrize("name", ["manifest.json", "manifest.sha256", WEIGHTS, "note.txt"])
@pytest.mark.parametrize("become", [become_link, become_fifo, become_socket, become_directory])
def test_what_is_not_a_plain_file_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, become: Callable[[Path], None]
) -> None:
    path = write(tmp_path / "m")
    monkeypatch.chdir(path)
    become(path / name)
    with pytest.raises(ArtifactIntegrityError, match="plain file"):
        read_artifact(path)
    with pytest.raises(ArtifactIntegrityError, match="plain file"):
        read_manifest(path)


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes there")
def test_a_file_that_turns_into_a_pipe_between_look_and_open_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, original = write(tmp_path / "m"), os.open

    def late(name: Any, *rest: Any, **options: Any) -> int:
        if Path(name).name == "note.txt":
            become_fifo(Path(name))
        return original(name, *rest, **options)

    monkeypatch.setattr(os, "open", late)
    with pytest.raises(ArtifactIntegrityError, match="plain file"):
        read_artifact(path)


@pytest.mark.parametrize("name", ["manifest.sha256", WEIGHTS, "note.txt"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "m")
    (path / name).unlink()
    with pytest.raises(ArtifactIntegrityError, match=f"{name}.*missing"):
        read_manifest(path)


@pytest.mark.parametrize("spoil", [lambda p: (p / "x.txt").touch(), lambda p: (p / "texts").mkdir()])
def test_a_foreign_entry_is_refused(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    path = write(tmp_path / "m")
    spoil(path)
    with pytest.raises(ArtifactIntegrityError, match="does not belong"):
        read_manifest(path)


def test_what_is_no_artifact_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "file", tmp_path / "empty", tmp_path / "nothing", f"{tmp_path}/\0"):
        with pytest.raises(ArtifactError, match="not a forecast artifact"):
            read_artifact(path)


@pytest.mark.parametrize(
    "name", ["../up.txt", "/etc/passwd", "sub/a.txt", "..", ".", "", ".hidden", "UP", "manifest.json", "x\0y"]
)
def test_a_listed_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "m")
    (tmp_path / "up.txt").touch()
    entry = {"sha256": hashlib.sha256(b"").hexdigest(), "size": 0}
    reseal(path, lambda fields: fields["files"].update({name: entry}))
    with pytest.raises(ArtifactIntegrityError, match="cannot be"):
        read_artifact(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.update(unknown=1),
        lambda f: f.pop("spec_id"),
        lambda f: f.update(spec_version="1"),
        lambda f: f.update(spec_version=True),
        lambda f: f.update(config=[]),
        lambda f: f.update(metrics={"mae": "0.1"}),
        lambda f: f.update(created="yesterday"),
        lambda f: f.update(created=f["created"] + "\n"),
        lambda f: f.update(files=[]),
        lambda f: f["files"].pop(WEIGHTS),
        lambda f: f["files"][WEIGHTS].update(size=-1),
        lambda f: f["files"][WEIGHTS].update(size=1.5),
        lambda f: f["files"][WEIGHTS].update(sha256="A" * 64),
        lambda f: f["files"][WEIGHTS].update(sha256=f["files"][WEIGHTS]["sha256"] + "\n"),
        lambda f: f.pop("schema_version"),
        lambda f: f.update(schema_version="1"),
        lambda f: f.update(schema_version=True),
        lambda f: f.update(schema_version=0),
    ],
)
def test_a_manifest_that_breaks_the_schema_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    path = write(tmp_path / "m")
    reseal(path, change)
    with pytest.raises(ArtifactIntegrityError):
        read_artifact(path)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b'{"schema_version": 1, "schema_version": 1}',
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b'{"config": ' + b"[" * 500 + b"]" * 500 + b', "schema_version": 1}',
        b'{"schema_version": ' + b"9" * 5000 + b"}",
    ],
)
def test_what_is_no_manifest_is_refused(tmp_path: Path, raw: bytes) -> None:
    path = write(tmp_path / "m")
    seal(path, raw)
    with pytest.raises(ArtifactIntegrityError):
        read_manifest(path)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_a_number_that_is_not_finite_is_refused(tmp_path: Path, number: str) -> None:
    path = write(tmp_path / "m")
    raw = (path / "manifest.json").read_text()
    seal(path, raw.replace('"config": {}', f'"config": {{"x": {number}}}').encode())
    with pytest.raises(ArtifactIntegrityError, match="finite"):
        read_manifest(path)


def test_a_newer_schema_says_upgrade_whatever_else_it_holds(tmp_path: Path) -> None:
    path = write(tmp_path / "m")
    reseal(path, lambda fields: fields.update(schema_version=2, invented_later={"x": 1}))
    with pytest.raises(ArtifactVersionError, match="upgrade"):
        read_artifact(path)


def test_older_schemas_migrate_one_version_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "m")
    reseal(path, lambda fields: fields.update(model=fields.pop("spec_id")))
    monkeypatch.setattr(schema, "SCHEMA_VERSION", 3)
    with pytest.raises(ArtifactVersionError, match="no longer reads"):
        read_artifact(path)

    def to_2(fields: dict[str, Any]) -> dict[str, Any]:
        return {"id": fields["model"], **{k: v for k, v in fields.items() if k != "model"}}

    def to_3(fields: dict[str, Any]) -> dict[str, Any]:
        assert fields["schema_version"] == 2
        return {"spec_id": fields["id"], **{k: v for k, v in fields.items() if k != "id"}}

    monkeypatch.setitem(schema.SCHEMA_MIGRATIONS, 1, to_2)
    monkeypatch.setitem(schema.SCHEMA_MIGRATIONS, 2, to_3)
    manifest, state = read_artifact(path)
    assert (manifest.spec_id, manifest.schema_version) == ("series/dummy", 3)
    assert (state.arrays["w"] == np.arange(3.0)).all()


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        (Limits(manifest=100), r"manifest\.json is larger"),
        (Limits(file=50), "larger than"),
        (Limits(total=60), "larger than"),
        (Limits(files=3), "more than 3 files"),
        (Limits(header=8), "header"),
        (Limits(arrays=4), "more than 4 arrays"),
        (Limits(nesting=1), "nested"),
    ],
)
def test_what_is_over_a_limit_is_refused_before_it_is_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: Limits, told: str
) -> None:
    path = write(tmp_path / "m", {f"w{k}": np.zeros(2) for k in range(5)})
    read_artifact(path, limits=Limits(arrays=5, files=4, nesting=3))

    def parsed(raw: bytes) -> None:
        raise AssertionError("parsed")

    monkeypatch.setattr(reading, "load", parsed)
    with pytest.raises(ArtifactIntegrityError, match=told):
        read_artifact(path, limits=limits)


def test_a_huge_manifest_and_a_huge_sparse_file_are_not_read(tmp_path: Path) -> None:
    path = write(tmp_path / "m")
    entry = {"sha256": "0" * 64, "size": 2**40}
    reseal(path, lambda fields: fields["files"].update({WEIGHTS: entry}))
    os.truncate(path / WEIGHTS, 2**40)
    with pytest.raises(ArtifactIntegrityError, match="larger than"):
        read_artifact(path)
    os.truncate(path / "manifest.json", 2**40)
    with pytest.raises(ArtifactIntegrityError, match=r"manifest\.json is larger"):
        read_artifact(path)


F32 = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x08",
        safetensors({}, length=2**63),
        safetensors({}, length=100 * 2**20),
        safetensors(b"[" * 100_000),
        safetensors(b'{"a":' * 100_000),
        safetensors({"w": F32}, b"abc"),
        safetensors({"w": F32}, b"abcde"),
        safetensors({"w": {**F32, "data_offsets": [4, 0]}}, b"abcd"),
        safetensors({"w": {**F32, "data_offsets": [0, 2**63]}}, b"abcd"),
        safetensors({"w": {**F32, "dtype": "BF16", "shape": [2]}}, b"abcd"),
        safetensors({"w": {**F32, "dtype": "F8_E4M3", "shape": [4]}}, b"abcd"),
        safetensors({"w": {**F32, "dtype": "PICKLE"}}, b"abcd"),
        safetensors({"w": {**F32, "shape": [2**63, 2**63]}}, b"abcd"),
        safetensors({"w": {**F32, "shape": [2**62, 0], "data_offsets": [0, 0]}}),
        safetensors({"w": {**F32, "shape": [0] * 100, "data_offsets": [0, 0]}}),
        safetensors({"w": {**F32, "dtype": "C64", "data_offsets": [0, 8]}}, b"abcdefgh"),
        safetensors({"../../w x": F32}, b"abcd"),
        safetensors(b"{" * 200_000 + b'"'),
    ],
)
def test_weights_that_were_never_saved_by_us_are_refused(tmp_path: Path, raw: bytes) -> None:
    path = write(tmp_path / "m")
    place(path, WEIGHTS, raw)
    with pytest.raises(ArtifactIntegrityError):
        read_artifact(path)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("weights") / "m")


@pytest.fixture(scope="module")
def unsealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("manifests") / "m")


@settings(max_examples=150, deadline=None)
@given(
    header=st.binary(max_size=60)
    | st.recursive(
        st.none()
        | st.integers()
        | st.sampled_from(["F32", "U8", "BOOL", "F4", "dtype", "shape", "data_offsets"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["w", "dtype", "shape", "data_offsets", "__metadata__"]), inner)
        ),
    ),
    data=st.binary(max_size=20),
    length=st.none() | st.integers(0, 2**64 - 1),
)
def test_fuzzed_weights_give_typed_errors_only(
    artifact: Path, header: object, data: bytes, length: int | None
) -> None:
    place(artifact, WEIGHTS, safetensors(header, data, length))
    try:
        read_artifact(artifact)
    except ArtifactIntegrityError:
        return


@settings(max_examples=150, deadline=None)
@given(
    raw=st.binary(max_size=60)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from([*schema.Manifest.model_fields, "x", "sha256", "size"]), inner)
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_fuzzed_manifests_give_typed_errors_only(unsealed: Path, raw: bytes) -> None:
    seal(unsealed, raw)
    with pytest.raises(ArtifactError):
        read_artifact(unsealed)


_LOADER = """
import sys
from pathlib import Path
from forecast_core.artifacts import read_artifact, read_manifest
from forecast_core.errors import ArtifactError
corpus = sorted(Path(sys.argv[1]).iterdir())
sound = read_artifact(corpus.pop(0))  # imports what is imported late
try:
    read_artifact(corpus[0])
except ArtifactError:
    pass
foreign = ("pickle.", "marshal.", "exec", "compile", "import", "os.system", "os.exec", "os.posix_spawn",
           "os.fork", "subprocess.", "socket.", "ctypes.", "code.")
seen = []
sys.addaudithook(lambda event, arguments: seen.append(event) if event.startswith(foreign) else None)
refused = 0
for path in corpus:
    try:
        read_artifact(path)
    except ArtifactError:
        refused += 1
if sys.argv[2] == "self-test":
    import pickle
    pickle.loads(b"cposix\\ngetpid\\n(tR.")
print(len(corpus), refused, *sorted(set(seen)))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no links and pipes there")
def test_malicious_artifacts_run_nothing_and_hang_nothing(tmp_path: Path) -> None:
    owned = tmp_path / "owned"
    pickled = f"cposix\nsystem\n(S'touch {owned}'\ntR.".encode()
    corpus = tmp_path / "corpus"
    write(corpus / "0-sound")
    place(write(corpus / "pickle"), WEIGHTS, pickled)
    place(write(corpus / "pickle-after"), WEIGHTS, (corpus / "0-sound" / WEIGHTS).read_bytes() + pickled)
    place(write(corpus / "npy"), WEIGHTS, b"\x93NUMPY\x01\x00" + pickled)
    place(write(corpus / "zip-bomb"), WEIGHTS, b"PK\x03\x04" + b"\0" * 100)
    place(write(corpus / "header-bomb"), WEIGHTS, safetensors({}, length=2**62))
    place(write(corpus / "deep"), WEIGHTS, safetensors(b'{"a":' * 100_000))
    (write(corpus / "code") / "__init__.py").write_text(f"open({str(owned)!r}, 'w')")
    seal(write(corpus / "deep-manifest"), b"[" * 200_000)
    entry = {"sha256": "0" * 64, "size": 0}
    reseal(write(corpus / "traversal"), lambda fields: fields["files"].update({"../../../etc/passwd": entry}))
    for k, become in enumerate([become_fifo, become_directory, become_link]):
        for name in ("manifest.json", "manifest.sha256", WEIGHTS):
            become(write(corpus / f"{become.__name__}-{name}-{k}") / name)
            (tmp_path / "corpus" / "elsewhere").unlink(missing_ok=True)
    os.mkfifo(corpus / "fifo")

    def load(mode: str) -> list[str]:
        command = [sys.executable, "-c", _LOADER, str(corpus), mode]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.split()

    count, refused, *events = load("plain")
    assert count == refused == "19"
    assert events == []
    assert not owned.exists()
    assert "pickle.find_class" in load("self-test")
