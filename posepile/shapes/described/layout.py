"""The layout: where things lie in a tree and how they are meant, as a person writes it down."""

from __future__ import annotations

import os
import re
import string
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import cv2
import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from posepile.errors import CorruptInput
from posepile.formats.arrays import read_array
from posepile.formats.folders import numbered_files
from posepile.imaging.declared import read_picture
from posepile.imaging.masks import person_rule
from posepile.paths import data_root
from posepile.recipe import Stills, Video

PLACEHOLDERS = {"source", "clip", "view"}
Units = Literal["m", "cm", "mm"]


@dataclass(frozen=True, slots=True)
class Clip:
    """One motion rendered from several views. There are hundreds of thousands: no paths in it.

    Attributes:
        source: Group ``source`` of the layout's expression, e.g. a subject.
        name: Group ``clip``.
        views: View numbers there are, ascending.
    """

    source: str
    name: str
    views: tuple[int, ...] = ()

    @property
    def id(self) -> str:
        """Source and name."""
        return f"{self.source}/{self.name}" if self.source else self.name


def fill(template: str, clip: Clip, view: int | None) -> str:
    """Fills in source, clip and view."""
    return template.format(source=clip.source, clip=clip.name, view="" if view is None else view)


def _template(value: str) -> str:
    try:
        names = {name for _, name, _, _ in string.Formatter().parse(value) if name is not None}
    except ValueError as e:
        raise ValueError(f"not a path template: {e}") from None
    if names - PLACEHOLDERS:
        raise ValueError(
            f"unknown {{{sorted(names - PLACEHOLDERS)[0]}}}; allowed: {{source}} {{clip}} {{view}}"
        )
    return value


def _rule(value: str) -> str:
    person_rule(value)
    return value


Template = Annotated[str, AfterValidator(_template)]


