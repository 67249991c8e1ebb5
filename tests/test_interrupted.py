"""Runs that meet each other, are ended, or find what others left behind."""

import contextlib
import errno
import multiprocessing
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import zipfile

import fake_dataset
import pytest
from conftest import ROOT
from fake_dataset import a_run, outcomes, packed_bytes, part_of, process_and_pack, states

from posepile.acquire.extract import extract_archive
from posepile.errors import CorruptInput, UsageError, WorkError
from posepile.locks import leases
from posepile.run import inputs, job, locks, pack, results
from posepile.stages import crop
from posepile.store import parts, reading, verifying

fake = fake_dataset.fake  # the fixture: a tiny dataset called "fake"


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
    return [p for p in root.rglob(".*") if p.is_dir() or p.name.endswith(".tmp")]


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
    assert all("when all are done: --stage pack" in out for out, _ in outputs)
    assert list(tmp_path.glob("coco.barecat*")) == []
    assert unfinished(tmp_path) == []
    run_main("coco", tmp_path, "--miniature", "--stage", "pack")
    for file in miniature("coco").glob("coco.barecat*"):
        assert (tmp_path / file.name).read_bytes() == file.read_bytes()


def test_packing_and_running_exclude_each_other(fake):
    run, share = a_run(fake), a_run(fake, shard=(0, 2))
    states(run)
    with locks.lock(share), pytest.raises(WorkError, match="another run of fake is active"):
        pack.pack(run)
    with locks.lock(share, "pack"):
        with pytest.raises(WorkError, match="being packed"):
            states(run)
        with pytest.raises(WorkError, match="active"):
            pack.pack(run)
    with locks.lock(share):  # another share does not disturb
        assert states(a_run(fake, shard=(1, 2))) == {"seq1": {}}
    pack.pack(run)


def at_work(run, what, pipe):
    with locks.lock(run, what):
        pipe.send("held")
        pipe.recv()


def test_who_is_refused_is_told_by_whom(fake, monkeypatch):
    run, share = a_run(fake), a_run(fake, shard=(1, 2))
    monkeypatch.setattr(sys, "argv", ["posepile", "run", "fake"])
    context = multiprocessing.get_context("fork")
    for what, wants in (("units", "pack"), ("pack", "units")):
        ours, theirs = context.Pipe()
        other = context.Process(target=at_work, args=(share, what, theirs), daemon=True)
        other.start()
        assert ours.recv() == "held"
        by = rf"process {other.pid} on {platform.node()} since 20.*: posepile run fake"
        with pytest.raises(WorkError) as error, locks.lock(run, wants):
            pass
        assert re.search(rf"(active|packed).*\({by}\)", str(error.value))
        (note,) = (run.work / ".lock-pack.system").iterdir()
        text = note.read_text()
        # It was looked for before it was written.
        note.unlink()
        with monkeypatch.context() as patches:
            patches.setattr(leases.time, "sleep", lambda seconds, n=note, t=text: n.write_text(t))
            with pytest.raises(WorkError, match=f"process {other.pid} on"), locks.lock(run, wants):
                pass
        ours.send("go")
        other.join()


def hold(work, unit_id, pipe):
    with results.unit_lock(work, unit_id):
        pipe.send("held")
        pipe.recv()


def test_what_another_process_is_writing_is_left_alone(fake, monkeypatch):
    run = a_run(fake)
    ours, theirs = multiprocessing.get_context("fork").Pipe()
    other = multiprocessing.get_context("fork").Process(
        target=hold, args=(run.work, "seq0", theirs), daemon=True
    )
    files = [parts.unfinished(part_of(run, "crop", u))[1] for u in ("seq0", "seq1")]

    def interrupted(task):
        raise KeyboardInterrupt

    monkeypatch.setattr(crop, "run", interrupted)
    for unit, file in zip(("seq0", "seq1"), files, strict=True):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        if unit == "seq0":
            other.start()
            assert ours.recv() == "held"
            with results.unit_lock(run.work, unit, wait=False) as held:
                assert not held
            monkeypatch.setattr(results, "unit_lock", never_waiting(results.unit_lock))
        with pytest.raises(KeyboardInterrupt):
            states(a_run(fake, only=unit))
    assert [f.exists() for f in files] == [True, False]
    ours.send("go")
    other.join()
    monkeypatch.undo()


