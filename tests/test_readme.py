"""The README is true: its Python runs as written, its commands and links exist."""

from __future__ import annotations

import pkgutil
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_python_of_the_readme_runs_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert blocks
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert (tmp_path / "report.html").stat().st_size > 10_000
    result = names["result"]
    assert {s.label for s in result.scores} == {"timeseries/lstm", "series/seasonal-naive"}  # type: ignore[attr-defined]


def test_the_python_of_the_evaluation_guide_runs_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    guide = (ROOT / "docs" / "evaluation.md").read_text()
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", guide, flags=re.DOTALL):
        exec(compile(block, "evaluation.md", "exec"), names)
    assert len(names["result"].significance) == 1  # type: ignore[attr-defined]
    assert (tmp_path / "comparison.html").stat().st_size > 10_000


def test_links_of_the_documents_exist() -> None:
    for document in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text()):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_names_of_the_documents_exist() -> None:
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *ROOT.glob("packages/*/README.md")]:
        for name in re.findall(r"`(forecast_\w+(?:\.\w+)+)", document.read_text()):
            try:
                pkgutil.resolve_name(name)
            except (ImportError, AttributeError) as error:
                pytest.fail(f"{document.name}: {name}: {error}")


def test_make_targets_of_the_documents_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for document in [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]:
        named = set(re.findall(r"`make ([a-z]+)", document.read_text()))
        assert named <= targets, f"{document.name}: {named - targets}"
