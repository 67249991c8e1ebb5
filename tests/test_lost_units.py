"""Units that hang, crash, eat memory or raise are quarantined; all others are packed."""

import json
import sys

import lost_units_kit
import pytest
from lost_units_kit import BAD, GOOD

from posepile.run import commands, pack, process, worker

fates = lost_units_kit.fates


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
    (file,) = run.work.glob("quarantine/*/raises*")
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


def test_the_memory_of_a_job_is_the_least_that_any_of_its_groups_may_take(tmp_path):
    def found(lines, **limits):
        root = tmp_path / str(len(list(tmp_path.iterdir())))
        (root / "proc" / "self").mkdir(parents=True)
        (root / "proc" / "self" / "cgroup").write_text(lines)
        for place, text in limits.items():
            file = root / "sys" / "fs" / "cgroup" / place
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return min(worker.memory_of_groups(str(root)), default=None)

    new = {"job_7/memory.max": "5000\n", "job_7/step_0/memory.max": "max\n"}
    assert found("0::/job_7/step_0\n", **new) == 5000
    assert found("0::/job_8\n", **new, **{"memory.max": "9000"}) == 9000
    old = {
        "memory/slurm/job_7/memory.limit_in_bytes": "6000",
        "memory/slurm/memory.limit_in_bytes": "9223372036854771712",
        "cpu/slurm/job_7/memory.limit_in_bytes": "1",
    }
    assert found("4:cpu:/slurm\n3:hugetlb,memory:/slurm/job_7\n0::/\n", **old) == 6000
    # A container that sees its own group as the root, and one above it.
    assert found("0::/docker/a:b\n", **{"memory.max": "7000"}) == 7000
    assert found("0::/../..\n", **{"memory.max": "7000"}) == 7000
    assert found("0::/\n") is None
    assert min(worker.memory_of_groups(str(tmp_path / "none")), default=None) is None


def test_the_memory_of_a_job_is_what_slurm_says():
    def found(**variables):
        return list(worker.memory_of_job({f"SLURM_{k}": v for k, v in variables.items()}))

    assert found(MEM_PER_NODE="512") == [512 * 2**20]
    assert found(MEM_PER_CPU="100", CPUS_ON_NODE="4") == [400 * 2**20]
    assert found(MEM_PER_NODE="0") == found(MEM_PER_CPU="100") == found(MEM_PER_NODE="?") == []


def test_the_limits_of_a_unit_follow_its_job(monkeypatch):
    whole = process.machine_memory()
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "100")
    assert process.machine_memory() == min(whole, 100 * 2**20)


def test_fewer_processes_than_asked_for_are_told_of_more_memory():
    assert 1e8 < process.machine_memory() < 1e14
