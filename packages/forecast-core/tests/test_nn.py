"""Torch blocks: attention that knows relative positions only, and gated residual networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from safetensors.torch import load_file

from forecast_core.errors import InvalidInputError
from forecast_core.nn import GatedResidualNetwork, RotaryAttention, rotary_angles, rotate

# pytorch-forecasting's block with random weights, and what it gives; made once with version 1.8.0.
GOLDEN = Path(__file__).parent / "golden" / "nn" / "gated-residual-network.safetensors"
NAMES = {
    "entry": "fc1",
    "context": "context",
    "inner": "fc2",
    "gate.linear": "gate_norm.glu.fc",
    "norm": "gate_norm.add_norm.norm",
}


@settings(max_examples=50, deadline=None)
@given(
    first=st.integers(0, 500), second=st.integers(0, 500), shift=st.integers(0, 500), seed=st.integers(0, 99)
)
def test_a_product_depends_on_the_difference_of_positions_alone(
    first: int, second: int, shift: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    query, key = torch.randn(2, 16, generator=generator, dtype=torch.float64)

    def product(p: int, q: int) -> float:
        cosines, sines = rotary_angles(torch.tensor([p, q]), 16, dtype=torch.float64)
        return float(rotate(query, cosines[0], sines[0]) @ rotate(key, cosines[1], sines[1]))

    assert product(first + shift, second + shift) == pytest.approx(product(first, second), abs=1e-9)
    cosines, sines = rotary_angles(torch.tensor([first]), 16, dtype=torch.float64)
    assert float(rotate(query, cosines[0], sines[0]).norm()) == pytest.approx(float(query.norm()))


def test_angles_follow_their_definition() -> None:
    cosines, sines = rotary_angles(torch.tensor([0, 3]), 4, dtype=torch.float64)
    angles = 3 / 10_000.0 ** (2 * np.array([0, 1, 0, 1]) / 4)
    np.testing.assert_allclose(cosines[1], np.cos(angles))
    np.testing.assert_allclose(sines[1], np.sin(angles))
    assert torch.equal(cosines[0], torch.ones(4, dtype=torch.float64))
    x = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert rotate(x, torch.zeros(4), torch.ones(4)).tolist() == [-3.0, -4.0, 1.0, 2.0]


def test_attention_equals_its_formula() -> None:
    torch.manual_seed(0)
    block = RotaryAttention(8, heads=2).eval()
    x, memory = torch.randn(3, 5, 8), torch.randn(3, 4, 8)

    def heads(values: torch.Tensor) -> torch.Tensor:
        return values.reshape(*values.shape[:2], 2, 4).transpose(1, 2)

    def turned(values: torch.Tensor) -> torch.Tensor:
        cosines, sines = rotary_angles(torch.arange(values.shape[2]), 4)
        return rotate(values, cosines, sines)

    for source, given_memory in ((memory, memory), (x, None)):
        query, key = turned(heads(block.query(x))), turned(heads(block.key(source)))
        weights = torch.softmax(query @ key.transpose(-1, -2) / 2.0, dim=-1)
        merged = (weights @ heads(block.value(source))).transpose(1, 2).reshape(3, 5, 8)
        torch.testing.assert_close(block(x, given_memory), block.output(merged))


def test_causal_attention_reads_nothing_later() -> None:
    torch.manual_seed(0)
    block = RotaryAttention(8, heads=2, causal=True).eval()
    x = torch.randn(1, 6, 8)
    changed = x.clone()
    changed[:, 4:] += 1.0
    torch.testing.assert_close(block(changed)[:, :4], block(x)[:, :4])
    assert not torch.allclose(block(changed)[:, 4:], block(x)[:, 4:])


def test_sizes_that_cannot_be_are_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"multiple of 2 \* heads"):
        RotaryAttention(6, heads=2)
    with pytest.raises(InvalidInputError, match="even"):
        rotary_angles(torch.arange(3), 5)
    block = GatedResidualNetwork(3, hidden_size=4, output_size=3)
    with pytest.raises(InvalidInputError, match="context"):
        block(torch.zeros(2, 3), torch.zeros(2, 3))


def test_a_gated_residual_network_equals_pytorch_forecastings_with_its_weights() -> None:
    golden = load_file(GOLDEN)
    block = GatedResidualNetwork(6, hidden_size=10, output_size=6, context_size=4).eval()
    state = {
        name: golden[f"grn.{theirs}.{name.rpartition('.')[2]}"]
        for name in block.state_dict()
        for ours, theirs in NAMES.items()
        if name.rpartition(".")[0] == ours
    }
    block.load_state_dict(state)
    with torch.no_grad():
        torch.testing.assert_close(
            block(golden["grn_x"], golden["grn_c"]), golden["grn_y"], atol=1e-5, rtol=0
        )
        torch.testing.assert_close(block(golden["grn_x"]), golden["grn_y_alone"], atol=1e-5, rtol=0)


def test_another_output_size_is_reached_by_a_linear_skip() -> None:
    block = GatedResidualNetwork(5, hidden_size=4, output_size=3, context_size=2)
    out = block(torch.randn(7, 9, 5), torch.randn(7, 1, 2))
    assert out.shape == (7, 9, 3)
    torch.testing.assert_close(out.mean(-1), torch.zeros(7, 9), atol=1e-5, rtol=0)
