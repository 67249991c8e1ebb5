"""Files as OpenCV writes them: storage in YAML, pictures as PGM and PPM."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from posepile.miniature.writers import write_text


def write_opencv_yaml(path: Path, nodes: Mapping[str, Any]) -> None:
    """Writes numbers, matrices and nested nodes as older OpenCV does, in YAML of version 1.0.

    >>> write_opencv_yaml(folder / "camcfg.yml", {"n": 1, "Camera_1": {"K": np.eye(3)}})
    >>> (folder / "camcfg.yml").read_text().splitlines()[:3]
    ['%YAML:1.0', 'n: 1', 'Camera_1:']

    Args:
        path: The file.
        nodes: Name -> number, array ``[n]`` (a row) or ``[rows, columns]``, or such a mapping.
    """
    file = cv2.FileStorage(".yml", cv2.FILE_STORAGE_WRITE | cv2.FILE_STORAGE_MEMORY)

    def put(content: Mapping[str, Any]) -> None:
        for name, value in content.items():
            if isinstance(value, Mapping):
                file.startWriteStruct(name, cv2.FileNode_MAP)
                put(value)
                file.endWriteStruct()
            else:
                is_number = isinstance(value, int | float)
                file.write(name, value if is_number else np.array(value, float, ndmin=2))

    put(nodes)
    text = file.releaseAndGetString()
    write_text(path, "%YAML:1.0" + text[text.index("---") + 3 :])


def write_netpbm(path: Path, image: np.ndarray) -> None:
    r"""Writes grey ``[h, w]`` as binary PGM, RGB ``[h, w, 3]`` as PPM; uint8 or uint16.

    >>> write_netpbm(folder / "0.pgm", np.zeros((2, 3), np.uint8))
    >>> (folder / "0.pgm").read_bytes()[:11]
    b'P5\n3 2\n255\n'
    """
    h, w = image.shape[:2]
    head = f"P{5 if image.ndim == 2 else 6}\n{w} {h}\n{np.iinfo(image.dtype).max}\n"
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head.encode() + image.astype(image.dtype.newbyteorder(">")).tobytes())
