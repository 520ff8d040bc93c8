"""What importing the core and listing models cost, beside importing the core's five dependencies.

Budgets: `import forecast_core` at most 1.5 times, listing all models at most 2 times the dependencies
alone; best of several fresh interpreters, taken in turn. Also: how much disk the core adds.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import forecast_core

ROUNDS = 9
CASES = {
    "five dependencies": "import numpy, pydantic, pluggy, safetensors.numpy, narwhals",
    "import forecast_core": "import forecast_core",
    "listing models": "import forecast_core; forecast_core.available_models()",
    "forecast models --json": "from forecast_core.cli.app import run; run(['models', '--json'])",
}


def seconds(code: str) -> float:
    """Time of one fresh interpreter's work, its start not counted."""
    timed = (
        "import sys, time, io; out, sys.stdout = sys.stdout, io.StringIO(); began = time.perf_counter(); "
        f"{code}; spent = time.perf_counter() - began; sys.stdout = out; print(spent)"
    )
    return float(
        subprocess.run([sys.executable, "-c", timed], capture_output=True, text=True, check=True).stdout
    )


def main() -> int:
    best = dict.fromkeys(CASES, float("inf"))
    for _ in range(ROUNDS):
        for name, code in CASES.items():
            best[name] = min(best[name], seconds(code))
    reference = best["five dependencies"]
    print(f"Python {sys.version.split()[0]}; best of {ROUNDS}")
    for name, value in best.items():
        print(f"{name:24} {value * 1e3:7.1f} ms, ratio {value / reference:.2f}")
    size = sum(f.stat().st_size for f in Path(forecast_core.__file__).parent.rglob("*.py"))
    print(f"forecast_core on disk: {size / 2**20:.2f} MB of sources")
    return (
        0
        if best["import forecast_core"] <= 1.5 * reference and best["listing models"] <= 2 * reference
        else 1
    )


if __name__ == "__main__":
    sys.exit(main())
