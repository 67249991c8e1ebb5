"""People in the pictures of videos, each video in a file like COCO's: truth and predictions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from posepile.errors import CorruptInput, UsageError
from posepile.evaluation.benchmark import Clip, Predictions, Taken
from posepile.evaluation.predictions import WRITE_AGAIN, read_pred_json, refuse_twice
from posepile.formats.folders import names_like
from posepile.formats.keys import by_key
from posepile.formats.schema import AGAIN, Array
from posepile.formats.text_files import read_json
from posepile.metrics import head_size
from posepile.shapes.coco_videos import ignored_regions

ARRAYS = ("joints", "scores", "tracks")
NO_SCORE = -9999.0  # of joints without one: they rank behind all others
_CATEGORIES = [{"keypoints": [str]}]
_PERSON = {"image_id": int, "keypoints": Array(..., finite=False), "track_id?": int}
_FOUND = {"images": [{"id": int}], "categories": _CATEGORIES}
_FOUND["annotations"] = [_PERSON | {"scores?": Array(..., finite=False)}]
_LABELLED = _PERSON | {"keypoints": Array(...), "bbox_head": Array(4)}
_LABELS = {"categories": _CATEGORIES, "annotations": [_LABELLED]}
_LABELS["images"] = [{"id": int, "ignore_regions_x?": None, "ignore_regions_y?": None}]


class VideoPeople(NamedTuple):
    """Everybody in one picture.

    Attributes:
        joints: ``[k, J, 3]`` x, y and v, as in the file.
        scores: ``[k, J]``; :data:`NO_SCORE` where the file has none.
        entries: The ``k`` annotations.
    """

    joints: np.ndarray
    scores: np.ndarray
    entries: list[Mapping[str, Any]]

    def tracks(self, path: Path, needed: bool, hint: str) -> np.ndarray:
        """Returns the ``k`` tracks, -1 where there is none.

        Args:
            path: The file, for messages.
            needed: All have to be there, and none twice.
            hint: What the user can do if they are not.

        Raises:
            CorruptInput: They are not.
        """
        found = [entry.get("track_id", -1) for entry in self.entries]
        if needed and (min(found, default=0) < 0 or len({*found}) < len(found)):
            image = self.entries[0]["image_id"]
            text = f"image {image}: found track_id {found}; expected one of each, from 0"
            raise CorruptInput(path, text, hint=hint)
        return np.array(found, np.int64)


def points_of(joints: np.ndarray) -> np.ndarray:
    """Returns ``[k, J, 2]`` of x, y and v ``[k, J, 3]``, NaN where all three are 0.

    >>> points_of(np.array([[[5.0, 6, 1], [0, 0, 0], [0, 0, 1]]])).tolist()
    [[[5.0, 6.0], [nan, nan], [0.0, 0.0]]]
    """
    return np.where((joints == 0).all(axis=-1, keepdims=True), np.nan, joints[..., :2])


def people_by_image(
    content: Mapping[str, Any],
    names: Sequence[str],
    path: Path,
    hint: str,
    may_lack: Collection[str] = (),
) -> dict[int, VideoPeople]:
    """Returns image id -> the people there, in the file's order; images without any are absent.

    >>> content = {"categories": [{"keypoints": ["left_ear", "nose"]}]}
    >>> content["annotations"] = [{"image_id": 7, "keypoints": np.arange(6.0)}]
    >>> people_by_image(content, ["nose"], folder / "walk.json", "").popitem()[1].joints.tolist()
    [[[3.0, 4.0, 5.0]]]

    Args:
        content: Of a file: ``categories`` with the names of its key points, ``annotations`` with
            ``image_id``, arrays ``keypoints`` and perhaps ``scores``.
        names: Of the joints, in order.
        path: For messages.
        hint: What the user can do if the file is not so.
        may_lack: Joints that may be unknown to the file; they are then where nothing was found.

    Raises:
        CorruptInput: Not one category, a joint is lacking, or other numbers of key points.
    """
    listed = [category["keypoints"] for category in content["categories"]]
    needed = [name for name in names if name not in may_lack]
    absent = [name for name in needed if len(listed) != 1 or name not in listed[0]]
    if absent:
        text = f"found {len(listed)} categories; expected one with the key point {absent[0]}"
        raise CorruptInput(path, text, hint=hint)
    n = len(listed[0])
    order = [listed[0].index(name) if name in listed[0] else n for name in names]
    people: dict[int, list] = {}
    for i, entry in enumerate(content["annotations"]):
        scores = entry.get("scores")
        scores = np.full(n, NO_SCORE) if scores is None or not scores.size else scores
        if entry["keypoints"].shape != (3 * n,) or scores.shape != (n,):
            found = f"{entry['keypoints'].size} numbers in keypoints, {scores.size} scores"
            text = f"annotations[{i}]: found {found}; expected {3 * n} and {n}"
            raise CorruptInput(path, text, hint=hint)
        joints = np.append(entry["keypoints"], np.zeros(3)).reshape(n + 1, 3)[order]
        scores = np.append(scores, NO_SCORE)[order]
        people.setdefault(entry["image_id"], []).append((joints, scores, entry))
    return {
        id: VideoPeople(np.stack(joints), np.stack(scores), list(entries))
        for id, (joints, scores, entries) in ((k, zip(*v, strict=True)) for k, v in people.items())
    }


def nobody(n_joints: int) -> VideoPeople:
    """Returns the people of a picture without any.

    >>> nobody(15).joints.shape
    (0, 15, 3)
    """
    return VideoPeople(np.zeros((0, n_joints, 3)), np.zeros((0, n_joints)), [])


def labelled_people(
    name: str, files: Mapping[str, Path], names: Sequence[str], *, tracks: bool = False
) -> Clip:
    """Returns the true people of videos, an entry per picture: ``<video>/<id of the image>``.

    There are ``joints`` ``[m, J, 2]``, ``head_size`` ``[m]``, ``tracks`` ``[m]`` and ``ignored``:
    the corners of regions that do not count.

    >>> import json
    >>> person = {"image_id": 7, "keypoints": [5, 6, 1], "bbox_head": [0, 0, 30, 40]}
    >>> content = {"images": [{"id": 7}], "annotations": [person]}
    >>> content["categories"] = [{"keypoints": ["nose"]}]
    >>> _ = (folder / "walk.json").write_text(json.dumps(content))
    >>> clip = labelled_people("val", {"walk": folder / "walk.json"}, ["nose"])
    >>> clip.keys, clip.truth["head_size"][0].tolist()
    (['walk/7'], [30.0])

    Args:
        name: Of the clip.
        files: Video -> annotation file.
        names: As of :func:`people_by_image`.
        tracks: Everybody needs a track.

    Raises:
        CorruptInput: A file is not like that.
    """
    keys, known = [], {"joints": [], "head_size": [], "tracks": [], "ignored": []}
    for video, path in files.items():
        labels = read_json(path, _LABELS, hint=AGAIN)
        people = people_by_image(labels, names, path, AGAIN)
        _check_listed(path, people, labels, AGAIN)
        images = labels["images"]
        by_key(((image["id"], f"images.{k}", None) for k, image in enumerate(images)), path, "id")
        for image in labels["images"]:
            found = people.get(image["id"], nobody(len(names)))
            heads = [person["bbox_head"] for person in found.entries]
            keys.append(f"{video}/{image['id']}")
            known["joints"].append(points_of(found.joints))
            known["head_size"].append(_head_sizes(path, image["id"], heads))
            known["tracks"].append(found.tracks(path, tracks, AGAIN))
            known["ignored"].append(ignored_regions(path, image))
    return Clip(name, keys, known)


def video_people(
    folder: Path,
    names: Sequence[str],
    videos: Collection[str],
    may_lack: Collection[str] = (),
    *,
    tracks: bool = False,
) -> Predictions:
    """Returns the people found in videos: ``joints``, ``scores`` and ``tracks`` of each picture.

    Keys of the truth are ``<video>/<id of the image>``.

    >>> import json
    >>> content = {"images": [{"id": 7}], "annotations": []}
    >>> content["categories"] = [{"keypoints": ["nose"]}]
    >>> _ = (folder / "walk.json").write_text(json.dumps(content))
    >>> opened = video_people(folder, ["nose"], ["walk"])
    >>> opened.take(Clip("val", ["walk/7"], {})).arrays["joints"][0].shape
    (0, 1, 3)

    Args:
        folder: With ``<video>.json`` for each video.
        names: As of :func:`people_by_image`.
        videos: Those that are evaluated.
        may_lack: As of :func:`people_by_image`.
        tracks: Everybody needs a track.

    Raises:
        UsageError: It is no folder.
    """
    if not folder.is_dir():
        raise UsageError(f"--pred-path {folder}: is no folder; expected one with a file per video")

    def take(clip: Clip) -> Taken:
        found: dict[str, tuple] = {}
        for video in dict.fromkeys(key.rpartition("/")[0] for key in clip.keys):
            path = folder / f"{video}.json"
            content = read_pred_json(path, _FOUND)
            keys = [f"{video}/{image['id']}" for image in content["images"]]
            refuse_twice(keys, path, "image")
            _check_images(path, set(keys), {k for k in clip.keys if k.startswith(f"{video}/")})
            people = people_by_image(content, names, path, WRITE_AGAIN, may_lack)
            _check_listed(path, people, content, WRITE_AGAIN)
            for key, image in zip(keys, content["images"], strict=True):
                them = people.get(image["id"], nobody(len(names)))
                found[key] = *them[:2], them.tracks(path, tracks, WRITE_AGAIN)
        rows = [found[key] for key in clip.keys]
        arrays = {name: [row[i] for row in rows] for i, name in enumerate(ARRAYS)}
        return Taken(arrays, np.ones(len(rows), bool), folder)

    more = [v for (v,) in names_like(folder, r"(.+)\.json").values() if v not in videos]
    return Predictions(folder, take, more, what="video", lengths=())


def _check_listed(path: Path, people: Mapping[int, Any], content: Mapping, hint: str) -> None:
    """Nobody is in a picture that the file does not list."""
    lost = people.keys() - {image["id"] for image in content["images"]}
    if lost:
        n = sum(len(people[id].entries) for id in lost)
        text = f"found {n} annotations of images that are not listed, such as image {min(lost)}"
        raise CorruptInput(path, text, hint=hint)


def _head_sizes(path: Path, image: int, heads: list) -> np.ndarray:
    """Distances are measured by these, so none may be zero."""
    sizes = head_size(np.reshape(heads, (-1, 4)))
    if not (sizes > 0).all():
        text = f"image {image}: found a bbox_head of no size; expected x, y, width, height"
        raise CorruptInput(path, text, hint=AGAIN)
    return sizes


def _check_images(path: Path, found: set[str], expected: set[str]) -> None:
    if lost := sorted(expected ^ found):
        which = "lacks" if lost[0] in expected else "has"
        text = f"found {len(found)} images; expected the {len(expected)} that are annotated"
        raise CorruptInput(path, f"{text} ({which} {lost[0]})", hint=WRITE_AGAIN)
