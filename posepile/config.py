"""Configuration of a dataset's run: ``configs/<name>.yaml`` plus ``--set`` on the command line.

Every section is a pydantic model that forbids unknown keys. A mistake is reported as one line that
names the key, the value found and what is allowed.
"""

from __future__ import annotations

import difflib
import typing
from pathlib import Path
from typing import Any, Literal

import pydantic
import yaml
from pydantic import BaseModel, ConfigDict, Field

from posepile.errors import UsageError
from posepile.imaging.cropping import CropParams
from posepile.models.params import DetectParams, SegmentParams
from posepile.paths import config_dir
from posepile.stages.select import SelectParams


class BoxParams(BaseModel):
    """Where a person's box comes from.

    Attributes:
        source: ``annotation``: the raw data's box; ``joints``: bounding box of the projected
            joints, clipped to the image; ``detect``: a detection associated with the joints.
        expand: Factor on width and height about the centre.
        min_side: Drop people whose longer box side is shorter than this many source pixels.
    """

    model_config = ConfigDict(extra="forbid")

    source: Literal["annotation", "joints", "detect"] = "annotation"
    expand: float = Field(1.0, gt=0, le=3)
    min_side: float = Field(0.0, ge=0)


class RunParams(BaseModel):
    """How a run judges itself.

    Attributes:
        max_quarantined: Largest tolerated share of quarantined input, 0..1: each unit weighs the
            same, a unit with ``m`` of ``n`` frames quarantined counts ``m / n``.
        exclusions: Apply the dataset's ``exclusions.yaml``.
    """

    model_config = ConfigDict(extra="forbid")

    max_quarantined: float = Field(0.0, ge=0, le=1)
    exclusions: bool = True


class NoOptions(BaseModel):
    """Options of a dataset that has none."""

    model_config = ConfigDict(extra="forbid")


class Config(BaseModel):
    """All sections of ``configs/<name>.yaml``; ``dataset`` is the recipe's own ``Options``."""

    model_config = ConfigDict(extra="forbid")

    dataset: Any = None
    select: SelectParams = Field(default_factory=SelectParams)
    box: BoxParams = Field(default_factory=BoxParams)
    detect: DetectParams = Field(default_factory=DetectParams)
    segment: SegmentParams = Field(default_factory=SegmentParams)
    crop: CropParams = Field(default_factory=CropParams)
    run: RunParams = Field(default_factory=RunParams)


def load_config(
    name: str,
    options_model: type[BaseModel] = NoOptions,
    overrides: typing.Sequence[str] = (),
    path: Path | None = None,
) -> Config:
    """Reads and validates a dataset's configuration.

    Args:
        name: Dataset name.
        options_model: The recipe's ``Options``.
        overrides: ``section.key=value`` strings, values in YAML syntax.
        path: Configuration file instead of ``configs/<name>.yaml``.

    Raises:
        UsageError: Unreadable file, unknown key or value not allowed.
    """
    path = path or config_dir() / f"{name}.yaml"
    try:
        raw = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise UsageError(f"{path}: no such configuration file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as e:
        raise UsageError(f"{path}: not valid YAML: {' '.join(str(e).split())}") from None
    except OSError as e:
        raise UsageError(f"{path}: cannot be read: {e.strerror}") from None
    raw = {} if raw is None else raw
    if not isinstance(raw, dict):
        raise UsageError(f"{path}: expected a mapping of sections, found {type(raw).__name__}")
    # A section whose keys are all commented out is an empty one.
    raw = {str(section): {} if keys is None else keys for section, keys in raw.items()}
    for override in overrides:
        _apply_override(raw, override)

    where = f"{path.name}" + (" with --set" if overrides else "")
    dataset = raw.pop("dataset", None) or {}
    try:
        config = Config.model_validate(raw)
    except pydantic.ValidationError as e:
        raise UsageError(_describe(e, where, Config)) from None
    try:
        config.dataset = options_model.model_validate(dataset)
    except pydantic.ValidationError as e:
        raise UsageError(_describe(e, where, options_model, ("dataset",))) from None
    return config


def _apply_override(raw: dict, override: str) -> None:
    key, sep, value = override.partition("=")
    if not sep or not key:
        raise UsageError(f"--set {override}: expected section.key=value")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError:
        raise UsageError(f"--set {override}: the value is not valid YAML") from None
    *parents, last = key.split(".")
    node = raw
    for part in parents:
        if node.get(part) is None:
            node[part] = {}
        node = node[part]
        if not isinstance(node, dict):
            raise UsageError(f"--set {override}: {part} is not a section")
    node[last] = parsed


def _describe(
    error: pydantic.ValidationError, where: str, model: type[BaseModel], prefix: tuple = ()
) -> str:
    """First validation error as one line: key, value found, what is allowed."""
    first = error.errors()[0]
    loc = tuple(str(p) for p in first["loc"])
    key = ".".join(prefix + loc)
    if first["type"] == "extra_forbidden":
        allowed = _allowed_keys(model, loc[:-1])
        close = difflib.get_close_matches(loc[-1], allowed, 1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        return f"{where}: unknown key {key}{hint}; allowed here: {', '.join(allowed) or 'none'}"
    value, message = first.get("input"), first["msg"]
    return f"{where}: {key} = {value!r} is not allowed: {message[0].lower()}{message[1:]}"


def _allowed_keys(model: type[BaseModel], path: tuple[str, ...]) -> list[str]:
    for part in path:
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return sorted(model.model_fields)
