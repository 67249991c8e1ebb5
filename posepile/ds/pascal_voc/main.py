"""PASCAL VOC 2012: objects other than people, cut out, which training puts before people.

See README.md. A helper: consumers open the official files, and the cut-out objects in their cache
folder, which they make themselves where they are not there.
"""

from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from posepile import paths
from posepile.files import files_below, read_json
from posepile.formats.derived import make_once, work_folder, write_if_changed
from posepile.formats.voc_files import VocObject
from posepile.imaging.cutouts import cut_out
from posepile.joint_info import JointInfo
from posepile.recipe import DatasetSpec
from posepile.shapes import voc

SPEC = DatasetSpec(
    name="pascal_voc",
    joint_info=JointInfo([]),
    image_dir="",
    kind="helper",
    citation="everingham2012voc: Everingham et al., PASCAL Visual Object Classes Challenge 2012",
    licence="photographs under the terms of Flickr; citation asked for",
)
VERSION = 1  # of how objects are cut out


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        min_pixels: An object of fewer pixels is no occluder.
        min_inside: At least this share of an object's pixels lies in its box.
        max_damaged: Largest share of the pictures that may be damaged.
    """

    model_config = ConfigDict(extra="forbid")

    min_pixels: int = Field(500, ge=1)
    min_inside: float = Field(0.5, ge=0, le=1)
    max_damaged: float = Field(0.05, ge=0, lt=1)


def artefacts(root: Path, options: Options) -> list[Path]:
    """The occluders in the consumers' cache, what is said of them, and the official folders."""
    made = [paths.cache_dir() / f"pascal_voc_occluders.{kind}" for kind in ("pkl", "json")]
    return made + [root / folder for folder in voc.FOLDERS]


def calibrate(root: Path, options: Options) -> list[str]:
    """Cuts the objects out, unless that has been done from these very files."""
    file, record = made = artefacts(root, options)[:2]
    raw = (f for folder in voc.FOLDERS for f in files_below(root / folder, "*"))
    memory, version = work_folder(root) / "occluders.json", [options, VERSION]
    make_once(made, raw, memory, lambda: make_occluders(root, *made, options), version)
    told = read_json(record)
    lines = [f"{told['occluders']} occluders of {told['segmented']} segmented pictures: {file}"]
    lines += [f"left out: {n} x {reason}" for reason, n in told["left_out"].items()]
    return lines + [f"left out: {fault}" for fault in told["damaged"][:3]]


def doctor(root: Path, options: Options) -> list[str]:
    """Returns which of the files that consumers open are not there or damaged."""
    return voc.folder_faults(root)


def make_occluders(root: Path, file: Path, record: Path, options: Options) -> None:
    """Writes image and soft mask of each occluder, and what is said of them."""

    def why_not(thing: VocObject, n_pixels: int) -> str | None:
        reasons = {
            "person": thing.name == "person",
            "difficult": thing.difficult,
            "truncated": thing.truncated,
            "fewer pixels than dataset.min_pixels": n_pixels < options.min_pixels,
        }
        return next((reason for reason, holds in reasons.items() if holds), None)

    limits = options.min_inside, options.max_damaged
    objects, damaged, n = voc.cut_objects(root, why_not, cut_out, *limits)
    occluders = [pair for _, reason, pair in objects if not reason]
    # Under the name that NumPy's module has in older versions, which newer ones know as well.
    data = pickle.dumps(occluders, 3).replace(b"cnumpy._core.", b"cnumpy.core.", 1)
    write_if_changed(file, data)
    told = {"occluders": len(occluders), "segmented": n}
    told["left_out"] = Counter(reason for _, reason, _ in objects if reason)
    told["of_class"] = Counter(thing.name for thing, reason, _ in objects if not reason)
    told["damaged"] = [f"{Path(fault.file).name}: {fault.reason}" for fault in damaged]
    write_if_changed(record, told)
