"""docs/hooks.md lists every hook with its exact signature, and no other."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from forecast_core import hookspecs
from forecast_core.conformance import CHECKS

DOCS = Path(__file__).parents[1] / "docs" / "hooks.md"
SECTION = re.compile(r"^### (\w+)\n\n```python\n(def .*)\n```\n\n(\S.*)$", re.MULTILINE)


def specified() -> dict[str, str]:
    """Hook -> signature as it stands in hookspecs.py."""
    found = {}
    for node in ast.parse(Path(hookspecs.__file__).read_text()).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("forecast_"):
            returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
            found[node.name] = f"def {node.name}({ast.unparse(node.args)}){returns}"
    return found


def test_every_hook_is_documented_with_its_exact_signature() -> None:
    documented = {name: signature for name, signature, _ in SECTION.findall(DOCS.read_text())}
    assert documented == specified()
    assert len(documented) >= 11


def test_examples_implement_hooks_as_they_are() -> None:
    signatures = {name: ast.parse(f"{text}: ...").body[0] for name, text in specified().items()}
    implemented = 0
    for block in re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL):
        if block.startswith("def "):
            continue
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.FunctionDef) and any(
                isinstance(d, ast.Name) and d.id == "hookimpl" for d in node.decorator_list
            ):
                spec = signatures[node.name]
                assert isinstance(spec, ast.FunctionDef)
                assert {a.arg for a in node.args.args} <= {a.arg for a in spec.args.args}
                implemented += 1
    assert implemented >= 5


def test_the_plugin_guide_lists_every_check() -> None:
    guide = (DOCS.parent / "write-a-plugin.md").read_text()
    listed = re.findall(r"^\| `(\w+)` \| (.*) \|$", guide[guide.index("| check |") :], re.MULTILINE)
    assert listed == [(check.name, check.summary.rstrip(".")) for check in CHECKS]
