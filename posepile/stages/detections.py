"""Boxes that a person detector found in the frames of a unit, and their form on the disk."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Detections:
    """Boxes of a unit.

    Attributes:
        label: Which network made them, down to the checksum of its weights.
        boxes: Sequence index -> frame index -> float32 ``[n, 5]`` x, y, w, h, score in pixels of
            the full source frame, the picture reaching from 0 to its width.
    """

    label: str = ""
    boxes: dict[int, dict[int, np.ndarray]] = field(default_factory=dict)

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns the boxes as arrays by name, for a part file."""
        arrays = {}
        for i, per_frame in self.boxes.items():
            frames = sorted(per_frame)
            arrays[f"{i}_frames"] = np.array(frames, np.int64)
            arrays[f"{i}_counts"] = np.array([len(per_frame[f]) for f in frames], np.int64)
            arrays[f"{i}_boxes"] = np.concatenate(
                [per_frame[f] for f in frames] or [np.zeros((0, 5), np.float32)]
            )
        return arrays

    @classmethod
    def from_arrays(cls, label: str, arrays: dict[str, np.ndarray]) -> Detections:
        """Inverse of :meth:`arrays`."""
        detections = cls(label)
        for key, frames in arrays.items():
            i, _, what = key.partition("_")
            if what == "frames":
                boxes = np.split(arrays[f"{i}_boxes"], np.cumsum(arrays[f"{i}_counts"])[:-1])
                boxes = boxes if len(frames) else []
                detections.boxes[int(i)] = dict(zip(frames.tolist(), boxes, strict=True))
        return detections
