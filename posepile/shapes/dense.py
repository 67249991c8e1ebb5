"""People with dense points: places in the picture and on the surface of the body, by charts.

An annotation has, beside COCO's keys, ``dp_x`` and ``dp_y`` (0 to 255 across the annotated box),
``dp_I`` (part) and ``dp_U``, ``dp_V`` (place in the part's chart). The box is taken as it is: one
that is rounded or clipped to the picture moves and scales the points. They are divided by 255, as
the official evaluators do; the official training loaders divide by 256, which is up to 0.4 % of
the box less.
"""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rlemasklib
from pydantic import BaseModel, ConfigDict, Field

from posepile.bodies.charts import Charts, read_charts
from posepile.errors import CorruptInput
from posepile.files import names_in
from posepile.recipe import Sequence, Unit
from posepile.shapes.coco import Files, coco_pictures, coco_recipe, joint_coords
from posepile.shapes.coco_files import read_piece
from posepile.shapes.coco_masks import decode_mask, is_numbers
from posepile.shapes.coco_people import why_unusable
from posepile.shapes.stills import Picture, picture_sequence

FIELDS = ("dp_x", "dp_y", "dp_I", "dp_U", "dp_V")
OPTIONAL = ("iscrowd", "segmentation", "keypoints")  # not the box: the points lie in it
TEMPLATE = Path("UV_data", "UV_Processed.mat")
WIDTH = 255.0  # of the box, in dp_x and dp_y
NO_POINTS = "no dense points"
MALFORMED = "dense points are malformed"
NO_PICTURE = "its picture is not there"
OFF_CHART = "dense points in no face of their part"
BEYOND = "dense points beyond the border of the picture"
OFF_BODY = "dense points outside the person's mask"
OTHER_SIDE = "hands and feet nearer to the joint of the other side"
# Hands and feet -> place of their wrist or ankle among the 17 joints, and of the other one.
ENDS = {3: (10, 9), 4: (9, 10), 5: (15, 16), 6: (16, 15)}
_SLACK = 1e-3  # of U and V at the borders of their squares
_ENOUGH = 200  # points of a unit before their shares say anything
_ENOUGH_PARTS = 20  # the same of hands and feet


class DenseOptions(BaseModel):
    """Keys below ``dataset:`` of all that have dense points.

    Attributes:
        max_off_chart: Largest share of a unit's points that lie in no face of their part.
        max_beyond: Largest share of a unit's points beyond the border of their picture.
        max_off_body: Largest share of a unit's points outside the mask of their person.
        max_other_side: Largest share of a unit's hands and feet whose points are nearer to the
            wrist or ankle of the other side.
    """

    model_config = ConfigDict(extra="forbid")

    max_off_chart: float = Field(0.05, ge=0, le=1)
    max_beyond: float = Field(0.02, ge=0, le=1)
    max_off_body: float = Field(0.3, ge=0, le=1)
    max_other_side: float = Field(0.25, ge=0, le=1)


