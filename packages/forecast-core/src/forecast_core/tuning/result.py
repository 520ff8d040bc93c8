"""`Tuning`: what a study found."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, JsonValue

from forecast_core import registry
from forecast_core.config import ModelConfig
from forecast_core.data.frames import build_frame
from forecast_core.metrics import metric_direction
from forecast_core.tuning.failures import TuningError
from forecast_core.tuning.space import Dimension

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

    from forecast_core.predictor import Predictor

__all__ = ["TrialRecord", "Tuning", "record"]

_ENOUGH = 10  # complete trials that importance is told from


class TrialRecord(BaseModel):
    """One trial. state: complete has a value; pruned was ended early by its validation loss; infeasible
    could not be fitted or scored with these parameters; failed for another reason; running is unfinished.

    params: values of the searched fields, those of the default in trial 0. epochs: validation loss by epoch,
    as far as it was told (its negative where the objective grows).
    """

    model_config = ConfigDict(frozen=True)

    number: int
    state: Literal["complete", "pruned", "infeasible", "failed", "running"]
    value: float | None
    params: dict[str, JsonValue]
    reason: str | None = None
    seconds: float | None = None
    epochs: dict[int, float] = {}
    started: datetime | None = None


def record(
    trial: FrozenTrial, dimensions: tuple[Dimension, ...], defaults: Mapping[str, JsonValue]
) -> TrialRecord:
    """A trial of Optuna in our words."""
    state, reason = trial.state.name.lower(), trial.user_attrs.get("reason")
    if state == "pruned" and reason is not None:
        state = "infeasible"
    known = {"complete": "complete", "pruned": "pruned", "infeasible": "infeasible", "fail": "failed"}
    params = {d.name: d.decode(trial.params[d.name]) for d in dimensions if d.name in trial.params}
    return TrialRecord(
        number=trial.number,
        state=known.get(state, "running"),  # type: ignore[arg-type]
        value=trial.value if state == "complete" else None,
        params={**defaults, **params} if trial.number == 0 else params,
        reason=reason,
        seconds=trial.user_attrs.get("seconds"),
        epochs=trial.intermediate_values,
        started=trial.datetime_start,
    )


@dataclass(frozen=True)
class Tuning:
    """What `tune` found: every trial, the best of them, and the default beside it (trial 0).

    dimensions: the space that was searched; base: what was fixed; defaults: values of the searched fields
    where nothing is tuned; trials: in order of their numbers; study: Optuna's own, for its plots and tools.
    """

    model_id: str
    objective: str
    dimensions: tuple[Dimension, ...]
    base: Mapping[str, Any]
    defaults: Mapping[str, JsonValue]
    seed: int
    trials: tuple[TrialRecord, ...]
    study: Study

    @property
    def higher_is_better(self) -> bool:
        """Whether the objective grows with quality."""
        return metric_direction(self.objective) == "higher"

    @property
    def ranked(self) -> tuple[TrialRecord, ...]:
        """Complete trials, best first, the earliest first among equals."""
        sign = -1.0 if self.higher_is_better else 1.0
        return tuple(
            sorted((t for t in self.trials if t.value is not None), key=lambda t: sign * (t.value or 0.0))
        )

    @property
    def best(self) -> TrialRecord:
        """The best complete trial; TuningError where none is complete."""
        ranked = self.ranked
        if not ranked:
            raise TuningError(f"no trial of {self.model_id} is complete")
        return ranked[0]

    @property
    def best_params(self) -> dict[str, JsonValue]:
        """Values of the searched fields in the best trial."""
        return dict(self.best.params)

    @property
    def best_value(self) -> float:
        """The objective of the best trial, on validation."""
        value = self.best.value
        assert value is not None
        return value

    @property
    def default_value(self) -> float | None:
        """The objective of the default configuration, on validation; None where that cannot be used."""
        return next((t.value for t in self.trials if t.number == 0), None)

    @property
    def default_config(self) -> ModelConfig:
        """The configuration without tuning: what was fixed, and the model's defaults."""
        return self._config({})

    @property
    def best_config(self) -> ModelConfig:
        """The configuration of the best trial, whole."""
        best = self.best
        return self._config(best.params if best.number else {})

    def create_model(self) -> Predictor[Any]:
        """A new, unfitted model of the best configuration."""
        return registry.create_model(self.model_id, self.best_config)

    def _config(self, params: Mapping[str, Any]) -> ModelConfig:
        return registry.config_class(registry.model_spec(self.model_id))(**{**self.base, **params})

    def importance(self) -> dict[str, float]:
        """Share of each searched field in reaching the best tenth of values, largest first; sums to 1.

        PED-ANOVA (Watanabe et al. 2023) over complete trials. Raises TuningError with fewer than ten.
        """
        from optuna.importance import get_param_importances

        count = sum(t.state == "complete" for t in self.trials)
        if count < _ENOUGH:
            raise TuningError(
                f"importance is told from at least {_ENOUGH} complete trials, got {count}; raise n_trials"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # equal values, or a default outside the space
            found = get_param_importances(self.study)
        shares = {d.name: found.get(d.name, 0.0) for d in self.dimensions}
        return dict(sorted(shares.items(), key=lambda pair: -pair[1]))

    def to_frame(self, *, backend: str | None = None) -> Any:
        """A row a trial: trial, state, value, seconds, reason, then a column for each searched field.

        Columns of choices are text; numbers that are missing are NaN.
        """
        trials = self.trials
        columns: dict[str, Any] = {
            "trial": [t.number for t in trials],
            "state": [t.state for t in trials],
            "value": [_nan(t.value) for t in trials],
            "seconds": [_nan(t.seconds) for t in trials],
            "reason": [t.reason or "" for t in trials],
        }
        for d in self.dimensions:
            values = [t.params.get(d.name) for t in trials]
            if d.kind == "choice":
                columns[d.name] = [v if isinstance(v, str) else json.dumps(v) for v in values]
            else:
                columns[d.name] = [_nan(v) for v in values]
        return build_frame(columns, backend=backend)

    def to_json(self) -> str:
        """Space, best and default, and every trial, as JSON."""
        best = self.best
        return json.dumps(
            {
                "model": self.model_id,
                "objective": self.objective,
                "direction": metric_direction(self.objective),
                "study": self.study.study_name,
                "seed": self.seed,
                "space": {d.name: d.to_dict() for d in self.dimensions},
                "best": {
                    "trial": best.number,
                    "value": best.value,
                    "params": best.params,
                    "config": self.best_config.model_dump(mode="json"),
                },
                "default": {
                    "value": self.default_value,
                    "params": dict(self.defaults),
                    "config": self.default_config.model_dump(mode="json"),
                },
                "trials": [t.model_dump(mode="json") for t in self.trials],
            },
            indent=2,
        )

    def report(self, path: str | PathLike[str], *, title: str | None = None) -> Path:
        """Write one self-contained HTML file: best beside default, history, importance, parallel
        coordinates, and each field against the objective; needs matplotlib. The same numbers go to JSON
        beside it.
        """
        from forecast_core.tuning.report import write_report

        return write_report(self, Path(path), title=title or f"Tuning of {self.model_id}")

    def __repr__(self) -> str:
        counts = [t.state for t in self.trials]
        told = ", ".join(f"{counts.count(s)} {s}" for s in dict.fromkeys(counts))
        best = f"{self.objective} {self.best_value:.4g}" if "complete" in counts else "no value"
        default = "-" if self.default_value is None else f"{self.default_value:.4g}"
        return f"<Tuning of {self.model_id}: {best} (default {default}), {told}>"


def _nan(value: Any) -> float:
    return float("nan") if value is None else float(value)
