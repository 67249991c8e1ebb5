"""Archives in a bucket of a local S3 server, see s3_kit, and what a new process would not know."""

import numpy as np
import pytest
import s3_kit
from archive_kit import make_archive

from posepile import cli
from posepile.datasets3d import TRAIN, VALID
from posepile.remote import copies, kept, stores
from posepile.remote.upload import upload_files
from posepile.store import reading
from posepile.store.layout import archive_files


@pytest.fixture(scope="module")
def store():
    with s3_kit.store_in_environment() as store:
        yield store


@pytest.fixture
def forget(monkeypatch):
    """What a new process would not know is forgotten."""

    def forget():
        copies._known.clear()
        reading._readers.clear()
        kept._caches.clear()

    forget()
    yield forget
    forget()


@pytest.fixture
def root(tmp_path, monkeypatch, store, forget):
    monkeypatch.setattr(stores, "WAITS", (0,))
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)  # which wait
    monkeypatch.setattr(store.relay, "left", None)
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    return tmp_path


def bring(root, folder, name="toy", **options):
    make_archive(root, name, **options)
    upload_files(archive_files(root / f"{name}.barecat"), f"s3://bucket/{folder}")
    return f"s3://bucket/{folder}/{name}.barecat"


def same(far, near):
    for split in (TRAIN, VALID):
        assert len(far.examples[split]) == len(near.examples[split])
        for a, b in zip(far.examples[split], near.examples[split], strict=True):
            a, b = a.load(), b.load()
            assert np.array_equal(a.image, b.image)
            assert np.array_equal(a.world_coords, b.world_coords, equal_nan=True)
            assert a.image_path == b.image_path
    return True


def run(*words):
    with pytest.raises(SystemExit) as done:
        cli.main([str(word) for word in words])
    return done.value.code
