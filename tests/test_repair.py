"""One byte changed anywhere is found by verify, healed by repair, and never a traceback.

``POSEPILE_FLIPS`` sets how many bytes are changed (default 60, spread over all kinds of files).
"""

import os
import random

import archive_kit as kit
import numpy as np
import pytest

from posepile import datasets3d
from posepile.errors import PosePileError
from posepile.store import packing, parts, reading, row_sources, verifying
from posepile.store.layout import digests_path, manifest_path

FLIPS = int(os.environ.get("POSEPILE_FLIPS", "60"))
KINDS = ("part arrays", "part header", "table", "index", "shard")
UNITS = ("train", "train", "val")


def write_unit(path):
    """Makes the part of a unit; the number in its name says which."""
    unit = int(path.stem)
    with parts.PartWriter(path) as writer:
        for i in range(4):
            more = {
                "parameters": {"type": "smpl", "pose": np.arange(72, dtype=np.float32) * i},
                "valid_poly": np.float32([[0, 0], [10, 0], [10, 9 + i]]),
            }
            record = kit.record("toy", UNITS[unit], unit, i, **(more if i % 2 else {}))
            writer.add(record, kit.jpeg(i + 10 * unit))


@pytest.fixture
def built(tmp_path, monkeypatch, no_fsync):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    paths = [tmp_path / "toy_work" / "parts" / f"{unit:03d}.part" for unit in range(len(UNITS))]
    for path in paths:
        write_unit(path)
    pack(tmp_path)
    return tmp_path


def pack(root):
    paths = sorted((root / "toy_work").rglob("*.part"))
    inputs = [("raw/b.mp4", 7, "x"), ("raw/a.mp4", 5, "y"), ("raw/b.mp4", 7, "x")]
    archive, sources = root / "toy.barecat", {"sources": []}
    packing.pack(paths, archive, kit.spec(), sources, inputs=lambda header: inputs)


def redo(damaged):
    for path in damaged:
        assert not path.exists() and not parts.shard_of(path).exists()
        write_unit(path)


def repair(root):
    work = root / "toy_work"
    report = verifying.check_archive("toy.barecat", work)
    after = verifying.repair("toy.barecat", work, report, redo, lambda: pack(root))
    return report, after


