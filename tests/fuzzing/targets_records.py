"""What we keep of our own work beside the data: records, locks, notes, lists of units."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import archive_kinds_kit as kit

from fuzzing import mutators_store
from fuzzing.looking import look_at
from fuzzing.mutators_archives import BYTES
from fuzzing.mutators_text import JSON
from fuzzing.target import Target
from posepile.acquire.extract import extract_archive
from posepile.acquire.lockfile import read_lock, read_origins, remember
from posepile.acquire.manifests import Bucket, Request, find_absent, plan_requests
from posepile.acquire.partial import Partial, fetched_from
from posepile.acquire.records import damaged_files, is_extracted, read_record, record_names
from posepile.acquire.sources import Extract
from posepile.models import weights
from posepile.recipe import Unit
from posepile.run import inputs, listing, results

SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def go_on(path: Path, out: Path) -> None:
    """Goes on with a folder of raw data as a rerun of the download and of doctor does."""
    root = Path(shutil.copytree(path, out / "raw"))
    for name in record_names(root):
        record = read_record(root, name)
        if record is not None:
            look_at(damaged_files(root, name, record))
        is_extracted(root, name, Extract())
    look_at(read_lock(root))
    remember(root, "d.json", source="s", origin="here", measured={"bytes": 3})
    inputs.fingerprint_inputs(["d.json"], root, [])
    extract_archive(root / "a.zip", root)


def _raw(folder: Path) -> Sequence[Path]:
    root = folder / "raw"
    root.mkdir()
    content = kit.zip_bytes({"d.json": b"{}", "e/f.txt": b"f" * 50})
    (root / "a.zip").write_bytes(content)
    extract_archive(root / "a.zip", root)
    for name in ("d.json", "e/f.txt"):
        measured = {"bytes": (root / name).stat().st_size, "sha256": SHA256}
        remember(root, name, source="s", origin="https://h/x", measured=measured)
    return [root]


def read_work(path: Path, out: Path) -> None:
    """Reads what is known of units: the quarantined ones, and a network's checksum."""
    look_at(results.read_quarantine(path, "a"))
    look_at(sorted(results.quarantined_names(path)))
    work = Path(shutil.copytree(path, out / "work"))
    spec = next(iter(weights.load_registry()["detectors"].values()))
    file = spec.files[0].model_copy(update={"sha256": None, "file": "x.onnx", "copies": ()})
    weights.ensure_weights(spec.model_copy(update={"files": (file,)}), work)


def _work(folder: Path) -> Sequence[Path]:
    work = folder / "work"
    results.write_quarantine(work, "a", {"key": {"a": "b"}, "reason": "x", "file": "y", "n": 3})
    (work / "x.onnx").touch()
    measured = {"bytes": 0, "sha256": SHA256}
    remember(work, "x.onnx", source="x", origin="https://h/x.onnx", measured=measured)
    return [work]


def read_units(path: Path, out: Path) -> None:
    """Opens a list of units, which is made again where it cannot be read, and reads all of it."""
    file = Path(shutil.copy(path, out / "units.sqlite"))
    units = listing.open_units(file, "key", path.parent, _list_units, None, name="toy")
    try:
        look_at([row.unit(path.parent).id for row in units.rows(range(units.count))])
        look_at(list(units.ids()))
    finally:
        units.close()


def _list_units(root: Path, options: object) -> list[Unit]:
    return [Unit(f"u{i}", "train", (root / f"{i}.json",)) for i in range(4)]


def _units(folder: Path) -> Sequence[Path]:
    file = folder / "units.sqlite"
    (folder / "raw.txt").touch()
    listing.open_units(file, "key", folder, _list_units, None, name="toy").close()
    with sqlite3.connect(file) as db:  # whatever was looked at is not there any more
        db.execute("DELETE FROM seen")
    db.close()
    os.chmod(file, 0o644)
    return [file]


def go_on_fetching(path: Path, out: Path) -> None:
    """Looks at an unfinished download as a rerun does, before it asks the server."""
    root = Path(shutil.copytree(path, out / "raw"))
    part = Partial(root / "v.bin")
    part.settle()
    part.cut_to_synced()
    notes = part.notes
    look_at(notes)
    min(notes.get("synced", 0), part.size)
    str(notes.get("etag") or notes.get("last_modified")).encode("latin1", "replace")
    for name in ("v.bin", "w.bin"):
        if (root / name).is_file():
            look_at([fetched_from(root / name)])
    look_at(read_origins(root))


def _unfinished(folder: Path) -> Sequence[Path]:
    root = folder / "raw"
    (root / ".posepile").mkdir(parents=True)
    notes = {"url": "https://h/v.bin", "etag": '"1"', "last_modified": "", "total": 900}
    for name in ("v.bin", "w.bin"):
        (root / f"{name}.part.json").write_text(
            json.dumps(notes | {"boot": "another", "synced": 300})
        )
    (root / "v.bin.part").write_bytes(bytes(500))
    (root / "w.bin").write_bytes(bytes(900))
    entry = {"source": "s", "from": "https://h/w.bin?token=x", "bytes": 900, "mtime_ns": 1}
    lock = {"version": 1, "files": {"w.bin": entry}}
    (root / ".posepile" / "sources.lock.json").write_text(json.dumps(lock))
    return [root]


def read_bucket(path: Path, out: Path) -> None:
    """Reads the manifest of a part on S3 and what it amounts to."""
    bucket = Bucket("s3://h", path, {"takes": 1.0}, None, "", "", "")
    request = Request(["takes"], ["a", "b"], {"view": ["ego"]}, 3, "takes")
    look_at(plan_requests(out, bucket, [request, Request(["takes"])]))
    look_at(list(find_absent(out, bucket, request, lambda part, uid: [f"{part}/{uid}*"])))


def _bucket(folder: Path) -> Sequence[Path]:
    place = folder / "manifests"
    (place / "takes").mkdir(parents=True)
    files = [{"relative_path": f"takes/a/{i}.mp4", "size": 100 * i} for i in range(3)]
    entries = [{"uid": uid, "paths": files, "view": ["ego"]} for uid in "abc"]
    entries[1]["paths"] = [{"relative_path": "takes/b.mp4", "views": None}]
    (place / "takes" / "manifest.json").write_text(json.dumps(entries))
    return [place]


RECORDS = (*JSON, *BYTES)
TARGETS = [
    Target("records", _raw, go_on, RECORDS),
    Target("unfinished", _unfinished, go_on_fetching, RECORDS),
    Target("bucket", _bucket, read_bucket, JSON),
    Target("work", _work, read_work, RECORDS),
    Target("units", _units, read_units, (*[mutators_store.index_value] * 6, *BYTES)),
]
