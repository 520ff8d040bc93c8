"""Studies survive kills: of their workers, of themselves, at any moment; and go on as if nothing had been."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import optuna
import pytest
from hypothesis import given, settings, strategies as st

from forecast_core.errors import CapabilityError, ConfigError, InvalidInputError
from forecast_core.tuning import Tuning, tune

HERE = Path(__file__).parent

pytestmark = pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="this platform cannot fork"
)


@pytest.fixture(scope="module", autouse=True)
def toys(tuned_toys: ModuleType) -> ModuleType:
    return tuned_toys


def toy(toys: ModuleType, **options: Any) -> Tuning:
    return tune("tuned/toy", toys.zeros(), **{"objective": "mae", "n_trials": 10, **options})


def course(found: Tuning) -> list[Any]:
    """What must be the same: parameters, values, states and what was reported, in order."""
    return [(t.number, t.params, t.value, t.state, t.reason, t.epochs) for t in found.trials]


# one process


class Killed(BaseException):
    """Stands for SIGKILL: nothing is written after it."""


class Mortal(optuna.storages.InMemoryStorage):
    """Dies before or after its n-th write, until it is revived."""

    def __init__(self) -> None:
        super().__init__()
        self.left: int | None = None

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if not name.startswith(("set_", "create_")):
            return found

        def write(*arguments: Any, **keywords: Any) -> Any:
            if self.left is not None and self.left <= 0:
                raise Killed
            result = found(*arguments, **keywords)
            if self.left is not None:
                self.left -= 1
                if self.left == 0:
                    raise Killed
            return result

        return write


@given(kills=st.lists(st.integers(1, 120), min_size=1, max_size=4), sampler=st.sampled_from(["tpe", "grid"]))
@settings(deadline=None, max_examples=20)
def test_a_study_killed_at_any_write_goes_on_as_if_it_had_not_been(
    toys: ModuleType, kills: list[int], sampler: str
) -> None:
    options: dict[str, Any] = {"sampler": sampler, "seed": 3, "base": {"trouble": "refused"}}
    if sampler == "grid":
        options |= {"space": {"shift": [-1.0, 0.0, 1.0, 0.5, -2.0], "kind": ["plain", "worse"]}}
    storage = Mortal()
    for writes in kills:
        storage.left = writes
        try:
            toy(toys, storage=storage, **options)
        except Killed:
            continue
        break
    storage.left = None
    assert course(toy(toys, storage=storage, **options)) == course(toy(toys, **options))


def test_more_trials_can_be_asked_for_later(toys: ModuleType, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 't.db'}"
    first = toy(toys, storage=url, n_trials=5)
    more = toy(toys, storage=url, n_trials=12)
    assert len(first.trials) == 5
    assert course(more)[:5] == course(first)
    assert course(more) == course(toy(toys, n_trials=12))
    assert course(toy(toys, storage=url, n_trials=10)) == course(more)  # enough already


def test_a_killed_process_loses_nothing(toys: ModuleType, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 't.db'}"
    options: dict[str, Any] = {"storage": url, "base": {"seconds": 0.01}, "seed": 2}
    for moment in (0.3, 0.3):
        pid = os.fork()
        if pid == 0:
            try:
                toy(toys, **options)
            finally:
                os._exit(0)
        time.sleep(moment)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    resumed = toy(toys, **options)
    assert course(resumed) == course(toy(toys, base={"seconds": 0.01}, seed=2))


def test_a_study_that_would_not_be_the_same_is_refused(toys: ModuleType, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 't.db'}"
    toy(toys, storage=url, n_trials=2)
    for changes, what in (
        ({"seed": 1}, "seed"),
        ({"base": {"context_length": 5}}, "base"),
        ({"space": {"shift": [1.0, 2.0]}}, "space"),
        ({"validation": toys.zeros(20, first="2024-01-03T12")}, "validation"),
        ({"stride": 1}, "stride"),
        ({"sampler": "random"}, "sampler"),
    ):
        with pytest.raises(ConfigError, match=rf"study_name.*goes on with the {what} it began with"):
            toy(toys, storage=url, **changes)
        name = f"apart {what}"
        assert len(toy(toys, storage=url, study_name=name, n_trials=1, **changes).trials) == 1
    with pytest.raises(ConfigError, match="goes on with the data"):
        tune("tuned/toy", toys.zeros(70), objective="mae", storage=url)
    foreign = optuna.create_study(storage=url, study_name="foreign")
    foreign.enqueue_trial({"x": 1})
    with pytest.raises(ConfigError, match="names a study of tune"):
        toy(toys, storage=url, study_name="foreign")


def test_one_process_at_a_time_runs_a_study(toys: ModuleType, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 't.db'}"
    pid = os.fork()
    if pid == 0:
        try:
            toy(toys, storage=url, base={"seconds": 0.2})
        finally:
            os._exit(0)
    try:
        deadline = time.monotonic() + 30.0
        while not (tmp_path / "t.db").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(1.5)  # until the other process has made its tables and begun
        with pytest.raises(InvalidInputError, match="is not being tuned by another process"):
            toy(toys, storage=url, base={"seconds": 0.2})
        assert len(toy(toys, storage=url, study_name="another", n_trials=2).trials) == 2
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_processes_that_open_one_new_storage_at_once_all_succeed(tmp_path: Path) -> None:
    script = (
        "import sys, optuna\n"
        "from forecast_core.tuning.storing import open_study\n"
        "open_study(sys.argv[1], name='one', maximize=False, settings={}, "
        "sampler=optuna.samplers.RandomSampler(), pruner=optuna.pruners.NopPruner())\n"
    )
    url = f"sqlite:///{tmp_path / 't.db'}"
    processes = [
        subprocess.Popen([sys.executable, "-c", script, url], stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    failures = [text for p in processes for text in [p.communicate(timeout=120)[1]] if p.returncode]
    assert not failures


# workers


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_workers_find_what_one_process_finds(toys: ModuleType, sampler: str) -> None:
    alone = toy(toys, sampler=sampler, pruner=None)
    together = toy(toys, sampler=sampler, pruner=None, n_jobs=3)
    assert len(together.trials) == 10
    for trial in together.trials:
        shift, kind = trial.params["shift"], str(trial.params["kind"])
        assert trial.value == pytest.approx(abs(float(shift) - 2.0) + toys.KINDS.index(kind))  # type: ignore[arg-type]
        assert set(trial.epochs) == {1, 2, 3, 4}
    if sampler == "random":  # draws do not depend on what is finished
        assert course(together) == course(alone)


def test_workers_work_at_the_same_time(toys: ModuleType, tmp_path: Path) -> None:
    toy(toys, base={"folder": str(tmp_path), "seconds": 0.02}, n_jobs=3, n_trials=9, pruner=None)
    logs = [path.stat() for path in tmp_path.glob("*.log")]
    assert len(logs) == 9  # a process a trial
    assert str(os.getpid()) not in [path.stem for path in tmp_path.glob("*.log")]


def test_workers_are_pruned_too(toys: ModuleType) -> None:
    found = toy(toys, base={"max_epochs": 8}, n_trials=30, n_jobs=2, sampler="random")
    pruned = [t for t in found.trials if t.state == "pruned"]
    assert pruned
    assert all(max(t.epochs) < 8 for t in pruned)


def test_the_trial_of_a_worker_that_died_runs_again(toys: ModuleType, tmp_path: Path) -> None:
    base = {"trouble": "die once", "folder": str(tmp_path)}
    found = toy(toys, base=base, n_jobs=2, sampler="random", pruner=None)
    assert (tmp_path / "dead").exists()
    assert [t.state for t in found.trials] == ["complete"] * 10
    fits = Counter(
        line for path in tmp_path.glob("*.log") for line in path.read_text().splitlines() if "fit" in line
    )
    assert len(fits) == 10
    assert max(fits.values()) <= 3  # with the same parameters
    assert sum(fits.values()) > 10


def test_a_trial_that_always_kills_its_worker_fails(toys: ModuleType) -> None:
    found = toy(toys, base={"trouble": "die"}, n_jobs=2, pruner=None)
    for trial in found.trials:
        if float(trial.params["shift"]) > 0:  # type: ignore[arg-type]
            assert trial.state == "failed"
            assert trial.reason == "its process died 5 times (exit code -9)"
        else:
            assert trial.state == "complete"


def test_what_goes_wrong_in_a_worker_is_told(toys: ModuleType) -> None:
    found = toy(toys, base={"trouble": "bug"}, n_jobs=2)
    assert {t.reason for t in found.trials if t.state == "failed"} == {"RuntimeError: boom"}


def test_a_killed_process_with_workers_loses_nothing(toys: ModuleType, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 't.db'}"
    options: dict[str, Any] = {"storage": url, "base": {"seconds": 0.02}, "n_jobs": 2, "sampler": "random"}
    options["pruner"] = None
    pid = os.fork()
    if pid == 0:
        try:
            toy(toys, **options)
        finally:
            os._exit(0)
    time.sleep(0.4)
    orphans = children(pid)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    resumed = toy(toys, **options)
    assert [t.number for t in resumed.trials] == list(range(10))
    assert [t.params for t in resumed.trials] == [
        t.params for t in toy(toys, sampler="random", pruner=None).trials
    ]
    assert all(t.state == "complete" for t in resumed.trials)
    deadline = time.monotonic() + 10
    while any(alive(orphan) for orphan in orphans):  # a worker without its parent ends
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_torch_computes_in_workers_though_the_parent_used_its_threads(tmp_path: Path) -> None:
    code = f"""
