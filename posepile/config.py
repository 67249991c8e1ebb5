"""Configuration of a dataset's run: ``configs/<name>.yaml`` plus ``--set`` on the command line.

Every section is a pydantic model that forbids unknown keys. A mistake is reported as one line that
names the key, the value found and what is allowed.
"""

from __future__ import annotations

import math
import os
import stat
import typing
from pathlib import Path
from typing import Any

import pydantic
import yaml
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from posepile import paths
from posepile.ds import dataset_dir
from posepile.errors import UsageError
from posepile.formats.yaml_files import describe, load_yaml, parse_yaml
from posepile.remote import stand_ins
from posepile.stages.plausible import OF_CAMERAS, OF_WORLD_JOINTS
from posepile.stages.task import StageParams, needs_detector

if typing.TYPE_CHECKING:
    from posepile.recipe import DatasetSpec

# Keys of sections that have a model, for those that are networks.
_OF_NETWORKS = ("threads", "device", "cache_dir")


class RunParams(BaseModel):
    """How a run judges itself, and what its workers may take.

    Attributes:
        max_quarantined: Largest tolerated share of quarantined input, 0..1: each unit weighs the
            same, a unit with ``m`` of ``n`` frames quarantined counts ``m / n``.
        exclusions: Apply the dataset's ``exclusions.yaml``.
        max_memory: GB that a worker may take for one unit, else the unit is quarantined. None: the
            machine's memory shared among the workers, at least 2 GB each.
        max_idle_minutes: A unit that makes no progress (no frame) for so long is ended and
            quarantined. 0: no limit.
        isolate: Work in worker processes. Without, a unit that kills or hangs the process takes
            the whole run with it; for debugging.
    """

    model_config = ConfigDict(extra="forbid")

    max_quarantined: float = Field(0.0, ge=0, le=1)
    exclusions: bool = True
    max_memory: float | None = Field(None, gt=0, allow_inf_nan=False)
    max_idle_minutes: float = Field(10.0, ge=0, allow_inf_nan=False)
    isolate: bool = True


class NoOptions(BaseModel):
    """Options of a dataset that has none."""

    model_config = ConfigDict(extra="forbid")


class Config(StageParams):
    """All sections of ``configs/<name>.yaml``.

    Those of the stages are the stages' own models; ``dataset`` is the recipe's ``Options``.
    """

    model_config = ConfigDict(extra="forbid")

    dataset: Any = None
    run: RunParams = Field(default_factory=RunParams)

    # Where the raw files lie if not below $DATA_ROOT/<name>; no result depends on it.
    _raw_root: Path | None = PrivateAttr(None)
    _raw_address: str | None = PrivateAttr(None)

    @property
    def raw_root(self) -> Path | None:
        """``dataset.root`` as an absolute path, None where it is not set."""
        return self._raw_root

    @property
    def raw_address(self) -> str | None:
        """``dataset.root`` if it is a folder of an object store, for which ``raw_root`` stands."""
        return self._raw_address


def config_path(name: str) -> Path:
    """Returns where a dataset's parameters are: in ``configs/``, or in its own folder."""
    own = dataset_dir(name) / "config.yaml"
    return own if own.is_file() else paths.config_dir() / f"{name}.yaml"


