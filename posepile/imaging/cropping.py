"""Crops: where a person's virtual camera looks, and what it sees.

:func:`plan_crop` is pure geometry; :func:`render`, :func:`warp_mask`, :func:`valid_polygon` and
:func:`transform_points` carry pixels, masks, the picture's outline and points into the crop that
was planned.

The virtual camera stands where the source camera stands, looks at the centre of the person's box,
is upright with respect to ``world_up``, has square pixels and no lens distortion. Scale and region
follow the reference implementation: the longer side of the reprojected box becomes 1.5 x 256
pixels (but no enlargement beyond 1.2), and the region around it is large enough for rotation by
up to 30 degrees, shift and zoom in training. Sizes are rounded down to whole pixels around the
centre of the region, never the scale, so that a crop never sticks out of the picture by rounding.

Pixel centres are at integers: a picture ``w`` pixels wide reaches from -0.5 to ``w - 0.5``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from posepile.errors import WorkError
from posepile.imaging import rays

if TYPE_CHECKING:
    import deltacamera

    from posepile.imaging import warp
    from posepile.imaging.frames import Frame

_GRID_ERROR = 0.02  # crop pixels: how far the interpolated map may be off


class CropParams(BaseModel):
    """Parameters of cropping; the defaults are those of the reference implementation.

    Attributes:
        jpeg_quality: Of the stored crops.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    target: float = Field(256, gt=0, description="Person size that training will use, pixels")
    margin: float = Field(1.5, gt=0, description="Stored resolution over training resolution")
    max_scale: float = Field(1.2, gt=0, description="No crop is enlarged by more than this")
    rotation: float = Field(
        30, ge=0, le=45, description="Later rotation to make room for, degrees"
    )
    enlarge: float = Field(1.1 / 0.85**2, ge=1, description="Room for later shift and zoom-out")
    jpeg_quality: int = Field(95, ge=1, le=100)
    extreme_perspective: bool = Field(
        False, description="Do not clip the region to the reprojected picture"
    )
    min_box: float = Field(0, ge=0, description="Boxes with a shorter side than this are refused")


class CannotCrop(WorkError):
    """A box that has no crop; the text is the reason under which it is counted."""


@dataclass(frozen=True)
class CropPlan:
    """Geometry of one crop.

    Attributes:
        camera: The crop's camera; None where the source has none.
        size: Width and height in pixels.
        bbox: The person's box in crop pixels, float32 ``[4]``; not clipped, so it may reach
            beyond the crop.
        scale: Crop pixels per source pixel, at the box centre.
        offset: Where source pixel (0, 0) lies in the crop; used where there is no camera:
            ``x_crop = scale * x_source + offset``.
        image_size: Width and height of the source picture.
    """

    camera: deltacamera.Camera | None
    size: tuple[int, int]
    bbox: np.ndarray
    scale: float
    offset: tuple[float, float]
    image_size: tuple[int, int]


