"""Compiled training learns what plain training learns, and says so where it cannot be compiled."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from functorch.compile import make_boxed_func
from torch import nn
from torch._dynamo.backends.common import aot_autograd
from torch._dynamo.exc import TorchDynamoException

from forecast_core.run import Run
from forecast_core.training import CompileWarning, TrainingOptions, fit_network

plain_compile = torch.compile


class Points:
    """y = x @ w."""

    def __init__(self):
        self.x = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
        self.y = self.x @ torch.tensor([1.0, -2.0, 0.5])

    def __len__(self):
        return len(self.y)

    def batch(self, index):
        return self.x[index], self.y[index]


class Line(nn.Module):
    """A line whose scale the loss reads off the module."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.layers = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0))
        self.scale = 2.0

    def forward(self, x):
        return self.layers(x)


def loss(module, batch):
    x, y = batch
    return (module.scale * module(x) - y).square().mean()


def trained(run=None, **changes):
    net = Line()
    options = TrainingOptions(max_epochs=3, batch_size=16, learning_rate=0.01, **changes)
    fit_network(net, Points(), loss, options=options, seed=0, validation=Points(), run=run)
    return torch.cat([value.flatten() for value in net.state_dict().values()])


def test_compiled_training_ends_with_the_weights_of_plain_training(monkeypatch, tmp_path):
    calls = []

    def backend(graph, inputs):
        calls.append(len(inputs))
        return graph.forward

    monkeypatch.setattr("torch.compile", partial(plain_compile, backend=backend))
    compiled = trained(run=Run(tmp_path / "r"), compile=True)
    assert calls
    torch.testing.assert_close(compiled, trained())
    again = trained(run=Run(tmp_path / "r", resume=True), compile=True)
    assert again.equal(compiled)


def test_a_network_that_cannot_be_compiled_is_trained_as_it_is_and_says_why(monkeypatch):
    def broken(graph, inputs):
        raise RuntimeError("no compiler here")

    monkeypatch.setattr("torch.compile", partial(plain_compile, backend=broken))
    with pytest.warns(CompileWarning, match=r"Line cannot be compiled.*no compiler here") as told:
        fallen = trained(compile=True)
    assert len(told) == 1
    assert fallen.equal(trained())


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_backward_pass_that_cannot_be_compiled_is_run_as_it_is(monkeypatch, accumulate):
    def forward(graph, inputs):
        return make_boxed_func(graph.forward)

    def backward(graph, inputs):
        raise TorchDynamoException("no compiler here")

    backend = aot_autograd(fw_compiler=forward, bw_compiler=backward)
    monkeypatch.setattr("torch.compile", partial(plain_compile, backend=backend))
    with pytest.warns(CompileWarning, match=r"Line cannot be compiled.*no compiler here"):
        fallen = trained(compile=True, accumulate=accumulate)
    assert fallen.equal(trained(accumulate=accumulate))


@pytest.mark.filterwarnings("ignore::forecast_core.training.CompileWarning")
def test_errors_of_the_network_itself_are_no_reason_to_go_on(monkeypatch):
    monkeypatch.setattr("torch.compile", partial(plain_compile, backend="eager"))

    class Wrong(Line):
        def forward(self, x):
            return self.layers(x[:, :2])

    options = TrainingOptions(max_epochs=1, batch_size=16, learning_rate=0.01, compile=True)
    with pytest.raises(RuntimeError, match="shapes"):
        fit_network(Wrong(), Points(), loss, options=options, seed=0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")  # of torch's own compiler
def test_inductor_compiles_it():
    torch.testing.assert_close(trained(compile=True), trained(), rtol=1e-4, atol=1e-5)
