"""Networks: blocks equal published ones, quantiles keep their order, the last bar counts, sizes add up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

import forecast_core as fc
from forecast_core.errors import ConfigError, DataError, InvalidInputError
from forecast_finance import Bars, build_dataset, random_walk
from forecast_finance.bar_windows import BarWindows
from forecast_finance.configs import TFTConfig, TimeFormerConfig
from forecast_finance.models.tft_xl import TFTXL
from forecast_finance.models.timeformer_xl import TimeFormerXL
from forecast_finance.nn.interpretable import InterpretableAttention
from forecast_finance.nn.selection import VariableSelection
from forecast_finance.nn.tensors import Batch, normalize_window
from forecast_finance.nn.tft import TFTNetwork
from forecast_finance.nn.timeformer import TimeFormerNetwork

# pytorch-forecasting's blocks with random weights, and what they give; made once with version 1.8.0.
GOLDEN = Path(__file__).parent / "golden" / "temporal-fusion-blocks.safetensors"

SMALL = {"size": 16, "heads": 2, "layers": 1, "max_epochs": 1, "windows_per_epoch": 64}


# published blocks


class Resampled(nn.Module):
    """How pytorch-forecasting skips to another size: interpolation, a gate for each place, and a norm."""

    def __init__(self, golden: dict[str, Tensor], prefix: str) -> None:
        super().__init__()
        self.mask, self.weight, self.bias = (
            golden[f"{prefix}.{name}"] for name in ("mask", "norm.weight", "norm.bias")
        )

    def forward(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, 1, x.shape[-1])
        small = F.interpolate(flat, len(self.mask), mode="linear", align_corners=True)
        gated = small.reshape(*x.shape[:-1], -1) * torch.sigmoid(self.mask) * 2.0
        return F.layer_norm(gated, gated.shape[-1:], self.weight, self.bias)


def test_variable_selection_equals_pytorch_forecastings_with_its_weights() -> None:
    golden = load_file(GOLDEN)
    block = VariableSelection(4, input_size=6, output_size=6, context_size=5).eval()

    def stacked(name: str) -> Tensor:
        return torch.stack([golden[f"vsn.single_variable_grns.v{k}.{name}"] for k in range(4)])

    state = {
        f"{ours}.{part}": stacked(f"{theirs}.{part}")
        for ours, theirs in (("entry", "fc1"), ("inner", "fc2"), ("gate", "gate_norm.glu.fc"))
        for part in ("weight", "bias")
    }
    state |= {"scale": stacked("gate_norm.add_norm.norm.weight")}
    state |= {"shift": stacked("gate_norm.add_norm.norm.bias")}
    weigh = {
        "entry": "fc1",
        "context": "context",
        "inner": "fc2",
        "gate.linear": "gate_norm.glu.fc",
        "norm": "gate_norm.add_norm.norm",
    }
    block.weigh.skip = nn.Identity()
    for name in block.weigh.state_dict():
        module, _, part = name.rpartition(".")
        state[f"weigh.{name}"] = golden[f"vsn.flattened_grn.{weigh[module]}.{part}"]
    block.load_state_dict(state)
    block.weigh.skip = Resampled(golden, "vsn.flattened_grn.resample_norm")  # theirs, to compare all else
    with torch.no_grad():
        selected, weights = block(golden["vsn_x"], golden["vsn_c"])
    torch.testing.assert_close(weights, golden["vsn_w"], atol=1e-5, rtol=0)
    torch.testing.assert_close(selected, golden["vsn_y"], atol=1e-5, rtol=0)
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 7))


@pytest.mark.parametrize("causal", [False, True])
def test_interpretable_attention_equals_pytorch_forecastings_with_its_weights(causal: bool) -> None:
    golden = load_file(GOLDEN)
    block = InterpretableAttention(8, heads=4, causal=causal).eval()
    each = [(f"att.q_layers.{k}", f"att.k_layers.{k}") for k in range(4)]
    block.load_state_dict(
        {
            **{f"query.{p}": torch.cat([golden[f"{q}.{p}"] for q, _ in each]) for p in ("weight", "bias")},
            **{f"key.{p}": torch.cat([golden[f"{k}.{p}"] for _, k in each]) for p in ("weight", "bias")},
            **{f"value.{p}": golden[f"att.v_layer.{p}"] for p in ("weight", "bias")},
            "output.weight": golden["att.w_h.weight"],
        }
    )
    # Ours takes keys and values from one memory; theirs was given two, so values are passed through the hook.
    block.value.register_forward_pre_hook(lambda module, given: (golden["att_v"],))
    with torch.no_grad():
        query = golden["att_v"] if causal else golden["att_q"]
        found, weights = block(query, golden["att_k"])
    if causal:
        torch.testing.assert_close(found, golden["att_causal_y"], atol=1e-5, rtol=0)
        assert (weights.triu(1) == 0).all()
    else:
        torch.testing.assert_close(found, golden["att_y"], atol=1e-5, rtol=0)
        torch.testing.assert_close(weights, golden["att_w"].mean(2), atol=1e-5, rtol=0)


def test_attention_of_heads_that_do_not_fit_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="multiple of heads"):
        InterpretableAttention(9, heads=2)
    with pytest.raises(ConfigError, match=r"multiple of 2 \* heads"):
        TimeFormerConfig(size=20, heads=8)
    with pytest.raises(ConfigError, match="divides context_length"):
        TimeFormerConfig(patch=7)
    with pytest.raises(ConfigError, match="multiple of heads"):
        TFTConfig(size=20, heads=8)
    with pytest.raises(ConfigError, match="at least 120 where"):
        TFTConfig(context_length=60)


# windows


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 99), price=st.floats(1e-3, 1e5), volume=st.floats(1e-3, 1e6))
def test_a_normalised_window_has_no_level(seed: int, price: float, volume: float) -> None:
    bars = random_walk(seed, symbols=1, rows=60).values.copy()
    scaled = bars * np.array([price, price, price, price, volume])
    both = normalize_window(torch.tensor(np.stack([bars, scaled])))
    torch.testing.assert_close(both[0], both[1], atol=2e-5, rtol=1e-4)
    assert both[0, -1, 3] == 0.0
    steps = both[0, :, 3].diff()
    assert float(steps.std()) == pytest.approx(1.0, rel=1e-4)


def test_windows_that_do_not_move_stay_finite() -> None:
    flat = torch.full((2, 30, 5), 7.0, dtype=torch.float64)
    flat[..., 4] = 0.0
    assert torch.equal(normalize_window(flat), torch.zeros(2, 30, 5))
    volume = torch.full((1, 30, 5), 7.0, dtype=torch.float64)
    torch.testing.assert_close(
        normalize_window(volume)[0, :, 4], torch.full((30,), float(np.log(2))), atol=1e-6, rtol=0
    )


def networks() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    shared: dict[str, Any] = {"horizons": 3, "size": 16, "heads": 2, "layers": 2, "dropout": 0.1}
    return {
        "timeformer": TimeFormerNetwork(context_sizes=(4, 29), feed_forward=32, patch=10, **shared).eval(),
        "tft": TFTNetwork(context_size=33, embedding_size=8, **shared).eval(),
    }


def batch_of(n: int = 4, *, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    return Batch(
        torch.randn(n, 60, 5, generator=generator),
        torch.randn(n, 33, generator=generator),
        torch.randn(n, 3, generator=generator),
        (torch.rand(n, 3, generator=generator) > 0.5).float(),
    )


def heads_of(network: nn.Module, batch: Batch) -> dict[str, Tensor]:
    with torch.no_grad():
        out = network(batch)
    if hasattr(out, "quantiles"):
        return {"quantiles": out.quantiles, "logits": out.logits}
    return {"means": out.means, "sigmas": out.sigmas, "logits": out.logits}


@pytest.mark.parametrize("name", ["timeformer", "tft"])
def test_the_last_bar_and_the_context_change_every_head(name: str) -> None:
    network, batch = networks()[name], batch_of()
    expected = heads_of(network, batch)
    bars, context = batch.bars.clone(), batch.context.clone()
    bars[:, -1] += 0.5
    context[:, :4] += 0.5
    for changed in (batch._replace(bars=bars), batch._replace(context=context)):
        for head, values in heads_of(network, changed).items():
            differs = (values - expected[head]).abs()
            assert (differs > 1e-6).all(), head


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 999), scale=st.floats(0.1, 100.0))
def test_quantiles_never_cross(seed: int, scale: float) -> None:
    network, batch = networks()["tft"], batch_of(seed=seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(scale)
        out = network(batch._replace(bars=batch.bars * scale))
    assert (out.quantiles.diff(dim=-1) >= 0).all()
    torch.testing.assert_close(out.variables.sum(-1), torch.ones(4, 60))
    torch.testing.assert_close(out.attention.sum(-1), torch.ones(4))


def test_the_timeformer_reads_its_patches_in_order() -> None:
    """Positions are turned into queries and keys: swapping two early patches changes the answer."""
    network, batch = networks()["timeformer"], batch_of()
    swapped = batch.bars.clone()
    swapped[:, :10], swapped[:, 10:20] = batch.bars[:, 10:20], batch.bars[:, :10]
    first = heads_of(network, batch)["means"]
    assert not torch.allclose(heads_of(network, batch._replace(bars=swapped))["means"], first)


# sizes


def test_sizes_follow_from_the_parts() -> None:
    """docs/finance.md derives these figures."""
    timeformer = TimeFormerXL(TimeFormerConfig())._build(components=12, features=29, horizons=3)
    tft = TFTXL(TFTConfig())._build(components=12, features=29, horizons=3)
    counts = [sum(p.numel() for p in network.parameters()) for network in (timeformer, tft)]
    d, ffn, patch = 256, 512, 10
    attention, norm = 4 * (d * d + d), 2 * d
    residual_network = (d * d + d) + d * d + (d * d + d) + (2 * d * d + 2 * d) + norm
    expected = (
        (5 * patch * d + d)
        + (12 * d + d)
        + (29 * d + d)
        + 2 * (attention + norm)
        + 3 * (3 * d * d + d + norm)
        + 6 * (attention + norm + 2 * d * ffn + d + ffn + norm)
        + norm
        + 2 * residual_network
        + 3 * (3 * d + 3)
        + 1
    )
    assert counts[0] == expected
    summaries = [fc.describe_model(f"finance/{name}").spec.summary for name in ("timeformer-xl", "tft-xl")]
    for count, summary in zip(counts, summaries, strict=True):
        assert f"{count / 1e6:.1f} million weights" in summary


# models


def test_models_learn_what_can_be_learnt() -> None:
    """Returns that follow the last bar's shape: both networks beat the spread of returns."""
    walk = random_walk(0, symbols=3, rows=420)
    bars = with_planted_signal(walk)
    cut = bars.timeline[320]
    train, test = bars.between(None, cut), bars.between(cut, None)
    windows = test.windows(context_length=60, horizon=1)
    actual = windows.targets()[0][:, 0, 0]
    for name, extra in (("timeformer-xl", {"feed_forward": 16}), ("tft-xl", {"embedding_size": 4})):
        options: dict[str, Any] = {
            **SMALL,
            **extra,
            "context_length": 60,
            "embedding": "none",
            "max_epochs": 8,
            "windows_per_epoch": None,
            "batch_size": 64,
            "learning_rate": 5e-3,
            "dropout": 0.0,
        }
        model = fc.create_model(f"finance/{name}", **options).fit(train, seed=0)
        told = model.predict_windows(windows)
        assert np.corrcoef(told.median()[:, 0, 0], actual)[0, 1] > 0.5, name  # type: ignore[attr-defined]
        rises = told.aux["direction_probability"][:, 0] > 0.5
        assert (rises == (actual > 0)).mean() > 0.65, name