def files(root):
    return {p: p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def read_everything():
    """What a new process gets to see: a value, or an error of one line, for each thing asked."""
    reading._readers.clear()
    row_sources._sources.clear()

    def attempt(function, *args):
        try:
            return function(*args)
        except PosePileError as e:
            assert "\n" not in str(e)
            return f"refused: {type(e).__name__}"

    def example(ex):
        ex.load()
        arrays = [ex.image, ex.world_coords, ex.bbox, ex.camera.R, ex.camera.intrinsic_matrix]
        more = [ex.image_path, ex.path, ex.mask, ex.activity_name, ex.frame, ex.parameters]
        return [a.tobytes() for a in arrays if a is not None], repr(more), repr(ex.valid_poly)

    def entries():
        archive = reading.open_archive("toy.barecat")
        return [(key, attempt(archive.get, key)) for key in archive]

    def examples():
        dataset = datasets3d.get_dataset("toy.barecat")
        return [attempt(example, ex) for ex in dataset.iter_examples()]

    return attempt(entries), attempt(examples), attempt(reading.read_manifest, "toy.barecat")


def choose(root, kind, rng):
    """A file of the kind, and the place of one of its bytes."""
    if kind.startswith("part"):
        file = rng.choice(sorted((root / "toy_work" / "parts").glob("*.part")))
        start = file.stat().st_size - parts.DIGEST_BYTES - parts.read_header(file)["data_bytes"]
        if kind == "part header":
            return file, rng.randrange(start)
        return file, rng.randrange(start, file.stat().st_size)
    name = {"table": "-shard-00003", "index": "", "shard": f"-shard-{rng.randrange(3):05d}"}[kind]
    file = root / f"toy.barecat{name}"
    return file, rng.randrange(file.stat().st_size)


def flip(file, at, bit):
    """Changes a byte as a disk does: the file, under all its names, with its time as before."""
    stat = os.stat(file)
    with open(file, "r+b") as f:
        f.seek(at)
        (old,) = f.read(1)
        f.seek(at)
        f.write(bytes([old ^ bit]))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_byte_is_found_and_healed(built, kind):
    rng = random.Random(f"{kind} {os.environ.get('POSEPILE_SEED', '0')}")
    before, right = files(built), read_everything()
    assert not any("refused" in repr(part) for part in right)
    changed = 0
    for _ in range(max(1, FLIPS // len(KINDS))):
        file, at = choose(built, kind, rng)
        flip(file, at, 1 << rng.randrange(8))
        if not kind.startswith("part"):
            changed += read_everything() != right
        report, after = repair(built)
        assert report.problems, (file, at)
        assert all("\n" not in problem for problem in report.problems)
        assert bool(report.damaged_parts) == (kind not in ("table", "index"))
        of_archive = any("toy.barecat" in problem for problem in report.problems)
        assert len(report.problems) == 1  # one damage is said once
        assert of_archive == (not kind.startswith("part"))
        assert after == verifying.VerifyReport(), (file, at)
        assert files(built) == before, (file, at)
    if not kind.startswith("part"):  # which is not read but packed, or refused
        print(f"{kind}: {changed} of {FLIPS // len(KINDS)} change what a reader gets")
        assert changed or FLIPS < 50


@pytest.mark.parametrize("what", ["cut", "gone", "empty"])
def test_damaged_files_are_healed(built, what):
    before = files(built)
    # A part that is gone is not damaged: its unit is to be done, as the next run sees.
    suffixes = (".part", ".shard") if what != "gone" else (".shard",)
    names = [p for p in before if "toy.barecat" in p.name or p.suffix in suffixes]
    assert {digests_path(built / "toy.barecat"), manifest_path(built / "toy.barecat")} < set(names)
    for file in names:
        if what == "gone":
            file.unlink()
        else:
            os.truncate(file, file.stat().st_size // 2 if what == "cut" else 0)
        read_everything()
        report, after = repair(built)
        assert report.problems, file
        assert after.problems == [], file
        assert files(built) == before, file


def test_verify_alone_changes_nothing(built):
    flip(built / "toy.barecat-shard-00001", 100, 1)
    before = files(built)
    report = verifying.check_archive("toy.barecat", built / "toy_work")
    assert report.problems
    assert report.damaged_parts == [built / "toy_work" / "parts" / "001.part"]
    assert len(report.problems) == 1 and verifying.verify("toy.barecat") == report.problems
    assert files(built) == before
    flip(built / "toy.barecat-shard-00002", 100, 1)
    assert len(verifying.verify("toy.barecat", max_problems=1)) == 2  # and that it stopped


def test_parts_that_share_a_rotten_shard_are_all_named(built):
    part = built / "toy_work" / "parts" / "000.part"
    copy = built / "toy_work" / "segment" / "000.part"
    with parts.PartWriter(copy, images_of=part) as writer:
        for record, data in parts.read_part(part):
            writer.add(record, data)
    flip(parts.shard_of(part), 50, 8)
    report = verifying.check_archive("toy.barecat", built / "toy_work")
    assert report.damaged_parts == [part, copy]


def test_pack_refuses_damaged_parts_and_names_all(built):
    folder = built / "toy_work" / "parts"
    flip(folder / "000.part", folder.joinpath("000.part").stat().st_size - 100, 1)
    flip(folder / "002.shard", 10, 1)
    before = files(built)
    with pytest.raises(parts.DamagedParts, match="000.part") as caught:
        pack(built)
    assert caught.value.paths == [folder / "000.part", folder / "002.part"]
    flip(folder / "001.part", 60, 1)  # in the header, which is looked at earlier
    with pytest.raises(parts.DamagedParts) as caught:
        pack(built)
    assert caught.value.paths == [folder / f"{i:03d}.part" for i in range(3)]
    flip(folder / "001.part", 60, 1)
    assert files(built) == before
