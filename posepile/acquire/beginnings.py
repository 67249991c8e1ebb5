"""Whether what begins like this is the file that was asked for.

Login pages, notes about quotas and lists of errors come with a status of success. Where a format
begins in a certain way, that is demanded; elsewhere what looks like such an answer is refused.
"""

from __future__ import annotations

import json
import re
import zlib
from pathlib import Path, PurePosixPath

from posepile.acquire.addresses import told_by_server
from posepile.acquire.tars import BZIP2, GZIP, XZ, begins_as_tar

BEGINNING = 4096  # so many bytes are looked at

_ZIP = ((0, b"PK\x03\x04"), (0, b"PK\x05\x06"), (0, b"PK\x07\x08"))
# Names of videos and pictures are often those of another format, which their readers do not mind.
_BOXES = b"ftyp styp moov moof mdat free skip wide pnot sidx uuid junk pict".split()
_VIDEO = (*((4, box) for box in _BOXES), (0, b"\x1a\x45\xdf\xa3"), (0, b"RIFF"))
_PICTURE = ((0, b"\xff\xd8"), (0, b"\x89PNG\r\n\x1a\n"), (0, b"RIFF"), (0, b"GIF8"), (0, b"BM"))
_MAGIC: dict[str, tuple[tuple[int, bytes], ...]] = {
    ".zip": _ZIP,
    ".npz": _ZIP,
    ".gz": ((0, GZIP),),
    ".tgz": ((0, GZIP),),
    ".bz2": ((0, BZIP2),),
    ".xz": ((0, XZ),),
    ".7z": ((0, b"7z\xbc\xaf\x27\x1c"),),
    ".rar": ((0, b"Rar!"),),
    ".npy": ((0, b"\x93NUMPY"),),
    ".c3d": ((1, b"\x50"),),
    ".cdf": ((0, b"\xcd\xf3"), (0, b"\xcd\xf2"), (0, b"\x00\x00\xff\xff")),
    **dict.fromkeys(".mp4 .m4v .mov .mkv .webm .avi".split(), _VIDEO),
    **dict.fromkeys(".jpg .jpeg .png".split(), _PICTURE),
    ".exr": ((0, b"\x76\x2f\x31\x01"),),
    ".glb": ((0, b"glTF"),),
}
# A cut through these shows when they are read, by their own checksum or end mark.
SHOW_THEIR_END = frozenset((*".zip .npz .gz .tgz .bz2 .xz .7z .tar .npy".split(),))
_WEB = frozenset((".html", ".htm", ".xhtml"))
_BINARY = frozenset(
    ".bin .pkl .pickle .onnx .pth .pt .ckpt .safetensors .mat .h5 .hdf5 .vrs .parquet".split()
)
_TEXT = frozenset(
    ".csv .tsv .txt .json .jsonl .yaml .yml .md .md5 .sha256 .sha1 .bvh .obj .ini .toml".split()
)
# Each piece can match in one way alone, or an answer of many comments would be tried for ever.
_BEFORE = rb"(<\?xml[^>]*\?>|<!--(?:(?!-->).)*-->|\s)*"
_PAGE = re.compile(_BEFORE + rb"<(!doctype\s+html|html|head|body|script)\b", re.S)
_ERROR_XML = re.compile(_BEFORE + rb"<(errors?|listbucketresult|fault|exception)\b", re.S)
_COMPLAINT = re.compile(
    rb"(http |http/1\.[01] )?(error|access denied|forbidden|(file |page )?not found|rate limit|"
    rb"unauthori[sz]ed|quota|too many requests|bad request|service unavailable|"
    rb"(40[0-9]|429|50[0-9])\b)"
)
_POINTER = b"version https://git-lfs"
# Keys of what programs answer in place of data, and those of them that tell that it is wrong.
_TOLD = frozenset(
    "error errors message msg detail details code status statuscode status_code title type reason "
    "description error_description documentation_url request_id requestid timestamp path success "
    "instance host_id hostid resource ok fault".split()
)
_WRONG = frozenset("error errors message msg detail fault error_description".split())


