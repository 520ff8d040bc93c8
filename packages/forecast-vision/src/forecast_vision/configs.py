"""Options of this package's models; nothing heavy is imported here."""

from __future__ import annotations

from pydantic import Field

from forecast_core.config import ModelConfig

__all__ = ["AugmentationConfig"]


class AugmentationConfig(ModelConfig):
    """How photos are changed for training."""

    horizontal_flip: float = Field(default=0.5, ge=0, le=1, description="share of photos mirrored")
    vertical_flip: float = Field(default=0.1, ge=0, le=1, description="share of photos turned upside down")
    rotation: float = Field(default=20.0, ge=0, le=180, description="largest turn in degrees, either way")
    crop: float = Field(default=0.2, gt=0, le=1, description="least share of a view's area that is kept")
    brightness: float = Field(default=0.2, ge=0, lt=1, description="largest relative change")
    contrast: float = Field(default=0.2, ge=0, lt=1, description="largest relative change")
    saturation: float = Field(default=0.1, ge=0, lt=1, description="largest relative change")
    hue: float = Field(default=0.05, ge=0, le=0.5, description="largest shift, in turns of the colour wheel")
    operations: int = Field(default=2, ge=0, le=9, description="random operations a photo (RandAugment)")
    magnitude: float = Field(default=9.0, ge=0, le=30, description="strength of random operations, of 30")
    cutout: int = Field(default=16, ge=0, description="side of the hole in each view, in pixels of 224")
