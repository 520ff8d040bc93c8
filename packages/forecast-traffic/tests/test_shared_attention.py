"""`SharedGATv2` is torch_geometric's GATv2Conv on a replicated graph, in less time and memory."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings, strategies as st

from forecast_core.errors import DataError, InvalidInputError, ShapeError
from forecast_traffic.nn import EdgePlan, SharedGATv2, compiling

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the library's own use of torch
    from torch_geometric.nn import GATv2Conv


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, torch.Tensor]:
    """Random graphs, with isolated nodes, self loops and several edges between two nodes."""
    nodes = draw(st.integers(1, 7))
    ends = st.integers(0, nodes - 1)
    edges = draw(st.lists(st.tuples(ends, ends), max_size=20))
    if edges and draw(st.booleans()):
        edges += [edges[0], (edges[0][0], edges[0][0])]
    return nodes, torch.tensor(edges, dtype=torch.long).reshape(-1, 2).T.contiguous()


def replicated(edges: torch.Tensor, nodes: int, copies: int) -> torch.Tensor:
    return torch.cat([edges + k * nodes for k in range(copies)], 1)


def gradients(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    names = {"lin_l": "left", "lin_r": "right", "att": "attention"}
    found = {}
    for name, value in module.named_parameters():
        head, dot, rest = name.partition(".")
        assert value.grad is not None
        found[names.get(head, head) + dot + rest] = value.grad.reshape(-1)
    return found


TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}


def near(a: torch.Tensor, b: torch.Tensor, *, beside: float = 1.0) -> None:
    """Equal up to rounding of numbers as large as theirs, or as what they were summed of."""
    a, b, rounding = a.detach(), b.detach(), TOLERANCE[a.dtype]
    largest = float(b.abs().max()) if b.numel() else 1.0
    torch.testing.assert_close(a, b, rtol=rounding, atol=rounding * max(1.0, largest, beside))


@given(
    graph=graphs(),
    copies=st.integers(1, 4),
    heads=st.integers(1, 3),
    channels=st.integers(1, 4),
    loops=st.booleans(),
    bias=st.booleans(),
    recompute=st.booleans(),
    dtype=st.sampled_from(sorted(TOLERANCE, key=str)),
    seed=st.integers(0, 2**16),
)
@example(
    graph=(5, torch.tensor([[2, 2, 2], [1, 1, 1]])),  # scores have no gradient, so what is left is rounding
    copies=3,
    heads=1,
    channels=2,
    loops=False,
    bias=False,
    recompute=True,
    dtype=torch.float32,
    seed=7736,
)
@settings(max_examples=150, deadline=None)
def test_it_equals_pyg_forward_and_backward(
    graph: Any,
    copies: int,
    heads: int,
    channels: int,
    loops: bool,
    bias: bool,
    recompute: bool,
    dtype: torch.dtype,
    seed: int,
) -> None:
    nodes, edges = graph
    torch.manual_seed(seed)
    theirs = GATv2Conv(5, channels, heads=heads, add_self_loops=loops, bias=bias).to(dtype)
    mine = SharedGATv2(5, channels, heads, add_self_loops=loops, bias=bias, recompute=recompute).to(dtype)
    mine.load_pyg_state_dict(theirs.state_dict())
    x = 2 * torch.randn(nodes, copies, 5, dtype=dtype)
    mine_x, their_x = x.clone().requires_grad_(), x.clone().requires_grad_()
    flat = their_x.transpose(0, 1).reshape(copies * nodes, 5)
    expected = theirs(flat, replicated(edges, nodes, copies)).reshape(copies, nodes, -1).transpose(0, 1)
    got = mine(mine_x, edges)
    near(got, expected)
    pull = torch.randn_like(expected)
    got.backward(pull)
    expected.backward(pull)
    near(mine_x.grad, their_x.grad)
    their_gradients = gradients(theirs)
    largest = max(float(each.abs().max()) for each in their_gradients.values())
    for name, grad in gradients(mine).items():
        near(grad, their_gradients[name], beside=largest)


@pytest.mark.parametrize("recompute", [False, True])
def test_gradients_are_those_of_finite_differences(recompute: bool) -> None:
    torch.manual_seed(0)
    edges = torch.tensor([[0, 1, 2, 2, 0], [1, 2, 0, 0, 0]])
    layer = SharedGATv2(3, 2, 2, recompute=recompute).double()
    x = torch.randn(4, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: layer(v, edges), (x,))


@pytest.mark.parametrize("block", [1, 7, 64, 10_000])
def test_blocks_of_edges_make_no_difference(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from forecast_traffic.nn import recomputed_attention

    torch.manual_seed(0)
    edges = torch.randint(0, 9, (2, 40))
    x = torch.randn(9, 3, 4)
    whole, blocked = SharedGATv2(4, 2, 3, recompute=False), SharedGATv2(4, 2, 3)
    blocked.load_state_dict(whole.state_dict())
    monkeypatch.setattr(recomputed_attention, "_BLOCK", block)
    a, b = whole(x, edges), blocked(x, edges)
    near(b, a)
    a.square().sum().backward()
    b.square().sum().backward()
    expected = gradients(whole)
    for name, grad in gradients(blocked).items():
        near(grad, expected[name])


def test_weights_of_a_node_sum_to_one_and_follow_the_plan() -> None:
    torch.manual_seed(0)
    edges = torch.tensor([[3, 0, 1, 2], [1, 1, 0, 1]])
    layer = SharedGATv2(4, 2, 2)
    plan = EdgePlan.of(edges, nodes=4)
    _, weights = layer.attend(torch.randn(4, 5, 4), plan)
    total = torch.zeros(4, 5, 2).index_add(0, plan.destination, weights)
    torch.testing.assert_close(total[:2], torch.ones(2, 5, 2))
    assert not total[2:].any()
    torch.testing.assert_close(edges[:, plan.order], torch.stack([plan.source, plan.destination]))


def test_extreme_scores_stay_finite() -> None:
    layer = SharedGATv2(2, 2, 1)
    edges = torch.tensor([[0, 1, 2], [2, 2, 2]])
    x = torch.tensor([[[1e4, -1e4]], [[-1e4, 1e4]], [[0.0, 0.0]]], requires_grad=True)
    out = layer(x, edges)
    out.sum().backward()
    assert x.grad is not None
    assert torch.isfinite(out).all()
    assert torch.isfinite(x.grad).all()


def test_edges_are_sorted_once_for_as_long_as_they_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    original = EdgePlan.of
    monkeypatch.setattr(EdgePlan, "of", lambda *a, **k: calls.append(1) or original(*a, **k))
    layer, x = SharedGATv2(2, 2), torch.randn(3, 1, 2)
    edges = torch.tensor([[0, 1], [1, 2]])
    first = layer(x, edges)
    layer(x, edges)
    assert len(calls) == 1
    edges[0, 0] = 2  # changed in place: another graph
    assert not torch.equal(layer(x, edges), first)
    assert len(calls) == 2


def test_half_precision_is_near_and_its_gradient_arrives() -> None:
    torch.manual_seed(0)
    edges, x = torch.randint(0, 6, (2, 20)), torch.randn(6, 3, 8)
    for recompute in (False, True):
        layer = SharedGATv2(8, 4, 2, recompute=recompute)
        full = layer(x, edges)
        with torch.autocast("cpu", torch.bfloat16):
            half = layer(x, edges)
            half.float().sum().backward()
        torch.testing.assert_close(half.float(), full, rtol=0.05, atol=0.05)
        assert layer.left.weight.grad is not None


@pytest.mark.parametrize(
    ("edges", "kind", "told"),
    [
        (torch.tensor([[0, 1], [1, 3]]), DataError, "edge_index at edge 1"),
        (torch.tensor([[-1], [0]]), DataError, "edge_index at edge 0"),
        (torch.tensor([[0.0], [1.0]]), DataError, "whole numbers"),
        (torch.tensor([0, 1]), ShapeError, "edge_index: is [2, E]"),
    ],
)
def test_edges_that_do_not_fit_are_refused(edges: torch.Tensor, kind: type[Exception], told: str) -> None:
    with pytest.raises(kind) as error:
        SharedGATv2(2, 2)(torch.randn(3, 1, 2), edges)
    assert told in str(error.value)


def test_other_inputs_and_states_that_do_not_fit_are_refused() -> None:
    layer, edges = SharedGATv2(2, 2), torch.tensor([[0], [1]])
    with pytest.raises(ShapeError, match=r"x: is \[N, B, 2\]"):
        layer(torch.randn(3, 2), edges)
    with pytest.raises(ShapeError, match="a row a node"):
        layer(torch.randn(3, 1, 2), EdgePlan.of(edges, nodes=2))
    with pytest.raises(InvalidInputError, match="lin_edge"):
        layer.load_pyg_state_dict(GATv2Conv(2, 2, heads=4, edge_dim=1).state_dict())
    with pytest.raises(InvalidInputError, match="under PyG's names"):
        layer.load_pyg_state_dict(GATv2Conv(2, 2, heads=4, bias=False).state_dict())


def test_without_a_compiler_it_is_eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling.shutil, "which", lambda name: None)
    layer = SharedGATv2(2, 2, compile="auto")
    eager = copy.deepcopy(layer)
    eager.compile_mode = False
    x, edges = torch.randn(3, 1, 2), torch.tensor([[0, 1], [1, 2]])
    torch.testing.assert_close(layer(x, edges), eager(x, edges), rtol=0, atol=0)


def test_where_compiling_fails_it_goes_on_eagerly_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(function: Any) -> Any:
        def fail(*args: Any) -> Any:
            raise RuntimeError("no such header")

        return fail

    monkeypatch.setattr(compiling, "has_compiler", lambda device: True)
    monkeypatch.setattr(compiling, "_compiled", broken)
    monkeypatch.setattr(compiling, "_refused", set())
    x, edges = torch.randn(3, 1, 2), torch.tensor([[0, 1], [1, 2]])
    layer = SharedGATv2(2, 2, compile="auto")
    assert layer(x, edges).shape == (3, 1, 8)
    assert layer(x, edges).shape == (3, 1, 8)
    assert len([r for r in caplog.records if "runs eagerly" in r.message]) == 1
    layer.compile_mode = True
    with pytest.raises(RuntimeError, match="no such header"):
        layer(x, edges)


@pytest.mark.slow
def test_compiled_it_equals_eager() -> None:
    torch.manual_seed(0)
    edges, x = torch.randint(0, 30, (2, 120)), torch.randn(30, 6, 8)
    compiled, eager = SharedGATv2(8, 4, 2, compile=True), SharedGATv2(8, 4, 2)
    eager.load_state_dict(compiled.state_dict())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the compiler's own
        a = compiled(x, edges)
        a.square().sum().backward()
    b = eager(x, edges)
    b.square().sum().backward()
    near(a, b)
    expected = gradients(eager)
    for name, grad in gradients(compiled).items():
        near(grad, expected[name])
