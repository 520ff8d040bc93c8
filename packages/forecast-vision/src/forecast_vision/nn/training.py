"""What `vision/roadwork` is trained on and by: bags of cached features, and a loss of three parts."""

from __future__ import annotations

from typing import NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from forecast_core.losses import focal_loss, jensen_shannon, symmetric_kl
from forecast_vision.configs import RoadworkConfig
from forecast_vision.metadata.encoding import NULL
from forecast_vision.nn.metadata import MetadataBatch
from forecast_vision.nn.roadwork import Verdict

__all__ = ["Bags", "Batch", "RoadworkLoss", "WholeSet", "drawn", "matthews_loss"]

_TIE = 1e-3  # weight of the cross entropy, which only tells apart epochs of one MCC


class Batch(NamedTuple):
    """Two bags of features of the same photos [n, view, feature], and what is known of the photos."""

    first: Tensor
    second: Tensor
    mask: Tensor
    labels: Tensor
    metadata: MetadataBatch


class Bags:
    """Photos by position: each batch draws two of the bags (as it is, or changed) of every photo.

    features [photo, bag, view, feature], the first bag as it is; mask: which views there are, bool [photo,
    view]; weights [photo]: if given, photos are drawn with these odds instead of each once an epoch. Draws
    come from torch's generator, which training seeds for each epoch.
    """

    def __init__(
        self,
        features: Tensor,
        mask: Tensor,
        labels: Tensor,
        metadata: MetadataBatch,
        *,
        weights: Tensor | None = None,
    ) -> None:
        self.features, self.mask, self.labels, self.metadata = features, mask, labels, metadata
        self.weights = weights

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: Tensor) -> Bags:
        """Some of the photos."""
        weights = None if self.weights is None else self.weights[index]
        return Bags(
            self.features[index],
            self.mask[index],
            self.labels[index],
            self.metadata.take(index),
            weights=weights,
        )

    def batch(self, index: Tensor) -> Batch:
        """The photos at `index`, or as many drawn by weight, with two different bags of each."""
        index, first, second = drawn(index, self.features.shape[1], self.weights)
        return Batch(
            self.features[index, first],
            self.features[index, second],
            self.mask[index],
            self.labels[index],
            self.metadata.take(index),
        )


def drawn(index: Tensor, count: int, weights: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Photos at `index`, or as many drawn with odds `weights`; of each, the numbers of two different bags."""
    if weights is not None:
        index = torch.multinomial(weights, len(index), replacement=True)
    first = torch.randint(count, (len(index),), device=index.device)
    step = 1 + torch.randint(max(count - 1, 1), (len(index),), device=index.device)
    return index, first, (first + step) % count


class WholeSet:
    """A validation set as one window: MCC is of the whole set, and no mean over its photos."""

    def __init__(self, bags: Bags) -> None:
        self.bags = bags

    def __len__(self) -> int:
        return 1

    def batch(self, index: Tensor) -> Batch:
        """All photos, as they are."""
        bags = self.bags
        plain = bags.features[:, 0]
        return Batch(plain, plain, bags.mask, bags.labels, bags.metadata)


class RoadworkLoss:
    """Focal loss of both bags, disagreement between them, and the weather told from the views.

    weights [class] of the focal loss. In training features are mixed with another photo's: label and weather
    count in the shares of the mixture, the metadata is that of the larger share (Zhang et al. 2018, mixup).
    """

    def __init__(self, config: RoadworkConfig, weights: Tensor) -> None:
        self.config, self.weights = config, weights

    @classmethod
    def balanced(cls, config: RoadworkConfig, labels: Tensor) -> Self:
        """With the weights of the configuration, or those that make both classes of `labels` count alike."""
        count = torch.bincount(labels, minlength=2).float()
        weights = count.sum() / (2 * count) if config.alpha is None else torch.tensor(config.alpha)
        return cls(config, weights.to(config.device))

    def __call__(self, module: nn.Module, batch: Batch) -> Tensor:
        """The loss of a batch, a scalar."""
        o, n = self.config, len(batch.labels)
        share, other = self._mixture(n, batch.labels.device)
        first, second, mask = batch.first, batch.second, batch.mask
        if other is not None:
            first, second = (share * each + (1 - share) * each[other] for each in (first, second))
            mask = mask & mask[other]
        # Both bags in one pass, the metadata of each photo twice.
        twice = MetadataBatch(*(torch.cat([each, each]) for each in batch.metadata))
        out: Verdict = module(torch.cat([first, second]), torch.cat([mask, mask]), twice)
        weather = batch.metadata.codes[:, 0]
        loss = share * self._supervised(out, batch.labels, weather)
        if other is not None:
            loss = loss + (1 - share) * self._supervised(out, batch.labels[other], weather[other])
        return loss + o.consistency_weight * self._disagreement(out.logits[:n], out.logits[n:])

    def _mixture(self, n: int, device: torch.device) -> tuple[float, Tensor | None]:
        """Share of a photo's own features, at least a half, and whose the rest are."""
        if not self.config.mixup:
            return 1.0, None
        share = float(torch.distributions.Beta(self.config.mixup, self.config.mixup).sample())
        return max(share, 1 - share), torch.randperm(n, device=device)

    def _supervised(self, out: Verdict, labels: Tensor, weather: Tensor) -> Tensor:
        o = self.config
        focal = focal_loss(
            torch.cat([labels, labels]),
            out.logits,
            gamma=o.gamma,
            alpha=self.weights,
            label_smoothing=o.label_smoothing,
        )
        if not o.auxiliary_weight:
            return o.focal_weight * focal
        told = torch.cat([weather, weather])
        known = told != NULL
        each = functional.cross_entropy(out.weather.float(), told, reduction="none")
        auxiliary = torch.where(known, each, 0.0).sum() / known.sum().clamp_min(1)
        return o.focal_weight * focal + o.auxiliary_weight * auxiliary

    def _disagreement(self, first: Tensor, second: Tensor) -> Tensor:
        if self.config.consistency == "symmetric-kl":
            return symmetric_kl(first, second)
        return jensen_shannon(torch.stack([first, second], dim=-2))


def matthews_loss(module: nn.Module, batch: Batch) -> Tensor:
    """1 - MCC of the whole set at even odds, plus a trace of the cross entropy where epochs tie."""
    out: Verdict = module(batch.first, batch.mask, batch.metadata)
    yes, labels = out.logits[:, 1] >= out.logits[:, 0], batch.labels.bool()
    table = [(yes == a) & (labels == b) for a in (True, False) for b in (True, False)]
    tp, fp, fn, tn = (each.sum().double() for each in table)
    scale = ((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)).sqrt()
    matthews = torch.where(scale > 0, (tp * tn - fp * fn) / scale.clamp_min(1e-12), 0.0)
    return 1 - matthews.float() + _TIE * functional.cross_entropy(out.logits.float(), batch.labels)
