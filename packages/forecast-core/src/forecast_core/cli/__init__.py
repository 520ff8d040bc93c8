"""The command line `forecast`; needs typer and rich."""

from __future__ import annotations

import sys
from importlib.util import find_spec

__all__ = ["main"]


def main() -> None:
    """Entry point of the `forecast` script: exit codes 0 done, 1 failed, 2 wrong usage."""
    missing = next((name for name in ("typer", "rich") if find_spec(name) is None), None)
    if missing is not None:
        sys.exit(f"forecast needs {missing}, which is not installed; run: pip install 'forecast-core[cli]'")
    from forecast_core.cli.app import run

    sys.exit(run(sys.argv[1:]))
