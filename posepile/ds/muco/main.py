"""MuCo-3DHP: composites of four people cut out of MPI-INF-3DHP, 2048x2048.

See README.md. Whoever uses it makes the pictures: with the authors' programs, or with
``posepile.ds.muco.compose``. A list says which frames of which takes are in each; labels, cameras
and masks are those of MPI-INF-3DHP. One unit is 500 composites of the list.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache, lru_cache, partial
from pathlib import Path, PureWindowsPath
from typing import Literal

import numpy as np
import rlemasklib
from pydantic import BaseModel, ConfigDict, Field

from posepile import recipe
from posepile.ds.muco import coco_pack, compose, takes
from posepile.ds.muco.takes import SIZE
from posepile.errors import CorruptInput
from posepile.files import names_in, presence
from posepile.formats.derived import derived_folder, work_folder
from posepile.formats.folders import check_start, files_by_id, files_by_number
from posepile.formats.matlab_files import MatCells, read_mat
from posepile.formats.schema import Array
from posepile.formats.text_files import read_json
from posepile.geometry import markerless
from posepile.geometry.pictures import box_of_mask, box_of_points
from posepile.geometry.skeletool import read_skeletool
from posepile.joint_info import JointInfo
from posepile.recipe import CHOOSES_UNITS, DatasetSpec, Sequence, Stills, Track, Unit
from posepile.shapes.multiview import view_sequence
from posepile.shapes.units import Rows, make_unit, unit_files, usable_only

PER_UNIT = 500  # as the authors' programs divide their list
LIST, SET = "sampled_dataset_info.mat", r"(un)?augmented_set_\d+"
NO_PICTURE, NO_MASK = "composite without a picture", "composite without a mask of a source"
BAD_TAKE = "composite of a take that cannot be used, see calibrate"
SPEC = DatasetSpec(
    name="muco",
    joint_info=JointInfo(markerless.ALL_NAMES, markerless.ALL_EDGES),
    image_dir="muco_downscaled",
    world_up=(0.0, 1.0, 0.0),
    synthetic=True,
    citation="mehta2018singleshot: Mehta et al., Single-Shot Multi-Person 3D Pose Estimation From "
    "Monocular RGB, 3DV 2018",
    licence="MPI-INF-3DHP: non-commercial research, no redistribution",
)


class Options(BaseModel):
    """Keys below ``dataset:``.

    Attributes:
        composites: ``official``: those of the authors' programs and list; ``own``: those that
            ``calibrate`` makes of the same takes, by a list of our own; ``coco_pack``: a third
            party's, of which there are no masks.
        first: Of the list, so many composites are used; None = all of which there is a picture.
        tdhp_root: Folder of MPI-INF-3DHP; None = ``3dhp`` in the raw folder, ``tdhp`` beside it.
        own_number: How many composites of our own are made.
        own_seed: Of their list.
        max_projection_px: How far labels in the picture may be from the projected ones (medians).
        max_views_mm: How far labels of two cameras may be from each other in the world.
        max_list_px: How far those of the authors' chunk files may be from ours.
        max_lens_px: How far the lens of somebody's take may be from that of the farthest person's,
            whose frame is behind all.
        min_in_mask: Share of the joints that must lie in the mask of a source.
    """

    model_config = ConfigDict(extra="forbid")

    composites: Literal["official", "own", "coco_pack"] = "official"
    first: int | None = Field(150_000, ge=1, json_schema_extra=CHOOSES_UNITS)
    tdhp_root: str | None = None
    own_number: int = Field(20_000, ge=1)
    own_seed: int = Field(0, ge=0)
    max_projection_px: float = Field(0.5, gt=0)
    max_views_mm: float = Field(5.0, gt=0)
    max_list_px: float = Field(0.5, gt=0)
    max_lens_px: float = Field(0.5, gt=0)
    min_in_mask: float = Field(0.5, gt=0, le=1)


def calibrate(root: Path, options: Options) -> list[str]:
    """Makes lists and labels quick to look into, our own composites, and compares the cameras."""
    if options.composites == "coco_pack":
        return [f"{sum(1 for _ in coco_pack.list_units(root))} units of the pack in COCO's format"]
    tdhp = takes.tdhp_root(root, options.tdhp_root)
    apart, faults = judge_takes(root, tdhp, options)
    cameras = [read_cameras(takes.take_folder(tdhp, t) / "camera.calibration") for t in apart]
    lines = [f"takes of MPI-INF-3DHP: {len(apart)} of {len(takes.TAKES)}"]
    lines += [f"not used: S{s}/Seq{q}: {fault}" for (s, q), fault in faults.items()]
    lines.append(
        f"labels of two cameras are up to {max(apart.values()):.1f} mm apart in the world"
    )
    if options.composites == "own":
        lines += compose.make(root, tdhp, list(apart), options.own_number, options.own_seed)
    for c in takes.CAMERAS:
        px = max((lens_apart(some[c], cameras[0][c]) for some in cameras), default=0.0)
        mm = max((np.linalg.norm(some[c].t - cameras[0][c].t) for some in cameras), default=0.0)
        if px > 0 or mm > 0:
            lines.append(f"camera {c} differs between takes: {px:.2f} px, {mm:.1f} mm apart")
    return [*lines, f"composites: {len(list_pieces(root, options))} times {PER_UNIT} or less"]


def judge_takes(root: Path, tdhp: Path, options: Options) -> tuple[dict, dict]:
    """Returns take -> how far labels of two cameras are apart, mm, and take -> what is wrong."""

    def check_take(take: tuple[int, int]) -> float:
        folder = takes.take_folder(tdhp, take)
        for kind in compose.KINDS:
            check_start(folder / kind, (f"img_{c}_{{:06d}}.jpg" for c in takes.CAMERAS))
        path = folder / "camera.calibration"
        recipe.looked_at(path)  # though it may have been read before
        cameras = read_cameras(path)
        points = np.load(takes.take_labels(root, folder) / "points.npy", mmap_mode="r")
        some = points[: len(takes.CAMERAS) + 1, :: 1 + points.shape[1] // 100]
        return markerless.check_rig(path, cameras, some, options.max_views_mm)

    there = (take for take in takes.TAKES if names_in(takes.take_folder(tdhp, take)))
    return usable_only(there, check_take, tdhp)


def doctor(root: Path, options: Options) -> list[str]:
    """Returns what the chosen composites need that is not there."""
    names = {"official": (LIST, SET), "coco_pack": (coco_pack.FILE,)}.get(options.composites, ())
    lacking = [n for n in names if not any(re.fullmatch(n, found) for found in names_in(root))]
    shown = [name.replace("(un)?", "(un)").replace(r"\d+", "001") for name in lacking]
    return [f"dataset.composites={options.composites} needs {name}" for name in shown]


def list_pieces(root: Path, options: Options) -> dict[int, Path]:
    """Returns number of a chunk, from 1 -> file of its sources ``[n, 4, 4]``; made once.

    Of each person subject, sequence, camera and frame.
    """
    own, first = options.composites == "own", options.first
    source = root / (f"{compose.FOLDER}/{compose.LIST}" if own else LIST)

    def make(folder: Path) -> None:
        rows = read_json(source, compose.DRAWN)["sources"] if own else read_list(source, first)
        for k in range(0, len(rows), PER_UNIT):
            np.save(folder / f"{k // PER_UNIT + 1:05d}.npy", np.int32(rows[k : k + PER_UNIT]))

    hint = "it comes with the authors' program: bash posepile/ds/muco/main.sh --dry-run says how"
    place = work_folder(root) / "list"
    folder = derived_folder([source], place, make, version=f"first-{first}", hint=hint)
    return files_by_number(folder, r"(\d+)\.npy")


def read_list(path: Path, first: int | None = None) -> np.ndarray:
    """Returns the sources of the first of the authors' composites, or of all, ``[n, 4, 4]``.

    Raises:
        CorruptInput: Unreadable, or people of a composite who are not of one camera.
    """
    cells = MatCells(path, "composite_info")
    n_all, rest = divmod(len(cells), 4)
    n = min(n_all, first or n_all)
    values = []
    for p in range(4):
        print(f"{path}: reads {n} of {n_all} composites, person {p + 1} of 4", file=sys.stderr)
        values += [np.ravel(cells.first_of(p * n_all + i)) for i in range(n)]
    if rest or any(len(v) != 4 for v in values):
        raise CorruptInput(path, f"found {len(cells)} cells; expected four of four numbers each")
    rows = np.array(values).reshape(4, n, 4).transpose(1, 0, 2)
    (s, q, c, k), whole = rows.astype(int).transpose(2, 0, 1), rows == rows.astype(int)
    fine = (s >= 1) & (s <= 8) & (q >= 1) & (q <= 2) & (c >= 0) & (c < 14) & (k >= 0)
    fine &= whole.all(axis=2) & (c == c[:, :1])
    if not fine.all():
        i = int((~fine).any(axis=1).argmax())
        found = f"composite {i + 1}: found {rows[i].tolist()}; expected subject 1 to 8, "
        raise CorruptInput(path, found + "sequence 1 or 2, one camera, a frame from 0 of each")
    return rows


def list_units(root: Path, options: Options) -> Iterator[Unit]:
    """Yields units of 500 composites of the list, of those of which there are pictures."""
    if options.composites == "coco_pack":
        yield from coco_pack.list_units(root)
        return
    tdhp, is_there = takes.tdhp_root(root, options.tdhp_root), presence()
    pieces, labels_of = list_pieces(root, options), cache(partial(takes.take_labels, root))
    usable, _ = judge_takes(root, tdhp, options)
    wanted = compose.FOLDER if options.composites == "own" else SET
    for name in sorted(name for name in names_in(root) if re.fullmatch(wanted, name)):
        pictures = pictures_of(root / name)
        last = min(max(pictures, default=0), options.first or np.inf)
        for chunk, piece in pieces.items():
            sources, begin = np.load(piece), (chunk - 1) * PER_UNIT + 1
            if begin > last:
                break
            counts, kept = Counter(), []
            for i, people in enumerate(sources[: int(last) - begin + 1]):
                masks = [takes.frame_file(tdhp, k, p) for p in people for k in takes.MASKS]
                if begin + i not in pictures:
                    counts[NO_PICTURE] += 1
                elif not all(map(is_there, masks)):
                    counts[NO_MASK] += 1
                elif not {tuple(person[:2]) for person in people.tolist()} <= usable.keys():
                    counts[BAD_TAKE] += 1
                else:
                    kept.append((i, masks))
            used = sorted({tuple(v[:2]) for i, _ in kept for v in sources[i].tolist()})
            folders = [takes.take_folder(tdhp, take) for take in used]
            files = {"sources": piece, "chunk?": root / name / f"chunk_{chunk:05d}_annot.mat"}
            files["pictures"] = [pictures[begin + i] for i, _ in kept]
            files["masks"] = [mask for _, masks in kept for mask in masks]
            files["cameras"] = [folder / "camera.calibration" for folder in folders]
            labels = [labels_of(folder) for folder in folders]
            files |= {k: [made / f"{k}.npy" for made in labels] for k in takes.LABELS}
            told = {"rows": [i for i, _ in kept], "takes": used, "dropped": counts}
            yield make_unit(f"{name}/{chunk:05d}", "train", files, **told)


def pictures_of(folder: Path) -> dict[int, Path]:
    """Returns composites by number, from 1; also where they were moved to NN/NNNN/NNNNNN.jpg."""
    found = files_by_id(folder, r"0*(\d+)(?<=\d{6})\.jpg")
    if "0" in found:
        hint = "number them as the authors' programs do, from 1, or compose them again"
        raise CorruptInput(found["0"], "composites are numbered from 0; expected 1", hint=hint)
    return {int(number): path for number, path in found.items()}


def load_unit(root: Path, unit: Unit, options: Options) -> list[Sequence]:
    """Returns some composites; each one's people are tracks, by their places in the list."""
    if options.composites == "coco_pack":
        return [coco_pack.load_unit(unit, options.max_projection_px)]
    files, used = unit_files(unit), [tuple(take) for take in unit.args["takes"]]
    sources, n = np.load(files["sources"])[unit.args["rows"]], len(files["pictures"])
    of_take = {key: dict(zip(used, files[key], strict=True)) for key in takes.LABELS}
    cameras = {take: read_cameras(path) for take, path in zip(used, files["cameras"], strict=True)}
    labels = {key: np.empty((n, 4, *shape), np.float32) for key, shape in takes.LABELS.items()}
    for key, found in labels.items():
        stored = {take: np.load(path, mmap_mode="r") for take, path in of_take[key].items()}
        for i, p in np.ndindex(n, 4):
            s, q, c, k = sources[i, p]
            if k >= stored[s, q].shape[1]:
                text = f"has {stored[s, q].shape[1]} frames; expected frame {k} of a composite"
                raise CorruptInput(of_take[key][s, q], text, hint="labels of another release?")
            found[i, p] = stored[s, q][c, k]
    near_first = np.argsort(labels["depth"], axis=1, kind="stable")
    own = [[cameras[s, q][c] for s, q, c, _ in people] for people in sources.tolist()]
    behind = [own[i][near_first[i, 3]] for i in range(n)]
    apart, world = np.empty((n, 4)), np.empty_like(labels["points"])
    for i, camera in enumerate(behind):
        apart[i] = [lens_apart(other, camera) for other in own[i]]
        world[i] = camera.camera_to_world(labels["points"][i])
    same_lens = apart <= options.max_lens_px
    checks = {}
    if n:
        who = np.argwhere(same_lens)
        seen = world[same_lens][:, takes.LABELLED], labels["pixels"][same_lens][:, takes.LABELLED]
        limit = options.max_projection_px
        checks = markerless.check_labels(
            files["points"][0].parent, lambda k: behind[who[k][0]], *seen, limit
        )
    if "chunk" in files and n:
        pixels = np.take_along_axis(labels["pixels"], near_first[..., None, None], axis=1)
        names = [path.name for path in files["pictures"]]
        checks["list_px"] = check_chunk(files["chunk"], names, pixels, options.max_list_px)
    visible = takes.Visible(files["masks"], labels["pixels"], near_first, options.min_in_mask)

    def why_not(p: int, k: int) -> str | None:
        seen = visible(k, p)
        if seen is None:
            return "mask of a source is not of its person"
        if not same_lens[k, p]:
            return "lens of another take"
        return None if rlemasklib.area(seen) else "nobody seen"

    def box(p: int, k: int) -> np.ndarray:
        """The visible pixels, and of these the rows between which the joints are."""
        seen = box_of_mask(visible(k, p))
        joints = box_of_points(labels["pixels"][k, p], SIZE, 1.05)
        top, bottom = max(seen[1], joints[1]), min(seen[[1, 3]].sum(), joints[[1, 3]].sum())
        return np.array([seen[0], top, seen[2], max(bottom - top, 0)], np.float32)

    people = [
        Track(
            np.arange(n),
            person=p,
            world_coords=world[:, p][:, takes.OURS],
            bbox=Rows(range(n), partial(box, p)),
            mask=partial(lambda p, k: visible(k, p), p),
            one_person=False,
            unusable=partial(why_not, p),
            note=compose.NOTE if options.composites == "own" else "",
        )
        for p in range(4)
    ]
    folder = unit.id.partition("/")[0]
    pictures = Stills(files["pictures"], (SIZE,) * n)
    told = {"scene": "green-screen", "checks": checks, "dropped": unit.args["dropped"]}
    told["image_name"] = lambda k, p: f"{folder}/{nested(pictures.paths[k].stem)}_{p}.jpg"
    return [view_sequence(unit, pictures, behind.__getitem__, people, **told)]


