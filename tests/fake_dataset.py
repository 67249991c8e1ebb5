"""A tiny made-up dataset of stills called ``fake``, whose recipe is not in any file."""

import colorsys
import json
import sys
import types
from pathlib import Path

import cv2
import deltacamera
import numpy as np
import pytest
from pydantic import BaseModel

import posepile.ds
from posepile.errors import CorruptInput
from posepile.joint_info import JointInfo
from posepile.miniature.shoot import Backdrop
from posepile.recipe import DatasetSpec, Sequence, Stills, Track, Unit
from posepile.run import commands, job, pack, process, results

JOINTS = JointInfo("head,pelv,lank,rank", "head-pelv,pelv-lank,pelv-rank")
POINTS = np.array([[0, -800, 4000], [0, 0, 4000], [-300, 900, 4000], [300, 900, 4000]], float)
FOCAL, SIZE = 500.0, (640, 480)


class Options(BaseModel):
    stride: int = 1


def make_raw(root, n_units=3, n_frames=4):
    rng = np.random.default_rng(0)
    for u in range(n_units):
        folder = root / f"seq{u}"
        folder.mkdir(parents=True)
        worlds = []
        for t in range(n_frames):
            world = POINTS + rng.uniform(-150, 150, 3) + [200 * t - 300, 0, 0]
            image = Backdrop(SIZE, seed=10 * u + t).image.copy()
            pixels = world[:, :2] / world[:, 2:] * FOCAL + [319.5, 239.5]
            draw_person(image, pixels, [(0, 1), (1, 2), (1, 3)], 9)
            cv2.imwrite(str(folder / f"{t}.jpg"), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 97])
            worlds.append(world.tolist())
        (folder / "world.json").write_text(json.dumps(worlds))


def draw_person(image, joints, edges, radius):
    """Draws grey limbs and a disc of its own colour for every joint."""

    def point(p):
        return tuple(round(float(v) * 256) for v in p)

    for a, b in edges:
        ends = point(joints[a]), point(joints[b])
        cv2.line(image, *ends, (70, 70, 80), 2 * radius, cv2.LINE_8, 8)
    for joint in joints:
        cv2.circle(image, point(joint), radius * 256, (70, 70, 80), -1, cv2.LINE_8, 8)
    for i, joint in enumerate(joints):
        hue, value = (i * 0.61803398875) % 1.0, (1.0, 0.8)[i % 2]
        color = [round(255 * c) for c in colorsys.hsv_to_rgb(hue, 1.0, value)]
        cv2.circle(image, point(joint), round(0.6 * radius * 256), color, -1, cv2.LINE_AA, 8)


def list_units(root, options):
    return [
        Unit(f.name, "train" if f.name != "seq2" else "val", (f / "world.json", *images(f)))
        for f in sorted(Path(root).iterdir())
    ]


def images(folder):
    return sorted(folder.glob("*.jpg"))


def load_unit(root, unit, options):
    folder = Path(root) / unit.id
    try:
        world = np.array(json.loads((folder / "world.json").read_text()))
    except ValueError:
        raise CorruptInput(folder / "world.json", "not JSON") from None
    if unit.id in BROKEN:
        raise ZeroDivisionError("a fault of the recipe")
    camera = deltacamera.Camera(
        intrinsic_matrix=[[FOCAL, 0, 319.5], [0, FOCAL, 239.5], [0, 0, 1]], world_up=(0, -1, 0)
    )
    low, high = (
        ((world[..., :2] / world[..., 2:] * FOCAL + [319.5, 239.5]).min(1) - 15),
        ((world[..., :2] / world[..., 2:] * FOCAL + [319.5, 239.5]).max(1) + 15),
    )
    track = Track(
        frames=np.arange(0, len(world), options.stride),
        world_coords=world[:: options.stride].astype(np.float32),
        bbox=np.concatenate([low, high - low], 1)[:: options.stride].astype(np.float32),
    )
    return [
        Sequence(
            unit.id,
            unit.split,
            Stills(tuple(images(folder))),
            camera,
            [track],
            lambda frame, person: f"{unit.id}/{frame:06d}.jpg",
        )
    ]


BROKEN = set()


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """A dataset called ``fake`` with its raw data in place; returns DATA_ROOT."""
    module = types.ModuleType("posepile.ds.fake.main")
    spec = DatasetSpec("fake", JOINTS, "fake_downscaled", world_up=(0, -1, 0), licence="CC0")
    for name, value in {
        "SPEC": spec,
        "Options": Options,
        "list_units": list_units,
        "load_unit": load_unit,
    }.items():
        setattr(module, name, value)
    monkeypatch.setitem(sys.modules, "posepile.ds.fake", types.ModuleType("posepile.ds.fake"))
    monkeypatch.setitem(sys.modules, "posepile.ds.fake.main", module)
    monkeypatch.setattr(posepile.ds, "dataset_names", lambda: ["fake"])
    monkeypatch.setenv("DATA_ROOT", str(tmp_path / "data"))
    BROKEN.clear()
    make_raw(tmp_path / "data" / "fake")
    (tmp_path / "fake.yaml").write_text("select: {method: last, threshold_mm: 50}\n")
    return tmp_path / "data"


def a_run(fake, *overrides, **asked):
    """A run in this process, so that what a test has patched is there."""
    path = fake.parent / "fake.yaml"
    asked = {"quiet": True, **asked}
    return job.make_run("fake", ("run.isolate=false", *overrides), path, **asked)


def process_and_pack(fake, *overrides, **asked):
    run = a_run(fake, *overrides, **asked)
    commands.process(run, process.default_stages(run.config))
    return pack.pack(run)


def outcomes(run, stages=("crop",)):
    """The outcomes of the units that were worked on, by id."""
    found = {}
    process.process(run, stages, each=lambda outcome: found.setdefault(outcome.unit, outcome))
    return found


def states(run, stages=("crop",)):
    """What became of each unit: stage -> done, kept or failed; empty = nobody worked on it."""
    found = outcomes(run, stages)
    units = job.run_units(run, job.run_keys(run))
    rows = units.rows(units.share(*run.shard, run.only))
    return {row.id: found[row.id].stages if row.id in found else {} for row in rows}


def part_of(run, stage, unit_id):
    return results.part_path(run.work, stage, unit_id)


def packed_bytes(fake, build="fake"):
    files = sorted([*fake.glob(f"{build}.barecat*"), fake / "cache" / f"{build}.pkl"])
    return {f.name: f.read_bytes() for f in files}


class WholePictures:
    """What stands for a detector and takes pictures as they are, of any size, one by one.

    Its subclasses say by ``__call__(images)`` what is found in a list of pictures.
    """

    batch = 1

    def picture_size(self, size):
        return size

    def prepare(self, image):
        return image

    def detect(self, prepared):
        return self(prepared)
