"""People in pictures with key points in the image, in annotation files like COCO's.

A recipe says what the files hold (:class:`posepile.shapes.coco_files.CocoFile`) and why a person
is left out; what all such recipes have, it gets from :func:`coco_recipe`::

    def files(root, options):
        return {"train": (CocoFile(root / "train.json", root / "train", n_joints=17), "train")}

    def why_not(person, others, options):
        return too_few_joints(person, options.visible_share, options.labelled_share)

    list_units, load_unit, calibrate = coco_recipe(files, why_not)

Recipes of videos, with a small file each, make their pictures by :func:`coco_pictures`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from posepile.errors import CorruptInput, UsageError
from posepile.files import names_in
from posepile.imaging.declared import size_if_readable
from posepile.recipe import Sequence, Unit
from posepile.shapes.coco_files import CocoFile, malformed_lines, read_piece, read_pieces
from posepile.shapes.coco_masks import decode_mask
from posepile.shapes.coco_people import annotation_fault, why_unusable
from posepile.shapes.stills import Person, Picture, picture_sequence

FEW_VISIBLE = "fewer visible joints than asked for"
FEW_LABELLED = "fewer labelled joints than asked for"
NO_NUMBER = "of the annotation is no number"
SMALL = "box of the joints smaller than dataset.min_size"
OTHER_PICTURE = "its picture has another size than the file says"
TWICE = "annotated twice: same key points as another annotation"
ABSENT = {"keypoints": [], "bbox": None, "segmentation": None}
JOINT_BOX_FACTOR = 1.25  # enlargement of the joints' box before its size is judged

# Person and everybody else in the picture, as dictionaries with COCO's keys -> a reason, or None.
WhyNot = Callable[[dict, list[dict]], str | None]
# (Raw folder, options) -> phase, e.g. val2017 -> its annotation file and split.
Files = Callable[[Path, Any], Mapping[str, tuple[CocoFile, str]]]


def coco_recipe(
    files: Files,
    why_not: Callable[[dict, list[dict], Any], str | None],
    check: Callable[[Sequence, Path, Any], Sequence] = lambda sequence, path, options: sequence,
    **more: Any,
) -> tuple[Callable, Callable, Callable]:
    """Returns ``list_units``, ``load_unit`` and ``calibrate`` of a recipe with a file per phase.

    A phase whose annotation file or folder of pictures is not there is left out, which
    ``calibrate`` says. Options with ``phases``, a list of names, ask for these: then they must be
    there.

    >>> def files(root, options):
    ...     return {"val": (CocoFile(root / "val.json", root / "images"), "val")}
    >>> list_units, load_unit, calibrate = coco_recipe(files, lambda person, others, options: None)
    >>> load_unit.__name__
    'load_unit'

    Args:
        files: (raw folder, options) -> phase -> annotation file and split; all that there can be.
            The units of a phase are ``<phase>/<id of the first image>``.
        why_not: (person, others, options) -> why a person is left out, or None.
        check: (sequence, annotation file, options) -> the sequence, looked at or changed.
        **more: Of :func:`coco_sequence`.
    """

    def list_units(root: Path, options: Any) -> Iterator[Unit]:
        """Yields units of some hundred pictures with labelled people, in order of image id."""
        phase_of: dict[Path, str] = {}
        for phase, (source, split) in _present(files(root, options), root, options).items():
            for unit in coco_units(source, root, phase, split):
                for path in unit.inputs[1:]:
                    if phase_of.setdefault(path, phase) != phase:
                        text = f"its labels are in {phase_of[path]} and in {phase}; expected once"
                        hint = f"is {source.path.name} another file under that name?"
                        raise CorruptInput(path, text, hint=hint)
                yield unit

    def load_unit(root: Path, unit: Unit, options: Any) -> list[Sequence]:
        """Returns the people of a unit's pictures who pass the tests."""
        source, _ = files(root, options)[unit.id.rpartition("/")[0]]

        def rule(person: dict, others: list[dict]) -> str | None:
            return why_not(person, others, options)

        return [check(coco_sequence(source, root, unit, rule, **more), source.path, options)]

    def calibrate(root: Path, options: Any) -> list[str]:
        """Cuts the annotation files into pieces; says what is there and what is not."""
        lines, all_files = [], files(root, options)
        found = _present(all_files, root, options)
        for phase, (source, _) in all_files.items():
            if phase not in found:
                absent = _missing(source)
                why = f"there is no {absent[1]}" if absent else "it is not in dataset.phases"
                lines.append(f"{phase}: left out, {why}")
                continue
            pieces = read_pieces(source, root)
            n = sum(len(piece["images"]) for piece in pieces)
            lines.append(f"{phase}: {n} photographs with labelled people, {len(pieces)} units")
            lines += [f"{phase}: {line}" for line in malformed_lines(pieces)]
        return lines

    return list_units, load_unit, calibrate


