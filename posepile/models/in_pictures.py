"""People that a detector finds in a folder of pictures, remembered so that it can go on later."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from posepile.errors import UsageError
from posepile.files import fingerprint, read_object, stable_hash, write_json
from posepile.formats.text_files import read_bytes
from posepile.imaging import jpeg
from posepile.models.detectors import load_detector
from posepile.models.identity import network_identity
from posepile.models.params import DetectParams

_SAVED_EVERY = 100  # pictures


def detect_in_pictures(
    pictures: Iterable[Path], params: DetectParams, memory: Path
) -> tuple[dict[str, list[list[float]]], dict[str, Any]]:
    """Returns the people found in JPEG pictures, and which network has found them.

    What was found before, in the same picture by the same network, is not looked for again.

    >>> class Nobody:
    ...     batch, label, sha256 = 1, "nobody@0123", "0123456789"
    ...     def __call__(self, images):
    ...         return [np.zeros((0, 5), np.float32) for _ in images]
    >>> from unittest import mock
    >>> _ = (folder / "a.jpg").write_bytes(jpeg.encode(np.zeros((64, 64, 3), np.uint8)))
    >>> with mock.patch("posepile.models.in_pictures.load_detector", lambda params: Nobody()):
    ...     found = detect_in_pictures([folder / "a.jpg"], DetectParams(), folder / "memory.json")
    >>> found
    ({'a.jpg': []}, {'detector': 'nobody', 'sha256': '0123456789', 'score': 0.5, 'nms': 0.45})

    Args:
        pictures: With different names.
        params: The detector and its thresholds.
        memory: File for what was found.

    Returns:
        Name of the picture -> x, y, width, height and score of each person; and what has found
        them: detector, checksum, thresholds.

    Raises:
        CorruptInput: A picture cannot be read.
        UsageError: No detector is named, or it cannot be run.
        WorkError: Its weights are not there.
    """
    import joblib

    detector = load_detector(params.model_copy(update={"threads": joblib.cpu_count()}))
    if detector is None:
        raise UsageError(
            "nothing says in which pictures people are: name a detector (detect.model)"
        )
    network = stable_hash([network_identity(params), detector.label])
    known = read_object(memory) or {}
    known = known.get("pictures", {}) if known.get("network") == network else {}
    seen = {path: fingerprint(path) for path in pictures}
    left = iter([p for p, digest in seen.items() if known.get(p.name, [None])[0] != digest])
    while some := list(itertools.islice(left, _SAVED_EVERY)):
        for start in range(0, len(some), detector.batch):
            batch = some[start : start + detector.batch]
            images = [jpeg.decode(read_bytes(path), name=path) for path in batch]
            for path, boxes in zip(batch, detector(images), strict=True):
                known[path.name] = [seen[path], np.round(boxes, 3).tolist()]
        write_json(memory, {"network": network, "label": detector.label, "pictures": known})
    found_by = {"detector": detector.label.partition("@")[0], "sha256": detector.sha256}
    found_by |= {"score": params.score, "nms": params.nms}
    return {path.name: known[path.name][1] for path in seen}, found_by
