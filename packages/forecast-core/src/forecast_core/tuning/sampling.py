"""Where Optuna looks next: distributions of a space, samplers that do not depend on history, pruners."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from optuna import Study, Trial
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, BruteForceSampler, GridSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from forecast_core.errors import ConfigError, near_misses
from forecast_core.tuning.space import Dimension

__all__ = ["PrunerName", "SamplerName", "Seeded", "make_pruner", "make_sampler", "suggest"]

SamplerName = Literal["tpe", "random", "grid"]
PrunerName = Literal["median", "hyperband"]

_WARM_UP = 2  # epochs that no median is taken over


class Seeded(BaseSampler):
    """A sampler whose draws follow from (seed, trial number, parameter) and the finished trials alone.

    Optuna's own samplers draw from one stream, so that a study that was interrupted goes on differently
    from one that was not. Here each trial starts a stream of its own, and each parameter that is drawn by
    itself another one.
    """

    def __init__(self, kind: Literal["tpe", "random"], *, seed: int) -> None:
        self._kind, self._seed = kind, seed
        self._number: int | None = None
        self._inner: BaseSampler

    def _of(self, trial: FrozenTrial) -> BaseSampler:
        if self._number != trial.number:
            self._number, self._inner = trial.number, self._make(trial.number)
        return self._inner

    def _make(self, *entropy: int) -> BaseSampler:
        seed = int(np.random.SeedSequence([self._seed, *entropy]).generate_state(1)[0])
        return TPESampler(seed=seed) if self._kind == "tpe" else RandomSampler(seed=seed)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """As the sampler within does."""
        self._of(trial).before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """As the sampler within does."""
        return self._of(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Parameters drawn together, from the trial's stream."""
        return self._of(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A parameter drawn by itself, from a stream of its own."""
        inner = self._make(trial.number, zlib.crc32(param_name.encode()))
        return inner.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """As the sampler within does."""
        self._of(trial).after_trial(study, trial, state, values)


def make_sampler(sampler: SamplerName | BaseSampler | None, *, seed: int) -> BaseSampler:
    """By name: "tpe" (also None: tree-structured Parzen estimator), "random", "grid" (its combinations are
    queued, nothing is left to draw); or a sampler of Optuna. ConfigError for anything else.
    """
    if isinstance(sampler, GridSampler | BruteForceSampler):
        raise ConfigError("sampler", "runs a grid by its name", got=type(sampler).__name__, hint="use 'grid'")
    if isinstance(sampler, BaseSampler):
        return sampler
    if sampler in (None, "tpe"):
        return Seeded("tpe", seed=seed)
    if sampler in ("random", "grid"):
        return Seeded("random", seed=seed)
    raise ConfigError(
        "sampler",
        "is 'tpe', 'random', 'grid' or a sampler of Optuna",
        got=repr(sampler),
        hint=near_misses(str(sampler), ("tpe", "random", "grid")),
    )


def make_pruner(pruner: PrunerName | BasePruner | None, *, epochs: int | None) -> BasePruner:
    """By name: "median" (after 5 complete trials and 2 epochs) or "hyperband" (brackets from `epochs`, the
    most a trial may take); None for none; or a pruner of Optuna. ConfigError for anything else.
    """
    if isinstance(pruner, BasePruner):
        return pruner
    if pruner is None:
        return NopPruner()
    if pruner == "median":
        return MedianPruner(n_startup_trials=5, n_warmup_steps=_WARM_UP)
    if pruner == "hyperband":
        return HyperbandPruner(max_resource="auto" if epochs is None else epochs)
    raise ConfigError(
        "pruner",
        "is 'median', 'hyperband', None or a pruner of Optuna",
        got=repr(pruner),
        hint=near_misses(str(pruner), ("median", "hyperband")),
    )


def suggest(trial: Trial, dimension: Dimension) -> Any:
    """The trial's value of a field, drawn if it has none yet."""
    if dimension.kind == "choice":
        choices = [dimension.encode(choice) for choice in dimension.choices]
        return dimension.decode(trial.suggest_categorical(dimension.name, choices))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not divisible by `step`")  # the end is then left out
        if dimension.kind == "int":
            return trial.suggest_int(
                dimension.name,
                int(dimension.low),
                int(dimension.high),
                step=int(dimension.step or 1),
                log=dimension.log,
            )
        return trial.suggest_float(
            dimension.name, dimension.low, dimension.high, step=dimension.step, log=dimension.log
        )
