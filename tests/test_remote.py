"""Archives in an object store: a local S3 server over HTTP, see s3_kit."""

# ruff: noqa: F811 - fixtures of a kit are arguments

import multiprocessing
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
import s3_kit
from archive_kit import make_archive
from conftest import ROOT
from remote_kit import bring, forget, root, run, same, store  # noqa: F401 - some are fixtures

from posepile.datasets3d import TRAIN, get_dataset
from posepile.errors import UsageError, WorkError
from posepile.remote import copies, kept, stores
from posepile.remote.upload import upload_files
from posepile.store import reading
from posepile.store.layout import archive_files, shard_path

pytest.importorskip("s3fs")
if s3_kit.moto_program() is None:
    pytest.skip("no moto_server, see s3_kit", allow_module_level=True)


def test_an_archive_in_a_store_is_the_same(root, store, forget):
    address = bring(root, "same")
    far = get_dataset(address)
    assert same(far, get_dataset("toy"))
    before = store.relay.n_bytes
    assert same(far, get_dataset("toy"))
    assert store.relay.n_bytes == before, "images were kept, and fetched again"
    forget()
    assert same(get_dataset(address), get_dataset("toy"))
    assert 0 < store.relay.n_bytes - before < 20_000, "a new process asks whether it is current"


def test_references_name_the_address(root, forget):
    address = bring(root, "references")
    data = pickle.dumps(get_dataset(address))
    assert address.encode() in data and str(root).encode() not in data
    forget()
    assert same(pickle.loads(data), get_dataset("toy"))


def image_of(examples):
    return examples[0].load().image


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers(root, method):
    far = get_dataset(bring(root, f"workers_{method}"))
    examples = far.examples[TRAIN]
    first, second = examples[0].load().image, examples[1:2]
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert np.array_equal(pool.apply(image_of, (examples,)), first)  # from the cache
        assert np.array_equal(pool.apply(image_of, (second,)), examples[1].load().image)


N = 120  # images of 600 bytes


