"""Folders of pictures as PASCAL VOC has them, and the objects that are segmented in them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from posepile.errors import CorruptInput
from posepile.files import files_below, names_in, presence
from posepile.formats.schema import AGAIN
from posepile.formats.text_files import read_bytes
from posepile.formats.voc_files import VocAnnotation, VocObject, read_voc
from posepile.imaging import jpeg
from posepile.imaging.palettes import read_indices
from posepile.shapes.in_threads import in_threads

FOLDERS = ANNOTATIONS, PICTURES, LABELS = ("Annotations", "JPEGImages", "SegmentationObject")
CLASSES = frozenset(
    "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike "
    "person pottedplant sheep sofa train tvmonitor".split()
)
_NO_OBJECT = (0, 255)  # of label images: background, and what is between objects


Cut = Callable[[np.ndarray, np.ndarray], Any]
WhyNot = Callable[[VocObject, int], str | None]


def _read_segmented(root: Path) -> tuple[list[VocAnnotation], list[CorruptInput]]:
    """The annotations of segmented pictures in order of files, and what is damaged or alone."""
    files = files_below(root / ANNOTATIONS, "*.xml")
    found = [one for _, one in in_threads(read_voc, files)]
    segmented = [one for one in found if isinstance(one, VocAnnotation) and one.segmented]
    damaged = [one for one in found if isinstance(one, CorruptInput)]
    named = {_files(root, one)[1].name for one in segmented}
    spoilt = {Path(fault.file).stem for fault in damaged}
    for label in sorted(names_in(root / LABELS) - named):
        if label.endswith(".png") and Path(label).stem not in spoilt:
            text = f"no annotation in {ANNOTATIONS} is of it, and says that it is segmented"
            damaged.append(CorruptInput(root / LABELS / label, text, hint=AGAIN))
    return segmented, damaged


def _missing_pictures(root: Path, annotations: Iterable[VocAnnotation]) -> list[Path]:
    """Returns the pictures and label images that annotations name and that are not there."""
    is_there = presence()
    return [file for one in annotations for file in _files(root, one) if not is_there(file)]


def folder_faults(root: Path) -> list[str]:
    """Returns which pictures and label images are not there, and what is damaged, as doctor does.

    >>> folder_faults(folder)
    []
    """
    segmented, damaged = _read_segmented(root)
    lost = [f"{file}: file is missing" for file in _missing_pictures(root, segmented)]
    return [f"  {fault}" for fault in (*lost, *damaged)]


def cut_objects(
    root: Path, why_not: WhyNot, cut: Cut, min_inside: float, max_damaged: float
) -> tuple[list[tuple[VocObject, str | None, Any]], list[CorruptInput], int]:
    """Returns the objects of all segmented pictures, in order of files, cut out.

    >>> from posepile.miniature.writers import write_jpeg, write_png, write_text
    >>> write_jpeg(folder / "JPEGImages" / "a.jpg", np.zeros((20, 30, 3), np.uint8))
    >>> labels = np.pad(np.ones((10, 10), np.uint8), 5)
    >>> labels = np.pad(labels, ((0, 0), (0, 10)))
    >>> write_png(folder / "SegmentationObject" / "a.png", labels, np.zeros((2, 3), np.uint8))
    >>> box = "<xmin>5</xmin><ymin>5</ymin><xmax>16</xmax><ymax>16</ymax>"
    >>> dog = f"<object><name>dog</name><bndbox>{box}</bndbox></object>"
    >>> head = "<filename>a.jpg</filename><segmented>1</segmented>"
    >>> write_text(folder / "Annotations" / "a.xml", f"<annotation>{head}{dog}</annotation>")
    >>> objects, damaged, _ = cut_objects(
    ...     folder, lambda thing, n: None, lambda image, mask: (image.shape, mask.sum()), 0.5, 0
    ... )
    >>> [(thing.name, reason, (shape, int(n))) for thing, reason, (shape, n) in objects], damaged
    ([('dog', None, ((12, 12, 3), 100))], [])

    Args:
        root: Of the dataset.
        why_not: Object and number of its pixels in its box -> the reason to leave it out, None to
            keep it.
        cut: Part of a picture and the object's pixels in it -> what is wanted of an object.
        min_inside: At least this share of an object's pixels lies in its box; else the numbers of
            the label image are not the places in the annotation, and the picture is damaged.
        max_damaged: Largest share of the pictures that may be damaged.

    Returns:
        Object, reason to leave it out, and what is wanted of it; what is wrong with damaged
        pictures; and the number of segmented ones.

    Raises:
        CorruptInput: None is segmented, a picture is missing, more are damaged, or all objects are
            left out.
    """
    segmented, damaged = _read_segmented(root)
    n, lost = len(segmented) + len(damaged), _missing_pictures(root, segmented)
    if lost:
        more = f", as are {len(lost) - 1} others that annotations name"
        raise CorruptInput(lost[0], f"file is missing{more}", hint=AGAIN)

    def work(annotation: VocAnnotation) -> list[tuple]:
        some = _segmented_objects(root, annotation, why_not, min_inside)
        return [(thing, reason, None if reason else cut(*parts)) for thing, reason, *parts in some]

    objects = []
    for _, found in in_threads(work, segmented):
        if isinstance(found, CorruptInput):
            damaged.append(found)
        else:
            objects += found
    if not objects or len(damaged) > max_damaged * n:
        first = "".join(f": {fault}" for fault in damaged[:1])
        text = f"found {n} segmented pictures, {len(damaged)} of them damaged; expected some, "
        text += f"and at most {max_damaged:.0%} damaged{first}"
        raise CorruptInput(root / ANNOTATIONS, text)
    if all(reason for _, reason, _ in objects):
        text = f"found {len(objects)} objects, all of them left out ({objects[0][1]} ...)"
        raise CorruptInput(root / ANNOTATIONS, f"{text}; expected some that are not")
    return objects, damaged, len(segmented)


def _segmented_objects(
    root: Path,
    annotation: VocAnnotation,
    why_not: WhyNot,
    min_inside: float,
) -> list[tuple[VocObject, str | None, np.ndarray, np.ndarray]]:
    """The objects of a picture: reason to leave it out, uint8 ``[h, w, 3]``, bool ``[h, w]``."""
    picture, label_image = _files(root, annotation)
    image = jpeg.decode(read_bytes(picture), name=picture)
    labels = read_indices(label_image)
    if labels.shape != image.shape[:2]:
        text = f"found {labels.shape[1]}x{labels.shape[0]} pixels; expected "
        text += f"{image.shape[1]}x{image.shape[0]}, as of {picture}"
        raise CorruptInput(label_image, text, hint=AGAIN)
    counts = np.bincount(labels.ravel(), minlength=256)
    counts[list(_NO_OBJECT)] = 0
    n = len(annotation.objects)
    if counts[n + 1 :].any():
        text = f"found object number {np.flatnonzero(counts)[-1]}; expected at most {n}"
        raise CorruptInput(label_image, f"{text}, as many as are annotated", hint=AGAIN)
    found = []
    for number, thing in enumerate(annotation.objects, 1):
        if thing.name not in CLASSES:
            text = f"object {number}: found class {thing.name!r}; expected one of the "
            text += f"{len(CLASSES)}: {', '.join(sorted(CLASSES))}"
            raise CorruptInput(root / ANNOTATIONS / f"{picture.stem}.xml", text, hint=AGAIN)
        x0, y0, x1, y1 = thing.box
        mask = labels[y0:y1, x0:x1] == number
        if mask.sum() < min_inside * counts[number]:
            text = f"found {mask.sum()} of {counts[number]} pixels of object {number} in its box; "
            text += f"expected at least {min_inside:.0%}: is it another one's number?"
            raise CorruptInput(label_image, text, hint=AGAIN)
        found.append((thing, why_not(thing, int(mask.sum())), image[y0:y1, x0:x1], mask))
    return found


def _files(root: Path, annotation: VocAnnotation) -> tuple[Path, Path]:
    """The picture and its label image."""
    stem, _ = os.path.splitext(annotation.picture)
    return root / PICTURES / annotation.picture, root / LABELS / f"{stem}.png"
