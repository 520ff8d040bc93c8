"""A backbone that has been trained further: the frozen one, and what training changed in it."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import nn

from forecast_vision.backbones.adapters import merge_adapters, trained_state
from forecast_vision.backbones.protocol import Backbone, check_views

__all__ = ["TunedBackbone"]


class TunedBackbone:
    """A backbone with weights of its own beside the frozen ones.

    network: of the frozen backbone's `trainable`, trained; its adapters are merged here. `state`: the
    trained weights alone, by name. Its hash is of the frozen backbone and of these, so that its features are
    never taken for those of another one.
    """

    def __init__(self, frozen: Backbone, network: nn.Module) -> None:
        self.name, self.feature_dim = frozen.name, frozen.feature_dim
        self.size, self.patch = frozen.size, frozen.patch
        self.state = {name: value.cpu().numpy().copy() for name, value in trained_state(network).items()}
        digest = hashlib.sha256(frozen.checkpoint_hash.encode())
        for name in sorted(self.state):
            digest.update(name.encode() + self.state[name].tobytes())
        self.checkpoint_hash = digest.hexdigest()
        merge_adapters(network)
        self._network = network.eval()
        self._device = next(network.parameters()).device

    @torch.inference_mode()
    def embed(self, views: np.ndarray) -> np.ndarray:
        """Features float32 [n, feature_dim] of views uint8 [n, 3, S, S]."""
        check_views(views, patch=self.patch)
        if not len(views):
            return np.empty((0, self.feature_dim), dtype=np.float32)
        pixels = torch.from_numpy(np.ascontiguousarray(views)).to(self._device)
        return np.asarray(self._network(pixels).float().cpu().numpy())
