"""The model card of an exported folder."""

from __future__ import annotations

import json

from pydantic import JsonValue

from forecast_core import registry
from forecast_core.exporting.describing import Subject
from forecast_core.exporting.tables import table

__all__ = ["model_card"]

_LONGEST = 300  # characters of a cell

_MIND = """\
- It knows the columns and the frequency of its training data; numbers outside the ranges above are outside
  its experience.
- Its intervals tell the noise of the future, not that the world may change: watch live errors.
- SHA-256 of the training data and of every file are in `metadata.json` and `model/manifest.json`. They show
  that nothing was altered, not who made it.
"""
_UNSCORED = """\
The artifact records no scores. `forecast evaluate model --data FILE` gives them on data of yours, beside the
naive baseline.
"""


def model_card(subject: Subject) -> str:
    """MODEL_CARD.md: what the model is, what it learnt from, how it was scored, what to mind."""
    manifest = subject.manifest
    spec = registry.model_spec(manifest.spec_id)
    learnt = {**manifest.data, **manifest.lineage}
    scores = [(name, f"{value:.6g}") for name, value in manifest.metrics.items()]
    return f"""\
# Model card: {subject.name}

`{spec.id}` version {manifest.spec_version}, task `{spec.task}`, saved {manifest.created}.
{spec.summary}.

## Learnt from

{table(("", ""), [(key, _cell(value)) for key, value in learnt.items()])}
## Configuration

{table(("option", "value"), [(key, _cell(value)) for key, value in manifest.config.items()])}
## Scores

{table(("metric", "value"), scores) if scores else _UNSCORED}
## Mind

{_MIND}"""


def _cell(value: JsonValue) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
