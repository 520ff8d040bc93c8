"""Who may ask: keys, loopback, and the host a server is addressed by."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from forecast_core.errors import ConfigError
from forecast_core.serving import ApiKeys, DirectorySource, serve
from forecast_core.serving.security import check_binding, is_loopback

KEY, NEXT = "a key of sixteen or more", "another one, to change over"


@pytest.fixture
def locked(opened: Callable[..., Any], seasonal: Path) -> Any:
    """A server that asks for a key."""
    return opened(seasonal, keys=ApiKeys([KEY, NEXT]), local=False)


def test_every_route_but_probes_asks_for_a_key(locked: Any) -> None:
    for path in ("/models", "/v2", "/v2/models/daily", "/metrics", "/openapi.json", "/nowhere", "/streams/s"):
        answer = locked.get(path)
        assert answer.status_code == 401, path
        assert answer.headers["www-authenticate"] == "Bearer"
    for path in ("/models/daily/predict", "/v2/models/daily/infer", "/v1/timeseries/forecast", "/streams/s"):
        assert locked.post(path, {}).status_code == 401
    assert locked.get("/v2/health/live").status_code == 200
    assert locked.get("/v2/health/ready").status_code == 200


@pytest.mark.parametrize("key", [KEY, NEXT])
def test_a_key_is_taken_from_either_header(locked: Any, key: str) -> None:
    for headers in (
        {"x-api-key": key},
        {"authorization": f"Bearer {key}"},
        {"authorization": f"bearer {key}"},
    ):
        assert locked.get("/models", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"x-api-key": KEY[:-1]},
        {"x-api-key": KEY + "x"},
        {"x-api-key": ""},
        {"x-api-key": "\xff\xfe"},
        {"authorization": KEY},
        {"authorization": f"Basic {KEY}"},
        {"authorization": "Bearer"},
    ],
)
def test_anything_else_is_not_a_key(locked: Any, headers: dict[str, str]) -> None:
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}
    assert locked.get("/models", headers=encoded).status_code == 401


@given(st.binary(max_size=40))
def test_only_keys_are_accepted(key: bytes) -> None:
    assert ApiKeys([KEY]).accept(key) == (key == KEY.encode())


def test_errors_of_keys_have_the_protocols_form(locked: Any) -> None:
    assert isinstance(locked.get("/v2").json()["error"], str)
    assert locked.get("/v1/timeseries/models").json()["error"]["code"] == "401"


def test_keys_come_from_a_file_or_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"{KEY}\n\n{NEXT}\n")
    keys = ApiKeys.find(file, environment={})
    assert keys is not None
    assert keys.accept(NEXT.encode())
    alone = ApiKeys.find(environment={"FORECAST_API_KEY": KEY})
    assert alone is not None
    assert alone.accept(KEY.encode())
    assert ApiKeys.find(environment={}) is None
    for text in ("", "short\n"):
        file.write_text(text)
        with pytest.raises(ConfigError, match="at least 16 characters"):
            ApiKeys.find(file)
    with pytest.raises(ConfigError, match="readable"):
        ApiKeys.find(tmp_path / "none")
    with pytest.raises(ConfigError, match="16"):
        ApiKeys.find(environment={"FORECAST_API_KEY": ""})


def test_keys_show_nothing_of_themselves() -> None:
    keys = ApiKeys([KEY])
    assert KEY not in repr(keys) + repr(vars(keys))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "[::1]", "localhost", "LOCALHOST"])
def test_loopback_needs_no_key(host: str) -> None:
    assert is_loopback(host)
    check_binding(host, None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org", "127.0.0.1.example.org", ""])
def test_other_interfaces_need_a_key_or_an_order(host: str, seasonal: Path) -> None:
    with pytest.raises(ConfigError, match="FORECAST_API_KEY"):
        serve({"daily": DirectorySource(seasonal)}, host=host, port=0)
    check_binding(host, ApiKeys([KEY]))
    check_binding(host, None, insecure=True)


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "localhost:1", "[::1]:8080", "[::1]"])
def test_a_local_server_answers_to_its_own_names(client: Any, host: str) -> None:
    assert client.get("/models", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "10.0.0.1"])
def test_a_local_server_answers_to_no_other_name(client: Any, host: str) -> None:
    answer = client.get("/models", headers={"host": host})
    assert answer.status_code == 421
    assert answer.json()["error"]["type"] == "WrongHostError"


def test_pages_of_other_origins_get_no_permission(client: Any, body: Any) -> None:
    answer = client.post("/models/daily/predict", body, headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in answer.headers
    preflight = client.ask("OPTIONS", "/models/daily/predict", headers={"origin": "https://evil.example"})
    assert preflight.status_code == 405
