"""The network of `timeseries/patch-transformer`: patches of each series attend to each other."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from forecast_timeseries.nn.normalising import window_statistics
from forecast_timeseries.nn.tensors import Layout, Scaled, WindowBatch

__all__ = ["PatchTransformerNetwork"]


class PatchTransformerNetwork(nn.Module):
    """Context -> overlapping patches -> transformer -> one linear map of all patches to all steps.

    Every target of every item is a series of its own, and all share the weights. A patch holds its values,
    normalised, and which of them were observed; the last one ends at the origin, and the first begins
    before the context where that is not a whole number of strides long.
    """

    def __init__(
        self,
        layout: Layout,
        *,
        context_length: int,
        horizon: int,
        outputs: int,
        patch_length: int,
        patch_stride: int,
        model_size: int,
        num_heads: int,
        num_layers: int,
        feedforward_size: int,
        dropout: float,
        per_window: bool,
    ) -> None:
        super().__init__()
        self.targets, self.context_length, self.horizon = layout.targets, context_length, horizon
        self.outputs, self.per_window = outputs, per_window
        self.patch_length, self.patch_stride = patch_length, patch_stride
        patches = 1 + max(-(-(context_length - patch_length) // patch_stride), 0)
        self.padding = patch_length + (patches - 1) * patch_stride - context_length
        self.embed = nn.Linear(2 * patch_length, model_size)
        self.place = nn.Parameter(0.02 * torch.randn(patches, model_size))
        self.dropout = nn.Dropout(dropout)
        layer = nn.TransformerEncoderLayer(
            model_size,
            num_heads,
            feedforward_size,
            dropout,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.encoder = nn.TransformerEncoder(
            layer, num_layers, norm=nn.LayerNorm(model_size), enable_nested_tensor=False
        )
        self.out = nn.Linear(patches * model_size, horizon * outputs)

    def forward(self, batch: WindowBatch) -> Scaled:
        """Parameters of every step in normalised units, and what was observed."""
        t, context = self.targets, self.context_length
        values, observed = batch.series[..., :t], batch.series[..., t : 2 * t]  # [n, context + horizon, t]
        shift, scale = window_statistics(values[:, :context], observed[:, :context], used=self.per_window)
        normal = (values - shift) / scale * observed
        read = torch.stack([normal[:, :context], observed[:, :context]])  # [2, n, context, t]
        read = read.transpose(2, 3).flatten(1, 2)  # [2, n*t, context]
        patches = F.pad(read, (self.padding, 0)).unfold(-1, self.patch_length, self.patch_stride)
        tokens = self.embed(patches.permute(1, 2, 0, 3).flatten(2))  # [n*t, patch, model]
        hidden = self.encoder(self.dropout(tokens + self.place))
        output = self.out(self.dropout(hidden.flatten(1)))
        output = output.view(values.shape[0], t, self.horizon, self.outputs).transpose(1, 2)
        return Scaled(output, shift, scale, values[:, context:], observed[:, context:] > 0)
