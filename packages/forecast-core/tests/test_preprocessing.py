"""Scalers: exact inverses, blind to what is missing, equal to scikit-learn where they overlap."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sklearn.preprocessing as reference
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

from forecast_core.errors import DataError, InvalidInputError, NotFittedError, ShapeError, UnknownIdError
from forecast_core.preprocessing import FeatureSelection, scaler, scaler_from_state, select_features

KINDS = ["identity", "standard", "min-max", "robust", "log"]
TABLES = hnp.arrays(
    np.float64, st.tuples(st.integers(2, 20), st.integers(1, 4)), elements=st.floats(0, 1e4, width=32)
)


@settings(max_examples=100, deadline=None)
@given(TABLES, st.sampled_from(KINDS), st.integers(0, 99), st.sampled_from([np.float32, np.float64]))
def test_inverse_undoes_transform_and_missing_values_stay(
    values: np.ndarray, kind: str, seed: int, dtype: Any
) -> None:
    values = values.astype(dtype)
    values[np.random.default_rng(seed).random(values.shape) < 0.3] = np.nan
    fitted = scaler(kind).fit(values)
    there = fitted.transform(values)
    assert there.dtype == values.dtype
    assert np.array_equal(np.isnan(there), np.isnan(values))
    tolerance = 1e-3 if dtype == np.float32 else 1e-9
    np.testing.assert_allclose(fitted.inverse(there), values, rtol=tolerance, atol=tolerance * 1e3)
    back = scaler_from_state(kind, fitted.state())
    np.testing.assert_array_equal(back.transform(values), there)


@settings(max_examples=60, deadline=None)
@given(TABLES, st.sampled_from(KINDS), st.integers(0, 99))
def test_what_is_masked_does_not_count(values: np.ndarray, kind: str, seed: int) -> None:
    mask = np.random.default_rng(seed).random(values.shape) < 0.6
    other = np.where(mask, values, values + 123.0)
    first, second = scaler(kind).fit(values, mask), scaler(kind).fit(other, mask)
    hidden = scaler(kind).fit(np.where(mask, values, np.nan))
    for name, array in first.state().items():
        np.testing.assert_array_equal(array, second.state()[name])
        np.testing.assert_array_equal(array, hidden.state()[name])


@pytest.mark.parametrize(
    ("kind", "theirs"),
    [
        ("standard", reference.StandardScaler()),
        ("min-max", reference.MinMaxScaler()),
        ("robust", reference.RobustScaler()),
    ],
)
def test_scalers_equal_scikit_learn_on_complete_data(kind: str, theirs: Any) -> None:
    rng = np.random.default_rng(0)
    train, test = rng.normal(5, 3, (200, 4)), rng.normal(5, 3, (50, 4))
    ours = scaler(kind).fit(train)
    before = {name: array.copy() for name, array in ours.state().items()}
    np.testing.assert_allclose(ours.transform(test), theirs.fit(train).transform(test), rtol=1e-10)
    for name, array in ours.state().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("kind", KINDS)
def test_constant_and_empty_columns_pass_without_blowing_up(kind: str) -> None:
    values = np.column_stack([np.full(10, 0.1 + 0.2), np.full(10, np.nan), np.arange(10.0)])
    fitted = scaler(kind).fit(values)
    assert np.isfinite(fitted.transform(np.full((1, 3), 2.0))).all()
    assert (fitted.state()["scale"][0, :2] == 1.0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_columns_are_scaled_apart_and_axes_can_be_joined(kind: str) -> None:
    values = np.random.default_rng(1).uniform(1, 9, (30, 3, 2))
    order = np.array([2, 0, 1])
    together = scaler(kind).fit(values).transform(values)[:, order]
    np.testing.assert_allclose(scaler(kind).fit(values[:, order]).transform(values[:, order]), together)
    assert scaler(kind).fit(values, axis=(0, 1)).state()["shift"].shape == (1, 1, 2)


def test_wrong_input_is_named() -> None:
    with pytest.raises(DataError, match=r"index \(1, 0\)"):
        scaler("standard").fit(np.array([[1.0], [np.inf]]))
    with pytest.raises(DataError, match="above -1"):
        scaler("log").fit(np.array([[1.0], [-1.0]]))
    with pytest.raises(ShapeError, match="mask"):
        scaler("robust").fit(np.zeros((3, 2)), np.ones(3, dtype=bool))
    with pytest.raises(ShapeError, match="broadcast"):
        scaler("robust").fit(np.zeros((3, 2))).transform(np.zeros((3, 5)))
    with pytest.raises(NotFittedError):
        scaler("standard").transform(np.zeros(3))
    with pytest.raises(UnknownIdError, match="did you mean 'standard'"):
        scaler("standart")


def test_the_forest_finds_the_features_that_matter_and_only_their_names_stay() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 5))
    target = 3.0 * features[:, 1] - 2.0 * features[:, 3] + 0.1 * rng.normal(size=300)
    features[rng.random(300) < 0.1, 0] = np.nan
    names = ["a", "b", "c", "d", "e"]
    found = select_features(features, target, names=names, n_features=2, n_estimators=30)
    assert found.names == ("b", "d")
    assert sum(found.importances.values()) == pytest.approx(1.0)
    assert FeatureSelection.model_validate_json(found.model_dump_json()) == found
    assert select_features(features, target, names=names, n_estimators=30).names == ("b", "d")
    classes = (target > 0).astype(int)
    assert set(
        select_features(
            features, classes, names=names, n_features=2, task="classification", n_estimators=30
        ).names
    ) == {"b", "d"}
    order = [3, 0, 2, 1, 4]
    permuted = select_features(
        features[:, order], target, names=[names[k] for k in order], n_features=2, n_estimators=30
    )
    assert set(permuted.names) == {"b", "d"}


def test_wrong_selections_are_refused() -> None:
    with pytest.raises(ShapeError, match="names"):
        select_features(np.zeros((5, 2)), np.zeros(5), names=["a", "a"])
    with pytest.raises(ShapeError, match="features"):
        select_features(np.zeros((5, 2)), np.zeros(4), names=["a", "b"])
    with pytest.raises(InvalidInputError, match="n_features"):
        select_features(np.zeros((5, 2)), np.zeros(5), names=["a", "b"], n_features=3)
    with pytest.raises(ShapeError, match="missing"):
        select_features(np.full((5, 2), np.nan), np.zeros(5), names=["a", "b"])
