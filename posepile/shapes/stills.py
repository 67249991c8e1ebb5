"""Single pictures, each with a camera of its own or none, and the people in it.

Pictures are cut into units of some hundreds. A recipe makes a :class:`Picture` of each and calls
:func:`picture_sequence`::

    def list_units(root, options):
        yield from picture_units("train", "train", pictures, {"labels": ...})

    def load_unit(root, unit, options):
        files = unit_files(unit)
        pictures = []
        for path, label in zip(files["pictures"], ..., strict=True):
            people = [Person(i, world_coords=...) for i, ... in enumerate(...)]
            pictures.append(Picture(path, SIZE, people, make_camera(path, ...)))
        return [picture_sequence(unit, pictures)]
"""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rlemasklib

from posepile.errors import CorruptInput
from posepile.formats.folders import names_like
from posepile.formats.keys import by_key
from posepile.geometry.pictures import box_of_mask, box_of_points, project
from posepile.recipe import Bystander, Sequence, Stills, Track, Unit
from posepile.shapes.units import UNLABELLED, Files, Rows, make_unit, unlabelled

if TYPE_CHECKING:
    import deltacamera


SMALL = "shorter side below dataset.min_side"
NO_PIXEL = "no pixel in the mask"
TOO_LARGE = "mask far larger than the box around the joints"


@dataclass(slots=True)
class Person:
    """One person in one picture.

    What takes long (a mask file, a body model) is a function without arguments, which is called
    when the example is made.

    Attributes:
        index: Of the person in the picture, as the raw data lists them: also those that are left
            out count, so that names do not change with the options.
        world_coords: ``[J, 3]`` millimetres, NaN = missing.
        image_coords: ``[J, 2]`` pixels, NaN = missing (2D datasets).
        bbox: x, y, width, height in pixels, or a function that returns them; None = not known.
        mask: Function that returns an RLE dict, or None.
        parameters: Function that returns body-model parameters.
        densepose: Function that returns the triple of :class:`posepile.recipe.Track`.
        activity: Label.
        left_out: Why the person becomes no example; None = they do.
        hidden: Share of the person that is hidden, 0..1; NaN where that is not known.
        note: What users must know of the example.
    """

    index: int
    world_coords: np.ndarray | None = None
    image_coords: np.ndarray | None = None
    bbox: Any = None
    mask: Callable[[], dict | None] | None = None
    parameters: Callable[[], dict | None] | None = None
    densepose: Callable[[], tuple | None] | None = None
    activity: str = "unknown"
    left_out: str | None = None
    hidden: float = np.nan
    note: str = ""


@dataclass(slots=True)
class Picture:
    """One picture.

    Attributes:
        path: The file.
        size: Width and height that boxes, joints and camera refer to; None = the file tells it.
        people: Everyone, also those that are left out: who is segmented does not get their pixels.
        camera: The camera, or None.
    """

    path: Path
    size: tuple[int, int] | None
    people: list[Person] = field(default_factory=list)
    camera: deltacamera.Camera | None = None


def masked_person(
    index: int,
    mask: np.ndarray,
    *,
    min_side: float = 0.0,
    left_out: str | None = None,
    **more: Any,
) -> Person:
    """Returns a person of whom a mask is known: it is kept as RLE, and the box is around it.

    >>> masked_person(0, np.eye(8, dtype=bool)).bbox
    array([-0.5, -0.5,  8. ,  8. ], dtype=float32)
    >>> masked_person(1, np.eye(8, dtype=bool), min_side=9).left_out
    'shorter side below dataset.min_side'

    Args:
        index: As of :class:`Person`.
        mask: Visible pixels, bool or uint8 ``[h, w]``; without any, the person is left out.
        min_side: Pixels; people whose box has a shorter side than that are left out.
        left_out: Why the person is left out anyway.
        **more: Other attributes of :class:`Person`.
    """
    box, rle = box_of_mask(mask), rlemasklib.encode(mask)
    if left_out is None:
        small = SMALL if box[2:].min() < min_side else None
        left_out = NO_PIXEL if np.isnan(box).any() else small
    return Person(index, bbox=box, mask=lambda: rle, left_out=left_out, **more)


def picture_units(
    id: str, split: str, pictures: Iterable[Path], shared: Files, *, size: int = 400, **args: Any
) -> Iterator[Unit]:
    """Yields units of ``size`` pictures, ``<id>/<number of the first one>``.

    >>> pictures = [Path(f"{i}.jpg") for i in range(5)]
    >>> shared = {"labels": Path("labels.json")}
    >>> [unit.id for unit in picture_units("val", "val", pictures, shared, size=2)]
    ['val/000000', 'val/000002', 'val/000004']

    Args:
        id: Of all these pictures.
        split: ``train``, ``val`` or ``test``.
        pictures: In the order in which they are annotated; their files are ``pictures`` among
            those of the unit.
        shared: Files that all units need.
        size: Pictures per unit.
        **args: As of :func:`posepile.shapes.units.make_unit`; ``first``, the number of the first
            picture, is added to them.
    """
    remaining, first = iter(pictures), 0
    while chunk := list(itertools.islice(remaining, size)):
        files = {"pictures": chunk, **shared}
        yield make_unit(f"{id}/{first:06d}", split, files, first=first, **args)
        first += size


