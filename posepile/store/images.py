"""Decoding images in the forms that examples name them."""

from __future__ import annotations

import os

import numpy as np

from posepile import paths
from posepile.errors import CorruptInput
from posepile.files import open_regular
from posepile.imaging.declared import check_size, declared_size, decode_picture


def decode_image(data: bytes | np.ndarray, name: str = "image") -> np.ndarray:
    """Decodes a JPEG (or whatever OpenCV reads) to RGB uint8 ``[h, w, 3]``.

    Raises:
        CorruptInput: The bytes are not an image.
    """
    data = bytes(data)
    if data[:2] == b"\xff\xd8":
        import simplejpeg

        check_size(declared_size(data) or (0, 0), name)
        try:
            return simplejpeg.decode_jpeg(data, "RGB")
        except (ValueError, KeyError) as e:
            raise CorruptInput(name, f"JPEG of {len(data)} bytes cannot be decoded: {e}") from e
    import cv2

    image = decode_picture(data, name, flags=cv2.IMREAD_COLOR)
    if image is None:
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
    path = paths.ensure_absolute(source)
    with open_regular(path) as f:  # a pipe that a stranger's dataset names would wait for ever
        return decode_image(f.read(), str(path))
