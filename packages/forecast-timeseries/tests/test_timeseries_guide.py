"""The guide is true: its Python runs as written."""

from __future__ import annotations

import re
from pathlib import Path

GUIDE = Path(__file__).parents[3] / "docs" / "timeseries.md"


def test_the_python_of_the_guide_runs_as_written() -> None:
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", GUIDE.read_text(), flags=re.DOTALL):
        exec(compile(block, GUIDE.name, "exec"), names)
    scores = names["history"].scores()  # type: ignore[attr-defined]
    assert scores.observed > 500
    assert 0.8 < scores.coverage < 1.0