def plan_crop(
    camera: deltacamera.Camera | None,
    bbox: np.ndarray,
    image_size: tuple[int, int],
    params: CropParams | None = None,
) -> CropPlan:
    """Decides the crop of one person.

    Args:
        camera: The source camera; None scales and cuts only.
        bbox: x, y, width, height in source pixels.
        image_size: Width and height of the source picture.
        params: Default: the reference implementation's.

    Raises:
        CannotCrop: No crop is possible, with the reason.
    """
    params = params or CropParams()
    bbox = np.asarray(bbox, np.float64)
    if not np.all(np.isfinite(bbox)):
        raise CannotCrop("box is not finite")
    if not (bbox[2] > 0 and bbox[3] > 0):
        raise CannotCrop("box is empty")
    if min(bbox[2:]) < params.min_box:
        raise CannotCrop(f"box smaller than crop.min_box = {params.min_box:g} px")
    if np.any(bbox[:2] > np.array(image_size) - 0.5) or np.any(bbox[:2] + bbox[2:] < -0.5):
        raise CannotCrop("box outside the image")
    if camera is None:
        # p = x + 0.5, so that the picture reaches from 0 to its width
        box = np.array([bbox[0] + 0.5, bbox[1] + 0.5, bbox[2], bbox[3]])
        outline = np.array([[0, 0], [image_size[0], image_size[1]]], np.float64)
    else:
        rotation, focal = _look_at(camera, bbox)
        box = _reproject_box(camera, bbox, image_size, rotation) * focal
        outline = rays.outline_seen(camera, image_size, rotation) * focal

    scale = min(params.max_scale, params.margin * params.target / max(box[2:]))
    region = _region(box, params)
    if not params.extreme_perspective:
        if len(outline) == 0:
            raise CannotCrop("box outside the image")
        low = np.maximum(region[:2], outline.min(axis=0))
        high = np.minimum(region[:2] + region[2:], outline.max(axis=0))
        if np.any(high <= low):
            raise CannotCrop("box outside the image")
        region = np.concatenate([low, high - low])

    size = np.maximum(np.floor(region[2:] * scale + 1e-4), 1)
    start = region[:2] + region[2:] / 2 - size / scale / 2
    plan_box = np.concatenate([(box[:2] - start) * scale - 0.5, box[2:] * scale])
    plan_camera = None
    shift = (0.5 - start) * scale - 0.5
    if camera is not None:
        k = scale * focal
        cx, cy = -start * scale - 0.5
        plan_camera = camera.copy(
            intrinsic_matrix=np.array([[k, 0, cx], [0, k, cy], [0, 0, 1]], np.float32),
            rot_world_to_cam=rotation @ np.asarray(camera.R, np.float64),
            distortion_model=None,
            image_shape=(int(size[1]), int(size[0])),
        )
    return CropPlan(
        camera=plan_camera,
        size=(int(size[0]), int(size[1])),
        bbox=plan_box.astype(np.float32),
        scale=float(scale),
        offset=(float(shift[0]), float(shift[1])),
        image_size=(int(image_size[0]), int(image_size[1])),
    )


def render(frame: Frame, camera: deltacamera.Camera | None, plan: CropPlan) -> np.ndarray:
    """The crop, uint8 RGB ``[h, w, 3]``; black where the source picture does not reach."""
    return next(render_many(frame, camera, [plan]))[..., :3]


def render_many(
    frame: Frame, camera: deltacamera.Camera | None, plans: list[CropPlan]
) -> Iterator[np.ndarray]:
    """All crops of one frame, from one decode at the largest scale that any of them needs.

    Yields:
        uint8 ``[h, w, 4]``: RGB and an unused channel, as ``jpeg.encode`` takes it. One at a time,
        because to keep them all costs more in fresh memory than to draw them.
    """
    views = [_view(camera, plan, frame.size) for plan in plans]
    levels = [view.levels() for view in views]
    frame.expect(min((n[0] for n in levels if n), default=0))
    for plan, view, needed in zip(plans, views, levels, strict=True):
        crop = np.zeros((plan.size[1], plan.size[0], 4), np.uint8)
        for level in needed:
            frame.draw(view, level, crop)
        yield crop


def warp_mask(rle: dict, camera: deltacamera.Camera | None, plan: CropPlan) -> dict:
    """A mask in source pixels, seen by the crop.

    Args:
        rle: RLE dict, compressed or not, of the source picture's size.
        camera: The source camera or None.
        plan: The crop.

    Returns:
        RLE dict ``{'size': [h, w], 'counts': bytes}`` in crop pixels.

    Raises:
        WorkError: The mask has another size than the picture.
    """
    from rlemasklib import RLEMask

    w, h = plan.image_size
    if tuple(rle["size"]) != (h, w):
        raise WorkError(
            f"mask of {rle['size'][1]}x{rle['size'][0]} pixels for a picture of {w}x{h}: "
            "check the reader of the masks"
        )
    mask = RLEMask.from_dict(rle)
    shape = (plan.size[1], plan.size[0])
    if camera is None:
        s, (x, y) = plan.scale, plan.offset
        warped = mask.warp_affine(np.array([[s, 0, x], [0, s, y]]), shape)
    else:
        import deltacamera

        warped = deltacamera.reproject_rle_mask(
            mask, camera.copy(image_shape=(h, w)), plan.camera, warp_in_rle=True
        )
    return warped.to_dict()


