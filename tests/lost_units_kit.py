"""A dataset of one photograph, whose units crash, hang, eat memory, raise or are good."""

import sys
import textwrap

import cv2
import numpy as np
import pytest

from posepile.run import job

RECIPE = '''
    """A dataset of one photograph; what becomes of a unit is its name."""

    import ctypes
    import threading

    import numpy as np

    from posepile.errors import CorruptInput
    from posepile.joint_info import JointInfo
    from posepile.recipe import DatasetSpec, Sequence, Stills, Track, Unit

    SPEC = DatasetSpec("fates", JointInfo("head,pelv", "head-pelv"), "fates_small", kind="2d")

    def list_units(root, options):
        names = (root / "names").read_text().split()
        return [Unit(name, "train", (root / "photo.jpg",)) for name in names]

    def load_unit(root, unit, options):
        if unit.id == "crashes":
            ctypes.string_at(0)
        if unit.id == "hangs":
            threading.Event().wait()
        if unit.id == "eats":
            everything = [bytearray(100_000_000) for _ in range(100)]
        if unit.id == "raises":
            raise ZeroDivisionError("a fault")
        if unit.id == "corrupt":
            raise CorruptInput(root / "photo.jpg", "is of a cat")
        track = Track(
            np.arange(1),
            image_coords=np.float32([[[30, 10], [30, 40]]]),
            bbox=np.float32([[20, 5, 20, 40]]),
        )
        name = f"{unit.id}.jpg"
        stills = Stills((root / "photo.jpg",))
        return [Sequence(unit.id, "train", stills, None, [track], lambda f, p: name)]
'''
GOOD = [f"good{i}" for i in range(6)]
BAD = ["corrupt", "crashes", "eats", "hangs", "raises"]


@pytest.fixture
def fates(tmp_path, monkeypatch):
    """A dataset in a folder of its own, worked on in processes; gives a run of it."""
    folder = tmp_path / "datasets" / "fates"
    folder.mkdir(parents=True)
    (folder / "main.py").write_text(textwrap.dedent(RECIPE))
    (folder / "config.yaml").write_text("select: {method: none}\nsegment: {model: none}\n")
    raw = tmp_path / "data" / "fates"
    raw.mkdir(parents=True)
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    cv2.imwrite(str(raw / "photo.jpg"), image)
    (raw / "names").write_text(" ".join([*GOOD, *BAD]))
    monkeypatch.setenv("POSEPILE_DATASETS", str(folder.parent))
    monkeypatch.setenv("DATA_ROOT", str(raw.parent))

    def run(*overrides, **asked):
        limits = ("run.max_memory=0.6", "run.max_idle_minutes=0.05")
        return job.make_run("fates", (*limits, *overrides), quiet=True, **asked)

    yield run
    for name in [n for n in sys.modules if n.startswith("posepile.ds.fates")]:
        del sys.modules[name]
    import posepile.ds

    posepile.ds.__path__[:] = [p for p in posepile.ds.__path__ if p != str(folder.parent)]
