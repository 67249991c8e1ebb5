"""Runs that meet each other, are ended, or find what others left behind."""

import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys

import pytest
import test_pipeline
from conftest import ROOT
from test_pipeline import a_run, packed_bytes, process_and_pack, states

from posepile.errors import CorruptInput, UsageError, WorkError
from posepile.run import pack as packing
from posepile.run import pipeline
from posepile.run.units import result_dir, unit_lock
from posepile.stages import crop
from posepile.store import reading, verifying

fake = test_pipeline.fake  # the fixture: a tiny dataset called "fake"


def main_sh(name, root, *options, **variables):
    return subprocess.Popen(
        ["bash", str(ROOT / "posepile" / "ds" / name / "main.sh"), "--quiet", *options],
        env=os.environ | {"DATA_ROOT": str(root), "PYTHON": sys.executable} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def unfinished(root):
    return [p for p in root.rglob(".*") if p.is_dir()]


# ---------------------------------------------------------------- runs beside each other


def test_all_tasks_of_an_array_may_start_at_once(miniature, tmp_path, run_main):
    tasks = [
        main_sh(
            "coco",
            tmp_path,
            "--miniature",
            "--jobs",
            "1",
            SLURM_ARRAY_TASK_ID=str(i),
            SLURM_ARRAY_TASK_COUNT="3",
        )
        for i in range(3)
    ]
    outputs = [task.communicate() for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0, 0], outputs
    assert sum("miniature made" in out for out, _ in outputs) == 1
    assert all("pack with: --stage pack" in out for out, _ in outputs)
    assert list(tmp_path.glob("coco.barecat*")) == []
    assert unfinished(tmp_path) == []
    run_main("coco", tmp_path, "--miniature", "--stage", "pack")
    for file in miniature("coco").glob("coco.barecat*"):
        assert (tmp_path / file.name).read_bytes() == file.read_bytes()


def test_packing_and_running_exclude_each_other(fake):
    run, share = a_run(fake), a_run(fake, shard=(0, 2))
    states(run, ("crop",))
    with pipeline.lock(share), pytest.raises(WorkError, match="another run of fake is active"):
        packing.pack(run)
    with pipeline.lock(share, "pack"):
        with pytest.raises(WorkError, match="being packed"):
            states(run, ("crop",))
        with pytest.raises(WorkError, match="active"):
            packing.pack(run)
    with pipeline.lock(share):  # another share does not disturb
        assert states(a_run(fake, shard=(1, 2)), ("crop",)) == [{"crop": "kept"}]
    packing.pack(run)


def hold(work, unit, pipe):
    with unit_lock(work, unit):
        pipe.send("held")
        pipe.recv()


def test_what_another_process_is_writing_is_left_alone(fake):
    run = a_run(fake)
    units = pipeline.list_units(run)
    ours, theirs = multiprocessing.get_context("fork").Pipe()
    other = multiprocessing.get_context("fork").Process(
        target=hold, args=(run.work, units[0], theirs)
    )
    folders = [result_dir(run.work, "crop", u) for u in units]
    folders = [f.with_name(f".{f.name}.new") for f in folders]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "shard").touch()
    other.start()
    assert ours.recv() == "held"
    with unit_lock(run.work, units[0], wait=False) as held:
        assert not held
    with pytest.raises(KeyboardInterrupt), pipeline.sweeping(run, units, ("crop",)):
        raise KeyboardInterrupt
    assert [f.exists() for f in folders] == [True, False, False]
    ours.send("go")
    other.join()
    process_and_pack(fake)
    assert unfinished(run.work) == []


# ---------------------------------------------------------------- runs that are ended


def dies(parent, run, unit, wanted, threads):
    """Stands for a worker that the system kills when memory runs out."""
    if unit.id == "seq1":
        folder = result_dir(run.work, "crop", unit)
        folder.with_name(f".{folder.name}.new").mkdir(parents=True)
        os.kill(os.getpid(), signal.SIGKILL)
    return pipeline.Outcome(unit.id)


def test_a_killed_worker_is_one_line(fake, monkeypatch):
    run = a_run(fake, jobs=2)
    monkeypatch.setattr(pipeline, "_in_worker", dies)
    with pytest.raises(WorkError, match=r"worker process was killed.*fewer than --jobs 2"):
        pipeline.run_units(run, ("crop",))
    assert unfinished(run.work) == []
    monkeypatch.undo()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_their_run(miniature, tmp_path, number):
    shutil.copytree(miniature("aspset") / "aspset", tmp_path / "aspset")
    options = ["--stage", "crop", "--jobs", "2", "--only", "trainval/*-left"]
    process = main_sh("aspset", tmp_path, *options)
    crops = tmp_path / "aspset_work" / "crop"
    while not list(crops.glob(".*/.unit.shard.tmp")):
        with contextlib.suppress(subprocess.TimeoutExpired):
            pytest.fail(f"ended with {process.wait(timeout=0.05)} before it was told to")
    (main,) = [pid for pid, words in processes(process.pid).items() if "process" in words]
    os.kill(main, number)
    # Whoever still lives holds the other end of the pipe: this waits for all of them.
    _, errors = process.communicate(timeout=60)
    assert processes(process.pid) == {}
    if number == signal.SIGTERM:
        assert process.returncode == 143
        assert errors == "posepile: interrupted; run again to go on where it stopped\n"
        assert unfinished(tmp_path) == []
    else:
        assert process.returncode == 128 + 9


