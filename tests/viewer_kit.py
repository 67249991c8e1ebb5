"""A dataset with views, several people in a picture and odd names, and a viewer that serves it."""

import contextlib
import dataclasses
import http.client
import json
import threading
from urllib.parse import urlencode

import archive_kit
import deltacamera
import numpy as np
import rlemasklib

from posepile.store import opening, packing, parts
from posepile.viewer.answers import Answers
from posepile.viewer.marks import Marks
from posepile.viewer.serving import make_server

NAMES = r"(?P<subject>[a-z]+)-(?P<motion>\d)-(?P<view>\d)"
ODD = (
    "toy_downscaled/odd/<img src=x onerror=alert(1)>.jpg",
    "toy_downscaled/odd/a #1 & 100%?.jpg",
    "toy_downscaled/odd/[1]*.jpg",
    "toy_downscaled/odd/\u202egpj.exe.jpg",
    "toy_downscaled/odd/\"'`${x}.jpg",
    "toy_downscaled/odd/日本 é.jpg",
)


MASK = {"size": [16, 24], "counts": rlemasklib.encode(np.eye(16, 24, dtype=np.uint8))["counts"]}


def pose(i):
    """Five joints that the cameras see, and none of the second."""
    points = [[200 * (j - 2) + i, 150 * (j * j % 5 - 2), 30_000 + 50 * j] for j in range(5)]
    points[1] = [np.nan] * 3
    return np.array(points, np.float32)


def camera(view):
    """One that looks ahead, or one beside it."""
    return deltacamera.Camera(
        optical_center=[100 * view, 0, 0],
        rot_world_to_cam=np.eye(3),
        intrinsic_matrix=[[500, 0, 12], [0, 500, 8], [0, 0, 1]],
        world_up=(0, -1, 0),
    )


def seen(i):
    """Fields of an example that is seen by the first camera, without mask."""
    return {"world_coords": pose(i), "camera": camera(0), "mask": None}


def make_dataset(root, n=20):
    """Two subjects before two cameras, a picture of two people, and pictures with odd names."""
    paths = []
    units = [(s, view) for s in ("anna", "bert") for view in (0, 1)]
    for unit, (subject, view) in enumerate(units):
        path = root / "toy_work" / "parts" / f"{unit:03d}.part"
        with parts.PartWriter(path) as writer:
            for i in range(n):
                record = archive_kit.record(
                    "toy",
                    "train",
                    unit,
                    i,
                    sequence=f"{subject}-1-{view}",
                    world_coords=pose(i),
                    camera=camera(view),
                    bbox=np.float32([2, 2, 12, 11]),
                    mask=MASK if i % 3 else None,
                )
                writer.add(record, archive_kit.jpeg(i))
        paths.append(path)
    path = root / "toy_work" / "parts" / "odd.part"
    with parts.PartWriter(path) as writer:
        image = archive_kit.jpeg(3)
        for person in (0, 1):
            record = archive_kit.record(
                "toy", "test", 9, 0, person=person, sequence="cara-2-0", **seen(person)
            )
            writer.add(record, image)
        for i, name in enumerate(ODD, 1):
            record = archive_kit.record(
                "toy", "test", 9, i, image_path=name, sequence="cara-2-0", **seen(i)
            )
            writer.add(record, archive_kit.jpeg(i))
    paths.append(path)
    spec = dataclasses.replace(archive_kit.spec(), sequence_names=NAMES)
    packing.pack(paths, root / "toy.barecat", spec, {"sources": []})
    return opening.open_dataset(root / "toy.barecat")


class Known:
    """Suspects that are known already.

    Args:
        found: Split -> (position, kind) worst first.
    """

    state, problem = "ready", ""
    KINDS = ("swapped_sides", "odd_bone")

    def __init__(self, found):
        self.found = found

    def start(self):
        """Does nothing."""

    stop = start

    def of_split(self, split):
        """Positions, numbers of kinds, names of kinds."""
        rows = self.found.get(split, ())
        positions = np.array([p for p, _ in rows], np.int32)
        return positions, np.array([self.KINDS.index(k) for _, k in rows], int), list(self.KINDS)

    def kinds(self, split):
        """Kinds that there are, with what they mean."""
        return {k: k for _, k in self.found.get(split, ())}

    def about(self, split, position):
        """What is odd about one example."""
        return [
            {"kind": k, "reason": f"{k}: 12 mm", "score": 2.0}
            for p, k in self.found.get(split, ())
            if p == position
        ]


FOUND = {
    "train": ((31, "odd_bone"), (4, "swapped_sides"), (31, "swapped_sides"), (70, "odd_bone"))
}


@contextlib.contextmanager
def serving(dataset, exclusions, name="toy", quality=None):
    """A server in a thread."""
    answers = Answers(name, dataset, Marks(exclusions), quality or Known(FOUND))
    server = make_server(answers, 0)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def request(server, method, path, body=None, **headers):
    """Status, headers and content of an answer; header names are written with underscores."""
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=20)
    try:
        host = headers.pop("Host", None)
        connection.putrequest(method, path, skip_host=host is not None)
        if host is not None:
            connection.putheader("Host", host)
        if body is not None:
            headers.setdefault("Content_Length", str(len(body)))
        for key, value in headers.items():
            connection.putheader(key.replace("_", "-"), value)
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def ask(server, what, expected=200, **query):
    """The value of an answer of the interface."""
    status, _, data = request(server, "GET", f"/api/{what}?{urlencode(query)}")
    assert status == expected, data
    return json.loads(data)
