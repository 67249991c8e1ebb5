"""3DPeople: 80 dressed people rendered in 70 motions each, seen by four cameras, 640x480.

See README.md. One unit is one motion of one person as seen by one camera. Pictures, skeletons and
segmentations belong together by the numbers in their names. There are no extrinsics: the pose of
the camera follows from the 2D and 3D joints of each picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import rlemasklib
from pydantic import BaseModel, ConfigDict, Field

from posepile import recipe
from posepile.ds.tdpeople.votes import read_skeleton, read_votes
from posepile.errors import CorruptInput
from posepile.files import files_below, names_in
from posepile.formats.folders import files_by_number
from posepile.geometry.cameras import moving_cameras
from posepile.geometry.fitting import fit_pose
from posepile.geometry.pictures import box_of_mask
from posepile.imaging.masks import MaskedStills, pixels_of_color, read_label_image
from posepile.joint_info import JointInfo
from posepile.recipe import DatasetSpec, Sequence, Stills, Track, Unit
from posepile.shapes.described.clips import TO_Z_UP
from posepile.shapes.multiview import view_sequence
from posepile.shapes.silhouettes import check_same_frames, joints_outside_mask
from posepile.shapes.stills import left_out_sequence, left_out_units
from posepile.shapes.units import UNLABELLED, Rows, make_unit, unit_files, unlabelled

SIZE, LENS = (640, 480), np.array([[700.0, 0, 320], [0, 700, 240], [0, 0, 1]])
GREY, NEARLY = (153, 153, 153), 10  # the background of segmentations
SUBJECTS = [f"{kind}{i:02d}" for kind in ("woman", "man") for i in range(1, 41)]
NOBODY, UNSEEN = "in rgb, but named after none of the people", "skeleton without a picture"
NO_LOOKS, TWICE = "file in no folder of an appearance", "folder with two files of one number"
SPEC = DatasetSpec(
    name="tdpeople",
    joint_info=JointInfo(
        "pelv,spin,spi1,spi2,neck,head,reye,leye,htop,lcla,lsho,lelb,lwri,lhan,"
        "rcla,rsho,relb,rwri,rhan,lhip,lkne,lank,lfoo,ltoe,rhip,rkne,rank,rfoo,rtoe",
        "pelv-spin-spi1-spi2-neck-head-htop,pelv-rhip-rkne-rank-rfoo-rtoe,"
        "spi2-rcla-rsho-relb-rwri-rhan,leye-reye",
    ),
    image_dir="3dpeople_downscaled",
    world_up=(0.0, 0.0, 1.0),
    single_person=True,
    synthetic=True,
    realistic_background=False,
    citation="pumarola2019threedpeople: Pumarola et al., 3DPeople: Modeling the Geometry of "
    "Dressed Humans, ICCV 2019",
    licence="3DPeople: access on request, terms not published",
    sequence_names=r"(?P<subject>\w+)/(?P<motion>\w+)/(?P<view>camera\d\d)/.+",
)


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        subjects: ``woman01`` to ``man40``; None = all.
        min_vote: Share of frames that must agree on which row of a skeleton is which joint.
        max_views_mm: How far joints may be apart in two cameras that tell the same world.
        max_projection_px: How far 2D joints may be from projected 3D joints (RMS of a picture).
        max_outside_mask: Share of the joints that may project outside the person's pixels.
        max_skin_outside: Share of the body's parts that the segmentation of clothes may lack.
        max_unlabelled: Share of the pictures of a unit that may lack a skeleton.
    """

    model_config = ConfigDict(extra="forbid")

    subjects: list[str] | None = Field(None, min_length=1, json_schema_extra=recipe.CHOOSES_UNITS)
    min_vote: float = Field(0.95, gt=0.5, le=1)
    max_views_mm: float = Field(1.0, gt=0)
    max_projection_px: float = Field(1.0, gt=0)
    max_outside_mask: float = Field(0.2, gt=0, le=1)
    max_skin_outside: float = Field(0.05, gt=0, le=1)
    max_unlabelled: float = Field(0.1, ge=0, le=1)


