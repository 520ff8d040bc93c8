"""Killed at any moment and resumed, a run ends with the weights of one that was never interrupted."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from forecast_core.errors import ArtifactError, ArtifactIntegrityError, ConfigError
from forecast_core.run import Run
from forecast_core.training import DivergenceError, TrainingOptions, fit_network, read_checkpoint
from forecast_core.training.settings import check_settings

# Forks a process for each line "DIRECTORY SEED RESUME" and tells its id; at the next line, how it ended.
# Forking saves importing torch anew, and what torch imports at the first step, which a short run brings in.
NURSERY = """
import os, pathlib, sys, tempfile
import torch
from safetensors.torch import save
from forecast_core.run import Run
from forecast_core.training import HistoryWriter, TrainingOptions, fit_network
from forecast_core.training.atomic import write_atomically

torch.set_num_threads(1)


class Series:
    def __init__(self, n, seed):
        self.rows = torch.randn(n + 12, 2, generator=torch.Generator().manual_seed(seed)).cumsum(0) / 4
        self.n = n

    def __len__(self):
        return self.n

    def batch(self, index):
        return self.rows[index[:, None] + torch.arange(12)], self.rows[index + 12 - 1, 0]


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = torch.nn.LSTM(2, 6, num_layers=2, dropout=0.3, batch_first=True)
        self.norm = torch.nn.BatchNorm1d(6)
        self.head = torch.nn.Linear(6, 1)

    def forward(self, x):
        return self.head(self.norm(self.lstm(x)[0][:, -1]))[:, 0]


def train(directory, seed, resume):
    torch.manual_seed(seed)
    network = Network()
    options = TrainingOptions(
        max_epochs=12, batch_size=8, learning_rate=0.01, weight_decay=0.01, windows_per_epoch=70, patience=6,
        gradient_clip=1.0, accumulate=2, schedule="one-cycle", ema=0.9 if seed % 2 else None,
    )
    result = fit_network(
        network, Series(200, 1), lambda module, batch: (module(batch[0]) - batch[1]).square().mean(),
        options=options, seed=seed, validation=Series(40, 2),
        run=Run(directory, resume=resume, listeners=[HistoryWriter()]),
    )
    final = {**network.state_dict(), "epochs": torch.tensor([result.best_epoch, result.epochs_run])}
    write_atomically(pathlib.Path(directory, "final"), [save(final)])


with tempfile.TemporaryDirectory() as folder:
    train(folder, 0, False)
