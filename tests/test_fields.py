"""A new field of examples is one declaration: it is added to a copy of the package and used."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import posepile
from posepile.store import fields

PACKAGE = Path(posepile.__file__).parent
TESTS = Path(__file__).parent

# The declaration of a field, and its value in example i.
FIELDS = {
    "a number per joint": (
        'confidence: np.ndarray | None = stored(Fixed("<f4", ("J",)), default=None, flag=32768)',
        "np.arange(5, dtype=np.float32) + i",
    ),
    "whole numbers per joint": (
        'confidence: np.ndarray | None = stored(Fixed("<i4", ("J", 2)), default=None, flag=32768)',
        "np.arange(10).reshape(5, 2) + i",
    ),
    "a free map": (
        "confidence: dict | None = stored(Extra(), default=None, flag=16384)",
        '{"source": "lab", "values": np.arange(3.0) + i, "nested": {"i": i}}',
    ),
    "an array of any length": (
        'confidence: np.ndarray | None = stored(Ragged("<f4", (2,)), default=None, flag=32768)',
        "np.ones((i + 1, 2), np.float32) * i",
    ),
    "a number": (
        'confidence: float | None = stored(Fixed("<f8"), default=None, flag=32768)',
        "0.25 * i",
    ),
    "bytes that several have": (
        "confidence: bytes | None = stored(Shared(), default=None, flag=32768)",
        'b"bytes %d" % (i % 2)',
    ),
    "a text": (
        'confidence: str = stored(Text(), default="unsure")',
        'f"text {i % 2}"',
    ),
}

PACK = """
    import dataclasses, sys
    from pathlib import Path
    import numpy as np
    import archive_kit as kit

    plain_record = kit.record

    def record(name, split, unit, i, **overrides):
        made = plain_record(name, split, unit, i, **overrides)
        if i != 2:
            made.confidence = {value}
        return made

    kit.record = record
    kit.make_archive(Path(sys.argv[1]), "new", kind=sys.argv[2])
"""

READ = """
    import json, pickle, sys
    import numpy as np
    from posepile import datasets2d, datasets3d
    from posepile.export.upstream import export_upstream
    from posepile.merging.merge import merge_datasets
    from posepile.store import codec, reading

    def plain(x):
        if isinstance(x, dict):
            return {k: plain(v) for k, v in x.items()}
        return x.tolist() if isinstance(x, np.ndarray) else x

    module = {"2d": datasets2d, "3d": datasets3d}[sys.argv[2]]
    examples = module.get_dataset("new").examples[0]
    table = reading.open_archive("new.barecat").table
    value = lambda i: {value}
    column = table.columns.get("confidence")
    if column is not None and column.dtype.kind == "i":
        assert not column[2].any()  # the row without a value
    wanted = [plain(value(i)) if i != 2 else {missing!r} for i in range(6)] * 2
    results = {
        "table": [plain(table.record(i).confidence) for i in range(12)],
        "lazy": [plain(ex.confidence) for ex in examples],
        "loaded": [plain(ex.load().confidence) for ex in examples],
        "pickled": [plain(pickle.loads(pickle.dumps(ex)).confidence) for ex in examples],
    }
    loaded = pickle.loads(pickle.dumps([ex.load() for ex in examples]))
    results["pickled when loaded"] = [plain(ex.confidence) for ex in loaded]
    records = [table.record(i) for i in range(12)]
    entries = [codec.decode_entry(codec.encode_entry(r), codec.entry_key(r)) for r in records]
    results["entry"] = [plain(r.confidence) for r in entries]
    export_upstream("new.barecat", "entries.barecat")
    exported = module.get_dataset("entries.barecat").examples[0]
    results["exported"] = [plain(ex.confidence) for ex in exported]
    made = module.__dict__["Pose%sExample" % sys.argv[2].upper()]("a/b.jpg", None, None, None)
    assert made.confidence == {missing!r}
    for way, found in results.items():
        assert found == wanted, (way, found, wanted)
    if sys.argv[2] == "3d":
        dataset = module.get_dataset("new")
        merged = merge_datasets({"a": dataset, "b": dataset}, {"a": "x", "b": "y"})
        second = merged.examples[0][12 + 3].confidence
        if {per_joint}:
            assert len(second) == 10 and second[5:].tolist() == wanted[3], second
            assert not np.any(second[:5] >= 1) and len(merged.examples[0][0].confidence) == 10
        else:
            assert plain(second) == wanted[3]
    old = module.get_dataset("old").examples[0][0]
    assert old.confidence == {missing!r} and old.load().bbox is not None
    print("read")
