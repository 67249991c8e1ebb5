"""Pictures under the names that training code imports; RGB uint8 ``[h, w, 3]`` throughout."""

from __future__ import annotations

import functools
import os

import numpy as np

from posepile.errors import PosePileError
from posepile.files import open_regular
from posepile.imaging.declared import declared_size
from posepile.store.images import decode_image, read_image


def imread(path: str | bytes | os.PathLike, dst: np.ndarray | None = None) -> np.ndarray:
    """Reads an image file; relative paths are below ``DATA_ROOT``.

    Args:
        path: The file.
        dst: Array ``[h, w, 3]`` to write the image to, too.
    """
    image = read_image(os.fsdecode(path) if isinstance(path, bytes) else str(path))
    if dst is None:
        return image
    dst[...] = image
    return dst


def decode_jpeg(jpeg_bytes: bytes | np.ndarray) -> np.ndarray:
    """Decodes the bytes of a JPEG file."""
    return decode_image(jpeg_bytes)


def image_extents(filepath: str | os.PathLike) -> np.ndarray:
    """Returns width and height ``[2]`` of an image file, without decoding it where possible."""
    with open_regular(filepath) as f:
        data = f.read()
    width_height = declared_size(data)
    if width_height is None:
        height, width = decode_image(data, os.fspath(filepath)).shape[:2]
        width_height = (width, height)
    return np.array(width_height)


def is_image_readable(path: str | os.PathLike) -> bool:
    """Returns whether an image file can be decoded."""
    try:
        imread(path)
    except (PosePileError, OSError):
        return False
    return True


def resize_by_factor(im: np.ndarray, factor: float, interp: int | None = None) -> np.ndarray:
    """Returns a resized image: by areas where it shrinks, linearly where it grows.

    Args:
        im: The image.
        factor: On width and height, which are rounded.
        interp: Another interpolation of OpenCV.
    """
    import cv2

    size = [round(im.shape[1] * factor), round(im.shape[0] * factor)]
    if interp is None:
        interp = cv2.INTER_LINEAR if factor > 1 else cv2.INTER_AREA
    return cv2.resize(im, size, interpolation=interp)


def normalize01(im: np.ndarray, dst: np.ndarray | None = None) -> np.ndarray:
    """Returns an image as float32 from 0 to 1, in ``dst`` where that is given."""
    dst = np.empty(im.shape, np.float32) if dst is None else dst
    np.divide(im, np.float32(255), out=dst, casting="unsafe")
    return np.clip(dst, 0, 1, out=dst)


def adjust_gamma(image: np.ndarray, gamma: float, inplace: bool = False) -> np.ndarray:
    """Returns an image whose values, from 0 to 1, are raised to a power.

    Args:
        image: uint8.
        gamma: The power; below 1 the image becomes brighter.
        inplace: Change the image itself.
    """
    changed = _powers(gamma)[image]
    if not inplace:
        return changed
    image[...] = changed
    return image


@functools.lru_cache(maxsize=128)  # gamma is drawn anew for each picture
def _powers(gamma):
    return (np.linspace(0, 1, 256) ** gamma * 255).astype(np.uint8)


def blend_image(im1: np.ndarray, im2: np.ndarray, im2_weight: np.ndarray) -> np.ndarray:
    """Returns the mean of two images, with the weight of the second for each pixel."""
    weight = np.asarray(im2_weight, np.float32)
    if weight.ndim == im1.ndim - 1:
        weight = weight[..., None]
    blended = im1.astype(np.float32) * (1 - weight) + im2.astype(np.float32) * weight
    return blended.astype(im1.dtype)


def paste_over(
    im_src: np.ndarray,
    im_dst: np.ndarray,
    alpha: np.ndarray,
    center: np.ndarray,
    inplace: bool = False,
) -> np.ndarray:
    """Returns an image with another one pasted onto it, of which parts may lie outside.

    Args:
        im_src: What is pasted, ``[h, w, 3]``.
        im_dst: What it is pasted onto.
        alpha: ``[h, w]``, 0 where nothing of it is to be seen, 1 where only it.
        center: Pixel x, y of ``im_dst`` where its middle goes; rounded.
        inplace: Change ``im_dst`` itself.
    """
    result = im_dst if inplace else im_dst.copy()
    size = np.array(im_src.shape[1::-1])
    start = np.round(np.asarray(center, np.float32)).astype(int) - size // 2
    first = np.clip(start, 0, im_dst.shape[1::-1])
    end = np.clip(start + size, 0, im_dst.shape[1::-1])
    there, here = (
        tuple(slice(i, j) for i, j in zip(a[::-1], b[::-1], strict=True))
        for a, b in ((first, end), (first - start, end - start))
    )
    weight = alpha[here][..., None]
    result[there] = (weight * im_src[here] + (1 - weight) * result[there]).astype(np.uint8)
    return result
