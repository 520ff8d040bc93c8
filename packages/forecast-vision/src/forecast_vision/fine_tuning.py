"""Training a transformer further on photos, after the network that looks at its features.

That network comes first, on cached features of the frozen backbone, so that a network that knows nothing
yet does not spoil what the backbone knows. Source: Kumar et al. (2022), Fine-tuning can distort pretrained
features and underperform out-of-distribution.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor

from forecast_core.errors import ConfigError
from forecast_core.run import Run
from forecast_core.training import TrainingOptions, fit_network
from forecast_vision.augmentation import Plain, Transform
from forecast_vision.backbones.adapters import load_trained
from forecast_vision.backbones.protocol import TrainableBackbone
from forecast_vision.backbones.tuned import TunedBackbone
from forecast_vision.configs import FineTuningConfig, RoadworkConfig
from forecast_vision.features import loaded_backbone
from forecast_vision.nn.fine_tuning import (
    PixelBags,
    PixelLoss,
    TunedNetwork,
    WholePixels,
    tuned_matthews_loss,
)
from forecast_vision.nn.roadwork import RoadworkNetwork
from forecast_vision.nn.training import Bags, RoadworkLoss
from forecast_vision.photos import PhotoSet

__all__ = ["fine_tuned", "restored", "trainable_backbone"]

_WARMUP = 0.1  # share of steps


def trainable_backbone(config: RoadworkConfig) -> TrainableBackbone:
    """The configured backbone; ConfigError unless it can be trained."""
    backbone = loaded_backbone(config)
    if not isinstance(backbone, TrainableBackbone):
        rule = f"is left out: {config.backbone} cannot be trained"
        raise ConfigError("RoadworkConfig.fine_tuning", rule, hint="take dinov2 or dinov3")
    return backbone


def fine_tuned(
    photos: PhotoSet,
    known: Bags,
    network: RoadworkNetwork,
    *,
    config: RoadworkConfig,
    loss: RoadworkLoss,
    transforms: Sequence[Transform],
    seed: int,
    validation: tuple[PhotoSet, Bags] | None = None,
    run: Run | None = None,
) -> tuple[TunedBackbone, RoadworkNetwork]:
    """The backbone trained further, and the network trained on with it; the one given stays as it is.

    known: of the photos, whose features are not looked at; transforms: how photos become bags. With
    validation the epoch of the best MCC on it is kept, or what training began with where that was no worse.
    """
    backbone, o = trainable_backbone(config), _options(config)
    size = config.view_size or backbone.size
    trained = backbone.trainable(rank=o.rank, alpha=o.alpha, blocks=o.blocks, seed=seed)
    tuned = TunedNetwork(trained, deepcopy(network)).to(config.device)
    held = None
    if validation is not None:
        held = PixelBags(validation[0], (Plain(),), size=size, known=validation[1])
    begun = {name: value.clone() for name, value in tuned.state_dict().items()}
    loss_before = None if held is None else _validation_loss(tuned, held)
    fit_network(
        tuned,
        PixelBags(photos, transforms, size=size, known=known),
        PixelLoss(loss),  # type: ignore[arg-type]
        options=TrainingOptions(
            max_epochs=o.max_epochs,
            batch_size=o.batch_size,
            accumulate=o.accumulate,
            optimizer=config.optimizer,
            learning_rate=o.learning_rate,
            weight_decay=o.weight_decay,
            schedule="one-cycle",
            warmup=_WARMUP,
            gradient_clip=config.gradient_clip,
            patience=config.patience,
            device=config.device,
            precision=config.precision,
        ),
        seed=seed,
        validation=None if held is None else WholePixels(held),
        validation_loss=tuned_matthews_loss,  # type: ignore[arg-type]
        run=run,
    )
    if held is not None and loss_before is not None and loss_before <= _validation_loss(tuned, held):
        tuned.load_state_dict(begun)
    return TunedBackbone(backbone, trained), tuned.head.eval()


def restored(config: RoadworkConfig, state: dict[str, Tensor]) -> TunedBackbone:
    """The backbone of a saved model; ValueError for weights that are not its own."""
    backbone, o = trainable_backbone(config), _options(config)
    network = backbone.trainable(rank=o.rank, alpha=o.alpha, blocks=o.blocks, seed=0)
    load_trained(network, state)
    return TunedBackbone(backbone, network)


@torch.no_grad()
def _validation_loss(tuned: TunedNetwork, held: PixelBags) -> float:
    return float(tuned_matthews_loss(tuned.eval(), held))


def _options(config: RoadworkConfig) -> FineTuningConfig:
    if config.fine_tuning is None:
        raise ConfigError("RoadworkConfig.fine_tuning", "is given")
    return config.fine_tuning