import os, sys
sys.addaudithook(lambda name, _: os._exit(3) if name.startswith("pickle.find_class") else None)
sys.path.insert(0, {str(HERE / "tuned")!r})
import torch, tuned_toys
from forecast_core import plugins
from forecast_core.tuning import tune
torch.set_num_threads(2)
net = torch.nn.Linear(512, 512)
net(torch.randn(512, 512)).square().mean().backward()  # starts threads of this process
fit = tuned_toys.Toy._fit
def learn(self, data, **given):
    torch.nn.Linear(512, 512)(torch.randn(512, 512)).square().mean().backward()
    assert torch.get_num_threads() == 1
    fit(self, data, **given)
tuned_toys.Toy._fit = learn
plugins.register_plugin(tuned_toys, name="tuned")
found = tune("tuned/toy", tuned_toys.zeros(), objective="mae", n_trials=6, n_jobs=2, pruner=None)
print([t.state for t in found.trials])
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env={k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"},
        check=False,
    )
    assert done.stdout.strip() == str(["complete"] * 6), done.stderr


def test_where_nothing_forks_it_says_so(toys: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    with pytest.raises(CapabilityError, match="use n_jobs=1"):
        toy(toys, n_jobs=2)


def children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in path.read_text().split()] if path.exists() else []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds workers through /proc")
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_100_trials_survive_20_killed_workers(toys: ModuleType, tmp_path: Path, seed: int) -> None:
    rng, killed, over = random.Random(seed), [], threading.Event()

    def kill() -> None:
        me = os.getpid()
        while len(killed) < 20 and not over.is_set():
            time.sleep(rng.uniform(0.0, 0.25))
            workers = [w for w in children(me) if alive(w)]
            if workers:
                victim = rng.choice(workers)
                os.kill(victim, signal.SIGKILL)
                killed.append(victim)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        found = toy(
            toys,
            storage=f"sqlite:///{tmp_path / 't.db'}",
            base={"seconds": 0.03, "folder": str(tmp_path)},
            n_trials=100,
            n_jobs=4,
            sampler="random",
            pruner=None,
        )
    finally:
        over.set()
        killer.join()
    assert len(killed) == 20
    assert [t.number for t in found.trials] == list(range(100))
    assert [t.state for t in found.trials] == ["complete"] * 100
    quiet = toy(toys, n_trials=100, sampler="random", pruner=None)
    assert course(found) == course(quiet)
    begun = sum(p.read_text().count("fit") for p in tmp_path.glob("*.log"))
    print(f"{begun} fits for 100 trials, {len(killed)} workers killed")