def load_config(
    name: str,
    options_model: type[BaseModel] = NoOptions,
    overrides: typing.Sequence[str] = (),
    path: Path | None = None,
    spec: DatasetSpec | None = None,
) -> Config:
    """Reads and validates a dataset's configuration.

    Args:
        name: Dataset name.
        options_model: The recipe's ``Options``.
        overrides: ``section.key=value`` strings, values in YAML syntax.
        path: Configuration file instead of the dataset's own.
        spec: The recipe's facts, by which settings are known that have no effect on its data.

    Raises:
        UsageError: Unreadable file, unknown key or value not allowed; a setting without effect.
    """
    path = path or config_path(name)
    raw = load_yaml(path, kind="configuration file")
    raw = {} if raw is None else raw
    if not isinstance(raw, dict):
        raise UsageError(f"{path}: expected a mapping of sections, found {type(raw).__name__}")
    # A section whose keys are all commented out is an empty one.
    raw = {str(section): {} if keys is None else keys for section, keys in raw.items()}
    for override in overrides:
        apply_override(raw, override)

    where = f"{path.name}" + (" with --set" if overrides else "")
    dataset = raw.pop("dataset", None) or {}
    root = dataset.pop("root", None) if isinstance(dataset, dict) else None
    config = _validated(Config, raw, where)
    config.dataset = _validated(options_model, dataset, where, "dataset")
    _refuse_odd_limits(config.dataset, where, "dataset")
    if isinstance(root, str) and paths.is_address(root):
        config._raw_address = root.rstrip("/")
        config._raw_root = stand_ins.folder_for(config._raw_address)
    elif root is not None:
        config._raw_root = _raw_root(root, f"{where}: dataset.root = {root!r}")
    _refuse_without_effect(config, {key_of(override) for override in overrides}, spec)
    return config


def _raw_root(root: Any, named: str) -> Path:
    """The raw folder that ``dataset.root`` names; downloading may still have to make it."""
    if not isinstance(root, str) or not root.strip() or "\0" in root:
        raise UsageError(f"{named}: expected a folder")
    try:
        folder = paths.ensure_absolute(Path(root).expanduser())
    except RuntimeError as e:  # ~nobody
        raise UsageError(f"{named}: {e}") from None
    try:
        mode = os.stat(folder).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return folder
    except OSError as e:
        raise UsageError(f"{named}: {e.strerror}") from None
    if not stat.S_ISDIR(mode):
        raise UsageError(f"{named}: is no folder; name the one that holds the raw files")
    return folder


def key_of(override: str) -> str:
    """Returns the key of a ``section.key=value``."""
    return override.partition("=")[0]


def apply_override(raw: dict, override: str) -> None:
    """Puts one ``section.key=value`` of the command line into plain data.

    >>> raw = {"box": {"expand": 1}}
    >>> apply_override(raw, "box.expand=2")
    >>> raw
    {'box': {'expand': 2}}

    Args:
        raw: Sections of keys.
        override: The text; its value is in YAML syntax.

    Raises:
        UsageError: It is of another form, or a section on the way is none.
    """
    key, sep, value = override.partition("=")
    if not sep or not key:
        raise UsageError(f"--set {override}: expected section.key=value")
    try:
        parsed = parse_yaml(value)
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


def _validated(model: type[BaseModel], raw: Any, where: str, prefix: str = "") -> Any:
    """Validates a section; numbers where names are expected are taken as such (``video: 448``)."""
    while True:
        try:
            found = model.model_validate(raw)
        except pydantic.ValidationError as e:
            if not _name_as_text(raw, e.errors()[0]):
                raise UsageError(describe(e, where, raw, model, prefix)) from None
            continue
        key = _truth_as_number(raw, found)
        if key is not None:
            key = f"{prefix}.{key}" if prefix else key
            raise UsageError(f"{where}: {key} = true or false is not allowed: expected a number")
        return found


def _refuse_odd_limits(value: Any, where: str, key: str) -> None:
    """Refuses numbers of a section that are not finite, and a ``..._range`` that descends.

    An infinite limit checks nothing, and nothing lies in a range whose ends are exchanged.
    """
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            _refuse_odd_limits(getattr(value, name), where, f"{key}.{name}")
    elif isinstance(value, dict):
        for name, inner in value.items():
            _refuse_odd_limits(inner, where, f"{key}.{name}")
    elif isinstance(value, (list, tuple)):
        for i, inner in enumerate(value):
            _refuse_odd_limits(inner, where, f"{key}[{i}]")
        if key.endswith("_range") and len(value) == 2 and value[0] > value[1]:
            text = f"{key} = {list(value)} is not allowed: expected the smaller number first"
            raise UsageError(f"{where}: {text}")
    elif isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{where}: {key} = {value} is not allowed: expected a finite number")


