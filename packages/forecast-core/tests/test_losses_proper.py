"""The truth minimises the expected score, reckoned by numeric expectation and not by sampling."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from statistics import NormalDist

import pytest
import torch
from hypothesis import assume, given, settings, strategies as st
from torch import Tensor

from forecast_core import losses
from forecast_core.losses import MixtureParameters

GRID = torch.linspace(-30.0, 30.0, 3001, dtype=torch.float64)
STEP = float(GRID[1] - GRID[0])
SMALL = settings(max_examples=25, deadline=None)

gaussians = st.tuples(st.floats(-3, 3), st.floats(0.4, 2.5))
mixtures = st.lists(
    st.tuples(st.floats(-2, 2), st.floats(-3, 3), st.floats(0.4, 2.5)), min_size=2, max_size=2
)


def _mixture(components: list[tuple[float, float, float]]) -> MixtureParameters:
    return MixtureParameters(*torch.tensor(components, dtype=torch.float64).T.contiguous())


def _density(truth: MixtureParameters) -> Tensor:
    family = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(logits=truth.logits),
        torch.distributions.Normal(truth.means, truth.sigmas),
    )
    return family.log_prob(GRID).exp() * STEP


def _normal_density(truth: tuple[float, float]) -> Tensor:
    return _density(_mixture([(0.0, *truth)]))


def _expected(loss: Callable[..., Tensor], forecast: MixtureParameters, truth: MixtureParameters) -> Tensor:
    everywhere = MixtureParameters(*(part.expand(len(GRID), -1) for part in forecast))
    return (loss(GRID, everywhere, reduction="none") * _density(truth)).sum()


def _expected_gaussian(
    loss: Callable[..., Tensor], forecast: tuple[float, float] | Tensor, truth: tuple[float, float]
) -> Tensor:
    mean, sigma = torch.as_tensor(forecast, dtype=torch.float64)
    density = _normal_density(truth)
    return (
        loss(GRID, mean.expand(len(GRID)), sigmas=sigma.expand(len(GRID)), reduction="none") * density
    ).sum()


@pytest.mark.parametrize("loss", [losses.mixture_nll, losses.crps_mixture])
@SMALL
@given(truth=mixtures, other=mixtures)
def test_the_true_mixture_minimises_the_expected_score(
    loss: Callable[..., Tensor],
    truth: list[tuple[float, float, float]],
    other: list[tuple[float, float, float]],
) -> None:
    true, wrong = _mixture(truth), _mixture(other)
    best = _expected(loss, true, true)
    assert best <= _expected(loss, wrong, true) + 1e-9
    assert best + 1e-4 < _expected(loss, true._replace(means=true.means + 0.3), true)

    leaves = MixtureParameters(*(part.clone().requires_grad_() for part in true))
    _expected(loss, leaves, true).backward()
    for leaf in leaves:
        assert leaf.grad is not None
        assert leaf.grad.abs().max() < 1e-7


@pytest.mark.parametrize("loss", [losses.gaussian_nll, losses.crps_gaussian])
@SMALL
@given(truth=gaussians, other=gaussians)
def test_the_true_gaussian_minimises_the_expected_score(
    loss: Callable[..., Tensor], truth: tuple[float, float], other: tuple[float, float]
) -> None:
    best = _expected_gaussian(loss, truth, truth)
    assert best <= _expected_gaussian(loss, other, truth) + 1e-9
    assert best + 1e-4 < _expected_gaussian(loss, (truth[0], truth[1] * 1.3), truth)


@SMALL
@given(truth=gaussians, beta=st.floats(0, 1), shift=st.floats(0.1, 1), stretch=st.floats(1.1, 2))
def test_descent_on_beta_nll_leads_to_the_true_gaussian(
    truth: tuple[float, float], beta: float, shift: float, stretch: float
) -> None:
    def loss(*args: Tensor, **options: Tensor) -> Tensor:
        return losses.beta_nll(*args, beta=beta, **options)

    def gradient(mean: float, sigma: float) -> Tensor:
        leaf = torch.tensor((mean, sigma), dtype=torch.float64, requires_grad=True)
        _expected_gaussian(loss, leaf, truth).backward()
        assert leaf.grad is not None
        return leaf.grad

    mean, sigma = truth
    assert gradient(mean, sigma).abs().max() < 1e-7
    assert gradient(mean + shift, sigma)[0] > 1e-3
    assert gradient(mean - shift, sigma)[0] < -1e-3
    assert gradient(mean, sigma * stretch)[1] > 1e-3
    assert gradient(mean, sigma / stretch)[1] < -1e-3


@SMALL
@given(truth=gaussians, level=st.floats(0.02, 0.98), other=st.floats(-4, 4))
def test_the_true_quantile_minimises_the_pinball_loss(
    truth: tuple[float, float], level: float, other: float
) -> None:
    quantile = NormalDist(*truth).inv_cdf(level)
    assume(abs(quantile - other) > 0.1)
    density = _normal_density(truth)

    def expected(value: float) -> Tensor:
        forecast = torch.full((len(GRID), 1), value, dtype=torch.float64)
        return (losses.pinball_loss(GRID, forecast, levels=[level], reduction="none") * density).sum()

    assert expected(quantile) < expected(other)


@pytest.mark.parametrize("quadrature", [losses.pinball_loss, losses.crps_quantiles])
@SMALL
@given(truth=gaussians, other=gaussians)
def test_the_true_quantiles_minimise_the_score_of_all_levels(
    quadrature: Callable[..., Tensor], truth: tuple[float, float], other: tuple[float, float]
) -> None:
    levels = (0.05, 0.1, 0.5, 0.8)
    density = _normal_density(truth)

    def expected(gaussian: tuple[float, float]) -> Tensor:
        quantiles = torch.tensor(
            [NormalDist(*gaussian).inv_cdf(level) for level in levels], dtype=torch.float64
        )
        forecast = quantiles.expand(len(GRID), -1)
        return (quadrature(GRID, forecast, levels=levels, reduction="none") * density).sum()

    # The score is piecewise linear between grid points: the minimum is flat to about a squared step.
    assert expected(truth) <= expected(other) + STEP**2


@SMALL
@given(truth=mixtures, shift=st.floats(0.05, 3))
def test_the_mean_minimises_mse_and_the_median_mae(
    truth: list[tuple[float, float, float]], shift: float
) -> None:
    density = _density(_mixture(truth))
    mean = (GRID * density).sum()
    median = GRID[torch.searchsorted(density.cumsum(0), torch.tensor(0.5, dtype=torch.float64))]
    for loss, best in ((losses.masked_mse, mean), (losses.masked_mae, median)):

        def expected(value: Tensor, loss: Callable[..., Tensor] = loss) -> Tensor:
            return (loss(GRID, value.expand(len(GRID)), reduction="none") * density).sum()

        # Where two components lie far apart the density at the median is 0, and the error flat.
        assert expected(best) <= expected(best + shift) + 1e-9
        assert expected(best) <= expected(best - shift) + 1e-9
        assert expected(best) < expected(best + 20.0)
        assert expected(best) < expected(best - 20.0)


@SMALL
@given(
    truth=st.lists(st.floats(-3, 3), min_size=3, max_size=3),
    other=st.lists(st.floats(-3, 3), min_size=3, max_size=3),
)
def test_the_true_probabilities_minimise_the_focal_loss_without_focus(
    truth: list[float], other: list[float]
) -> None:
    true, wrong = torch.tensor([truth, other], dtype=torch.float64)
    classes = torch.arange(3)

    def expected(logits: Tensor) -> Tensor:
        elements = losses.focal_loss(classes, logits.expand(3, -1), gamma=0.0, reduction="none")
        return (elements * true.softmax(-1)).sum()

    assert expected(true) <= expected(wrong) + 1e-12
    assert expected(true) + 1e-4 < expected(true + torch.tensor([0.5, 0.0, 0.0]))


def _enumerated_score(
    loss: Callable[..., Tensor], support: Tensor, forecast: Tensor, truth: Tensor, m: int, **options: str
) -> Tensor:
    """The exact expectation over all m-tuples of samples from `forecast` and all targets from `truth`."""
    index = torch.tensor(list(itertools.product(range(len(support)), repeat=m)))  # [n^m, m]
    chance = forecast[index].prod(-1)
    total = torch.zeros((), dtype=torch.float64)
    for y, p in zip(support, truth, strict=True):
        elements = loss(y.expand(len(index), *y.shape), support[index], reduction="none", **options)
        total = total + p * (elements * chance).sum()
    return total


@pytest.mark.parametrize("m", [2, 3])
@pytest.mark.parametrize("dimensions", [0, 2])
@SMALL
@given(data=st.data())
def test_the_fair_sample_scores_are_unbiased_and_minimal_for_the_truth(
    dimensions: int, m: int, data: st.DataObject
) -> None:
    loss = losses.energy_score if dimensions else losses.crps_samples
    shape = (4, dimensions) if dimensions else (4,)
    count = torch.Size(shape).numel()
    numbers = data.draw(st.lists(st.integers(-5, 5), min_size=count, max_size=count))
    support = torch.tensor(numbers, dtype=torch.float64).reshape(shape)
    weights = data.draw(
        st.lists(st.lists(st.floats(0.05, 1), min_size=4, max_size=4), min_size=2, max_size=2)
    )
    truth, other = (row / row.sum() for row in torch.tensor(weights, dtype=torch.float64))

    distances = torch.cdist(support.reshape(4, -1), support.reshape(4, -1))

    def exact(forecast: Tensor) -> Tensor:
        return forecast @ distances @ truth - 0.5 * forecast @ distances @ forecast

    for forecast in (truth, other):
        score = _enumerated_score(loss, support, forecast, truth, m)
        torch.testing.assert_close(score, exact(forecast), rtol=1e-9, atol=1e-9)
    assert exact(truth) <= exact(other) + 1e-12
    plain = _enumerated_score(loss, support, truth, truth, m, estimator="plain")
    bias = 0.5 * truth @ distances @ truth / m
    torch.testing.assert_close(plain, exact(truth) + bias, rtol=1e-9, atol=1e-9)


def test_the_calibration_term_tells_a_calibrated_forecast_from_a_false_one() -> None:
    n = 400
    middle = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    targets = torch.distributions.Normal(2.0, 3.0).icdf(middle).flip(0)

    def term(mean: float, sigma: float) -> float:
        parts = (torch.full((n, 1), value, dtype=torch.float64) for value in (0.0, mean, sigma))
        return losses.mixture_calibration(targets, MixtureParameters(*parts)).item()

    assert term(2.0, 3.0) < 1e-12
    for wrong in ((2.0, 2.0), (2.0, 4.0), (1.0, 3.0), (3.0, 3.0)):
        assert term(*wrong) > 1e-3
    assert term(1e6, 1e-3) == pytest.approx(1 / 3, rel=1e-2)
