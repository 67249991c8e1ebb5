"""What could not be used is said once, by kind, and counts nowhere else."""

import dataclasses
import json
import sys

import pytest
from fake_dataset import BROKEN, a_run, fake, load_unit, make_raw, process_and_pack  # noqa: F401
from tqdm import tqdm

from posepile.errors import CorruptInput, WorkError
from posepile.run import commands, faults
from posepile.run.executor import Limits, run_tasks
from posepile.run.status import status_data, status_lines
from posepile.stages import crop


@pytest.fixture
def many(fake):  # noqa: F811
    """The made-up dataset with a dozen units, its raw folder."""
    make_raw(fake / "more", n_units=12, n_frames=2)
    for folder in sorted((fake / "more").iterdir())[3:]:
        folder.rename(fake / "fake" / f"extra-{folder.name}")
    return fake


def extra(many):
    return sorted((many / "fake").glob("extra-*/world.json"))


def said(run, capsys):
    with pytest.raises(WorkError) as failed:
        commands.process(run, ("crop",))
    captured = capsys.readouterr()
    return captured.out, captured.err, str(failed.value)


@pytest.mark.parametrize("quiet", [True, False])
def test_missing_files_are_said_together_and_before_the_work(many, capsys, quiet):
    for file in extra(many):
        file.unlink()
    run = a_run(many, quiet=quiet)
    out, err, failed = said(run, capsys)
    first, *others = [line for line in out.splitlines() if "file is missing" in line]
    names = ", ".join(str(p.relative_to(run.root)) for p in extra(many)[:3])
    assert first.startswith("fake: 9 units cannot be made, a file is missing: extra-")
    assert first.endswith(", …; posepile doctor fake says what else is") and names in first
    assert others == ["  quarantined: 9 x file is missing, as said above"]
    assert out.index(first) < out.index("done now")
    assert err == ""  # no terminal, and the work was short
    (path,) = [word for word in failed.split() if word.endswith("quarantined.txt")]
    lines = open(path).read().splitlines()
    assert len(lines) == 9 and all("world.json: file is missing" in line for line in lines)
    assert f"  quarantined: all of them: {path}" in out.splitlines()
    assert len(out.splitlines()) + len(err.split("\n")) < 10


def test_what_is_missing_is_also_said_by_a_dry_run(many, capsys):
    extra(many)[0].unlink()
    commands.dry_run(a_run(many), ("crop",))
    assert "1 unit cannot be made, a file is missing: extra-" in capsys.readouterr().out


def test_faults_of_one_kind_are_one_line(many, capsys):
    for i, file in enumerate(extra(many)):
        file.write_text("{garbage" if i else file.read_text())
    BROKEN.add(extra(many)[0].parent.name)
    out, err, _ = said(a_run(many, quiet=False), capsys)
    lines = [line for line in out.splitlines() if "quarantined: " in line]
    assert len(lines) == 3
    assert lines[0].startswith("  quarantined: 8 x not JSON: extra-seq") and lines[0].endswith("…")
    assert "ZeroDivisionError" in lines[1]
    assert "not JSON" not in err
    status = "\n".join(status_lines(a_run(many), status_data(a_run(many))))
    assert "8 x not JSON" in status and str(a_run(many).work / "quarantine") in status


def test_messages_that_differ_in_names_and_figures_are_of_one_kind(tmp_path):
    errors = [
        {"file": f"/raw/v{i}.mp4", "reason": f"holds {i} frames, not as /raw/{i}.csv says"}
        for i in range(20)
    ]
    errors += [{"file": f"/raw/{c}", "reason": f"reason {c * 3}"} for c in "abcdefghijklmnopq"]
    lines = faults.fault_lines(errors, tmp_path, tmp_path / "list")
    assert lines[0] == (
        "20 x holds 0 frames, not as /raw/0.csv says (the first; others with other names and "
        "figures): /raw/v0.mp4, /raw/v1.mp4, /raw/v2.mp4, …"
    )
    assert lines[-2:] == ["6 x 6 other reasons", f"all of them: {tmp_path / 'list'}"]
    assert len(lines) == faults.KINDS + 2


