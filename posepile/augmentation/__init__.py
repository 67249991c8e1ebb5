"""Augmentation: crops of a fixed size for training, with the geometry that follows. No torch."""

from posepile.augmentation.augmentation import Augmentation
from posepile.augmentation.backgrounds import Backgrounds
from posepile.augmentation.occluders import Occluders
from posepile.augmentation.params import AugmentationParams

__all__ = ["Augmentation", "AugmentationParams", "Backgrounds", "Occluders"]
