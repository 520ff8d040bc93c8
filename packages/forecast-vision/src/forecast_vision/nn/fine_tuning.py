"""Training a backbone together with the network on its features: pixels in, through no cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from forecast_vision.augmentation import Transform
from forecast_vision.embedding import naming
from forecast_vision.nn.metadata import MetadataBatch
from forecast_vision.nn.roadwork import RoadworkNetwork, Verdict
from forecast_vision.nn.training import Bags, Batch, RoadworkLoss, drawn, matthews_loss
from forecast_vision.photos import PhotoSet
from forecast_vision.views.boxes import view_boxes
from forecast_vision.views.decoding import decode
from forecast_vision.views.extraction import sufficient_scale

__all__ = ["PixelBags", "PixelLoss", "TunedNetwork", "WholePixels", "tuned_matthews_loss"]

_READERS = 4  # threads that decode photos
_PHOTOS = 8  # of a validation set at a time


class TunedNetwork(nn.Module):
    """A backbone that is trained, and the network on its features. Its state is what is trained, and no
    weight of the frozen backbone.
    """

    def __init__(self, backbone: nn.Module, head: RoadworkNetwork) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head

    def embed(self, views: Tensor, mask: Tensor) -> Tensor:
        """Features [n, view, d] of views uint8 [n, view, 3, S, S]; 0 where the mask [n, view] has no view."""
        seen: Tensor = self.backbone(views[mask]).float()  # [m, d]
        features = seen.new_zeros(*mask.shape, seen.shape[-1])
        features[mask] = seen
        return features

    def forward(self, views: Tensor, mask: Tensor, metadata: MetadataBatch) -> Verdict:
        """The verdict on photos by their views; arguments as of `embed`."""
        out: Verdict = self.head(self.embed(views, mask), mask, metadata)
        return out

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """What is trained, by name."""
        frozen = {name for name, p in self.named_parameters() if not p.requires_grad}
        state = super().state_dict(*args, **kwargs)
        return {name: value for name, value in state.items() if name not in frozen}

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Take what `state_dict` gave; RuntimeError for a name or shape that is another network's."""
        if strict and state_dict.keys() != self.state_dict().keys():
            raise RuntimeError("the state is of another network")
        return super().load_state_dict(state_dict, strict=False, assign=assign)


class PixelBags:
    """Photos by position, as `Bags`, but with the pixels of their views, decoded for each batch anew.

    transforms: how a photo becomes a bag, the first one as it is; known: labels, masks and metadata of the
    photos, whose features are of no account.
    """

    def __init__(self, photos: PhotoSet, transforms: Sequence[Transform], *, size: int, known: Bags) -> None:
        self.photos, self.transforms, self.size, self.known = photos, tuple(transforms), size, known
        self._mask = known.mask.cpu().numpy()

    def __len__(self) -> int:
        return len(self.photos)

    def batch(self, index: Tensor) -> Batch:
        """The photos at `index`, or as many drawn by weight, with two different bags of each."""
        known = self.known
        index, first, second = drawn(index, len(self.transforms), known.weights)
        pixels = self.views(index, torch.stack([first, second], 1))
        return Batch(
            pixels[:, 0], pixels[:, 1], known.mask[index], known.labels[index], known.metadata.take(index)
        )

    def views(self, index: Tensor, numbers: Tensor) -> Tensor:
        """uint8 [n, bag, view, 3, S, S] of photos at `index` [n], after the transforms `numbers` [n, bag]."""
        with ThreadPoolExecutor(_READERS) as readers:
            parts = list(readers.map(self._views, index.tolist(), numbers.tolist()))
        return torch.from_numpy(np.stack(parts)).to(index.device)

    def _views(self, k: int, numbers: list[int]) -> np.ndarray:
        """uint8 [bag, view, 3, S, S] of one photo; 0 for views that are left out."""
        photo, size = self.photos.photos[k], self.size
        with naming(photo, k):
            picture = decode(photo.image, least=lambda h, w: sufficient_scale(h, w, size))
            boxes = view_boxes(picture.height, picture.width)
            chosen = np.flatnonzero(self._mask[k]).tolist()
            out = np.zeros((len(numbers), len(boxes), 3, size, size), dtype=np.uint8)
            wanted = [boxes[view] for view in chosen]
            for row, number in enumerate(numbers):
                transform = self.transforms[number]
                out[row, chosen] = transform.views(picture, wanted, size=size, image=photo.content_hash)
        return out


class WholePixels:
    """A validation set as one window, whose photos are read a few at a time."""

    def __init__(self, bags: PixelBags) -> None:
        self.bags = bags

    def __len__(self) -> int:
        return 1

    def batch(self, index: Tensor) -> PixelBags:
        """All photos, still to be read."""
        return self.bags


class PixelLoss:
    """A loss of features, of a `TunedNetwork` and views instead."""

    def __init__(self, loss: RoadworkLoss) -> None:
        self.loss = loss

    def __call__(self, module: TunedNetwork, batch: Batch) -> Tensor:
        """The loss of a batch of views, a scalar."""
        n = len(batch.labels)
        views, mask = torch.cat([batch.first, batch.second]), torch.cat([batch.mask, batch.mask])
        features = module.embed(views, mask)
        return self.loss(module.head, batch._replace(first=features[:n], second=features[n:]))


def tuned_matthews_loss(module: TunedNetwork, bags: PixelBags) -> Tensor:
    """`matthews_loss` of photos as they are."""
    known = bags.known
    parts = []
    for index in torch.split(torch.arange(len(bags), device=known.labels.device), _PHOTOS):
        views = bags.views(index, torch.zeros_like(index)[:, None])[:, 0]
        parts.append(module.embed(views, known.mask[index]))
    features = torch.cat(parts)
    return matthews_loss(module.head, Batch(features, features, known.mask, known.labels, known.metadata))