"""


def run(code, folder, root, kind):
    env = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{TESTS}", "DATA_ROOT": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(root), kind],
        env=env, cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """A folder with a copy of the package."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(PACKAGE, folder / "posepile", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_is_one_declaration(copied, tmp_path, name):
    declaration, value = FIELDS[name]
    kind = "2d" if name == "a free map" else "3d"
    missing = "unsure" if "Text" in declaration else None
    run("""
        import sys, archive_kit as kit
        from pathlib import Path
        kit.make_archive(Path(sys.argv[1]), "old", kind=sys.argv[2])
        """, copied, tmp_path, kind)  # fmt: skip
    source = (PACKAGE / "store" / "fields.py").read_text()
    last = next(line for line in source.splitlines() if line.startswith("    scene: str ="))
    changed = source.replace(last, f"{last}\n    {declaration}")
    file = copied / "posepile" / "store" / "fields.py"
    try:
        file.write_text(changed)
        run(PACK.replace("{value}", value), copied, tmp_path, kind)
        read = READ.replace("{value}", value).replace("{missing!r}", repr(missing))
        read = read.replace("{per_joint}", str('("J",' in declaration))
        assert run(read, copied, tmp_path, kind) == "read\n"
    finally:
        file.write_text(source)
    # What was packed with the field is read by code from before it.
    count = run("""
        import json, sys
        from posepile import datasets2d, datasets3d
        module = {"2d": datasets2d, "3d": datasets3d}[sys.argv[2]]
        examples = module.get_dataset("new").examples[0]
        assert not hasattr(examples[0], "confidence")
        print(json.dumps([len(examples), examples[3].load().frame]))
        """, copied, tmp_path, kind)  # fmt: skip
    assert json.loads(count) == [12, 3]


def test_flags_are_used_once():
    flags = [field.flag for field in fields.FIELDS.values() if field.flag]
    assert len(set(flags)) == len(flags) and all(bin(flag).count("1") == 1 for flag in flags)
    assert sum(flags) & (fields.CAMERA_KNOWS_SHAPE | fields.HAS_OTHER_SIZE) == 0


def test_columns_are_those_of_the_format():
    assert fields.FIXED == {
        "split": ("u1", ()),
        "flags": ("<u2", ()),
        "shard": ("<u4", ()),
        "offset": ("<u8", ()),
        "size": ("<u4", ()),
        "bbox": ("<f4", (4,)),
        "imshape": ("<i4", (2,)),
        "frame": ("<i8", ()),
        "track": ("<i4", ()),
        "person": ("<u4", ()),
        "camera": ("<f4", (24,)),
        "world_coords": ("<f4", ("J", 3)),
        "coords2d": ("<f4", ("J", 2)),
        "dir": ("<u4", ()),
        "sequence": ("<u4", ()),
        "activity": ("<u4", ()),
        "scene": ("<u4", ()),
        "fingerprint": ("<u4", ()),
    }
    assert fields.RAGGED == {
        "name": ("u1", ()),
        "mask": ("u1", ()),
        "valid_poly": ("<f4", (2,)),
        "distortion": ("<f4", ()),
        "extras": ("u1", ()),
        "joint_ids": ("<u2", ()),
        "joint_rows": ("<f4", (3,)),
    }
    assert fields.STRINGS == ("dir", "sequence", "activity", "scene", "fingerprint")
    assert fields.OPTIONAL == {"camera", "world_coords", "coords2d", "fingerprint", "track"}
