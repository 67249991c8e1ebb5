"""INRIA Holidays: photographs without people, which training pastes behind people it has cut out.

See README.md. A helper: it leaves small upright pictures behind and the list of those in which
nobody is, with what has made that list beside it.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from posepile.acquire.places import measure
from posepile.errors import CorruptInput
from posepile.files import names_in
from posepile.formats.derived import work_folder, write_if_changed
from posepile.formats.detection_files import read_detections
from posepile.formats.text_files import read_json, read_lines
from posepile.joint_info import JointInfo
from posepile.models.in_pictures import detect_in_pictures
from posepile.models.params import DetectParams, detects_only
from posepile.recipe import DatasetSpec
from posepile.shapes.squares import make_squares, square_fault

SPEC = DatasetSpec(
    name="inria_holidays",
    joint_info=JointInfo([]),
    image_dir="",
    kind="helper",
    citation="jegou2008hamming: Jegou, Douze, Schmid, Hamming Embedding and Weak Geometric "
    "Consistency for Large Scale Image Search, ECCV 2008",
    licence="INRIA is the copyright holder of all pictures; provided as is, citation asked for",
)
ORIGINALS, SMALL, SIDE = "jpg", "jpg_small", 512
LIST, RECORD = "non_person_images.txt", "non_person_images.json"
SHIPPED = Path(__file__).with_name(RECORD)  # none yet, see README.md
UPSTREAMS = "yolov4_person_detections.pkl"


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        detections: Pickle in the raw folder that tells who is in the pictures, name -> ``[n, 5]``:
            it is used before all else. The default one need not be there; null: none.
        shipped: Take the list that comes with the recipe, if one does, and do not detect.
        detect: The detector, else. A person it misses becomes a second one without labels in
            training pictures, so its threshold is low.
        max_damaged: Largest share of the pictures that may be damaged.
    """

    model_config = ConfigDict(extra="forbid")

    detections: str | None = UPSTREAMS
    shipped: bool = True
    detect: DetectParams = DetectParams(model="yolox_x", score=0.25)
    max_damaged: float = Field(0.2, ge=0, lt=1)

    _detects = field_validator("detect")(detects_only)


def artefacts(root: Path, options: Options) -> list[Path]:
    """The list, what has made it, and the folder of the pictures in it."""
    return [root / LIST, root / RECORD, root / SMALL]


def calibrate(root: Path, options: Options) -> list[str]:
    """Makes the small pictures that are not there yet, and the list of those without people."""
    made, damaged = make_squares(root / ORIGINALS, root / SMALL, SIDE, options.max_damaged)
    n_people, made_by = count_people(root, [*made], damaged, options)
    empty = [name for name in made if n_people.get(name) == 0]
    told = {
        "without people": len(empty),
        "with people": sum(n_people.get(name, 0) > 0 for name in made),
        "of which nothing is known": sum(name not in n_people for name in made),
        "damaged": len(damaged),
    }
    if not empty:
        raise CorruptInput(root / SMALL, f"found no picture without people among {len(made)}")
    write_if_changed(root / LIST, "\n".join(empty).encode())
    record = {"made_by": made_by, "pictures": told, "without_people": empty}
    write_if_changed(root / RECORD, {**record, "damaged": sorted(damaged)})
    lines = [f"{len(made)} pictures of {SIDE}x{SIDE} in {SMALL}, {sum(made.values())} made now"]
    by = ", ".join(f"{key} {value}" for key, value in made_by.items())
    lines.append(f"{', '.join(f'{n} {what}' for what, n in told.items())}; by {by}")
    return lines + [f"left out: {fault}" for fault in damaged.values()][:3]


def doctor(root: Path, options: Options) -> list[str]:
    """Returns what is wrong with the pictures that the list names, if it has been made."""
    if not names_in(root / ORIGINALS) | names_in(root / SMALL):
        return [f"  {root / ORIGINALS}: no pictures"]
    listed = read_lines(root / LIST) if LIST in names_in(root) else []
    lost = [name for name in listed if square_fault(root / SMALL / name, SIDE)]
    some = f"{root / LIST}: {len(lost)} of {len(listed)} listed pictures cannot be used in {SMALL}"
    return [f"  {some}: {', '.join(lost[:3])}"] if lost else []


def count_people(
    root: Path, names: list[str], damaged: Collection[str], options: Options
) -> tuple[dict[str, int], Any]:
    """Returns how many people are in each picture, and who says so."""
    path = root / (options.detections or "")
    if options.detections and (options.detections != UPSTREAMS or path.is_file()):
        rows = read_detections(path, names)
        return {name: len(rows[name]) for name in rows}, {"file": path.name, **measure(path)}
    if options.shipped and SHIPPED.is_file():
        shipped = read_json(SHIPPED, {"made_by": {"*": None}, "without_people": [str]})
        listed = shipped["without_people"]
        lost = sorted({*listed} - {*names, *damaged})
        if lost:
            text = f"{len(lost)} of {len(listed)} pictures of the list are missing"
            raise CorruptInput(root / ORIGINALS / lost[0], text, hint="posepile doctor")
        return {name: int(name not in listed) for name in names}, shipped["made_by"]
    memory = work_folder(root) / "detections.json"
    found, network = detect_in_pictures([root / SMALL / n for n in names], options.detect, memory)
    return {name: len(boxes) for name, boxes in found.items()}, network
