"""Photographs of people with key points, boxes and masks, annotated in COCO's form.

An :class:`Album` is the photographs of a miniature::

    FIGURE = photo_figure(NAMES)  # names of JointInfo, in its order
    album = Album(FIGURE, seed)
    people = [Sitter(120), Sitter(360, v=[2, 0, ...], mask="compressed", kept=False)]
    photo = album.take("val", 285, (500, 400), people)  # sequence of the truth, number, size
    write_jpeg(root / "val" / "000285.jpg", photo.image, 97)
    write_json(root / "val.json", album.content("val", CATEGORY, without=["area"]))
    write_truth(root, make_truth(FIGURE, pattern, album.sequences({"val": "val"}), n_people=2))

What is peculiar to a dataset is changed in the dictionaries that ``content`` returns, or made of
``photo.annotation(i)``. Videos of moving people: :func:`take_photos` with n > 1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from posepile.miniature.actor import move, pose_skeleton
from posepile.miniature.details import DETAILS
from posepile.miniature.rig import RigCamera, make_camera
from posepile.miniature.shoot import Actor, Backdrop, Picture, Shot, shoot
from posepile.miniature.skeleton import APART, REST, Figure, make_figure
from posepile.miniature.truth import SequenceTruth

FOCAL = 900.0
TALL_MM = 1720.0  # from the top of the head to the soles

# COCO's category: names of its joints, and official pairs of them, 1-based
COCO_PERSON = {
    "id": 1,
    "name": "person",
    "supercategory": "person",
    "keypoints": (
        "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow "
        "right_elbow left_wrist right_wrist left_hip right_hip left_knee right_knee left_ankle "
        "right_ankle"
    ).split(),
    "skeleton": [
        [16, 14], [14, 12], [17, 15], [15, 13], [12, 13], [6, 12], [7, 13], [6, 7], [6, 8],
        [7, 9], [8, 10], [9, 11], [2, 3], [1, 2], [1, 3], [2, 4], [3, 5], [4, 6], [5, 7],
    ],
}  # fmt: skip
COCO_NAMES = [n if n == "nose" else n[0] + n.split("_")[1][:3] for n in COCO_PERSON["keypoints"]]
# PoseTrack's in the same places, and what the bottom of the head is in the actor's skeleton
POSETRACK_NAMES = ["nose", "head", "htop", *COCO_NAMES[3:]]
POSETRACK_ACTOR = ["nose", "neck", "htop", *COCO_NAMES[3:]]
_HEAD = ["nose", "head_bottom", "head_top"]
POSETRACK_PERSON = {**COCO_PERSON, "keypoints": [*_HEAD, *COCO_PERSON["keypoints"][3:]]}


def photo_figure(names: Sequence[str], without: Sequence[str] = ()) -> Figure:
    """Returns the figure of a person in photographs, also of one that has neither head nor neck.

    >>> figure = photo_figure("nose lear rear lsho rsho lelb relb lwri rwri lhip rhip".split())
    >>> figure.trunk, (0, 1) in figure.edges, figure.colors[1] is not None
    ([3, 4, 10, 9, 0], True, True)

    Args:
        names: Joints in the order of the dataset's JointInfo, also points of
            :data:`posepile.miniature.details.DETAILS`.
        without: Joints without a disc, since the dataset never labels them.
    """
    names, figure = list(names), make_figure(list(names))
    face = [name for name in ("nose", "lear", "rear") if name in names]
    discs = [n for n, color in zip(names, figure.colors, strict=True) if color is not None]
    for name in face:
        if all(np.linalg.norm(REST[name] - REST[n]) >= APART for n in discs):
            discs.append(name)
    figure = make_figure(names, [n for n in names if n in discs and n not in without])
    # A bar from ear to ear, and hands; without a neck, the trunk goes up to the nose.
    lines = [("nose", "lear"), ("nose", "rear"), ("lwri", "lhan13"), ("rwri", "rhan13")]
    bars = [(names.index(a), names.index(b)) for a, b in lines if {a, b} <= set(names)]
    trunk = [*figure.trunk, names.index("nose")] if "nose" in names else figure.trunk
    trunk = figure.trunk if {"neck", "head"} & set(names) else trunk
    return dataclasses.replace(figure, edges=[*figure.edges, *bars], trunk=trunk)


@dataclass(frozen=True)
class Sitter:
    """Somebody in a photograph, and how they are annotated.

    Attributes:
        x: Of the pelvis in the picture (in the middle of a video).
        tall: Pixels from the top of the head to the soles; it tells how far away they stand.
        v: Visibility of every joint, or one for each of the figure's. 0: not labelled, all zeros.
            -1: written as 0, but with its coordinates.
        mask: Form of the mask: ``polygon``, or ``plain`` or ``compressed`` RLE.
        kept: Whether they are expected in the packed dataset.
        crowd: They are annotated as a crowd.
        y: Of the middle of the body; None = of the picture.
        turned: Degrees to their left; None = differs from person to person.
        more: Further keys of the annotation.
        step_mm: Sideways, from one frame of a video to the next.
        swing: Radians by which limbs swing in a video.
    """

    x: float
    tall: float = 260
    v: float | Sequence[float] = 2
    mask: str = "polygon"
    kept: bool = True
    crowd: bool = False
    y: float | None = None
    turned: float | None = None
    more: Mapping[str, Any] = field(default_factory=dict)
    step_mm: float = 38.0
    swing: float = 0.22


@dataclass(frozen=True)
class Photo:
    """A photograph.

    Attributes:
        picture: What the camera saw.
        sitters: Who is in it.
        camera: The camera.
        id: Number of the photograph.
        entry: Further keys of its entry in ``images``.
        first: Id of the first person's annotation.
    """

    picture: Picture
    sitters: tuple[Sitter, ...]
    camera: RigCamera
    id: int = 0
    entry: Mapping[str, Any] = field(default_factory=dict)
    first: int = 0

    @property
    def image(self) -> np.ndarray:
        """The pixels, uint8 RGB ``[h, w, 3]``, a new array."""
        return self.picture.image

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.picture.size

    @property
    def shots(self) -> list[Shot]:
        """What one sees of each of the sitters: points, depths, masks."""
        return self.picture.people

    def annotation(self, person: int, decimals: int = 0) -> dict[str, Any]:
        """Returns somebody's annotation: key points, box, mask, what their ``more`` says.

        Key points are pixels, pixel centres at integers; boxes and polygons count from the corner
        of the first pixel.

        >>> figure = photo_figure("nose lsho rsho lelb relb lhip rhip".split())
        >>> (photo,) = take_photos((320, 240), [Sitter(160, tall=200, v=[2] * 6 + [0])], figure)
        >>> person = photo.annotation(0)
        >>> person["num_keypoints"], len(person["keypoints"]), person["keypoints"][-3:]
        (6, 21, [0, 0, 0])

        Args:
            person: Index of the sitter.
            decimals: Of the key points.
        """
        sitter, shot = self.sitters[person], self.shots[person]
        points = _key_points(shot.points, sitter.v, decimals)
        left, top, right, bottom = (round(edge + 0.5) for edge in shot.box())
        mask = shot.mask(self.size)
        return {
            "iscrowd": int(sitter.crowd),
            "keypoints": points,
            "num_keypoints": sum(v > 0 for v in points[2::3]),
            "bbox": [left, top, right - left, bottom - top],
            "area": int(mask.sum()),
            "segmentation": encode_mask(mask, sitter.mask),
            **sitter.more,
        }


def _key_points(points: np.ndarray, v: float | Sequence[float], decimals: int = 0) -> list[float]:
    """Returns x, y, v of points one after the other, as :class:`Sitter` says.

    >>> _key_points(np.array([[1.2, 2.8], [3, 4], [5, 6]]), [2, 0, -1])
    [1, 3, 2, 0, 0, 0, 5, 6, 0]

    Args:
        points: ``[J, 2]`` pixels.
        v: One for all, or one for each.
        decimals: Of the coordinates; 0 = whole numbers.
    """
    found = []
    for (x, y), label in zip(points, np.broadcast_to(v, len(points)).tolist(), strict=True):
        at = [round(float(c), decimals or None) for c in (x, y)] if label else [0, 0]
        found += [*at, max(label, 0)]
    return found


def take_photos(
    size: tuple[int, int],
    sitters: Sequence[Sitter],
    figure: Figure,
    n: int = 1,
    *,
    number: int = 0,
    seed: int = 0,
    camera: RigCamera | None = None,
    names: Sequence[str] | None = None,
) -> list[Photo]:
    """Takes photographs of people one after the other; in each they have moved on.

    >>> sitters = [Sitter(160, tall=200)]
    >>> photos = take_photos((320, 240), sitters, photo_figure(["pelv", "neck"]), n=3)
    >>> [photo.id for photo in photos]
    [0, 1, 2]

    Args:
        size: Width and height.
        sitters: Who is in them. Their index is the tint of their bodies (six are told apart).
        figure: As :func:`photo_figure` gives it.
        n: How many.
        number: Id of the first one, and the number drawn in it.
        seed: Of poses and backdrop.
        camera: Its axes are those of the world: x right, y forth, z up. None = an upright one of
            focal length 900.
        names: What the figure's joints are in the actor's skeleton, where that calls them
            otherwise (``neck`` for a dataset's ``head``).
    """
    camera = camera or make_camera(size, (0, 0, 0), (0, 1, 0), focal=FOCAL)
    poses = [
        _poses(sitter, camera, names or figure.names, n, 1000 * seed + 10 * number + i)
        for i, sitter in enumerate(sitters)
    ]
    backdrop, photos = Backdrop(size, seed + number), []
    for k in range(n):
        actors = [Actor(pose[k], figure, i) for i, pose in enumerate(poses)]
        picture = shoot(backdrop, camera, actors, number + k)
        photos.append(Photo(picture, tuple(sitters), camera, number + k))
    return photos


def _poses(sitter: Sitter, camera: RigCamera, names: Sequence[str], n: int, seed: int):
    lens, turned = camera.intrinsics, sitter.turned
    if turned is None:
        turned = np.random.default_rng(seed).uniform(-30, -15)
    distance = lens[0, 0] * TALL_MM / sitter.tall
    y = (camera.size[1] - 1) / 2 if sitter.y is None else sitter.y
    # The pelvis is somewhat above the middle between head and soles.
    side, up = (sitter.x - lens[0, 2]) / lens[0, 0], (lens[1, 2] - y) / lens[1, 1]
    at = side * distance, distance, up * distance + 80
    pace = {"step_mm": sitter.step_mm, "swing": sitter.swing}
    return pose_skeleton(move(n, seed, at=at, turned=turned, **pace), names, more=DETAILS)


@dataclass
class Album:
    """The photographs of a miniature, by the sequence of the truth that they belong to.

    Attributes:
        figure: As :func:`photo_figure` gives it.
        seed: Of poses and backdrops.
        photos: Sequence -> its photographs in the order in which they were taken.
        decimals: Of the key points.
    """

    figure: Figure
    seed: int = 0
    photos: dict[str, list[Photo]] = field(default_factory=dict)
    decimals: int = 0

    def take(
        self,
        sequence: str,
        id: int,
        size: tuple[int, int],
        sitters: Sequence[Sitter],
        **entry: Any,
    ) -> Photo:
        """Takes one photograph.

        >>> album = Album(photo_figure(["pelv", "neck"]))
        >>> photo = album.take("val", 285, (320, 240), [Sitter(160, tall=200)], file_name="a.jpg")
        >>> photo.image.shape, photo.first
        ((240, 320, 3), 1000)

        Args:
            sequence: Of the truth.
            id: Of the photograph.
            size: Width and height.
            sitters: Who is in it, in the order of their annotations' ids.
            **entry: Keys of its entry in ``images``, beside ``id``, ``width`` and ``height`` or
                in place of them.
        """
        (photo,) = take_photos(size, sitters, self.figure, number=id, seed=self.seed)
        first = 1000 + 100 * sum(map(len, self.photos.values()))
        photo = dataclasses.replace(photo, entry=entry, first=first)
        self.photos.setdefault(sequence, []).append(photo)
        return photo

    def content(
        self, sequence: str, category: Mapping[str, Any], without: Iterable[str] = ()
    ) -> dict[str, Any]:
        """Returns ``images``, ``annotations`` and ``categories`` of a sequence.

        The ids of a photograph's annotations ascend with the sitters; the order in the file is
        another one.

        >>> album = Album(photo_figure(["pelv", "neck"]))
        >>> _ = album.take("val", 285, (320, 240), [Sitter(160, tall=200)], file_name="a.jpg")
        >>> content = album.content("val", {"id": 1, "name": "person"}, without=["area"])
        >>> content["images"], sorted(content["annotations"][0])[:4]
        ([{'id': 285, 'width': 320, 'height': 240, 'file_name': 'a.jpg'}], \
['bbox', 'category_id', 'id', 'image_id'])

        Args:
            sequence: Of the truth.
            category: The one that people are of.
            without: Keys that annotations of the dataset lack.
        """
        images, annotations = [], []
        for photo in self.photos[sequence]:
            width, height = photo.size
            images.append({"id": photo.id, "width": width, "height": height, **photo.entry})
            for person in reversed(range(len(photo.sitters))):
                ids = {"id": photo.first + person, "image_id": photo.id}
                ids["category_id"] = category["id"]
                annotation = ids | photo.annotation(person, self.decimals)
                annotations.append({k: v for k, v in annotation.items() if k not in without})
        return {"images": images, "annotations": annotations, "categories": [category]}

    def sequences(
        self,
        splits: Mapping[str, str],
        names: Mapping[int, str] | None = None,
        by_annotation: bool = False,
    ) -> dict[str, SequenceTruth]:
        """Returns what is expected of each sequence: those who are to be kept.

        >>> album = Album(photo_figure(["pelv", "neck"]))
        >>> _ = album.take("val", 285, (320, 240), [Sitter(160, tall=200)])
        >>> album.sequences({"val": "val"})["val"].examples
        [(285, 0)]

        Args:
            splits: Sequence -> ``train``, ``val`` or ``test``.
            names: Id of a photograph -> how image paths name it, where that is no number.
            by_annotation: Image paths name people by the ids of their annotations.
        """
        found = {}
        for sequence, photos in self.photos.items():
            truth = found[sequence] = SequenceTruth(splits[sequence], [])
            for photo in photos:
                kept = [i for i, sitter in enumerate(photo.sitters) if sitter.kept]
                truth.examples.extend((photo.id, i) for i in kept)
                if names:
                    truth.frames[names[photo.id]] = photo.id
                if by_annotation:
                    truth.persons.update((str(photo.first + i), i) for i in kept)
        return found


def encode_mask(silhouette: np.ndarray, form: str) -> list | dict:
    """Returns a mask as COCO's ``segmentation``.

    >>> encode_mask(np.eye(2, dtype=bool), "plain")
    {'size': [2, 2], 'counts': [0, 1, 2, 1]}

    Args:
        silhouette: bool ``[h, w]``.
        form: ``polygon``, or ``plain`` or ``compressed`` RLE.
    """
    from pycocotools import mask as coco_mask

    h, w = silhouette.shape
    if form == "compressed":
        rle = coco_mask.encode(np.asfortranarray(silhouette.astype(np.uint8)))
        return {"size": [h, w], "counts": rle["counts"].decode("ascii")}
    if form == "plain":
        flat = np.concatenate([[False], silhouette.ravel(order="F")])
        changes = np.flatnonzero(np.diff(flat))
        return {"size": [h, w], "counts": np.diff([0, *changes, h * w]).tolist()}
    # Contours run through pixel centres, so they are traced on a magnified mask.
    large = silhouette.astype(np.uint8).repeat(4, axis=0).repeat(4, axis=1)
    contours, _ = cv2.findContours(large, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [((c[:, 0] + 0.5) / 4).ravel().tolist() for c in contours if len(c) >= 3]