def test_a_small_cache_fetches_what_is_read_and_no_more(root, store, monkeypatch):
    address = bring(root, "small", n=N // 2, units=("train", "train"))
    monkeypatch.setenv("POSEPILE_OBJECT_CACHE_SIZE", "16K")
    fetched = []
    read_range = stores.read_range
    monkeypatch.setattr(stores, "read_range", lambda *a: fetched.append(a[2]) or read_range(*a))
    far, near = get_dataset(address).examples[TRAIN], get_dataset("toy").examples[TRAIN]
    fetched.clear()
    for i in np.random.default_rng(0).permutation(np.tile(np.arange(N), 2)).tolist():
        assert np.array_equal(far[i].load().image, near[i].load().image)
    sizes = [size for *_, size in reading.open_archive("toy.barecat").entries("toy_downscaled")]
    assert sum(sizes) > 4 * (16 << 10), "the cache is more than a quarter of the archive"
    assert 1.2 * sum(sizes) < sum(fetched) <= 1.2 * 2 * sum(sizes)
    assert kept.room_taken(copies.cache_folder()) <= 2 * (16 << 10) + 4 * 8192


def test_messages_name_the_address_and_not_the_copy(root, forget):
    import fsspec

    address = bring(root, "named")
    system, right = fsspec.filesystem("s3", use_listings_cache=False), root / "toy.barecat"
    system.pipe_file(address, b"x" * 5000)
    with pytest.raises(WorkError, match=f"^{address}: not the index") as e:
        get_dataset(address)
    assert str(root) not in str(e.value)
    assert run("verify", address) == 1
    system.pipe_file(address, right.read_bytes())
    forget()
    examples = get_dataset(address).examples[TRAIN]
    fsspec.filesystem("s3").rm(f"{address}-shard-00000")
    with pytest.raises(WorkError, match=f"^{address}-shard-00000: not there") as e:
        [example.load() for example in examples]
    assert str(root) not in str(e.value)


def test_an_archive_replaced_under_its_reader(root):
    address = bring(root, "replaced")
    examples = get_dataset(address).examples[TRAIN]
    examples[0].load()
    shutil.rmtree(root / "toy_work")
    bring(root, "replaced", units=("train",), n=9)
    with pytest.raises(WorkError, match=f"{address}: was packed again.* select examples anew"):
        [example.load() for example in examples]
    assert same(get_dataset(address), get_dataset("toy"))


def test_addresses_that_lead_nowhere(root):
    for address, message in (
        ("s3://nobody/x/toy.barecat", "s3://nobody/x/toy.barecat: not there"),
        ("s3://bucket/none/toy.barecat", "s3://bucket/none/toy.barecat: not there"),
        ("s3://bucket/none/toy", "ends in .barecat"),
        ("nothing://bucket/toy.barecat", "cannot open nothing://"),
        ("github://o/toy.barecat", "cannot open github://"),
    ):
        with pytest.raises((UsageError, WorkError), match=message) as e:
            get_dataset(address)
        assert "\n" not in str(e.value)


@pytest.mark.parametrize("address", ["ftp://", "s3:///"])
def test_addresses_without_a_bucket(address):
    with pytest.raises(UsageError, match="expected an address with a bucket"):
        stores.look(address)


def test_a_store_that_says_no_sizes(root, monkeypatch):
    address = bring(root, "sizes")
    said = {"name": "toy.barecat", "size": None, "type": "file"}
    monkeypatch.setattr(stores.filesystem(address), "info", lambda address: said)
    with pytest.raises(UsageError, match="toy.barecat: this store says no sizes"):
        get_dataset(address)


@pytest.mark.parametrize("folder", ["/proc/none", "file/cache"])
def test_a_cache_folder_that_cannot_be(root, monkeypatch, folder):
    address = bring(root, "unwritten")
    (root / "file").write_bytes(b"")
    monkeypatch.setenv("POSEPILE_OBJECT_CACHE", str(root / folder))
    with pytest.raises(WorkError, match=f"{folder}: copies cannot be kept.*set POSEPILE_OBJECT"):
        get_dataset(address)


def test_refused(root, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError("Access Denied")

    address = bring(root, "refused")
    system = stores.filesystem(address)
    monkeypatch.setattr(system, "info", refuse)
    with pytest.raises(WorkError, match=r"refused \(Access Denied\).*may read there"):
        get_dataset(address)


def test_the_network_fails_and_comes_back(root, store, monkeypatch):
    address = bring(root, "network")
    far, near = get_dataset(address).examples[TRAIN], get_dataset("toy").examples[TRAIN]
    far[0].load()
    store.relay.left = 100  # amid the next answer
    waited = []

    def wait(seconds):
        waited.append(seconds)
        store.relay.left = None

    monkeypatch.setattr(stores.time, "sleep", wait)
    assert np.array_equal(far[1].load().image, near[1].load().image)
    assert waited == [0]


def test_the_network_stays_away(root, store):
    address = bring(root, "away")
    far = get_dataset(address).examples[TRAIN]
    far[0].load()
    store.relay.left = 0
    with pytest.raises(WorkError, match="cannot be read after 2 attempts") as e:
        far[1].load()
    assert "\n" not in str(e.value)
    far[0].load()  # from the cache


def test_the_network_goes_amid_training_and_comes_back(root, store):
    data = pytest.importorskip("torch.utils.data")
    address = bring(root, "training")
    examples = get_dataset(address).examples[TRAIN]
    expected = [example.load().image for example in get_dataset("toy").examples[TRAIN]]
    loader = data.DataLoader(
        Images(examples), batch_size=None, num_workers=1, multiprocessing_context="fork"
    )
    store.relay.left = 0
    with pytest.raises(WorkError, match="shard-00000: cannot be read after 2 attempts"):
        list(loader)
    store.relay.left = None
    assert all(np.array_equal(a, b) for a, b in zip(loader, expected, strict=True))


class Images:
    def __init__(self, examples):
        self.examples = examples

    def __len__(self):
        return len(self.examples)

    def __getitem__(self, i):
        return self.examples[i].load().image


def test_other_kinds_of_stores(root, forget):
    make_archive(root)
    upload_files(archive_files(root / "toy.barecat"), f"file://{root}/elsewhere")
    address = f"file://{root}/elsewhere/toy.barecat"
    assert same(get_dataset(address), get_dataset("toy"))
    assert run("verify", address) == 0


def test_sizes_of_the_cache(root, monkeypatch):
    for text, size in (
        ("100K", 100 << 10),
        ("2G", 2 << 30),
        ("1.5GiB", 3 << 29),
        ("70000", 70000),
    ):
        monkeypatch.setenv("POSEPILE_OBJECT_CACHE_SIZE", text)
        assert copies.cache_capacity() == size
    for text in ("1K", "much", "-3G", "3X", "infG", "0"):
        monkeypatch.setenv("POSEPILE_OBJECT_CACHE_SIZE", text)
        with pytest.raises(UsageError, match="POSEPILE_OBJECT_CACHE_SIZE"):
            copies.cache_capacity()


def test_an_address_with_a_password_is_refused_before_anything_is_kept(root, capsys):
    address = "ftp://me:PLANTED@127.0.0.1/sets"
    for words in (
        ("upload", "toy", address),
        ("verify", f"{address}/toy.barecat"),
        ("export", f"{address}/toy.barecat", "--to", "labels", "--out", root / "labels"),
        ("step", "aspset", "process", "--set", f"dataset.root={address}"),
    ):
        assert run(*words) == 2
        said = capsys.readouterr()
        assert "ftp://<hidden>@127.0.0.1/sets" in said.err and "PLANTED" not in said.out + said.err
    with pytest.raises(UsageError, match="holds no password"):
        get_dataset(f"{address}/toy.barecat")
    assert not any(b"PLANTED" in p.read_bytes() for p in root.rglob("*") if p.is_file())


def test_keys_are_in_nothing_that_is_kept_or_said(root, store, monkeypatch, capsys, forget):
    # As boto3 takes them; fsspec keeps one system for each process.
    from test_secrets_stay import MARKED, shows

    make_archive(root)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", f"aws-{MARKED}")
    monkeypatch.setenv("AWS_SESSION_TOKEN", f"session-{MARKED}")
    code = "import sys; from posepile import cli; cli.main(sys.argv[1:])"

    def said(*words):
        done = subprocess.run(
            [sys.executable, "-c", code, *words], capture_output=True, cwd=ROOT, check=False
        )
        assert not shows(done.stdout + done.stderr)
        return done

    assert said("upload", str(root / "toy.barecat"), "s3://bucket/keys").returncode == 0
    assert said("verify", "s3://bucket/keys/toy.barecat").returncode == 0
    labels = ("--to", "labels", "--out", str(root / "labels"))
    assert said("export", "s3://bucket/keys/toy.barecat", *labels).returncode == 0
    monkeypatch.setattr(store.relay, "left", 0)
    monkeypatch.setenv("POSEPILE_OBJECT_CACHE", str(root / "other"))
    monkeypatch.setattr(stores, "WAITS", ())
    assert run("verify", "s3://bucket/keys/toy.barecat") == 1
    printed = capsys.readouterr()
    assert not shows((printed.out + printed.err).encode())
    assert not [p for p in root.rglob("*") if p.is_file() and shows(p.read_bytes())]


def test_an_archive_is_verified_by_its_file(root, capsys):
    make_archive(root)
    assert run("verify", root / "toy.barecat") == 0
    assert "every checksum and row is right" in capsys.readouterr().out
    shard = shard_path(root / "toy.barecat", 0)
    shard.chmod(0o644)
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    assert run("verify", root / "toy.barecat") == 1
    assert "shard-00000" in capsys.readouterr().out
    assert run("verify", root / "none.barecat") == 1
    assert "none.barecat: not found" in capsys.readouterr().out
    (root / "toy.pkl").write_bytes(b"")
    assert run("verify", root / "toy.pkl") == 2
    assert run("verify", root / "toy.barecat", "--repair") == 2


def test_usage():
    assert run("upload", "toy", "/somewhere") == 2
    assert run("upload", "toy", "s3://bucket/toy.barecat") == 2
    assert run("verify", "s3://bucket/toy.barecat", "--repair") == 2


def test_fsspec_is_not_imported_for_what_lies_on_the_disk():
    code = "import sys, posepile.datasets3d; sys.exit('fsspec' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_commands_on_an_address(root):
    address = bring(root, "commands")
    assert run("export", address, "--to", "labels", "--out", root / "labels") == 0
    assert run("subset", address, "--out", "few", "--n", "1") == 0
    assert len(get_dataset("few").examples[TRAIN]) == 1


def test_commands_that_need_files(root, capsys):
    address = bring(root, "files")
    for words in (("report", address), ("upload", address, "s3://bucket/again")):
        assert run(*words) == 2
        assert f"{address}: is in an object store" in capsys.readouterr().err


def image_alone(example):
    return example.image


def test_a_loader_on_an_address(root):
    pytest.importorskip("torch")
    from posepile.torch import CropDataset, CropLoader

    near = get_dataset(bring(root, "loader") and "toy").examples[TRAIN]
    far = get_dataset("s3://bucket/loader/toy.barecat").examples[TRAIN]
    sets = [CropDataset(examples, image_alone) for examples in (near, far)]
    loaders = [CropLoader(data, batch_size=2, num_workers=2) for data in sets]
    batches = [[batch.numpy() for batch in loader] for loader in loaders]
    assert len(batches[0]) and all(map(np.array_equal, *batches))
