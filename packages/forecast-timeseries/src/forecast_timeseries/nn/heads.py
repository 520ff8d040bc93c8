"""What the numbers of a network's head mean: quantiles, Gaussians or points."""

from __future__ import annotations

from torch import Tensor, nn

from forecast_timeseries.nn.tensors import Scaled

__all__ = ["gaussian", "parameters"]

_SIGMA_FLOOR = 1e-3  # in normalised units


def gaussian(output: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and spread [...] of a head's two numbers [..., 2], in normalised units."""
    mean, raw = output.unbind(-1)
    return mean, nn.functional.softplus(raw) + _SIGMA_FLOOR


def parameters(head: str, out: Scaled, *, steps: int) -> tuple[Tensor, ...]:
    """Locations of a head for the first steps, and for "gaussian" their spreads too, on the scale of
    training, [n, steps, target, out] each. Quantiles are sorted, so that none cross.
    """
    shift, scale = out.shift[..., None], out.scale[..., None]
    output = out.output[:, :steps]
    if head == "quantile":
        return ((output * scale + shift).sort(dim=-1).values,)
    if head == "gaussian":
        mean, sigma = gaussian(output)
        return mean[..., None] * scale + shift, sigma[..., None] * scale
    return (output * scale + shift,)
