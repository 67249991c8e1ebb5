"""An independent reader of our archives, written from the format document alone.

Run as a program, it opens an exported archive in a process that never imports posepile, and prints
one JSON line per example. It shares no code with the package.
"""

import json
import math
import sqlite3
import sys

import msgpack


class Archive:
    """SQLite index plus shard files."""

    def __init__(self, path):
        self.path = path
        self.db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)

    def names(self):
        """Returns the names of all entries."""
        return [row[0] for row in self.db.execute("SELECT path FROM files ORDER BY path")]

    def read(self, name):
        """Returns the bytes of an entry."""
        query = "SELECT shard, offset, size FROM files WHERE path = ?"
        shard, offset, size = self.db.execute(query, (name,)).fetchone()
        with open(f"{self.path}-shard-{shard:05d}", "rb") as f:
            f.seek(offset)
            return f.read(size)


def array(value):
    """A msgpack-numpy array as nested lists of Python numbers, decoded by hand."""
    import struct

    if not (isinstance(value, dict) and value.get(b"nd", value.get("nd"))):
        return value

    def get(key):
        return value.get(key.encode(), value.get(key))

    kind = get("type")
    kind = kind.decode() if isinstance(kind, bytes) else kind
    code = {"f2": "e", "f4": "f", "f8": "d", "u1": "B", "u2": "H", "i2": "h", "i4": "i", "u4": "I"}
    data = get("data")
    size = int(kind[2:])
    order = kind[0].replace("|", "<")
    flat = list(struct.unpack(f"{order}{len(data) // size}{code[kind[1:]]}", data))
    for n in reversed(get("shape")[1:]):
        flat = [flat[i : i + n] for i in range(0, len(flat), n)]
    return flat


def rotate(rotvec, p):
    """Rodrigues' formula."""
    angle = math.sqrt(sum(v * v for v in rotvec))
    if angle < 1e-12:
        return list(p)
    k = [v / angle for v in rotvec]
    cross = [k[1] * p[2] - k[2] * p[1], k[2] * p[0] - k[0] * p[2], k[0] * p[1] - k[1] * p[0]]
    dot = sum(a * b for a, b in zip(k, p, strict=True))
    c, s = math.cos(angle), math.sin(angle)
    return [p[i] * c + cross[i] * s + k[i] * dot * (1 - c) for i in range(3)]


def project(camera, point):
    """World millimetres to crop pixels; crops have no lens distortion."""
    loc, intr = array(camera["loc"]), array(camera["intr"])
    x = rotate(array(camera["rotvec_w2c"]), [p - c for p, c in zip(point, loc, strict=True)])
    return [sum(intr[r][c] * x[c] for c in range(3)) / x[2] for r in range(2)]


def main(annotations, images):
    """Prints a line for every example."""
    notes, pictures = Archive(annotations), Archive(images)
    meta = msgpack.unpackb(notes.read("metadata.msgpack"), strict_map_key=False)
    n_joints = len(meta["joint_names"])
    for name in notes.names():
        if name == "metadata.msgpack":
            continue
        split, _, rest = name.partition("/")
        image_path = rest.rpartition("_")[0]
        entry = msgpack.unpackb(notes.read(name), strict_map_key=False)
        image = pictures.read(image_path)
        points = [None] * n_joints
        if "joints3d" in entry:
            rows, which = array(entry["joints3d"]["rows"]), array(entry["joints3d"]["i_rows"])
            for j, row in zip(which or range(n_joints), rows, strict=True):
                points[j] = project(entry["cam"], row)
        if "joints2d" in entry:
            rows, which = array(entry["joints2d"]["rows"]), array(entry["joints2d"]["i_rows"])
            for j, row in zip(which or range(n_joints), rows, strict=True):
                points[j] = list(row)
        line = {
            "split": split,
            "image_path": image_path,
            "impath": entry["impath"],
            "jpeg": image[:2].hex() + image[-2:].hex(),
            "bbox": array(entry["bbox"]),
            "points": points,
        }
        print(json.dumps(line))


if __name__ == "__main__":
    main(*sys.argv[1:])