class Strict(BaseModel):
    """A section without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Part(Strict):
    """One kind of file of a clip."""

    path: Template


class Rgb(Part):
    """Colour frames: a video file or a folder of images for each view."""

    kind: Literal["video", "image_dir"] = "video"


class Mask(Rgb):
    """Person masks; ``person_rule`` as :func:`posepile.imaging.masks.person_rule` reads it."""

    person_rule: Annotated[str, AfterValidator(_rule)] = "value > 127"


class Depth(Part):
    """Depth maps. Used for nothing but the validation's consistency test.

    Attributes:
        kind: ``png16`` and ``exr``: folder of images; ``npy``, ``npz``: one array for each clip.
        scale_to_mm: Factor from stored values to millimetres.
        invalid: Stored value that means no depth.
        meaning: Along the optical axis (``z``) or along the ray.
        key: Of the array in an npz file.
    """

    kind: Literal["png16", "exr", "npy", "npz"] = "png16"
    scale_to_mm: float = Field(1.0, gt=0)
    invalid: float | None = 0
    meaning: Literal["z", "ray"] = "z"
    key: Template = "depth"


class Bbox(Part):
    """Boxes: an array ``[frames, 4]`` below ``key`` of a JSON or npz file."""

    format: Literal["xywh", "xyxy", "cxcywh"] = "xywh"
    key: Template = "{view}"


class CameraPart(Part):
    """Cameras.

    Attributes:
        extrinsic_key: 3x4 or 4x4 matrix, with a leading frame axis if ``per_frame``.
        intrinsic_key: 3x3 matrix; or else ``fov_key`` (horizontal, degrees), or ``focal_key`` (mm)
            with ``sensor_width_mm``; both put the principal point at the centre.
        direction: What the matrix maps to what.
        axes: Of the camera: ``opencv`` looks along +z with y down; ``opengl`` and ``blender`` look
            along -z with y up.
        units: Of the translation.
        world_up: Axis of the released world that points up.
    """

    extrinsic_key: Template
    intrinsic_key: Template | None = None
    fov_key: Template | None = None
    focal_key: Template | None = None
    sensor_width_mm: float | None = Field(None, gt=0)
    direction: Literal["world_to_camera", "camera_to_world"]
    axes: Literal["opencv", "opengl", "blender"]
    units: Units = "m"
    world_up: Literal["x", "y", "z", "-x", "-y", "-z"] = "z"
    per_frame: bool = False

    @model_validator(mode="after")
    def _one_intrinsic(self):
        if sum(k is not None for k in (self.intrinsic_key, self.fov_key, self.focal_key)) != 1:
            raise ValueError("needs exactly one of intrinsic_key, fov_key, focal_key")
        if (self.focal_key is None) != (self.sensor_width_mm is None):
            raise ValueError("focal_key and sensor_width_mm belong together")
        return self


class Pose(Part):
    """Joint positions.

    Attributes:
        joints_key: Array below this key.
        shape: ``TJ3`` or ``JT3``.
        frame: World or camera coordinates (the path then holds ``{view}``).
        joint_names: ``smplh52``, ``smpl24``, ``smplx55``, or a list in the names of the recipe
            (others are ignored).
        fps: Of the array, if it differs from the video's.
    """

    joints_key: Template = "joints"
    shape: Literal["TJ3", "JT3"] = "TJ3"
    units: Units = "m"
    frame: Literal["world", "camera"] = "world"
    joint_names: Literal["smplh52", "smpl24", "smplx55"] | list[str] = "smplh52"
    fps: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _view_in_path(self):
        if self.frame == "camera" and "{view}" not in self.path + self.joints_key:
            raise ValueError("joints in camera coordinates need {view} in path or joints_key")
        return self


class Layout(Strict):
    """The layout.

    Attributes:
        root: ``{root}`` is the dataset's raw folder, ``{DATA_ROOT}`` the folder of all datasets.
        clip_glob: Finds the RGB files (or folders) of all views below root.
        clip_regex: Groups ``source``, ``clip`` and ``view`` of their paths.
        views: View numbers of a complete clip.
        frame_index_base: Number of the first image in folders of images.
        fps: Frames per second; None = as the container says.
        image_size: Width and height; None = as the container says.
    """

    root: str = "{root}"
    clip_glob: str
    clip_regex: str
    views: list[int] = Field([0, 1, 2, 3], min_length=1)
    frame_index_base: Literal[0, 1] = 0
    fps: float | None = Field(None, gt=0)
    image_size: tuple[int, int] | None = None
    rgb: Rgb
    depth: Depth | None = None
    mask: Mask | None = None
    bbox: Bbox | None = None
    camera: CameraPart
    pose: Pose | None = None

    @field_validator("clip_regex")
    @classmethod
    def _groups(cls, value: str) -> str:
        try:
            groups = re.compile(value).groupindex
        except re.error as e:
            raise ValueError(f"not a regular expression: {e}") from None
        if "clip" not in groups or set(groups) - PLACEHOLDERS:
            raise ValueError("must have the group clip, and may have source and view")
        return value

    @model_validator(mode="after")
    def _views_can_be_told(self):
        if len(set(self.views)) < len(self.views):
            raise ValueError("views holds a number twice")
        if len(self.views) > 1 and "view" not in re.compile(self.clip_regex).groupindex:
            raise ValueError("clip_regex needs the group view when there are several views")
        return self

    def base(self, root: Path) -> Path:
        """Returns the folder that all paths of the layout are relative to."""
        if "{DATA_ROOT}" in self.root:
            return Path(self.root.replace("{DATA_ROOT}", str(data_root())))
        return Path(self.root.replace("{root}", str(root)))

    def path(self, name: str, root: Path, clip: Clip, view: int | None = None) -> Path:
        """Returns where a part of a clip lies: ``rgb``, ``camera``, ``pose`` and so on."""
        return self.base(root) / fill(getattr(self, name).path, clip, view)

    def pictures(
        self, name: str, root: Path, clip: Clip, view: int, n_frames: int | None = None
    ) -> Video | Stills:
        """Returns the pictures of ``rgb`` or ``mask`` of a clip in a view."""
        path = self.path(name, root, clip, view)
        if getattr(self, name).kind == "video":
            return Video(path, n_frames=n_frames)
        return Stills(numbered_files(path, self.frame_index_base))

    def depth_maps(self, root: Path, clip: Clip, view: int) -> DepthMaps:
        """Returns the depth maps of a clip in a view, to be indexed by frame."""
        path = self.path("depth", root, clip, view)
        if self.depth.kind in ("png16", "exr"):
            return DepthMaps(self.depth, numbered_files(path, self.frame_index_base))
        key = None if self.depth.kind == "npy" else fill(self.depth.key, clip, view)
        return DepthMaps(self.depth, read_array(path, key, ("T", "h", "w"), finite=False))


@dataclass(frozen=True)
class DepthMaps:
    """Depth by frame: image files that are read when asked for, or arrays."""

    part: Depth
    maps: tuple[Path, ...] | np.ndarray

    def __len__(self) -> int:
        """Returns the number of frames."""
        return len(self.maps)

    def __getitem__(self, frame: int) -> np.ndarray:
        """Returns the map ``[h, w]`` of a frame in millimetres, NaN where invalid.

        Raises:
            CorruptInput: It cannot be read, or has 8 bits where the layout says 16.
        """
        values, part = self.maps[frame], self.part
        if isinstance(path := values, Path):
            os.environ.setdefault("OPENCV_IO_ENABLE_OPENEXR", "1")
            values = read_picture(path)
            if values is None and part.kind == "exr" and not cv2.haveImageWriter("depth.exr"):
                hint = "this OpenCV has no OpenEXR: set depth: null, it is used for a test only"
                raise CorruptInput(path, "depth image cannot be read", hint=hint)
            if values is None or (part.kind == "png16" and values.dtype != np.uint16):
                found = "nothing readable" if values is None else values.dtype
                expected = "16-bit values" if part.kind == "png16" else "an EXR image"
                raise CorruptInput(
                    path, f"depth image holds {found}; expected {expected}", hint="extract again"
                )
            values = values[..., 0] if values.ndim == 3 else values
        invalid = values == part.invalid if part.invalid is not None else False
        return np.where(invalid, np.nan, values.astype(np.float64) * part.scale_to_mm)