def never_waiting(unit_lock):
    return lambda work, unit_id, **how: unit_lock(work, unit_id, wait=False)


# ---------------------------------------------------------------- runs that are ended


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_their_run(miniature, tmp_path, number):
    shutil.copytree(miniature("aspset") / "aspset", tmp_path / "aspset")
    options = ["--stage", "crop", "--jobs", "2", "--only", "trainval/*-left"]
    process = main_sh("aspset", tmp_path, *options)
    crops = tmp_path / "aspset_work" / "parts" / "crop"
    while not list(crops.glob("*/.*.shard.tmp")):
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


@pytest.mark.parametrize("what", ["units.sqlite", "parts/crop/*/seq1*.part", "pack.json"])
def test_bookkeeping_cut_short_by_a_power_failure_is_made_again(fake, what):
    process_and_pack(fake)
    whole = packed_bytes(fake)
    (file,) = (fake / "fake_work").glob(what)
    size = file.stat().st_size
    file.write_bytes(file.read_bytes()[: size // 2])
    process_and_pack(fake)
    assert packed_bytes(fake) == whole
    assert file.stat().st_size == size


@pytest.mark.parametrize(
    "what", ["fake.barecat", "fake.barecat-shard-00001", "fake.barecat.sha256", "cache/fake.pkl"]
)
def test_an_incomplete_archive_is_packed_again(fake, what):
    process_and_pack(fake)
    whole = packed_bytes(fake)
    (fake / what).unlink()
    assert process_and_pack(fake)[1]
    assert packed_bytes(fake) == whole


def test_a_damaged_part_is_made_again_alone_when_packing(fake, capsys):
    run = a_run(fake)
    states(run)
    path = part_of(run, "crop", "seq1")
    before = {u: part_of(run, "crop", u).read_bytes() for u in ("seq0", "seq1", "seq2")}
    data = bytearray(before["seq1"])
    data[-200] ^= 1
    path.write_bytes(data)
    times = [part_of(run, "crop", u).stat().st_mtime_ns for u in ("seq0", "seq2")]
    manifest, _ = pack.pack(run)
    said = capsys.readouterr().out
    assert said == "fake: made again because parts are damaged: seq1 (1 in all)\n"
    assert manifest["counts"] == {"train": 8, "val": 4, "test": 0}
    assert {u: part_of(run, "crop", u).read_bytes() for u in before} == before
    assert times == [part_of(run, "crop", u).stat().st_mtime_ns for u in ("seq0", "seq2")]


def test_a_damaged_crop_is_made_again_before_masks_are_made_from_it(fake):
    grabcut = "segment.model=grabcut"
    states(a_run(fake, grabcut))
    shard = parts.shard_of(part_of(a_run(fake), "crop", "seq1"))
    data = bytearray(shard.read_bytes())
    data[300] ^= 1
    shard.write_bytes(data)
    found = states(a_run(fake, grabcut), ("segment",))
    assert [s["segment"] for s in found.values()] == ["done"] * 3
    states(a_run(fake, grabcut, "segment.min_area=0.04"), ("crop", "segment"))
    assert all(parts.damage_of_part(part_of(a_run(fake), "crop", u)) is None for u in found)


# ---------------------------------------------------------------- quarantine


def test_quarantine_holds_for_the_inputs_and_parameters_it_was_made_under(fake):
    file = fake / "fake" / "seq0" / "world.json"
    good = file.read_text()
    file.write_text("{garbage")
    tolerant = "run.max_quarantined=0.4"
    states(a_run(fake))
    manifest, _ = pack.pack(a_run(fake, tolerant))
    assert [q["file"] for q in manifest["quarantined_units"]] == ["seq0/world.json"]
    with pytest.raises(WorkError, match=r"3 of 3 units are not finished"):
        pack.pack(a_run(fake, tolerant, "dataset.stride=2"))
    os.utime(file)  # another time alone changes nothing
    found = outcomes(a_run(fake))
    assert found["seq0"].known and found["seq0"].error["reason"] == "not JSON"
    assert states(a_run(fake)) == {"seq0": {}, "seq1": {}, "seq2": {}}
    file.write_text(good)
    with pytest.raises(WorkError, match=r"1 of 3 units are not finished.*seq0"):
        pack.pack(a_run(fake, tolerant))
    file.unlink()
    states(a_run(fake))
    manifest, _ = pack.pack(a_run(fake, tolerant))
    assert manifest["quarantined_units"][0]["reason"] == "file is missing"


def test_an_unreadable_file_does_not_block_packing(fake, monkeypatch):
    def refused(path, whole):
        if "seq0" in str(path):
            raise PermissionError(13, "Permission denied")
        return real(path, whole=whole)

    real = inputs.fingerprint
    monkeypatch.setattr(inputs, "fingerprint", refused)
    found = outcomes(a_run(fake))
    assert found["seq0"].error["reason"] == "cannot be read: Permission denied"
    assert states(a_run(fake)) == {"seq0": {}, "seq1": {}, "seq2": {}}
    manifest, _ = pack.pack(a_run(fake, "run.max_quarantined=0.5"))
    assert len(manifest["quarantined_units"]) == 1
    monkeypatch.setattr(inputs, "fingerprint", real)
    assert states(a_run(fake, retry=True))["seq0"] == {"crop": "done"}


def test_what_is_quarantined_is_tried_again_when_asked(fake, monkeypatch):
    def faulty(reader, groups, sequence, counts):
        counts.quarantine(CorruptInput("2.jpg", "cannot be read"), 2)
        others = {frame: group for frame, group in groups.items() if frame != 2}
        return read_frames(reader, others, sequence, counts)

    read_frames = crop.read_frames
    monkeypatch.setattr(crop, "read_frames", faulty)
    states(a_run(fake))
    monkeypatch.setattr(crop, "read_frames", read_frames)
    assert states(a_run(fake)) == {"seq0": {}, "seq1": {}, "seq2": {}}
    again = states(a_run(fake, retry=True))
    assert [s["crop"] for s in again.values()] == ["done"] * 3
    assert process_and_pack(fake)[0]["counts"] == {"train": 8, "val": 4, "test": 0}
    assert states(a_run(fake, retry=True)) == {"seq0": {}, "seq1": {}, "seq2": {}}


def test_a_wrong_request_found_in_a_unit_stays_one(fake, monkeypatch):
    def refuse(task):
        raise UsageError("no such network")

    monkeypatch.setattr(crop, "run", refuse)
    with pytest.raises(UsageError, match="no such network"):
        states(a_run(fake))


def test_the_raw_folder_is_that_of_all_variants(fake):
    dense = a_run(fake, variant="dense")
    assert dense.root == a_run(fake).root and dense.work != a_run(fake).work
    with locks.lock(dense, "raw"):
        assert (job.paths.work_dir("fake") / ".lock-raw").is_file()


def test_a_copy_onto_another_disk_that_was_killed_leaves_nothing(tmp_path, monkeypatch):
    archive, raw = tmp_path / "a.zip", tmp_path / "raw"
    with zipfile.ZipFile(archive, "w") as z:
        z.writestr("x.txt", b"whole" * 99)
    raw.mkdir()
    rename, copy = os.replace, shutil.copyfile

    def between_disks(source, target):
        if os.path.basename(source) == "x.txt":
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        rename(source, target)

    def killed(source, target):
        copy(source, target)
        os.truncate(target, 10)
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(os, "replace", between_disks)
    pid = os.fork()
    if not pid:
        try:
            monkeypatch.setattr(shutil, "copyfile", killed)
            extract_archive(archive, raw)
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    (left,) = (p for p in raw.iterdir() if p.is_file())
    assert left.stat().st_size == 10
    extract_archive(archive, raw)
    assert sorted(os.listdir(raw)) == [".posepile", "x.txt"]
    assert (raw / "x.txt").read_bytes() == b"whole" * 99