def valid_polygon(
    camera: deltacamera.Camera | None, image_size: tuple[int, int], plan: CropPlan
) -> np.ndarray:
    """Outline of the part of the crop that the source picture covers.

    Returns:
        float32 ``[K, 2]`` vertices in crop pixels, within -0.5 to size - 0.5; ``K = 0`` where all
        of the crop is covered.
    """
    if camera is None:
        corners = np.array([[-0.5, -0.5], [1, -0.5], [1, 1], [-0.5, 1]], np.float64)
        w, h = image_size
        corners = np.where(corners > 0, np.array([w, h]) - 0.5, corners)
        outline = corners * plan.scale + plan.offset
    else:
        rotation = np.asarray(plan.camera.R, np.float64) @ np.asarray(camera.R, np.float64).T
        k = np.asarray(plan.camera.intrinsic_matrix, np.float64)
        outline = rays.outline_seen(camera, image_size, rotation) * k[0, 0] + k[:2, 2]
    w, h = plan.size
    if _covers(outline, w, h):
        return np.zeros((0, 2), np.float32)
    for axis, bound, side in ((0, -0.5, 1), (0, w - 0.5, -1), (1, -0.5, 1), (1, h - 0.5, -1)):
        outline = rays.clip(outline, side * (outline[:, axis] - bound))
    if len(outline) < 3:
        # Nothing of the picture is seen: a polygon without area, as distinct from "all valid"
        return np.full((3, 2), -0.5, np.float32)
    if _area(outline) > w * h - 0.25 * min(w, h):
        return np.zeros((0, 2), np.float32)
    return _simplify(outline).astype(np.float32)


def transform_points(
    points: np.ndarray, camera: deltacamera.Camera | None, plan: CropPlan
) -> np.ndarray:
    """Points ``[..., 2]`` from source pixels to crop pixels, float32; NaN stays NaN.

    Points that the virtual camera has behind it become NaN.
    """
    with np.errstate(over="ignore"):  # becomes infinite
        points = np.asarray(points, np.float32)
    if camera is None:
        return (points * plan.scale + plan.offset).astype(np.float32)
    flat = points.reshape(-1, 2)
    out = np.full(flat.shape, np.nan, np.float32)
    known = np.isfinite(flat).all(axis=1)
    if known.any():
        directions = rays.of_pixels(camera, flat[known])
        rotation = np.asarray(plan.camera.R, np.float64) @ np.asarray(camera.R, np.float64).T
        k = np.asarray(plan.camera.intrinsic_matrix, np.float64)
        out[known] = rays.project(directions @ rotation.T) * k[0, 0] + k[:2, 2]
    return out.reshape(points.shape)