def _present(
    files: Mapping[str, tuple[CocoFile, str]], root: Path, options: Any
) -> dict[str, tuple[CocoFile, str]]:
    """Those whose file and pictures are there; what is asked for by name must be."""
    wanted = getattr(options, "phases", None)
    if wanted is not None:
        if unknown := [phase for phase in wanted if phase not in files]:
            text = f"found {unknown[0]!r}; expected some of {', '.join(files)}"
            raise UsageError(f"dataset.phases: {text}")
        files = {phase: files[phase] for phase in files if phase in wanted}
    missing = {phase: _missing(source) for phase, (source, _) in files.items()}
    found = {phase: files[phase] for phase in files if missing[phase] is None}
    lacking = [phase for phase in files if missing[phase] is not None]
    lacking.sort(key=lambda phase: missing[phase][0] == files[phase][0].pictures)
    if not found and all(missing[phase][0] == files[phase][0].pictures for phase in files):
        folders = ", ".join(str(source.pictures) for source, _ in files.values())
        hint = "posepile plan shows what to fetch"
        raise CorruptInput(root, f"found no folder of pictures; expected {folders}", hint=hint)
    if lacking and (wanted is not None or not found):
        path, what = missing[lacking[0]]
        source = files[lacking[0]][0]
        of_file = source.hint if path == source.path else None
        hint = of_file or "posepile plan shows what to fetch"
        hint += "; or leave it out of dataset.phases" if wanted else ""
        raise CorruptInput(path, f"{what.partition(' ')[0]} is missing", hint=hint)
    return found


def _missing(source: CocoFile) -> tuple[Path, str] | None:
    """What is not there of pictures and annotation file, and what that is called."""
    for path, what in ((source.pictures, "folder"), (source.path, "file")):
        if path.name not in names_in(path.parent):
            return path, f"{what} {path}"
    return None


def coco_units(source: CocoFile, root: Path, id: str, split: str) -> Iterator[Unit]:
    """Yields units of some hundred pictures with labelled people, in order of image id.

    >>> import json
    >>> person = {"id": 4, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [1, 2, 30, 40]}
    >>> person["keypoints"], person["segmentation"] = [10, 20, 2] * 17, []
    >>> image = {"id": 1, "file_name": "1.jpg", "width": 64, "height": 48}
    >>> categories = [{"id": 1, "name": "person"}]
    >>> content = {"images": [image], "annotations": [person], "categories": categories}
    >>> root = folder / "mydata"
    >>> root.mkdir()
    >>> _ = (root / "val.json").write_text(json.dumps(content))
    >>> source = CocoFile(root / "val.json", root / "images")
    >>> [unit.id for unit in coco_units(source, root, "val", "val")]
    ['val/000000000001']

    Args:
        source: The annotation file.
        root: Raw folder of the dataset.
        id: Of the file, e.g. ``val2017``; the units are ``<id>/<id of the first image>``.
        split: ``train``, ``val`` or ``test``.
    """
    for piece in read_pieces(source, root):
        inputs = (source.path, *(source.pictures / name for name in piece["images"]))
        args = {"piece": piece["name"], "content": piece["content"]}
        yield Unit(f"{id}/{piece['name']}", split, inputs, args)