def unlabelled_units(
    folder: Path, split: str, names: str, labelled: Iterable[Path], limit: float
) -> Iterator[Unit]:
    r"""Yields a unit without files if there are pictures that no annotation is of.

    They are counted by :func:`unlabelled_sequence`, so that they do not vanish.

    >>> (folder / "7.jpg").touch()
    >>> units = unlabelled_units(folder, "val", r"\d+\.jpg", [], limit=1)
    >>> [unlabelled_sequence(unit).dropped for unit in units]
    [Counter({'picture without annotations': 1})]

    Args:
        folder: Of the pictures.
        split: Of the unit.
        names: Pattern of the names of pictures.
        labelled: As of :func:`posepile.shapes.units.unlabelled`, as is ``limit``.
        limit: See there.

    Raises:
        CorruptInput: Too many of them.
    """
    shown = [folder / name for name in names_like(folder, names)]
    if lost := unlabelled(shown, labelled, limit):
        yield make_unit(f"{folder.name}/unlabelled", split, {}, unlabelled=len(lost))


def unlabelled_sequence(unit: Unit) -> Sequence | None:
    """Returns a sequence without pictures that counts those of an unlabelled unit, else None.

    >>> unlabelled_sequence(make_unit("a", "train", {})) is None
    True
    """
    n = unit.args.get("unlabelled")
    return picture_sequence(unit, [], dropped={UNLABELLED: n}) if n else None


def left_out_units(id: str, split: str, reasons: Iterable[str]) -> Iterator[Unit]:
    """Yields a unit without files if anything is left out already when units are listed.

    It is counted by :func:`left_out_sequence`, so that it does not vanish.

    >>> units = left_out_units("left_out", "train", ["take without a video"])
    >>> [left_out_sequence(unit).dropped for unit in units]
    [Counter({'take without a video': 1})]

    Args:
        id: Of the unit.
        split: Of the unit.
        reasons: Why, for everything that is left out.
    """
    if counts := Counter(reasons):
        yield make_unit(id, split, {}, left_out=dict(counts))


def left_out_sequence(unit: Unit) -> Sequence | None:
    """Returns a sequence without pictures that has the counts of such a unit, else None.

    >>> left_out_sequence(make_unit("a", "train", {})) is None
    True
    """
    counts = unit.args.get("left_out")
    return picture_sequence(unit, [], dropped=counts) if counts else None


def picture_sequence(
    unit: Unit,
    pictures: list[Picture],
    *,
    image_name: Callable[[Path, int], str] | None = None,
    scene: str = "unknown",
    dropped: Mapping[str, int] | None = None,
    checks: Mapping[str, float] | None = None,
) -> Sequence:
    """Returns the pictures of a unit; frame ``i`` is the i-th of them.

    >>> (unit,) = picture_units("val", "val", [Path("7.jpg")], {})
    >>> person = Person(0, world_coords=np.ones((17, 3)))
    >>> sequence = picture_sequence(unit, [Picture(Path("7.jpg"), (640, 480), [person])])
    >>> sequence.tracks[0].frames, sequence.image_name(0, 0)
    (array([0]), 'val/7_00.jpg')

    Args:
        unit: Gives id and split.
        pictures: With everyone in them; who is left out is counted.
        image_name: (picture's path, person) -> path of the crop; default
            ``<first part of the unit's id>/<stem>_<person>.jpg``.
        scene: As of :class:`posepile.recipe.Sequence`.
        dropped: What the recipe itself has left out, by reason.
        checks: Self-checks of the recipe.

    Raises:
        CorruptInput: Two people of a picture have the same index, or two crops the same name.
    """
    paths = [picture.path for picture in pictures]
    counts = Counter(dropped or {})
    counts.update(p.left_out for picture in pictures for p in picture.people if p.left_out)
    if image_name is None:
        folder = unit.id.rpartition("/")[0] or unit.id

        def image_name(path: Path, person: int) -> str:
            return f"{folder}/{path.stem}_{person:02d}.jpg"

    names = (
        (image_name(picture.path, person.index), picture.path, None)
        for picture in pictures
        for person in picture.people
        if person.left_out is None
    )
    by_key(names, unit.id, "crops of one name")
    cameras = [picture.camera for picture in pictures]
    sizes = tuple(picture.size for picture in pictures)
    return Sequence(
        id=unit.id,
        split=unit.split,
        frames=Stills(tuple(paths), None if None in sizes else sizes),
        camera=cameras.__getitem__ if any(c is not None for c in cameras) else None,
        tracks=_person_tracks({i: (p.path, p.people) for i, p in enumerate(pictures)}),
        image_name=lambda frame, person: image_name(paths[frame], person),
        scene=scene,
        bystanders=_bystanders(pictures),
        dropped=counts,
        checks=dict(checks or {}),
    )