def nested(stem: str) -> str:
    """Returns the path of a composite by its number, as PosePile has it."""
    return f"{stem[:2]}/{stem[:4]}/{stem}"


@lru_cache(maxsize=16)
def read_cameras(path: Path) -> list:
    """Returns the 14 cameras of a take."""
    return read_skeletool(path, 14, size=SIZE, world_up=SPEC.world_up)


def lens_apart(camera, other) -> float:
    """Returns how far the intrinsics of two cameras are apart, pixels."""
    return float(np.abs(camera.intrinsic_matrix - other.intrinsic_matrix).max())


def check_chunk(path: Path, names: list[str], pixels: np.ndarray, limit: float) -> float:
    """Returns how far 2D joints of the authors' composites are from ours, front to back, at most.

    Raises:
        CorruptInput: They are further: the list is not that of the pictures.
    """
    told = read_mat(path, {"img_names": None, "joint_loc2": Array(2, 21, 4, "n", squeezed=True)})
    stored = [PureWindowsPath(name).name for name in np.ravel(told["img_names"]).tolist()]
    stored = dict(zip(stored, told["joint_loc2"].T, strict=True))
    if lost := [name for name in names if name not in stored]:
        raise CorruptInput(path, f"does not name {lost[0]}, which is there")
    ours = pixels[:, :, takes.EXTENDED]
    off = np.abs([stored[name] for name in names] - ours).max(axis=(1, 2, 3))
    if off.max() > limit:
        found = f"joints of {names[off.argmax()]} are {off.max():.0f} px from those of the list; "
        hint = "list and composites are not of one run, or frames do not count from 0"
        raise CorruptInput(path, found + f"expected at most {limit:g} px", hint=hint)
    return float(off.max())
