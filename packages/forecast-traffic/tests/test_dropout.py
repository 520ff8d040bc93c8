"""Dropout by pieces of random numbers: rates, scale and gradient are those of torch's."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings, strategies as st

from forecast_traffic.nn.dropout import Dropout


@settings(deadline=None, max_examples=25)
@given(rate=st.floats(0.0, 0.95), seed=st.integers(0, 2**32))
def test_as_many_are_dropped_as_asked_and_the_mean_stays(rate: float, seed: int) -> None:
    torch.manual_seed(seed)
    n = 100_003
    out = Dropout(rate).train()(torch.ones(n))
    deviation = (rate * (1 - rate) / n) ** 0.5
    assert float((out == 0).double().mean()) == pytest.approx(rate, abs=5 * deviation + 1e-5)
    kept = out[out > 0]
    assert kept.unique().numel() == 1
    assert float(kept[0]) == pytest.approx(1 / (1 - rate), rel=1e-3)


def test_elements_of_one_draw_are_dropped_independently() -> None:
    torch.manual_seed(0)
    kept = (Dropout(0.3).train()(torch.ones(400_000)) > 0).double().view(-1, 4)
    shares = torch.corrcoef(kept.T)
    assert float((shares - torch.eye(4)).abs().max()) < 0.015
    assert float((kept.mean(0) - 0.7).abs().max()) < 0.008


@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (0, 4)])
def test_gradients_pass_where_numbers_did(shape: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    x = torch.ones(shape, requires_grad=True)
    out = Dropout(0.5).train()(x)
    out.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, out)  # of ones: scale where kept, 0 where not


def test_it_follows_the_seed_and_rests_outside_training() -> None:
    layer, x = Dropout(0.4).train(), torch.randn(50)
    torch.manual_seed(3)
    first = layer(x)
    torch.manual_seed(3)
    assert torch.equal(layer(x), first)
    assert not torch.equal(layer(x), first)
    assert layer.eval()(x) is x
    assert Dropout(0.0).train()(x) is x
    assert layer.train()(x.half()).dtype == torch.float16