def _bystanders(pictures: list[Picture]) -> dict[int, list[Bystander]]:
    """Returns position of a picture -> who is in it but left out."""
    found: dict[int, list[Bystander]] = {}
    for i, picture in enumerate(pictures):
        for p in picture.people:
            if p.left_out is not None:
                seen = Bystander(p.world_coords, p.image_coords, p.bbox, p.mask)
                found.setdefault(i, []).append(seen)
    return found


def _person_tracks(frames: Mapping[int, tuple[Path, list[Person]]]) -> list[Track]:
    """Returns the people of many frames as tracks: those of index 0, those of index 1 ...

    Args:
        frames: Frame -> file (for messages) and people; whoever is left out is not in a track.

    Raises:
        CorruptInput: Two people of a frame have the same index.
    """
    by_index: dict[int, dict[int, Person]] = {}
    for frame, (path, people) in frames.items():
        seen = set()
        for person in people:
            if person.index in seen:
                raise CorruptInput(
                    path, f"found two people of index {person.index}; expected each index once",
                    frame=frame,
                )  # fmt: skip
            seen.add(person.index)
            if person.left_out is None:
                by_index.setdefault(person.index, {})[frame] = person
    return [_track(index, people) for index, people in sorted(by_index.items())]


def without_poor_masks(sequence: Sequence, most: float = 2.0) -> Sequence:
    """Leaves out and counts whose mask in the picture is empty, or of no person.

    For masks that were segmented in pictures, which nobody has looked at. A mask is read when its
    example is made.

    >>> from posepile.geometry.cameras import make_camera
    >>> camera = make_camera("camera", focal=1000, size=(640, 480))
    >>> white, black = (rlemasklib.encode(np.full((480, 640), v, np.uint8)) for v in (1, 0))
    >>> joints = np.array([[0, 0, 5000.0], [300, 900, 5000]])
    >>> people = [Person(0, joints, mask=lambda mask=mask: mask) for mask in (white, black)]
    >>> pictures = [Picture(Path(f"{i}.jpg"), (640, 480), [person], camera)
    ...             for i, person in enumerate(people)]
    >>> unit = make_unit("train", "train", {})
    >>> (track,) = without_poor_masks(picture_sequence(unit, pictures)).tracks
    >>> track.unusable(0), track.unusable(1)
    ('mask far larger than the box around the joints', 'no pixel in the mask')

    Args:
        sequence: With joints in the world, and masks.
        most: How many times as large as the box of the joints a mask may be.
    """

    def why_not(track: Track, k: int) -> str | None:
        mask, frame = track.mask(k), int(track.frames[k])
        if mask is None or not (area := rlemasklib.area(mask)):
            return NO_PIXEL
        camera = sequence.camera(frame) if callable(sequence.camera) else sequence.camera
        box = box_of_points(project(camera, track.world_coords[k]), tuple(mask["size"][::-1]))
        return TOO_LARGE if area > most * box[2] * box[3] else None

    for track in sequence.tracks:
        track.mask = functools.lru_cache(maxsize=1)(track.mask)
        track.unusable = functools.partial(why_not, track)
    return sequence


def _track(index: int, by_frame: dict[int, Person]) -> Track:
    frames = sorted(by_frame)
    people = [by_frame[frame] for frame in frames]
    activities = [person.activity for person in people]
    notes = [person.note for person in people]
    return Track(
        frames=np.array(frames),
        person=index,
        world_coords=_stacked(people, "world_coords", 3),
        image_coords=_stacked(people, "image_coords", 2),
        bbox=_boxes(people),
        mask=_called(people, "mask"),
        parameters=_called(people, "parameters"),
        densepose=_called(people, "densepose"),
        activity=activities if len(set(activities)) > 1 else activities[0],
        one_person=False,
        hidden=np.array([person.hidden for person in people], np.float32),
        note=notes if len(set(notes)) > 1 else notes[0],
    )


def _stacked(people: list[Person], name: str, n_axes: int) -> np.ndarray | None:
    """Coordinates of all, NaN for whom there are none; None if there are none at all."""
    found = [getattr(person, name) for person in people]
    shape = next((np.shape(value) for value in found if value is not None), None)
    if shape is None:
        return None
    missing = np.full((*shape[:-1], n_axes), np.nan, np.float32)
    return np.stack([missing if value is None else np.asarray(value) for value in found])


def _boxes(people: list[Person]) -> Any:
    if any(callable(person.bbox) for person in people):
        return Rows(people, lambda person: np.asarray(_box(person), np.float32))
    if all(person.bbox is None for person in people):
        return None
    return np.array([_box(person) for person in people], np.float32)


def _box(person: Person) -> Any:
    box = person.bbox() if callable(person.bbox) else person.bbox
    return [np.nan] * 4 if box is None else box


def _called(people: list[Person], name: str) -> Callable[[int], Any] | None:
    functions = [getattr(person, name) for person in people]
    if all(function is None for function in functions):
        return None
    return lambda k: None if functions[k] is None else functions[k]()
