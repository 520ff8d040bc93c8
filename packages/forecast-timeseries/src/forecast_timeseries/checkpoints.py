"""Checkpoints of pretrained models: where their files lie, that they hold no pickles, and their hashes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

from forecast_core.errors import ConfigError

__all__ = ["checkpoint_folder", "file_hashes", "weight_files"]

_INDEX = "model.safetensors.index.json"
_TEXTS = ("config.json", "generation_config.json", _INDEX)  # beside the weights, what decides on them
_WEIGHTS_FIELD = '"transformers_weights"'  # of a configuration
_SHARD = re.compile(r"[\w-]+\.safetensors")
_BLOCK = 1 << 20


def checkpoint_folder(argument: str, checkpoint: str, *, revision: str | None = None) -> Path:
    """The folder of a checkpoint: a local one, or the copy of one of the Hugging Face hub, fetched if needed.

    A folder is read without any network access. Of the hub only configuration and safetensors are fetched,
    nothing where HF_HUB_OFFLINE is set. ConfigError where there is no such checkpoint, where it holds no
    safetensors, or where it is an adapter of another one.
    """
    local = Path(checkpoint).expanduser()
    if local.is_dir():
        folder = local
    elif local.exists() or local.is_absolute() or checkpoint.count("/") != 1 or checkpoint.startswith("."):
        rule = "is a folder, or an id of the hub such as name/model"
        raise ConfigError(argument, rule, got=repr(checkpoint))
    else:
        folder = _fetched(argument, checkpoint, revision)
    if not (folder / "config.json").is_file():
        raise ConfigError(argument, "holds config.json", got=repr(checkpoint))
    if (folder / "adapter_config.json").exists():
        raise ConfigError(
            argument,
            "is a whole model, not an adapter of one",
            got=repr(checkpoint),
            hint="merge the adapter and save the model",
        )
    if not weight_files(folder):
        others = sorted(p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".pth", ".ckpt"))
        raise ConfigError(
            argument,
            "holds its weights as safetensors; pickled ones are never loaded",
            got=", ".join(others) or "no weights",
            hint="load it where you trust it, and save_pretrained it again",
        )
    return folder


def _fetched(argument: str, checkpoint: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    try:
        found = snapshot_download(checkpoint, revision=revision, allow_patterns=[*_TEXTS, "*.safetensors"])
    except Exception as error:  # of the network, the hub, or its client
        why = " ".join(str(error).split())[:200]
        raise ConfigError(
            argument,
            "is a folder, or a model of the hub that can be fetched",
            got=f"{checkpoint!r} ({type(error).__name__}: {why})",
        ) from error
    return Path(found)


def weight_files(folder: Path) -> list[Path]:
    """The safetensors that hold a checkpoint's weights; none where anything else is named as such."""
    if _WEIGHTS_FIELD in (folder / "config.json").read_text(encoding="utf-8"):
        return []  # other files than the usual
    whole, index = folder / "model.safetensors", folder / _INDEX
    if whole.is_file():
        return [whole]
    if not index.is_file():
        return []
    names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    shards = [folder / name for name in names]
    plain = all(_SHARD.fullmatch(name) for name in names) and all(shard.is_file() for shard in shards)
    return shards if plain else []


def file_hashes(folder: Path) -> Mapping[str, str]:
    """SHA-256 of each file of a checkpoint that a prediction depends on, by name."""
    texts = [folder / name for name in _TEXTS if (folder / name).is_file()]
    return {path.name: _sha256(path) for path in (*texts, *weight_files(folder))}


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
