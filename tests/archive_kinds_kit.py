"""Archives of many kinds for tests, those that no library writes by the format's description."""

import io
import struct
import tarfile
import zipfile

import py7zr
import pyzipper


def tar_bytes(files, mode="w:gz"):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def zip_bytes(files, method=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as z:
        for name, content in files.items():
            z.writestr(name, content)
    return out.getvalue()


def aes_zip_bytes(files, password):
    out = io.BytesIO()
    with pyzipper.AESZipFile(
        out, "w", compression=zipfile.ZIP_DEFLATED, encryption=pyzipper.WZ_AES
    ) as z:
        z.setpassword(password.encode())
        for name, content in files.items():
            z.writestr(name, content)
    return out.getvalue()


def seven_zip_bytes(files, password=None, *, hide_names=False):
    out = io.BytesIO()
    with py7zr.SevenZipFile(out, "w", password=password, header_encryption=hide_names) as z:
        for name, content in files.items():
            z.writestr(content, name)
    return out.getvalue()


def split_zip(archive, plain, piece, *, large=False):
    """Writes a zip as ``a.z01``, ..., ``a.zip``; if large, it ends like one over 4 GB."""
    with zipfile.ZipFile(io.BytesIO(plain)) as z:
        start, count = z.start_dir, len(z.infolist())
    marker = b"PK\x07\x08"
    body, directory = marker + plain[:start], bytearray(plain[start : plain.rindex(b"PK\x05\x06")])
    at = 0
    while at < len(directory):
        name, extra, comment = struct.unpack_from("<3H", directory, at + 28)
        offset = struct.unpack_from("<I", directory, at + 42)[0] + len(marker)
        struct.pack_into("<H", directory, at + 34, offset // piece)
        struct.pack_into("<I", directory, at + 42, offset % piece)
        at += 46 + name + extra + comment
    disk, offset, size = len(body) // piece, len(body) % piece, len(directory)
    whole = body + directory
    last = len(whole) // piece  # where the end records stand
    end = b""
    if large:
        record = struct.pack("<QHHII4Q", 44, 45, 45, last, disk, count, count, size, offset)
        end = b"PK\x06\x06" + record
        end += b"PK\x06\x07" + struct.pack("<IQI", last, len(whole) % piece, last + 1)
        size = offset = 0xFFFFFFFF
    end += b"PK\x05\x06" + struct.pack("<4HIIH", last, disk, count, count, size, offset, 0)
    parts = [archive.with_suffix(f".z{i + 1:02d}") for i in range(last)] + [archive]
    for i, part in enumerate(parts):
        part.write_bytes(whole[i * piece : (i + 1) * piece] + (end if part == archive else b""))
    return parts


def pieces(archive, content, size):
    """Cuts a file into ``a.zip.001``, ``a.zip.002``, ...; returns the first."""
    for i in range(0, len(content), size):
        part = archive.with_name(f"{archive.name}.{i // size + 1:03d}")
        part.write_bytes(content[i : i + size])
    return archive.with_name(f"{archive.name}.001")
