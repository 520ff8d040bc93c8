"""`dinov2` and `dinov3`: self-supervised vision transformers, through transformers, from a folder or the hub.

Sources: Oquab et al. (2023), DINOv2; Simeoni et al. (2025), DINOv3. A view's features are its class token
after the last normalisation. Pixels are normalised here, by the folder's preprocessor_config.json if it says
how, else by ImageNet's mean and deviation.
"""

from __future__ import annotations

import hashlib
import json
from math import pi
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint as recomputed

from forecast_core.errors import ArtifactError
from forecast_core.training import training_device
from forecast_vision.backbones.adapters import trainable_copy
from forecast_vision.backbones.protocol import check_views
from forecast_vision.backbones.token_merging import bipartite_matching, merge_tokens

__all__ = ["Dino", "load_dinov2", "load_dinov3"]

Family = Literal["dinov2", "dinov3"]
_TYPES = {"dinov2": "dinov2", "dinov3": "dinov3_vit"}
_FILES = ("config.json", "preprocessor_config.json", "*.safetensors", "*.safetensors.index.json")
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_VIEWS = 8  # in one forward pass


class Dino:
    """A frozen DINO transformer; raises ArtifactError where the folder does not hold one in safetensors.

    merge: the share of a view's patches that have been merged away after the last block, the same number in
    each block; the mean of patches keeps the mean of their positions.
    """

    def __init__(self, family: Family, checkpoint: str, *, device: str, merge: float) -> None:
        folder = _folder(checkpoint)
        config = _config(folder, family)
        self.name: str = family
        self._device, self._merge = training_device(device), merge
        self._model: Any = _model(folder, family).to(self._device).eval().requires_grad_(False)
        self.feature_dim, self.patch = int(config["hidden_size"]), int(config["patch_size"])
        best = {"dinov2": 518, "dinov3": 512}[family]
        self.size = best - best % self.patch
        self._special = 1 + (int(config.get("num_register_tokens", 0)) if family == "dinov3" else 0)
        digest = _digest(folder)
        self.checkpoint_hash = hashlib.sha256(f"{digest} merge {merge}".encode()).hexdigest()
        mean, std = _normalisation(folder)
        self._mean, self._std = (torch.tensor(c, device=self._device)[:, None, None] for c in (mean, std))

    @torch.inference_mode()
    def embed(self, views: np.ndarray) -> np.ndarray:
        """Features float32 [n, feature_dim] of views uint8 [n, 3, S, S], S a multiple of the patch."""
        check_views(views, patch=self.patch)
        parts = [np.empty((0, self.feature_dim), dtype=np.float32)]
        for some in torch.split(torch.from_numpy(np.ascontiguousarray(views)), _VIEWS):
            pixels = (some.to(self._device).float() / 255 - self._mean) / self._std
            tokens = (
                self._merged(pixels) if self._merge else self._model(pixel_values=pixels).last_hidden_state
            )
            parts.append(tokens[:, 0].float().cpu().numpy())
        return np.concatenate(parts)

    def trainable(self, *, rank: int, alpha: float, blocks: int, seed: int) -> nn.Module:
        """See `TrainableBackbone`; adapters are those of queries and values, as in LoRA's paper."""
        layers, norm = {"dinov2": ("encoder.layer", "layernorm"), "dinov3": ("model.layer", "norm")}[
            self.name
        ]
        copy = trainable_copy(
            self._model,
            blocks=[f"{layers}.{k}" for k in range(len(self._model.get_submodule(layers)))],
            layers=("attention.q_proj", "attention.v_proj"),
            norm=norm,
            last=blocks,
            rank=rank,
            alpha=alpha,
            seed=seed,
        )
        return _Trainable(copy, self._mean, self._std)

    def _merged(self, pixels: Tensor) -> Tensor:
        """Tokens after the last normalisation, merged on the way, [n, token, d]."""
        model, special = self._model, self._special
        layers = model.encoder.layer if self.name == "dinov2" else model.model.layer
        x = model.embeddings(pixels)
        sizes = x.new_ones(x.shape[:2])
        angles = None if self.name == "dinov2" else self._angles(pixels).expand(len(x), -1, -1)
        share = self._merge * (x.shape[1] - special) / len(layers)
        done = 0
        for number, layer in enumerate(layers, start=1):
            attended, keys = _attention(layer.attention, layer.norm1(x), sizes, angles, special)
            x = x + layer.layer_scale1(attended)
            count = min(round(share * number) - done, (x.shape[1] - special) // 2)
            if count > 0:
                matching = bipartite_matching(keys, count=count, protected=special)
                if angles is not None:
                    blank = angles.new_zeros(len(x), special, angles.shape[-1])
                    angles = merge_tokens(torch.cat([blank, angles], 1), sizes, matching)[0][:, special:]
                x, sizes = merge_tokens(x, sizes, matching)
                done += count
            x = x + layer.layer_scale2(layer.mlp(layer.norm2(x)))
        norm = model.layernorm if self.name == "dinov2" else model.norm
        return torch.as_tensor(norm(x))

    def _angles(self, pixels: Tensor) -> Tensor:
        """Rotary angles of each patch, [1, patch, head_dim]: 2 pi position frequency, twice over."""
        frequency = self._model.rope_embeddings.inv_freq
        rows, columns = (
            2 * (torch.arange(n // self.patch, device=pixels.device) + 0.5) / (n // self.patch) - 1
            for n in pixels.shape[-2:]
        )
        places = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), -1).flatten(0, 1)  # [patch, 2]
        angles = 2 * pi * places[:, :, None] * frequency  # [patch, 2, head_dim / 4]
        turned: Tensor = angles.flatten(1).tile(2)[None]
        return turned


class _Trainable(nn.Module):
    """Views uint8 [n, 3, S, S] to class tokens [n, d]; what gradients need is computed again, few views at a
    time, so that memory does not grow with a photo's twelve.
    """

    def __init__(self, model: nn.Module, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.model, self._mean, self._std = model, mean, std

    def forward(self, views: Tensor) -> Tensor:
        parts = torch.split(views, _VIEWS)
        if torch.is_grad_enabled():
            return torch.cat([recomputed(self._tokens, some, use_reentrant=False) for some in parts])
        return torch.cat([self._tokens(some) for some in parts])

    def _tokens(self, views: Tensor) -> Tensor:
        pixels = (views.float() / 255 - self._mean) / self._std
        out: Tensor = self.model(pixel_values=pixels).last_hidden_state[:, 0]
        return out


def _attention(
    attention: Any, x: Tensor, sizes: Tensor, angles: Tensor | None, special: int
) -> tuple[Tensor, Tensor]:
    """Output [n, token, d] of a block's attention, and its keys averaged over heads [n, token, head_dim].

    A token that stands for s patches counts s times: ln s is added to its score.
    """
    n, tokens, _ = x.shape
    query, key, value = (
        project(x).view(n, tokens, -1, attention.head_dim).transpose(1, 2)  # [n, head, token, head_dim]
        for project in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    alike = key.mean(1)
    if angles is not None:
        cos, sin = angles.cos()[:, None], angles.sin()[:, None]
        query, key = (_rotated(each, cos, sin, special) for each in (query, key))
    score = sizes.log()[:, None, None, :]
    out = functional.scaled_dot_product_attention(query, key, value, attn_mask=score.to(query.dtype))
    return attention.o_proj(out.transpose(1, 2).reshape(n, tokens, -1)), alike


def _rotated(x: Tensor, cos: Tensor, sin: Tensor, special: int) -> Tensor:
    head, patches = x[:, :, :special], x[:, :, special:]
    first, second = patches.chunk(2, -1)
    turned = patches * cos + torch.cat([-second, first], -1) * sin
    return torch.cat([head, turned], 2)


def _folder(checkpoint: str) -> Path:
    if Path(checkpoint).is_dir():
        return Path(checkpoint)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(checkpoint, allow_patterns=list(_FILES)))
    except Exception as error:  # of the network, the hub, or the name
        reason = " ".join(str(error).split())[:200]
        raise ArtifactError(f"checkpoint {checkpoint!r} is no folder, and the hub gives: {reason}") from error


def _config(folder: Path, family: Family) -> dict[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_text())
        found = config["model_type"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ArtifactError(f"{folder}: has no config.json that names its model_type") from error
    if found != _TYPES[family]:
        raise ArtifactError(f"{folder}: holds a model of type {found!r}, wanted {_TYPES[family]!r}")
    if not any(folder.glob("*.safetensors")):
        raise ArtifactError(f"{folder}: holds no weights in safetensors")
    return dict(config)


def _model(folder: Path, family: Family) -> Any:
    import transformers

    kind = transformers.Dinov2Model if family == "dinov2" else transformers.DINOv3ViTModel
    try:
        return kind.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            dtype=torch.float32,
            attn_implementation="sdpa",
        )
    except Exception as error:  # whatever transformers makes of a damaged file
        raise ArtifactError(f"{folder}: cannot be loaded: {' '.join(str(error).split())[:200]}") from error


def _normalisation(folder: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        return _MEAN, _STD
    try:
        told = json.loads(path.read_text())
        mean, std = (
            tuple(map(float, told.get(k, d))) for k, d in (("image_mean", _MEAN), ("image_std", _STD))
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{path}: does not say how to normalise") from error
    if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
        raise ArtifactError(f"{path}: has no mean and positive deviation of three colours")
    return mean, std


def _digest(folder: Path) -> str:
    """SHA-256 of configuration and weights."""
    digest = hashlib.sha256()
    for path in sorted({p for pattern in _FILES for p in folder.glob(pattern)}):
        digest.update(f"{path.name} {path.stat().st_size}\n".encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def load_dinov2(checkpoint: str, *, device: str, merge: float) -> Dino:
    """The backbone `dinov2`."""
    return Dino("dinov2", checkpoint, device=device, merge=merge)


def load_dinov3(checkpoint: str, *, device: str, merge: float) -> Dino:
    """The backbone `dinov3`."""
    return Dino("dinov3", checkpoint, device=device, merge=merge)
