"""What is checked: one model with one of its test configurations, fitted once and reused."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Any, Literal

import numpy as np

from forecast_core import plugins, registry
from forecast_core.conformance.check import Check, Outcome, skip
from forecast_core.conformance.global_state import watched
from forecast_core.data.protocols import Described, HasHistory, Restrictable, Windows
from forecast_core.errors import ForecastError
from forecast_core.prediction import Prediction
from forecast_core.predictor import Predictor
from forecast_core.specs import ANY_TASK

__all__ = ["COVARIATES", "Subject", "Variant", "subject_of"]

# plain: sample data as it comes; rich: with every kind of covariate, and gaps, that the model declares.
Variant = Literal["plain", "rich"]

COVARIATES = ("past_covariates", "future_covariates", "static_covariates")
# How much of each trait sample data is asked for, and the option of `sample_data` where it has another name.
_AMOUNT = {
    "past_covariates": 2,
    "future_covariates": 1,
    "static_covariates": 1,
    "missing_values": 0.05,
    "multi_item": 2,
}
_OPTION = {"missing_values": "missing", "multi_item": "items"}


class Subject:
    """One model with one of its test configurations, or with other `params`.

    Data comes from the task's `sample_data`, anew for each use, so that a model that changes its input
    spoils one check only.
    """

    def __init__(self, model_id: str, config: int = 0, *, params: Mapping[str, Any] | None = None) -> None:
        self.spec = registry.model_spec(model_id)
        self.index = config
        self.params = self.spec.test_configs[config] if params is None else dict(params)
        if self.spec.task == ANY_TASK:  # an instance knows its task, and what its members can do
            self.spec = self.new().spec
        self.task = registry.task_spec(self.spec.task)
        self.outcomes: dict[str, Outcome] = {}
        self._fitted: dict[Variant, Predictor[Any]] = {}
        self.touched_by_fit: list[str] = []
        self.data_kept_by_fit = True

    def outcome(self, check: Check, known: dict[str, Check]) -> Outcome:
        """How a check ends here; run once, and only if the checks it needs did not fail."""
        if check.name not in self.outcomes:
            blocking = next((n for n in check.needs if self._blocks(known[n], known)), None)
            held = Outcome("skipped", f"needs {blocking} to pass")
            self.outcomes[check.name] = Outcome.of(check, self) if blocking is None else held
        return self.outcomes[check.name]

    def _blocks(self, needed: Check, known: dict[str, Check]) -> bool:
        outcome = self.outcome(needed, known)
        return outcome.status == "failed" or outcome.message.startswith("needs ")

    # the model

    def new(self) -> Predictor[Any]:
        """An unfitted predictor."""
        return registry.create_model(self.spec.id, **self.params)

    @property
    def classifies(self) -> bool:
        """Whether the task has classes rather than a horizon."""
        return self.task.kind == "classification"

    @cached_property
    def horizon(self) -> int | None:
        """Steps to predict: the configuration's, else 3; None for classifiers."""
        if self.classifies:
            return None
        return getattr(self.new().config, "horizon", None) or 3

    def declares(self, trait: str) -> bool:
        """Whether the model's capabilities hold a trait."""
        return bool(getattr(self.spec.capabilities, trait))

    def fitted(self, variant: Variant = "plain") -> Predictor[Any]:
        """A predictor fitted on sample data with seed 0; the same one at each call."""
        if variant == "rich" and not self.is_richer:
            variant = "plain"
        if variant not in self._fitted:
            model, data = self.new(), self.data(variant)
            content = data.fingerprint()
            with watched() as touched:
                model.fit(data, seed=0)
            self.touched_by_fit += touched
            self.data_kept_by_fit &= data.fingerprint() == content
            self._fitted[variant] = model
        return self._fitted[variant]

    def richest(self) -> Variant:
        """The richest data that the model can be fitted on."""
        try:
            self.fitted("rich")
        except Exception:
            return "plain"
        return "rich" if self.is_richer else "plain"

    # data

    @cached_property
    def options(self) -> frozenset[str]:
        """What `sample_data` lets one choose."""
        return frozenset(inspect.signature(self._sampler).parameters)

    @property
    def _sampler(self) -> Any:
        return registry.load_object(self.task.sample_data, owner=self.task.id)

    def sample(self, *, seed: int = 0, **options: Any) -> Any:
        """Sample data of the task, as it comes."""
        if "seed" in self.options:
            options["seed"] = seed
        return self._sampler(**options)

    def data(self, variant: Variant = "plain", *, seed: int = 0) -> Any:
        """Fresh sample data that the model takes by its own declaration."""
        options = {**self._one_item, **(self._rich_options if variant == "rich" else {})}
        data = self.sample(seed=seed, **options)
        if isinstance(data, Described):
            refused = self.spec.capabilities.refuses(data.traits())
            if refused & set(COVARIATES) and isinstance(data, Restrictable):
                data = data.without(refused & set(COVARIATES))
                refused = self.spec.capabilities.refuses(data.traits())
            if refused:
                skip(f"sample data of task {self.task.id!r} holds {', '.join(sorted(refused))}, undeclared")
        return data

    def with_trait(self, trait: str) -> Any | None:
        """Fresh sample data that holds a trait; None where `sample_data` has no option for it."""
        option = _OPTION.get(trait, trait)
        if option not in self.options:
            return None
        options: dict[str, Any] = {**self._one_item, option: _AMOUNT[trait]}
        return self.sample(**options)

    @property
    def _one_item(self) -> dict[str, Any]:
        """The option of `sample_data` that a model of single items needs."""
        return {"items": 1} if not self.declares("multi_item") and "items" in self.options else {}

    @cached_property
    def _rich_options(self) -> dict[str, Any]:
        wanted = {_OPTION.get(t, t): _AMOUNT[t] for t in (*COVARIATES, "missing_values") if self.declares(t)}
        return {option: amount for option, amount in wanted.items() if option in self.options}

    @property
    def is_richer(self) -> bool:
        """Whether there is more to `data("rich")` than to plain data."""
        return bool(self._rich_options)

    def windows(self, data: Any, *, origins: np.ndarray | None = None) -> Windows:
        """Windows of some data as the model takes them.

        origins: default every one of the later half, so that models which take all history have some.
        """
        context = getattr(self.new().config, "context_length", None)
        windows: Windows = (
            data.windows()
            if self.classifies
            else data.windows(context_length=context, horizon=self.horizon, origins=origins)
        )
        if windows.origins is None:
            return windows
        if origins is not None:
            return windows.take(np.flatnonzero(np.isin(windows.origins, origins)))
        half = data.timeline[len(data.timeline) // 2]
        return windows.take(np.flatnonzero(windows.origins >= half))

    def to_predict(self, data: Any) -> Any:
        """Data as `predict` wants it: with future covariates, as it was known at its last origin."""
        if isinstance(data, Described) and "future_covariates" in data.traits():
            windows = self.windows(data)
            if isinstance(windows, HasHistory) and windows.origins is not None:
                last = windows.take(np.flatnonzero(windows.origins == windows.origins.max()))
                _, known, _ = next(iter(last.histories()))
                return known
        return data

    def predict(self, variant: Variant = "plain", *, model: Predictor[Any] | None = None) -> Prediction:
        """The prediction after the end of fresh sample data."""
        model = self.fitted(variant) if model is None else model
        return model.predict(self.to_predict(self.data(variant)), horizon=self.horizon)

    def cut(self, data: Any, rows: int) -> Any:
        """The first rows of some data."""
        timeline = data.timeline
        return data if rows >= len(timeline) else data.between(None, timeline[rows])

    def has_time(self, windows: Windows) -> np.ndarray:
        """Origins of windows; skips the check for plain samples."""
        if windows.origins is None:
            skip(f"windows of task {self.task.id!r} are plain samples without an origin in time")
        return windows.origins

    def attempt(self, action: Any) -> Any:
        """What an action gives, or None where it raises a typed error, as it may on bad input."""
        try:
            return action()
        except ForecastError:
            return None


def subject_of(model_id: str, config: int) -> Subject:
    """The subject, kept while plugins stay the same so that several tests share its fitted model."""
    return _kept(model_id, config, plugins.generation())


@lru_cache(maxsize=4)
def _kept(model_id: str, config: int, generation: int) -> Subject:
    return Subject(model_id, config)
