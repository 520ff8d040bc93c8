"""Sampling by place: distances, clusters, weights that stay with their rows, and promises kept or refused."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from forecast_core.errors import DataError, InvalidInputError, ShapeError
from forecast_vision import GPSWeightedSampler, Metadata, Photo, PhotoSet, SamplingWarning
from forecast_vision.regions import cluster_centres, haversine

CITIES = {"Indianapolis": (39.768, -86.158), "Pittsburgh": (40.441, -79.996), "Auckland": (-36.848, 174.763)}


def around(name: str, count: int, spread: float = 0.05) -> np.ndarray:
    rng = np.random.default_rng(count)
    return np.array(CITIES[name]) + rng.normal(0, spread, (count, 2))


def test_distances_of_known_cities() -> None:
    indianapolis, pittsburgh, auckland = map(np.array, CITIES.values())
    assert haversine(indianapolis, pittsburgh) == pytest.approx(530, abs=5)
    assert haversine(indianapolis, auckland) == pytest.approx(13_160, abs=60)
    assert haversine(np.array([0.0, 179.9]), np.array([0.0, -179.9])) == pytest.approx(22.2, abs=0.1)


def test_clusters_of_known_cities_are_found() -> None:
    places = np.concatenate([around(name, 40) for name in CITIES])
    centres = cluster_centres(places)
    assert len(centres) == 3
    for city in CITIES.values():
        assert haversine(centres, np.array(city)).min() < 5
    across = np.array([[-17.0, 179.95], [-17.0, -179.95]] * 5)  # Fiji, on both sides of the date line
    (centre,) = cluster_centres(across)
    assert abs(centre[1]) > 179.9


def test_bands_of_distance_give_the_weights() -> None:
    home = np.array(CITIES["Indianapolis"])
    degrees = np.array([0.0, 0.4, 0.5, 1.7, 1.9, 4.4, 4.6, 30.0])
    places = np.stack([home[0] + degrees, np.full(8, home[1])], 1)
    places = np.concatenate([places, [[np.nan, np.nan]]])
    sampler = GPSWeightedSampler(places, home[None], min_share=None)
    assert sampler.weights.tolist() == [5, 5, 2.5, 2.5, 1, 1, 0.3, 0.3, 0.5]
    assert sampler.near.tolist() == [True, True, True] + [False] * 6


@settings(max_examples=60, deadline=None)
@given(missing=st.lists(st.booleans(), min_size=12, max_size=12), share=st.floats(0.01, 0.99))
def test_weights_stay_with_their_rows_and_the_share_is_met_or_warned_about(
    missing: list[bool], share: float
) -> None:
    degrees = np.linspace(0, 11, 12)[np.random.default_rng(1).permutation(12)]
    places = np.stack([degrees, np.zeros(12)], 1)
    places[missing] = np.nan
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sampler = GPSWeightedSampler(places, np.zeros((1, 2)), min_share=share)
    plain = GPSWeightedSampler(places, np.zeros((1, 2)), min_share=None)
    assert len(sampler.weights) == 12
    assert (plain.weights[np.array(missing)] == 0.5).all()
    expected = np.select([degrees < 0.4, degrees < 1.7, degrees < 4.4], [5, 2.5, 1.0], 0.3)
    np.testing.assert_array_equal(plain.weights[~np.array(missing)], expected[~np.array(missing)])
    warned = any(issubclass(w.category, SamplingWarning) for w in caught)
    assert warned == (sampler.near_share < share - 1e-9)
    assert sampler.near_share >= plain.near_share - 1e-12


def test_what_is_drawn_has_the_promised_share_and_repeats() -> None:
    training = np.concatenate([around("Indianapolis", 20), around("Auckland", 180), np.full((50, 2), np.nan)])
    sampler = GPSWeightedSampler(training, around("Indianapolis", 30), min_share=0.7)
    assert sampler.near_share == pytest.approx(0.7)
    drawn = np.array(list(sampler.sampler(20_000, seed=1)))
    assert sampler.near[drawn].mean() == pytest.approx(0.7, abs=0.02)
    assert drawn.tolist() == list(sampler.sampler(20_000, seed=1))
    photos = PhotoSet(
        [
            Photo(np.zeros((4, 4), np.uint8), True, Metadata(gps=(float(a), float(b))))
            for a, b in training[:200]
        ]
    )
    again = GPSWeightedSampler(photos, around("Indianapolis", 30), min_share=None)
    assert (again.weights[:20] == 5).all()


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"training": np.zeros((3, 3))}, ShapeError, "training"),
        ({"training": np.array([[95.0, 0.0]])}, DataError, "training at 0"),
        ({"training": np.array([[np.nan, 0.0]])}, DataError, "NaN in both"),
        ({"target": np.full((2, 2), np.nan)}, InvalidInputError, "known place"),
        ({"bands": ((50.0, 1.0),)}, InvalidInputError, "infinity"),
        ({"bands": ((50.0, 1.0), (20.0, 1.0), (np.inf, 1.0))}, InvalidInputError, "rise"),
        ({"bands": ((50.0, -1.0), (np.inf, 1.0))}, InvalidInputError, "negative"),
        ({"bands": ((np.nan, 1.0), (np.inf, 1.0))}, InvalidInputError, "rise"),
        ({"bands": (50.0, np.inf)}, ShapeError, "bands: are pairs"),
        ({"training": np.array([["a", "b"]])}, DataError, "training: holds numbers"),
        ({"near_km": np.nan}, InvalidInputError, "near_km"),
        ({"seed": -1}, InvalidInputError, "seed: is a whole number in"),
        ({"min_share": 1.0}, InvalidInputError, "min_share"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        GPSWeightedSampler(**{"training": np.zeros((3, 2)), "target": np.zeros((1, 2)), **arguments})


def test_a_seed_of_draws_is_checked() -> None:
    sampler = GPSWeightedSampler(np.zeros((3, 2)), np.zeros((1, 2)))
    with pytest.raises(InvalidInputError, match="seed: is a whole number in"):
        sampler.sampler(3, seed=1.5)  # type: ignore[arg-type]
