"""Every route answers whatever it is sent, and never with a failure of the server."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

HERE = "/models/daily/predict"

JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=8),
        st.sampled_from([1e308, -1e30, 5e-324, 2**64, "2024-01-01T00:00:00Z", "h", "NaN", "daily", "s1"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)


def places(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of everything inside a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [here, *(path for key, each in inner for path in places(each, (*here, key)))]


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy with something else at a path."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(copy[path[0]], path[1:], new)
    return copy


SHORT = ["2024-01-01T00:00:00Z", "2024-01-01T01:00:00Z", "2024-01-01T02:00:00Z"]
VALID: dict[str, Any] = {
    HERE: {
        "context": {"target": [[1.0, 2.0, 4.0]]},
        "timestamps": SHORT,
        "item_ids": ["a"],
        "past_covariates": {},
        "freq": "h",
        "tz": "UTC",
        "horizon": 2,
        "quantile_levels": [0.1, 0.9],
    },
    "/v2/models/daily/infer": {
        "id": "1",
        "parameters": {"horizon": 2},
        "inputs": [
            {"name": "context.target", "shape": [1, 3], "datatype": "FP64", "data": [1.0, 2.0, None]},
            {"name": "timestamps", "shape": [3], "datatype": "BYTES", "data": SHORT},
        ],
        "outputs": [{"name": "mean"}],
    },
    "/v1/timeseries/forecast": {
        "model": "daily",
        "inputs": [
            {
                "type": "univariate_time_series",
                "name": "a",
                "series": [1.0, 2.0, None],
                "frequency": "H",
                "start_timestamp": "2024-01-01T00:00:00Z",
            }
        ],
        "options": {"horizon": 2, "quantiles": [0.5]},
        "metadata": {"any": ["thing"]},
    },
    "/streams/s2": {"model": "daily", "freq": "h", "item_ids": ["a"], "capacity": 10, "tz": "UTC"},
    "/streams/s1/append": {"timestamps": SHORT, "context": {"target": [[1.0, 2.0, 4.0]]}},
    "/streams/s1/predict": {"horizon": 2, "quantile_levels": [0.5]},
}
VALID["/models/daily/predict_batch"] = {"requests": [VALID[HERE], VALID[HERE]]}


FUNCTION_SCOPED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


def check(client: Any, path: str, data: st.DataObject) -> None:
    """Send a valid body with up to three changes."""
    for stream in ("s1", "s2"):
        client.ask("DELETE", f"/streams/{stream}")
    client.post("/streams/s1", {"model": "daily", "freq": "h", "capacity": 10})
    if path != "/streams/s1/append":
        client.post("/streams/s1/append", VALID["/streams/s1/append"])
    body = VALID[path]
    changes = data.draw(st.integers(0, 3))
    for _ in range(changes):
        body = changed(body, data.draw(st.sampled_from(places(body))), data.draw(JSON))
    text = json.dumps(body, ensure_ascii=data.draw(st.booleans())).encode("utf-8", "surrogatepass")
    answer = client.raw(path, text)
    assert answer.status_code in (200, 201, 404, 409, 422), answer.text
    json.loads(answer.text, parse_constant=lambda name: pytest.fail(f"{name} in {answer.text}"))
    if answer.status_code >= 400:
        assert changes
        assert answer.json()["error"]


@pytest.mark.parametrize("path", VALID)
@settings(max_examples=30, deadline=None, suppress_health_check=FUNCTION_SCOPED)
@given(data=st.data())
def test_whatever_is_sent_never_breaks_the_server(client: Any, path: str, data: st.DataObject) -> None:
    check(client, path, data)


@pytest.mark.slow
@pytest.mark.parametrize("path", VALID)
@settings(max_examples=2500, deadline=None, suppress_health_check=FUNCTION_SCOPED)
@given(data=st.data())
def test_much_of_whatever_never_breaks_the_server(client: Any, path: str, data: st.DataObject) -> None:
    check(client, path, data)


@pytest.mark.parametrize("path", VALID)
@settings(max_examples=15, deadline=None, suppress_health_check=FUNCTION_SCOPED)
@given(raw=st.binary(max_size=60))
def test_any_bytes_are_answered(client: Any, path: str, raw: bytes) -> None:
    assert client.raw(path, raw).status_code in (404, 422)
