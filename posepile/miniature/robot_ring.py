"""A robot that looks around through a ring of cameras: its calibration, people by track."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from posepile.miniature.rig import RigCamera
from posepile.miniature.writers import write_jpeg, write_json, write_text


def write_ring(path: Path, lenses: Sequence[RigCamera], headings: Sequence[float]) -> None:
    """Writes the cameras of a ring, and of further ones below it, numbers as text.

    >>> from posepile.miniature.rig import make_camera
    >>> write_ring(folder / "a.yaml", [make_camera((64, 48), (0, 0, 0), (0, 1, 0), 50)], [0])
    >>> (folder / "a.yaml").read_text().splitlines()[3]
    '    K: 50 0 31.5 0 50 23.5 0 0 1'

    Args:
        path: The file.
        lenses: Of which size, intrinsics and distortion are told.
        headings: Of the cameras of one ring, degrees to the right. The axes of the world are those
            of a camera whose heading is 0.
    """
    content = {}
    for i, lens in enumerate(lenses):
        level, k = divmod(i, len(headings))
        sin, cos = np.sin(np.radians(headings[k])), np.cos(np.radians(headings[k]))
        rotation = np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])
        center = (50 + k) * rotation[2] + [0, 123 * level, 0]
        numbers = {"D": lens.distortion, "K": lens.intrinsics}
        numbers |= {"R": rotation, "T": -rotation @ center}
        text = {key: " ".join(f"{v:.9g}" for v in np.ravel(of)) for key, of in numbers.items()}
        content[f"sensor_{i}"] = {"width": lens.size[0], "height": lens.size[1], **text}
    write_text(path, yaml.safe_dump({"cameras": content}))


@dataclass
class RingVideo:
    """A video of a ring of cameras and the panoramas stitched of it, with people by track.

    Poses are annotations like COCO's, of one camera or of the panoramas; boxes are in files of
    their own.

    Attributes:
        root: What ``images`` and ``labels`` are in.
        name: Of the video.
        size: Of the cameras' pictures.
        columns: Where the cameras' pictures begin in a panorama, which goes on at its left edge.
        wide: Width of a panorama.
    """

    root: Path
    name: str
    size: tuple[int, int]
    columns: Sequence[int]
    wide: int
    poses: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    boxes: dict[str, dict[str, list[dict[str, Any]]]] = field(default_factory=dict)
    panoramas: list[np.ndarray] = field(default_factory=list)

    def add(
        self, camera: int, frame: int, image: np.ndarray, people: Sequence[Mapping[str, Any]]
    ) -> None:
        """Adds a picture, and whoever is annotated in it; a pose without key points has none.

        >>> video = RingVideo(folder, "yard", (64, 48), [0, 64], 128)
        >>> pose = {"track_id": 3, "is_crowd": 0, "bbox": [8, 0, 4, 4], "keypoints": [66, 1, 2]}
        >>> video.add(1, 0, np.zeros((48, 64, 3), np.uint8), [pose])
        >>> video.poses["2"][0]["keypoints"], video.poses["stitched"][0]["keypoints"]
        ([66, 1, 2], [2, 1, 2])

        Args:
            camera: Which one.
            frame: Number of the picture.
            image: uint8 RGB ``[h, w, 3]``.
            people: Their annotations.
        """
        name, x = str(2 * camera), self.columns[camera]
        write_jpeg(self.root / f"images/image_{name}/{self.name}/{frame:06d}.jpg", image)
        if frame == len(self.panoramas):
            self.panoramas.append(np.zeros((self.size[1], self.wide, 3), np.uint8))
        self.panoramas[frame][:, (np.arange(self.size[0]) + x) % self.wide] = image
        for file, begin in ((name, None), ("stitched", x)):
            poses, boxes = self.poses.setdefault(file, []), self.boxes.setdefault(file, {})
            for person in people:
                told = {"id": len(poses) + 1, "image_id": frame + 1, "category_id": 1}
                told |= {key: person[key] for key in ("track_id", "is_crowd")}
                if "keypoints" in person:
                    points = list(person["keypoints"])
                    points[::3] = [self._moved(value, begin) for value in points[::3]]
                    told |= {
                        "keypoints": points,
                        "num_keypoints": sum(v > 0 for v in points[2::3]),
                    }
                poses.append(told)
                left, *rest = person["bbox"]
                label = {"box": [self._moved(left, begin), *rest], "attributes": {}}
                label["label_id"] = f"pedestrian:{person['track_id']}"
                boxes.setdefault(f"{frame:06d}.jpg", []).append(label)

    def _moved(self, value: float, begin: int | None) -> float:
        return value if begin is None else (value + begin) % self.wide

    def write(self, category: Mapping[str, Any], shift: int = 0) -> None:
        """Writes panoramas and labels; they state the cameras' size also for the panoramas.

        >>> RingVideo(folder, "yard", (64, 48), [0, 64], 128).write({"id": 1})

        Args:
            category: The one that people are of.
            shift: Poses stand so many frames before the picture they belong to.
        """
        size = {"width": self.size[0], "height": self.size[1]}
        for k, image in enumerate(self.panoramas):
            write_jpeg(self.root / f"images/image_stitched/{self.name}/{k:06d}.jpg", image)
        for file, poses in self.poses.items():
            names = [f"image_{file}/{self.name}/{k:06d}.jpg" for k in range(len(self.panoramas))]
            images = [{"id": k, **size, "file_name": name} for k, name in enumerate(names, 1)]
            shifted = [p | {"image_id": p["image_id"] - shift} for p in poses]
            told = [p for p in shifted if p["image_id"] > 0]
            content = {"images": images, "annotations": told, "categories": [category]}
            all_around = file == "stitched"
            kind, name = ("_stitched", "") if all_around else ("", f"_image{file}")
            labels, name = self.root / "labels", f"{self.name}{name}.json"
            write_json(labels / f"labels_2d_pose{kind}_coco" / name, content)
            write_json(labels / f"labels_2d{kind}" / name, {"labels": self.boxes[file]})
