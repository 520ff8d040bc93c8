"""Invariances of the losses, ways back from their bounds, and what they refuse."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor

from forecast_core import losses
from forecast_core.errors import InvalidInputError, ShapeError
from forecast_core.losses import HomoscedasticWeighting, MixtureParameters

N, K = 12, 4
SEEDS = st.integers(0, 2**31)
FEW = settings(max_examples=25, deadline=None)


def _normal(seed: int, *shapes: tuple[int, ...]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(*shape, dtype=torch.float64, generator=generator) for shape in shapes]


def _mixture(seed: int) -> tuple[Tensor, MixtureParameters]:
    targets, logits, means, raw = _normal(seed, (N,), (N, K), (N, K), (N, K))
    return targets, MixtureParameters(logits, means, raw.exp())


def _close(first: Tensor, second: Tensor | float) -> None:
    torch.testing.assert_close(first, torch.as_tensor(second, dtype=first.dtype), rtol=1e-9, atol=1e-9)


@FEW
@given(seed=SEEDS, order=st.permutations(range(K)), offset=st.floats(-50, 50))
def test_a_mixture_does_not_depend_on_component_order_or_logit_offset(
    seed: int, order: list[int], offset: float
) -> None:
    y, mixture = _mixture(seed)
    changed = MixtureParameters(*(part[:, order] for part in mixture))
    changed = changed._replace(logits=changed.logits + offset)
    for loss in (losses.mixture_nll, losses.crps_mixture, losses.mixture_calibration):
        _close(loss(y, changed), loss(y, mixture))
    _close(losses.mixture_diversity(changed), losses.mixture_diversity(mixture))


@FEW
@given(seed=SEEDS, scale=st.floats(0.1, 10), shift=st.floats(-10, 10))
def test_scores_follow_a_change_of_unit(seed: int, scale: float, shift: float) -> None:
    y, mixture = _mixture(seed)
    moved = MixtureParameters(mixture.logits, scale * mixture.means + shift, scale * mixture.sigmas)
    y2 = scale * y + shift
    _close(losses.crps_mixture(y2, moved), scale * losses.crps_mixture(y, mixture))
    _close(losses.mixture_nll(y2, moved), losses.mixture_nll(y, mixture) + math.log(scale))
    _close(losses.mixture_calibration(y2, moved), losses.mixture_calibration(y, mixture))
    _close(losses.mixture_diversity(moved), losses.mixture_diversity(mixture))

    mean, sigma = mixture.means[:, 0], mixture.sigmas[:, 0]
    moved_crps = losses.crps_gaussian(y2, scale * mean + shift, sigmas=scale * sigma)
    _close(moved_crps, scale * losses.crps_gaussian(y, mean, sigmas=sigma))

    values, levels = mixture.means, (0.1, 0.3, 0.6, 0.9)
    for score in (losses.crps_samples, lambda a, b: losses.crps_quantiles(a, b, levels=levels)):
        _close(score(y2, scale * values + shift), scale * score(y, values))


@FEW
@given(seed=SEEDS, angle=st.floats(0, 2 * math.pi))
def test_the_energy_score_does_not_depend_on_the_axes(seed: int, angle: float) -> None:
    y, x = _normal(seed, (N, 2), (N, 5, 2))
    cos, sin = math.cos(angle), math.sin(angle)
    turn = torch.tensor([[cos, -sin], [sin, cos]], dtype=torch.float64)
    _close(losses.energy_score(y @ turn, x @ turn), losses.energy_score(y, x))


@FEW
@given(seed=SEEDS, order=st.permutations(range(K)))
def test_sample_order_does_not_matter(seed: int, order: list[int]) -> None:
    y, x = _normal(seed, (N,), (N, K))
    _close(losses.crps_samples(y, x[:, order]), losses.crps_samples(y, x))


@FEW
@given(seed=SEEDS, offset=st.floats(-50, 50))
def test_consistency_is_symmetric_and_zero_only_between_equals(seed: int, offset: float) -> None:
    first, second = _normal(seed, (N, K), (N, K))
    _close(losses.symmetric_kl(first, second), losses.symmetric_kl(second, first))
    apart = losses.jensen_shannon(torch.stack([first, second], -2), reduction="none")
    _close(losses.jensen_shannon(torch.stack([second, first], -2), reduction="none"), apart)
    assert (apart > 0).all()
    assert (apart <= math.log(2.0)).all()
    same = torch.stack([first, first + offset], -2)
    _close(losses.jensen_shannon(same), 0.0)
    _close(losses.symmetric_kl(first, first + offset), 0.0)


def test_weights_shared_over_the_horizon_are_those_written_out() -> None:
    y, logits, means, raw = _normal(0, (N, 5), (N, 1, K), (N, 5, K), (N, 5, K))
    shared = MixtureParameters(logits, means, raw.exp())
    written = shared._replace(logits=logits.expand(N, 5, K))
    mask = torch.arange(N * 5).reshape(N, 5) % 3 > 0
    for loss in (losses.mixture_nll, losses.crps_mixture, losses.mixture_calibration):
        for options in ({}, {"mask": mask}):
            _close(loss(y, shared, **options), loss(y, written, **options))


def test_far_targets_keep_the_digits_of_the_score() -> None:
    # Near 1e6, float32 resolves 1/16: exact there, so nothing but the score's own rounding may differ.
    y = torch.tensor([1e6 + 0.5])
    samples = torch.tensor([[1e6 - 1.0, 1e6 + 0.25, 1e6 + 2.0]])
    near = losses.crps_samples(y - 1e6, samples - 1e6)
    torch.testing.assert_close(losses.crps_samples(y, samples), near, rtol=1e-6, atol=0)
    sigmas = torch.ones(1, 3)
    far = losses.crps_mixture(y, MixtureParameters(sigmas, samples, sigmas))
    close = losses.crps_mixture(y - 1e6, MixtureParameters(sigmas, samples - 1e6, sigmas))
    torch.testing.assert_close(far, close, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    "loss",
    [
        lambda y, s: losses.gaussian_nll(y, torch.zeros_like(y), sigmas=s),
        lambda y, s: losses.beta_nll(y, torch.zeros_like(y), sigmas=s),
        lambda y, s: losses.crps_gaussian(y, torch.zeros_like(y), sigmas=s),
        lambda y, s: losses.mixture_nll(y, MixtureParameters(*(x[:, None] for x in (s, 0 * y, s)))),
        lambda y, s: losses.crps_mixture(y, MixtureParameters(*(x[:, None] for x in (s, 0 * y, s)))),
    ],
    ids=["gaussian_nll", "beta_nll", "crps_gaussian", "mixture_nll", "crps_mixture"],
)
def test_a_collapsed_sigma_gives_finite_gradients_and_can_recover(
    loss: Callable[[Tensor, Tensor], Tensor],
) -> None:
    raw = torch.tensor([-120.0, -20.0], requires_grad=True)
    sigmas = torch.nn.functional.softplus(raw)
    sigmas.retain_grad()
    assert sigmas[0] == 0  # what float32 makes of it
    value = loss(torch.tensor([1.0, 1.0]), sigmas)
    value.backward()
    assert torch.isfinite(value)
    assert raw.grad is not None
    assert torch.isfinite(raw.grad).all()
    collapsed = torch.tensor([1e-9], requires_grad=True)
    loss(torch.tensor([1e-3]), collapsed).backward()
    assert collapsed.grad is not None
    assert collapsed.grad < 0  # descent widens it


@given(
    values=st.lists(st.floats(-10, 10), min_size=1, max_size=8),
    slopes=st.floats(-3, 3),
    low=st.floats(-5, 0),
    width=st.floats(0, 5),
)
def test_clamp_inward_never_lets_descent_move_outward_and_always_inward(
    values: list[float], slopes: float, low: float, width: float
) -> None:
    x = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    high = low + width
    clamped = losses.clamp_inward(x, low=low, high=high)
    assert torch.equal(clamped, x.detach().clamp(low, high))
    (slopes * clamped).sum().backward()
    assert x.grad is not None
    for value, grad in zip(values, x.grad.tolist(), strict=True):
        outward = (value < low and slopes > 0) or (value > high and slopes < 0)
        assert grad == (0.0 if outward else slopes)


@given(
    raw=st.lists(st.sampled_from([-1e6, -120.0, -1.0, 0.0, 0.5, 30.0, 1e6]), min_size=1, max_size=9),
    data=st.data(),
)
def test_noncrossing_quantiles_never_cross_and_keep_their_anchor(
    raw: list[float], data: st.DataObject
) -> None:
    anchor = data.draw(st.none() | st.integers(0, len(raw) - 1))
    free = torch.tensor([raw, raw], requires_grad=True)
    quantiles = losses.noncrossing_quantiles(free, anchor=anchor)
    assert quantiles.shape == free.shape
    assert (quantiles.diff(dim=-1) >= 0).all()
    at = len(raw) // 2 if anchor is None else anchor
    assert torch.equal(quantiles[:, at], free[:, at])
    quantiles.sum().backward()
    assert free.grad is not None
    assert torch.isfinite(free.grad).all()


def test_noncrossing_quantiles_step_by_cumulative_softplus() -> None:
    raw = torch.tensor([0.3, -1.0, 5.0, 2.0, 0.0], dtype=torch.float64)
    step = torch.nn.functional.softplus(raw)
    expected = torch.stack(
        [5.0 - step[1] - step[0], 5.0 - step[1], raw[2], 5.0 + step[3], 5.0 + step[3] + step[4]]
    )
    _close(losses.noncrossing_quantiles(raw), expected)


@FEW
@given(
    squared=st.floats(1e-3, 1e3),
    entropy=st.floats(1e-3, 1e3),
)
def test_learnt_weights_settle_at_the_noise_of_each_task(squared: float, entropy: float) -> None:
    weighting = HomoscedasticWeighting({"level": "regression", "sign": "classification"})
    with torch.no_grad():
        weighting.log_variances.copy_(torch.tensor([squared, 2.0 * entropy]).log())
    values = {
        "sign": torch.tensor(entropy, requires_grad=True),
        "level": torch.tensor(squared, requires_grad=True),
    }
    total = weighting(values)
    total.backward()
    assert weighting.log_variances.grad is not None
    assert weighting.log_variances.grad.abs().max() < 1e-5  # the optimum in s
    expected = 0.5 + 0.5 * math.log(squared) + 0.5 + 0.5 * math.log(2.0 * entropy)
    torch.testing.assert_close(total, torch.tensor(expected), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(values["level"].grad, weighting.weights()["level"])
    torch.testing.assert_close(values["sign"].grad, weighting.weights()["sign"])
    torch.testing.assert_close(weighting.weights()["level"], torch.tensor(0.5 / squared), rtol=1e-4, atol=0)


def test_a_task_that_was_not_observed_leaves_its_weight_alone() -> None:
    weighting = HomoscedasticWeighting({"level": "regression", "extra": "classification"})
    values = {"level": torch.tensor(2.0), "extra": torch.tensor(0.0)}
    seen = {"extra": torch.tensor(False)}
    total = weighting(values, observed=seen)
    total.backward()
    assert weighting.log_variances.grad is not None
    assert weighting.log_variances.grad.tolist() == [-0.5, 0.0]
    assert torch.equal(total, weighting({"level": torch.tensor(2.0)}))


def test_a_task_that_was_observed_counts_as_without_the_flag() -> None:
    weighting = HomoscedasticWeighting({"level": "regression", "extra": "classification"}, initial=0.7)
    values = {"level": torch.tensor(2.0), "extra": torch.tensor(3.0)}
    seen = {"extra": torch.tensor(True)}
    assert torch.equal(weighting(values, observed=seen), weighting(values))


def test_the_weight_of_a_solved_task_stays_bounded_and_returns() -> None:
    weighting = HomoscedasticWeighting({"level": "regression"}, bounds=(-2.0, 2.0))
    optimiser = torch.optim.SGD(weighting.parameters(), lr=0.5)

    def train(loss: float) -> float:
        for _ in range(40):
            optimiser.zero_grad()
            weighting({"level": torch.tensor(loss)}).backward()
            optimiser.step()
        return weighting.weights()["level"].item()

    assert train(0.0) == pytest.approx(0.5 * math.exp(2.0))
    assert weighting.log_variances.item() > -2.5
    assert train(1.0) == pytest.approx(0.5, rel=1e-3)
    assert set(weighting.state_dict()) == {"log_variances"}


def test_wrong_use_is_refused_by_name() -> None:
    y, q = torch.zeros(2), torch.zeros(2, 3)
    with pytest.raises(InvalidInputError, match=r"levels: increase strictly within \(0, 1\)"):
        losses.pinball_loss(y, q, levels=[0.5, 0.1, 0.9])
    with pytest.raises(InvalidInputError, match="levels"):
        losses.crps_quantiles(y, q, levels=[0.1, 0.5, 1.0])
    with pytest.raises(ShapeError, match="levels"):
        losses.pinball_loss(y, q, levels=[0.1, 0.5])
    with pytest.raises(ShapeError, match="at least two samples"):
        losses.crps_samples(y, q[:, :1])
    with pytest.raises(InvalidInputError, match="estimator"):
        losses.crps_samples(y, q, estimator="unbiased")
    with pytest.raises(InvalidInputError, match="sigma_floor"):
        losses.gaussian_nll(y, y, sigmas=y + 1, sigma_floor=0.0)
    with pytest.raises(InvalidInputError, match="beta"):
        losses.beta_nll(y, y, sigmas=y + 1, beta=1.5)
    with pytest.raises(InvalidInputError, match="delta"):
        losses.masked_huber(y, y, delta=0.0)
    with pytest.raises(InvalidInputError, match="integer class indices"):
        losses.focal_loss(y, q)
    with pytest.raises(InvalidInputError, match="gamma"):
        losses.focal_loss(y.long(), q, gamma=-1.0)
    with pytest.raises(InvalidInputError, match="label_smoothing"):
        losses.focal_loss(y.long(), q, label_smoothing=1.0)
    with pytest.raises(ShapeError, match="alpha"):
        losses.focal_loss(y.long(), q, alpha=[0.5, 0.5])
    with pytest.raises(ShapeError, match="logits"):
        losses.mixture_nll(y, MixtureParameters(q[:, :1], q, q + 1))
    with pytest.raises(ShapeError, match="views"):
        losses.jensen_shannon(y)
    with pytest.raises(InvalidInputError, match="anchor"):
        losses.noncrossing_quantiles(q, anchor=3)
    with pytest.raises(ShapeError, match="raw"):
        losses.noncrossing_quantiles(torch.tensor(1.0))


def test_wrong_tasks_are_refused_by_name() -> None:
    weighting = HomoscedasticWeighting({"level": "regression"})
    with pytest.raises(InvalidInputError, match="did you mean 'level'"):
        weighting({"levels": torch.tensor(1.0)})
    with pytest.raises(InvalidInputError, match="at least one task"):
        weighting({})
    with pytest.raises(ShapeError, match="losses at level: are scalars"):
        weighting({"level": torch.ones(2)})
    with pytest.raises(InvalidInputError, match="at least one task"):
        HomoscedasticWeighting({})
    with pytest.raises(InvalidInputError, match="tasks at level: is one of"):
        HomoscedasticWeighting({"level": "ranking"})
    with pytest.raises(InvalidInputError, match="initial"):
        HomoscedasticWeighting({"level": "regression"}, initial=11.0)