def test_a_run_without_a_usable_unit_does_not_look_as_if_nothing_was_there(many, capsys):
    for file in (many / "fake").glob("*/world.json"):
        file.write_text("{garbage")
    out, _, _ = said(a_run(many), capsys)
    assert "0 annotated" not in out and "as no unit could be used" in out
    out, _, failed = said(a_run(many, "run.max_quarantined=1"), capsys)
    assert "no example is left, as all 12 units are quarantined" in failed


def test_the_list_goes_when_nothing_is_quarantined_any_more(many):
    file = extra(many)[0]
    good = file.read_text()
    file.write_text("{garbage")
    run = a_run(many, "run.max_quarantined=0.5")
    commands.process(run, ("crop",))
    assert faults.list_path(run).is_file()
    file.write_text(good)
    commands.process(run, ("crop",))
    assert not faults.list_path(run).exists()


def test_a_quarantined_picture_counts_nowhere_else(fake, monkeypatch):  # noqa: F811
    choose, real = crop.choose_boxes, crop.read_masks

    def noting(group, joints, detected, size, box, detect, counts):
        counts.notes["looked at"] += len(group)
        return choose(group, joints, detected, size, box, detect, counts)

    def faulty(sequence, frame, group, boxes):
        if sequence.id == "seq0" and group[0].frame == 1:
            raise CorruptInput("mask", "of another picture")
        return real(sequence, frame, group, boxes)

    monkeypatch.setattr(crop, "choose_boxes", noting)
    monkeypatch.setattr(crop, "read_masks", faulty)
    manifest, _ = process_and_pack(fake, "run.max_quarantined=0.5")
    train = manifest["splits"]["train"]
    assert len(train["quarantined"]) == 1 and train["examples"] == 7
    assert train["dropped"] == {"in a quarantined picture": 1}
    assert train["notes"] == {"looked at": 7}
    assert train["selected"] == train["examples"] + sum(train["dropped"].values())


def test_an_unreadable_picture_is_counted_as_left_out(fake):  # noqa: F811
    file = fake / "fake" / "seq1" / "2.jpg"
    file.write_bytes(file.read_bytes()[:700])
    manifest, _ = process_and_pack(fake, "run.max_quarantined=0.5")
    assert manifest["splits"]["train"]["dropped"] == {"in a quarantined picture": 1}


@pytest.mark.parametrize("note", ["no shape", ["", "no shape", "no shape", "no shape"]])
def test_what_is_noted_of_people_is_counted_for_examples_alone(fake, monkeypatch, note):  # noqa: F811
    def noting(root, unit, options):
        (sequence,) = load_unit(root, unit, options)
        track = dataclasses.replace(
            sequence.tracks[0], note=note, unusable=lambda k: "asleep" if k == 2 else None
        )
        return [dataclasses.replace(sequence, tracks=[track])]

    monkeypatch.setattr(sys.modules["posepile.ds.fake.main"], "load_unit", noting)
    file = fake / "fake" / "seq1" / "3.jpg"
    file.write_bytes(file.read_bytes()[:700])
    manifest, _ = process_and_pack(fake, "run.max_quarantined=0.5")
    train = manifest["splits"]["train"]
    assert train["dropped"] == {"in a quarantined picture": 1, "asleep": 2}
    assert train["notes"] == {"no shape": train["examples"] - 2 * isinstance(note, list)}


def test_a_unit_that_fails_late_has_counted_nothing(fake, monkeypatch):  # noqa: F811
    def refuse(task):
        raise CorruptInput("crops", "cannot be segmented")

    monkeypatch.setattr("posepile.stages.segment.run", refuse)
    run = a_run(fake, "segment.model=grabcut")
    with pytest.raises(WorkError):
        commands.process(run, ("crop", "segment"))
    lines = [json.loads(line) for line in open(run.work / "journal.jsonl")]
    assert [(line["examples"], line["frames_read"]) for line in lines] == [(0, 0)] * 3


def say(number):
    print(f"note {number}", file=sys.stderr)
    return number


@pytest.mark.parametrize("executor", ["processes", "in_process"])
def test_notes_of_workers_do_not_stand_in_the_bar(capsys, executor):
    with tqdm(total=3, desc="work", file=sys.stderr) as bar:
        bar.refresh()
        for _ in run_tasks(say, range(3), limits=Limits(8 << 30, 60), executor=executor):
            bar.update()
    err = capsys.readouterr().err
    for i in range(3):
        line = next(line for line in err.split("\n") if f"note {i}" in line)
        assert line.split("\r")[-1] == f"note {i}"
