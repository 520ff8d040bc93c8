"""Checkpoint files: exact, atomic, and refused when anything in them is not as written."""

from __future__ import annotations

import errno
import json
import os

import pytest
import torch
from hypothesis import given, settings, strategies as st
from safetensors.torch import load_file, save_file

from forecast_core.errors import ArtifactError, ArtifactIntegrityError, ArtifactVersionError
from forecast_core.training import Checkpoint, checkpoints, read_checkpoint, write_checkpoint
from forecast_core.training.packing import pack, unpack

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
)
TENSORS = st.builds(
    lambda shape, kind: torch.arange(torch.Size(shape).numel()).view(shape).to(kind),
    st.lists(st.integers(0, 3), max_size=3),
    st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool]),
)
STATES = st.recursive(
    SCALARS | TENSORS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.integers(0, 9) | st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=10,
)


def same(a, b):
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and a.equal(b)
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


def small():
    state = {
        "network": {"w": torch.tensor([1.5, -2.0])},
        "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}},
    }
    return Checkpoint(epoch=2, settings={"seed": 1, "options.ema": None}, state=state)


@given(value=STATES)
def test_packing_returns_what_was_packed(value):
    tensors = {}
    packed = json.loads(json.dumps(pack(value, "state", tensors)))
    assert same(value, unpack(packed, tensors))


@given(state=st.dictionaries(st.text(max_size=4), STATES, max_size=3))
@settings(deadline=None, max_examples=25)
def test_checkpoints_return_what_was_written(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "last.safetensors"
    written = Checkpoint(epoch=7, settings={"a": 1, "b": None}, state=state)
    write_checkpoint(path, written)
    read = read_checkpoint(path)
    assert (read.epoch, read.settings) == (7, {"a": 1, "b": None})
    assert same(state, read.state)


def test_it_is_one_safetensors_file(tmp_path):
    path = tmp_path / "deep" / "folder" / "last.safetensors"
    write_checkpoint(path, small())
    assert load_file(path)["network/w"].tolist() == [1.5, -2.0]
    assert os.listdir(path.parent) == [path.name]


def test_shared_and_strided_tensors_are_saved(tmp_path):
    base = torch.arange(12.0).view(3, 4)
    write_checkpoint(
        tmp_path / "c", Checkpoint(1, {}, {"a": base, "b": base, "c": base.T, "d": base[:, 1:3]})
    )
    state = read_checkpoint(tmp_path / "c").state
    assert all(
        state[name].equal(value) for name, value in {"a": base, "c": base.T, "d": base[:, 1:3]}.items()
    )


@pytest.mark.parametrize("value", [object(), {1.5: 2}, {"a": {None: 1}}, {1, 2}, b"raw"])
def test_state_that_cannot_be_saved_is_named(value, tmp_path):
    with pytest.raises(ArtifactError, match=r"optimizer.*cannot be saved"):
        write_checkpoint(tmp_path / "c", Checkpoint(1, {}, {"optimizer": {"state": [value]}}))
    assert not os.listdir(tmp_path)


def test_every_flipped_bit_and_every_truncation_is_refused(tmp_path):
    path = tmp_path / "last.safetensors"
    write_checkpoint(path, small())
    good = path.read_bytes()
    for position in range(len(good)):
        for bit in range(8):
            bad = bytearray(good)
            bad[position] ^= 1 << bit
            path.write_bytes(bad)
            with pytest.raises(ArtifactIntegrityError):
                read_checkpoint(path)
    for length in range(len(good)):
        path.write_bytes(good[:length])
        with pytest.raises(ArtifactIntegrityError):
            read_checkpoint(path)
    path.write_bytes(good + b"\0")
    with pytest.raises(ArtifactIntegrityError):
        read_checkpoint(path)


@given(data=st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(data, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "noise.safetensors"
    path.write_bytes(data)
    with pytest.raises(ArtifactIntegrityError):
        read_checkpoint(path)


def test_foreign_and_missing_files_are_refused(tmp_path):
    save_file({"w": torch.ones(2)}, tmp_path / "weights.safetensors")
    with pytest.raises(ArtifactIntegrityError, match=r"weights\.safetensors"):
        read_checkpoint(tmp_path / "weights.safetensors")
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_checkpoint(tmp_path / "absent")


def test_a_newer_format_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "_FORMAT", 2)
    write_checkpoint(tmp_path / "c", small())
    monkeypatch.undo()
    with pytest.raises(ArtifactVersionError, match="format 2; upgrade"):
        read_checkpoint(tmp_path / "c")


@pytest.mark.parametrize("stage", ["open", "fsync", "replace"])
def test_a_full_disk_leaves_the_former_checkpoint(stage, tmp_path, monkeypatch):
    path = tmp_path / "last.safetensors"
    write_checkpoint(path, small())
    former = path.read_bytes()

    def full(*arguments, **keywords):
        raise OSError(errno.ENOSPC, "No space left on device")

    owner, name = {
        "open": ("pathlib.Path", "open"), "fsync": ("os", "fsync"), "replace": ("pathlib.Path", "replace"),
    }[stage]  # fmt: skip
    monkeypatch.setattr(f"{owner}.{name}", full)
    with pytest.raises(ArtifactError, match="No space left"):
        write_checkpoint(path, Checkpoint(3, {}, {"w": torch.ones(5)}))
    monkeypatch.undo()
    assert path.read_bytes() == former
    assert os.listdir(tmp_path) == [path.name]


def test_a_partial_file_left_by_a_kill_is_replaced(tmp_path):
    (tmp_path / ".last.safetensors.partial").write_bytes(b"half a check")
    write_checkpoint(tmp_path / "last.safetensors", small())
    assert os.listdir(tmp_path) == ["last.safetensors"]
