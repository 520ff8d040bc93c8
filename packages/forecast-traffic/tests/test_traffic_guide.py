"""The guide is true: its Python runs as written."""

from __future__ import annotations

import re
from pathlib import Path

GUIDE = Path(__file__).parents[3] / "docs" / "traffic.md"


def test_the_python_of_the_guide_runs_as_written() -> None:
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), flags=re.DOTALL)
    for block in blocks:
        exec(compile(block, GUIDE.name, "exec"), names)
    assert names["truth"].shape == names["result"].predictions["traffic/stmgt"].shape  # type: ignore[attr-defined]
    assert names["out"].shape == (6, 32, 64)  # type: ignore[attr-defined]
    assert names["looked"].shape[1] == 12  # type: ignore[attr-defined]