def processes(session):
    """Command lines of the processes of a session that still do something."""
    found = {}
    for folder in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{folder}/stat") as f:
                if int(f.read().rpartition(")")[2].split()[3]) == session:
                    with open(f"/proc/{folder}/cmdline") as line:
                        words = line.read()
                    if words:  # else it has ended and nobody has asked how
                        found[int(folder)] = words.split("\0")
        except OSError:
            continue  # ended meanwhile
    return found


# ---------------------------------------------------------------- what was there before


def test_units_that_are_gone_are_not_packed(fake):
    process_and_pack(fake)
    shutil.rmtree(fake / "fake" / "seq1")
    manifest, changed = process_and_pack(fake)
    assert changed
    assert manifest["counts"] == {"train": 4, "val": 4, "test": 0}
    assert verifying.verify(fake / "fake.barecat") == []
    assert not [k for k in reading.open_archive(fake / "fake.barecat") if "seq1" in k]
    assert len(list(fake.glob("fake.barecat-shard-*"))) == 3  # two of images, one table


@pytest.mark.parametrize("what", ["inputs/seq1*", "crop/seq1*/result.json", "pack.json"])
def test_bookkeeping_cut_short_by_a_power_failure_is_made_again(fake, what):
    process_and_pack(fake)
    whole = packed_bytes(fake)
    (file,) = (fake / "fake_work").glob(what)
    file.write_text(file.read_text()[:7])
    process_and_pack(fake)
    assert packed_bytes(fake) == whole
    json.loads(file.read_text())


@pytest.mark.parametrize("what", ["fake.barecat-shard-00001", "cache/fake.pkl"])
def test_an_incomplete_archive_is_packed_again(fake, what):
    process_and_pack(fake)
    whole = packed_bytes(fake)
    (fake / what).unlink()
    assert process_and_pack(fake)[1]
    assert packed_bytes(fake) == whole


def test_quarantine_holds_for_the_inputs_and_parameters_it_was_made_under(fake):
    file = fake / "fake" / "seq0" / "world.json"
    good = file.read_text()
    file.write_text("{garbage")
    tolerant = "run.max_quarantined=0.4"
    states(a_run(fake), ("crop",))
    manifest, _ = packing.pack(a_run(fake, tolerant))
    assert [q["file"] for q in manifest["quarantined_units"]] == ["seq0/world.json"]
    with pytest.raises(WorkError, match=r"3 of 3 units are not finished"):
        packing.pack(a_run(fake, tolerant, "dataset.stride=2"))
    file.write_text(good)
    with pytest.raises(WorkError, match=r"1 of 3 units are not finished.*seq0"):
        packing.pack(a_run(fake, tolerant))
    file.unlink()
    states(a_run(fake), ("crop",))
    manifest, _ = packing.pack(a_run(fake, tolerant))
    assert manifest["quarantined_units"][0]["reason"] == "file is missing"


def test_a_passing_fault_of_the_disk_is_tried_again(fake, monkeypatch):
    def faulty(reader, frames, sequence, counts):
        counts.quarantine(CorruptInput("2.jpg", "cannot be read"), 2)
        return read_frames(reader, [f for f in frames if f != 2], sequence, counts)

    read_frames = crop.read_frames
    monkeypatch.setattr(crop, "read_frames", faulty)
    states(a_run(fake), ("crop",))
    monkeypatch.setattr(crop, "read_frames", read_frames)
    tolerant = a_run(fake, "run.max_quarantined=0.3")
    assert [s["crop"] for s in states(tolerant, ("crop",))] == ["kept"] * 3
    assert [s["crop"] for s in states(a_run(fake), ("crop",))] == ["done"] * 3
    assert process_and_pack(fake)[0]["counts"] == {"train": 8, "val": 4, "test": 0}


def test_a_wrong_request_found_in_a_unit_stays_one(fake, monkeypatch):
    def refuse(*args):
        raise UsageError("no such network")

    monkeypatch.setattr(crop, "crop_unit", refuse)
    with pytest.raises(UsageError, match="no such network"):
        states(a_run(fake), ("crop",))
