"""What a dataset's ``main.py`` hands to the pipeline: units, sequences and tracks, as plain data.

A recipe module (``posepile/ds/<name>/main.py``) defines

* ``SPEC``: a :class:`DatasetSpec`, what is true of the whole dataset;
* ``list_units(root, options) -> Iterable[Unit]``: the independent units of work in any order,
  yielded one by one. What there is, it decides by listing folders and opening small files, never
  by asking for single files that are not among the inputs of a unit: what it looked at tells when
  the list is out of date. Seen are ``open`` (and all that Python opens with it), ``os.listdir``,
  ``os.scandir``, ``os.stat`` (and so ``is_file``, ``exists``, ``glob``) and ``sqlite3.connect``.
  Not seen is what C libraries open by themselves (``cv2.imread``, ``av.open``, ``h5py``): a file
  read so is named with :func:`looked_at`;
* ``load_unit(root, unit, options) -> list[Sequence]``: the annotations of one unit; no pixel is
  read here;
* optionally ``Options``: a pydantic model of the keys below ``dataset:`` in its configuration;
  a dataset with subjects has ``subjects`` among them, a list of their ids (see
  :func:`chosen_subjects`). Options that only say which units to list, and change none of them, are
  marked: ``Field(None, json_schema_extra=CHOOSES_UNITS)``; see :func:`result_options`;
* optionally ``calibrate(root, options) -> list[str]``: whatever must be derived once from the raw
  files before units can be loaded; idempotent and crash-safe; returns lines for the summary; of
  many files raises :class:`posepile.errors.PartlyDone` where only some cannot be used;
* a helper, whose ``SPEC.kind`` says so, has neither units nor sequences but
  ``artefacts(root, options) -> list[Path]``: the files that its ``download`` and ``calibrate``
  leave behind;
* optionally ``plan(root, options) -> list[str]``, ``download(root, options) -> list[str]`` and
  ``doctor(root, options) -> list[str]`` (problems found), where sources.yaml alone does not do.

What main.py says, and what the modules say that it imports from its folder and from the floors
below the stages, is part of the key of every result: after a change of the code (comments and
docstrings aside) units are made again, unless ``--keep-results`` is asked for.

A recipe knows nothing of workers, parts or archives. Everything it leaves out it counts in
``Sequence.dropped`` with the reason.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from posepile.errors import UsageError

if TYPE_CHECKING:
    import deltacamera
    from pydantic import BaseModel

    from posepile.joint_info import JointInfo

SPLITS = ("train", "val", "test")

# Keys of ``Pose3DDataset.examples``, an interface of training code.
TRAIN, VALID, TEST = range(3)
SPLIT_NAMES = dict(enumerate(SPLITS))


@dataclass(frozen=True)
class DatasetSpec:
    """Facts about a dataset, declared once; they travel with the data into the archive's metadata.

    Attributes:
        name: Folder name under ``posepile/ds``.
        joint_info: Joints and edges; empty for datasets that carry body-model parameters only.
        image_dir: First component of every ``image_path``. An interface: training code selects
            datasets by it (e.g. ``aspset_downscaled``).
        kind: ``3d``, ``2d`` (image coordinates only), ``parametric`` (parameters only) or
            ``helper``: files that other programs need instead of examples, see the module's
            docstring.
        world_up: Unit vector pointing up in world coordinates; None where there is no world, or
            where it is another one for every camera, which then tells it.
        single_person: At most one person is visible per image.
        synthetic: Rendered rather than photographed.
        realistic_background: The background belongs to the scene and must not be replaced.
        body_shape: How far body-model shape can be trusted.
        n_valid_betas: Number of shape components that hold shape, None for all.
        far_from_origin: World coordinates are too far from the origin for float32.
        sequence_names: What the ids of sequences say: a regular expression that whole ids match,
            with any of the groups ``subject``, ``view`` (only where frames of one number are the
            same instant in all views) and ``motion`` (what is performed). Frames of a sequence
            are in the order of time but where one of two more groups takes part: ``instant``
            (they are views of one instant) or ``stills``. Empty = sequences are no recordings.
        citation: BibTeX key and short reference.
        licence: Licence name of the raw data.
    """

    name: str
    joint_info: JointInfo
    image_dir: str
    kind: Literal["3d", "2d", "parametric", "helper"] = "3d"
    world_up: tuple[float, float, float] | None = None
    single_person: bool = False
    synthetic: bool = False
    realistic_background: bool = True
    body_shape: Literal["exact", "fitted", "untrusted", "none"] = "none"
    n_valid_betas: int | None = None
    far_from_origin: bool = False
    sequence_names: str = ""
    citation: str = ""
    licence: str = ""


@dataclass(frozen=True)
class Unit:
    """One independent piece of work: a video, or a chunk of stills.

    Attributes:
        id: Unique within the dataset, e.g. ``trainval/04ac/04ac-0001-left``. Parts are ordered by
            (split, id) in the archive, whatever order they were made in.
        split: ``train``, ``val`` or ``test``.
        inputs: Every raw file the unit reads. Their content is part of the unit's cache key and of
            the manifest.
        args: What ``load_unit`` needs to know, JSON-serialisable.
    """

    id: str
    split: str
    inputs: tuple[Path, ...]
    args: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Video:
    """Frames of a video file.

    Attributes:
        path: The file.
        n_frames: How many frames the annotations say there are; compared with the number the file
            really holds. None: nothing to compare with.
        mismatch_known: The count is known to differ (say why in the card); frames present in both
            are used and the difference is reported.
        rot90: Turn every decoded frame counter-clockwise by this many quarter turns.
        mirrored: Hand out every frame turned left for right, after ``rot90``; for pictures that
            are mirror images of the world.
        size: Width and height that boxes and cameras refer to, of the frames as handed out;
            compared with those of the file, which may be somebody's smaller copy. None: nothing to
            compare with.
    """

    path: Path
    n_frames: int | None = None
    mismatch_known: bool = False
    rot90: int = 0
    mirrored: bool = False
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Stills:
    """Frames that are image files, or lie in files; frame index = position in ``paths``.

    Attributes:
        paths: The file of each.
        sizes: Width and height of each that its annotations refer to, of the frames as handed out;
            compared with those of the file. None: nothing to compare with.
        mosaic: The files are PGM with one colour per pixel, as a sensor has them: the colours of
            the first two pixels of the first two rows, e.g. ``grbg``. None: they are pictures.
        rot90: Turn every picture counter-clockwise by this many quarter turns.
        spans: Offset and size of each within its file, where files hold many pictures. None: a
            picture is a file.
        bgr: They were stored with red and blue exchanged.
    """

    paths: tuple[Path, ...]
    sizes: tuple[tuple[int, int], ...] | None = None
    mosaic: str | None = None
    rot90: int = 0
    spans: tuple[tuple[int, int], ...] | None = None
    bgr: bool = False


@dataclass(slots=True)
class Track:
    """One person over the frames in which they are annotated.

    All arrays are over the ``n`` annotated frames; the callables take the position ``k`` in
    ``range(n)``, not the frame index.

    Attributes:
        frames: Source frame index of each annotated frame, strictly increasing, int ``[n]``.
        person: Index of the person within the sequence.
        world_coords: ``[n, J, 3]`` millimetres, NaN = missing.
        image_coords: ``[n, J, 2]`` pixels of the source image, NaN = missing (2D datasets).
        bbox: ``[n, 4]`` x, y, width, height in source pixels; NaN rows where unknown. May be any
            object with a length that gives row ``k`` when indexed, e.g. one that reads it then.
        mask: RLE dict of the person in source pixels, or None if there is no mask for that frame.
        parameters: Body-model parameters as docs/FORMAT.md lists them.
        densepose: (imcoords ``[n,2]``, i_faces, barycoords ``[n,3]``) triple.
        motion_coords: ``[n, J', 3]`` millimetres that motion-adaptive selection compares; None =
            ``world_coords``.
        activity: One label, or one per annotated frame.
        one_person: Whether it is the same person in all frames, whose bones then keep their
            lengths; False for unrelated pictures.
        unusable: Why a selected frame gives no example all the same (no image in this view, empty
            mask), or None. Asked after selection, so that all cameras keep the same poses.
        hidden: Share of the person that is hidden, 0..1, ``[n]``; NaN or None where not known.
        note: What users must know of every example made of this, or one note per annotated frame;
            counted beside the examples, in the output, the manifest and the report.
    """

    frames: np.ndarray
    person: int = 0
    world_coords: np.ndarray | None = None
    image_coords: np.ndarray | None = None
    bbox: np.ndarray | None = None
    mask: Callable[[int], dict | None] | None = None
    parameters: Callable[[int], dict | None] | None = None
    densepose: Callable[[int], tuple | None] | None = None
    motion_coords: np.ndarray | None = None
    activity: str | list[str] = "unknown"
    one_person: bool = True
    unusable: Callable[[int], str | None] | None = None
    hidden: np.ndarray | None = None
    note: str | list[str] = ""


@dataclass(slots=True)
class Bystander:
    """Somebody in a frame who is in no track: no example is made of them, but they have pixels.

    Whoever is segmented does not get these. Nothing has to be known exactly, or at all.

    Attributes:
        world_coords: ``[J, 3]`` millimetres, NaN = missing.
        image_coords: ``[J, 2]`` pixels of the source image, NaN = missing.
        bbox: x, y, width, height in source pixels, or a function that returns them; None also for
            a group, whose box says little.
        mask: Function that returns an RLE dict in source pixels, or None.
    """

    world_coords: np.ndarray | None = None
    image_coords: np.ndarray | None = None
    bbox: Any = None
    mask: Callable[[], dict | None] | None = None


@dataclass(slots=True)
class Sequence:
    """One continuous recording seen by one camera, or a chunk of stills.

    Attributes:
        id: Unique within the dataset.
        split: ``train``, ``val`` or ``test``.
        frames: Where the pixels are.
        camera: The camera of every frame (pixels of the frames as decoded), a function from frame
            index to camera (None = no pose for that frame), or None for 2D datasets without one.
        tracks: The annotated people.
        image_name: ``(frame, person) -> path`` of the crop below ``SPEC.image_dir``.
        scene: Scene name for ``Pose3DExample.scene_name``.
        bystanders: Frame -> who is there beside the tracks.
        dropped: How many examples the recipe itself left out, by reason.
        checks: Self-checks made while loading, name -> largest residual seen, e.g.
            ``{"reprojection_px": 0.1}``. The run reports the largest and the mean over sequences.
            A residual that means wrong data raises ``CorruptInput`` in the recipe instead.
    """

    id: str
    split: str
    frames: Video | Stills
    camera: deltacamera.Camera | Callable[[int], deltacamera.Camera | None] | None
    tracks: list[Track]
    image_name: Callable[[int, int], str]
    scene: str = "unknown"
    bystanders: dict[int, list[Bystander]] = field(default_factory=dict)
    dropped: Counter = field(default_factory=Counter)
    checks: dict[str, float] = field(default_factory=dict)


# Audit event by which :func:`looked_at` is heard.
LOOKED_AT = "posepile.looked_at"


def looked_at(path: str | os.PathLike) -> None:
    """Says that the list of units depends on a file or folder, whether it is there or not.

    For what ``list_units`` reads through C libraries, which nobody sees; call it before reading.
    Elsewhere it does nothing.
    """
    sys.audit(LOOKED_AT, os.fsdecode(path))


# Marks a field of ``Options`` that says which units to list and changes none of them.
CHOOSES_UNITS = {"chooses_units": True}


def result_options(options: BaseModel) -> dict[str, Any]:
    """Returns the options that can change what a unit gives, as plain data."""
    chooses = {
        name
        for name, field in type(options).model_fields.items()
        if isinstance(field.json_schema_extra, dict) and "chooses_units" in field.json_schema_extra
    }
    return options.model_dump(mode="json", exclude=chooses)


def chosen_subjects(
    wanted: Iterable[str] | None,
    known: Iterable[str],
    option: str = "subjects",
    what: str = "subject",
) -> frozenset[str]:
    """Returns the subjects that ``dataset.subjects`` asks for, or what another option does.

    Args:
        wanted: Ids of subjects; None = all.
        known: Ids of the subjects there are.
        option: Which key below ``dataset:`` names them, for the message.
        what: What one of them is.

    Raises:
        UsageError: No id, or one that is not known; the message names near ones.
    """
    known = frozenset(known)
    if wanted is None:
        return known
    wanted = frozenset(wanted)
    if not wanted:
        raise UsageError(f"dataset.{option}: found an empty list; expected ids, or null for all")
    unknown = sorted(wanted - known)
    if unknown:
        near = difflib.get_close_matches(unknown[0], sorted(known), 3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        some = ", ".join(sorted(known)[:10])
        more = f" and {len(known) - 10} others" if len(known) > 10 else ""
        raise UsageError(
            f"dataset.{option}: no {what} {', '.join(unknown)}; {hint}there are: {some}{more}"
        )
    return wanted
