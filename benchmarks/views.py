"""Twelve views of a 4032x3024 JPEG against decoding it, and against twelve crops resized with Pillow.

The photo is one of scikit-learn's, upsampled. Everything is timed in turn, round by round, in processor time;
the figures are those of the fastest round. PSNR is of the worst view, to crops of the fully decoded photo
resized with Pillow's bilinear filter. Exit status 1 where a budget is broken.
"""

from __future__ import annotations

import argparse
import io
import platform
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import PIL
from PIL import Image
from sklearn.datasets import load_sample_image

from forecast_vision import extract_views, view_boxes

OF_DECODING = 2.5  # extraction at 224 px costs at most this many full decodes
FASTER = {224: 4.0, 518: 2.0}  # than twelve crops
DRAFT_DB, EXACT_DB = 30.0, 55.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    content = photo()
    full = decoded(content)
    print(f"Python {platform.python_version()}, Pillow {PIL.__version__}, {len(content) / 1e6:.1f} MB JPEG")
    broken = 0
    for size, faster in FASTER.items():
        tasks: dict[str, Callable[[], Any]] = {
            "decode": lambda: decoded(content),
            "crops": lambda size=size: crops(full, size),
            "views": lambda size=size: extract_views(content, size),
            "exact": lambda size=size: extract_views(content, size, exact=True),
        }
        seconds, made = fastest(tasks, rounds)
        of_decoding, than_crops = seconds["views"] / seconds["decode"], seconds["crops"] / seconds["views"]
        draft, exact = (psnr(made[name], made["crops"]) for name in ("views", "exact"))
        print(f"{size} px: " + ", ".join(f"{name} {1e3 * s:.0f} ms" for name, s in seconds.items()))
        print(f"  views / decode {of_decoding:.2f}, crops / views {than_crops:.1f} (at least {faster:g})")
        print(f"  PSNR {draft:.1f} dB (at least {DRAFT_DB:g}), exact {exact:.1f} dB (at least {EXACT_DB:g})")
        broken += than_crops < faster or draft < DRAFT_DB or exact < EXACT_DB
        broken += size == 224 and of_decoding > OF_DECODING
    return int(broken > 0)


def photo() -> bytes:
    """The sample photo at 4032x3024, as a JPEG."""
    image = Image.fromarray(load_sample_image("china.jpg")).resize((4032, 3024), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def decoded(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def crops(image: Image.Image, size: int) -> np.ndarray:
    """Twelve crops, each resized, [12, 3, size, size]."""
    views = [
        image.crop((b.left, b.top, b.right, b.bottom)).resize((size, size), Image.Resampling.BILINEAR)
        for b in view_boxes(image.height, image.width)
    ]
    return np.stack([np.asarray(view) for view in views]).transpose(0, 3, 1, 2)


def fastest(
    tasks: dict[str, Callable[[], Any]], rounds: int
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Shortest time of each task in seconds, and what it made."""
    seconds, made = dict.fromkeys(tasks, float("inf")), {}
    for _ in range(rounds):
        for name, task in tasks.items():
            began = time.process_time()
            made[name] = task()
            seconds[name] = min(seconds[name], time.process_time() - began)
    return seconds, made


def psnr(views: np.ndarray, reference: np.ndarray) -> float:
    """Of the worst view, in dB."""
    error = ((views.astype(np.float64) - reference) ** 2).mean((1, 2, 3)).max()
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


if __name__ == "__main__":
    sys.exit(main())
