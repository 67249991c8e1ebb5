"""Key points of people in photographs: COCO's files of labels and results, its own program.

What a benchmark has to say is where its labels are, and which numbers it reports.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from posepile.errors import CorruptInput
from posepile.evaluation.benchmark import Clip, Predictions, Setup, Taken
from posepile.evaluation.predictions import WRITE_AGAIN, read_pred_json
from posepile.formats.keys import by_key
from posepile.formats.schema import Array

PERSON = 1  # the only category
LIKE_COCO = MappingProxyType(  # what protocols have in common
    {
        "root": "none, in the picture",
        "alignment": "none",
        "averaging": "10 thresholds of OKS from 0.5 to 0.95, 101 of recall; "
        "up to 20 people per image",
        "frames": "all images of the annotation file (option --split)",
        "misses_count": True,
    }
)


def labels_schema(n_joints: int, person: Mapping[str, Any], image: Mapping[str, Any]) -> dict:
    """Returns what is expected of an annotation file.

    >>> sorted(labels_schema(17, {"area": float}, {})["annotations"][0])[:3]
    ['area', 'bbox', 'category_id']

    Args:
        n_joints: Number of joints.
        person: What an annotation has besides.
        image: What an image has besides its id.
    """
    labelled: dict[str, Any] = dict.fromkeys(("id", "image_id", "category_id"), int)
    labelled |= {"iscrowd": int, "num_keypoints": int}
    labelled |= {"keypoints": Array(3 * n_joints), "bbox": Array(4), **person}
    return {"images": [{"id": int, **image}], "annotations": [labelled]}


def labelled_people(
    name: str, labels: Mapping[str, Any], path: Path, *, may_lack: bool = False
) -> Clip:
    """Returns the people of every image, in the order of the file's images.

    >>> labels = {"images": [{"id": 7}], "annotations": []}
    >>> clip = labelled_people("val", labels, folder / "val.json", may_lack=True)
    >>> clip.keys, clip.truth
    (['7'], {'people': [[]]})

    Args:
        name: Of the clip.
        labels: Content of the annotation file.
        path: The file, for messages.
        may_lack: There may be nobody to find.

    Raises:
        CorruptInput: An image or an annotation is there twice, or there is nobody to find.
    """
    is_there = (p["num_keypoints"] > 0 and not p["iscrowd"] for p in labels["annotations"])
    if not may_lack and not any(is_there):
        text = f"found nobody with labelled joints in {len(labels['annotations'])} annotations"
        raise CorruptInput(path, f"{text}; expected the people of {name}")
    for kind, what in (("images", "image id"), ("annotations", "annotation id")):
        found = ((entry.get("id"), f"{kind}.{k}", None) for k, entry in enumerate(labels[kind]))
        by_key(found, path, what)
    people: dict[int, list] = {image["id"]: [] for image in labels["images"]}
    elsewhere = 0
    for person in labels["annotations"]:
        if person["image_id"] in people:
            people[person["image_id"]].append(person)
        else:
            elsewhere += 1
    left_out = {"people of images that the file does not list": elsewhere} if elsewhere else {}
    keys = [str(image) for image in people]
    return Clip(name, keys, {"people": [*people.values()]}, left_out=left_out)


def found_people(
    setup: Setup,
    n_joints: int,
    *,
    more: Mapping[str, Any] = MappingProxyType({}),
    choose: Callable[[dict], dict | None] | None = None,
    may_lack: bool = False,
) -> Predictions:
    """Returns the opened results JSON: of each image the joints, scores and boxes of its people.

    The box is that of a detection's joints, where the file has no ``bbox`` for it.

    >>> row = '{"image_id": 7, "category_id": 1, "keypoints": [3, 4, 1], "score": 0.5}'
    >>> _ = (folder / "results.json").write_text(f"[{row}]")
    >>> found = found_people(Setup(folder, folder / "results.json", None, None), 1)
    >>> found.take(Clip("val", ["7", "8"], {})).present
    array([ True, False])

    Args:
        setup: What is asked for.
        n_joints: Number of joints that are scored.
        more: What a detection has in the file besides, or in another form.
        choose: Returns a detection of the file as it is scored, in the plain form; None: it is
            left aside.
        may_lack: All may be left aside, as of a part of the body that nobody was asked for.

    Raises:
        CorruptInput: A detection is of no person, or all are left aside.
    """
    row = {"image_id": int, "category_id": int, "score": float, "bbox?": Array(4)}
    row |= {"keypoints": Array(3 * n_joints, finite=False), **more}
    people, number = defaultdict(list), -1
    for number, found in enumerate(read_pred_json(setup.pred_path, [row])):
        if found["category_id"] != PERSON:
            text = f"[{number}].category_id: found {found['category_id']}; expected {PERSON}"
            raise CorruptInput(setup.pred_path, f"{text}, a person", hint=WRITE_AGAIN)
        box = found.get("bbox")
        box = _box_of(found["keypoints"]) if box is None else box
        if scored := choose(found) if choose else found:
            people[str(found["image_id"])].append((scored["keypoints"], scored["score"], box))
    if number >= 0 and not people and not may_lack:
        text = f"found {number + 1} detections, each without a third number above 0"
        raise CorruptInput(setup.pred_path, f"{text}; expected scores of joints", hint=WRITE_AGAIN)

    def take(clip: Clip) -> Taken:
        of_images = [people.get(key, []) for key in clip.keys]
        if people and not any(of_images):
            text = f"found people in {len(people)} images, none of them among the {len(clip.keys)}"
            hint = "is it of another split, or are images numbered anew?"
            raise CorruptInput(setup.pred_path, f"{text} of {clip.name}", hint=hint)
        arrays = {
            name: [np.reshape([person[i] for person in found], shape) for found in of_images]
            for i, (name, *shape) in enumerate(
                [("joints", -1, n_joints, 3), ("scores", -1), ("boxes", -1, 4)]
            )
        }
        present = np.array([len(found) > 0 for found in of_images], bool)
        return Taken(arrays, present, setup.pred_path)

    return Predictions(setup.pred_path, take, list(people), lengths=())


def label_and_result_files(clip: Clip, pred: Mapping[str, Any]) -> tuple[dict, list[dict]]:
    """Returns labels and results of a clip as COCO's program reads them.

    >>> content = {"images": [{"id": 7}], "annotations": []}
    >>> clip = labelled_people("val", content, folder / "val.json", may_lack=True)
    >>> found = {"joints": [np.ones((1, 17, 3))], "scores": [[0.5]], "boxes": [np.ones((1, 4))]}
    >>> labels, (row,) = label_and_result_files(clip, found)
    >>> labels["images"], row["image_id"], row["score"], row["bbox"]
    ([{'id': 7}], 7, 0.5, [1.0, 1.0, 1.0, 1.0])

    Args:
        clip: Of :func:`labelled_people`.
        pred: ``joints``, ``scores`` and ``boxes`` of the people found in each image.
    """
    labels = {"images": [{"id": int(key)} for key in clip.keys], "categories": [{"id": PERSON}]}
    labels["annotations"] = [person for people in clip.truth["people"] for person in people]
    images = zip(clip.keys, pred["joints"], pred["scores"], pred["boxes"], strict=True)
    results = [
        {"image_id": int(key), "category_id": PERSON, "keypoints": points.ravel().tolist()}
        | {"score": score, "bbox": box.tolist()}  # what is found is as large as its box
        for key, *found in images
        for points, score, box in zip(*found, strict=True)
    ]
    return labels, results


def _box_of(keypoints: np.ndarray) -> np.ndarray:
    """Returns left, top, width, height of all joints, those not labelled with them."""
    points = np.reshape(keypoints, (-1, 3))[:, :2]
    low, high = points.min(axis=0), points.max(axis=0)
    with np.errstate(invalid="ignore"):  # what is not finite is refused later
        return np.r_[low, high - low]