def page_instead(
    name: str, head: bytes, *, whole: bool, kind: str = "", confirmed_later: bool = False
) -> str | None:
    """Returns what an answer is that comes in place of a file, None if it may be the file.

    >>> page_instead("a.csv", b"<?xml version='1.0'?><Error><Code>AccessDenied", whole=True)
    'an XML error'
    >>> page_instead("a.json", b'{"message": "Not Found"}', whole=True)
    'a JSON error'

    Args:
        name: Of the file that was asked for.
        head: How it begins, :data:`BEGINNING` bytes or more if it has so many.
        whole: Whether that is all.
        kind: Content-Type of the answer.
        confirmed_later: Whether a checksum will tell, so that mere likeness is no reason.
    """
    suffix = PurePosixPath(name).suffix.lower()
    text = _plain(head)
    if suffix in (".gz", ".tgz"):  # a page that was packed on the way begins as it should
        packed = _page(_plain(_inflated(head)), PurePosixPath(name).stem)
        if packed:
            return f"{packed} in gzip"
    if found := _page(text, name):
        return found
    if confirmed_later:
        return None
    if whole and (found := _complaint(text)):
        return found
    if "text/html" in kind.lower() and suffix not in _WEB and suffix not in _MAGIC:
        return "an HTML page"
    return None


def page_on_disk(path: Path) -> str | None:
    """Returns what a file is that a person has saved in place of data, None if it may be data."""
    with open(path, "rb") as f:
        head = f.read(BEGINNING)
    return page_instead(path.name, head, whole=len(head) < BEGINNING)


def format_fault(name: str, head: bytes) -> str | None:
    """Returns why something that begins so is no file of its name, None if nothing shows.

    >>> format_fault("a.zip", b"Sorry, no.")
    "no .zip file: it begins with b'Sorry, no.'"
    """
    suffix = PurePosixPath(name).suffix.lower()
    if not (suffix in _MAGIC or suffix in _TEXT or suffix == ".tar"):
        return None
    if suffix in _TEXT:
        fits = not head.startswith((GZIP, b"PK\x03\x04")) and b"\0" not in _plain(head)
        if suffix == ".json":
            fits &= not head or re.match(rb'\s*[{["0-9tfnN-]', _plain(head)) is not None
        if suffix in (".csv", ".tsv"):
            fits &= not _plain(head).lstrip().startswith((b"{", b"<"))
    elif suffix == ".tar":
        block = head[:512]
        is_empty_tar = len(block) == 512 and not block.strip(b"\0")
        fits = is_empty_tar or begins_as_tar(block)
    else:
        fits = any(head[at:].startswith(magic) for at, magic in _MAGIC[suffix])
    if fits:
        return None
    return f"no {suffix} file: it " + (f"begins with {head[:16]!r}" if head else "is empty")


def _page(text: bytes, name: str) -> str | None:
    suffix, small = PurePosixPath(name).suffix.lower(), text.lower()
    if text.startswith(_POINTER):
        return "a pointer of Git LFS"
    if suffix not in _WEB and _PAGE.match(small):
        return "an HTML page"
    if _ERROR_XML.match(small):
        return "an XML error"
    if suffix in _BINARY and text.lstrip().startswith(b"<") and _is_text(text):
        return "an XML file"
    return None


def _complaint(text: bytes) -> str | None:
    """What a short answer is that tells in JSON or in words that there is nothing to be had."""
    if text.lstrip().startswith(b"{") and _is_json_error(text):
        return "a JSON error"
    is_short = 0 < len(text) <= 300 and text.count(b"\n") <= 3 and _is_text(text)
    if is_short and _COMPLAINT.match(text.lower().lstrip()):
        return f"an error message ({told_by_server(text.decode('utf-8', 'replace'))[:60]})"
    return None


def _plain(head: bytes) -> bytes:
    """Text without the mark that tells its encoding, in one that keeps ASCII."""
    for mark, encoding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if head.startswith(mark):
            return head[2:].decode(encoding, "replace").encode()
    return head.removeprefix(b"\xef\xbb\xbf")


def _is_text(data: bytes) -> bool:
    return not re.search(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]", data[:512])


def _is_json_error(text: bytes) -> bool:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False
    keys = {str(k).lower() for k in value}
    return bool(keys & _WRONG) and keys <= _TOLD


def _inflated(head: bytes) -> bytes:
    try:
        return zlib.decompressobj(31).decompress(head, BEGINNING)
    except zlib.error:
        return b""
