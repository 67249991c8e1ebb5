"""DensePose-PoseTrack: points in frames of videos with their places on the surface of SMPL.

See README.md. One unit is some hundred frames of one annotation file in order of image id. The
file names its frames as PoseTrack 2017 did; the pictures are those of PoseTrack 2018. The person
index is the rank of the person's annotation within the frame; crops are named by its id.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import Field

from posepile.formats.text_files import iter_json
from posepile.joint_info import JointInfo
from posepile.recipe import CHOOSES_UNITS, DatasetSpec
from posepile.shapes.coco_files import CocoFile
from posepile.shapes.coco_people import known_id
from posepile.shapes.coco_places import first_there
from posepile.shapes.dense import FIELDS, OPTIONAL, DenseOptions, dense_recipe

SPEC = DatasetSpec(
    name="densepose_posetrack",
    joint_info=JointInfo(
        "nose,head,htop,lear,rear,lsho,rsho,lelb,relb,lwri,rwri,lhip,rhip,lkne,rkne,lank,rank",
        "rsho-relb-rwri,rhip-rkne-rank,head-htop",
    ),
    image_dir="densepose_posetrack_downscaled",
    kind="2d",
    citation="neverova2019slim: Neverova et al., Slim DensePose: Thrifty Learning from Sparse "
    "Annotations and Motion Cues, CVPR 2019",
    licence="annotations CC BY-NC 2.0, videos as PoseTrack: non-commercial research",
)

HINT = "posepile plan densepose_posetrack shows what to fetch"
UNLABELLED = "has_no_densepose"  # a key of frames without dense points, whatever its value is
NO_NAME = "its file_name or frame_id is of no frame of a video"
OTHER_FRAME = "its frame_id is of another frame than its file_name"
VIDEO = re.compile(r"(\d{1,6})_([a-z]+)(_[a-z]+)?")


class Options(DenseOptions):
    """Keys below ``dataset:``, beside those of :class:`DenseOptions`.

    Attributes:
        phases: Of ``train`` and ``val``: these, which must be there; None = those in place.
    """

    phases: list[str] | None = Field(None, min_length=1, json_schema_extra=CHOOSES_UNITS)


def files(root: Path, options: Options) -> dict[str, tuple[CocoFile, str]]:
    """Returns the annotation files: of frames with dense points alone, or of all."""
    found = {}
    images = ("images", "posetrack/images", "../posetrack/images")
    for phase in ("train", "val"):
        name = f"posetrack_{phase}2017.json"
        labels = (
            f"DensePose_PoseTrack/densepose_only_{name}",
            f"annotations/coco/densepose_{name}",
            f"DensePose_PoseTrack/densepose_{name}",
        )
        source = CocoFile(
            first_there(root / place for place in labels),
            first_there(root / place for place in images),
            visibility=(0, 1),
            optional=OPTIONAL,
            more=FIELDS,
            more_of_images=(UNLABELLED,),
            read=read,
            hint=HINT,
        )
        found[phase] = source, phase
    return found


def read(path: Path, kind: str) -> Iterator[dict]:
    """Yields entries of a file; pictures named ``<phase>/<number>_<institute>/<frame>.jpg``."""
    phase = "train" if "train" in path.stem else "val"
    images = iter_json(path, "images.item", hint=HINT) if kind == "images" else ()
    usual = Counter(base for image in images if (base := number_base(image, phase)) is not None)
    for entry in iter_json(path, f"{kind}.item", hint=HINT):
        if kind != "images" or not isinstance(entry, dict):
            yield entry
            continue
        base = number_base(entry, phase)
        is_usual = base is not None and base == usual.most_common(1)[0][0]
        fault = NO_NAME if base is None else None if is_usual else OTHER_FRAME
        yield {**entry, "file_name": new_name(entry, phase), "fault": fault}


def number_base(image: Any, phase: str) -> int | None:
    """Returns the number in the name of 2017 of a video's first frame: the same everywhere."""
    new = new_name(image, phase) if isinstance(image, dict) else None
    return None if new is None else int(Path(image["file_name"]).stem) - int(Path(new).stem)


def new_name(image: dict, phase: str) -> str | None:
    """Returns the name of a frame in the folders of 2018, but for the end of the video's name."""
    name, frame = str(image.get("file_name")), known_id(image.get("frame_id"))
    video = VIDEO.fullmatch(Path(name).parent.name)
    if video is None or type(frame) is not int or frame < 0 or not Path(name).stem.isdecimal():
        return None
    return f"{phase}/{int(video[1]):06d}_{video[2]}/{frame:06d}.jpg"


def place(picture: Path, names_in: Callable[[Path], Iterable[str]]) -> Path | None:
    """Returns where a frame lies: videos are named ``<number>_<institute>_<part>`` since 2018."""
    number, phase = picture.parent.name, picture.parent.parent
    videos = sorted(name for name in names_in(phase) if f"{name}_".startswith(f"{number}_"))
    there = (phase / video / picture.name for video in videos)
    return next((path for path in there if path.name in names_in(path.parent)), None)


list_units, load_unit, calibrate = dense_recipe(
    files, why_not=lambda *_: None, place=place, skip=UNLABELLED
)
