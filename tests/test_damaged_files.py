"""Every file of a packed dataset damaged in every way, and every command that opens it.

What is needed and damaged is said in one line; what can be made again is; nothing waits for ever.
"""

import os
import random

import pytest
import usage_kit
from usage_kit import Said, posepile

from posepile import datasets3d
from posepile.errors import PosePileError
from posepile.store import reading, row_sources

packed_mini, own_mini = usage_kit.packed_mini, usage_kit.own_mini  # the fixtures


pytestmark = pytest.mark.timeout(60)  # a pipe in place of a file would make a reader wait for ever


def cut(path):
    os.truncate(path, path.stat().st_size // 2)


def empty(path):
    os.truncate(path, 0)


def noise(path):
    path.write_bytes(random.Random(0).randbytes(max(1000, path.stat().st_size)))


def other_json(path):
    path.write_text('[1, {"a": NaN}]')


def wrong_types(path):
    path.write_text('{"config": 5, "set": 7, "counts": [], "error": 3, "key": null, "files": 1}')


def folder(path):
    path.unlink()
    path.mkdir()


def loop(path):
    path.unlink()
    path.symlink_to(path)


def pipe(path):
    path.unlink()
    os.mkfifo(path)


def gone(path):
    path.unlink()


DAMAGE = [cut, empty, noise, other_json, wrong_types, folder, loop, pipe, gone]


def damaged(root, name, damage):
    """Damages a file, which is made if it is not there; returns it."""
    (path, *_) = [*sorted(root.glob(name)), root / name]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    damage(path)
    reading._readers.clear()
    row_sources._sources.clear()
    return path


def through_python():
    try:
        dataset = datasets3d.get_dataset("mini")
        dataset.examples[datasets3d.TRAIN][0].load()
    except PosePileError as e:
        return Said(e.exit_code, "", f"{e}\n")
    return Said(0, "", "")


def is_one_line(said, path):
    # What the file says may be noticed first: an image, the index that refers to it.
    named = path.name in said.err or "mini_downscaled/" in said.err or "mini.barecat" in said.err
    return said.code in (1, 2) and len(said.lines) == 1 and named


NEEDED = ["mini.barecat", "mini.barecat-shard-00000", "mini.barecat-shard-00003"]


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", NEEDED)
def test_a_damaged_archive_is_said_in_one_line_by_all_who_read_it(own_mini, name, damage):
    path = damaged(own_mini, name, damage)
    refused = []
    for command in ("report mini", f"view mini --out {own_mini / 'v.png'} --index 0 1 2 3 4"):
        said = posepile(*command.split())
        assert said.code == 0 or is_one_line(said, path), said
        refused.append(said.code)
    said = through_python()
    assert said.code == 0 or is_one_line(said, path), said
    assert any([*refused, said.code])
    assert posepile("status", "mini").code == 0
    said = posepile("verify", "mini")
    if said.err:  # there is no index, so there is nothing to verify
        assert name == "mini.barecat" and is_one_line(said, path), said
    else:
        first, *others, last = said.out.splitlines()
        assert (said.code, others) == (1, []), said.out  # one damage, one line, and the sum
        assert path.name in first and last.endswith("mini.barecat: 1 problems")


@pytest.mark.parametrize("damage", [cut, empty, noise, loop, pipe, gone])
@pytest.mark.parametrize("name", ["mini.barecat", "mini.barecat-shard-00003"])
def test_a_run_makes_a_damaged_archive_again(own_mini, name, damage):
    damaged(own_mini, name, damage)
    if (name == "mini.barecat" and damage in (gone, loop, pipe)) or damage is not gone:
        os.remove(own_mini / "mini_work" / "pack.json")  # so that it is packed at all
    said = posepile("run", "mini", "--quiet")
    assert (said.code, said.err) == (0, ""), said
    said = posepile("verify", "mini")
    assert said.out.endswith("mini.barecat: ok\n"), said


BOOKS = [
    "mini.barecat.sha256",
    "mini.barecat.manifest.json",
    "mini_work/units.sqlite",
    "mini_work/pack.json",
    "mini_work/journal.jsonl",
    "mini_work/quarantine/*.json",  # where they lay once
    "mini_work/quarantine/00/*.json",
    "mini_work/parts/crop/*/*.part",
    "mini_work/.lock-pack",
    "mini_work/.lock-list",
    "mini_work/.lock-units-0-of-1",
]


@pytest.mark.parametrize("damage", [noise, wrong_types, folder, loop, pipe])
@pytest.mark.parametrize("name", BOOKS)
def test_damaged_bookkeeping_is_made_again_or_named(own_mini, name, damage):
    path = damaged(own_mini, name, damage)
    for command in ("status mini", "run mini --dry-run --quiet", "run mini --quiet"):
        said = posepile(*command.split())
        if damage in (noise, wrong_types):
            assert (said.code, said.err) == (0, ""), said
        else:
            assert (said.code, said.err) == (0, "") or len(said.lines) == 1, said
            assert not said.err or path.name in said.err or "quarantined.txt" in said.err
    if damage in (noise, wrong_types):
        assert posepile("verify", "mini").code == 0


@pytest.mark.parametrize("damage", [cut, empty, noise, other_json, folder, pipe])
def test_a_damaged_pickle_is_said_in_one_line(own_mini, damage):
    path = damaged(own_mini, "cache/mini.pkl", damage)
    assert is_one_line(through_python(), path)


@pytest.mark.parametrize("damage", [noise, empty, other_json, wrong_types, folder, loop, pipe])
def test_a_variant_whose_settings_are_damaged_wants_them_again(own_mini, damage):
    path = damaged(own_mini, "mini@v_work/variant.json", damage)
    said = posepile("status", "mini@v")
    assert is_one_line(said, path) and "give them again" in said.err
    assert posepile("status", "mini@v", "--set", "crop.jpeg_quality=80").code == 0
