"""What a user can choose about GeneBody."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from posepile.recipe import CHOOSES_UNITS


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        subjects: Only these performers; None = all of the split file.
        test10: Also pack the Test10 performers, as split ``test``.
        joints: Where world joints come from: ``model`` (SMPL-X forward pass), ``keypoints``
            (those stored in the parameter files), ``auto`` (the first of these that is possible)
            or ``none`` (parameters only; needs ``select.method: none``).
        body_models: Folder that holds ``smplx/SMPLX_MALE.npz`` and so on; None = ``body_models``
            in the raw folder, else the places smplfitter looks in.
        gender: ``map``: per performer; or one body model for all.
        hand_mean: ``add`` the model's mean hand to the stored hand poses, or ``none``.
        max_mesh_error_mm: Largest tolerated vertex distance between recomputed and published mesh.
        max_outside_mask: Largest tolerated share of body joints projecting outside the mask.
    """

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    subjects: list[str] | None = Field(None, json_schema_extra=CHOOSES_UNITS)
    test10: bool = Field(False, json_schema_extra=CHOOSES_UNITS)
    joints: Literal["auto", "model", "keypoints", "none"] = "auto"
    body_models: str | None = None
    gender: Literal["map", "male", "female", "neutral"] = "map"
    hand_mean: Literal["add", "none"] = "add"
    max_mesh_error_mm: float = Field(5.0, gt=0)
    max_outside_mask: float = Field(0.4, ge=0, le=1)

    @field_validator("max_outside_mask")
    @classmethod
    def _used(cls, value: float, info: ValidationInfo) -> float:
        default = cls.model_fields["max_outside_mask"].default
        if info.data.get("joints") == "none" and value != default:
            raise ValueError("has no effect with joints: none")
        return value
