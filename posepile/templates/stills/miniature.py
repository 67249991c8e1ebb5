"""A tiny newdata in its own layout: pictures of two drawn people, each with another camera.

Written from the description of the data and not from main.py, so that one can be compared with the
other.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from posepile.miniature import actor, rig, writers
from posepile.miniature.bodies import JOINT_NAMES, make_model
from posepile.miniature.shoot import Actor, Backdrop, shoot
from posepile.miniature.skeleton import make_figure
from posepile.miniature.truth import SequenceTruth, make_truth, write_truth

SIZE = (960, 720)
FIGURE = make_figure(JOINT_NAMES["smpl"])
UP = "z"
N_PICTURES = {"train": 6, "val": 4, "test": 4}
N_PEOPLE = 2
GENDERS = ("female", "male")
MM_PER_UNIT = 1000  # of cameras and joints


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``, an empty folder."""
    rng = np.random.default_rng(seed)
    backdrop, sequences = Backdrop(SIZE, seed), {}
    for split, n in N_PICTURES.items():
        start = 17 * len(sequences)
        entries = []
        for number in range(n):
            camera = make_camera(rng)
            bodies = [make_body(person, seed + number, rng) for person in range(N_PEOPLE)]
            actors = [Actor(body["joints"], FIGURE, i) for i, body in enumerate(bodies)]
            picture = shoot(backdrop, camera, actors, start + number)
            file = f"{split}/{number:04d}.jpg"
            writers.write_jpeg(root / file, picture.image)
            for i, (body, seen) in enumerate(zip(bodies, picture.people, strict=True)):
                left, top, right, bottom = seen.box()
                body["joints"] = body["joints"] / MM_PER_UNIT
                body["box"] = [left, top, right - left, bottom - top]
                body["mask"] = f"masks/{split}/{number:04d}_{i}.png"
                writers.write_png(root / body["mask"], seen.mask(SIZE))
            entries.append(
                {
                    "file": file,
                    "size": SIZE,
                    "intrinsics": camera.intrinsics,
                    "rotation": camera.rotation,
                    "translation": camera.translation / MM_PER_UNIT,
                    "people": bodies,
                }
            )
        writers.write_json(root / f"{split}.json", entries)
        examples = [(number, person) for number in range(n) for person in range(N_PEOPLE)]
        sequences[split] = SequenceTruth(split, examples, start)
    pattern = r"(?P<sequence>train|val|test)/(?P<frame>\d+)_(?P<person>\d+)\.jpg$"
    facts = {"raw_masks": True, "n_people": N_PEOPLE}
    write_truth(root, make_truth(FIGURE, pattern, sequences, **facts))


def make_camera(rng: np.random.Generator) -> rig.RigCamera:
    """Returns a camera somewhere in front of the people."""
    position = rig.around((0, 0, 900), 4500, rng.uniform(-10, 10), rng.uniform(0, 400), UP)
    target = (0, 0, 900 + rng.uniform(-50, 50))
    return rig.make_camera(SIZE, position, target, rng.uniform(950, 1050), up=UP, shift=(7, -4))


def make_body(person: int, seed: int, rng: np.random.Generator) -> dict:
    """Returns joints in millimetres and SMPL parameters of a person."""
    at = (1700 * person - 850, 0, 900)
    motion = actor.move(3, 10 * seed + person, up=UP, at=at)
    rotvecs, betas = actor.body_rotvecs(motion, 1, 24), rng.normal(0, 0.4, 10)
    trans = motion.positions[1] / 1000 + (0, 0.02, 0.22)  # the model's pelvis is not its origin
    model = make_model("smpl", seed=person)
    joints, _ = actor.pose_body(model, rotvecs, betas, trans, vertices=False)
    smpl = {"gender": GENDERS[person], "pose": rotvecs.ravel(), "betas": betas, "trans": trans}
    return {"joints": 1000 * joints, "smpl": smpl}
