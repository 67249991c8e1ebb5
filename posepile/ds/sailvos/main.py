"""SAIL-VOS: cut scenes of the game GTA V with masks, and the pose files that were never published.

See README.md. One unit is one cut scene. No camera is published: one pinhole is fitted to the pose
files of all people in a picture, whose rows are bones in the world and in the picture. Lengths
become millimetres from the mean position of the scene's cameras.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import rlemasklib
from pydantic import BaseModel, ConfigDict, Field

from posepile.bodies.checks import check_up
from posepile.errors import CorruptInput
from posepile.formats.arrays import read_array
from posepile.formats.folders import folders_holding, in_order, names_like, read_in_order
from posepile.formats.keys import by_key
from posepile.formats.schema import Array
from posepile.formats.text_files import read_numbers
from posepile.geometry.cameras import make_camera
from posepile.geometry.focals import fit_focals
from posepile.geometry.pictures import box_of_mask, inside
from posepile.imaging.amodal import check_amodal, compare_amodal
from posepile.joint_info import JointInfo
from posepile.recipe import Bystander, DatasetSpec, Sequence, Stills, Track, Unit
from posepile.shapes.multiview import view_sequence
from posepile.shapes.stills import left_out_sequence, left_out_units
from posepile.shapes.units import Rows, make_unit, same_count, unit_files

SIZE = (1280, 800)
LENS = {"principal": (640, 400), "pixel_origin": "edge", "size": SIZE}
FOCALS = (537.0, 2389.0)  # of fields of view of 100 and 30 degrees
# Rows of the pose files whose mean, of the valid ones, is a joint. Their names are not known.
ROWS = (
    "htop 341 8,neck 61,rsho 216 234,relb 171,rwri 164 309,lsho 255 39,lelb 330,lwri 108,"
    "rhip 45 294,rkne 215 131 253,rank 295,lhip 144 315,lkne 147 342 27,lank 85,spin 152,"
    "head 206 128 102,pelv 307 312,rtoe 130,ltoe 11,nose 167 188 191 310,reye 194 193 236 78,"
    "leye 227 304 58 229,rear 37 260 195,lear 47 148 232,rhan 323,lhan 160"
)
ROWS = {name: list(map(int, rows)) for name, *rows in map(str.split, ROWS.split(","))}
N_ROWS, NAMES, KINDS = 343, list(ROWS), (".png", "_2d.txt", "_3d.txt")
NO_POSE = "person without pose files, which are not published"
INCOMPLETE = "pose without its other file, mask, picture or map of what is visible"
NO_CAMERA = "no camera fits the pose files of the picture"
VAGUE = "focal length is not told by the pose files of the picture"
OUTSIDE = "visible pixels outside of the person's amodal mask"
OTHER = "folder without pictures called images/<6 digits>.bmp or .jpg, as "
SPEC = DatasetSpec(
    name="sailvos",
    joint_info=JointInfo(
        NAMES,
        "htop-head-neck-spin-pelv-rhip-rkne-rank-rtoe,neck-rsho-relb-rwri-rhan,nose-reye-rear",
    ),
    image_dir="sailvos_downscaled",
    world_up=(0.0, 0.0, 1.0),
    synthetic=True,
    citation="hu2019sailvos: Hu et al., Semantic Amodal Instance Level Video Object..., CVPR 2019",
    licence="SAIL-VOS terms of use: research",
    sequence_names=r"[^/]+",
)


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        max_camera_px: Root mean square distance of bones from their pixels by the fitted camera;
            pictures without such a camera are left out.
        max_focal_error: Standard error of its focal length, as a share, above which they are, too.
        max_unfitted: Largest share of a scene's pictures that may be without camera.
        max_outside: People of whose visible pixels a larger share is outside of their amodal mask
            are left out; a scene is refused if half of them are such.
        max_hidden: People of whom a larger share is hidden are left out.
        min_side: Shorter side of the box around someone's visible pixels.
    """

    model_config = ConfigDict(extra="forbid")

    max_camera_px: float = Field(2.0, gt=0)
    max_focal_error: float = Field(0.1, gt=0)
    max_unfitted: float = Field(0.5, ge=0, le=1)
    max_outside: float = Field(0.1, ge=0, le=1)
    max_hidden: float = Field(0.75, ge=0, le=1)
    min_side: float = Field(50.0, ge=0)


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields one unit per cut scene, and one that counts folders that look like it."""
    scenes, other = folders_holding(root, "images")
    for name in scenes:
        if pictures := in_order(root / name / "images", r"(\d{6})\.(?:bmp|png|jpe?g)"):
            visible = in_order(root / name / "visible", r"(\d{6})\.np[yz]")
            files = {"pictures": pictures, "visible": visible}
            people = [root / name / p for p in names_like(root / name, r"\d{4}_(?i:ped)_.*")]
            for kind in KINDS:
                found = [in_order(person, rf"(\d{{6}}){kind}") for person in people]
                files[kind] = [path for them in found for path in them]
            yield make_unit(name, "train", files)
        else:
            other.append(name)
    yield from left_out_units("left_out", "train", [OTHER + min(other, default="")] * len(other))


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns the people of a cut scene."""
    if lost := left_out_sequence(unit):
        return [lost]
    where, files = root / unit.id, unit_files(unit)
    maps = read_in_order(files["visible"], Path, "visible")
    numbers = [*read_in_order(files["pictures"], Path, "pictures")]
    frames = {number: i for i, number in enumerate(numbers)}
    of = lambda path: (int(path.parent.name[:4]), int(path.name[:6]))  # noqa: E731
    masks, seen, space = (
        by_key(((of(path), path.parent.name, path) for path in files[k]), where, "pose")
        for k in KINDS
    )
    whole = space.keys() & seen.keys() & masks.keys()
    whole = sorted(key for key in whole if key[1] in frames and key[1] in maps)
    no_pose = masks.keys() - space.keys() - seen.keys()
    dropped = {NO_POSE: len(no_pose), INCOMPLETE: len(space.keys() | seen.keys()) - len(whole)}
    joints, bones = {}, {}
    for key in whole:
        joints[key], bones[key] = read_pose(seen[key], space[key])
    up = [j[NAMES.index("neck")] - j[NAMES.index("pelv")] for j in joints.values()]
    check_up(where, np.reshape(up, (-1, 3)), SPEC.world_up)
    given = where, bones, LENS["principal"], FOCALS, options.max_camera_px
    found = fit_focals(*given, max_unfitted=options.max_unfitted)
    sure = {k: fit for k, (error, fit) in found.items() if error <= options.max_focal_error}
    origin = np.mean([fit["center"] for fit in sure.values()] or [[0, 0, 0]], axis=0)
    cameras, given = {}, LENS | {"unit": "m", "world_up": SPEC.world_up}
    for number, fit in sure.items():
        given |= fit | {"center": fit["center"] - origin}
        cameras[frames[number]] = make_camera(where, **given)

    def why_not(keys: list[tuple], k: int) -> str | None:
        """Returns why somebody gives no example in a picture, or None."""
        person, number = keys[k]
        if frames[number] not in cameras:
            return VAGUE if number in found else NO_CAMERA
        known = 1000 * joints[keys[k]][np.isfinite(joints[keys[k]]).all(axis=1)]
        if len(known) < 6 or not 100 <= np.sqrt(known.var(axis=0).sum()) <= 3000:
            return "fewer than 6 joints, or their spread is not 100 to 3000 mm"
        visible = read_visible(maps[number]).get(person)
        if not box_of_mask(visible)[2:].min() > options.min_side:
            return "shorter side of the visible box below dataset.min_side"
        hidden, outside = compare_amodal(visible, masks[keys[k]])
        if outside > options.max_outside:
            return OUTSIDE
        return "hidden by more than dataset.max_hidden" if hidden > options.max_hidden else None

    people, looks = [], []
    for person in sorted({person for person, _ in whole}):
        keys = [key for key in whole if key[0] == person]
        shown, world = [maps[key[1]] for key in keys], np.stack([joints[key] for key in keys])
        track = Track(np.array([frames[key[1]] for key in keys]), person, 1000 * (world - origin))
        track.bbox = Rows(shown, lambda path, p=person: box_of_mask(read_visible(path).get(p)))
        track.mask = lambda k, p=person, shown=shown: read_visible(shown[k]).get(p)
        track.unusable = partial(why_not, keys)
        people.append(track)
        looks.append((track.mask, [masks[key] for key in keys]))
    hint = "masks or maps of others? or raise dataset.max_outside"
    wrong = check_amodal(where, looks, options.max_outside, 0.5, hint=hint)
    stills = Stills(files["pictures"], (SIZE,) * len(numbers))
    told = {"image_name": lambda i, p: f"{unit.id}/images/{numbers[i]:06d}_{p:04d}.jpg"}
    told |= {"scene": unit.id, "dropped": dropped, "checks": {"masks_of_others_share": wrong}}
    sequence = view_sequence(unit, stills, cameras.get, people, **told)
    for person, number in no_pose:
        if number in frames and number in maps:
            look = lambda k=number, p=person: read_visible(maps[k]).get(p)  # noqa: E731
            sequence.bystanders.setdefault(frames[number], []).append(Bystander(mask=look))
    return [sequence]


