"""The layout manifest: where things lie in the released archive and how they are meant.

The released file layout of AMARV is documented nowhere public. A person who has the archive
writes down once, in ``configs/amarv_layout.yaml``, what they see; everything is read through it,
and validate.py compares it with the files before anything else happens.
"""

from __future__ import annotations

import json
import re
import string
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pydantic
import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from posepile.ds.amarv.values import read_bytes
from posepile.errors import CorruptInput, UsageError

PLACEHOLDERS = {"source", "clip", "view"}
LENGTH_UNITS = {"m": 1000.0, "cm": 10.0, "mm": 1.0}


def load_layout(path: Path) -> Layout:
    """Reads and validates a manifest.

    Raises:
        UsageError: One line with file, key, value found and what is allowed.
    """
    try:
        raw = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise UsageError(f"{path}: no such layout manifest") from None
    except (yaml.YAMLError, UnicodeDecodeError) as e:
        raise UsageError(f"{path}: not valid YAML: {' '.join(str(e).split())}") from None
    if not isinstance(raw, dict):
        raise UsageError(f"{path}: expected a mapping, found {type(raw).__name__}")
    try:
        return Layout.model_validate(raw)
    except pydantic.ValidationError as e:
        first = e.errors()[0]
        key = ".".join(str(p) for p in first["loc"]) or "file"
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            raise UsageError(f"{path}: unknown key {key}") from None
        found = "" if isinstance(first.get("input"), dict) else f" = {first.get('input')!r}"
        raise UsageError(f"{path}: {key}{found} is not allowed: {message}") from None


@dataclass(frozen=True, slots=True)
class Clip:
    """One motion rendered from several views.

    There are hundreds of thousands, so a clip keeps no path that the manifest's patterns give.

    Attributes:
        source: Group ``source`` of the manifest's expression, e.g. the AMASS part.
        name: Group ``clip``.
        views: View numbers there are, ascending.
        files: RGB file or folder of each view, relative to the manifest's root; None where
            ``rgb.path`` says the same.
    """

    source: str
    name: str
    views: tuple[int, ...] = ()
    files: tuple[str, ...] | None = None

    @property
    def id(self) -> str:
        """Source and name."""
        return f"{self.source}/{self.name}" if self.source else self.name


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


