"""Archives as downloads bring them: judged by doctor, extracted."""

from __future__ import annotations

import bz2
import io
import lzma
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import archive_kinds_kit as kit

from fuzzing import mutators_archives as containers
from fuzzing.target import Target
from posepile.acquire.archives import is_encrypted
from posepile.acquire.credentials import Secret
from posepile.acquire.extract import extract_archive
from posepile.acquire.joined import is_archive_name, stored_bytes
from posepile.acquire.media import content_fault
from posepile.acquire.sources import Extract
from posepile.acquire.zips import zip_fault
from posepile.errors import PosePileError, UsageError

FILES = {
    "a/b.txt": b"hello " * 200,
    "a/c.bin": bytes(range(256)) * 8,
    "d.json": b'{"x": [1, 2, 3]}',
    "e/f/g.txt": b"",
}


def extract(archive: Path, out: Path) -> list[str]:
    """Does with an archive what doctor and download do; returns what is extracted.

    Raises:
        RuntimeError: Something is left although it was refused.
    """
    first = archive
    if archive.is_dir():
        first = next(p for p in sorted(archive.iterdir()) if is_archive_name(p.name))
    said = content_fault(first, deep=True)
    if first.suffix == ".zip":
        said = zip_fault(first, contents=True)
    if said is not None and ("\n" in said):
        raise RuntimeError(f"many lines: {said}")
    is_encrypted(first)
    params = Extract(inner=["in/*.zip", "in/*.tgz"])
    if "inner" not in first.name:
        params = Extract()
    try:
        found = extract_archive(first, out, params, password=Secret("secret"))
    except UsageError:
        raise  # with the right password it goes on with what is staged
    except PosePileError:
        left = [p for p in out.rglob("*") if p.is_file()]
        if left:
            raise RuntimeError(f"left over: {left}") from None
        raise
    there = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    wrong = {p for p in there if not p.startswith(".posepile/")} ^ set(found.files)
    if wrong or any(p.is_symlink() for p in out.rglob("*")):
        raise RuntimeError(f"not what was reported: {sorted(wrong)}")
    if max(map(len, found.skipped), default=0) and "\n" in "".join(found.skipped):
        raise RuntimeError("many lines")
    return [str(stored_bytes(first)), *found.files]


def _zips(folder: Path) -> Sequence[Path]:
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        for name, content in FILES.items():
            z.writestr(name, content)
        z.writestr(link, "d.json")
        z.writestr("folder/", b"")
    contents = {
        "links.zip": out.getvalue(),
        "deflated.zip": kit.zip_bytes(FILES),
        "bzip2.zip": kit.zip_bytes(FILES, zipfile.ZIP_BZIP2),
        "lzma.zip": kit.zip_bytes(FILES, zipfile.ZIP_LZMA),
        "aes.zip": kit.aes_zip_bytes(FILES, "secret"),
        "inner.zip": kit.zip_bytes(
            {"in/x.zip": kit.zip_bytes(FILES), "in/y.tgz": kit.tar_bytes({"t/u": b"u"})}
        ),
    }
    return _written(folder, contents)


def _tars(folder: Path) -> Sequence[Path]:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in {**FILES, "n/" + "long" * 40: b"long"}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for name, kind, to in (
            ("hard", tarfile.LNKTYPE, "d.json"),
            ("a/soft", tarfile.SYMTYPE, "b.txt"),
            ("folder", tarfile.DIRTYPE, ""),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, to
            tar.addfile(info)
    plain = out.getvalue()
    contents = {
        "plain.tar": plain,
        "pax.tar": kit.tar_bytes({**FILES, "ü" * 80: b"x"}, "w"),
        "packed.tar.gz": kit.tar_bytes(FILES),
        "packed.tar.bz2": bz2.compress(plain),
        "packed.tar.xz": lzma.compress(plain),
    }
    return _written(folder, contents)


def _seven_zips(folder: Path) -> Sequence[Path]:
    import py7zr

    contents = {
        "packed.7z": kit.seven_zip_bytes(FILES),
        "encrypted.7z": kit.seven_zip_bytes(FILES, "secret"),
        "hidden.7z": kit.seven_zip_bytes(FILES, "secret", hide_names=True),
    }
    out = io.BytesIO()
    with py7zr.SevenZipFile(out, "w") as z:
        z.set_encoded_header_mode(False)
        for name, content in FILES.items():
            z.writestr(content, name)
    for number in range(5):  # its list of members is plain, so that most changes reach the reader
        contents[f"plain{number}.7z"] = out.getvalue()
    return _written(folder, contents)


def _joined(folder: Path) -> Sequence[Path]:
    plain = kit.zip_bytes({**FILES, "big.bin": bytes(range(256)) * 20}, zipfile.ZIP_STORED)
    for name in ("split", "large", "pieces", "pieces7"):
        (folder / name).mkdir(parents=True)
    kit.split_zip(folder / "split" / "a.zip", plain, 2000)
    kit.split_zip(folder / "large" / "a.zip", plain, 2000, large=True)
    kit.pieces(folder / "pieces" / "a.zip", plain, 2000)
    kit.pieces(folder / "pieces7" / "a.7z", kit.seven_zip_bytes(FILES), 300)
    return sorted(p for p in folder.iterdir() if p.is_dir())


def _written(folder: Path, contents: dict[str, bytes]) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in contents]


TARGETS = [
    Target("zip", _zips, extract, containers.ZIP),
    Target("tar", _tars, extract, containers.TAR),
    Target("7z", _seven_zips, extract, containers.SEVEN_ZIP),
    Target("joined", _joined, extract, (containers.zip_field, *containers.BYTES)),
]
