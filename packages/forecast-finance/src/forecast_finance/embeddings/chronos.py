"""Embeddings of a Chronos checkpoint: T5, Bolt or Chronos-2, told apart by the checkpoint itself."""

from __future__ import annotations

import hashlib
import json
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from forecast_core.errors import ConfigError, DataError, MissingDependencyError
from forecast_core.validation import whole
from forecast_finance.embeddings.channels import channel_series

__all__ = ["ChronosEmbedder"]

_FILES = ("config.json", "generation_config.json", "*.safetensors", "model.safetensors.index.json")


class ChronosEmbedder:
    """The encoder's states of each channel's series, averaged over time.

    Special tokens (end of sequence, register, masked output patch) come after those of time and are left
    out of the average. path: a local folder, or a repository of the hub, of which only configuration and
    safetensors are fetched: weights in a pickle are refused. Dimensions come from the checkpoint.

    Raises DataError for a folder without config.json and safetensors, ConfigError for a checkpoint of
    another family, MissingDependencyError without chronos-forecasting.
    """

    name = "chronos"

    def __init__(
        self, path: str, *, revision: str | None = None, device: str = "cpu", batch_size: int = 64
    ) -> None:
        try:
            from chronos import BaseChronosPipeline
        except ImportError as error:
            raise MissingDependencyError(
                "chronos",
                purpose="the embedding backend 'chronos'",
                install="pip install 'forecast-finance[chronos]'",
            ) from error
        folder = _local(path, revision)
        self.digest = _digest(folder)
        self._batch = whole("batch_size", batch_size)
        try:
            self._pipeline: Any = BaseChronosPipeline.from_pretrained(
                folder, device_map=device, use_safetensors=True, local_files_only=True
            )
        except (ValueError, AttributeError, KeyError) as error:
            raise ConfigError("embedding.path", f"is a Chronos checkpoint ({error})", got=path) from error
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self._patch = int(config["chronos_config"].get("input_patch_size", 1))  # T5 reads single values
        self.width = int(config["d_model"])

    def embed(self, windows: np.ndarray) -> np.ndarray:
        """Vectors [n, 5 * d_model] of bars [n, 120, 5]."""
        import torch

        series = channel_series(windows).astype(np.float32)
        n, channels, length = series.shape
        flat = torch.from_numpy(series.reshape(n * channels, length))
        patches = ceil(length / self._patch)
        parts = []
        with torch.inference_mode():
            for chunk in torch.split(flat, self._batch):
                # Chronos-2 takes [batch, variate, time], and variates of one item see each other.
                given = chunk[:, None] if type(self._pipeline).__name__ == "Chronos2Pipeline" else chunk
                states, _ = self._pipeline.embed(given)
                if isinstance(states, list):
                    states = torch.cat(states)  # [batch, patch, d]
                parts.append(states[:, :patches].float().mean(dim=1))
        vectors = torch.cat(parts).reshape(n, channels * self.width)
        return vectors.numpy()


def _local(path: str, revision: str | None) -> Path:
    folder = Path(path)
    if not folder.is_dir():
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

        try:
            folder = Path(snapshot_download(path, revision=revision, allow_patterns=list(_FILES)))
        except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
            raise DataError(
                "embedding.path", f"is a folder, or a repository that can be fetched ({error})", got=path
            ) from error
    if not (folder / "config.json").is_file() or not list(folder.glob("*.safetensors")):
        raise DataError("embedding.path", "holds config.json and weights in safetensors", got=str(folder))
    return folder


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted([folder / "config.json", *folder.glob("*.safetensors")]):
        digest.update(file.name.encode())
        with file.open("rb") as stream:
            while part := stream.read(1 << 20):
                digest.update(part)
    return digest.hexdigest()
