"""GeneBody: archives of single performers, the release archive that holds them, passwords."""

import json
from pathlib import Path

import pytest
from archive_kinds_kit import aes_zip_bytes, seven_zip_bytes, tar_bytes, zip_bytes

from posepile.acquire.download import run_download
from posepile.acquire.plan import format_plan, load_sources, plan
from posepile.ds import genebody
from posepile.errors import WorkError

SOURCES = Path(genebody.__file__).with_name("sources.yaml")
PASSWORD = "from-the-agreement"
TRAIN, TEST = "GeneBody-Train40", "GeneBody-Test10"
SUBJECTS = ("ahha", "dannier", "zhuna2")


def subject(name):
    return {f"{name}/annots.npy": name.encode(), f"{name}/image/00/0045.jpg": b"jpeg"}


def expected(part, names):
    return {f"{part}/{path}": data for n in names for path, data in subject(n).items()}


def release(train, *, level="GeneBody/GeneBody"):
    """The mirrors' archive: a doubled folder, both parts, and depth maps that nobody needs."""
    return tar_bytes(
        {
            f"{level}/GeneBody_smpl_depth.tar.gz": tar_bytes({"GeneBody/ahha/smpl_depth/x": b""}),
            f"{level}/{TEST}/amanda.tar.gz": tar_bytes(subject("amanda")),
            **{f"{level}/{TRAIN}/{name}": data for name, data in train.items()},
            f"{level}/{TRAIN}/genebody_split.npy": b"split",
        }
    )


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "genebody"
    (root / "archives" / TRAIN).mkdir(parents=True)
    return root


def tree(root):
    files = (p for p in root.rglob("*") if p.is_file())
    found = {p.relative_to(root).as_posix(): p for p in files}
    return {k: p.read_bytes() for k, p in found.items() if not k.startswith((".", "archives"))}


def download(root, *, only=None, strict=True):
    lines = []
    report = run_download("genebody", SOURCES, root, only=only, log=lines.append, strict=strict)
    return report, "\n".join([*lines, *report.lines])


def actions(root, only=None):
    decisions = plan(load_sources(SOURCES), root, only)
    return {d.source.name: d.action for d in decisions}


@pytest.mark.usefixtures("no_accounts")
@pytest.mark.parametrize("level", ["GeneBody/GeneBody", "GeneBody"])
def test_the_release_archive_is_all_that_is_needed(root, level):
    train = {f"{name}.tar.gz": tar_bytes(subject(name)) for name in SUBJECTS}
    assert actions(root) == {"train40": "manual", "split": "manual"}
    assert "GeneBody.tar.gz" in format_plan("genebody", SOURCES, root)
    (root / "archives/GeneBody.tar.gz").write_bytes(release(train, level=level))
    assert actions(root) == {"train40": "have", "split": "have", "release": "verify"}
    report, _ = download(root)
    assert report.ok
    split = {f"{TRAIN}/genebody_split.npy": b"split"}
    assert tree(root) == expected(TRAIN, SUBJECTS) | split
    assert not {"manual", "extract"} & set(actions(root).values())
    download(root, only=["test10"])
    assert expected(TEST, ["amanda"]).items() <= tree(root).items()
    (root / "archives/GeneBody.tar.gz").unlink()
    assert not {"manual", "extract"} & set(actions(root).values())  # what it held is in place


@pytest.mark.usefixtures("no_accounts")
def test_performers_beside_the_release_archive(root):
    """The mirrors' archive may hold Test10 only; Train40 comes separately."""
    (root / "archives/GeneBody.tar.gz").write_bytes(release({}))
    for name in SUBJECTS:
        (root / "archives" / TRAIN / f"{name}.zip").write_bytes(zip_bytes(subject(name)))
    assert actions(root) == {"train40": "verify", "split": "have", "release": "verify"}
    download(root)
    split = {f"{TRAIN}/genebody_split.npy": b"split"}
    assert tree(root) == expected(TRAIN, SUBJECTS) | split


@pytest.mark.usefixtures("no_accounts")
@pytest.mark.parametrize("inside", [False, True])
def test_password_archives(root, monkeypatch, inside):
    archives = {
        "ahha.zip": aes_zip_bytes(subject("ahha"), PASSWORD),
        "dannier.7z": seven_zip_bytes(subject("dannier"), PASSWORD),
        "zhuna2.tar.gz": tar_bytes(subject("zhuna2")),
    }
    (root / TRAIN).mkdir()
    (root / TRAIN / "genebody_split.npy").write_bytes(b"split")
    if inside:
        (root / "archives/GeneBody.tar.gz").write_bytes(release(archives))
    for name, data in {} if inside else archives.items():
        (root / "archives" / TRAIN / name).write_bytes(data)
    with pytest.raises(WorkError, match="POSEPILE_GENEBODY_PASSWORD"):
        download(root)
    monkeypatch.setenv("POSEPILE_GENEBODY_PASSWORD", "another one")
    with pytest.raises(WorkError, match="the password is wrong for it") as e:
        download(root)
    assert "another one" not in str(e.value) and "delete" not in str(e.value)
    monkeypatch.setenv("POSEPILE_GENEBODY_PASSWORD", PASSWORD)
    _, told = download(root)
    assert expected(TRAIN, SUBJECTS).items() <= tree(root).items()
    records = [p.read_text() for p in root.rglob("*.json")]
    assert records and PASSWORD not in told + json.dumps(records)


@pytest.mark.usefixtures("no_accounts")
def test_the_password_is_not_asked_for_where_nothing_is_encrypted(root, monkeypatch):
    """Neither beforehand at a terminal nor later."""

    class Terminal:
        def isatty(self):
            return True

    monkeypatch.setattr("sys.stdin", Terminal())
    asked = []
    monkeypatch.setattr("getpass.getpass", lambda prompt="": asked.append(prompt) or PASSWORD)
    (root / TRAIN).mkdir()
    (root / TRAIN / "genebody_split.npy").write_bytes(b"split")
    folder = root / "archives" / TRAIN
    (folder / "ahha.tar.gz").write_bytes(tar_bytes(subject("ahha")))
    download(root)
    assert asked == []
    (folder / "dannier.zip").write_bytes(aes_zip_bytes(subject("dannier"), PASSWORD))
    (root / TRAIN / "ahha/annots.npy").unlink()  # or the performers count as provided
    download(root)
    assert len(asked) == 1 and expected(TRAIN, SUBJECTS[:2]).items() <= tree(root).items()
