"""Metadata: every format of the exports is read or refused by name, and nothing in it is ever run."""

from __future__ import annotations

import contextlib
import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from forecast_core.errors import DataError, InvalidInputError
from forecast_vision import Metadata, MetadataLeakWarning, metadata_auc, parse_metadata
from forecast_vision.leaks import warn_of_leak
from forecast_vision.metadata import FIELDS
from forecast_vision.metadata.encoding import NULL, UNKNOWN, Vocabulary, encode, gps_waves

WHOLE = {
    "gps": "[39.77, -86.18]",
    "city": "Indianapolis",
    "video_id": "v-1",
    "scene_level_tags": {
        "weather": "['Sunny']",
        "daytime": "Light",
        "scene_environment": "['Suburban']",
        "scene_description": "Cones on the right lane",
        "travel_alteration": "['Lane closed', 'Detour']",
    },
}
READ = Metadata(
    gps=(39.77, -86.18),
    city="Indianapolis",
    video_id="v-1",
    weather="Sunny",
    daytime="Light",
    scene_environment="Suburban",
    scene_description="Cones on the right lane",
    travel_alteration="Detour / Lane closed",
)


def test_nested_flat_and_aliased_records_say_the_same() -> None:
    nested = dict(WHOLE["scene_level_tags"])  # type: ignore[call-overload]
    rest = {k: v for k, v in WHOLE.items() if k != "scene_level_tags"}
    flat = {**rest, **{f"scene_level_tags.{k}": v for k, v in nested.items()}}
    short = {
        **rest,
        "weather": nested["weather"],
        "time": nested["daytime"],
        "environment": nested["scene_environment"],
        "description": nested["scene_description"],
        "alteration": nested["travel_alteration"],
    }
    as_text = {**rest, "scene_level_tags": str(nested)}
    for record in (WHOLE, flat, short, as_text, {**WHOLE, "image_path": "a.jpg", "id": 7}):
        assert parse_metadata(record) == READ


@pytest.mark.parametrize(
    "gps",
    [
        "[39.77, -86.18]",
        "(39.77, -86.18)",
        "39.77, -86.18",
        [39.77, -86.18],
        (39.77, -86.18),
        np.array([39.77, -86.18]),
    ],
)
def test_positions_in_every_format(gps: Any) -> None:
    assert parse_metadata({"gps": gps}).gps == (39.77, -86.18)


@pytest.mark.parametrize("gps", [None, "null", "None", "", "[]", float("nan"), [], [None, None], "nan"])
def test_positions_that_say_nothing(gps: Any) -> None:
    assert parse_metadata({"gps": gps}).gps is None


def test_the_origin_is_a_place_and_no_missing_value() -> None:
    assert parse_metadata({"gps": "(0, 0)"}).gps == (0.0, 0.0)


@pytest.mark.parametrize(
    ("weather", "expected"),
    [
        ("['Sunny']", "Sunny"),
        ("Sunny", "Sunny"),
        (["Sunny"], "Sunny"),
        ('["Partly Cloudy"]', "Partly Cloudy"),
        ("  Partly   Cloudy ", "Partly Cloudy"),
        ("['Rain', 'Fog']", "Fog / Rain"),
        ("['None', 'Rain']", "Rain"),
        ("[]", None),
        ("['None']", None),
        ("None", None),
        ("null", None),
        ("", None),
        (None, None),
        (float("nan"), None),
        ([], None),
        ([None], None),
        ("[None]", None),
    ],
)
def test_texts_in_every_format(weather: Any, expected: str | None) -> None:
    assert parse_metadata({"weather": weather}).weather == expected


