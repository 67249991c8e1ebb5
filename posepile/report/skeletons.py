"""Drawing skeletons: a figure that faces the viewer, every joint at its place, with its name."""

from __future__ import annotations

import cv2
import numpy as np

from posepile.joint_info import JointInfo
from posepile.report.drawing import side_color
from posepile.skeletons.data import KIND_NAMES, MISSING, SAME, SIMILAR, Point, places
from posepile.skeletons.mapping import JointMapping

SIZE = 900  # height of a picture in pixels
_BACK, _TEXT, _LINE = (28, 28, 28), (225, 225, 225), (120, 120, 120)
KIND_COLORS = {SAME: (90, 230, 90), SIMILAR: (255, 190, 60), MISSING: (120, 120, 120)}
_FACE = (-0.62, 1.52)  # where the face is drawn, beside the body
_TOP, _SIDE, _GAP = 1.95, 0.98, 0.06
_FONT, _FONT_SIZE = cv2.FONT_HERSHEY_SIMPLEX, 0.36


def joint_places(points: list[Point]) -> np.ndarray:
    """Returns where joints are drawn, ``[J, 2]``: y up, x to the person's left, in body units."""
    found = [places()[point.place] for point in points]
    face = np.array([section == "face" for _, _, section, _ in found])
    at = np.array([[x, y] for x, y, _, _ in found], np.float64).reshape(-1, 2)
    return at + face[:, None] * np.array(_FACE)


def draw_joints(
    joint_info: JointInfo, points: list[Point], kinds: np.ndarray | None = None, title: str = ""
) -> np.ndarray:
    """Returns a picture of a skeleton, uint8 RGB ``[900, ..., 3]``, with names in two columns.

    Args:
        joint_info: Names and edges.
        points: What each joint is.
        kinds: How much of another skeleton each is like, which gives the colours; None: sides do.
        title: Written above it.
    """
    at = joint_places(points)
    scale = SIZE / (_TOP + _GAP)
    width = round(2 * (_SIDE + 0.45) * scale)
    canvas = np.full((SIZE, width, 3), _BACK, np.uint8)
    pixels = np.stack([width / 2 + at[:, 0] * scale, (_TOP - at[:, 1]) * scale], -1)
    pixels = np.round(pixels * 16).astype(int)
    _draw_names(canvas, pixels / 16, joint_info.names, kinds)
    for i, j in joint_info.stick_figure_edges:
        ends = pixels[i].tolist(), pixels[j].tolist()
        cv2.line(canvas, *ends, _LINE, 1, cv2.LINE_AA, 4)
    for k, name in enumerate(joint_info.names):
        color = side_color(name) if kinds is None else KIND_COLORS[int(kinds[k])]
        cv2.circle(canvas, pixels[k].tolist(), 52, color, -1, cv2.LINE_AA, 4)
    cv2.putText(canvas, title, (10, 22), _FONT, 0.55, _TEXT, 1, cv2.LINE_AA)
    if kinds is not None:
        for row, kind in enumerate((SAME, SIMILAR, MISSING)):
            text = f"{KIND_NAMES[kind]}: {int((np.asarray(kinds) == kind).sum())}"
            at_row = (10, 44 + 20 * row)
            cv2.putText(canvas, text, at_row, _FONT, 0.5, KIND_COLORS[kind], 1, cv2.LINE_AA)
    return canvas


def draw_mapping(
    own: JointInfo, points: list[Point], mapping: JointMapping, wanted: list[Point], titles: tuple
) -> np.ndarray:
    """Returns two pictures beside each other: the joints there are, and what becomes of them."""
    used = np.full(own.n_joints, MISSING)
    for i, kind in zip(mapping.indices, mapping.kinds, strict=True):
        if i >= 0:
            used[i] = max(used[i], kind)
    left = draw_joints(own, points, used, titles[0])
    right = draw_joints(mapping.joint_info, wanted, mapping.kinds, titles[1])
    return np.concatenate([left, right], axis=1)


def _draw_names(canvas, pixels, names, kinds):
    """Writes names at the margins, as near to the height of their joints as they fit."""
    height, width = canvas.shape[:2]
    middle = width / 2
    for left in (True, False):
        # Joints in the middle go where there are fewer names.
        chosen = [
            k
            for k in range(len(names))
            if (pixels[k, 0] < middle - 4) == left and (abs(pixels[k, 0] - middle) > 4 or not left)
        ]
        chosen.sort(key=lambda k: (pixels[k, 1], pixels[k, 0]))
        if not chosen:
            continue
        columns = -(-len(chosen) // 62)
        for column in range(columns):
            part = chosen[column::columns]
            step = min(15.0, (height - 110) / len(part))
            rows = _spread(np.array([pixels[k, 1] for k in part]), step, 100, height - 8)
            widest = max(_width(f"{k} {names[k]}") for k in part)
            x = 6 + 86 * column if left else width - 6 - widest - 86 * (columns - 1 - column)
            for k, y in zip(part, rows, strict=True):
                color = side_color(names[k]) if kinds is None else KIND_COLORS[int(kinds[k])]
                text, at = f"{k} {names[k]}", (x, round(y) + 4)
                cv2.putText(canvas, text, at, _FONT, _FONT_SIZE, color, 1, cv2.LINE_AA)
                if columns == 1:
                    start = (x + _width(text) + 3 if left else x - 3, round(y))
                    end = np.round(pixels[k]).astype(int).tolist()
                    cv2.line(canvas, start, end, (62, 62, 62), 1, cv2.LINE_AA)


def _width(text):
    return cv2.getTextSize(text, _FONT, _FONT_SIZE, 1)[0][0]


def _spread(heights, step, low, high):
    """Returns heights in the same order that are at least ``step`` apart, between two limits."""
    rows = heights.astype(float).clip(low, high)
    for i in range(1, len(rows)):
        rows[i] = max(rows[i], rows[i - 1] + step)
    limit = high
    for i in range(len(rows) - 1, -1, -1):
        rows[i] = min(rows[i], limit)
        limit = rows[i] - step
    return rows
