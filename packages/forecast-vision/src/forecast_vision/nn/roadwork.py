"""The network of `vision/roadwork`: views attend to each other, are pooled, and meet the metadata."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from forecast_vision.nn.attention import DropPath, GatedAttention, GatedPooling
from forecast_vision.nn.metadata import MetadataBatch, MetadataEncoder

__all__ = ["RoadworkNetwork", "Verdict"]


class Verdict(NamedTuple):
    """Logits of the classes [n, 2] and of the weather [n, weather], and the weight of each view [n, view]."""

    logits: Tensor
    weather: Tensor
    view_weights: Tensor


class _MultiScale(nn.Module):
    """A residual of three widths: whole, half and a quarter, side by side."""

    def __init__(self, size: int) -> None:
        super().__init__()
        widths = (size, size // 2, size // 4)
        self.norm = nn.LayerNorm(size)
        self.branches = nn.ModuleList(nn.Sequential(nn.Linear(size, w), nn.GELU()) for w in widths)
        self.project = nn.Linear(sum(widths), size)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm(x)
        out: Tensor = x + self.project(torch.cat([branch(normed) for branch in self.branches], -1))
        return out


class _Layer(nn.Module):
    """Pre-norm gated attention and a feed-forward block, each a residual."""

    def __init__(self, size: int, *, heads: int, key_heads: int, dropout: float, drop_path: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(size)
        self.attention = GatedAttention(size, heads=heads, key_heads=key_heads, dropout=dropout)
        self.forward_block = nn.Sequential(
            nn.LayerNorm(size),
            nn.Linear(size, 2 * size),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(2 * size, size),
        )
        self.drop = DropPath(drop_path)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = x + self.drop(self.attention(self.norm(x), mask=mask))
        out: Tensor = x + self.drop(self.forward_block(x))
        return out


class _Fusion(nn.Module):
    """The global view asks the others, all of them attend to each other once more, and are pooled."""

    def __init__(self, size: int, *, heads: int, key_heads: int, dropout: float) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(size) for _ in range(3))
        self.cross = GatedAttention(size, heads=heads, key_heads=key_heads, dropout=dropout)
        self.own = GatedAttention(size, heads=heads, key_heads=key_heads, dropout=dropout)
        self.pool = GatedPooling(size, inner=max(size // 2, 1))

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        whole, parts = x[:, :1], x[:, 1:]
        # A photo of which only the global view is left has nothing to ask.
        asked = mask[:, 1:] | ~mask[:, 1:].any(1, keepdim=True)
        answer = self.cross(self.norms[0](whole), context=self.norms[1](parts), mask=asked)
        answer = answer * mask[:, 1:].any(1)[:, None, None]
        x = torch.cat([whole + answer, parts], 1)
        x = x + self.own(self.norms[2](x), mask=mask)
        pooled: tuple[Tensor, Tensor] = self.pool(x, mask=mask)
        return pooled


class RoadworkNetwork(nn.Module):
    """Features of views [n, view, feature] and metadata to a `Verdict`.

    The global view is the first and always there. The weather is told from the views before the metadata
    joins, so that it cannot be read off there.
    """

    def __init__(
        self,
        features: int,
        *,
        views: int,
        vocabulary: Sequence[int],
        hidden_size: int,
        num_layers: int,
        num_heads: int,
        num_key_heads: int,
        dropout: float,
        drop_path: float,
        metadata_dropout: float,
        use_metadata: bool,
    ) -> None:
        super().__init__()
        size = hidden_size
        self.embed = nn.Sequential(nn.Linear(features, size), nn.LayerNorm(size), nn.GELU())
        self.place = nn.Parameter(0.02 * torch.randn(views, size))
        self.scales = _MultiScale(size)
        options = {"heads": num_heads, "key_heads": num_key_heads, "dropout": dropout}
        rates = torch.linspace(0, drop_path, num_layers).tolist()
        self.layers = nn.ModuleList(
            _Layer(size, heads=num_heads, key_heads=num_key_heads, dropout=dropout, drop_path=rate)
            for rate in rates
        )
        self.fusion = _Fusion(size, **options)  # type: ignore[arg-type]
        self.norm = nn.LayerNorm(size)
        self.weather = nn.Linear(size, vocabulary[0])
        self.metadata = MetadataEncoder(vocabulary, dropout=metadata_dropout) if use_metadata else None
        joined = size + (self.metadata.size if self.metadata is not None else 0)
        self.join = nn.Sequential(nn.Linear(joined, size), nn.LayerNorm(size), nn.GELU())
        self.classify = nn.Sequential(
            nn.Dropout(0.10),
            nn.Linear(size, max(size // 2, 2)),
            nn.GELU(),
            nn.Dropout(0.08),
            nn.LayerNorm(max(size // 2, 2)),
            nn.Dropout(0.05),
            nn.Linear(max(size // 2, 2), 2),
        )

    def forward(self, features: Tensor, mask: Tensor, metadata: MetadataBatch) -> Verdict:
        """features [n, view, feature]; mask: which views there are, bool [n, view]."""
        x = self.scales(self.embed(features) + self.place)  # [n, view, size]
        for layer in self.layers:
            x = layer(x, mask)
        pooled, weights = self.fusion(x, mask)
        vision = self.norm(pooled)
        joined = vision if self.metadata is None else torch.cat([vision, self.metadata(metadata)], -1)
        return Verdict(self.classify(self.join(joined)), self.weather(vision), weights)
