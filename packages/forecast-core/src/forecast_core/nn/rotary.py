"""Rotary position embedding: queries and keys turned by angles that grow with their position."""

from __future__ import annotations

import torch
from torch import Tensor

from forecast_core.errors import InvalidInputError

__all__ = ["rotary_angles", "rotate"]


def rotary_angles(
    positions: Tensor, size: int, *, base: float = 10_000.0, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Cosines and sines [..., size] of positions [...]: angle p / base^(2i / size) for pair i.

    The first and second half of `size` hold the same angles, as `rotate` pairs entries i and i + size / 2.
    InvalidInputError unless size is even. Source: Su et al. (2021), RoFormer, section 3.
    """
    if size < 2 or size % 2:
        raise InvalidInputError("size", "is even, 2 or more", got=size)
    exponent = torch.arange(0, size, 2, dtype=torch.float64, device=positions.device) / size
    angles = positions.to(torch.float64)[..., None] * base**-exponent  # [..., size / 2]
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def rotate(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """x cos + rotate_half(x) sin, with rotate_half((a, b)) = (-b, a) for the halves a, b of the last axis.

    x [..., size]; cosines, sines broadcast to it. The product of a query and a key so turned depends on the
    difference of their positions alone.
    """
    first, second = x.chunk(2, dim=-1)
    return x * cosines + torch.cat([-second, first], dim=-1) * sines
