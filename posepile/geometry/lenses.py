"""Distortion models by the names of their coefficients."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from posepile.errors import CorruptInput

if TYPE_CHECKING:
    import deltacamera

OPENCV_ORDER = "k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4 tau_x tau_y".split()
FISHEYE_ORDER = "k1 k2 k3 k4".split()
LENSES = ("brown_conrady", "kannala_brandt", "half_tangential")

# What is done with every model that is made, before anybody computes with it: worker processes
# have it compiled once for all of them.
BEFORE_USE: list[Callable[[deltacamera.LensDistortionModel], None]] = []


def make_lens(
    where: str | os.PathLike,
    coefficients: np.ndarray | None,
    order: str | None = None,
    lens: str = "brown_conrady",
) -> deltacamera.LensDistortionModel | None:
    """Returns a distortion model; None where there are no coefficients or all are zero.

    Args:
        where: File and camera, for messages.
        coefficients: Numbers, as one row or column, or None.
        order: Their names, separated by spaces, e.g. ``k1 k2 k3 p1 p2``; coefficients that are not
            named are zero. Default: the first ones of OpenCV's order, so four are k1 k2 p1 p2.
        lens: ``brown_conrady`` (OpenCV's model), ``kannala_brandt`` (its fisheye model), or
            ``half_tangential``: x (1 + k1 r² + k2 r⁴ + k3 r⁶ + p1 y + p2 x) + p2 r², and so for y
            with p1. OpenCV's has twice the terms p1 y + p2 x there.
    """
    if lens not in LENSES:
        raise ValueError(f"lens {lens!r}; known: {', '.join(LENSES)}")
    if coefficients is None:
        return None
    slots = FISHEYE_ORDER if lens == "kannala_brandt" else OPENCV_ORDER
    try:
        given = np.asarray(coefficients, np.float64)
    except (TypeError, ValueError):
        text = " ".join(repr(coefficients).split())[:60]
        raise CorruptInput(where, f"distortion is {text}; expected numbers") from None
    if sum(n > 1 for n in given.shape) > 1:
        raise CorruptInput(
            where, f"distortion of shape {given.shape}; expected one row of numbers"
        )
    given = given.ravel()
    names = slots[: len(given)] if order is None else order.split()
    unknown = set(names) - set(slots)
    if unknown:
        raise ValueError(f"distortion coefficient {min(unknown)}; known: {' '.join(slots)}")
    if len(names) != len(given):
        expected = f"at most {len(slots)}" if order is None else f"{len(names)} ({order})"
        raise CorruptInput(where, f"{len(given)} distortion coefficients; expected {expected}")
    if not np.isfinite(given).all():
        raise CorruptInput(where, f"distortion is {given.tolist()}; expected finite numbers")
    value = np.zeros(len(slots))
    value[[slots.index(name) for name in names]] = given
    if not value.any():
        return None
    import deltacamera

    if lens == "kannala_brandt":
        return _made(deltacamera.FisheyeKannalaBrandt(value))
    if lens == "half_tangential":
        # OpenCV's prism terms s1 r² and s3 r² give back what half of p1 and p2 lack
        if value[5:].any():
            raise ValueError("half_tangential has the coefficients k1 k2 k3 p1 p2 only")
        p1, p2 = value[2:4] / 2
        value[2], value[3], value[8], value[10] = p1, p2, p2, p1
        return _made(deltacamera.BrownConradyEx(value[:12]))
    used = 1 + max(slots.index(name) for name in names)
    n = next(n for n in (5, 8, 12, 14) if n >= used)
    return _made(deltacamera.BrownConradyEx(value[:n]))


def _made(model: deltacamera.LensDistortionModel) -> deltacamera.LensDistortionModel:
    for prepare in BEFORE_USE:
        prepare(model)
    return model


def mirror_lens(
    model: deltacamera.LensDistortionModel | None,
) -> deltacamera.LensDistortionModel | None:
    """Returns the lens of pictures turned left for right."""
    import deltacamera

    if not isinstance(model, deltacamera.BrownConradyEx):
        return model  # none, or radial only
    unit = np.eye(3, dtype=np.float32)
    _, _, coefficients = model.transform_for_hflip(unit, unit, model.coeffs, (1, 1))
    return deltacamera.BrownConradyEx(coefficients)
