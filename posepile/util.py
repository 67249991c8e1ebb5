"""Small things that several modules and consumers share."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

TRAIN, VALID, TEST = 0, 1, 2
SPLIT_NAMES = {TRAIN: "train", VALID: "val", TEST: "test"}


def get_cached_reader(path: str | os.PathLike, auto_codec: bool = True) -> Any:
    """Returns the reader of a Barecat archive, opened once per process.

    Args:
        path: The archive; relative paths are below ``DATA_ROOT``.
        auto_codec: Decode entries by their extension (``.msgpack``, ``.jpg``, ``.json``).

    Returns:
        A read-only mapping from key to value, safe to use from several threads and after a fork.
    """
    from posepile.store import archive

    reader = archive.open_archive(path)
    return reader.decoded() if auto_codec else reader


def decode_image(data: bytes | np.ndarray, name: str = "image") -> np.ndarray:
    """Decodes a JPEG (or whatever OpenCV reads) to RGB uint8 ``[h, w, 3]``.

    Raises:
        CorruptInput: The bytes are not an image.
    """
    data = bytes(data)
    if data[:2] == b"\xff\xd8":
        import simplejpeg

        try:
            return simplejpeg.decode_jpeg(data, "RGB")
        except ValueError as e:
            from posepile.errors import CorruptInput

            raise CorruptInput(name, f"JPEG of {len(data)} bytes cannot be decoded: {e}") from e
    import cv2

    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if image is None:
        from posepile.errors import CorruptInput

        raise CorruptInput(name, f"found {len(data)} bytes that are no image, expected a JPEG")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def read_image(source: str | os.PathLike | np.ndarray) -> np.ndarray:
    """Reads an image in any of the forms that ``image_path`` of an example may take.

    Args:
        source: Path (relative ones below ``DATA_ROOT``), 1-D uint8 array with the bytes of an
            image file, or an image, which is returned as it is.

    Returns:
        RGB uint8 ``[h, w, 3]``.
    """
    if isinstance(source, np.ndarray):
        return decode_image(source) if source.ndim == 1 else source
    from posepile import paths

    path = paths.ensure_absolute(source)
    return decode_image(path.read_bytes(), str(path))
