"""The mixture head and the terms it is trained for; scaling; batches of windows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from forecast_core.errors import ConfigError, DataError
from forecast_core.losses import MixtureParameters
from forecast_core.prediction.mixture import mixture_quantile
from forecast_traffic import GraphPanel, LossWeights
from forecast_traffic.graph.sample import sample_graph
from forecast_traffic.nn import MixtureHead
from forecast_traffic.nn.identity_mlp import last_observed
from forecast_traffic.nn.mixture_head import mixture_median
from forecast_traffic.nn.objective import MixtureObjective
from forecast_traffic.nn.scaling import NetworkScaling
from forecast_traffic.nn.tensors import NetworkBatch, NetworkTensors

LEVELS = np.array([1 / 6, 0.5, 5 / 6])


def mixtures(seed: int, k: int, spread: float = 1.0) -> MixtureParameters:
    g = torch.Generator().manual_seed(seed)
    logits, means, raw = (torch.randn(5, 3, k, generator=g) for _ in range(3))
    return MixtureParameters(logits[:, :1], spread * means, 0.05 + raw.exp())


@given(seed=st.integers(0, 2**16), k=st.integers(1, 5), spread=st.floats(0.1, 5.0))
@settings(max_examples=50, deadline=None)
def test_the_median_is_the_half_quantile(seed: int, k: int, spread: float) -> None:
    mixture = mixtures(seed, k, spread)
    weights = torch.softmax(mixture.logits, -1).expand_as(mixture.means).double().numpy()
    means, sigmas = mixture.means.double().numpy(), mixture.sigmas.double().numpy()
    expected = mixture_quantile(weights, means, sigmas, np.array([0.5]))[..., 0]
    np.testing.assert_allclose(mixture_median(mixture).numpy(), expected, atol=2e-3 * max(1.0, spread))


def test_the_gradient_of_the_median_is_that_of_finite_differences() -> None:
    mixture = MixtureParameters(*(each.double().requires_grad_() for each in mixtures(1, 3)))
    median = mixture_median(mixture)[0, 0]
    grads = torch.autograd.grad(median, mixture)

    def at(k: int, step: float) -> float:
        moved = [each.detach().clone() for each in mixture]
        moved[k][0, 0, 1] += step
        weights = torch.softmax(moved[0], -1).expand_as(moved[1])[0, 0].numpy()
        value = mixture_quantile(weights, moved[1][0, 0].numpy(), moved[2][0, 0].numpy(), np.array([0.5]))
        return float(value[0])

    for k, grad in enumerate(grads):
        numeric = (at(k, 1e-5) - at(k, -1e-5)) / 2e-5
        assert float(grad[0, 0, 1]) == pytest.approx(numeric, abs=2e-3)


def test_components_begin_at_their_anchors() -> None:
    anchors = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.5, 3.0]])
    head = MixtureHead(8, horizon=4, anchors=anchors, weights="shared")
    out = head(torch.zeros(2, 5, 8))
    assert out.logits.shape == (2, 5, 1, 2, 3)
    torch.testing.assert_close(out.means, anchors.expand(2, 5, 4, 2, 3))
    assert (out.sigmas > 0).all()
    shifted = head(torch.zeros(2, 5, 8), torch.full((2, 5, 1, 2), 7.0))
    torch.testing.assert_close(shifted.means, out.means + 7.0)
    assert MixtureHead(8, horizon=4, anchors=anchors)(torch.zeros(1, 8)).logits.shape == (1, 4, 2, 3)


def batch_of(
    panel: GraphPanel, *, context: int = 4, horizon: int = 3, ahead: int | None = None
) -> NetworkBatch:
    scaling = NetworkScaling.fit(panel, rows=100, levels=LEVELS)
    tensors = NetworkTensors(panel, scaling=scaling, extra=0)
    source = tensors.source(np.array([10, 50]), context=context, horizon=horizon, ahead=ahead)
    return source.batch(torch.tensor([1, 0]))


def test_a_batch_is_the_rows_it_says() -> None:
    panel = sample_graph(missing=0.2, future_covariates=1)
    scaling = NetworkScaling.fit(panel, rows=100, levels=LEVELS)
    batch = batch_of(panel)
    values = scaling.values(panel.values)
    for b, row in enumerate((50, 10)):
        expected = values[row - 3 : row + 1]
        np.testing.assert_allclose(batch.context[b, ..., 0], np.nan_to_num(expected[..., 0]), rtol=1e-5)
        np.testing.assert_array_equal(batch.context[b, ..., 1], ~np.isnan(expected[..., 0]))
        np.testing.assert_array_equal(batch.observed[b], panel.mask[row + 1 : row + 4])
        assert panel.event_ids is not None
        np.testing.assert_array_equal(batch.clock[b, :, 3], panel.event_ids[row - 3 : row + 4])
        assert batch.weather is not None
        assert panel.weather is not None
        expected_weather = scaling.weather(panel.weather[row + 1 : row + 4])
        np.testing.assert_allclose(batch.weather.values[b], expected_weather, rtol=1e-4, atol=1e-5)


def test_weather_and_events_beyond_what_is_known_are_hidden() -> None:
    panel = sample_graph(future_covariates=1)
    panel = replace(panel, event_ids=np.ones(len(panel), dtype=np.int64))
    batch = batch_of(panel, ahead=2)
    assert batch.weather is not None
    assert batch.weather.known.tolist() == [[True, True, False]] * 2
    assert not batch.weather.values[:, 2].any()
    assert batch.clock[0, :, 3].tolist() == [1, 1, 1, 1, 1, 1, 0]


def test_missing_weather_is_unknown_not_zero() -> None:
    panel = sample_graph(future_covariates=1)
    assert panel.weather is not None
    weather = panel.weather.copy()
    weather[12, 1] = np.nan
    batch = batch_of(replace(panel, weather=weather))
    assert batch.weather is not None
    assert batch.weather.known[1].tolist() == [True, False, True]


def test_scaling_reads_observed_training_values_only() -> None:
    panel = sample_graph(missing=0.3)
    values = panel.values.copy()
    values[100:] *= 1000.0
    other = replace(panel, values=values)
    a, b = (NetworkScaling.fit(p, rows=100, levels=LEVELS) for p in (panel, other))
    np.testing.assert_array_equal(a.shift, b.shift)
    np.testing.assert_allclose(a.shift, np.full((4, 1), np.nanmean(panel.values[:100])))
    np.testing.assert_allclose(a.scale, np.full((4, 1), np.nanstd(panel.values[:100])))
    np.testing.assert_allclose(
        a.quantiles[0], np.nanquantile((panel.values[:100] - a.shift) / a.scale, LEVELS)
    )
    restored = NetworkScaling.from_state(a.state())
    np.testing.assert_array_equal(restored.quantiles, a.quantiles)
    with pytest.raises(DataError, match="every channel"):
        NetworkScaling.fit(replace(panel, values=np.full_like(values, np.nan)), rows=100, levels=LEVELS)


def test_nodes_unlike_in_size_can_be_scaled_by_themselves() -> None:
    panel = sample_graph(missing=0.3)
    values = panel.values * np.array([1.0, 100.0, 0.0, 1.0])[:, None]
    values[:, 3] = np.nan
    uneven = replace(panel, values=values)
    whole, own = (NetworkScaling.fit(uneven, rows=100, levels=LEVELS, over=o) for o in ("network", "node"))
    np.testing.assert_allclose(own.shift[:2], np.nanmean(values[:100, :2], axis=0))
    np.testing.assert_allclose(own.scale[:2], np.nanstd(values[:100, :2], axis=0))
    np.testing.assert_allclose(own.scale[2:], whole.scale[2:])  # constant, and never observed
    np.testing.assert_allclose(own.shift[2:], whole.shift[2:])


def test_the_last_observed_value_is_found_behind_gaps() -> None:
    context = torch.zeros(1, 4, 3, 2)
    context[0, :, 0, 0] = torch.tensor([1.0, 2.0, 3.0, 0.0])
    context[0, :, 0, 1] = torch.tensor([1.0, 1.0, 1.0, 0.0])
    context[0, 1, 1] = torch.tensor([5.0, 1.0])
    assert last_observed(context)[0, :, 0, 0].tolist() == [3.0, 5.0, 0.0]


def test_terms_of_the_loss_are_told_apart_and_weighed() -> None:
    batch = batch_of(sample_graph(missing=0.2))
    shape = (*batch.targets.transpose(1, 2).shape, 3)  # [B, N, H, C, K]
    torch.manual_seed(0)
    mixture = MixtureParameters(torch.randn(shape), torch.randn(shape), torch.rand(shape) + 0.1)
    scale = torch.full((4, 1), 4.0)
    weights = LossWeights(nll=0.5, mae=2.0, crps=1.0, calibration=0.1, diversity=0.2)
    terms = MixtureObjective(weights, scale, unit=2.0).terms(mixture, batch)
    assert set(terms) == {"nll", "mae", "crps", "calibration", "diversity"}

    class Fixed(torch.nn.Module):
        def forward(self, batch: NetworkBatch) -> MixtureParameters:
            return mixture

    loss = MixtureObjective(weights, scale, unit=2.0)(Fixed(), batch)
    torch.testing.assert_close(loss.total, sum(weight * terms[name] for name, weight in weights))
    assert loss.terms == terms
    only = MixtureObjective(LossWeights(crps=0.0, mae=1.0), scale, unit=2.0).terms(mixture, batch)
    error = (mixture_median(mixture) - batch.targets.transpose(1, 2)).abs() * 2.0
    seen = batch.observed.transpose(1, 2)
    torch.testing.assert_close(only["mae"], error[seen].mean())
    assert set(only) == {"mae"}
    with pytest.raises(ConfigError, match="a term that counts"):
        LossWeights(crps=0.0)
