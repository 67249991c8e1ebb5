"""Drawing annotations over crops."""

from __future__ import annotations

import cv2
import numpy as np
import rlemasklib

from posepile.store.bulk import has_any
from posepile.store.cameras import example_pixels

LEFT, RIGHT, MIDDLE = (255, 140, 0), (0, 170, 255), (90, 230, 90)
BOX, MASK, VALID = (255, 255, 0), (255, 0, 160), (160, 160, 160)
TILE = 320
# What the colours mean, in words.
LEGEND = ((LEFT, "the person's left"), (RIGHT, "the person's right"), (MIDDLE, "middle"))
LEGEND += ((BOX, "box"), (MASK, "mask"), (VALID, "border of the valid region"))
_OF_FIELDS = {MASK: "mask", VALID: "valid_poly"}


def legend_of(lists: list) -> tuple:
    """Returns those entries of the legend that an example of some lists can have drawn.

    Args:
        lists: The ``ExampleList`` of each split of a dataset.
    """
    return tuple(
        (color, said)
        for color, said in LEGEND
        if color not in _OF_FIELDS or has_any(lists, _OF_FIELDS[color])
    )


def side_color(name: str) -> tuple[int, int, int]:
    """Orange for joints on the person's left, blue right, green in the middle."""
    return LEFT if name.startswith("l") else RIGHT if name.startswith("r") else MIDDLE


def example_points(example) -> np.ndarray | None:
    """Joints of an example in its crop, ``[J, 2]``; None without joints."""
    if example.KIND == "2d":
        coords = example.coords
        coords = coords.to_array() if hasattr(coords, "to_array") else coords
        return None if coords is None else np.asarray(coords, np.float64)
    world = example.get_world_coords()
    if world is None or not len(world):
        return None
    return example_pixels(example, world)


def draw_example(example, joint_info, tile: int = TILE) -> np.ndarray:
    """An example with its mask outline, valid region, box and skeleton, uint8 RGB.

    Args:
        example: A 2D or 3D example, loaded or not.
        joint_info: Names and edges.
        tile: Longer side of the picture in pixels.
    """
    image = np.ascontiguousarray(example.get_image())
    scale = tile / max(image.shape[:2])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    canvas = cv2.resize(
        image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    )

    def at(points):
        return (np.asarray(points, np.float64) + 0.5) * scale - 0.5

    if example.mask is not None:
        mask = rlemasklib.decode(example.mask).astype(np.uint8)
        mask = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
        tinted = (0.65 * canvas + 0.35 * np.array(MASK)).astype(np.uint8)
        canvas = np.where(mask[..., None] > 0, tinted, canvas)
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        canvas = np.ascontiguousarray(canvas)
        cv2.drawContours(canvas, outlines, -1, MASK, 1)
    polygon = getattr(example, "valid_poly", None)
    if polygon is not None and len(polygon) and np.isfinite(polygon).all():
        cv2.polylines(canvas, [np.round(at(polygon)).astype(np.int32)], True, VALID, 1)
    if np.size(example.bbox) == 4 and np.isfinite(np.asarray(example.bbox, np.float64)).all():
        x, y, w, h = np.asarray(example.bbox, np.float64)
        # OpenCV refuses corners that are far away.
        corners = np.clip(at([[x, y], [x + w, y + h]]), -tile, 2 * tile).round().astype(int)
        cv2.rectangle(canvas, corners[0].tolist(), corners[1].tolist(), BOX, 1, cv2.LINE_AA)
    points = example_points(example)
    if points is not None:
        draw_skeleton(canvas, at(points), joint_info)
    return canvas


def draw_skeleton(canvas: np.ndarray, points: np.ndarray, joint_info) -> None:
    """Draws edges and joints in place; those that are NaN or far outside are left out."""
    limit = 4 * max(canvas.shape)
    ok = np.isfinite(points).all(axis=-1) & (np.abs(points) < limit).all(axis=-1)
    pixels = np.round(np.where(ok[:, None], points, 0) * 16).astype(int)
    names = list(joint_info.names)
    for a, b in joint_info.stick_figure_edges:
        if ok[a] and ok[b]:
            name = next((names[j] for j in (a, b) if names[j][0] in "lr"), names[a])
            cv2.line(
                canvas,
                pixels[a].tolist(),
                pixels[b].tolist(),
                side_color(name),
                1,
                cv2.LINE_AA,
                4,
            )
    for j in np.flatnonzero(ok):
        cv2.circle(canvas, pixels[j].tolist(), 32, side_color(names[j]), -1, cv2.LINE_AA, 4)


def contact_sheet(tiles: list[np.ndarray], columns: int, tile: int = TILE) -> np.ndarray:
    """Tiles on a dark ground, each centred in a square cell, uint8 RGB."""
    rows = -(-len(tiles) // columns)
    gap = 6
    sheet = np.full((rows * (tile + gap) + gap, columns * (tile + gap) + gap, 3), 32, np.uint8)
    for i, picture in enumerate(tiles):
        h, w = picture.shape[:2]
        y = gap + (i // columns) * (tile + gap) + (tile - h) // 2
        x = gap + (i % columns) * (tile + gap) + (tile - w) // 2
        sheet[y : y + h, x : x + w] = picture
    return sheet


def with_legend(sheet: np.ndarray, legend: tuple = LEGEND) -> np.ndarray:
    """Returns a contact sheet with a line or more below it that says what the colours mean."""
    font, swatch, step = (cv2.FONT_HERSHEY_SIMPLEX, 0.45, 1), 12, 26
    places, x, y = [], 10, 8
    for _, text in legend:
        width = swatch + 6 + cv2.getTextSize(text, *font)[0][0]
        if x > 10 and x + width > sheet.shape[1] - 10:
            x, y = 10, y + step
        places.append((x, y))
        x += width + 18
    strip = np.full((y + step, sheet.shape[1], 3), 32, np.uint8)
    for (color, text), (x, y) in zip(legend, places, strict=True):
        cv2.rectangle(strip, (x, y), (x + swatch, y + swatch), color, -1)
        at = (x + swatch + 6, y + swatch - 1)
        cv2.putText(strip, text, at, font[0], font[1], (220, 220, 220), font[2], cv2.LINE_AA)
    return np.concatenate([sheet, strip])