def _truth_as_number(raw: Any, found: Any) -> str | None:
    """The first key whose ``true`` or ``false`` pydantic has taken for a number; None if none."""
    if not isinstance(raw, dict) or not isinstance(found, BaseModel):
        return None
    for name in set(raw) & set(type(found).model_fields):
        value, made = raw[name], getattr(found, name)
        if isinstance(value, bool) and isinstance(made, (int, float)) and made is not value:
            return name
        inner = _truth_as_number(value, made)
        if inner is not None:
            return f"{name}.{inner}"
    return None


def _name_as_text(raw: Any, error: dict) -> bool:
    value, loc = error.get("input"), error["loc"]
    if error["type"] not in ("literal_error", "string_type") or isinstance(value, bool):
        return False
    if not isinstance(value, (int, float)):
        return False
    text = str(value)
    if error["type"] == "literal_error" and repr(text) not in error["ctx"]["expected"]:
        return False
    for part in loc[:-1]:
        try:
            raw = raw[part]
        except (KeyError, IndexError, TypeError):
            return False
    if not isinstance(raw, (dict, list)):
        return False
    try:
        raw[loc[-1]] = text
    except (KeyError, IndexError, TypeError):
        return False
    return True


def _refuse_without_effect(config: Config, given: set[str], spec: DatasetSpec | None) -> None:
    """Refuses settings at odds, and settings on the command line that would change nothing."""
    if config.box.source == "detect" and config.detect.model == "none":
        raise UsageError(
            "box.source = detect, but detect.model = none: name a detector, e.g. "
            "--set detect.model=yolox_s, or set box.source to annotation"
        )
    for key in sorted(given):
        section = key.partition(".")[0]
        if spec is not None and spec.kind == "helper" and section not in ("dataset", "run"):
            text = f"{spec.name} is a helper, with nothing to crop; its options are below dataset:"
            raise UsageError(f"--set {key} has no effect: {text}")
        reason = _why_without_effect(config, key) or _why_nothing_is_judged(config, key, spec)
        if reason:
            raise UsageError(f"--set {key} has no effect: {reason}")


def _why_without_effect(config: Config, key: str) -> str | None:
    """Returns why a key changes nothing together with the others, and what to do; or None."""
    section, _, rest = key.partition(".")
    source, detector, segmenter = config.box.source, config.detect.model, config.segment.model
    method = config.select.method
    if section == "detect" and source != "detect" and (rest, detector) != ("model", "none"):
        return f"boxes come from box.source = {source}; add --set box.source=detect"
    if section == "segment" and rest != "model" and segmenter in ("none", "raw"):
        return (
            f"nothing is segmented with segment.model = {segmenter}; name a segmenter, e.g. "
            "--set segment.model=rvm_mobilenetv3"
        )
    if section == "segment" and segmenter == "grabcut" and rest in _OF_NETWORKS:
        return "segment.model = grabcut is no network"
    if section == "select" and rest != "method" and method == "none":
        return "every frame is kept with select.method = none; add --set select.method=last"
    if key == "select.buffer" and method == "last":
        return "with select.method = last one pose is remembered; add --set select.method=ring"
    return None


def _why_nothing_is_judged(config: Config, key: str, spec: DatasetSpec | None) -> str | None:
    """Returns why a limit judges nothing in a dataset; None if it does, or it is no limit."""
    section, _, limit = key.partition(".")
    if section != "check" or limit == "enabled":
        return None
    if not config.check.enabled:
        return "nothing is checked with check.enabled = false"
    if limit == "min_detected" and not needs_detector(config):
        return f"boxes come from no detector with box.source = {config.box.source}"
    if spec is None:
        return None
    if limit in OF_WORLD_JOINTS and spec.kind != "3d":
        return f"{spec.name} has no joints in the world, its kind is {spec.kind}"
    if limit in OF_CAMERAS and spec.kind == "2d" and spec.world_up is None:
        return f"{spec.name} has no cameras, its kind is 2d"
    return None
