"""`tune`: search a model's options for the best value of a metric on validation."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from forecast_core import registry
from forecast_core.data.protocols import Data, Windows
from forecast_core.data.reading import fingerprint_of
from forecast_core.errors import ConfigError, InvalidInputError, MissingDependencyError
from forecast_core.splits import Splitter
from forecast_core.tuning.failures import TuningError
from forecast_core.tuning.objective import VALIDATION_SHARE, Problem, pose
from forecast_core.tuning.result import TrialRecord, Tuning, record
from forecast_core.tuning.space import Space, combinations, read_space
from forecast_core.validation import whole

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage

__all__ = ["tune"]


def tune(
    model_id: str,
    data: Data | Windows,
    *,
    n_trials: int = 100,
    objective: str | None = None,
    splitter: Splitter | None = None,
    space: Space | None = None,
    base: Mapping[str, Any] | None = None,
    storage: str | BaseStorage | None = None,
    study_name: str | None = None,
    sampler: Literal["tpe", "random", "grid"] | BaseSampler | None = None,
    pruner: Literal["median", "hyperband"] | BasePruner | None = "median",
    n_jobs: int = 1,
    seed: int = 0,
    timeout: float | None = None,
    validation: Data | Windows | None = None,
    stride: int | None = None,
    on_trial: Callable[[TrialRecord], None] | None = None,
) -> Tuning:
    """Search a model's options; trial 0 is always the default configuration, to compare with.

    objective: a metric of the grammar; default: the task's. Every trial fits a fresh model with `seed` and
    scores it on the same windows: on `validation`, by default the last fifth of the rows of `data`, from an
    origin every `stride` rows (default: the horizon); or, with a splitter of `forecast_core.splits`, as the
    mean over folds. Keep test data out of `data`. space: as `read_space` takes it; default: the fields that
    the model's config marks with `Search`. base: options that stay fixed.

    sampler: "tpe" (default), "random", "grid" (all combinations of choices and steps), or Optuna's. pruner:
    ends a fit early that lags behind in validation loss by epoch, told by run events; None where searched
    fields change what that loss means. n_jobs: trials at a time, in processes of their own, which may die.

    storage: URL such as "sqlite:///tuning.db"; the same storage and study_name (default: model and
    objective) go on until `n_trials` trials are finished, those of before included, and with n_jobs=1 draw
    what an uninterrupted study draws (but for samplers of Optuna, which keep their own state). timeout:
    seconds after which no further trial is started. on_trial: is told of each finished trial.

    Parameters that the model refuses, or with which it cannot be fitted, make a trial infeasible. Raises
    ConfigError for a space that its validation refuses, before any trial; TuningError, with the first
    reason, where all trials (or the first ten) fail; MissingDependencyError without Optuna.
    """
    if find_spec("optuna") is None:
        raise MissingDependencyError("optuna", purpose="tuning", install="pip install 'forecast-core[tune]'")
    from forecast_core.tuning import sampling, storing
    from forecast_core.tuning.running import Course, run_here
    from forecast_core.tuning.workers import run_in_processes

    n_trials, n_jobs, seed = (
        whole("n_trials", n_trials),
        whole("n_jobs", n_jobs),
        whole("seed", seed, least=0),
    )
    if seed >= 2**32:
        raise InvalidInputError("seed", "is a whole number in 0..2^32-1", got=seed)
    if timeout is not None and (not isinstance(timeout, int | float) or not timeout > 0):
        raise InvalidInputError("timeout", "is a number of seconds above 0, or None", got=repr(timeout))
    dimensions = read_space(
        space, config_class=registry.config_class(registry.model_spec(model_id)), base=base
    )
    problem = pose(
        model_id,
        data,
        objective=objective,
        dimensions=dimensions,
        base=base or {},
        validation=validation,
        splitter=splitter,
        stride=stride,
        seed=seed,
    )
    grid = _grid(problem, n_trials) if sampler == "grid" else None
    with storing.quiet():
        study = storing.open_study(
            storage,
            name=study_name if study_name is not None else f"{model_id} {problem.objective}",
            maximize=problem.higher_is_better,
            settings={
                **_settings(problem, data, validation, stride),
                "sampler": sampler
                if isinstance(sampler, str)
                else type(sampler).__name__
                if sampler
                else "tpe",
            },
            sampler=sampling.make_sampler(sampler, seed=seed),
            pruner=sampling.make_pruner(pruner, epochs=_most_epochs(problem)),
        )
        course = Course(
            study=study,
            problem=problem,
            n_trials=n_trials if grid is None else len(grid) + 1,
            grid=grid,
            deadline=None if timeout is None else time.monotonic() + timeout,
            finished=None
            if on_trial is None
            else lambda trial: on_trial(record(trial, dimensions, problem.defaults)),
        )
        with storing.owned(study, storage), storing.storage_failures():
            if n_jobs == 1:
                run_here(course)
            else:
                run_in_processes(course, n_jobs)
    found = Tuning(
        model_id=model_id,
        objective=problem.objective,
        dimensions=dimensions,
        base=dict(base or {}),
        defaults=problem.defaults,
        seed=seed,
        trials=tuple(record(t, dimensions, problem.defaults) for t in study.get_trials(deepcopy=False)),
        study=study,
    )
    _need_a_value(found, n_trials)
    return found


def _grid(problem: Problem, n_trials: int) -> list[dict[str, Any]]:
    """All combinations but the default, which is trial 0."""
    dimensions, defaults = problem.dimensions, problem.defaults
    count = math.prod(d.size() for d in dimensions)
    grid = []
    if n_trials >= count:
        grid = [c for c in combinations(dimensions) if c != defaults]
        count = len(grid)
    elif all(d.holds(defaults[d.name]) for d in dimensions):
        count -= 1
    if n_trials <= count:
        raise ConfigError(
            "n_trials",
            f"is enough for the grid's {count} combinations and the default",
            got=n_trials,
            hint=f"give n_trials={count + 1}, or a smaller grid",
        )
    return grid


def _most_epochs(problem: Problem) -> int | None:
    """The most epochs that a trial may report."""
    ends = [int(d.high) for d in problem.dimensions if d.name == "max_epochs" and d.kind == "int"]
    default = getattr(problem.config({}), "max_epochs", None)
    return max([*ends, default]) if isinstance(default, int) else None


def _settings(problem: Problem, data: Any, validation: Any, stride: int | None) -> dict[str, Any]:
    """What trials of one study share, so that their values compare."""
    base = problem.config({}).model_dump(mode="json")
    return {
        "model": problem.model_id,
        "objective": problem.objective,
        "space": {d.name: d.to_dict() for d in problem.dimensions},
        "base": base,
        "seed": problem.seed,
        "data": _fingerprint(data),
        "validation": f"last {VALIDATION_SHARE}" if validation is None else _fingerprint(validation),
        "splitter": None if problem.splitter is None else repr(problem.splitter),
        "stride": stride,
    }


def _fingerprint(data: Any) -> str:
    """Of the data, or of the data behind windows and how many there are."""
    found = fingerprint_of(data)
    return found if isinstance(data, Data) else f"{len(data)} windows of {found}"


def _need_a_value(found: Tuning, n_trials: int) -> None:
    trials = [t for t in found.trials if t.state != "running"]
    if not any(t.state == "complete" for t in trials):
        reason = next((t.reason for t in trials if t.reason is not None), "none was finished in time")
        raise TuningError(
            f"{found.model_id}: none of {len(trials)} trials (of {n_trials}) has a value; the first: {reason}"
        )
