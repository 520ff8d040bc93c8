"""`compose/ensemble`: several models of one task as one predictor."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from hashlib import sha256
from statistics import NormalDist
from typing import Any, ClassVar, Literal

import numpy as np

from forecast_core import registry
from forecast_core.artifacts import State
from forecast_core.compose.configs import EnsembleConfig
from forecast_core.compose.members import build, composed_spec, fit_member, pack, unpack
from forecast_core.compose.pooling import pool, pooled_kinds
from forecast_core.compose.weighting import fit_weights
from forecast_core.config import ModelConfig
from forecast_core.data.overlap import unseen
from forecast_core.data.protocols import Data, Windows
from forecast_core.data.reading import later
from forecast_core.errors import CapabilityError, InvalidInputError, ShapeError
from forecast_core.evaluation.evaluating import evaluation_windows
from forecast_core.evaluation.refitting import fresh
from forecast_core.evaluation.scores import adapted, predict_in_batches
from forecast_core.prediction import ForecastPrediction, Prediction, Uncertainty
from forecast_core.prediction.checks import tail_of
from forecast_core.predictor import Predictor
from forecast_core.run import Run
from forecast_core.specs import ModelSpec

__all__ = ["EnsemblePredictor"]

_ORIGINS = 500  # of the validation data, that weights are fitted on at most


class EnsemblePredictor(Predictor[Any]):
    """The weighted mixture of its members' distributions (`pooling.pool`).

    Member k is fitted with seed + k, so that the same model several times makes a seed ensemble; each gets
    the covariates that it takes. weights="fit" needs validation data, which members may also use to stop
    early.
    """

    config_class: ClassVar[type[ModelConfig]] = EnsembleConfig

    def __init__(self, config: EnsembleConfig | None = None, *, spec: ModelSpec | None = None) -> None:
        super().__init__(config, spec=spec)
        self.members: tuple[Predictor[Any], ...] = build(self.config.members)
        kinds = pooled_kinds([m.spec.capabilities.prediction_kinds for m in self.members])
        differences: dict[str, Any] = {"prediction": kinds}
        if self.config.weights == "fit":
            differences["needs_fit"] = True
        self._spec = composed_spec(
            spec if spec is not None else registry.model_spec("compose/ensemble"), self.members, **differences
        )
        self.accepts_windows = all(m.accepts_windows for m in self.members if m.spec.capabilities.needs_fit)
        self.fits_validation = self.config.weights == "fit"
        self._weights: np.ndarray | None = None
        if self.config.weights != "fit":
            count = len(self.members)
            given = self.config.weights
            self._weights = np.full(count, 1 / count) if isinstance(given, str) else np.asarray(given)

    @property
    def weights(self) -> np.ndarray:
        """Weight of each member, [member]; NotFittedError before they are fitted."""
        self._need_fitted("weights")
        assert self._weights is not None
        return self._weights

    def adopt(self, members: Sequence[Predictor[Any]]) -> None:
        """Take copies of fitted members, in place of fitting; InvalidInputError unless all are fitted and
        of the configuration's models, CapabilityError where weights are still to be fitted.
        """
        if self.config.weights == "fit":
            raise CapabilityError('weights="fit" are fitted by fit(train, validation=...), with the members')
        if not all(m.is_fitted for m in members) or [m.config for m in members] != [
            m.config for m in self.members
        ]:
            raise InvalidInputError("members", "are fitted predictors of the configured models")
        self.members = copy.deepcopy(tuple(members))
        infos = [m.info for m in members if m.info.trained_on is not None]
        if not infos:
            return
        hashes = [str(info.trained_on) for info in infos]
        self._info = None
        self._info = self.info.model_copy(
            update={
                "fitted": True,
                "data": infos[0].data,
                "trained_on": hashes[0]
                if len(set(hashes)) == 1
                else sha256("".join(hashes).encode()).hexdigest(),
                "fitted_until": later(*(info.fitted_until for info in infos)),
                "seen_until": later(*(info.seen_until for info in infos)),
            }
        )

    def _fit(self, data: Any, *, validation: Any, seed: int, run: Run) -> None:
        if self.config.weights == "fit" and validation is None:
            raise InvalidInputError("validation", 'is needed to fit the weights of weights="fit"')
        self.members = tuple(
            fit_member(fresh(m), data, validation=validation, seed=seed + k, run=run, name=f"member-{k}")
            for k, m in enumerate(self.members)
        )
        if self.config.weights == "fit":
            windows = self._weighing_windows(validation, fitted=data)
            targets, mask = windows.targets()
            parts = [predict_in_batches(member, windows) for member in self.members]
            self._weights = fit_weights(parts, targets, mask, seed=seed)

    def _weighing_windows(self, validation: Any, *, fitted: Any) -> Windows:
        if not isinstance(validation, Data):
            windows: Windows = validation
            return windows
        stride = max(1, len(validation.timeline) // _ORIGINS)
        windows = evaluation_windows(self.members, validation, horizon=self.config.horizon, stride=stride)
        kept = unseen(windows, fitted)
        if not len(kept):
            raise ShapeError("validation", "leaves windows to weigh members on after the rows fitted on")
        return kept

    def _predict(self, data: Any, *, horizon: int | None) -> Prediction:
        return self._pooled([m.predict(adapted(m, data), horizon=horizon) for m in self.members])

    def _predict_windows(self, windows: Any) -> Prediction:
        return self._pooled([m.predict_windows(adapted(m, windows)) for m in self.members])

    def _pooled(self, parts: Sequence[Prediction]) -> Prediction:
        assert self._weights is not None
        return pool(parts, self._weights)

    def _check_unseen(self, windows: Windows) -> None:
        for member in self.members:
            member._check_unseen(windows)

    def _context_rows(self, data: Any) -> int | None:
        return max((r for m in self.members if (r := m._context_rows(data)) is not None), default=None)

    def _least_rows(self, data: Any) -> int | None:
        return max((r for m in self.members if (r := m._least_rows(data)) is not None), default=None)

    def _reach(self, horizon: int | None) -> int | None:
        reaches = [reach for m in self.members if (reach := m._reach(horizon)) is not None]
        return max(reaches) if len(reaches) == len(self.members) else None

    def predict_uncertainty(
        self,
        data: Any,
        *,
        coverage: float = 0.9,
        kind: Literal["total", "aleatoric", "epistemic"] = "total",
    ) -> Uncertainty:
        """Mean, variance and central interval of `predict(data)`, [item, horizon, target].

        kind: "total", the whole distribution; "aleatoric", what members hold to be noise; "epistemic", how
        far their means lie apart. The intervals of the last two are those of a Gaussian of that variance.
        Raises CapabilityError for points and classes, which have no variance to take apart.
        """
        if kind not in ("total", "aleatoric", "epistemic"):
            raise InvalidInputError("kind", "is 'total', 'aleatoric' or 'epistemic'", got=repr(kind))
        prediction = self.predict(data)
        if not isinstance(prediction, ForecastPrediction) or "aleatoric_variance" not in prediction.aux:
            raise CapabilityError(f"{self.spec.id} of these members predicts no distribution over time")
        if kind == "total":
            lower, upper = prediction.interval(coverage)
            variance = prediction.variance()
        else:
            variance = prediction.aux[f"{kind}_variance"]
            half = NormalDist().inv_cdf(1 - tail_of(coverage)) * np.sqrt(variance)
            lower, upper = prediction.mean() - half, prediction.mean() + half
        return Uncertainty(
            mean=prediction.mean(),
            variance=variance,
            lower=lower,
            upper=upper,
            coverage=coverage,
            kind=kind,
        )

    def _state(self) -> State:
        packed = pack(self.members)
        return State(arrays={**packed.arrays, "weights": self.weights}, texts=packed.texts)

    def _load_state(self, state: State) -> None:
        weights = state.arrays["weights"]
        if weights.shape != (len(self.members),):
            raise ValueError(f"weights are of {weights.shape}, members {len(self.members)}")
        unpack(self.members, state)
        self._weights = weights
