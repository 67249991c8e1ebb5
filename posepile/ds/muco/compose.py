"""Composites of our own, where MATLAB or the authors' list are not at hand: not MuCo-3DHP's.

The rules are the authors', but for the random numbers, which MATLAB makes, and frames that move
175 mm in true size. The list depends on the seed, the takes and what files of them are there when
it is drawn; a composite on the seed and the list. An interrupted run goes on where it stopped.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from posepile.ds.muco import takes
from posepile.errors import CorruptInput
from posepile.files import names_in, presence, write_atomically, write_json
from posepile.formats.schema import Array
from posepile.formats.text_files import read_json
from posepile.geometry.pictures import inside
from posepile.imaging.masks import read_label_image

FOLDER, LIST = "own_set", "sources.json"
NOTE = "composite of our own making, not one of MuCo-3DHP's"
FIRST_FRAME, MOVED_MM, MAX_SHIFT, TRIES = 180, 175, 25, 1000
DRAWN = {"seed": int, "takes": Array("t", 2, dtype=int), "sources": Array("n", 4, 4, dtype=int)}
KINDS = ("imageSequence", *takes.MASKS)


def make(root: Path, tdhp: Path, there: list[tuple[int, int]], n: int, seed: int) -> list[str]:
    """Makes those of n composites that are not made yet, of the takes that are there; says so."""
    labels = {take: takes.take_labels(root, takes.take_folder(tdhp, take)) for take in there}
    folder, path, made = root / FOLDER, root / FOLDER / LIST, names_in(root / FOLDER)
    if LIST not in made:
        if any(name.endswith(".jpg") for name in made):
            text = "is not there, but composites are, which another list would not be of"
            raise CorruptInput(path, text, hint=f"move {folder} away; all are made anew then")
        told = {"note": NOTE, "seed": seed, "takes": there}
        told["sources"] = sample(tdhp, labels, n, seed)
        folder.mkdir(exist_ok=True)
        write_json(path, told)
    known = read_json(path, DRAWN, hint=f"move {folder} away; all are made anew then")
    same = known["seed"] == seed and np.array_equal(known["takes"], there)
    if not same or len(known["sources"]) < n:
        hint = f"move {folder} away, or set own_seed, own_number and the takes as they were"
        raise CorruptInput(path, "was made by another seed, number or of other takes", hint=hint)
    sources = known["sources"][:n]
    todo = [i for i in range(n) if f"{i + 1:06d}.jpg" not in made]
    for i in todo:
        depth = [
            np.load(labels[s, q] / "depth.npy", mmap_mode="r")[c, k] for s, q, c, k in sources[i]
        ]
        far_first = np.argsort(depth, kind="stable")[::-1]
        image = compose(tdhp, sources[i][far_first], np.random.default_rng([seed, i, 1]))
        data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
        write_atomically(folder / f"{i + 1:06d}.jpg", data.tobytes(), durable=False)
    return [f"{n} composites ({len(todo)} made now), seed {seed}: {NOTE}"]


def sample(tdhp: Path, labels: dict, n: int, seed: int) -> list[list[list[int]]]:
    """Returns subject, sequence, camera and frame of the four people of n composites.

    Raises:
        CorruptInput: Hardly any frame has a picture and both masks.
    """
    is_there, drawn = presence(), list(labels)
    pixels = {take: np.load(labels[take] / "pixels.npy", mmap_mode="r") for take in drawn}
    frames = {
        take: moving_frames(np.load(labels[take] / "points.npy", mmap_mode="r")[0])
        for take in drawn
    }
    rows = []
    for i in range(n):
        rng = np.random.default_rng([seed, i])
        c, people = int(rng.choice(takes.CAMERAS)), []
        for _ in range(TRIES):
            take = drawn[rng.integers(len(drawn))]
            k = int(rng.choice(frames[take]) + rng.integers(-MAX_SHIFT, MAX_SHIFT + 1))
            k = min(max(k, 0), pixels[take].shape[1] - 1)
            files = [takes.frame_file(tdhp, kind, (*take, c, k)) for kind in KINDS]
            if inside(pixels[take][c, k], takes.SIZE).any() and all(map(is_there, files)):
                people.append([*take, c, k])
            if len(people) == 4:
                break
        else:
            found = f"found {len(people)} of four frames with picture and masks in {TRIES} draws"
            hint = f"extract {', '.join(KINDS)} of all takes at full rate, cameras 0 to 10"
            raise CorruptInput(tdhp, f"camera {c}: {found}", hint=hint)
        rows.append(people)
    return rows


def moving_frames(points: np.ndarray) -> list[int]:
    """Returns the frames ``[n, 28, 3]`` in which a joint has moved since the last of them."""
    kept = [min(FIRST_FRAME, len(points) - 1)]
    for k in range(kept[0] + 1, len(points)):
        if np.linalg.norm(points[k] - points[kept[-1]], axis=-1).max() >= MOVED_MM:
            kept.append(k)
    return kept


def compose(tdhp: Path, far_first: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns a composite, uint8 RGB: the farthest frame, then each one's chair and person."""
    image = None
    for source in far_first:
        frame, person, chair = (
            read_label_image(takes.frame_file(tdhp, kind, source)) for kind in KINDS
        )
        frame = 255 * (frame / np.float32(255)) ** np.float32(rng.uniform(0.7, 0.8))
        image = frame.copy() if image is None else image
        for alpha in (255 - chair[..., 0], person[..., 0]):
            soft = cv2.GaussianBlur(alpha, (0, 0), 2)[..., None] / np.float32(255)
            image += soft * (frame - image)
    return image.round().astype(np.uint8)
