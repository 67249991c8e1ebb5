"""Records, notes and manifests that say other things than ours do: told or passed over."""

import json

import archive_kinds_kit
import pytest

from posepile.acquire import manifests, records
from posepile.acquire.extract import extract_archive
from posepile.acquire.lockfile import lock_path, read_origins
from posepile.acquire.partial import Partial, fetched_from
from posepile.errors import UsageError
from posepile.formats.yaml_files import read_yaml


def test_notes_of_a_download_that_say_other_things_are_none(tmp_path):
    """Then the file is fetched from its beginning."""
    part = Partial(tmp_path / "v.bin")
    part.path.write_bytes(bytes(1000))
    file = tmp_path / "v.bin.part.json"
    good = {"url": "https://h/v", "etag": '"1"', "total": 2000, "synced": 500, "boot": "b"}
    file.write_text(json.dumps(good))
    assert part.notes == good
    wrong = {"url": 3, "etag": "a\nb", "total": "2000", "synced": None, "last_modified": []}
    file.write_text(json.dumps(wrong | {"boot": "another"}))
    assert part.notes == {"boot": "another", "synced": 0}
    part.cut_to_synced()
    assert part.size == 0 and part.notes == {}
    (tmp_path / "v.bin").write_bytes(b"whole")
    part.path.unlink()
    assert fetched_from(tmp_path / "v.bin") is None


@pytest.mark.parametrize(
    "entry",
    [
        {"paths": [{"relative_path": "a" * 3000, "size": 3}]},
        {"paths": [{"relative_path": "a\0b", "size": 3}]},
        {"paths": [{"relative_path": "b", "view": 3, "size": 3}]},
        {"paths": [{"relative_path": "b", "view": [{"a": 1}], "size": 3}]},
        {"paths": [{"relative_path": "b", "view": "ego", "size": 3}]},
    ],
)
def test_a_manifest_whose_entries_are_of_another_form(tmp_path, entry):
    """An attribute that is no list counts as one value; a name that cannot be has not arrived."""
    (tmp_path / "takes").mkdir()
    (tmp_path / "takes" / "manifest.json").write_text(json.dumps([entry]))
    bucket = manifests.Bucket("s3://h", tmp_path, {"takes": 1.0}, None, "", "", "")
    request = manifests.Request(["takes"], filters={"view": ["ego"]})
    n = int(entry["paths"][0].get("view", "ego") == "ego")
    (line,) = manifests.plan_requests(tmp_path, bucket, [request])
    assert f"takes: {n} files" in line and "0.000 GB are here" in line
    found = list(manifests.find_absent(tmp_path, bucket, request, lambda part, uid: []))
    assert len(found) == n


def test_entries_of_the_lock_file_that_are_none_have_no_origin(tmp_path):
    lock_path(tmp_path).parent.mkdir()
    content = {"version": 1, "files": {"a": [1], "b": {"source": "s", "from": "https://h/b"}}}
    lock_path(tmp_path).write_text(json.dumps(content))
    assert list(read_origins(tmp_path)["files"]) == ["b"]


def test_a_record_of_a_name_that_is_too_long_is_of_a_file_that_is_not_there(tmp_path):
    (tmp_path / "a.zip").write_bytes(archive_kinds_kit.zip_bytes({"a.txt": b"abc"}))
    extract_archive(tmp_path / "a.zip", tmp_path)
    record = records.read_record(tmp_path, "a.zip")
    record["files"]["x" * 300] = record["files"]["a.txt"]
    assert records.damaged_files(tmp_path, "a.zip", record)


def test_a_list_of_yaml_that_is_too_short_is_told(tmp_path):
    (tmp_path / "a.yaml").write_text("[1]")
    with pytest.raises(UsageError, match=r"a\.yaml: 1 is missing"):
        read_yaml(tmp_path / "a.yaml", tuple[int, int])
