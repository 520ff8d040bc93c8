"""Asking a fit to end from a listener."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import nn

from forecast_core.run import Run
from forecast_core.training import TrainingOptions, TrainingResult, fit_network


class Points:
    """y = 2 x."""

    def __len__(self) -> int:
        return 32

    def batch(self, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = index[:, None] / 32.0
        return x, 2 * x[:, 0]


class StopsAt:
    """Stops the run at an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch, self.heard = epoch, 0

    def forecast_epoch_finished(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        self.heard = epoch
        if epoch == self.epoch:
            run.stop()


def fit(run: Run | None, *, max_epochs: int = 6) -> tuple[nn.Module, TrainingResult]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1), nn.Flatten(0))
    options = TrainingOptions(max_epochs=max_epochs, batch_size=8, learning_rate=0.01)

    def loss(module: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        return (module(batch[0]) - batch[1]).square().mean()

    return net, fit_network(net, Points(), loss, options=options, seed=1, validation=Points(), run=run)


@pytest.mark.parametrize("epoch", [1, 3, 6])
def test_a_stopped_fit_ends_after_that_epoch_with_the_best_weights_so_far(epoch: int) -> None:
    listener = StopsAt(epoch)
    stopped, result = fit(Run(listeners=[listener]))
    expected, _ = fit(None, max_epochs=epoch)
    assert result.epochs_run == listener.heard == epoch
    assert result.stopped_early is (epoch < 6)
    assert not stopped.training
    for a, b in zip(stopped.parameters(), expected.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_stopped_run_can_go_on_from_its_checkpoint(tmp_path: Path) -> None:
    _, stopped = fit(Run(tmp_path, listeners=[StopsAt(2)]))
    assert stopped.epochs_run == 2
    resumed, result = fit(Run(tmp_path, resume=True))
    expected, _ = fit(None)
    assert result.epochs_run == 6
    for a, b in zip(resumed.parameters(), expected.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_new_fit_forgets_that_the_last_was_stopped() -> None:
    run = Run()
    run.stop()
    assert run.stopped
    run.emit("forecast_run_started")
    assert not run.stopped


@pytest.mark.slow
@pytest.mark.skipif(find_spec("lightning_fabric") is None, reason="lightning-fabric is not installed")
def test_all_processes_stop_where_one_was_asked_to(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        "import os, torch\n"
        "from torch import nn\n"
        "from forecast_core.run import Run\n"
        "from forecast_core.training import TrainingOptions, fit_network\n"
        "class Points:\n"
        "    def __len__(self): return 32\n"
        "    def batch(self, index): return index[:, None] / 32.0, index / 16.0\n"
        "class Ear:\n"
        "    def forecast_epoch_finished(self, run, epoch, metrics):\n"
        "        if epoch == 2: run.stop()\n"
        "net = nn.Sequential(nn.Linear(1, 1), nn.Flatten(0))\n"
        "loss = lambda module, batch: (module(batch[0]) - batch[1]).square().mean()\n"
        "options = TrainingOptions(max_epochs=9, batch_size=8, learning_rate=0.1, devices=2)\n"
        "result = fit_network(net, Points(), loss, options=options, seed=0, run=Run(listeners=[Ear()]))\n"
        f"open(os.path.join({str(tmp_path)!r}, os.environ['RANK']), 'w').write(str(result.epochs_run))\n"
        "torch.distributed.destroy_process_group()\n"  # whose threads may abort an interpreter that ends
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, str(script)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [(tmp_path / rank).read_text() for rank in "01"] == ["2", "2"]
