"""Which row of a skeleton file is which joint. Readers contradict each other, so frames vote."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from posepile.errors import CorruptInput
from posepile.files import names_in, read_json, write_json
from posepile.formats.derived import derived_folder, work_folder
from posepile.formats.folders import in_order
from posepile.formats.schema import Array
from posepile.formats.text_files import read_numbers
from posepile.geometry.agreement import values_at
from posepile.geometry.pictures import inside
from posepile.geometry.votes import Votes
from posepile.imaging.masks import read_label_image

HIPS, NECK, HEAD, KNUCKLES = 0, 4, (6, 7, 8), (37, 41, 45, 49, 53)
# Hip, knee and ankle, or shoulder, elbow and wrist: what the authors' list has on the right, then
# on the left; colours of lower legs and forearms, right and left.
LIMBS = {
    "legs": ((57, 58, 59), (62, 63, 64), ((255, 255, 128), (0, 128, 128))),
    "arms": ((34, 35, 36), (10, 11, 12), ((128, 128, 255), (128, 128, 0))),
}
SIDES, MIN_UPRIGHT = ("right", "left"), 0.5  # of the frames: people also lie and crawl
PER_FOLDER, N_FRAMES, MAX_BROKEN = 25, 500, 0.2
HINT = "it is not clear what the skeletons mean: look at pictures, or lower dataset.min_vote"


def read_skeleton(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Returns pixels ``[67, 2]`` and millimetres ``[67, 3]`` of all joints, as they are stored."""
    hint = "another release? Columns are expected to be u, v, one more, x, y, z"
    rows = read_numbers(path, Array(67, 6), comment="#", hint=hint)
    return rows[:, :2], 100 * rows[:, 3:]


def read_votes(root: Path, min_vote: float, max_views_mm: float) -> dict:
    """Returns ``joints``, the 29 rows of ours; ``up``, the axis; ``lines`` to tell; made once.

    Raises:
        CorruptInput: There are no skeletons, or frames do not agree.
    """
    files, folder = list(sample_files(root / "skeleton")), root / "skeleton"
    if not files:
        raise CorruptInput(folder, "no skeleton there", hint="fetch or extract it again")

    def make(made: Path) -> None:
        votes, broken = Votes(folder, min_vote, HINT), []
        for path in files:
            try:
                count_votes(root, path, max_views_mm, votes)
            except CorruptInput as e:  # costs its own unit alone
                broken.append(e)
        if len(broken) > MAX_BROKEN * len(files):
            raise broken[0]
        write_json(made / "votes.json", decide(votes, broken))

    sources = [*files, *(path for file in files if (path := parts_of(root, file)))]
    version = f"2-{min_vote:g}-{max_views_mm:g}"
    made = derived_folder(sources, work_folder(root) / "votes", make, version=version)
    return read_json(made / "votes.json")


def sample_files(folder: Path) -> Iterator[Path]:
    """Yields up to 500 skeleton files, of several subjects, actions and cameras in turn."""
    found = []
    for s, subject in enumerate(sorted(names_in(folder))):
        actions = sorted(names_in(folder / subject))
        for a, action in list(enumerate(actions))[s % 7 % len(actions or "-") :: 24]:
            views = sorted(names_in(folder / subject / action))
            for view in (*views, *views)[(s + a) % len(views or "-") :][:2]:
                files = in_order(folder / subject / action / view, r"(\d+)\.txt")
                some = [path for path in files if int(path.stem)]  # 0 has no picture
                found.append(deque(some[:: 1 + len(some) // PER_FOLDER]))
                found[-1].rotate(s + a)  # not of all the same number
    rounds = itertools.zip_longest(*found)
    yield from itertools.islice((file for some in rounds for file in some if file), N_FRAMES)


def parts_of(root: Path, skeleton: Path) -> Path | None:
    """Returns the picture of body parts that belongs to a skeleton file, if it is there."""
    path = root / "segmentation_body" / skeleton.relative_to(root / "skeleton")
    path = path.with_suffix(".png")
    return path if path.name in names_in(path.parent) else None


def count_votes(root: Path, path: Path, max_views_mm: float, votes: Votes) -> None:
    """Counts what a frame says; nothing of sides where the feet point along the body."""
    pixels, points = read_skeleton(path)
    apart = np.linalg.norm(points[:, None] - points, axis=-1)
    top = max(HEAD, key=lambda j: apart[j, NECK])
    votes.add("head top", top)
    bones = {
        j: [apart[12 if j == 13 else 36, j], *np.diag(apart[j:, j + 1 :])[:3]]
        for j in (13, *KNUCKLES)
    }
    unlike = {j: np.abs(np.subtract(bones[j], bones[13])).sum() for j in KNUCKLES}
    votes.add("knuckle of the right hand", min(unlike, key=unlike.get))
    up = points[NECK] - points[HIPS]
    axis = int(np.abs(up).argmax())
    votes.add("up", "-" * bool(up[axis] < 0) + "xyz"[axis])
    forward = points[60] - points[59] + points[65] - points[64]
    right = np.cross(forward, up)
    if np.linalg.norm(right) > 0.5 * np.linalg.norm(forward) * np.linalg.norm(up):
        eyes = [(j,) for j in HEAD if j != top]
        for name, (a, b, *_) in (LIMBS | {"eyes": eyes}).items():
            votes.add(f"first {name}", SIDES[int((points[a[0]] - points[b[0]]) @ right <= 0)])
    if parts := parts_of(root, path):
        labels = read_label_image(parts)
        for name, (*limbs, colors) in LIMBS.items():
            for k, limb in enumerate(limbs):
                point, size = pixels[None, limb[1:]].mean(axis=1), labels.shape[1::-1]
                seen = tuple(values_at(point, size, labels)[0]) if inside(point, size) else ()
                if seen in colors:
                    votes.add(f"first {name}, by colour", SIDES[colors.index(seen) ^ k])
    first = path.parents[1] / min(names_in(path.parents[1])) / path.name
    if first.parent != path.parent and path.name in names_in(first.parent):
        off = np.linalg.norm(read_skeleton(first)[1] - points, axis=-1).max()
        votes.add("joints are told in", "the world" if off <= max_views_mm else "the camera")


def decide(votes: Votes, broken: list[CorruptInput]) -> dict:
    """Returns what :func:`read_votes` does."""
    top, knuckle = votes.winner("head top"), votes.winner("knuckle of the right hand")
    eyes = [[j] for j in HEAD if j != top]
    arms, legs = [[*range(33, 37), knuckle], [*range(9, 14)]], [[*range(57, 62)], [*range(62, 67)]]
    (reye, leye), (rarm, larm), (rleg, lleg) = (
        pair
        if votes.winner(f"first {name}", f"first {name}, by colour") == "right"
        else pair[::-1]
        for name, pair in (("eyes", eyes), ("arms", arms), ("legs", legs))
    )
    rows = [*range(6), *reye, *leye, top, *larm, *rarm, *lleg, *rleg]
    up = votes.winner("up", least=MIN_UPRIGHT)
    votes.winner("joints are told in", optional=True)
    lines = [*votes.lines, *(f"passed over, {len(broken)} in all: {e}" for e in broken[:1])]
    return {"joints": rows, "up": up, "lines": lines}