@pytest.mark.parametrize(
    ("record", "field"),
    [
        ({"gps": "[91.0, 0.0]"}, "gps"),
        ({"gps": [0.0, 180.5]}, "gps"),
        ({"gps": "[1.0]"}, "gps"),
        ({"gps": "[1.0, 2.0, 3.0]"}, "gps"),
        ({"gps": "['a', 'b']"}, "gps"),
        ({"gps": "[NaN, 1.0]"}, "gps"),
        ({"gps": [float("inf"), 1.0]}, "gps"),
        ({"gps": "{'lat': 1}"}, "gps"),
        ({"gps": [True, False]}, "gps"),
        ({"gps": 5.0}, "gps"),
        ({"gps": [1.0, None]}, "gps"),
        ({"gps": "[" * 5000}, "gps"),
        ({"gps": "__import__('os').system('true')"}, "gps"),
        ({"weather": "[__import__('os').getcwd()]"}, "weather"),
        ({"weather": 5}, "weather"),
        ({"weather": [3]}, "weather"),
        ({"weather": "[1 + 1]"}, "weather"),
        ({"weather": "x" * 30_000}, "weather"),
        ({"weather": "[" + "[" * 3000 + "]" * 3001}, "weather"),
        ({"time": {"a": 1}}, "time"),
        ({"weather": "Rain", "scene_level_tags": {"weather": "Sunny"}}, "weather"),
        ({"scene_level_tags": "no mapping"}, "scene_level_tags"),
        ({"scene_level_tags": [1]}, "scene_level_tags"),
        ("text", "record"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_field(record: Any, field: str) -> None:
    with pytest.raises(DataError, match=field):
        parse_metadata(record)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from([*FIELDS, "time", "scene_level_tags"]), json_values, max_size=4))
def test_anything_is_read_or_refused(record: dict[str, Any]) -> None:
    with contextlib.suppress(DataError):
        assert isinstance(parse_metadata(record), Metadata)


def test_any_subset_of_fields_may_be_missing() -> None:
    vocabulary = Vocabulary.fit([READ])
    for size in range(len(FIELDS) + 1):
        for kept in itertools.combinations(FIELDS, size):
            record = Metadata(**{name: getattr(READ, name) for name in kept})
            arrays = encode([record], vocabulary)
            assert all(np.isfinite(a).all() for a in arrays)
            assert arrays.located[0] == ("gps" in kept)
            assert not arrays.told[0]  # texts are off unless asked for
            assert arrays.codes[0].tolist() == [
                2 if f in kept else NULL for f in ("weather", "daytime", "scene_environment")
            ]


def test_values_unseen_in_training_are_unknown_and_case_does_not_matter() -> None:
    vocabulary = Vocabulary.fit([Metadata(weather="Sunny"), Metadata(weather="Rain"), Metadata()])
    records = [Metadata(weather=w) for w in ("sunny", "RAIN", "Snow", None)]
    assert vocabulary.codes(records)[:, 0].tolist() == [3, 2, UNKNOWN, NULL]
    assert Vocabulary.from_json(vocabulary.to_json()) == vocabulary
    assert vocabulary.sizes() == (4, 2, 2)


def test_gps_waves_tell_near_places_apart_and_far_ones_on_both_axes() -> None:
    places = np.array([[39.77, -86.18], [39.77, -86.1799], [39.7701, -86.18], [np.nan, np.nan]])
    waves = gps_waves(places)
    assert waves.shape == (4, 128)
    assert np.abs(waves[0] - waves[1]).max() > 0.05
    assert np.abs(waves[0] - waves[2]).max() > 0.05
    assert (waves[3] == 0).all()
    np.testing.assert_allclose(gps_waves(np.array([[10.0, -180.0]])), gps_waves(np.array([[10.0, -180.0]])))
    longest = gps_waves(np.array([[0.0, 180.0], [0.0, -180.0]]))[:, [64, 96]]
    np.testing.assert_allclose(longest[0], longest[1], atol=1e-6)


def test_equal_texts_have_equal_unit_vectors_whatever_they_are_batched_with() -> None:
    from forecast_vision.metadata.text import embed_texts

    texts = [
        "Cones on the right lane",
        "A quiet street without any works and with a very long description",
        "cones",
    ]
    together = embed_texts([*texts, texts[0]])
    assert together.shape == (4, 384)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-5)
    np.testing.assert_array_equal(together[0], together[3])
    cones = embed_texts(["traffic cones block the lane"])[0]
    assert cones @ together[0] > cones @ together[1] + 0.2
    assert embed_texts([]).shape == (0, 384)
    arrays = encode([READ, Metadata()], Vocabulary.fit([READ]), text_fields=("scene_description",))
    np.testing.assert_allclose(arrays.texts[0], together[0], atol=1e-6)
    assert arrays.told.tolist() == [True, False]
    with pytest.raises(InvalidInputError, match="text_fields"):
        encode([READ], Vocabulary.fit([READ]), text_fields=("gps",))


def test_a_text_that_exists_for_positives_only_is_a_leak() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 80)
    weather = rng.choice(["Sunny", "Rain"], 80)
    planted = [
        Metadata(weather=str(w), scene_description="Road work ahead" if y else None)
        for w, y in zip(weather, labels, strict=True)
    ]
    honest = metadata_auc(planted, labels)  # the text is off
    assert honest is not None
    assert honest < 0.75
    warn_of_leak(honest)
    leaked = metadata_auc(planted, labels, text_fields=("scene_description",))
    assert leaked is not None
    assert leaked > 0.99
    with pytest.warns(MetadataLeakWarning, match="AUC of 1.00"):
        warn_of_leak(leaked)
    places = [Metadata(gps=(48.0 + y, 11.0 + 0.01 * k % 1)) for k, y in enumerate(labels)]
    by_place = metadata_auc(places, labels)
    assert by_place is not None
    assert by_place > 0.95


def test_where_metadata_can_tell_nothing_there_is_no_figure() -> None:
    labels = np.arange(20) % 2
    assert metadata_auc([Metadata()] * 20, labels) is None
    assert metadata_auc([Metadata(weather="Rain")] * 3 + [Metadata()] * 3, np.arange(6) % 2) is None
    warn_of_leak(None)
    with pytest.raises(InvalidInputError, match="labels"):
        metadata_auc([Metadata()], labels)
    with pytest.raises(InvalidInputError, match="seed: is a whole number in"):
        metadata_auc([Metadata()] * 20, labels, seed=-1)
