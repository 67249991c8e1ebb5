"""A pose in three dimensions, drawn from three sides."""

from __future__ import annotations

from typing import Any

import numpy as np

from posepile.report.charts import svg
from posepile.store.cameras import camera_to_row

_PANEL, _GAP, _HEIGHT = 104, 4, 124
_COLORS = {"l": "var(--left)", "r": "var(--right)", "": "var(--middle)"}


def unit(vector: np.ndarray) -> np.ndarray | None:
    """Returns a vector of length 1; None where it has no direction."""
    length = float(np.linalg.norm(vector))
    return np.asarray(vector, np.float64) / length if length > 1e-6 else None


def up_of_example(example: Any, world_up: np.ndarray | None) -> np.ndarray | None:
    """Returns which way is up in the world of an example: that of its world or of its camera."""
    if world_up is not None:
        return unit(world_up)
    row = camera_numbers(example)
    if row is None:
        return None
    up = unit(row[21:24]) if np.isfinite(row[21:24]).all() else None
    return unit(-row[3:6]) if up is None else up


def camera_numbers(example: Any) -> np.ndarray | None:
    """Returns an example's camera as a row of numbers, without building one where it is stored."""
    source, row = getattr(example, "place", None) or (None, None)
    if hasattr(source, "table"):
        columns = source.table().columns
        if "camera" in columns and not isinstance(row, str):
            numbers = np.asarray(columns["camera"][row], np.float64)
            return numbers if np.isfinite(numbers[:21]).all() and numbers[:9].any() else None
    camera = getattr(example, "camera", None)
    return None if camera is None else camera_to_row(camera).astype(np.float64)


def left_of_pose(points: np.ndarray, names: list[str], up: np.ndarray) -> np.ndarray | None:
    """Returns the person's left, a horizontal unit vector, by hips or shoulders.

    Args:
        points: ``[J, 3]``.
        names: Of the joints.
        up: Unit vector.
    """
    bases = [name.partition("_")[0] for name in names]
    for part in ("hip", "sho"):
        ends = []
        for side in "lr":
            own = [
                points[j]
                for j, base in enumerate(bases)
                if base == side + part and np.isfinite(points[j]).all()
            ]
            ends.append(own[0] if own else None)
        if ends[0] is not None and ends[1] is not None:
            across = ends[0] - ends[1]
            left = unit(across - up * (across @ up))
            if left is not None:
                return left
    return None


def three_sides(example: Any, joint_info: Any, world_up: np.ndarray | None) -> str:
    """Returns a drawing of an example's pose from the front, from its right and from above.

    Empty where there are no joints in the world, or no direction to look from. Without hips and
    shoulders it is drawn as the camera sees it.

    Args:
        example: A 3D example.
        joint_info: Names and edges.
        world_up: Up vector of the world; None: that of the camera.
    """
    points = example.get_world_coords() if example.KIND == "3d" else None
    if points is None:
        return ""
    points = np.asarray(points, np.float64)
    there = np.isfinite(points).all(axis=1)
    up = up_of_example(example, world_up)
    if there.sum() < 3 or up is None:
        return ""
    names = list(joint_info.names)
    left, first = left_of_pose(points, names, up), "front"
    if left is None:
        row, first = camera_numbers(example), "camera"
        across = None if row is None else row[:3] - up * (row[:3] @ up)
        left = None if across is None else unit(across)
        if left is None:
            return ""
    ahead = np.cross(left, up)
    middle = (points[there].min(axis=0) + points[there].max(axis=0)) / 2
    moved = points - middle
    along = np.stack([moved @ left, moved @ up, moved @ ahead], axis=1)
    views = (
        (first, along[:, 0], along[:, 1]),
        ("right", along[:, 2], along[:, 1]),
        ("above", -along[:, 0], along[:, 2]),
    )
    middles = [[(np.nanmin(v) + np.nanmax(v)) / 2 for v in (x, y)] for _, x, y in views]
    reach = max(
        np.nanmax(np.abs(np.stack([x - mx, y - my])))
        for (_, x, y), (mx, my) in zip(views, middles, strict=True)
    )
    scale = (_PANEL / 2 - 8) / max(float(reach), 1e-6)
    parts = []
    for i, ((said, x, y), (mx, my)) in enumerate(zip(views, middles, strict=True)):
        cx = i * (_PANEL + _GAP) + _PANEL / 2
        at = np.stack([cx + (x - mx) * scale, _PANEL / 2 - (y - my) * scale], axis=1)
        parts.append(_sticks(at, there, joint_info, names))
        parts.append(
            f"<text x='{cx:.0f}' y='{_HEIGHT - 6}' text-anchor=middle class=soft>{said}</text>"
        )
    width = 3 * _PANEL + 2 * _GAP
    return svg(width, _HEIGHT, "".join(parts), "the pose from three sides")


def extent(example: Any, world_up: np.ndarray | None) -> float | None:
    """Returns how far a pose reaches along the up vector, in metres; None where not known."""
    points = example.get_world_coords() if example.KIND == "3d" else None
    up = up_of_example(example, world_up)
    if points is None or up is None:
        return None
    along = np.asarray(points, np.float64) @ up
    along = along[np.isfinite(along)]
    return float(along.max() - along.min()) / 1000 if len(along) > 1 else None


def _sticks(at, there, joint_info, names):
    paths: dict[str, list[str]] = {}
    for a, b in joint_info.stick_figure_edges:
        if there[a] and there[b]:
            side = next((names[j][0] for j in (a, b) if names[j][0] in "lr"), "")
            line = f"M{at[a, 0]:.1f} {at[a, 1]:.1f}L{at[b, 0]:.1f} {at[b, 1]:.1f}"
            paths.setdefault(side, []).append(line)
    lines = "".join(
        f"<path d='{''.join(own)}' stroke='{_COLORS[side]}' stroke-width=2 fill=none "
        "stroke-linecap=round />"
        for side, own in sorted(paths.items())
    )
    alone = there.copy()
    for a, b in joint_info.stick_figure_edges:
        alone[[a, b]] = False
    dots = "".join(
        f"<circle cx='{at[j, 0]:.1f}' cy='{at[j, 1]:.1f}' r=1.6 fill='var(--soft)' />"
        for j in np.flatnonzero(alone)[:200]
    )
    return lines + dots
