"""The normal distribution function agrees with scipy, everywhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats

from forecast_core import normal

NUMBERS = st.lists(st.floats(-37, 37), min_size=1, max_size=20).map(np.array)


@settings(max_examples=200, deadline=None)
@given(NUMBERS)
def test_cdf_and_pdf_are_scipys(z: np.ndarray) -> None:
    np.testing.assert_allclose(normal.cdf(z), stats.norm.cdf(z), rtol=3e-13, atol=0)
    np.testing.assert_allclose(normal.pdf(z), stats.norm.pdf(z), rtol=3e-13, atol=0)


# computed with 40 digits
@pytest.mark.parametrize(
    ("z", "p"),
    [
        (-36.5, 5.544725713074845e-292),
        (-25.25, 5.662814628323675e-141),
        (-10, 7.619853024160525e-24),
        (-5, 2.866515718791939e-07),
        (-1, 0.15865525393145705),
    ],
)
def test_lower_tail_keeps_its_relative_accuracy(z: float, p: float) -> None:
    assert normal.cdf(np.array(z)) == pytest.approx(p, rel=1e-13)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(allow_nan=False), min_size=2, max_size=9).map(lambda z: np.array(sorted(z))))
def test_cdf_is_a_probability_that_rises(z: np.ndarray) -> None:
    p = normal.cdf(z)
    assert ((p >= 0) & (p <= 1)).all()
    assert (np.diff(p) >= -2e-16).all()
    np.testing.assert_allclose(p + normal.cdf(-z), 1.0, rtol=1e-15)
    assert ((normal.pdf(z) >= 0) & (normal.pdf(z) < 0.4)).all()


@pytest.mark.parametrize(("z", "p"), [(-np.inf, 0.0), (-1e300, 0.0), (0.0, 0.5), (1e300, 1.0), (np.inf, 1.0)])
def test_cdf_reaches_its_ends(z: float, p: float) -> None:
    assert normal.cdf(np.array(z)) == pytest.approx(p, abs=1e-15)


def test_nan_stays_nan() -> None:
    assert np.isnan(normal.cdf(np.array([np.nan, 0.0]))).tolist() == [True, False]
    assert np.isnan(normal.pdf(np.array([np.nan, 0.0]))).tolist() == [True, False]
