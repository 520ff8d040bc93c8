"""Losses agree with torch.distributions, scoringrules, scikit-learn, scipy and numeric integration."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
import scoringrules
import torch
from hypothesis import given, settings, strategies as st
from scipy.spatial.distance import jensenshannon
from sklearn.metrics import log_loss, mean_absolute_error, mean_pinball_loss, mean_squared_error
from torch import Tensor, distributions

from forecast_core import losses
from forecast_core.losses import MixtureParameters

N, K = 40, 3
SEEDS = st.integers(0, 2**31)
FEW = settings(max_examples=25, deadline=None)


def _normal(seed: int, *shapes: tuple[int, ...]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [3.0 * torch.randn(*shape, dtype=torch.float64, generator=generator) for shape in shapes]


def _mixture(seed: int, k: int = K) -> tuple[Tensor, MixtureParameters]:
    targets, logits, means, raw = _normal(seed, (N,), (N, k), (N, k), (N, k))
    return targets, MixtureParameters(logits, means, (raw / 3.0).exp())


def _close(ours: Tensor, theirs: object, tolerance: float = 1e-9) -> None:
    theirs = torch.as_tensor(np.asarray(theirs), dtype=ours.dtype)
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


@FEW
@given(seed=SEEDS)
def test_gaussian_losses_agree_with_torch_and_scoringrules(seed: int) -> None:
    y, mean, raw = _normal(seed, (N,), (N,), (N,))
    sigma = (raw / 3.0).exp()
    nll = losses.gaussian_nll(y, mean, sigmas=sigma, reduction="none")
    _close(nll, -distributions.Normal(mean, sigma).log_prob(y))
    crps = losses.crps_gaussian(y, mean, sigmas=sigma, reduction="none")
    _close(crps, scoringrules.crps_normal(y.numpy(), mean.numpy(), sigma.numpy()))


@FEW
@given(seed=SEEDS)
def test_mixture_losses_agree_with_torch_and_scoringrules(seed: int) -> None:
    y, mixture = _mixture(seed)
    family = distributions.MixtureSameFamily(
        distributions.Categorical(logits=mixture.logits), distributions.Normal(mixture.means, mixture.sigmas)
    )
    _close(losses.mixture_nll(y, mixture, reduction="none"), -family.log_prob(y))
    weights = mixture.logits.softmax(-1)
    arrays = [tensor.numpy() for tensor in (y, mixture.means, mixture.sigmas, weights)]
    _close(losses.crps_mixture(y, mixture, reduction="none"), scoringrules.crps_mixnorm(*arrays))


@FEW
@given(seed=SEEDS)
def test_a_mixture_of_one_component_is_the_gaussian(seed: int) -> None:
    y, mixture = _mixture(seed, k=1)
    mean, sigma = mixture.means[:, 0], mixture.sigmas[:, 0]
    _close(losses.mixture_nll(y, mixture), losses.gaussian_nll(y, mean, sigmas=sigma))
    _close(losses.crps_mixture(y, mixture), losses.crps_gaussian(y, mean, sigmas=sigma))
    assert losses.mixture_diversity(mixture) == 0


@FEW
@given(seed=SEEDS)
def test_the_closed_form_of_the_mixture_crps_agrees_with_the_integral(seed: int) -> None:
    y, mixture = _mixture(seed)
    y, mixture = y[:3], MixtureParameters(*(part[:3] for part in mixture))
    reach = 12.0 * mixture.sigmas.max() + y.abs().max() + mixture.means.abs().max()
    x = torch.linspace(-1.0, 1.0, 200_001, dtype=torch.float64) * reach
    for row in range(3):
        cdf = sum(
            w * torch.special.ndtr((x - m) / s)
            for w, m, s in zip(
                mixture.logits[row].softmax(-1), mixture.means[row], mixture.sigmas[row], strict=True
            )
        )
        integral = torch.trapezoid((cdf - (x >= y[row]).double()).square(), x)
        crps = losses.crps_mixture(y[row], MixtureParameters(*(part[row] for part in mixture)))
        _close(crps, integral, tolerance=2.0 * float(x[1] - x[0]))


@FEW
@given(seed=SEEDS)
def test_diversity_is_the_overlap_integral_of_the_components(seed: int) -> None:
    _, mixture = _mixture(seed, k=2)
    means, sigmas = mixture.means[0], mixture.sigmas[0].clamp(0.05, 5.0)
    x = torch.linspace(-100.0, 100.0, 100_001, dtype=torch.float64)[:, None]
    both = distributions.Normal(means, sigmas).log_prob(x).sum(-1)
    integral = torch.trapezoid((0.5 * both).exp(), x[:, 0])
    _close(losses.mixture_diversity(MixtureParameters(means, means, sigmas)), integral, tolerance=1e-6)


@FEW
@given(seed=SEEDS)
def test_the_calibration_term_is_the_cramer_von_mises_distance(seed: int) -> None:
    y, mixture = _mixture(seed)
    z = (y[:, None] - mixture.means) / mixture.sigmas
    pit = (mixture.logits.softmax(-1) * torch.special.ndtr(z)).sum(-1)
    statistic = scipy.stats.cramervonmises(pit.numpy(), "uniform").statistic
    _close(losses.mixture_calibration(y, mixture), (statistic - 1.0 / (12 * N)) / N)


@FEW
@given(seed=SEEDS)
def test_sample_scores_agree_with_scoringrules(seed: int) -> None:
    y, x = _normal(seed, (N,), (N, 7))
    for ours, theirs in (("fair", "fair"), ("plain", "nrg")):
        crps = losses.crps_samples(y, x, estimator=ours, reduction="none")
        _close(crps, scoringrules.crps_ensemble(y.numpy(), x.numpy(), estimator=theirs))
    y, x = _normal(seed, (N, 2), (N, 7, 2))
    for ours, theirs in (("fair", "fair"), ("plain", "nrg")):
        energy = losses.energy_score(y, x, estimator=ours, reduction="none")
        _close(energy, scoringrules.es_ensemble(y.numpy(), x.numpy(), estimator=theirs))


@FEW
@given(seed=SEEDS)
def test_the_energy_score_of_one_dimension_is_the_crps(seed: int) -> None:
    y, x = _normal(seed, (N,), (N, 5))
    _close(losses.energy_score(y[:, None], x[..., None]), losses.crps_samples(y, x))


@FEW
@given(seed=SEEDS, levels=st.lists(st.floats(0.01, 0.99), min_size=1, max_size=5, unique=True).map(sorted))
def test_pinball_agrees_with_scikit_learn(seed: int, levels: list[float]) -> None:
    y, q = _normal(seed, (N,), (N, len(levels)))
    theirs = [mean_pinball_loss(y.numpy(), q[:, i].numpy(), alpha=level) for i, level in enumerate(levels)]
    _close(losses.pinball_loss(y, q, levels=levels), np.mean(theirs))
    _close(losses.pinball_loss(y, q, levels=torch.tensor(levels, dtype=torch.float64)), np.mean(theirs))


@FEW
@given(seed=SEEDS, count=st.integers(1, 12))
def test_quantile_crps_agrees_with_scoringrules_where_cells_are_equal(seed: int, count: int) -> None:
    y, q = _normal(seed, (N,), (N, count))
    levels = (np.arange(count) + 0.5) / count
    theirs = scoringrules.crps_quantile(y.numpy(), q.numpy(), levels)
    _close(losses.crps_quantiles(y, q, levels=levels.tolist(), reduction="none"), theirs)


@pytest.mark.parametrize("uneven", [False, True])
def test_quantile_crps_converges_to_the_closed_form_for_any_spacing_of_levels(uneven: bool) -> None:
    y = torch.linspace(-3.0, 3.0, 25, dtype=torch.float64)
    levels = torch.linspace(0.0, 1.0, 2001, dtype=torch.float64)[1:-1]
    levels = levels.square() if uneven else levels
    quantiles = distributions.Normal(0.0, 1.0).icdf(levels).expand(25, -1)
    exact = losses.crps_gaussian(y, torch.zeros_like(y), sigmas=torch.ones_like(y), reduction="none")
    _close(losses.crps_quantiles(y, quantiles, levels=levels, reduction="none"), exact, tolerance=2e-3)


@FEW
@given(seed=SEEDS, delta=st.floats(0.1, 5))
def test_point_errors_agree_with_scikit_learn_and_torch(seed: int, delta: float) -> None:
    y, f = _normal(seed, (N,), (N,))
    _close(losses.masked_mae(y, f), mean_absolute_error(y.numpy(), f.numpy()))
    _close(losses.masked_mse(y, f), mean_squared_error(y.numpy(), f.numpy()))
    _close(losses.masked_huber(y, f, delta=delta), scipy.special.huber(delta, (y - f).numpy()).mean())


@FEW
@given(seed=SEEDS, smoothing=st.floats(0, 0.5))
def test_focal_loss_without_focus_is_the_cross_entropy(seed: int, smoothing: float) -> None:
    (logits,) = _normal(seed, (N, K))
    classes = torch.arange(N) % K
    ours = losses.focal_loss(classes, logits, gamma=0.0)
    _close(ours, log_loss(classes.numpy(), logits.softmax(-1).numpy(), labels=range(K)))
    ours = losses.focal_loss(classes, logits, gamma=0.0, label_smoothing=smoothing)
    _close(ours, torch.nn.functional.cross_entropy(logits, classes, label_smoothing=smoothing))


@FEW
@given(seed=SEEDS, gamma=st.floats(0, 5), smoothing=st.floats(0, 0.5))
def test_focal_loss_focuses_by_the_unsmoothed_probability(seed: int, gamma: float, smoothing: float) -> None:
    (logits,) = _normal(seed, (N, K))
    classes, alpha = torch.arange(N) % K, torch.tensor([0.2, 0.5, 0.3])
    p_t = logits.softmax(-1).gather(-1, classes[:, None])[:, 0]
    entropy = torch.nn.functional.cross_entropy(logits, classes, label_smoothing=smoothing, reduction="none")
    expected = alpha.double()[classes] * (1.0 - p_t) ** gamma * entropy
    options = {"gamma": gamma, "label_smoothing": smoothing, "reduction": "none"}
    _close(losses.focal_loss(classes, logits, alpha=alpha, **options), expected, tolerance=1e-8)


@FEW
@given(seed=SEEDS)
def test_consistency_terms_agree_with_scipy_and_torch(seed: int) -> None:
    first, second = _normal(seed, (N, K), (N, K))
    p, q = (distributions.Categorical(logits=logits) for logits in (first, second))
    both = distributions.kl_divergence(p, q) + distributions.kl_divergence(q, p)
    _close(losses.symmetric_kl(first, second, reduction="none"), 0.5 * both)
    divergence = jensenshannon(p.probs.numpy(), q.probs.numpy(), axis=-1) ** 2
    views = torch.stack([first, second], dim=-2)
    _close(losses.jensen_shannon(views, reduction="none"), divergence, tolerance=1e-7)


def test_published_numbers() -> None:
    zero, one = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    # CRPS of the standard normal at its centre, (sqrt 2 - 1) / sqrt pi
    centre = (math.sqrt(2.0) - 1.0) / math.sqrt(math.pi)
    assert losses.crps_gaussian(zero, zero, sigmas=one).item() == pytest.approx(centre, rel=1e-12)
    # Lin et al. (2017), section 3.2: with gamma 2 the loss at p_t = 0.9 is 100 times, at p_t = 0.968
    # about 1000 times smaller than the cross entropy
    for p_t, ratio, tolerance in ((0.9, 100.0, 1e-9), (0.968, 1000.0, 0.03)):
        logits = torch.tensor([[math.log(p_t), math.log1p(-p_t)]], dtype=torch.float64)
        label = torch.zeros(1, dtype=torch.long)
        found = losses.focal_loss(label, logits, gamma=0.0) / losses.focal_loss(label, logits, gamma=2.0)
        assert found.item() == pytest.approx(ratio, rel=tolerance)
    # Two certain views that disagree are ln 2 apart, V of them ln V
    for v in (2, 5):
        views = 1e4 * torch.eye(v, dtype=torch.float64)
        assert losses.jensen_shannon(views).item() == pytest.approx(math.log(v), rel=1e-12)


@FEW
@given(seed=SEEDS)
def test_beta_nll_spans_from_nll_to_the_gradient_of_the_squared_error(seed: int) -> None:
    y, mean, raw = _normal(seed, (N,), (N,), (N,))
    sigma = (raw / 3.0).exp()
    _close(losses.beta_nll(y, mean, sigmas=sigma, beta=0.0), losses.gaussian_nll(y, mean, sigmas=sigma))
    first, second = mean.clone().requires_grad_(), mean.clone().requires_grad_()
    losses.beta_nll(y, first, sigmas=sigma, beta=1.0).backward()
    (0.5 * losses.masked_mse(y, second)).backward()
    assert first.grad is not None
    _close(first.grad, second.grad)
