"""lightning-fabric underneath: the same weights on one device, one model on several."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from forecast_core.errors import ConfigError, MissingDependencyError
from forecast_core.run import Run
from forecast_core.training import TrainingOptions, fit_network

needs_fabric = pytest.mark.skipif(
    importlib.util.find_spec("lightning_fabric") is None,
    reason="lightning-fabric is not installed (pip install 'forecast-core[fabric]')",
)


class Points:
    def __init__(self, n=50):
        self.x = torch.linspace(-1, 1, n)[:, None]
        self.y = self.x[:, 0].sin()

    def __len__(self):
        return len(self.y)

    def batch(self, index):
        return self.x[index], self.y[index]


def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(1, 8), nn.Dropout(0.2), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0))


def squared(module, batch):
    return (module(batch[0]).float() - batch[1]).square().mean()


def fit(run=None, **changes):
    options = TrainingOptions(
        **{
            "max_epochs": 4,
            "batch_size": 8,
            "learning_rate": 0.02,
            "gradient_clip": 0.5,
            "accumulate": 2,
            **changes,
        }
    )
    net = network()
    result = fit_network(net, Points(), squared, options=options, seed=3, validation=Points(9), run=run)
    return net.state_dict(), result


@needs_fabric
@pytest.mark.parametrize("changes", [{}, {"precision": "bf16"}, {"ema": 0.9, "schedule": "one-cycle"}])
def test_one_device_equals_the_plain_loop_bit_for_bit(changes):
    plain, expected = fit(**changes)
    through, result = fit(fabric=True, **changes)
    assert plain.keys() == through.keys()
    assert all(plain[name].equal(through[name]) for name in plain)
    assert [r.train_loss for r in result.history] == [r.train_loss for r in expected.history]
    assert [r.valid_loss for r in result.history] == [r.valid_loss for r in expected.history]


@needs_fabric
def test_it_resumes(tmp_path):
    class Listener:
        def forecast_epoch_finished(self, run, epoch, metrics):
            if epoch == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(Run(tmp_path, listeners=[Listener()]), fabric=True)
    resumed, result = fit(Run(tmp_path, resume=True), fabric=True)
    whole, expected = fit(fabric=True)
    assert all(whole[name].equal(resumed[name]) for name in whole)
    assert [r.train_loss for r in result.history] == [r.train_loss for r in expected.history]


@needs_fabric
def test_processes_and_devices_have_to_agree():
    with pytest.raises(ConfigError, match=r"devices.*\(1\), got 2; start with: torchrun --nproc-per-node 2"):
        fit(devices=2)


def test_without_fabric_it_says_what_to_install(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "forecast_core.training.fabric.find_spec",
        lambda name: None if name == "lightning_fabric" else find(name),
    )
    for changes in ({"fabric": True}, {"devices": 2}, {"strategy": "ddp"}):
        with pytest.raises(MissingDependencyError, match=r"pip install 'forecast-core\[fabric\]'"):
            fit(**changes)


DISTRIBUTED = """
import os, pathlib, sys
import torch
from safetensors.torch import save
from forecast_core.run import Run
from forecast_core.training import HistoryWriter, TrainingOptions, fit_network
from forecast_core.training.atomic import write_atomically

torch.set_num_threads(1)


class Points:
    def __init__(self, n):
        self.x = torch.linspace(-1, 1, n)[:, None]
        self.y = self.x[:, 0].sin()

    def __len__(self):
        return len(self.y)

    def batch(self, index):
        return self.x[index], self.y[index]


folder, devices, batch, resume = pathlib.Path(sys.argv[1]), *map(int, sys.argv[2:])
rank = os.environ.get("RANK", "0")
torch.manual_seed(int(rank))  # the weights of the first process count
network = torch.nn.Sequential(
    torch.nn.Linear(1, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1), torch.nn.Flatten(0)
)
loss = lambda module, batch: (module(batch[0]) - batch[1]).square().mean()
result = fit_network(
    network, Points(64), loss, seed=3, validation=Points(9),
    run=Run(folder / "run", resume=bool(resume), listeners=[HistoryWriter()]),
    options=TrainingOptions(
        max_epochs=6, batch_size=batch, learning_rate=0.02, gradient_clip=0.5, accumulate=2, devices=devices
    ),
)
losses = torch.tensor([[r.train_loss, r.valid_loss] for r in result.history], dtype=torch.float64)
write_atomically(folder / f"rank{rank}", [save({**network.state_dict(), "losses": losses})])
"""


@needs_fabric
@pytest.mark.slow
def test_two_processes_train_one_model_as_one_process_with_twice_the_batch(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(DISTRIBUTED)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def run(command, *arguments):
        folder = tmp_path / "-".join(map(str, arguments[:2]))
        folder.mkdir(exist_ok=True)
        subprocess.run(
            [*command, script, folder, *map(str, arguments)], check=True, env=environment, timeout=300
        )
        return [load_file(path) for path in sorted(folder.glob("rank*"))]

    first, second = run(torchrun, 2, 4, 0)
    assert all(first[name].equal(second[name]) for name in first)
    assert first["losses"][-1, 0] < first["losses"][0, 0] / 2
    (alone,) = run([sys.executable], 1, 8, 0)
    for name in alone:
        torch.testing.assert_close(first[name], alone[name], rtol=1e-3, atol=1e-5)
    resumed, _ = run(torchrun, 2, 4, 1)
    assert all(first[name].equal(resumed[name]) for name in first)
    assert len((tmp_path / "2-4" / "run" / "history.csv").read_text().splitlines()) == 7