print("ready", flush=True)
for line in sys.stdin:
    directory, seed, resume = line.split()
    child = os.fork()
    if not child:
        try:
            train(directory, int(seed), resume == "True")
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    print(child, flush=True)
    sys.stdin.readline()  # until asked, so that the id stays the child's
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Nursery:
    def __init__(self):
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", NURSERY],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert self.process.stdout.readline() == "ready\n"

    def start(self, directory, seed, *, resume=False):
        print(directory, seed, resume, file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())

    def end(self):
        print(file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture(scope="module")
def nursery():
    nursery = Nursery()
    yield nursery
    nursery.close()


def epochs_in(folder):
    try:
        return [row["epoch"] for row in json.loads((folder / "history.json").read_text())]
    except FileNotFoundError:
        return []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
@pytest.mark.parametrize("seed", range(5))
def test_killed_and_resumed_equals_uninterrupted_bit_for_bit(seed, nursery, tmp_path):
    began = time.perf_counter()
    nursery.start(tmp_path / "whole", seed)
    assert nursery.end() == 0
    usual = time.perf_counter() - began
    whole = load_file(tmp_path / "whole" / "final")

    folder, chance, kills, resume = tmp_path / "killed", random.Random(seed), 0, False
    folder.mkdir()
    for attempt in range(50):
        child = nursery.start(folder, seed, resume=resume)
        if kills < 4:
            if attempt % 2:  # at any moment
                time.sleep(chance.uniform(0, usual / 2))
            else:  # within moments of an epoch's end, when files are written
                reached = len(epochs_in(folder)) + chance.randint(1, 2)
                while len(epochs_in(folder)) < reached and not (folder / "final").exists():
                    time.sleep(0.001)
                time.sleep(chance.uniform(0, usual / 60))
            os.kill(child, signal.SIGKILL)
        status = nursery.end()
        if status == 0:
            break
        assert status == -signal.SIGKILL
        kills, resume = kills + 1, True
        last = folder / "checkpoints" / "last.safetensors"
        if last.exists():
            told = len(epochs_in(folder))
            assert told - 1 <= read_checkpoint(last).epoch <= told
    else:
        pytest.fail("never came to an end")

    assert kills
    killed = load_file(folder / "final")
    assert killed.keys() == whole.keys()
    assert all(killed[name].equal(whole[name]) for name in whole)
    assert epochs_in(folder) == epochs_in(tmp_path / "whole")
    rows = [json.loads((tmp_path / name / "history.json").read_text()) for name in ("killed", "whole")]
    untimed = [[{k: v for k, v in row.items() if k != "seconds"} for row in each] for each in rows]
    assert untimed[0] == untimed[1]


# the rest needs no killing


class Points:
    def __init__(self, n=40, *, scale=1.0):
        self.x = torch.linspace(-1, 1, n)[:, None]
        self.y = scale * self.x[:, 0].sin()
        self.batches = 0

    def __len__(self):
        return len(self.y)

    def batch(self, index):
        self.batches += 1
        return self.x[index], self.y[index]


class Stop(Exception):
    """Ends training in the middle of an epoch."""


def network(width=4, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(1, width), nn.Dropout(0.2), nn.Linear(width, 1), nn.Flatten(0))


def squared(module, batch):
    return (module(batch[0]) - batch[1]).square().mean()


def fit(
    folder=None, *, resume=False, net=None, source=None, loss=squared, seed=0, validation=None, **changes
):
    net = network() if net is None else net
    options = TrainingOptions(**{"max_epochs": 5, "batch_size": 10, "learning_rate": 0.02, **changes})
    result = fit_network(
        net, Points() if source is None else source, loss, options=options, seed=seed, validation=validation,
        run=None if folder is None else Run(folder, resume=resume),
    )  # fmt: skip
    return net, result


def interrupted(folder, *, batches, **changes):
    """A run that ends in an error after so many training batches."""
    done = 0

    def loss(module, batch):
        nonlocal done
        done += module.training
        if done > batches:
            raise Stop
        return squared(module, batch)

    with pytest.raises(Stop):
        fit(folder, loss=loss, **changes)


def equal(a, b):
    return all(x.equal(y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


CASES = [
    {},
    {"ema": 0.9},
    {"schedule": "cosine", "weight_decay": 0.1, "optimizer": "adam"},
    {"optimizer": "lion", "weight_decay": 0.1},
    {"windows_per_epoch": 17, "accumulate": 2, "gradient_clip": 0.1},
    {"precision": "16"},
    {"precision": "16", "source": Points(scale=3000.0)},  # the first gradients overflow, the loss is rescaled
    {"validation": Points(7), "patience": 1, "max_epochs": 30},
]


@pytest.mark.parametrize("changes", CASES)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.99])
def test_every_feature_resumes_exactly(changes, share, tmp_path):
    source = changes.get("source", Points())
    source.batches = 0
    whole, expected = fit(**{**changes, "source": source})
    interrupted(tmp_path, batches=int(share * source.batches), **changes)
    # What the network is at first counts only where no epoch was finished.
    begun = (tmp_path / "checkpoints" / "last.safetensors").exists()
    assert begun == (share > 0)
    resumed, result = fit(tmp_path, resume=True, net=network(seed=9 if begun else 0), **changes)
    assert equal(whole, resumed)
    assert [r.train_loss for r in result.history] == [r.train_loss for r in expected.history]
    assert (result.best_epoch, result.stopped_early) == (expected.best_epoch, expected.stopped_early)


@pytest.mark.parametrize("changes", [CASES[0], CASES[1], CASES[-1]])
def test_resuming_a_finished_run_does_nothing_but_give_its_weights(changes, tmp_path):
    whole, expected = fit(tmp_path, **changes)
    before = {path.name: path.read_bytes() for path in (tmp_path / "checkpoints").iterdir()}
    source = Points()
    again, result = fit(tmp_path, resume=True, net=network(seed=5), source=source, **changes)
    assert source.batches == 0
    assert equal(whole, again)
    assert result == expected
    assert {path.name: path.read_bytes() for path in (tmp_path / "checkpoints").iterdir()} == before


def test_best_and_last_are_kept(tmp_path):
    net, result = fit(tmp_path, validation=Points(7), patience=2, max_epochs=60, learning_rate=0.1)
    folder = tmp_path / "checkpoints"
    assert sorted(os.listdir(folder)) == ["best.safetensors", "last.safetensors"]
    best, last = (read_checkpoint(folder / f"{name}.safetensors") for name in ("best", "last"))
    assert best.epoch == result.best_epoch < last.epoch == result.epochs_run
    assert all(best.state["network"][name].equal(value) for name, value in net.state_dict().items())
    assert not all(last.state["network"][name].equal(value) for name, value in net.state_dict().items())


def test_without_validation_there_is_no_best(tmp_path):
    fit(tmp_path, validation=Points(7))
    fit(tmp_path)
    assert os.listdir(tmp_path / "checkpoints") == ["last.safetensors"]


def test_a_fresh_run_does_not_go_on_from_an_earlier_one(tmp_path):
    fit(tmp_path, max_epochs=5)
    source = Points()
    fit(tmp_path, source=source, max_epochs=5)
    assert source.batches == 5 * 4
    interrupted(tmp_path, batches=0)
    assert not os.listdir(tmp_path / "checkpoints")


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"learning_rate": 0.5}, r"options\.learning_rate.*0\.5 instead of 0\.02"),
        ({"max_epochs": 6}, r"options\.max_epochs"),
        ({"seed": 1}, "seed.*1 instead of 0"),
        ({"source": Points(41)}, "windows.*41 instead of 40"),
        ({"validation": Points(3)}, "validation windows"),
        ({"net": network(5)}, "network signature"),
        ({"net": network().double(), "loss": lambda m, b: m(b[0].double()).mean()}, "network signature"),
    ],
)
def test_resuming_with_other_settings_names_what_differs(changes, name, tmp_path):
    interrupted(tmp_path, batches=9)
    before = (tmp_path / "checkpoints" / "last.safetensors").read_bytes()
    with pytest.raises(ConfigError, match=f"resumed with the settings it began with.*|{name}") as caught:
        fit(tmp_path, resume=True, **changes)
    assert caught.match(name)
    assert (tmp_path / "checkpoints" / "last.safetensors").read_bytes() == before