def coco_sequence(
    source: CocoFile,
    root: Path,
    unit: Unit,
    why_not: WhyNot = lambda person, others: None,
    *,
    more: Callable[[dict, dict], dict[str, Any]] = lambda person, image: {},
    index: str | None = None,
    image_name: Callable[[Path, int], str] | None = None,
) -> Sequence:
    """Returns the people of a unit of :func:`coco_units`.

    >>> import json
    >>> person = {"id": 4, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [1, 2, 30, 40]}
    >>> person["keypoints"], person["segmentation"] = [10, 20, 2] * 17, []
    >>> image = {"id": 1, "file_name": "1.jpg", "width": 64, "height": 48}
    >>> categories = [{"id": 1, "name": "person"}]
    >>> content = {"images": [image], "annotations": [person], "categories": categories}
    >>> root = folder / "mydata"
    >>> root.mkdir()
    >>> _ = (root / "val.json").write_text(json.dumps(content))
    >>> source = CocoFile(root / "val.json", root / "images")
    >>> (unit,) = coco_units(source, root, "val", "val")
    >>> coco_sequence(source, root, unit).tracks[0].image_coords[0, 0]
    array([10., 20.], dtype=float32)

    Args:
        source: The annotation file.
        root: Raw folder of the dataset.
        unit: One of its units.
        why_not: Why a person is left out.
        more: As of :func:`coco_pictures`.
        index: As there.
        image_name: As of :func:`posepile.shapes.stills.picture_sequence`.
    """
    piece = read_piece(source, root, unit.args["piece"])
    pictures = coco_pictures(source, piece["images"], why_not, more=more, index=index)
    return picture_sequence(unit, pictures, image_name=image_name, dropped=piece["elsewhere"])


def coco_pictures(
    source: CocoFile,
    images: list[dict],
    why_not: WhyNot = lambda person, others: None,
    *,
    more: Callable[[dict, dict], dict[str, Any]] = lambda person, image: {},
    index: str | None = None,
) -> list[Picture]:
    """Returns pictures with everybody in them.

    Crowd regions, people without a labelled joint and malformed annotations are left out, with
    the reason.

    >>> image = {"id": 1, "file_name": "1.jpg", "width": 64, "height": 48}
    >>> person = {"id": 4, "iscrowd": 0, "bbox": [1, 2, 30, 40], "keypoints": [10, 20, 2]}
    >>> image["people"] = [person | {"segmentation": None, "fault": None}]
    >>> source = CocoFile(folder / "val.json", folder, 1)
    >>> coco_pictures(source, [image])[0].people[0].image_coords
    array([[10., 20.]], dtype=float32)

    Args:
        source: The annotation file.
        images: As of :func:`posepile.shapes.coco_files.read_pictures`, those that have a file.
        why_not: Why a person is left out.
        more: (person, image) -> further fields of :class:`posepile.shapes.stills.Person`, which
            replace those that are made of COCO's keys.
        index: Key of the annotation that is the person's index, e.g. ``id``; None: the rank of
            the annotation's id in the picture.
    """
    pictures = []
    for image in images:
        people, path = [], source.pictures / image["file_name"]
        size = image["width"], image["height"]
        if source.sizes_of_files:
            size = size_if_readable(path)
            is_other = size and {*image.get("stated", size)} != {*size}
            for person in image["people"]:
                if is_other:
                    person.update({"fault": OTHER_PICTURE, **ABSENT})
                elif size and not person["fault"]:
                    person.update(_looked_at(source, person, size))
        _mark_doubles(image["people"])
        for rank, person in enumerate(image["people"]):
            others = [p for p in image["people"] if p is not person]
            has_mask = person["segmentation"] is not None
            fields = {
                "image_coords": joint_coords(person, source.n_joints),
                # That of a group says nothing of where anybody is.
                "bbox": None if person["iscrowd"] else person["bbox"],
                "mask": partial(_mask, source, person, size) if has_mask else None,
                "left_out": why_unusable(person) or why_not(person, others),
            }
            number = rank if index is None else person.get(index)
            if type(number) is not int:  # nobody else's, and no name of a crop
                number = -1 - rank
                fields["left_out"] = fields["left_out"] or f"{index} {NO_NUMBER}"
            people.append(Person(number, **{**fields, **more(person, image)}))
        pictures.append(Picture(path, size, people))
    return pictures


