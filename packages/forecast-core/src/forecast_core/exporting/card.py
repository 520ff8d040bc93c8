"""The model card of an exported folder."""

from __future__ import annotations

import json

from pydantic import JsonValue

from forecast_core import registry
from forecast_core.exporting.describing import Subject
from forecast_core.exporting.scores import ScoreTable
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
None were given. `forecast evaluate model --data FILE` scores it on data of yours, beside the naive baseline.
"""


def model_card(subject: Subject) -> str:
    """MODEL_CARD.md: what the model is, what it learnt from, how it was scored, what to mind."""
    manifest = subject.manifest
    spec = registry.model_spec(manifest.spec_id)
    learnt = {**manifest.data, **manifest.lineage}
    return f"""\
# Model card: {subject.name}

`{spec.id}` version {manifest.spec_version}, task `{spec.task}`, saved {manifest.created}.
{spec.summary}.

## Learnt from

{table(("", ""), [(key, _cell(value)) for key, value in learnt.items()])}
## Configuration

{table(("option", "value"), [(key, _cell(value)) for key, value in manifest.config.items()])}
## Scores

{_UNSCORED if subject.scores is None else _scored(subject.scores)}
## Mind

{_MIND}"""


def _scored(told: ScoreTable) -> str:
    steps = "" if told.horizon is None else f" of {told.horizon} steps"
    rows = [
        (
            each.label,
            *("-" if (value := each.metrics.get(m)) is None else f"{value:.4g}" for m in told.metrics),
        )
        for each in told.scores
    ]
    return (
        f"On {told.windows} windows{steps} from {told.start} on:\n\n{table(('model', *told.metrics), rows)}"
    )


def _cell(value: JsonValue) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
