"""Archives that are built byte by byte, for what no library would write."""

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zlib

END_OF_TAR = bytes(1024)
PACK = {
    "tar": lambda data: data,
    "tar.gz": lambda data: gzip.compress(data, mtime=0),
    "tar.bz2": bz2.compress,
    "tar.xz": lzma.compress,
}


def entry(name, content=b"", kind=tarfile.REGTYPE, *, size=None, link="", mode=0o644, pax=None):
    """Returns one member of a tar.

    Args:
        name: Its name; undecodable bytes as surrogates.
        content: Of a file.
        kind: Type flag.
        size: What the header says, if not the truth.
        link: Where it points to.
        mode: Permissions.
        pax: Extended headers.
    """
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode, info.size = kind, link, mode, len(content)
    form = tarfile.GNU_FORMAT
    if pax is not None:
        info.pax_headers, form = pax, tarfile.PAX_FORMAT
    head = info.tobuf(form, "utf-8", "surrogateescape")
    if size is not None:
        head = head[:-512] + with_size(head[-512:], size)
    return head + content + bytes(-len(content) % 512)


def with_size(block, size):
    """Returns a header block of a tar that announces a size, with the right checksum."""
    if 0 <= size < 8**11:
        field = b"%011o\0" % size
    else:  # in base 256
        field = bytes([0xFF if size < 0 else 0x80]) + size.to_bytes(11, "big", signed=size < 0)
    block = block[:124] + field + block[136:148] + b" " * 8 + block[156:]
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def tar(*entries, kind="tar"):
    """Returns a whole tar."""
    return PACK[kind](b"".join(entries) + END_OF_TAR)


def packed(data):
    """Returns data as the members of a zip have it."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflate.compress(data) + deflate.flush()


class Zip:
    """A zip whose local headers, directory and end record may say what they like."""

    def __init__(self):
        self.body, self.directory, self.count = b"", b"", 0

    def add(self, name, content=b"", *, method=8, mode=0, local=None, listed=None, at=None):
        """Adds a member.

        Args:
            name: As bytes or text.
            content: What is in it.
            method: 0 or 8; another is only claimed.
            mode: Unix type and permissions.
            local: What the local header says instead: name, method, flags, crc, packed, size.
            listed: What the directory says instead; also extra.
            at: Where the directory says that it begins; there is no local header then.
        """
        name = name.encode() if isinstance(name, str) else name
        data = packed(content) if method == 8 else content
        truth = {
            "name": name,
            "method": method,
            "flags": 0 if name.isascii() else 0x800,
            "crc": zlib.crc32(content),
            "packed": len(data),
            "size": len(content),
            "extra": b"",
        }
        offset = len(self.body) if at is None else at
        if at is None:
            self.body += b"PK\x03\x04" + _head(truth | (local or {})) + data
        says = truth | (listed or {})
        head = _head(says, b"", b"", struct.pack("<HHHII", 0, 0, 0, mode << 16, offset))
        tail = says["name"] + says["extra"]
        self.directory += b"PK\x01\x02" + struct.pack("<BB", 20, 3) + head + tail
        self.count += 1
        return self

    def bytes(self, comment=b"", **end):
        """Returns the whole; the end record may say another count, size or offset."""
        says = {"count": self.count, "size": len(self.directory), "offset": len(self.body)} | end
        return self.body + self.directory + end_record(comment=comment, **says)


def _head(says, name=None, extra=None, more=b""):
    name = says["name"] if name is None else name
    extra = says["extra"] if extra is None else extra
    fields = (20, says["flags"], says["method"], 0, 0x21, says["crc"], says["packed"])
    sizes = (says["size"], len(says["name"]), len(says["extra"]))
    return struct.pack("<HHHHHIIIHH", *fields, *sizes) + more + name + extra


def end_record(count, size, offset, comment=b""):
    """Returns the last record of a zip."""
    fields = (0, 0, count, count, size, offset, len(comment))
    return b"PK\x05\x06" + struct.pack("<4HIIH", *fields) + comment


def overlapping_zip(copies, size):
    """Returns a zip whose members are all packed in the same bytes, each within the one before."""
    kernel = packed(bytes(size))
    crc, name = zlib.crc32(bytes(size)), b"%03d"
    z = Zip()
    z.body = b"PK\x03\x04" + _head(
        {"name": name % 0, "method": 8, "flags": 0, "crc": crc, "packed": len(kernel)}
        | {"size": size, "extra": b""}
    )
    z.body += kernel
    for _ in range(copies):
        z.add(name % 0, at=0, listed={"crc": crc, "packed": len(kernel), "size": size})
    return z.bytes()


def lying_seven_zip(whole, old, new):
    """Returns a 7z with a list of members that was changed, and right checksums."""
    raw = bytearray(whole)
    size, offset = int.from_bytes(raw[20:28], "little"), int.from_bytes(raw[12:20], "little")
    head = bytes(raw[32 + offset : 32 + offset + size])
    if head.count(old) != 1 or len(old) != len(new):
        raise ValueError("what is to be changed does not stand in it once")
    head = head.replace(old, new)
    raw[32 + offset : 32 + offset + size] = head
    raw[28:32] = zlib.crc32(head).to_bytes(4, "little")
    raw[8:12] = zlib.crc32(bytes(raw[12:32])).to_bytes(4, "little")
    return bytes(raw)


def plain_seven_zip(files):
    """Returns a 7z whose list of members is not packed."""
    import py7zr

    out = io.BytesIO()
    with py7zr.SevenZipFile(out, "w") as z:
        z.set_encoded_header_mode(False)
        for name, content in files.items():
            z.writestr(content, name)
    return out.getvalue()
