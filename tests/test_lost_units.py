"""Units that hang, crash, eat memory or raise are quarantined; all others are packed."""

import json
import sys
import textwrap

import cv2
import numpy as np
import pytest

from posepile.run import commands, job, pack, process

RECIPE = '''
    """A dataset of one photograph; what becomes of a unit is its name."""

    import ctypes
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
            while True:
                pass
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


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_lost_unit_is_quarantined_with_its_reason_and_the_others_are_packed(fates, jobs, capsys):
    # On a busy machine, 3 s may pass before the memory is full.
    run = fates("run.max_quarantined=0.5", "run.max_idle_minutes=0.15", jobs=jobs)
    commands.process(run, ("crop",))
    manifest, _ = pack.pack(run)
    assert manifest["counts"]["train"] == len(GOOD)
    reasons = {e["file"]: e["reason"] for e in manifest["quarantined_units"]}
    assert len(reasons) == len(BAD)
    for name, words in {
        "photo.jpg": "is of a cat",
        "crashes": "SIGSEGV",
        "eats": "needed more than 0.6 GB of memory",
        "hangs": "no progress for 9 s",
        "raises": "unexpected ZeroDivisionError: a fault",
    }.items():
        assert words in reasons[name]
    said = capsys.readouterr().out
    assert "11 units: 6 done now, 0 kept, 5 quarantined" in said and "--retry" in said

    # Where they were is kept, in the quarantine and in the journal.
    (file,) = (run.work / "quarantine").glob("raises*")
    assert "in load_unit" in json.loads(file.read_text())["error"]["trace"]
    lines = [json.loads(line) for line in open(run.work / "journal.jsonl")]
    traces = {line["unit"]: (line["error"] or {}).get("trace") or "" for line in lines}
    # One that eats memory is not waited for, so it may not have had the time.
    assert all("load_unit" in traces[name] for name in ("crashes", "hangs", "raises"))

    # Under the same key they stay where they are.
    worked_on = []
    found = process.process(fates(jobs=jobs), ("crop",), each=worked_on.append)
    assert worked_on == [] and len(found.errors) == len(BAD)
    assert list((run.work / "parts").rglob("*.tmp")) == []


def test_lost_units_are_tried_again_when_asked_or_when_something_changed(fates, tmp_path):
    (tmp_path / "data" / "fates" / "names").write_text("good0 raises")
    process.process(fates(), ("crop",))

    def tried(*overrides, **asked):
        found = []
        process.process(fates(*overrides, **asked), ("crop",), each=found.append)
        return {outcome.unit for outcome in found}

    assert tried() == set()
    assert tried(retry=True) == {"raises"}
    assert tried("crop.jpeg_quality=80") == {"good0", "raises"}
    file = tmp_path / "datasets" / "fates" / "main.py"
    file.write_text(file.read_text().replace('raise ZeroDivisionError("a fault")', "pass"))
    sys.modules.pop("posepile.ds.fates.main")
    assert tried("crop.jpeg_quality=80") == {"good0", "raises"}
    assert process.process(fates("crop.jpeg_quality=80"), ("crop",)).errors == []


def test_limits_come_from_the_settings_or_the_machine(fates, monkeypatch):
    limits = process.limits(fates(), 2)
    assert (limits.memory_bytes, limits.stall_seconds) == (600_000_000, 3)
    monkeypatch.setattr(process, "machine_memory", lambda: 8e9)
    free = fates("run.max_memory=null", "run.max_idle_minutes=0")
    assert process.limits(free, 2).memory_bytes == 4_000_000_000
    assert process.limits(free, 16).memory_bytes == 2_000_000_000
    assert process.limits(free, 2).stall_seconds is None


def test_fewer_processes_than_asked_for_are_told_of_more_memory():
    assert 1e8 < process.machine_memory() < 1e14
