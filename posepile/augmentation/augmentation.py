"""From a stored crop to a picture of a fixed size, and all that is known of it in its pixels."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from typing import Any

import cv2
import numpy as np

from posepile.augmentation import bodies, drawing
from posepile.augmentation.backgrounds import Backgrounds
from posepile.augmentation.colors import change_colors
from posepile.augmentation.geometry import Shot, Turn, assumed_camera, plan_shot
from posepile.augmentation.occluders import Occluders
from posepile.augmentation.params import AugmentationParams
from posepile.errors import UsageError
from posepile.joint_info import JointInfo, other_side_name
from posepile.store.coords import SparseCoords

_N_DRAWN = 16  # random numbers that are drawn for every example, whatever is done with them


class Augmentation:
    """A transform of examples into arrays of fixed shapes, for ``posepile.torch.CropDataset``.

    The camera is turned towards the box, rolled, zoomed and mirrored, and the picture drawn in
    one step from the stored crop; then come other backgrounds, objects in front, colours, blur
    and compression. ``augmentation(example, draw)`` returns

    ===============  ==============================================================================
    image            uint8 ``[S, S, 3]`` RGB
    coords3d         float32 ``[J, 3]`` mm in the coordinates of the new camera, NaN = missing
    joint_mask3d     bool ``[J]``, which of them are known
    coords2d         float32 ``[J, 2]`` pixels, NaN = missing; those of ``coords3d``, where
                     these are missing annotated ones
    joint_mask2d     bool ``[J]``; also outside of the picture
    intrinsics       float32 ``[3, 3]``
    rotation         float32 ``[3, 3]``, world to the new camera; determinant -1 where mirrored
    center           float64 ``[3]``, where the camera stands, mm
    has_camera       bool; without one a field of view is assumed (``center`` is 0), and nothing
                     is known of ``coords3d`` and bodies: ``coords2d`` are annotated ones
    box              float32 ``[4]`` x, y, width, height
    mask             uint8 ``[S, S]``, 255 = the person's, without what objects in front hide
    has_mask         bool
    mirrored         bool; joints are those of the other side then, those whose other side the
                     skeleton lacks are missing
    index, epoch     those of ``draw``
    ===============  ==============================================================================

    With ``params.bodies`` also ``body_kind`` (place in ``bodies.KINDS``, -1 = none),
    ``body_gender``, ``body_pose``, ``body_shape``, ``body_expression``, ``body_trans``,
    ``body_scale`` and ``body_kid_factor``: of the body in the new camera's coordinates, metres.

    >>> from posepile.datasets3d import TRAIN, get_dataset
    >>> ds = get_dataset("aspset")
    >>> from posepile.augmentation import AugmentationParams
    >>> plain = Augmentation(AugmentationParams(side=64), ds.joint_info).plain()
    >>> arrays = plain(ds.examples[TRAIN][0])
    >>> arrays["image"].shape, arrays["coords3d"].shape, bool(arrays["mirrored"])
    ((64, 64, 3), (17, 3), False)

    Args:
        params: What is done; default: everything, as far as crops have room for.
        joint_info: Skeleton of the examples; joints change sides by its ``mirror_mapping``.
        backgrounds: Photographs that are put behind people; None: backgrounds stay.
        occluders: Objects that are put in front of people; None: none.
        replaceable: Names of the datasets whose backgrounds may be replaced, or True for all.
    """

    def __init__(
        self,
        params: AugmentationParams | None,
        joint_info: JointInfo,
        backgrounds: Backgrounds | None = None,
        occluders: Occluders | None = None,
        *,
        replaceable: Collection[str] | bool = (),
    ):
        if isinstance(replaceable, str):
            raise UsageError(
                f"replaceable: found the text {replaceable!r}, expected names of datasets, such "
                f"as [{replaceable!r}], or True"
            )
        self.params = params or AugmentationParams()
        self.joint_info = joint_info
        self.backgrounds, self.occluders = backgrounds, occluders
        self.replaceable = replaceable if replaceable is True else frozenset(replaceable or ())
        self._mirror = np.asarray(joint_info.mirror_mapping, np.int64)
        # Joints of one side whose other side the skeleton lacks: nothing in a mirrored picture
        self._one_sided = np.array(
            [
                j == other and other_side_name(name) != name
                for j, (name, other) in enumerate(zip(joint_info.names, self._mirror, strict=True))
            ],
            bool,
        )

    @classmethod
    def of(
        cls,
        dataset: Any,
        params: AugmentationParams | None = None,
        *,
        replaceable: Collection[str] | bool | None = None,
    ) -> Augmentation:
        """One for the examples of a dataset, with what the helpers have left below DATA_ROOT.

        Photographs and objects that are not there are left out, with a warning that says how to
        get them.

        Args:
            dataset: Also a merged one.
            params: What is done.
            replaceable: Names of the datasets whose backgrounds may be replaced, or True for all;
                None: those that say of themselves that their background is no real one.

        Raises:
            UsageError: A name is none of the dataset's parts.
        """
        params = params or AugmentationParams()
        if replaceable is None:
            replaceable = [
                name
                for name, facts in getattr(dataset, "parts", {}).items()
                if facts.get("realistic_background") is False
            ]
        elif not isinstance(replaceable, bool | str) and (parts := getattr(dataset, "parts", {})):
            replaceable = list(replaceable)
            unknown = [name for name in replaceable if name not in parts]
            if unknown:
                raise UsageError(
                    f"replaceable: found {', '.join(map(repr, unknown))}, expected names among "
                    f"{', '.join(parts)}"
                )
        chances = params.border or (replaceable and params.background)
        backgrounds = _found(Backgrounds.find, "no other backgrounds") if chances else None
        occluders = (
            _found(Occluders.find, "nothing in front of people") if params.occlusion else None
        )
        return cls(params, dataset.joint_info, backgrounds, occluders, replaceable=replaceable)

    def plain(self) -> Augmentation:
        """The same crop without any change: for validation and tests."""
        return Augmentation(self.params.plain(), self.joint_info)

    def __call__(self, example: Any, draw: Any = None) -> dict[str, np.ndarray]:
        """Returns the arrays that the class lists.

        Args:
            example: Of any kind, loaded or not; it stays as it is.
            draw: ``posepile.torch.Draw``, or anything with ``index``, ``epoch`` and ``rng``; all
                that is random comes from ``draw.rng``. None: the same numbers each time.
        """
        rng = np.random.default_rng(0) if draw is None else draw.rng
        drawn = rng.random(_N_DRAWN).tolist()
        image = example.get_image()
        size = image.shape[1], image.shape[0]
        camera = example.camera
        box = _box(example.bbox, size)
        shot = plan_shot(
            assumed_camera(size, self.params.assumed_fov) if camera is None else camera,
            box,
            self.params.side,
            self.params.fill,
            self._turn(drawn),
        )
        picture, mask = self._picture(example, image, shot, drawn, rng)
        result = {"image": picture}
        result |= self._joints(example, shot)
        result |= {
            "intrinsics": shot.intrinsics.astype(np.float32),
            "rotation": shot.rotation.astype(np.float32),
            "center": shot.center,
            "has_camera": np.array(camera is not None),
            "box": shot.box(box).astype(np.float32),
            "mask": np.zeros(picture.shape[:2], np.uint8) if mask is None else mask,
            "has_mask": np.array(mask is not None),
            "mirrored": np.array(shot.mirrored),
            "index": np.array(-1 if draw is None else draw.index),
            "epoch": np.array(-1 if draw is None else draw.epoch),
        }
        return result | self._body(example, shot) if self.params.bodies else result

    def _turn(self, drawn: list[float]) -> Turn:
        p = self.params
        angle, radius = 2 * np.pi * drawn[0], p.shift * drawn[1] ** 0.5
        low, high = p.zoom
        return Turn(
            shift=(radius * np.cos(angle), radius * np.sin(angle)),
            roll=np.radians(p.rotation) * (2 * drawn[2] - 1),
            zoom=low * (high / low) ** drawn[3],
            mirror=drawn[4] < p.mirror,
        )

    def _picture(
        self,
        example: Any,
        image: np.ndarray,
        shot: Shot,
        drawn: list[float],
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        p, side = self.params, shot.side
        picture = drawing.draw_picture(shot, image)
        mask = _mask(example.mask, image.shape[:2])
        mask = None if mask is None else drawing.draw_mask(shot, mask)
        replaced = drawn[5] < p.background and self._may_replace(example, mask)
        if replaced:
            picture = drawing.lay_over(picture, self.backgrounds.picture(side, rng), mask)
        elif drawn[6] < p.border:
            size = image.shape[1], image.shape[0]
            seen = drawing.draw_seen(shot, example.valid_poly, size)
            if seen is not None:
                picture = cv2.copyTo(picture, seen, self._beyond(side, drawn, rng))
        if self.occluders is not None and drawn[11] < p.occlusion:
            n = 1 + int(drawn[12] * p.n_occluders)
            picture = np.ascontiguousarray(picture)
            self.occluders.put_before(picture, mask, n, p.occluder_scale, rng)
        return change_colors(picture, p, rng), mask

    def _may_replace(self, example: Any, mask: np.ndarray | None) -> bool:
        if self.backgrounds is None or mask is None or not self.replaceable:
            return False
        name = getattr(example, "dataset", "unknown")
        return (self.replaceable is True or name in self.replaceable) and bool(mask.any())

    def _beyond(self, side: int, drawn: list[float], rng: np.random.Generator) -> np.ndarray:
        """What is put where the source picture ends."""
        if self.backgrounds is not None and drawn[7] < 0.5:
            return self.backgrounds.picture(side, rng)
        color = [int(256 * value) for value in drawn[8:11]]
        return np.full((side, side, 3), color, np.uint8)

    def _joints(self, example: Any, shot: Shot) -> dict[str, np.ndarray]:
        n = self.joint_info.n_joints
        coords3d = np.full((n, 3), np.nan, np.float32)
        coords2d = np.full((n, 2), np.nan, np.float32)
        flat = example.coords2d if example.KIND == "3d" else example.coords
        if flat is not None:
            known, rows = _known(flat, n)
            coords2d[known] = shot.points(rows)
        # Without a camera nothing tells where world coordinates are in the picture.
        placed = example.KIND == "3d" and example.camera is not None
        world = example.world_coords if placed else None
        if world is not None:
            known, rows = _known(world, n)
            seen = shot.world(rows)
            coords3d[known] = seen
            coords2d[known] = shot.project(seen)
        if shot.mirrored:
            coords3d, coords2d = coords3d[self._mirror], coords2d[self._mirror]
            coords3d[self._one_sided] = coords2d[self._one_sided] = np.nan
        return {
            "coords3d": coords3d,
            "joint_mask3d": np.isfinite(coords3d[:, 0]),
            "coords2d": coords2d,
            "joint_mask2d": np.isfinite(coords2d[:, 0]),
        }

    def _body(self, example: Any, shot: Shot) -> dict[str, np.ndarray]:
        parameters, n = example.parameters, self.params.n_betas
        if parameters is None or example.camera is None:
            return bodies.no_body(n)
        parameters = bodies.parameters_in_camera(parameters, shot.rotation, shot.center)
        return bodies.body_arrays(parameters, n)

    def __repr__(self):
        drawn = ", ".join(
            f"{name} {getattr(self.params, name):g}"
            for name in ("mirror", "background", "border", "occlusion", "color", "blur", "jpeg")
        )
        with_ = f"backgrounds: {self.backgrounds}, occluders: {self.occluders}"
        return f"<Augmentation to {self.params.side} pixels: {drawn}; {with_}>"


def _found(find: Any, without: str) -> Any:
    try:
        return find()
    except UsageError as e:
        warnings.warn(f"augmentation has {without}: {e}", stacklevel=3)
        return None


def _box(box: Any, size: tuple[int, int]) -> np.ndarray:
    """The box, or that of the whole picture where there is none."""
    if box is not None:
        box = np.asarray(box, np.float64).reshape(-1)
        if box.shape == (4,) and np.isfinite(box).all() and box[2] > 0 and box[3] > 0:
            return box
    return np.array([-0.5, -0.5, *size])


def _known(coords: Any, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices and rows of the joints that are known."""
    if isinstance(coords, SparseCoords):
        shape, known, rows = coords.shape, coords.i_valid_joints, coords.valid_coords
    else:
        shape = np.shape(coords)
        known = np.flatnonzero(np.isfinite(coords).all(axis=-1))
        rows = coords[known]
    if shape[0] != n:
        raise UsageError(
            f"joints of the example: found {shape[0]}, expected the {n} of the augmentation's "
            "joint_info; make it by Augmentation.of(dataset)"
        )
    return known, rows


def _mask(rle: Any, shape: tuple[int, int]) -> np.ndarray | None:
    """The mask as 0 and 255, in the size of the picture."""
    if rle is None:
        return None
    import rlemasklib

    mask = rlemasklib.decode(dict(rle)) * np.uint8(255)
    if mask.shape != shape:
        mask = cv2.resize(mask, shape[::-1], interpolation=cv2.INTER_NEAREST)
    return mask
