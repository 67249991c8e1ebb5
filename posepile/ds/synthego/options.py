"""What a user can choose about SynthEgo."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator

from posepile.recipe import CHOOSES_UNITS, SPLITS


class Options(BaseModel):
    """Keys below ``dataset:`` in configs/synthego.yaml.

    Attributes:
        subjects: Numbers of the identities to pack; None = all.
        split_of_digit: Split of the identities by their number modulo 10; no split is published.
        identities_per_unit: Width of the range of identity numbers that makes one unit of work.
        max_reprojection_px: Largest difference allowed between our projection and the file's.
        max_pose_mm: Largest distance allowed between a landmark and where its pose puts it.
        calibrate_identities: How many identities the check at calibration looks at.
    """

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    subjects: list[str] | None = Field(None, json_schema_extra=CHOOSES_UNITS)
    split_of_digit: dict[int, str] = {8: "val", 9: "test"}
    identities_per_unit: int = Field(30, ge=1)
    max_reprojection_px: float = Field(0.5, gt=0)
    max_pose_mm: float = Field(20.0, gt=0)
    calibrate_identities: int = Field(100, ge=1)

    @field_validator("split_of_digit")
    @classmethod
    def _known(cls, value):
        if not all(0 <= k <= 9 and v in SPLITS for k, v in value.items()):
            raise ValueError("must map digits 0..9 to train, val or test")
        return value
