"""Whether imported coordinates can be what they are said to be: units, axes, cameras."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from posepile.errors import WorkError
from posepile.store.fields import Record

# Of so many examples the coordinates are looked at; from so many on they are judged.
LOOKED_AT, JUDGED = 500, 5

# Size in mm of the box around a person's joints; of so many joints at least.
SPANS = (150.0, 6000.0)
_LEAST_JOINTS = 5

# Share of a person's box by which points may lie beside the projections of the joints.
MAX_BESIDE = 0.3


@dataclass
class Sample:
    """The coordinates of some examples, judged together.

    Attributes:
        where: Names the files in messages.
        spans: Size of the box around the 3D joints, mm.
        outside: Share of each example's 2D points outside of the picture.
        beside: Distance of 2D points from the projections of the joints, as a share of the box.
    """

    where: str
    spans: list[float] = field(default_factory=list)
    outside: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)
    n: int = 0

    def add(self, record: Record) -> None:
        """Looks at an example."""
        self.n += 1
        if self.n > LOOKED_AT:
            return
        world, points, camera = record.world_coords, record.coords2d, record.camera
        if world is not None:
            there = np.asarray(world)[np.isfinite(world).all(axis=-1)]
            if len(there) >= _LEAST_JOINTS:
                self.spans.append(float(np.linalg.norm(np.ptp(there, axis=0))))
        if points is not None and np.isfinite(points).any():
            there = np.asarray(points)[np.isfinite(points).all(axis=-1)]
            size = record.imshape[1], record.imshape[0]
            self.outside.append(float(((there < -1) | (there > size)).any(axis=-1).mean()))
        if world is not None and points is not None and camera is not None:
            seen = np.asarray(camera.world_to_image(np.float32(world)))
            away = np.linalg.norm(seen - points, axis=-1)
            if np.isfinite(away).any():
                self.beside.append(float(np.nanmedian(away) / max(record.bbox[2:])))

    def judge(self) -> None:
        """Refuses coordinates that cannot be right.

        Raises:
            WorkError: Says what was found, what is expected and what may be the reason.
        """
        if len(self.spans) >= JUDGED:
            span = float(np.median(self.spans))
            low, high = SPANS
            if not low <= span <= high:
                raise WorkError(
                    f"{self.where}: 3D joints of a person span {span:.4g} mm; expected {low:.0f} "
                    f"to {high:.0f}; correct --units"
                )
        if len(self.outside) >= JUDGED and np.median(self.outside) > 0.5:
            raise WorkError(
                f"{self.where}: {np.mean(self.outside):.0%} of the key points lie outside of "
                "their pictures; give the pictures that they are of (--images)"
            )
        if len(self.beside) >= JUDGED and np.median(self.beside) > MAX_BESIDE:
            raise WorkError(
                f"{self.where}: 3D joints are projected {np.median(self.beside):.0%} of the box "
                "beside the key points of the picture; correct --axes or --units"
            )

    def line(self) -> str | None:
        """Returns what was found, None if there was nothing to look at."""
        found = []
        if self.spans:
            found.append(f"joints of a person span {np.median(self.spans):.0f} mm")
        if self.beside:
            share = np.median(self.beside)
            found.append(f"projected joints lie {share:.2%} of the box beside the key points")
        return (
            f"looked at {min(self.n, LOOKED_AT)} examples: {'; '.join(found)}" if found else None
        )
