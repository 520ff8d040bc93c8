"""Classification metrics agree with scikit-learn."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from sklearn import metrics as sk

from forecast_core.errors import InvalidInputError, MetricError, ShapeError
from forecast_core.metrics import by_horizon, by_item, evaluate_metrics
from forecast_core.prediction import ClassPrediction

SEEDS = st.integers(0, 2**31)
FEW = settings(max_examples=40, deadline=None)
ALL = ["accuracy", "precision", "recall", "f1", "mcc", "auc", "brier", "log_loss", "ece"]


def _case(seed: int, classes: int, *, rows: int = 40) -> tuple[ClassPrediction, np.ndarray]:
    rng = np.random.default_rng(seed)
    chances = rng.dirichlet(np.ones(classes), rows)
    probabilities = rng.multinomial(50, chances) / 50  # with ties, zeros and ones
    labels = rng.integers(0, classes, rows)
    labels[:classes] = np.arange(classes)
    names = tuple(f"class-{k}" for k in range(classes))
    ids = tuple(f"item-{k % 3}" for k in range(rows))
    return ClassPrediction(probabilities=probabilities, classes=names, item_ids=ids), labels


@FEW
@given(seed=SEEDS, classes=st.integers(2, 5))
def test_class_metrics_agree_with_scikit_learn(seed: int, classes: int) -> None:
    p, labels = _case(seed, classes)
    ours = evaluate_metrics(p, labels, None, ALL)
    guess, probabilities = p.label_index(), p.probabilities
    average = {"average": "binary" if classes == 2 else "macro", "zero_division": 0}
    assert ours["accuracy"] == pytest.approx(sk.accuracy_score(labels, guess))
    assert ours["precision"] == pytest.approx(sk.precision_score(labels, guess, **average))
    assert ours["recall"] == pytest.approx(sk.recall_score(labels, guess, **average))
    assert ours["f1"] == pytest.approx(sk.f1_score(labels, guess, **average))
    assert ours["mcc"] == pytest.approx(sk.matthews_corrcoef(labels, guess), abs=1e-12)
    if classes == 2:
        assert ours["auc"] == pytest.approx(sk.roc_auc_score(labels, probabilities[:, 1]))
        assert ours["brier"] == pytest.approx(sk.brier_score_loss(labels, probabilities[:, 1]))
    else:
        assert ours["auc"] == pytest.approx(sk.roc_auc_score(labels, probabilities, multi_class="ovr"))
        assert ours["brier"] == pytest.approx(sk.brier_score_loss(labels, probabilities))
    assert ours["log_loss"] == pytest.approx(sk.log_loss(labels, probabilities), rel=1e-6)


@FEW
@given(seed=SEEDS, classes=st.integers(2, 4))
def test_class_metrics_agree_where_some_classes_never_occur(seed: int, classes: int) -> None:
    p, labels = _case(seed, classes)
    labels = np.minimum(labels, 1)
    sure = np.eye(classes)[np.minimum(p.label_index(), 1)]
    p = p.replace(probabilities=sure)
    names = ["precision", "recall", "f1", "mcc"]
    ours = evaluate_metrics(p, labels, None, names)
    guess = p.label_index()
    average = {"average": "binary" if classes == 2 else "macro", "zero_division": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = [
            sk.precision_score(labels, guess, **average),
            sk.recall_score(labels, guess, **average),
            sk.f1_score(labels, guess, **average),
            sk.matthews_corrcoef(labels, guess),
        ]
    assert list(ours.values()) == pytest.approx(theirs, abs=1e-12)


@FEW
@given(seed=SEEDS, classes=st.integers(2, 4), bins=st.integers(1, 20))
def test_ece_is_the_mean_gap_between_accuracy_and_confidence_of_a_bin(
    seed: int, classes: int, bins: int
) -> None:
    p, labels = _case(seed, classes)
    confidence, hit = p.probabilities.max(1), p.label_index() == labels
    expected = 0.0
    for k in range(bins):
        inside = (np.ceil(confidence * bins) - 1 == k) | ((confidence == 0) & (k == 0))
        if inside.any():
            expected += inside.mean() * abs(hit[inside].mean() - confidence[inside].mean())
    assert evaluate_metrics(p, labels, None, [f"ece@{bins}"])[f"ece@{bins}"] == pytest.approx(expected)


def test_a_perfect_and_a_reversed_classifier_have_the_textbook_scores() -> None:
    labels = np.array([0, 1, 1, 0])
    perfect = ClassPrediction(probabilities=np.eye(2)[labels], classes=("no", "yes"), item_ids=(0, 1, 2, 3))
    best = {"accuracy": 1, "precision": 1, "recall": 1, "f1": 1, "mcc": 1, "auc": 1, "brier": 0, "ece": 0}
    assert evaluate_metrics(perfect, labels, None, list(best)) == pytest.approx(best)
    worst = {"accuracy": 0, "precision": 0, "recall": 0, "f1": 0, "mcc": -1, "auc": 0, "brier": 1, "ece": 1}
    assert evaluate_metrics(perfect, 1 - labels, None, list(worst)) == pytest.approx(worst)
    assert np.isfinite(evaluate_metrics(perfect, 1 - labels, None, ["log_loss"])["log_loss"])


@FEW
@given(seed=SEEDS, classes=st.integers(2, 4))
def test_rows_that_are_masked_or_unlabelled_do_not_count(seed: int, classes: int) -> None:
    p, labels = _case(seed, classes)
    rng = np.random.default_rng(seed)
    kept = np.sort(rng.choice(len(p), 25, replace=False))
    mask = np.isin(np.arange(len(p)), kept)
    expected = evaluate_metrics(p.take(kept), labels[kept], None, ALL)
    spoiled = np.where(mask, labels, 99)
    assert evaluate_metrics(p, spoiled, mask, ALL) == pytest.approx(expected, nan_ok=True)
    unlabelled = np.where(mask, labels, np.nan)
    assert evaluate_metrics(p, unlabelled, None, ALL) == pytest.approx(expected, nan_ok=True)


@FEW
@given(seed=SEEDS)
def test_class_metrics_by_item_are_those_of_its_rows(seed: int) -> None:
    p, labels = _case(seed, 3)
    ours = by_item(p, labels, None, ["accuracy", "f1"])
    for item in ("item-0", "item-1", "item-2"):
        rows = np.array([i == item for i in p.item_ids])
        alone = evaluate_metrics(p.take(rows), labels[rows], None, ["accuracy", "f1"])
        assert {name: values[item] for name, values in ours.items()} == pytest.approx(alone)


def test_what_is_undefined_is_nan() -> None:
    p = ClassPrediction(
        probabilities=np.array([[0.3, 0.7], [0.6, 0.4]]), classes=("a", "b"), item_ids=("x", "y")
    )
    one_class = np.array([1, 1])
    assert np.isnan(evaluate_metrics(p, one_class, None, ["auc"])["auc"])
    nothing = evaluate_metrics(p, one_class, np.zeros(2, dtype=bool), ALL)
    assert np.isnan(list(nothing.values())).all()
    items = by_item(p, one_class, np.array([False, True]), ["accuracy"])["accuracy"]
    assert np.isnan(items["x"])
    assert items["y"] == 0.0


def test_wrong_labels_and_questions_are_typed_errors() -> None:
    p = ClassPrediction(
        probabilities=np.array([[0.3, 0.7], [0.6, 0.4]]), classes=("a", "b"), item_ids=("x", "y")
    )
    for wrong in ([0, 2], [0, -1], [0.0, 0.5]):
        with pytest.raises(InvalidInputError, match="row 1"):
            evaluate_metrics(p, np.array(wrong), None, ["accuracy"])
    with pytest.raises(ShapeError):
        evaluate_metrics(p, np.array([[0, 1]]), None, ["accuracy"])
    with pytest.raises(MetricError, match="forecasts"):
        evaluate_metrics(p, np.array([0, 1]), None, ["mae"])
    with pytest.raises(MetricError, match="steps"):
        by_horizon(p, np.array([0, 1]), None, ["accuracy"])
    with pytest.raises(MetricError, match="steps"):
        evaluate_metrics(p, np.array([0, 1]), None, ["accuracy@3"])
