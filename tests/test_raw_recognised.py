"""What of raw data is recognised: numbers, other names, other places, what a person must do."""

# ruff: noqa: F811 (fixtures are imported)

import json
import os
import re

import pytest
from raw_situations_kit import ask, gzipped_tar, home, misplaced, obey, real, write  # noqa: F401

from posepile.acquire import estimates
from posepile.acquire.plan import Decision
from posepile.acquire.sources import Source
from posepile.acquire.workers import AT_ONCE, PER_HOST


@pytest.mark.parametrize(
    ("name", "people"),
    [
        ("agora", r"\d+ without user name and password"),
        ("h36m", r"\d to be fetched by hand"),
        ("genebody", r"2 to be fetched by hand"),
    ],
)
def test_a_plan_that_needs_a_person(home, ask, name, people, monkeypatch):
    for key in [k for k in os.environ if k.startswith("POSEPILE_AGORA")]:
        monkeypatch.delenv(key)
    code, said, _ = ask("plan", name)
    assert code == 1 and re.search(f"  a person first: {people}", said)
    code, said, _ = ask("plan", name, "--json")
    assert code == 1 and json.loads(said)["ok"] is False and json.loads(said)["people"]
    assert ask("doctor", name)[2][0] == f"posepile plan {name}"


@pytest.mark.parametrize(
    ("name", "lacks"),
    [
        ("coco", "train2017/*.jpg: 2 files, 118287 expected"),
        ("mpii", "images/*.jpg: 2 files, 24984 expected"),
        ("crowdpose", "images/<k>.jpg: 2 files, 20000 expected"),
        ("jta", "annotations/val/seq_<n>.json: 2 files, 128 expected"),
    ],
)
def test_one_of_as_many_files_as_the_authors_state(home, ask, name, lacks):
    pattern = re.sub(r"<\w+>", "*", lacks.split(":")[0])
    write(home / name, {pattern.replace("*", str(i)): b"\xff\xd8\xff\xd9" for i in range(2)})
    code, said, _ = ask("doctor", name)
    assert code == 1 and lacks in said
    if name in ("coco", "mpii"):
        assert f"not all of it is there: {lacks}" in ask("plan", name)[1]


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("aspset", "data/trainval/videos", "data/trainval/my vid'eos"),
        ("aspset", "data/trainval/boxes", "data/trainval/boxes_old"),
        ("mads", "multi_view_data", "foo"),  # no letter of it is the same
        ("tdhp", "S1/Seq1/imageSequence", "S1/Seq1/images"),
    ],
)
def test_a_renamed_folder_of_several_lines(home, ask, raw_miniature, name, old, new):
    root = real(raw_miniature, name, home)
    assert not misplaced(ask("doctor", name)[1])
    assert "posepile doctor" not in ask("plan", name)[1]
    (root / old).rename(root / new)
    _, said, commands = ask("doctor", name)
    assert f"{new}/: " in said and said.count("belong in") == 1
    planned = ask("plan", name)[1]
    assert f"{new}/: " in planned and f"    posepile doctor {name}\n" in planned
    obey(commands[0])
    assert (root / old).is_dir() and not misplaced(ask("doctor", name)[1])


def test_an_archive_whose_name_is_a_pattern(home, ask):
    write(home / "h36m", {"Videos_S6.tgz": gzipped_tar(9000), "notes_S6.tgz": gzipped_tar(9000)})
    _, said, commands = ask("doctor", "h36m")
    assert "Videos_S6.tgz: belongs at archives/Videos_S6.tgz" in said
    obey(commands[0])
    assert (home / "h36m/archives/Videos_S6.tgz").is_file()
    assert (home / "h36m/notes_S6.tgz").is_file()


@pytest.mark.parametrize(
    "name", ["aic", "coco", "coco_wholebody", "ehf", "inria_holidays", "muco", "surreal"]
)
def test_data_elsewhere_without_lines_that_must_be_there(home, ask, raw_miniature, tmp_path, name):
    shared = tmp_path / "another disk" / "sets"
    there = real(raw_miniature, name, shared, f"{name} of ours/inside")
    write(shared, {"holiday photographs/jpg/1.jpg": b"", "other/images/1.jpg": b""})
    _, said, commands = ask("doctor", name, "--look-in", str(shared))
    assert f"{there}: holds what belongs at {home / name}\n" in said, said
    assert commands[0] == f"ln -s '{there}' {home / name}"


def test_data_elsewhere_without_their_top_folder(home, ask, raw_miniature, tmp_path):
    real(raw_miniature, "mads", tmp_path, "tree")
    there = home / "mads recordings"
    (tmp_path / "tree/multi_view_data").rename(there)
    _, said, commands = ask("doctor", "mads")
    assert f"{there}: holds what belongs at {home}/mads/multi_view_data" in said
    assert f"{there} holds what belongs" in ask("plan", "mads")[1]
    obey(commands[0])
    said = ask("doctor", "mads")[1]
    assert not misplaced(said) and "multi_view_data" not in said


def test_room_if_archives_go(tmp_path, monkeypatch):
    monkeypatch.setattr(estimates, "free_bytes", lambda path: 10**14)

    def lean(*hosts):
        sources = [
            Source(name=f"s{i}", url=f"https://{h}/{i}.zip", approx_bytes=10, extract={"to": "."})
            for i, h in enumerate(hosts)
        ]
        found = estimates.estimate([Decision(s, "fetch", "", 10) for s in sources], tmp_path)
        assert found.peak == 20 * len(hosts) and found.goes == 10 * len(hosts)
        return found.lean - found.extracted

    assert (AT_ONCE, PER_HOST) == (4, 2)
    assert lean("a.org", "a.org", "b.org", "b.org") == 40  # all of them may be arriving
    assert lean(*["a.org"] * 4) == 30  # two arrive, one is extracted
    assert lean(*["a.org", "b.org", "c.org"] * 4) == 50  # four arrive, one is extracted