def test_a_damaged_checkpoint_is_an_error_and_left_alone(tmp_path):
    interrupted(tmp_path, batches=9)
    path = tmp_path / "checkpoints" / "last.safetensors"
    damaged = bytearray(path.read_bytes())
    damaged[-3] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(ArtifactIntegrityError, match=r"last\.safetensors"):
        fit(tmp_path, resume=True)
    assert path.read_bytes() == damaged


def test_a_diverging_epoch_keeps_the_checkpoint_before_it(tmp_path):
    calls = 0

    def loss(module, batch):
        nonlocal calls
        calls += 1
        return squared(module, batch) * (float("inf") if calls == 10 else 1.0)

    with pytest.raises(DivergenceError, match="became inf in epoch 3, step 2"):
        fit(tmp_path, loss=loss)
    assert read_checkpoint(tmp_path / "checkpoints" / "last.safetensors").epoch == 2
    resumed, _ = fit(tmp_path, resume=True)
    assert equal(resumed, fit()[0])


def test_a_disk_that_refuses_is_a_typed_error(tmp_path):
    (tmp_path / "checkpoints").write_text("in the way")
    with pytest.raises(ArtifactError, match="checkpoints"):
        fit(tmp_path)


def test_nothing_is_unpickled(tmp_path):
    code = f"""
import sys
import torch, forecast_core.plugins
from torch import nn
from forecast_core.run import Run
from forecast_core.training import *
forecast_core.plugins.plugins()

class Points:
    def __len__(self): return 8
    def batch(self, index): return torch.ones(len(index), 1)

found = []
sys.addaudithook(lambda event, _: found.append(event) if event == "pickle.find_class" else None)
for resume in (False, True):
    fit_network(nn.Linear(1, 1), Points(), lambda m, b: m(b).mean(), seed=0, validation=Points(),
                options=TrainingOptions(max_epochs=2, batch_size=4, learning_rate=0.1, ema=0.5),
                run=Run({str(tmp_path)!r}, resume=resume, listeners=[HistoryWriter()]))
sys.exit(bool(found))
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_run_is_asked_for_data_and_options_only_if_it_told_of_them():
    now = {"seed": 1, "model: dropout": 0.1, "model: data": "abc"}
    check_settings({"seed": 1}, now)
    with pytest.raises(ConfigError, match="at seed"):
        check_settings({"seed": 2}, now)
    with pytest.raises(ConfigError, match="at data"):
        check_settings({**now, "model: data": "def"}, now)
