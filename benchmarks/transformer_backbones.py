"""What merging tokens saves, and what training a transformer further costs, on a DINOv2 the size of ViT-S.

Its weights are random: time and memory are those of trained ones, but how near merged features stay to plain
ones is not. Merged and plain are timed in turn on one view of 518 pixels, in processor time, the fastest
round of each; the cosine is between their features. A training step is of photos of twelve views of 224
pixels, twice each, with adapters of rank 8 and the last block. Exit status 1 where merging is less than 1.3
times as fast, or a cosine is below 0.95.
"""

from __future__ import annotations

import argparse
import platform
import resource
import sys
import tempfile
import time
from typing import Any

import numpy as np
import torch
import transformers
from sklearn.datasets import load_sample_image

from forecast_vision import backbones, extract_views

FASTER, COSINE, SHARES = 1.3, 0.95, (0.3, 0.6)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
    print(f"Python {platform.python_version()}, {versions}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        config = transformers.Dinov2Config(
            hidden_size=384,
            num_hidden_layers=12,
            num_attention_heads=6,
            image_size=518,
            layerscale_value=0.1,
            initializer_range=0.2,
        )
        transformers.Dinov2Model(config).save_pretrained(folder)
        broken = merging(folder, rounds)
        training(backbones.load_backbone("dinov2", folder))
    return int(broken)


def merging(folder: str, rounds: int) -> bool:
    """Whether merging the largest share breaks a budget."""
    views = np.concatenate(
        [extract_views(load_sample_image(name), 518)[:3] for name in ("china.jpg", "flower.jpg")]
    )
    plain = backbones.load_backbone("dinov2", folder)
    features = plain.embed(views)
    apart = likeness(features[:, None], features[None])[~np.eye(len(views), dtype=bool)]
    print(f"cosine between features of different views: {apart.mean():.2f} on average", flush=True)
    faster, cosine = 0.0, 0.0
    for share in SHARES:
        merged = backbones.load_backbone("dinov2", folder, merge=share)
        seconds = {plain: float("inf"), merged: float("inf")}
        for _ in range(rounds):
            for backbone in seconds:
                began = time.process_time()
                backbone.embed(views[:1])
                seconds[backbone] = min(seconds[backbone], time.process_time() - began)
        faster, cosine = seconds[plain] / seconds[merged], likeness(features, merged.embed(views)).min()
        print(f"merging {share:.0%}: {faster:.2f} times as fast, lowest cosine {cosine:.4f}", flush=True)
    return faster < FASTER or cosine < COSINE


def likeness(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The cosine of features, row by row."""
    product: np.ndarray = (one * other).sum(-1)
    return product / np.linalg.norm(one, axis=-1) / np.linalg.norm(other, axis=-1)


def training(backbone: Any) -> None:
    views = torch.from_numpy(np.repeat(extract_views(load_sample_image("flower.jpg"), 224)[None], 2, 0))
    network = backbone.trainable(rank=8, alpha=16.0, blocks=1, seed=0).train()
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    print(f"trained weights: {trained:,} of {sum(p.numel() for p in network.parameters()):,}")
    for photos in (1, 2):
        batch = views.flatten(0, 1).repeat(photos, 1, 1, 1)
        began = time.process_time()
        network(batch).square().mean().backward()
        seconds = time.process_time() - began
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(
            f"a step on {photos} photos: {seconds:.1f} s of a core, {used:.2f} GB at most so far", flush=True
        )


if __name__ == "__main__":
    sys.exit(main())