def dense_recipe(
    files: Files,
    why_not: Callable[[dict, list[dict], Any], str | None],
    place: Callable[[Path, Callable], Path | None] = lambda picture, names_in: picture,
    skip: str | None = None,
) -> tuple[Callable, Callable, Callable]:
    """Returns ``list_units``, ``load_unit`` and ``calibrate`` of a recipe with dense points.

    Options are :class:`DenseOptions` with ``phases``. Crops are named by folder and name of the
    picture and the id of the annotation, the person is the rank of that id in the picture.

    >>> from posepile.shapes.coco_files import CocoFile
    >>> def files(root, options):
    ...     return {"val": (CocoFile(root / "val.json", root / "images", more=FIELDS), "val")}
    >>> list_units, _, _ = dense_recipe(files, lambda person, others, options: None)
    >>> list_units.__name__
    'list_units'

    Args:
        files: As of :func:`posepile.shapes.coco.coco_recipe`; ``more`` has :data:`FIELDS`.
        why_not: (person, others, options) -> why somebody with dense points is left out, or None.
        place: (picture, function that lists a folder) -> where the picture really lies; None:
            nowhere, so that its people are left out.
        skip: Key of images (also in ``more_of_images``) that says that a picture has no dense
            points: people in it are left out.
    """
    all_units, _, calibrate = coco_recipe(files, why_not)

    def list_units(root: Path, options: Any) -> Iterator[Unit]:
        """Yields units of some hundred pictures with labelled people, in order of image id."""
        n_of: Counter[Path] = Counter()
        lost_of: Counter[Path] = Counter()
        listing = functools.cache(names_in)
        for unit in all_units(root, options):
            path, *pictures = unit.inputs
            there = [found for picture in pictures if (found := place(picture, listing))]
            n_of[path] += len(pictures)
            lost_of[path] += len(pictures) - len(there)
            yield dataclasses.replace(unit, inputs=(path, root / TEMPLATE, *there))
        # Pictures of one phase may be away: its people are counted as such.
        lacking = [path for path, n in n_of.items() if lost_of[path] == n]
        if lacking and (options.phases is not None or len(lacking) == len(n_of)):
            text = f"found none of the {n_of[lacking[0]]} pictures that it names"
            hint = "posepile plan shows what to fetch; or leave the phase out of dataset.phases"
            raise CorruptInput(lacking[0], text, hint=hint)

    def load_unit(root: Path, unit: Unit, options: Any) -> list[Sequence]:
        """Returns the people of a unit's pictures who have dense points and pass the tests."""
        source, _ = files(root, options)[unit.id.rpartition("/")[0]]
        charts, seen = read_charts(root / TEMPLATE), Counter()
        piece = read_piece(source, root, unit.args["piece"])
        lost, images, ids = Counter(piece["elsewhere"]), [], {}
        listing = functools.cache(names_in)

        def why_lost(person: dict, image: dict) -> str:
            no_points = NO_POINTS if skip is not None and skip in image else None
            return why_unusable(person) or no_points or _fault(person, charts) or NO_PICTURE

        for image in piece["images"]:
            path = place(source.pictures / image["file_name"], listing)
            if path is None:
                lost.update(why_lost(person, image) for person in image["people"])
                continue
            images.append(image | {"file_name": path.relative_to(source.pictures)})
            ids |= {(path, rank): person["id"] for rank, person in enumerate(image["people"])}

        def rule(person: dict, others: list[dict]) -> str | None:
            return _fault(person, charts) or why_not(person, others, options)

        def more(person: dict, image: dict) -> dict[str, Any]:
            if skip is not None and skip in image:
                return {"left_out": why_unusable(person) or NO_POINTS}
            if why_unusable(person) or _fault(person, charts):
                return {}
            dense, inside = _points(person, charts)
            margin = 1 + 0.01 * max(person["bbox"][2:])  # which of the two scales is not certain
            limits = np.array([image["width"], image["height"]]) + margin
            beyond = ((dense[0] < -margin) | (dense[0] > limits)).any(axis=1)
            size = image["width"], image["height"]
            off_body = _off_body(person, dense[0], size)
            seen.update(_counts(OFF_CHART, ~inside) | _counts(BEYOND, beyond))
            seen.update(
                _counts(OFF_BODY, off_body) | _counts(OTHER_SIDE, _other_side(person, dense[0]))
            )
            return {"densepose": lambda: dense}

        def image_name(path: Path, rank: int) -> str:
            folder = path.parent.relative_to(source.pictures.parent).as_posix()
            return f"{folder}/{path.stem}_{ids[path, rank]}.jpg"

        pictures = coco_pictures(source, images, rule, more=more)
        _refuse_malformed(source.path, unit, pictures)
        checks = _checks(source.path, unit, seen, options)
        return [
            picture_sequence(unit, pictures, image_name=image_name, dropped=lost, checks=checks)
        ]

    return list_units, load_unit, calibrate


