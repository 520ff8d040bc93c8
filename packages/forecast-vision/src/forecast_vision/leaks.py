"""Whether metadata alone gives the label away, as it does where texts exist only for positives."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from forecast_core.errors import InvalidInputError
from forecast_vision.metadata.encoding import Vocabulary, encode
from forecast_vision.metadata.record import Metadata
from forecast_vision.samples import seed_of

__all__ = ["LEAK_AUC", "MetadataLeakWarning", "metadata_auc", "warn_of_leak"]

LEAK_AUC = 0.9
_FOLDS = 5
_WAVES = (0, 32, 64, 96)  # where sines and cosines of latitude and longitude begin
_COARSE = 20  # of their 32 wavelengths: down to half a degree


class MetadataLeakWarning(UserWarning):
    """Metadata alone all but tells the label."""


def metadata_auc(
    records: Sequence[Metadata],
    labels: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    text_fields: Sequence[str] = (),
    seed: int = 0,
) -> float | None:
    """AUC of a logistic regression on metadata alone, on photos it was not fitted on; None where it cannot
    be told.

    labels: 0 or 1, [n]; groups [n] stay together in one of 5 folds. It sees what a model with these
    text_fields would see: which fields are there, their values, the position, the text. The better of it and
    of the single fields' presence counts, so that a field that exists for one class only is found whatever
    the regression makes of it.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    labels, seed = np.asarray(labels), seed_of(seed)
    if labels.shape != (len(records),):
        raise InvalidInputError("labels", f"are one a record ({len(records)})", got=labels.shape)
    groups = np.arange(len(records)) if groups is None else groups
    least = min(len(np.unique(groups[labels == k])) for k in (0, 1))
    features = _features(records, text_fields)
    varies = features.std(0) > 0
    if least < _FOLDS or not varies.any():
        return None
    scores = np.empty(len(records))
    splitter = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=seed)
    for train, test in splitter.split(features, labels, groups):
        if len(np.unique(labels[train])) < 2:
            return None
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
        probe.fit(features[train][:, varies], labels[train])
        scores[test] = probe.decision_function(features[test][:, varies])
    present = features[:, : _presence(text_fields)].T
    return max(_auc(labels, scores), *(abs(_auc(labels, p) - 0.5) + 0.5 for p in present))


def warn_of_leak(auc: float | None) -> None:
    """MetadataLeakWarning where the AUC is above 0.9."""
    if auc is not None and auc > LEAK_AUC:
        warnings.warn(
            f"metadata alone tells the label with an AUC of {auc:.2f} on photos not fitted on: the model may "
            "learn how the data was collected instead of what a photo shows; leave such fields out",
            MetadataLeakWarning,
            stacklevel=3,
        )


def _presence(text_fields: Sequence[str]) -> int:
    return 5 if text_fields else 4


def _features(records: Sequence[Metadata], text_fields: Sequence[str]) -> np.ndarray:
    """Presence of each field first, then values, [n, feature]."""
    vocabulary = Vocabulary.fit(records, least=2)
    arrays = encode(records, vocabulary, text_fields=text_fields)
    columns = [arrays.located[:, None], arrays.codes > 0]
    if text_fields:
        columns.append(arrays.told[:, None])
    for k, size in enumerate(vocabulary.sizes()):
        columns.append(arrays.codes[:, k : k + 1] == np.arange(1, size))
    columns += [arrays.waves[:, start : start + _COARSE] for start in _WAVES]
    if text_fields:
        columns.append(arrays.texts)
    return np.concatenate([np.asarray(c, dtype=np.float64) for c in columns], axis=1)


def _auc(labels: np.ndarray, scores: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels, scores))
