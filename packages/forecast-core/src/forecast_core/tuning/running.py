"""The course of a study: which trial comes next, what it reports, how it ended."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.trial import TrialState
from pydantic import JsonValue

from forecast_core.tuning.objective import Outcome, Problem
from forecast_core.tuning.sampling import suggest

__all__ = ["Course", "run_here"]

_GIVE_UP = 10  # first trials that all have no value

_log = logging.getLogger("forecast.tuning")


@dataclass
class Course:
    """Hands out trials of a study until `n_trials` are finished, and writes down what came of them.

    Only this process writes to the storage. A trial that was begun and not finished, because the process
    (or its worker) was killed, comes first, under its own number and with the parameters it has.
    """

    study: optuna.Study
    problem: Problem
    n_trials: int
    grid: list[dict[str, JsonValue]] | None = None
    deadline: float | None = None
    finished: Callable[[optuna.trial.FrozenTrial], None] | None = None
    _running: set[int] = field(default_factory=set)

    def next(self) -> optuna.Trial | None:
        """The next trial, with all its parameters drawn; None if no more are to be started."""
        if self.deadline is not None and time.monotonic() >= self.deadline:
            return None
        trials = self.study.get_trials(deepcopy=False)
        over = [t for t in trials if t.state.is_finished()]
        if len(over) + len(self._running) >= self.n_trials or self.hopeless(over):
            return None
        left = next(
            (t for t in trials if t.state == TrialState.RUNNING and t.number not in self._running), None
        )
        if left is not None:
            trial = optuna.Trial(self.study, left._trial_id)
        else:
            if not any(t.state == TrialState.WAITING for t in trials):
                queued = self._queued(len(trials))
                if queued is not None:
                    self.study.enqueue_trial(queued)
            trial = self.study.ask()
        for dimension in self.problem.dimensions:
            if trial.number > 0 or dimension.holds(self.problem.defaults[dimension.name]):
                suggest(trial, dimension)
        self._running.add(trial.number)
        return trial

    def _queued(self, number: int) -> dict[str, Any] | None:
        """Parameters a new trial is given: trial 0 the default's, those of a grid its combinations."""
        if number == 0:
            values: Mapping[str, JsonValue] = {
                d.name: self.problem.defaults[d.name]
                for d in self.problem.dimensions
                if d.holds(self.problem.defaults[d.name])
            }
        elif self.grid is not None:
            values = self.grid[number - 1]
        else:
            return None
        return {d.name: d.encode(values[d.name]) for d in self.problem.dimensions if d.name in values}

    def params(self, trial: optuna.Trial) -> dict[str, JsonValue]:
        """What the trial changes in the base configuration; nothing in trial 0, the default."""
        if trial.number == 0:
            return {}
        return {d.name: d.decode(trial.params[d.name]) for d in self.problem.dimensions}

    def report(self, trial: optuna.Trial, epoch: int, loss: float) -> bool:
        """Take note of an epoch's validation loss; whether the trial is to end.

        A trial that runs again after a kill has reported its first epochs already; they are passed over.
        The default is never pruned, so that there is something to compare with.
        """
        known = self.study._storage.get_trial(trial._trial_id).intermediate_values
        if epoch not in known:
            trial.report(-loss if self.problem.higher_is_better else loss, epoch)
        if trial.number == 0 or epoch < max(known, default=0):
            return False
        return bool(trial.should_prune())

    def finish(self, trial: optuna.Trial, outcome: Outcome) -> None:
        """Write down how a trial ended."""
        trial.set_user_attr("seconds", outcome.seconds)
        if outcome.reason is not None:
            trial.set_user_attr("reason", outcome.reason)
        if outcome.state == "complete":
            self.study.tell(trial, outcome.value)
        else:
            # Infeasible parameters count as the worst there are, so that samplers keep away from them.
            self.study.tell(trial, state=TrialState.FAIL if outcome.state == "failed" else TrialState.PRUNED)
        self._running.discard(trial.number)
        _log.info("trial %d: %s %s", trial.number, outcome.state, outcome.reason or outcome.value or "")
        if self.finished is not None:
            self.finished(self.study._storage.get_trial(trial._trial_id))

    def hopeless(self, over: list[optuna.trial.FrozenTrial]) -> bool:
        """Whether the first ten trials all could not be used, so that the fault lies not in parameters."""
        return len(over) >= _GIVE_UP and all("reason" in t.user_attrs for t in over)


def run_here(course: Course) -> None:
    """One trial after the other, in this process."""
    while (trial := course.next()) is not None:

        def report(epoch: int, loss: float, trial: optuna.Trial = trial) -> bool:
            return course.report(trial, epoch, loss)

        course.finish(trial, course.problem.run(course.params(trial), report))