def with_planted_signal(walk: Bars) -> Bars:
    """Bars whose next three days' return shows in where the close lies within the bar."""
    values = walk.values.copy()
    ahead = np.zeros(len(walk))
    rows = np.flatnonzero(walk.remaining >= 3)
    ahead[rows] = np.sign(walk.close[rows + 3] - walk.close[rows])
    reach = 0.02 * walk.close
    values[:, 1] = np.maximum(values[:, 0], values[:, 3]) + reach * (ahead < 0)
    values[:, 2] = np.minimum(values[:, 0], values[:, 3]) - reach * (ahead > 0)
    return Bars(walk.symbols, walk.offsets, walk.timestamps, values, walk.interval)


def test_a_model_refuses_bars_unlike_those_of_training(tmp_path: Path) -> None:
    bars = random_walk(rows=200)
    model = fc.create_model(
        "finance/timeformer-xl", **SMALL, feed_forward=8, components=4, batch_size=32
    ).fit(bars)
    with pytest.raises(DataError, match="horizons"):
        model.predict(
            Bars(bars.symbols, bars.offsets, bars.timestamps, bars.values, bars.interval, (1, 2, 3))
        )
    ds = build_dataset(bars, tmp_path / "ds").bars
    expected = model.predict(bars)
    np.testing.assert_allclose(model.predict(ds).mean(), expected.mean(), rtol=1e-5)  # type: ignore[attr-defined]
    model._about["features_version"] = 99  # type: ignore[attr-defined]
    with pytest.raises(DataError, match="model: are of version"):
        model.predict(bars)


def test_only_known_returns_are_learnt_from() -> None:
    bars = random_walk(rows=200)
    windows = BarWindows(bars, np.flatnonzero(bars.position >= 119), 3)  # some end too late to know
    model = fc.create_model("finance/ridge").fit(windows)
    assert model.is_fitted
    with pytest.raises(ValueError, match="returns over"):
        fc.create_model("finance/ridge").fit(BarWindows(bars, np.array([199]), 3))
