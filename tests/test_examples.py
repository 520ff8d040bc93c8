"""Every example runs to its end without data, and writes under `runs` alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


ENDS = {
    "pedestrians.py": "report: runs/demo/report.html",
    "roadwork.py": "model and pictures in runs/roadwork",
    "stocks.py": "NASDAQ after 2018-12-31",
    "traffic_network.py": "report: runs/traffic/report.html",
    "trajectories.py": "report: runs/trajectories/report.html",
    "web_requests.py": "serve it with: forecast serve runs/web-requests",
}


def test_no_example_is_left_out() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(ENDS)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ENDS))
def test_it_runs_to_its_end(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert ENDS[name] in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