def _view(camera, plan: CropPlan, image_size: tuple[int, int]) -> warp.View:
    """The map from crop to source pixels, on a grid as coarse as its curvature allows."""
    from posepile.imaging import warp

    stride = 16
    while True:
        view = warp.survey(_coarse_grid(camera, plan, stride), stride, image_size)
        if stride == 1:
            return view
        if not view.finite:
            stride = 1  # the lens model or the front half-space ends somewhere in the crop
            continue
        # Bilinear interpolation is off by at most an eighth of the second difference, which
        # shrinks with the square of the spacing
        allowed = 8 * _GRID_ERROR * max(view.step, 0.1)
        if view.bend <= allowed:
            return view
        finer = stride * math.sqrt(allowed / view.bend)
        stride = max(1, min(stride // 2, 1 << math.floor(math.log2(max(finer, 1)))))


def _coarse_grid(camera, plan: CropPlan, stride: int) -> np.ndarray:
    """Source positions of every ``stride``-th crop pixel and the next ones beyond the border.

    Returns:
        float64 ``[gh, gw, 2]``; NaN where the source cannot see.
    """
    w, h = plan.size
    xs = np.arange(max(-(-w // stride), 2) + 1)[None] * float(stride)
    ys = np.arange(max(-(-h // stride), 2) + 1)[:, None] * float(stride)
    if camera is None:
        return np.stack(
            np.broadcast_arrays((xs - plan.offset[0]) / plan.scale,
                                (ys - plan.offset[1]) / plan.scale), axis=-1
        )  # fmt: skip
    k = np.asarray(plan.camera.intrinsic_matrix, np.float64)
    turn = np.asarray(camera.R, np.float64) @ np.asarray(plan.camera.R, np.float64).T
    to_ray = turn @ np.array(
        [[1 / k[0, 0], 0, -k[0, 2] / k[0, 0]], [0, 1 / k[0, 0], -k[1, 2] / k[0, 0]], [0, 0, 1]]
    )
    x, y, z = (m[0] * xs + (m[1] * ys + m[2]) for m in to_ray)
    behind = z <= rays.NEAR * np.sqrt(x * x + y * y + z * z)
    if behind.any():
        z[behind] = np.nan
    normalized = np.stack([x / z, y / z], axis=-1)
    if not camera.has_distortion():
        source = np.asarray(camera.intrinsic_matrix, np.float64)
        return normalized @ source[:2, :2].T + source[:2, 2]
    grid = np.full(normalized.shape, np.nan)
    known = ~behind
    grid[known] = camera.camera_to_image(normalized[known].astype(np.float32))
    return grid


def _look_at(camera, bbox: np.ndarray) -> tuple[np.ndarray, float]:
    """Rotation from source to virtual camera, and the focal length at scale 1."""
    ray = rays.of_pixels(camera, (bbox[:2] + bbox[2:] / 2)[None])[0]
    if not np.all(np.isfinite(ray)):
        raise CannotCrop("box centre outside what the lens model can see")
    to_camera = np.asarray(camera.R, np.float64)
    forward = to_camera.T @ ray
    forward /= np.linalg.norm(forward)
    right = _cross(forward, np.asarray(camera.world_up, np.float64))
    if np.linalg.norm(right) < 1e-3:
        # Looking straight up or down: upright has no meaning, keep the source's horizontal
        right = to_camera[0] - forward * (to_camera[0] @ forward)
    right /= np.linalg.norm(right)
    world_to_virtual = np.stack([right, _cross(forward, right), forward])
    intrinsics = np.asarray(camera.intrinsic_matrix, np.float64)
    # What is stored is float32; plan with what is stored
    world_to_virtual = world_to_virtual.astype(np.float32).astype(np.float64)
    return world_to_virtual @ to_camera.T, float(intrinsics[0, 0] + intrinsics[1, 1]) / 2


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cross product of two 3-vectors; numpy's is made for many and takes 20 times as long."""
    (a0, a1, a2), (b0, b1, b2) = a.tolist(), b.tolist()
    return np.array([a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0])


def _reproject_box(camera, bbox: np.ndarray, image_size, rotation: np.ndarray) -> np.ndarray:
    """Box around the reprojected middles of the box's sides, x, y, w, h on the plane z = 1.

    Middles rather than corners, because people seldom fill the corners of their box.
    """
    for limit in (False, True):  # a box may reach to where the lens model ends
        low, high = bbox[:2], bbox[:2] + bbox[2:]
        if limit:
            low = np.maximum(low, -0.5)
            high = np.minimum(high, np.array(image_size) - 0.5)
        mid = (low + high) / 2
        sides = np.array(
            [[low[0], mid[1]], [mid[0], low[1]], [high[0], mid[1]], [mid[0], high[1]]]
        )
        directions = rays.of_pixels(camera, sides)
        seen = rays.project(directions @ rotation.T)
        if np.all(np.isfinite(seen)):
            start = seen.min(axis=0)
            extent = seen.max(axis=0) - start
            if np.all(extent > 0):
                return np.concatenate([start, extent])
    if np.any(np.isnan(directions)):
        raise CannotCrop("box reaches beyond what the lens model can see")
    raise CannotCrop("box reaches behind the virtual camera")


def _region(box: np.ndarray, params: CropParams) -> np.ndarray:
    """Square around the box that holds it in any rotation up to the given one, enlarged."""
    angle = math.radians(params.rotation)
    s, c = math.sin(angle), math.cos(angle)
    w, h = box[2:]
    side = max(c * w + s * h, c * h + s * w) * params.enlarge
    return np.concatenate([box[:2] + box[2:] / 2 - side / 2, [side, side]])


def _covers(outline: np.ndarray, w: int, h: int) -> bool:
    """Whether a quadrilateral holds all of a crop; answers most cases without clipping."""
    if len(outline) != 4:
        return False
    corners = ((-0.5, -0.5), (w - 0.5, -0.5), (w - 0.5, h - 0.5), (-0.5, h - 0.5))
    points = outline.tolist()
    for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
        # Clockwise as pixels count, y down; another sense of rotation covers nothing
        if any((x1 - x0) * (y - y0) < (y1 - y0) * (x - x0) for x, y in corners):
            return False
    return True


def _area(polygon: np.ndarray) -> float:
    x, y = polygon[:, 0], polygon[:, 1]
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def _simplify(polygon: np.ndarray) -> np.ndarray:
    """Drops vertices that change the outline by less than a quarter of a pixel."""
    import cv2

    points = polygon.astype(np.float32).reshape(-1, 1, 2)
    simple = cv2.approxPolyDP(points, 0.25, closed=True).reshape(-1, 2)
    return simple if len(simple) >= 3 else polygon
