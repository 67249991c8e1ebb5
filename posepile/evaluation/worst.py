"""The page of the worst entries: prediction and truth drawn over the picture."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from posepile.ds import load_recipe
from posepile.errors import UsageError
from posepile.evaluation.benchmark import Protocol, unit_of
from posepile.evaluation.scoring import Scored, number
from posepile.evaluation.tally import Worst
from posepile.files import write_atomically
from posepile.geometry.pictures import project
from posepile.joint_info import JointInfo

TILE, BORDER = 320, 1.5  # pixels; the drawn region in extents of the person
TRUE, PRED, ERROR = (60, 220, 60), (255, 60, 200), (255, 255, 255)
STYLE = """body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:1400px;padding:0 1em;
background:#181818;color:#ddd}figure{display:inline-block;margin:.4em;width:320px;
vertical-align:top}figcaption{font-size:12px;overflow-wrap:anywhere}img{border-radius:4px}"""


def write_worst(path: Path, found: Sequence[tuple[Protocol, Scored]]) -> None:
    """Writes the page of the worst entries of one or more protocols.

    Args:
        path: The HTML file, replaced at once.
        found: Protocol and what it found.
    """
    parts = ["<h1>Worst predictions</h1>", f"<p>{_legend()}</p>"]
    for protocol, scored in found:
        figure = protocol.figures[0]
        parts.append(f"<h2>{html.escape(protocol.name)}, by {html.escape(figure)}</h2>")
        for entry in scored.worst:
            tile = cv2.imencode(".jpg", _draw(entry, protocol)[..., ::-1])[1].tobytes()
            data = base64.b64encode(tile).decode()
            text = html.escape(
                f"{number(entry.value)} {unit_of(figure)}: {entry.clip} {entry.key}"
            )
            parts.append(
                f"<figure><img alt='{text}' src='data:image/jpeg;base64,{data}'>"
                f"<figcaption>{text}</figcaption></figure>"
            )
    title = "<!doctype html><html lang=en><meta charset=utf-8><title>Worst predictions</title>"
    page = f"{title}<style>{STYLE}</style><body>{''.join(parts)}</body></html>\n"
    write_atomically(path, page.encode(), durable=False)


def _legend() -> str:
    """Returns what the colours mean, as HTML."""
    return (
        f"<span style='color:rgb{TRUE}'>truth</span>, <span style='color:rgb{PRED}'>prediction"
        "</span>, moved so that the centres of both agree"
    )


def _draw(entry: Worst, protocol: Protocol) -> np.ndarray:
    """Returns the overlay of an entry, uint8 RGB ``[TILE, TILE, 3]``; grey without a picture."""
    tile = np.full((TILE, TILE, 3), 90, np.uint8)
    if entry.true is None or entry.pred is None or entry.picture is None:
        cv2.putText(tile, "no picture", (90, 160), cv2.FONT_HERSHEY_SIMPLEX, 0.7, ERROR)
        return tile
    both = np.isfinite(entry.true).all(axis=-1) & np.isfinite(entry.pred).all(axis=-1)
    moved = entry.pred + (entry.true[both].mean(axis=0) - entry.pred[both].mean(axis=0))
    true, pred = (project(entry.picture.camera, joints) for joints in (entry.true, moved))
    seen = true[np.isfinite(true).all(axis=-1)]
    if not len(seen):
        return tile
    center = (seen.min(axis=0) + seen.max(axis=0)) / 2
    side = max(float((seen.max(axis=0) - seen.min(axis=0)).max()) * BORDER, 16.0)
    scale, shift = TILE / side, TILE / 2 - center * TILE / side
    if entry.picture.load:
        image = entry.picture.load()[..., ::-1]
    else:
        image = cv2.imread(str(entry.picture.path), cv2.IMREAD_COLOR)
    if image is not None:
        matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
        tile = cv2.warpAffine(image, matrix, (TILE, TILE), borderValue=(90, 90, 90))[..., ::-1]
        tile = np.ascontiguousarray(tile)
    edges = _edges(protocol)
    for points, color in ((true, TRUE), (pred, PRED)):
        _draw_points(tile, points * scale + shift, edges, color)
    return tile


def _edges(protocol: Protocol) -> Sequence[tuple[int, int]]:
    """Returns pairs of joints to be joined; those of the dataset, unless the protocol has some."""
    names = list(protocol.joint_names)
    if protocol.edges:
        return JointInfo(names, protocol.edges).stick_figure_edges
    try:
        known = load_recipe(protocol.name.partition(".")[0]).SPEC.joint_info
    except UsageError:  # a protocol of something else
        return ()
    pairs = [tuple(known.names[j] for j in edge) for edge in known.stick_figure_edges]
    return [(names.index(a), names.index(b)) for a, b in pairs if a in names and b in names]


def _draw_points(tile: np.ndarray, points: np.ndarray, edges, color: tuple[int, int, int]) -> None:
    """Draws joints and edges in place; what is missing or far outside is left out."""
    ok = np.isfinite(points).all(axis=-1) & (np.abs(points) < 4 * TILE).all(axis=-1)
    pixels = np.round(np.where(ok[:, None], points, 0)).astype(int)
    for a, b in edges:
        if ok[a] and ok[b]:
            cv2.line(tile, pixels[a].tolist(), pixels[b].tolist(), color, 1, cv2.LINE_AA)
    for joint in np.flatnonzero(ok):
        cv2.circle(tile, pixels[joint].tolist(), 2, color, -1, cv2.LINE_AA)