def read_pose(seen: Path, space: Path) -> tuple[np.ndarray, np.ndarray]:
    """Returns joints ``[26, 3]``, metres, and place and pixels ``[n, 5]`` of bones in view."""
    xyz, pixels = read_numbers(space, Array("n", 3)), read_numbers(seen, Array("n", 2))
    if same_count({space: len(xyz), seen: len(pixels)}, "rows") < N_ROWS:
        raise CorruptInput(space, f"found {len(xyz)} rows; expected at least {N_ROWS}")
    xyz[~xyz.any(axis=1)] = np.nan
    pixels[~inside(pixels - 0.5, SIZE)] = np.nan  # -1280 or -800: not in the picture
    bones, rows = np.hstack([xyz, pixels]), np.ma.masked_invalid(xyz)
    joints = np.stack([rows[those].mean(axis=0).filled(np.nan) for those in ROWS.values()])
    return joints, bones[np.isfinite(bones).all(axis=1)]


@lru_cache(maxsize=1024)
def read_visible(path: Path) -> dict[int, dict]:
    """Returns the visible pixels of each object of a map as RLE."""
    ids = read_array(path, {".npz": "visible_ids"}.get(path.suffix), SIZE[::-1])
    return {int(k): rlemasklib.encode((ids == k).astype(np.uint8)) for k in np.unique(ids)}