def calibrate(root: Path, options: Options) -> list[str]:
    """Lets some 500 frames vote on the order of joints; says how they did."""
    return read_votes(root, options.min_vote, options.max_views_mm)["lines"]


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields one unit per person, motion and camera; what else is there is counted in one more."""
    votes, there = read_votes(root, options.min_vote, options.max_views_mm), names_in(root / "rgb")
    decided = {"joints": votes["joints"], "up": votes["up"]}
    lost = [NOBODY for _ in there.difference(SUBJECTS)]
    for subject in sorted(recipe.chosen_subjects(options.subjects, SUBJECTS) & there):
        split = "test" if int(subject[-2:]) > 33 else "train"
        for below in ("*", "*/*", "*/*/*"):  # action, camera, appearance
            for folder in files_below(root / "rgb" / subject, below):
                id = folder.relative_to(root / "rgb")
                if not folder.is_dir():
                    lost.append(NO_LOOKS)
                elif below == "*/*/*":
                    try:
                        files = list_files(root, id.parent, folder)
                    except CorruptInput:
                        lost.append(TWICE)
                    else:
                        yield make_unit(id.as_posix(), split, files, **decided)
    yield from left_out_units("left_out", "train", lost)


def list_files(root: Path, id: Path, folder: Path) -> dict[str, list[Path]]:
    """Returns the files of a unit, those of one number at the same place in their lists."""
    pictures = files_by_number(folder, r"(\d+)\.jpg")
    skeletons = files_by_number(root / "skeleton" / id, r"(\d+)\.txt")
    numbers = [number for number in pictures if number in skeletons]
    masks, parts = (root / f"segmentation_{what}" / id for what in ("clothes", "body"))
    files = {"masks": [masks / f"{pictures[number].stem}.png" for number in numbers]}
    files["parts"] = [parts / m.name for m in files["masks"][:1] if m.name in names_in(parts)]
    files["lost"] = [picture for number, picture in pictures.items() if number not in skeletons]
    files["unseen"] = [path for k, path in skeletons.items() if k and k not in pictures]
    files["pictures"] = [pictures[number] for number in numbers]
    files["skeletons"] = [skeletons[number] for number in numbers]
    return files


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns one motion of one person as seen by one camera, or what was left out."""
    if left_out := left_out_sequence(unit):
        return [left_out]
    files = unit_files(unit)
    pictures, n = files["pictures"], len(files["pictures"])
    lost = unlabelled([*pictures, *files["lost"]], pictures, options.max_unlabelled)
    if not n:
        found, hint = "found no <number>.jpg with a skeleton", "extract both again"
        raise CorruptInput(root / "rgb" / unit.id, found, hint=hint)
    points, poses, off = np.empty((n, 67, 3)), np.empty((n, 3, 4)), [0.0]
    for k, path in enumerate(files["skeletons"]):
        pixels, stored = read_skeleton(path)
        points[k] = stored @ np.transpose(TO_Z_UP[unit.args["up"]])
        *pose, rms = fit_pose(path, points[k], pixels, LENS, options.max_projection_px)
        poses[k], off = np.column_stack(pose), [*off, rms]
    given = {"world_to_camera": poses, "intrinsics": LENS, "size": SIZE, "world_up": SPEC.world_up}
    shown = {int(path.stem): path for path in pictures}  # frames are these numbers
    camera = moving_cameras(files["skeletons"][0].parent, [*shown], **given)
    images, masks = (dict(enumerate(files[key])) for key in ("pictures", "masks"))
    seen = MaskedStills(images, masks, lambda picture: ~pixels_of_color(picture, GREY, NEARLY))
    person = Track(
        np.array([*shown]),
        world_coords=np.float32(points[:, unit.args["joints"]]),
        motion_coords=np.float32(points),
        bbox=Rows(range(n), lambda k: box_of_mask(seen.mask(k))),
        mask=seen.mask,
        unusable=seen.why_not,
        activity=unit.id.split("/")[1],
    )
    compared, most = (files["masks"][0].parent, person, camera), options.max_outside_mask
    hint = "pictures, skeletons and segmentations are not of one frame; extract them again"
    outside = joints_outside_mask(*compared, most, hint=hint)
    checks = {"projection_px": max(off), "joints_outside_mask": outside}
    if most < 1:
        check_same_frames(*compared, hint=f"{hint}; dataset.max_outside_mask=1 accepts them")
    if files["parts"]:
        part = ~pixels_of_color(read_label_image(files["parts"][0]), GREY, NEARLY)
        if part.shape != SIZE[::-1]:
            raise CorruptInput(files["parts"][0], f"found {part.shape}; expected {SIZE[::-1]}")
        bare = part & ~rlemasklib.decode(seen.mask(0)).astype(bool)
        checks["skin_outside_mask"] = share = float(bare.sum() / max(part.sum(), 1))
        if share > options.max_skin_outside:
            most = options.max_skin_outside
            found = f"lacks {share:.0%} of the body's parts; expected at most {most:.0%}"
            raise CorruptInput(files["masks"][0], found, hint="does it show clothes without skin?")
    told = {"checks": checks, "dropped": {UNLABELLED: len(lost), UNSEEN: len(files["unseen"])}}
    told["image_name"] = lambda k, _: f"{unit.id}/{shown[k].name}"
    paths = tuple(shown.get(k, pictures[0]) for k in range(max(shown) + 1))  # or never read
    return [view_sequence(unit, Stills(paths, (SIZE,) * len(paths)), camera, [person], **told)]
