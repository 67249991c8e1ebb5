"""What augmentation does and how far it goes."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator


class AugmentationParams(BaseModel):
    """Parameters of augmentation; the defaults are the room that stored crops have around people.

    A crop is stored with the person's box ``crop.margin`` times as large as training wants it, and
    with room around it for :attr:`rotation` and for ``fill`` times the smallest zoom and
    :attr:`shift` (see ``posepile.imaging.cropping``). Beyond that, pictures get black corners,
    or what :attr:`border` puts there.

    Probabilities are from 0 to 1; 0 switches a change off. What is drawn is drawn uniformly,
    factors on a logarithmic scale.

    >>> params = AugmentationParams(side=128, mirror=0)
    >>> params.side, params.mirror, params.rotation
    (128, 0.0, 30)
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    side: int = Field(256, ge=8, le=4096, description="Width and height of what comes out, pixels")
    fill: float = Field(0.85, gt=0, description="Longer side of the box over the side, at zoom 1")
    zoom: tuple[float, float] = Field((0.85, 1 / 0.85), description="Smallest and largest zoom")
    rotation: float = Field(
        30, ge=0, le=180, description="About the camera's axis, degrees each way"
    )
    shift: float = Field(
        0.09, ge=0, le=1, description="How far the camera looks past the box's centre, of its side"
    )
    mirror: float = Field(0.5, ge=0, le=1, description="Probability of left for right")

    color: float = Field(1, ge=0, le=1, description="Probability of other colours")
    brightness: float = Field(0.12, ge=0, le=1, description="Added or taken, of white")
    contrast: float = Field(1.4, ge=1, description="Factor, or its inverse")
    saturation: float = Field(1.6, ge=1, description="Factor, or its inverse")
    hue: float = Field(12, ge=0, le=180, description="Turn of colours, degrees each way")
    blur: float = Field(0.1, ge=0, le=1, description="Probability of blur")
    blur_sigma: float = Field(1.5, gt=0, le=20, description="Largest, pixels of what comes out")
    jpeg: float = Field(0.2, ge=0, le=1, description="Probability of compression")
    jpeg_quality: tuple[int, int] = Field((30, 90), description="Lowest and highest")

    occlusion: float = Field(0.5, ge=0, le=1, description="Probability of objects in front")
    n_occluders: int = Field(6, ge=1, le=50, description="Largest number of objects")
    occluder_scale: tuple[float, float] = Field(
        (0.2, 1), description="Of objects as stored, in a picture of 256 pixels"
    )
    background: float = Field(
        0.7, ge=0, le=1, description="Probability of another background, where it may be replaced"
    )
    border: float = Field(
        0.5, ge=0, le=1, description="Probability of something in place of black where the source "
        "picture ends: another picture, or one colour",
    )  # fmt: skip

    assumed_fov: float = Field(
        30, gt=0, lt=170,
        description="Field of view along the longer side of crops without a camera, degrees",
    )  # fmt: skip
    bodies: bool = Field(False, description="Give the parameters of body models, too")
    n_betas: int = Field(10, ge=1, le=400, description="Components of shape that are given")

    @model_validator(mode="after")
    def _ranges(self):
        for name in ("zoom", "jpeg_quality", "occluder_scale"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"{name}: found {low} to {high}; expected 0 < lowest <= highest")
        if self.jpeg_quality[1] > 100:
            raise ValueError(f"jpeg_quality: found {self.jpeg_quality[1]}; expected at most 100")
        return self

    def plain(self) -> AugmentationParams:
        """Returns these without anything that is drawn: the crop that validation looks at."""
        chances = ("mirror", "color", "blur", "jpeg", "occlusion", "background", "border")
        nothing = {**dict.fromkeys(chances, 0.0), "zoom": (1.0, 1.0), "rotation": 0.0}
        return self.model_copy(update=nothing | {"shift": 0.0})
