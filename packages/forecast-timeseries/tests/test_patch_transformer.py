"""`timeseries/patch-transformer`: series apart, patches that end at the origin, and that it learns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

import forecast_core as fc
from forecast_core.errors import ConfigError
from forecast_core.series.sample import sample_panel
from forecast_timeseries.nn.patches import PatchTransformerNetwork
from forecast_timeseries.nn.tensors import Layout, WindowBatch

SMALL = {
    "context_length": 24,
    "horizon": 6,
    "patch_length": 8,
    "patch_stride": 4,
    "model_size": 8,
    "num_heads": 2,
    "num_layers": 1,
    "feedforward_size": 16,
    "max_epochs": 2,
    "batch_size": 32,
    "windows_per_epoch": 64,
}


def fitted(panel: fc.Panel, **options: Any) -> Any:
    return fc.create_model("timeseries/patch-transformer", **{**SMALL, **options}).fit(panel)


def network(*, targets: int, context: int, length: int, stride: int, horizon: int = 3) -> Any:
    torch.manual_seed(0)
    return PatchTransformerNetwork(
        Layout(targets=targets, lags=0, past=0, future=0, calendar=0, static=0),
        context_length=context,
        horizon=horizon,
        outputs=2,
        patch_length=length,
        patch_stride=stride,
        model_size=8,
        num_heads=2,
        num_layers=2,
        feedforward_size=8,
        dropout=0.1,
        per_window=True,
    ).eval()


def batch_of(values: torch.Tensor) -> WindowBatch:
    """Windows [n, time, target] without gaps."""
    n, time = values.shape[:2]
    series = torch.cat([values, torch.ones_like(values)], -1)
    return WindowBatch(
        series, series.new_zeros((n, time, 0)), torch.zeros(n, dtype=torch.long), series[:, 0, :0]
    )


@settings(max_examples=40, deadline=None)
@given(
    context=st.integers(2, 40),
    length=st.integers(1, 16),
    stride=st.integers(1, 16),
    targets=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_every_row_of_the_context_counts_and_none_after_it(
    context: int, length: int, stride: int, targets: int, seed: int
) -> None:
    length, stride = min(length, context), min(stride, length, context)
    net = network(targets=targets, context=context, length=length, stride=stride)
    values = torch.randn((2, context + 3, targets), generator=torch.Generator().manual_seed(seed))
    values.requires_grad_()
    out = net(batch_of(values))
    assert out.output.shape == (2, 3, targets, 2)
    # Weighted, since a sum over a normalised window is the same whatever it holds.
    weights = torch.randn(out.output.shape, generator=torch.Generator().manual_seed(seed + 1))
    (gradient,) = torch.autograd.grad((out.output * weights).sum(), values)
    assert (gradient[:, context:] == 0).all()
    if context > 2:  # two normalised rows are always one above and one below
        assert (gradient[:, :context].abs().amax(dim=(0, 2)) > 0).all()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), which=st.integers(0, 2))
def test_a_target_sees_no_other(seed: int, which: int) -> None:
    net = network(targets=3, context=20, length=8, stride=4)
    values = torch.randn((2, 23, 3), generator=torch.Generator().manual_seed(seed))
    changed = values.clone()
    changed[..., which] = changed[..., which].square() + 1.0
    others = [k for k in range(3) if k != which]
    with torch.inference_mode():
        before, after = net(batch_of(values)).output, net(batch_of(changed)).output
    torch.testing.assert_close(after[:, :, others], before[:, :, others])
    assert not torch.allclose(after[:, :, which], before[:, :, which])


def test_shift_and_scale_of_a_window_carry_over() -> None:
    panel = sample_panel(rows=200, items=2)
    model = fitted(panel)
    moved = replace(panel, values=panel.values * 3.0 + 7.0)
    np.testing.assert_allclose(
        model.predict(moved).values, model.predict(panel).values * 3.0 + 7.0, rtol=1e-4, atol=1e-2
    )


def test_it_learns_a_cycle_better_than_the_naive_repeats_it() -> None:
    rows = 900
    rng = np.random.default_rng(0)
    cycle = 20.0 + 5.0 * np.sin(2.0 * np.pi * np.arange(rows) / 24)
    values = cycle[:, None, None] + rng.normal(0.0, 1.0, (rows, 2, 1))
    panel = replace(sample_panel(rows=rows, items=2), values=values)
    train, valid, test = fc.splits.time_split(panel, (0.7, 0.1, 0.2))
    options = {"context_length": 48, "max_epochs": 20, "windows_per_epoch": 512, "learning_rate": 5e-3}
    model = fc.create_model("timeseries/patch-transformer", **{**SMALL, **options, "dropout": 0.0})
    model.fit(train, validation=valid)
    naive = fc.create_model("series/seasonal-naive", seasonality=24)
    result = fc.backtest(
        [model, naive], panel, start=test.timestamps[0], horizon=6, stride=3, metrics=["mae", "crps"]
    )
    for name, error in result["timeseries/patch-transformer"].metrics.items():
        assert error < 0.85 * result["series/seasonal-naive"].metrics[name]


@pytest.mark.parametrize(
    "options", [{"scaling": "minmax"}, {"ema": 0.9}, {"head": "point", "point_loss": "squared"}]
)
def test_saved_and_loaded_it_says_the_same(tmp_path: Path, options: dict[str, Any]) -> None:
    panel = sample_panel(rows=200, items=2)
    model = fitted(panel, **options)
    model.save(tmp_path / "patches")
    assert fc.load_model(tmp_path / "patches").predict(panel) == model.predict(panel)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"model_size": 8, "num_heads": 3}, "num_heads"),
        ({"context_length": 4}, "patch_length"),
        ({"patch_length": 4, "patch_stride": 5}, "patch_stride"),
    ],
)
def test_parts_that_do_not_fit_are_refused_by_name(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError, match=field):
        fc.create_model("timeseries/patch-transformer", **{**SMALL, **options})
