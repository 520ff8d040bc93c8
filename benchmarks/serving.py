"""`forecast serve` under load from another process, on loopback.

Steady: 32 clients that keep their connections send 100 requests a second between them, at random times;
latency counts from the moment a request was due, so that a late answer cannot delay the next request
unseen. Wanted: no error, p99 below 100 ms. Overload: the rate is raised until p99 passes 100 ms or a
hundredth is refused, and three times that is sent; wanted: refusals are 503 with Retry-After, and p99 at
the steady rate is below 100 ms again within 5 s. Streams: 1,000 of them, a row appended to each and
each predicted, in this process; wanted: below 1 s.

    python benchmarks/serving.py [ARTIFACT --body BODY.json] [--seconds 30 | --long]

Without an artifact a `series/seasonal-naive` is served 168 hours at a time. --long keeps the steady load up
for ten minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np

import forecast_core as fc
from forecast_core.series.sample import sample_panel
from forecast_core.series.stream import Stream
from forecast_core.serving.answers import iso

CLIENTS, RATE, HORIZON, CONTEXT, LIMIT = 32, 100.0, 24, 168, 0.1
MOST_CONNECTIONS = 1000

SERVE = """
import sys, typer
from forecast_core.cli import serving
app = typer.Typer()
app.callback()(lambda: None)
serving.add_to(app)
app(["serve", sys.argv[1], "--port", "0"])
"""


class Load(NamedTuple):
    """What came of a load: seconds from due to answered, by status; 0 stands for a broken connection."""

    seconds: dict[int, np.ndarray]
    retry_after: bool  # every 503 said when to come back

    @property
    def answered(self) -> np.ndarray:
        """Seconds of what was answered with 200."""
        return self.seconds.get(200, np.zeros(0))

    def p(self, percent: float) -> float:
        """A percentile of those, in seconds."""
        return float(np.percentile(self.answered, percent)) if len(self.answered) else float("inf")

    def share(self, status: int) -> float:
        """Share of all requests that ended in a status."""
        return len(self.seconds.get(status, ())) / max(sum(map(len, self.seconds.values())), 1)

    def __str__(self) -> str:
        counts = ", ".join(f"{len(v)} x {k or 'broken'}" for k, v in sorted(self.seconds.items()))
        worst = self.answered.max() * 1e3 if len(self.answered) else float("nan")
        return f"{counts}; p50 {self.p(50) * 1e3:.1f} ms, p99 {self.p(99) * 1e3:.1f} ms, worst {worst:.1f} ms"


class Clients:
    """Connections that are kept; each request takes a free one or opens another, up to a number."""

    def __init__(self, port: int, path: str, body: bytes, *, connections: int) -> None:
        self._port = port
        self._request = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        self._free: deque[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = deque()
        self._room = asyncio.Semaphore(connections)

    async def ask(self) -> tuple[int, bool]:
        """Status, and whether a Retry-After came with it."""
        async with self._room:
            try:
                while self._free:
                    reader, writer = self._free.popleft()
                    if not reader.at_eof():  # the server may close what nobody uses
                        break
                    writer.close()
                else:
                    reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                writer.write(self._request)
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
                await reader.readexactly(int(length[1]) if length else 0)
            except (OSError, asyncio.IncompleteReadError):
                return 0, False
            self._free.append((reader, writer))
            return int(head[9:12]), b"retry-after:" in head.lower()

    async def load(self, rate: float, seconds: float, *, seed: int = 0) -> Load:
        """Requests at random times, `rate` a second on average."""
        rng, begun = random.Random(seed), time.perf_counter()
        due, tasks = 0.0, []
        outcomes: list[tuple[int, float, bool]] = []

        async def one(at: float) -> None:
            status, retry = await self.ask()
            outcomes.append((status, time.perf_counter() - begun - at, retry))

        while (due := due + rng.expovariate(rate)) < seconds:
            wait = begun + due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            tasks.append(asyncio.create_task(one(due)))
        await asyncio.gather(*tasks)
        statuses = Counter(status for status, _, _ in outcomes)
        return Load(
            {k: np.array([took for status, took, _ in outcomes if status == k]) for k in statuses},
            all(retry for status, _, retry in outcomes if status == 503),
        )


async def measure(port: int, path: str, body: bytes, *, seconds: float) -> bool:
    clients = Clients(port, path, body, connections=CLIENTS)
    await clients.load(RATE, 2.0)  # imports and caches
    steady = await clients.load(RATE, seconds, seed=1)
    print(f"steady, {CLIENTS} clients, {RATE:g} requests/s for {seconds:g} s: {steady}")
    ok = set(steady.seconds) == {200} and steady.p(99) < LIMIT

    many = Clients(port, path, body, connections=MOST_CONNECTIONS)
    rate = RATE
    while True:
        stage = await many.load(rate, 4.0, seed=2)
        print(f"  {rate:6.0f} requests/s: {stage}")
        if stage.p(99) > LIMIT or stage.share(503) > 0.01 or rate > 20_000:
            break
        rate *= 1.3
    print(f"capacity: about {rate:.0f} requests/s")
    await asyncio.sleep(2.0)
    over = await many.load(3.0 * rate, 8.0, seed=3)
    print(f"overload, {3 * rate:.0f} requests/s: {over}; Retry-After on every 503: {over.retry_after}")
    ok &= set(over.seconds) <= {200, 503} and 503 in over.seconds and over.retry_after
    ended, recovered = time.perf_counter(), float("inf")
    for second in range(10):
        after = await clients.load(RATE, 1.0, seed=10 + second)
        if set(after.seconds) == {200} and after.p(99) < LIMIT:
            recovered = time.perf_counter() - ended
            break
    print(
        f"recovery: a second at {RATE:g} requests/s without error and p99 < 100 ms, after {recovered:.1f} s"
    )
    return ok and recovered < 5.0


def streams() -> bool:
    panel = sample_panel(rows=CONTEXT + 5, items=1)
    model = fc.create_model("series/seasonal-naive", seasonality=24, horizon=6)
    kept = [Stream(item_ids=[k], freq="h", capacity=CONTEXT) for k in range(1000)]
    for stream in kept:
        stream.append(panel.timestamps[:CONTEXT], panel.values[:CONTEXT])
    best = float("inf")
    for row in range(CONTEXT, CONTEXT + 5):
        began = time.perf_counter()
        for stream in kept:
            stream.append(panel.timestamps[row : row + 1], panel.values[row : row + 1])
            model.predict(stream.panel())
        best = min(best, time.perf_counter() - began)
    print(f"1,000 streams of {CONTEXT} rows, a row appended and a prediction each: {best:.3f} s (wanted < 1)")
    return best < 1.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("artifact", nargs="?", help="folder of a saved model; default: series/seasonal-naive")
    parser.add_argument("--body", type=Path, help="body of a request to the model of the artifact")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--long", action="store_true", help="ten minutes of steady load")
    options = parser.parse_args()
    names = ("forecast-core", "fastapi", "uvicorn", "numpy")
    print(
        f"Python {platform.python_version()}, {os.cpu_count()} cores, "
        + ", ".join(f"{name} {version(name)}" for name in names)
    )
    with tempfile.TemporaryDirectory() as folder:
        artifact = Path(options.artifact) if options.artifact else Path(folder) / "daily"
        if options.artifact:
            body = options.body.read_bytes()
        else:
            fc.create_model("series/seasonal-naive", seasonality=24, horizon=HORIZON).save(artifact)
            panel = sample_panel(rows=CONTEXT, items=1)
            context = {"target": panel.values[..., 0].T.tolist()}
            body = json.dumps(
                {"context": context, "timestamps": iso(panel.timestamps), "horizon": HORIZON}
            ).encode()
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(artifact)], stdout=subprocess.PIPE, text=True
        )
        try:
            line = process.stdout.readline() if process.stdout else ""
            found = re.search(r"serving (\S+) on http://[\d.]+:(\d+)", line)
            assert found, line
            path = f"/models/{found[1]}/predict"
            seconds = 600.0 if options.long else options.seconds
            ok = asyncio.run(measure(int(found[2]), path, body, seconds=seconds))
        finally:
            process.terminate()
            code = process.wait(timeout=60)
    print(f"stopped with exit code {code}")
    ok &= streams()
    return 0 if ok and code == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
