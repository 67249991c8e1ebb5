"""Archives on their way to an object store, and what is damaged there or in copies."""

# ruff: noqa: F811 - fixtures of a kit are arguments

import os
import sqlite3

import pytest
import s3_kit
from archive_kit import make_archive
from remote_kit import bring, forget, root, run, same, store  # noqa: F401 - some are fixtures

from posepile.datasets3d import TRAIN, get_dataset
from posepile.errors import WorkError
from posepile.remote import copies, stores
from posepile.remote.upload import upload_files
from posepile.store.layout import archive_files, shard_path

pytest.importorskip("s3fs")
if s3_kit.moto_program() is None:
    pytest.skip("no moto_server, see s3_kit", allow_module_level=True)


def test_uploading_resumes_and_the_index_is_last(root, monkeypatch, capsys):
    make_archive(root)
    sent = []
    put = stores.put

    def one_then_gone(path, address, part_size):
        if len(sent) == 1:
            raise WorkError("the network is gone")
        sent.append(path.name)
        put(path, address, part_size)

    monkeypatch.setattr(stores, "put", one_then_gone)
    assert run("upload", root / "toy.barecat", "s3://bucket/resumed") == 1
    with pytest.raises(WorkError, match="not there"):
        get_dataset("s3://bucket/resumed/toy.barecat")
    monkeypatch.setattr(stores, "put", lambda *a: sent.append(a[0].name) or put(*a))
    assert run("upload", root / "toy.barecat", "s3://bucket/resumed/") == 0
    assert sent[-1] == "toy.barecat" and len(set(sent)) == len(sent)
    assert "1 were there" in capsys.readouterr().out
    assert run("upload", root / "toy.barecat", "s3://bucket/resumed") == 0
    assert "0 files sent" in capsys.readouterr().out
    assert run("verify", "s3://bucket/resumed/toy.barecat") == 0
    assert same(get_dataset("s3://bucket/resumed/toy.barecat"), get_dataset("toy"))


def test_large_files_go_in_parts_and_are_compared(root, monkeypatch):
    from posepile.remote import upload

    monkeypatch.setattr(upload, "PART_SIZE", 5 << 20)
    file = root / "large"
    file.write_bytes(os.urandom(11 << 20))
    assert upload_files([(file, None)], "s3://bucket/parts").sent == ["large"]
    assert stores.look("s3://bucket/parts/large").etag.endswith("-3")
    assert upload_files([(file, None)], "s3://bucket/parts").there == ["large"]


def test_a_damaged_file_is_not_uploaded(root):
    make_archive(root)
    shard = shard_path(root / "toy.barecat", 1)
    shard.chmod(0o644)
    data = bytearray(shard.read_bytes())
    data[10] ^= 1
    shard.write_bytes(data)
    with pytest.raises(WorkError, match="does not fit its SHA-256"):
        upload_files(archive_files(root / "toy.barecat"), "s3://bucket/damaged")
    shard.unlink()
    with pytest.raises(WorkError, match="is not there; posepile verify --repair"):
        upload_files(archive_files(root / "toy.barecat"), "s3://bucket/damaged")


def test_what_is_damaged_in_the_store_is_told(root, capsys):
    import fsspec

    address = bring(root, "wrong")
    shard = f"{address}-shard-00000"
    system = fsspec.filesystem("s3", use_listings_cache=False)
    data = bytearray(system.cat_file(shard))
    data[5] ^= 1
    system.pipe_file(shard, bytes(data))
    with pytest.raises(WorkError, match=r"shard-00000: .*do not fit the CRC32C"):
        [example.load() for example in get_dataset(address).examples[TRAIN]]
    assert run("verify", address) == 1
    assert "shard-00000: SHA-256" in capsys.readouterr().out
    system.pipe_file(shard, bytes(data[:100]))
    with pytest.raises(WorkError, match="truncated"):
        [example.load() for example in get_dataset(address).examples[TRAIN]]


def test_a_table_that_is_not_the_index_s_is_not_believed(root, forget):
    import fsspec

    address = bring(root, "table")
    index = sqlite3.connect(root / "toy.barecat")
    query = "SELECT shard, offset, size FROM files WHERE path = 'table/world_coords.npy'"
    shard, offset, size = index.execute(query).fetchone()
    index.close()
    shard = f"{address}-shard-{shard:05d}"
    system = fsspec.filesystem("s3", use_listings_cache=False)
    right = system.cat_file(shard)
    for wrong in (
        right[: offset + size - 4]
        + bytes([right[offset + size - 4] ^ 1])
        + right[offset + size - 3 :],
        right[: offset + size - 4],
    ):
        system.pipe_file(shard, wrong)
        for _ in range(2):
            with pytest.raises(WorkError, match=f"^{shard}: .* do not fit the CRC32C") as e:
                get_dataset(address)
            assert str(root) not in str(e.value)
        forget()
    system.pipe_file(shard, right)
    assert same(get_dataset(address), get_dataset("toy"))


def test_a_damaged_copy_of_the_index_is_fetched_again(root, forget):
    address = bring(root, "copied")
    get_dataset(address)
    copy = copies.remote_archive(address).index_path
    for wrong in (b"x" * 5000, b""):
        forget()
        os.chmod(copy, 0o644)
        with open(copy, "wb") as f:
            f.write(wrong)
        assert same(get_dataset(address), get_dataset("toy"))


def test_an_index_without_checksums(root):
    make_archive(root)
    with sqlite3.connect(root / "toy.barecat") as index:
        index.execute("UPDATE files SET crc32c = NULL")
    index.close()
    upload_files(
        [(p, None) for p, _ in archive_files(root / "toy.barecat")], "s3://bucket/unsummed"
    )
    assert same(get_dataset("s3://bucket/unsummed/toy.barecat"), get_dataset("toy"))


@pytest.mark.parametrize("after", [1, 2, 3])
def test_two_uploads_at_once_of_one_name(root, after):
    files = {}
    for name, n in (("first", 6), ("second", 7)):
        (root / name).mkdir()
        make_archive(root / name, n=n)
        files[name] = archive_files(root / name / "toy.barecat")
    steps, folder = [], f"s3://bucket/both{after}"

    def step(n):
        steps.append(n)
        if len(steps) == after:
            upload_files(files["second"], folder)

    with pytest.raises(WorkError, match="somebody else may be writing there"):
        upload_files(files["first"], folder, step)


def test_what_the_list_of_digests_leaves_out_is_told(root, capsys):
    import fsspec

    address = bring(root, "unlisted")
    system = fsspec.filesystem("s3", use_listings_cache=False)
    lines = system.cat_file(f"{address}.sha256").splitlines(keepends=True)
    for left in range(len(lines)):
        system.pipe_file(f"{address}.sha256", b"".join(lines[:left] + lines[left + 1 :]))
        assert run("verify", address) == 1
        name = lines[left].split()[1].decode()
        assert f"{name} is not listed" in capsys.readouterr().out
