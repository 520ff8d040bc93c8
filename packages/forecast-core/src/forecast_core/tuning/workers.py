"""Trials in processes of their own: any of them may be killed, and its trial runs again.

A worker is forked for each trial, so it finds the data in memory and nothing is pickled; it speaks with this
process in JSON through a pipe, and never touches the study's storage.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import signal
import sys
import warnings
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import optuna
from pydantic import JsonValue

from forecast_core import registry
from forecast_core.errors import CapabilityError
from forecast_core.tuning.objective import Outcome, Problem
from forecast_core.tuning.running import Course

__all__ = ["run_in_processes"]

_DEATHS = 5  # of the workers of one trial, before the trial counts as failed
_PATIENCE = 1.0  # seconds between looks whether the parent still lives


@dataclass(frozen=True)
class _Worker:
    trial: optuna.Trial
    process: BaseProcess


def run_in_processes(course: Course, n_jobs: int) -> None:
    """Up to `n_jobs` trials at a time, each in a process that computes with one thread.

    A worker that dies is replaced. Its trial begins again, with the same number and parameters, once no new
    ones are left to start (so that what killed it may have passed); a trial whose workers died five times
    has failed. Raises CapabilityError where processes cannot fork.
    """
    if "fork" not in multiprocessing.get_all_start_methods():
        raise CapabilityError(
            "n_jobs > 1 needs processes that fork, which this platform does not have (sending data to others "
            "would take pickle); use n_jobs=1"
        )
    registry.predictor_class(registry.model_spec(course.problem.model_id))  # import once, not in each worker
    workers: dict[Connection, _Worker] = {}
    deaths: Counter[int] = Counter()
    again: deque[optuna.Trial] = deque()
    try:
        while True:
            while len(workers) < n_jobs:
                trial = course.next() or (again.popleft() if again else None)
                if trial is None:
                    break
                _start(workers, trial, course)
            if not workers:
                return
            for connection in wait(list(workers)):
                assert isinstance(connection, Connection)
                message, worker = _receive(connection), workers[connection]
                if message is not None and "epoch" in message:
                    stop = course.report(worker.trial, message["epoch"], message["loss"])
                    _send(connection, {"stop": stop})
                    continue
                del workers[connection]
                connection.close()
                worker.process.join()
                if message is not None:
                    course.finish(worker.trial, Outcome(**message))
                    continue
                deaths[worker.trial.number] += 1
                if deaths[worker.trial.number] < _DEATHS:
                    again.append(worker.trial)
                else:
                    reason = f"its process died {_DEATHS} times (exit code {worker.process.exitcode})"
                    course.finish(worker.trial, Outcome("failed", reason=reason))
    finally:
        for worker in workers.values():
            worker.process.kill()
            worker.process.join()


def _start(workers: dict[Connection, _Worker], trial: optuna.Trial, course: Course) -> None:
    mine, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(
        target=_work, args=(theirs, course.problem, course.params(trial))
    )
    with warnings.catch_warnings():
        # Threads of this process stay behind in a fork. Numpy's and torch's are not needed by a worker, which
        # computes with one thread; nothing else is called there.
        warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*multi-threaded.*fork")
        process.start()
    theirs.close()
    workers[mine] = _Worker(trial, process)


def _work(connection: Connection, problem: Problem, params: Mapping[str, JsonValue]) -> None:
    """The worker: fit, score, tell."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    parent = os.getppid()
    _one_thread()

    def report(epoch: int, loss: float) -> bool:
        if not _send(connection, {"epoch": epoch, "loss": loss}):
            os._exit(1)
        while not connection.poll(_PATIENCE):
            if os.getppid() != parent:
                os._exit(1)
        answer = _receive(connection)
        if answer is None:
            os._exit(1)
        return bool(answer["stop"])

    _send(connection, asdict(problem.run(params, report)))


def _one_thread() -> None:
    """Threads do not survive a fork, and libraries that wait for theirs would wait for ever."""
    if find_spec("threadpoolctl") is not None:  # comes with scikit-learn; knows BLAS and OpenMP
        importlib.import_module("threadpoolctl").threadpool_limits(1)
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)


def _send(connection: Connection, message: Mapping[str, Any]) -> bool:
    """Whether the other side was there to be told."""
    try:
        connection.send_bytes(json.dumps(message).encode())
    except OSError:
        return False
    return True


def _receive(connection: Connection) -> dict[str, Any] | None:
    """The next message; None where the other side is gone."""
    try:
        message: dict[str, Any] = json.loads(connection.recv_bytes())
    except (EOFError, OSError):
        return None
    return message