Template = Annotated[str, AfterValidator(_template)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Part(_Strict):
    path: Template


class Rgb(_Part):
    """Colour frames: a video file or a folder of images per view."""

    kind: Literal["video", "image_dir"] = "video"


class Depth(_Part):
    """Depth maps. Used for nothing but the validator's consistency test.

    Attributes:
        kind: ``png16`` and ``exr``: folder of images; ``npy``, ``npz``: one array per clip;
            ``video``: grey values of a video.
        scale_to_mm: Factor from stored values to millimetres.
        invalid: Stored value that means no depth.
        meaning: Along the optical axis (``z``) or along the ray.
    """

    kind: Literal["png16", "exr", "npy", "npz", "video"] = "png16"
    scale_to_mm: float = Field(1.0, gt=0)
    invalid: float | None = 0
    meaning: Literal["z", "ray"] = "z"
    key: Template = "depth"


class Mask(_Part):
    """Person masks.

    Attributes:
        kind: Video or folder of images.
        person_rule: ``value > 127`` (brightest channel), ``label in [1, 2]`` (first channel), or
            ``color in [[255, 0, 0]]`` (exact RGB).
    """

    kind: Literal["video", "image_dir"] = "video"
    person_rule: str = "value > 127"

    @field_validator("person_rule")
    @classmethod
    def _rule(cls, value: str) -> str:
        parse_person_rule(value)
        return value


def parse_person_rule(rule: str) -> tuple[str, Any]:
    """``(kind, argument)`` of a mask rule; raises ValueError on any other text."""
    if m := re.fullmatch(r"value\s*>\s*(\d+)", rule.strip()):
        return "value", int(m[1])
    if m := re.fullmatch(r"(label|color)\s+in\s+(\[[\d\s,\[\]]*\])", rule.strip()):
        argument = json.loads(m[2])
        depth = np.asarray(argument).shape
        if (m[1] == "label" and len(depth) == 1) or (m[1] == "color" and depth[1:] == (3,)):
            return m[1], argument
    raise ValueError(
        "must be like 'value > 127', 'label in [1, 2]' or 'color in [[255, 0, 0], [0, 255, 0]]'"
    )


class Bbox(_Part):
    """Boxes: an array ``[frames, 4]`` below ``key`` of a JSON or npz file."""

    format: Literal["xywh", "xyxy", "cxcywh"] = "xywh"
    key: Template = "{view}"


class CameraPart(_Part):
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
    units: Literal["m", "cm", "mm"] = "m"
    world_up: Literal["x", "y", "z", "-x", "-y", "-z"] = "z"
    per_frame: bool = False

    @model_validator(mode="after")
    def _one_intrinsic(self):
        if sum(k is not None for k in (self.intrinsic_key, self.fov_key, self.focal_key)) != 1:
            raise ValueError("needs exactly one of intrinsic_key, fov_key, focal_key")
        if (self.focal_key is None) != (self.sensor_width_mm is None):
            raise ValueError("focal_key and sensor_width_mm belong together")
        return self


class Pose(_Part):
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
    units: Literal["m", "cm", "mm"] = "m"
    frame: Literal["world", "camera"] = "world"
    joint_names: Literal["smplh52", "smpl24", "smplx55"] | list[str] = "smplh52"
    fps: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _view_in_path(self):
        if self.frame == "camera" and "{view}" not in self.path + self.joints_key:
            raise ValueError("joints in camera coordinates need {view} in path or joints_key")
        return self


class Body(_Strict):
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


class Labels(_Strict):
    """BABEL labels."""

    source: Literal["babel"] = "babel"
    split_files: list[str] = ["train.json", "val.json"]


@pydantic.dataclasses.dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid"))
class NameEntry:
    """The motion that a clip shows.

    Attributes:
        amass_path: Path inside the AMASS archive, ``<folder>/<subject>/<motion>_poses.npz``.
        start_t: Where the clip starts in the motion, seconds.
    """

    amass_path: str
    start_t: float = Field(0.0, ge=0)


class Layout(_Strict):
    """The manifest.

    Attributes:
        amarv_layout: Version of the manifest's form.
        root: ``{root}`` is ``$DATA_ROOT/amarv``.
        clip_glob: Finds the RGB files (or folders) of all views below root.
        clip_regex: Groups ``source``, ``clip`` and ``view`` of their paths.
        views: View numbers of a complete clip.
        frame_index_base: Number of the first image in folders of images.
        fps: Frames per second; None = as the container says.
        image_size: Width and height; None = as the container says.
        name_map: Clip id -> :class:`NameEntry`, or the name of a JSON file below root with that.
    """

    amarv_layout: Literal[1]
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
    body: Body | None = None
    labels: Labels | None = None
    name_map: str | dict[str, NameEntry] = Field(default_factory=dict)

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
    def _something_to_learn_from(self):
        if self.pose is None and self.body is None:
            raise ValueError("needs pose or body; there are no joints otherwise")
        if len(set(self.views)) < len(self.views):
            raise ValueError("views holds a number twice")
        if len(self.views) > 1 and "view" not in re.compile(self.clip_regex).groupindex:
            raise ValueError("clip_regex needs the group view when there are several views")
        return self

    def base(self, root: Path) -> Path:
        """Returns the folder that all paths of the manifest are relative to."""
        if "{DATA_ROOT}" in self.root:
            from posepile.paths import data_root

            return Path(self.root.replace("{DATA_ROOT}", str(data_root())))
        return Path(self.root.replace("{root}", str(root)))

    def path(self, part: _Part, root: Path, clip: Clip, view: int | None = None) -> Path:
        """Returns where a part of a clip lies."""
        return self.base(root) / fill(part.path, clip, view)

    def rgb_files(self, clip: Clip) -> dict[int, str]:
        """RGB file or folder of each view of a clip, relative to :meth:`base`."""
        files = clip.files or [fill(self.rgb.path, clip, v) for v in clip.views]
        return dict(zip(clip.views, files, strict=True))

    def rgb_paths(self, root: Path, clip: Clip) -> dict[int, Path]:
        """RGB file or folder of each view of a clip."""
        base = self.base(root)
        return {view: base / file for view, file in self.rgb_files(clip).items()}

    def load_name_map(self, root: Path) -> dict[str, NameEntry]:
        """Returns the name map, read from its file if it has one.

        Raises:
            CorruptInput: The file is missing or an entry is not of the expected form.
        """
        if isinstance(self.name_map, dict):
            return self.name_map
        path = self.base(root) / self.name_map
        try:
            return pydantic.TypeAdapter(dict[str, NameEntry]).validate_json(read_bytes(path))
        except pydantic.ValidationError as e:
            first = e.errors()[0]
            where = ".".join(map(str, first["loc"])) or "file"
            raise CorruptInput(
                path, f"not a map from clip to amass_path: {where}: {first['msg'].lower()}"
            ) from None


def fill(template: str, clip: Clip, view: int | None) -> str:
    """Fills in source, clip and view."""
    return template.format(source=clip.source, clip=clip.name, view="" if view is None else view)
