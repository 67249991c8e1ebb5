"""People who are tracked through a video, in an annotation file like COCO's of their own.

A recipe says what the file holds, who is left out, and how far somebody has to move::

    source = CocoFile(path, root, more=("track_id",), sizes_of_files=True, read=read_tracked)
    pictures, lost = tracked_pictures(source, why_not, lambda person: 0.1 * person["bbox"][2])
    return [picture_sequence(unit, pictures, dropped=lost)]
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from posepile.errors import CorruptInput
from posepile.formats.text_files import iter_json
from posepile.shapes.coco import TWICE, WhyNot, coco_pictures
from posepile.shapes.coco_files import CocoFile, read_pictures
from posepile.shapes.coco_people import known_id, why_unusable
from posepile.shapes.stills import Picture
from posepile.shapes.thinning import thin_out

NO_TRACK = "no track_id that is a whole number"
TRACK_TWICE = "two people of one track_id in a picture"
OTHER_VIDEO = "its file_name is not of this video"
OTHER_FRAME = "its id is of another frame than its file_name"
REGION = "region in which nobody is labelled"


def tracked_pictures(
    source: CocoFile,
    why_not: WhyNot,
    limit: Callable[[dict], float],
    *,
    names: Sequence[str] | None = None,
) -> tuple[list[Picture], Counter]:
    """Returns the pictures of a video in which somebody is, and why others belong to none.

    A person's index is the ``track_id``. Who has none is left out, as are people who have moved
    too little since the last picture in which they are kept.

    >>> import json
    >>> people = [{"id": k, "image_id": k, "track_id": 7, "keypoints": [x, 6, 1], "bbox": None}
    ...           for k, x in enumerate((5, 6, 9))]
    >>> images = [{"id": k, "file_name": f"{k}.jpg", "width": 64, "height": 48} for k in range(3)]
    >>> content = {"images": images, "annotations": people}
    >>> _ = (folder / "walk.json").write_text(json.dumps(content))
    >>> source = CocoFile(folder / "walk.json", folder, 1, read=read_tracked, more=("track_id",),
    ...                   category=None, optional=("iscrowd", "segmentation", "bbox"))
    >>> pictures, lost = tracked_pictures(source, lambda *_: None, lambda person: 2.0)
    >>> [picture.people[0].left_out for picture in pictures]
    [None, 'has moved too little since the last frame that was kept', None]

    Args:
        source: The annotation file, read by :func:`read_tracked`, with ``track_id`` among the
            further keys, and where it has regions without labels, all keys optional.
        why_not: Why a person is left out.
        limit: Person -> by how many pixels some joint has to move; NaN = not known, so that every
            frame is kept.
        names: Key points that the file must state in this order, if it states any.

    Raises:
        CorruptInput: It states others, as files of another release or of predictions do.
    """
    if names is not None:
        check_key_points(source.path, names)
    images = [i for i in read_pictures(source) if not all(map(_is_region, i["people"]))]
    nowhere = [image for image in images if image.get("fault", "") is not None]
    lost = Counter(why_unusable(person) for image in nowhere for person in image["people"])
    images = [image for image in images if image.get("fault", "") is None]

    for image in images:
        _mark_twice(image["people"])

    def rule(person: dict, others: list[dict]) -> str | None:
        return NO_TRACK if person["track_id"] < 0 else why_not(person, others)

    def more(person: dict, image: dict) -> dict:
        return {"left_out": REGION} if _is_region(person) else {}

    pictures = coco_pictures(source, images, rule, more=more, index="track_id")
    _refuse_unusable(source, images, pictures)
    found = [{person["track_id"]: person for person in image["people"]} for image in images]
    thin_out(pictures, lambda k, person: limit(found[k][person.index]))
    return pictures, lost


def _refuse_unusable(source: CocoFile, images: list[dict], pictures: list[Picture]) -> None:
    """A video of which everybody is unusable is no video of nobody."""
    reasons = Counter(
        seen.left_out
        for image, picture in zip(images, pictures, strict=True)
        for person, seen in zip(image["people"], picture.people, strict=True)
        if not person["iscrowd"]
    )
    faults = {why: n for why, n in reasons.items() if why in (NO_TRACK, TRACK_TWICE, TWICE)}
    if faults and sum(faults.values()) > sum(reasons.values()) / 2:
        why, n = max(faults.items(), key=lambda fault: fault[1])
        text = f"{why} ({n} of {sum(reasons.values())} annotations); expected few such"
        raise CorruptInput(source.path, text, hint=source.hint)


def _mark_twice(people: list[dict]) -> None:
    """Of two people of one track it is not known which one is who."""
    n_of = Counter(person["track_id"] for person in people)
    for rank, person in enumerate(people, 1):
        if n_of[person["track_id"]] > 1:
            person.update(fault=TRACK_TWICE, track_id=-rank - 10**9)


def frame_fault(path: Path, image: dict) -> str | None:
    """Returns why a picture is not one of its file's video, in the form of PoseTrack18, or None.

    Files are ``<split>/<video>.json``, pictures ``images/<split>/<video>/<frame>.jpg``, ids the
    digit 1, six of the video and four of the frame from 0; other ids tell nothing.

    >>> path, name = Path("val/003418_mpii.json"), "images/val/003418_mpii/000007.jpg"
    >>> frame_fault(path, {"id": 10034180007, "file_name": name})
    >>> frame_fault(path, {"id": 10034180008, "file_name": name})
    'its id is of another frame than its file_name'
    """
    folder = re.escape(f"images/{path.parent.name}/{path.stem}/")
    frame = re.fullmatch(rf"{folder}(\d+)\.jpg", str(image.get("file_name")))
    if frame is None:
        return OTHER_VIDEO
    told = re.fullmatch(r"1(\d{6})(\d{4})", str(image.get("id")))
    if told and (told[1], int(told[2])) != (path.stem[:6], int(frame[1])):
        return OTHER_FRAME
    return None


def read_tracked(
    path: Path, kind: str, fault: Callable[[Path, dict], str | None] = lambda path, image: None
) -> Iterator[dict]:
    """Yields entries of a file in COCO's form whose people all have a track: ``CocoFile.read``.

    Who has none gets a negative one. Regions in which nobody is labelled become crowds.

    >>> import json
    >>> image = {"id": 1, "ignore_regions_x": [[0, 9, 9]], "ignore_regions_y": [[0, 0, 5]]}
    >>> content = {"images": [image], "annotations": [{"id": 4, "image_id": 1}]}
    >>> _ = (folder / "walk.json").write_text(json.dumps(content))
    >>> person, region = read_tracked(folder / "walk.json", "annotations")
    >>> person["track_id"], region["iscrowd"], region["segmentation"]
    (-1, 1, [[0, 0, 9, 0, 9, 5]])

    Args:
        path: The file.
        kind: ``images``, ``annotations`` or ``categories``.
        fault: (path, image) -> why nobody can be taken from a picture, or None.
    """
    numbers = itertools.count(1)
    schema = {"id": (int, float, str), "name": str} if kind == "categories" else None
    for entry in iter_json(path, f"{kind}.item", schema):
        if kind == "annotations" and isinstance(entry, dict):
            track = entry.get("track_id")
            track = known_id(track)  # also a text, or 7.0
            is_track = type(track) is int and track >= 0
            entry["track_id"] = track if is_track else -next(numbers)
        if kind == "images" and isinstance(entry, dict) and (why := fault(path, entry)):
            entry["fault"] = why
        yield entry
    for image in iter_json(path, "images.item") if kind == "annotations" else ():
        for corners in ignored_regions(path, image):
            ids = {"track_id": -(n := next(numbers)), "id": f"{REGION} {n}", "category_id": 1}
            mask = {"segmentation": [[value for corner in corners for value in corner]]}
            yield {**ids, "image_id": image["id"], "iscrowd": 1, "keypoints": [], **mask}


def _is_region(person: dict) -> bool:
    return str(person["id"]).startswith(REGION)


def ignored_regions(path: Path, image: dict) -> list[list[tuple[float, float]]]:
    """Returns the corners of the regions of a picture in which nobody is labelled.

    >>> image = {"ignore_regions_x": [[0, 9, 9]], "ignore_regions_y": [[0, 0, 5]]}
    >>> ignored_regions(folder / "walk.json", image)
    [[(0, 0), (9, 0), (9, 5)]]

    Args:
        path: The file, for messages.
        image: Its entry; without ``ignore_regions_x`` and ``ignore_regions_y`` there are none.

    Raises:
        CorruptInput: They are no lists of as many numbers.
    """
    try:
        sides = [image.get(f"ignore_regions_{axis}") or () for axis in "xy"]
        return [[*zip(xs, ys, strict=True)] for xs, ys in zip(*sides, strict=True)]
    except (TypeError, ValueError, AttributeError):
        text = "ignore_regions_x and _y are no lists of as many numbers"
        raise CorruptInput(path, f"image {image.get('id')}: {text}") from None


def check_key_points(
    path: Path, names: Sequence[str], also: Mapping[str, str] | None = None
) -> None:
    """Makes sure that a file states these key points in this order, if it states any.

    >>> content = '{"categories": [{"keypoints": ["nose", "left_eye"]}]}'
    >>> _ = (folder / "walk.json").write_text(content)
    >>> check_key_points(folder / "walk.json", ["nose", "head_bottom"])
    Traceback (most recent call last):
    posepile.errors.CorruptInput: ...walk.json: key points are nose, left_eye; expected nose, ...

    Args:
        path: The file.
        names: Of the key points, as the file calls them.
        also: Other name that one may have -> its name.

    Raises:
        CorruptInput: It states others, as files of another release or of predictions do.
    """
    for category in iter_json(path, "categories.item", {"keypoints?": [str]}):
        stated = category.get("keypoints")
        found = [(also or {}).get(name, name) for name in (stated or ())]
        if stated is not None and found != list(names):
            text = f"key points are {', '.join(found)}; expected {', '.join(names)}"
            raise CorruptInput(path, text)
