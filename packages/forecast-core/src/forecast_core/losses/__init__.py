"""Training losses (torch): proper scores, robust errors, and terms that shape a distribution.

Targets are [...], the parameters of a distribution [..., K]. A `mask` is boolean, True where a target was
observed; what lies under it, NaN included, changes neither the loss nor any gradient, and a batch in which
nothing was observed has loss 0 and gradient 0. Half precision is computed in float32. No loss waits for the
device: shapes are checked, values are not. Nothing here imports torch before it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecast_core.lazy import lazy_exports

if TYPE_CHECKING:
    from forecast_core.losses.bounds import clamp_inward as clamp_inward
    from forecast_core.losses.classification import (
        focal_loss as focal_loss,
        jensen_shannon as jensen_shannon,
        symmetric_kl as symmetric_kl,
    )
    from forecast_core.losses.gaussian import (
        beta_nll as beta_nll,
        crps_gaussian as crps_gaussian,
        gaussian_nll as gaussian_nll,
    )
    from forecast_core.losses.masked import (
        Reduction as Reduction,
        keep_observed as keep_observed,
        masked_huber as masked_huber,
        masked_mae as masked_mae,
        masked_mse as masked_mse,
        masked_reduce as masked_reduce,
    )
    from forecast_core.losses.mixture import (
        MixtureParameters as MixtureParameters,
        crps_mixture as crps_mixture,
        mixture_calibration as mixture_calibration,
        mixture_diversity as mixture_diversity,
        mixture_nll as mixture_nll,
    )
    from forecast_core.losses.multitask import HomoscedasticWeighting as HomoscedasticWeighting
    from forecast_core.losses.quantile import (
        crps_quantiles as crps_quantiles,
        noncrossing_quantiles as noncrossing_quantiles,
        pinball_loss as pinball_loss,
    )
    from forecast_core.losses.samples import crps_samples as crps_samples, energy_score as energy_score

_EXPORTS = {
    "bounds": ("clamp_inward",),
    "classification": ("focal_loss", "jensen_shannon", "symmetric_kl"),
    "gaussian": ("beta_nll", "crps_gaussian", "gaussian_nll"),
    "masked": (
        "Reduction",
        "keep_observed",
        "masked_huber",
        "masked_mae",
        "masked_mse",
        "masked_reduce",
    ),
    "mixture": (
        "MixtureParameters",
        "crps_mixture",
        "mixture_calibration",
        "mixture_diversity",
        "mixture_nll",
    ),
    "multitask": ("HomoscedasticWeighting",),
    "quantile": ("crps_quantiles", "noncrossing_quantiles", "pinball_loss"),
    "samples": ("crps_samples", "energy_score"),
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