def _checks(path: Path, unit: Unit, seen: Counter, options: Any) -> dict[str, float]:
    """Shares of points that lie where they should not; refuses labels with too many of them."""
    shares = {}
    for what, option, doubt in (
        (OFF_CHART, "max_off_chart", "are U and V exchanged?"),
        (BEYOND, "max_beyond", "do the labels belong to other pictures?"),
        (OFF_BODY, "max_off_body", "do the labels belong to other people?"),
        (OTHER_SIDE, "max_other_side", "are the parts of another order, or x and y exchanged?"),
    ):
        n, limit = seen[what, "of"], getattr(options, option)
        shares[what] = seen[what] / max(n, 1)
        if shares[what] > limit and n >= (_ENOUGH_PARTS if what == OTHER_SIDE else _ENOUGH):
            text = f"found {100 * shares[what]:.1f} % {what}; expected up to {100 * limit:.1f} %"
            hint = f"{doubt} if the labels are right: dataset.{option}"
            raise CorruptInput(path, f"{unit.id}: {text}", hint=hint)
    return shares


def _refuse_malformed(path: Path, unit: Unit, pictures: list[Picture]) -> None:
    """Refuses a unit in which dense points are malformed of most who have some."""
    reasons = Counter(person.left_out for picture in pictures for person in picture.people)
    n, others = (
        reasons[MALFORMED],
        sum(p.densepose is not None for q in pictures for p in q.people),
    )
    if n > others:
        text = f"{unit.id}: {MALFORMED} of {n} people, and well-formed of {others}"
        raise CorruptInput(path, f"{text}; expected {', '.join(FIELDS)} as DensePose has them")


def _counts(what: str, wrong: np.ndarray) -> dict:
    """How many are wrong, and of how many."""
    return {what: int(np.sum(wrong)), (what, "of"): len(wrong)}


def _off_body(person: dict, points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Which dense points are outside the person's mask, some pixels around it aside, bool ``[n]``.

    Those beyond the picture do not count; of somebody without a mask none is looked at.
    """
    mask = None if person["segmentation"] is None else decode_mask(person["segmentation"], *size)
    if mask is None:
        return np.zeros(0, bool)
    reach = 1 + 2 * max(1, int(0.02 * max(person["bbox"][2:])))
    around = cv2.dilate(rlemasklib.decode(mask), np.ones((reach, reach), np.uint8))
    x, y = np.rint(points).astype(int).T
    shown = (x >= 0) & (y >= 0) & (x < size[0]) & (y < size[1])
    return around[y[shown], x[shown]] == 0


def _other_side(person: dict, points: np.ndarray) -> np.ndarray:
    """Of each hand and foot, whether its points are nearer to the other wrist or ankle."""
    joints, parts = joint_coords(person), np.array(person["dp_I"]).astype(int)
    wrong = []
    for part, (own, other) in ENDS.items():
        if (parts == part).any() and np.isfinite(joints[[own, other]]).all():
            center = points[parts == part].mean(axis=0)
            near, far = np.linalg.norm(joints[[own, other]] - center, axis=1)
            wrong.append(near > far)
    return np.array(wrong, bool)


def _fault(person: dict, charts: Charts) -> str | None:
    """Why an annotation gives no dense points, None if it does."""
    if not person.get("dp_x"):
        return NO_POINTS
    values = [person.get(key) for key in FIELDS]
    if not all(map(is_numbers, values)) or len(set(map(len, values))) > 1:
        return MALFORMED
    x, y, part, u, v = np.array(values, np.float64)
    in_box = np.abs([x - 128, y - 128]).max() <= 128  # one of the two scales ends at 256
    in_square = np.abs([u - 0.5, v - 0.5]).max() <= 0.5 + _SLACK
    return None if in_box and in_square and np.isin(part, charts.parts).all() else MALFORMED


def _points(person: dict, charts: Charts) -> tuple[tuple, np.ndarray]:
    """The dense points of an annotation, and which of them lie in a face of their part.

    Points in the picture, float32 ``[n, 2]``; three vertices of SMPL each, uint16 ``[n, 3]``;
    their weights, float32 ``[n, 3]``. Then bool ``[n]``.
    """
    x, y, part, u, v = (np.array(person[key], np.float64) for key in FIELDS)
    box = np.array(person["bbox"], np.float64)
    points = np.stack([x, y], axis=1) / WIDTH * box[2:] + box[:2]
    corners, weights, inside = charts.on_surface(part.astype(int), np.stack([u, v], axis=1))
    return (points.astype(np.float32), corners, weights.astype(np.float32)), inside
