"""What the layout of AMARV has besides pictures, cameras and poses: motions and labels."""

from __future__ import annotations

from typing import Literal

import pydantic
from pydantic import ConfigDict, Field, model_validator

from posepile.shapes.described.layout import Layout, Strict, Template


class Body(Strict):
    """The AMASS motion that a clip shows.

    Attributes:
        source: Only AMASS.
        path: Clip file that holds the keys below; None = nothing is stored per clip.
        start_frame_key: First AMASS frame of the clip; None = 0.
        step: AMASS frames per video frame; None = mocap rate / video rate.
        root_transform_key: 4x4 from AMASS's world to the released world; None = the same.
    """

    source: Literal["amass"] = "amass"
    path: Template | None = None
    start_frame_key: str | None = None
    step: float | None = Field(None, gt=0)
    root_transform_key: str | None = None

    @model_validator(mode="after")
    def _path_for_keys(self):
        if self.path is None and (self.start_frame_key or self.root_transform_key):
            raise ValueError("start_frame_key and root_transform_key need path")
        return self


class Labels(Strict):
    """BABEL labels."""

    source: Literal["babel"] = "babel"
    split_files: list[str] = Field(["train.json", "val.json"])


@pydantic.dataclasses.dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid"))
class NameEntry:
    """The motion that a clip shows.

    Attributes:
        amass_path: Path inside the AMASS archive, ``<folder>/<subject>/<motion>_poses.npz``.
        start_t: Where the clip starts in the motion, seconds.
    """

    amass_path: str
    start_t: float = Field(0.0, ge=0)


class AmarvLayout(Layout):
    """The layout manifest.

    Attributes:
        amarv_layout: Version of the manifest's form.
        body: The motions.
        labels: The labels.
        name_map: Clip id -> :class:`NameEntry`, or the name of a JSON file below root with that.
    """

    amarv_layout: Literal[1]
    body: Body | None = None
    labels: Labels | None = None
    name_map: str | dict[str, NameEntry] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _something_to_learn_from(self):
        if self.pose is None and self.body is None:
            raise ValueError("needs pose or body; there are no joints otherwise")
        return self
