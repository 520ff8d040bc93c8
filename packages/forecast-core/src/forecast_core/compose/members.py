"""What a composed model takes over from the models it holds: capabilities, data they take, state, lineage."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from forecast_core import registry
from forecast_core.artifacts import State
from forecast_core.compose.configs import Member
from forecast_core.errors import InvalidInputError
from forecast_core.evaluation.scores import adapted
from forecast_core.predictor import ModelInfo, Predictor
from forecast_core.run import Run
from forecast_core.specs import Capabilities, ModelSpec

__all__ = ["build", "composed_spec", "described", "fit_member", "pack", "unpack"]

_TAKEN_BY_ANY = ("past_covariates", "future_covariates", "static_covariates")
_HELD_BY_ALL = ("missing_values", "multi_item", "exchangeable_items")


def described(model: Predictor[Any]) -> Member:
    """A predictor as a member of a configuration."""
    return Member(id=model.spec.id, params=model.config.model_dump(mode="json"))


def build(members: Sequence[Member]) -> tuple[Predictor[Any], ...]:
    """Unfitted predictors; InvalidInputError unless all are of one task."""
    models = tuple(registry.create_model(member.id, **member.params) for member in members)
    tasks = {model.spec.id: model.spec.task for model in models}
    if len(set(tasks.values())) > 1:
        raise InvalidInputError("members", "are of one task", got=tasks)
    return models


def composed_spec(spec: ModelSpec, members: Sequence[Predictor[Any]], **differences: Any) -> ModelSpec:
    """The spec of a composed model: of its members' task, able to do what they can together.

    Covariates are taken if any member takes them: the others are spared them.
    """
    own = [member.spec.capabilities for member in members]
    capabilities = {
        **{name: any(getattr(c, name) for c in own) for name in _TAKEN_BY_ANY},
        **{name: all(getattr(c, name) for c in own) for name in _HELD_BY_ALL},
        "needs_fit": any(c.needs_fit for c in own),
        "joint_samples": False,
        "online": False,
        **differences,
    }
    requires = tuple(dict.fromkeys(library for m in members for library in m.spec.requires))
    return spec.model_copy(
        update={
            "task": members[0].spec.task,
            "capabilities": Capabilities(**capabilities),
            "requires": requires,
        }
    )


def fit_member(
    member: Predictor[Any], data: Any, *, validation: Any, seed: int, run: Run, name: str
) -> Predictor[Any]:
    """Fit a member on what it takes of the data, in a folder of its own within the run's."""
    if not member.spec.capabilities.needs_fit:
        return member
    held = None if validation is None else adapted(member, validation)
    return member.fit(adapted(member, data), validation=held, seed=seed % 2**32, run=run.child(name))


def pack(members: Sequence[Predictor[Any]]) -> State:
    """The state of all members as one, with their lineage and versions."""
    arrays, texts, infos = {}, {}, []
    for k, member in enumerate(members):
        state = member._state()
        arrays.update({f"{k}/{name}": array for name, array in state.arrays.items()})
        texts.update({f"{k}.{name}": text for name, text in state.texts.items()})
        infos.append(member.info.model_dump(mode="json"))
    return State(arrays=arrays, texts={**texts, "members.json": json.dumps(infos)})


def unpack(members: Sequence[Predictor[Any]], state: State) -> None:
    """Give every member the part of a packed state that is its own; older versions are migrated."""
    infos = [ModelInfo.model_validate(info) for info in json.loads(state.texts["members.json"])]
    if len(infos) != len(members):
        raise ValueError(f"{len(infos)} members were saved, {len(members)} are configured")
    for k, (member, info) in enumerate(zip(members, infos, strict=True)):
        own = State(
            arrays={n.partition("/")[2]: a for n, a in state.arrays.items() if n.startswith(f"{k}/")},
            texts={n.partition(".")[2]: t for n, t in state.texts.items() if n.startswith(f"{k}.")},
        )
        member._take_over(info, own, version=info.version)
