"""A real server in a process of its own: the command, stopping under load, and bodies over a socket."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import forecast_core as fc

COMMAND = """
import sys
import typer
from forecast_core.cli import serving
from forecast_core.errors import ForecastError
app = typer.Typer()
app.callback()(lambda: None)
serving.add_to(app)
try:
    app(sys.argv[1:], standalone_mode=False)
except ForecastError as error:
    sys.exit(str(error))
"""


class Served:
    """A running `forecast serve`."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, "serve", *arguments, "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        )
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()
        found = re.search(r"http://[\w.]+:(\d+)", self.line)
        assert found, (self.line, self.process.stderr.read() if self.process.stderr else "")
        self.port = int(found[1])

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        with closing(self.connect()) as connection:
            connection.request(method, path, body, {"content-type": "application/json", **headers})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or "null")

    def stop(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGTERM)
        _, errors = self.process.communicate(timeout=30)
        return self.process.returncode, errors


@pytest.fixture
def start() -> Iterator[Callable[..., Served]]:
    """Starts servers; stops those that still run."""
    running: list[Served] = []

    def make(*arguments: str, **environment: str) -> Served:
        running.append(Served(*arguments, **environment))
        return running[-1]

    yield make
    for each in running:
        if each.process.poll() is None:
            each.process.kill()
        each.process.communicate()


def test_the_command_serves_says_where_and_stops_cleanly(
    start: Callable[..., Served], seasonal: Path, body: Any
) -> None:
    served = start(str(seasonal), f"again={seasonal}")
    assert served.line.startswith("serving daily, again on http://127.0.0.1:")
    status, answer = served.ask("POST", "/models/again/predict", json.dumps(body))
    assert status == 200
    assert len(answer["mean"]["target"]) == 2
    code, errors = served.stop()
    assert (code, errors) == (0, "")


def test_where_it_listens_is_told_to_programs_too(start: Callable[..., Served], seasonal: Path) -> None:
    served = start(str(seasonal), "--json")
    assert json.loads(served.line) == {"address": f"http://127.0.0.1:{served.port}", "models": ["daily"]}


def test_what_the_command_refuses(seasonal: Path) -> None:
    def refusal(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", COMMAND, "serve", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            env={k: v for k, v in os.environ.items() if k != "FORECAST_API_KEY"},
            check=False,
        )
        assert done.returncode == 1
        return done.stderr

    assert "host: is loopback, or an API key is set" in refusal(str(seasonal), "--host", "0.0.0.0")
    assert "distinct names" in refusal(str(seasonal), str(seasonal))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert "port: is free to listen on" in refusal(str(seasonal), "--port", str(taken.getsockname()[1]))


def test_no_accepted_request_is_lost_when_it_is_told_to_stop(
    start: Callable[..., Served], seasonal: Path, body: Any
) -> None:
    served = start(str(seasonal), FORECAST_API_KEY="a key of sixteen or more")
    text = json.dumps(body)
    headers = {"content-type": "application/json", "x-api-key": "a key of sixteen or more"}
    answered, told, lost = [0] * 8, [0] * 8, []

    def load(number: int) -> None:
        """Ask on one connection, as fast as it answers, until told to go elsewhere."""
        with closing(served.connect()) as connection:
            while not told[number]:
                try:
                    connection.request("POST", "/models/daily/predict", text, headers)
                    answer = connection.getresponse()
                    answer.read()
                except (OSError, http.client.HTTPException) as error:
                    lost.append(repr(error))
                    return
                answered[number] += answer.status == 200
                told[number] += answer.getheader("connection") == "close"

    threads = [threading.Thread(target=load, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    before = sum(answered)
    served.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert served.ask("GET", "/v2/health/ready")[0] == 503  # told to stop, but still answering
    assert served.ask("GET", "/v2/health/live")[0] == 200
    again = {**headers, "connection": "keep-alive"}
    assert served.ask("POST", "/models/daily/predict", text, **again)[0] == 200  # to those who come anew, too
    for thread in threads:
        thread.join(timeout=20)
    assert served.process.wait(timeout=20) == 0
    assert not lost
    assert told == [1] * 8
    assert sum(answered) > before > 0


def test_a_slow_request_in_work_is_finished(start: Callable[..., Served], seasonal: Path, body: Any) -> None:
    served = start(str(seasonal))
    connection = served.connect()
    text = json.dumps(body).encode()
    connection.putrequest("POST", "/models/daily/predict")
    connection.putheader("content-type", "application/json")
    connection.putheader("content-length", str(len(text)))
    connection.endheaders()
    connection.send(text[:100])
    time.sleep(0.2)
    served.process.send_signal(signal.SIGTERM)
    time.sleep(1.6)  # past draining: it takes no more, and waits for this one
    with pytest.raises(ConnectionError):
        served.connect().connect()
    connection.send(text[100:])
    with closing(connection), connection.getresponse() as answer:
        assert answer.status == 200
    assert served.process.wait(timeout=20) == 0


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(start: Callable[..., Served], seasonal: Path, second: int) -> None:
    served = start(str(seasonal))
    with closing(served.connect()) as connection:
        connection.putrequest("POST", "/models/daily/predict")
        connection.putheader("content-type", "application/json")
        connection.putheader("content-length", "1000")
        connection.endheaders(b"{")
        time.sleep(0.2)
        served.process.send_signal(signal.SIGTERM)
        time.sleep(1.6)  # past draining: it waits for the rest of the body
        served.process.send_signal(second)
        assert served.process.wait(timeout=5) == -second


def test_large_bodies_are_answered_over_a_socket(start: Callable[..., Served], seasonal: Path) -> None:
    served = start(str(seasonal))
    large = b" " * (40 * 2**20)
    assert served.ask("POST", "/models/daily/predict", large)[0] == 413
    chunks = (large[: 2**20] for _ in range(40))  # of unknown length
    assert served.ask("POST", "/models/daily/predict", chunks)[0] == 413
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as raw:
        raw.sendall(
            b"POST /models/daily/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 999999999999\r\nExpect: 100-continue\r\n\r\n"
        )
        assert raw.recv(100).startswith(b"HTTP/1.1 413")
    assert served.ask("POST", "/models/daily/predict", b"[" * 100_000)[0] == 422
    assert served.ask("GET", "/v2/health/live") == (200, {"live": True})


def test_a_new_artifact_is_served_without_a_pause(
    start: Callable[..., Served], seasonal: Path, body: Any
) -> None:
    served = start(str(seasonal), "--reload-seconds", "0.05")
    text = json.dumps({k: v for k, v in body.items() if k != "horizon"})
    seen = []
    for k in range(400):
        status, content = served.ask("POST", "/models/daily/predict", text)
        assert status == 200
        seen.append((content["model"]["version"], len(content["steps"])))
        if k == 50:
            fc.create_model("series/seasonal-naive", seasonality=24, horizon=9).save(seasonal)
        if len(set(seen)) == 2 and k > 100:
            break
    assert sorted(steps for _, steps in set(seen)) == [6, 9]
    assert [steps for _, steps in seen] == sorted(steps for _, steps in seen)  # and never back


def test_limits_of_the_command_are_those_of_the_server(monkeypatch, tmp_path):
    import forecast_core.serving as serving
    from forecast_core.cli.app import run

    asked = {}
    monkeypatch.setattr(serving, "serve", lambda sources, **options: asked.update(options))
    limits = ["--max-wait", "5", "--max-body", "1000", "--max-streams", "3"]
    assert run(["serve", str(tmp_path), *limits]) == 0
    found = asked["limits"]
    assert (found.max_wait, found.max_body, found.max_streams) == (5.0, 1000, 3)
