"""Low-rank adapters in a transformer, beside the last blocks as a whole; through the library peft.

Source: Hu et al. (2022), LoRA: low-rank adaptation of large language models.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from forecast_core.errors import ConfigError, MissingDependencyError

__all__ = ["load_trained", "merge_adapters", "trainable_copy", "trained_state"]


def trainable_copy(
    model: nn.Module,
    *,
    blocks: Sequence[str],
    layers: Sequence[str],
    norm: str,
    last: int,
    rank: int,
    alpha: float,
    seed: int,
) -> nn.Module:
    """A copy of a transformer that gives the same until its adapters and last blocks are trained.

    blocks: names of its blocks, in order; layers: names, within a block, of the linear layers that get
    adapters; norm: name of what comes after the last block, which is trained with it. The copy shares all
    weights with `model` but those that are trained or that adapters can be merged into. Raises ConfigError
    for more `last` blocks than there are, MissingDependencyError for adapters without peft.
    """
    if last > len(blocks):
        raise ConfigError("fine_tuning.blocks", f"are at most {len(blocks)}", got=last)
    first = len(blocks) - last
    whole = tuple(f"{name}." for name in [*blocks[first:], norm]) if last else ()
    adapted = [f"{block}.{layer}" for block in blocks[:first] for layer in layers] if rank else []
    own = (*whole, *(f"{name}." for name in adapted))
    shared = {id(p): p for name, p in model.named_parameters() if not name.startswith(own)}
    copy = deepcopy(model, shared)
    if adapted:
        _inject(copy, adapted, rank=rank, alpha=alpha, seed=seed)
    for name, parameter in copy.named_parameters():
        parameter.requires_grad_(name.startswith(whole) or ".lora_" in name)
    return copy


def trained_state(network: nn.Module) -> dict[str, Tensor]:
    """The weights that are trained, by name."""
    return {name: p.detach() for name, p in network.named_parameters() if p.requires_grad}


def load_trained(network: nn.Module, state: dict[str, Tensor]) -> None:
    """Give a network its trained weights; ValueError unless they are exactly those of `trained_state`."""
    own = {name: p for name, p in network.named_parameters() if p.requires_grad}
    if {name: p.shape for name, p in own.items()} != {name: t.shape for name, t in state.items()}:
        raise ValueError("trained weights are those of another backbone")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(state[name])


def merge_adapters(network: nn.Module) -> None:
    """Add each adapter to the layer it adapts, so that it costs nothing any more; `trained_state` stays."""
    layers: list[Any] = [module for module in network.modules() if hasattr(module, "lora_A")]
    for layer in layers:
        if not layer.merged:
            layer.merge()


def _inject(model: nn.Module, names: list[str], *, rank: int, alpha: float, seed: int) -> None:
    if find_spec("peft") is None:
        install = "pip install 'forecast-vision[lora]'"
        raise MissingDependencyError("peft", purpose="adapters in a backbone", install=install)
    from peft import LoraConfig, inject_adapter_in_model

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        options = LoraConfig(r=rank, lora_alpha=alpha, target_modules=names)  # type: ignore[arg-type]
        inject_adapter_in_model(options, model)