def joint_coords(person: dict, n_joints: int = 17) -> np.ndarray:
    """Returns the joints of an annotation, float32 ``[J, 2]`` pixels, NaN where not labelled.

    >>> joint_coords({"keypoints": [10, 20, 2, 0, 0, 0]}, 2)
    array([[10., 20.],
           [nan, nan]], dtype=float32)
    """
    # What is not labelled may be anything, also no number that float32 can hold.
    points = np.array(person["keypoints"] or [0] * 3 * n_joints, np.float64).reshape(-1, 3)
    return np.where(points[:, 2:] > 0, points[:, :2], np.nan).astype(np.float32)


def too_few_joints(
    person: dict, visible_share: float, labelled_share: float, n_joints: int | None = None
) -> str | None:
    """Returns a reason if fewer joints than these shares are visible or labelled, else None.

    >>> too_few_joints({"keypoints": [5, 5, 2, 6, 6, 1, 0, 0, 0, 0, 0, 0]}, 0.25, 0.75)
    'fewer labelled joints than asked for'

    Args:
        person: With COCO's keys.
        visible_share: 0..1, of joints with v = 2.
        labelled_share: 0..1, of joints with v > 0.
        n_joints: Only the first so many joints count; None = all.
    """
    visibility = np.array(person["keypoints"][2::3][:n_joints])
    if (visibility == 2).mean() < visible_share - 1e-9:
        return FEW_VISIBLE
    if (visibility > 0).mean() < labelled_share - 1e-9:
        return FEW_LABELLED
    return None


def too_small(person: dict, min_size: float, factor: float = JOINT_BOX_FACTOR) -> str | None:
    """Returns a reason if the longer side of the enlarged box of the joints is shorter than that.

    >>> too_small({"keypoints": [10, 20, 2, 30, 50, 1]}, min_size=40)
    'box of the joints smaller than dataset.min_size'

    Args:
        person: With COCO's keys; with a labelled joint.
        min_size: Pixels.
        factor: How much the box is enlarged before.
    """
    joints = joint_coords(person, 0)
    extent = np.nanmax(joints, axis=0) - np.nanmin(joints, axis=0)
    return SMALL if extent.max() * factor < min_size else None


def _mark_doubles(people: list[dict]) -> None:
    """Whoever has the very key points of somebody before them is the same person."""
    seen = set()
    for person in people:
        points = tuple(person["keypoints"])
        if points in seen:
            person.update({"fault": TWICE, **ABSENT})
        elif any(v > 0 for v in points[2::3]):
            seen.add(points)


def _looked_at(source: CocoFile, person: dict, size: tuple[int, int]) -> dict:
    """What changes of an annotation once the size of its picture is known."""
    fault = annotation_fault(source, person, size)
    return {"fault": fault, **ABSENT} if fault else {}


def _mask(source: CocoFile, person: dict, size: tuple[int, int] | None) -> dict | None:
    if size is None:
        return None
    try:
        return decode_mask(person["segmentation"], *size)
    except ValueError as e:
        raise CorruptInput(source.path, f"annotation {person['id']}: {e}") from None
