"""Training code of the original PosePile, as far as it touches examples: loaders, readers.

Written from what such programs do, not from their text: they crop by a camera that looks at the
box, turn, zoom and mirror it, reproject the picture, replace what is outside of the mask and put
things before it; all in place on what ``load()`` has returned. deltacamera stands for cameralib.
"""

from __future__ import annotations

import types
from pathlib import Path

import boxlib
import cv2
import deltacamera
import msgpack
import msgpack_numpy
import numpy as np
import rlemasklib

from posepile.checking.pixels import find_discs
from posepile.joint_info import other_side_name

SIDE = 256
TRAIN, VALID, TEST = 0, 1, 2


def camera_of_crop(camera, box, center, rng, *, turn=0.4):
    """The camera of a square crop of a box, turned and zoomed by chance."""
    half = np.array([0, box[3] / 2]) if box[2] < box[3] else np.array([box[2] / 2, 0])
    ends = center + np.stack([-half, half])
    crop = camera.copy()
    crop.turn_towards(target_image_point=center)
    crop.undistort()
    crop.square_pixels()
    ends = deltacamera.reproject_image_points(np.float32(ends), camera, crop)
    crop.zoom(SIDE / np.linalg.norm(ends[0] - ends[1]))
    crop.center_principal_point((SIDE, SIDE))
    crop.zoom(rng.uniform(0.85, 0.95))
    crop.rotate(roll=rng.uniform(-turn, turn))
    return crop


def reprojected(image, old, new):
    return deltacamera.reproject_image(image, old, new, (SIDE, SIDE), interp=cv2.INTER_LINEAR)


def load_3d(ex, joint_info, rng, *, flip):
    """What a loader of 3D examples returns: image, camera coordinates, their places in it, masks.

    Args:
        ex: Of a dataset's list.
        joint_info: Of the dataset.
        rng: Chance.
        flip: Mirror.
    """
    assert isinstance(ex.image_path, str) and ex.image_path
    ex = ex.load()
    world = ex.get_world_coords()
    if np.nanmax(np.abs(world), initial=0) > 1e6:  # as of SAIL-VOS: in place
        world -= ex.camera.t
        ex.camera.t[:] = 0
    center = boxlib.center(ex.bbox)
    center += rng.uniform(-0.02, 0.02, 2) * ex.bbox[2:]
    crop = camera_of_crop(ex.camera, ex.bbox, center, rng)
    if flip:
        crop.horizontal_flip()
        world = world[joint_info.mirror_mapping]
    coords = crop.world_to_camera(world)
    points = crop.world_to_image(world)
    image = ex.image if getattr(ex, "image", None) is not None else cv2.imread(ex.image_path)
    result = reprojected(image, ex.camera, crop)
    if getattr(ex, "mask", None) is not None:
        figure = reprojected(rlemasklib.decode(ex.mask) * 255, ex.camera, crop)
        figure = cv2.dilate(figure, np.ones((9, 9))) > 127
        result = np.where(figure[..., None], result, np.uint8([90, 90, 90]))
    return finished(ex, result, coords, points, rng)


def load_2d(ex, joint_info, rng, *, flip, image=None):
    """What a loader of 2D examples returns; the picture is read by ``image_path`` if not given."""
    if image is None:
        image = cv2.imread(str(ex.image_path))[..., ::-1]
    ex = ex.load()
    camera = ex.camera if getattr(ex, "camera", None) is not None else None
    old = deltacamera.Camera.from_fov(8, image.shape[:2]) if camera is None else camera
    center = boxlib.center(ex.bbox)
    crop = old.copy()
    if camera is not None:
        crop = camera_of_crop(old, ex.bbox, center, rng)
    else:
        crop.zoom(SIDE / max(ex.bbox[2:]) * 0.9)
        crop.rotate(roll=rng.uniform(-0.4, 0.4))
    points = ex.coords
    if flip:
        crop.horizontal_flip()
        points = points[joint_info.mirror_mapping]
    if camera is None:
        middle = deltacamera.reproject_image_points(np.float32(center)[None], old, crop)[0]
        crop.shift_to_center(middle, (SIDE, SIDE))
    points[np.isnan(points).any(axis=1)] = np.nan
    points = deltacamera.reproject_image_points(np.float32(points), old, crop)
    return finished(ex, reprojected(image, old, crop), None, points, rng)


def finished(ex, image, coords, points, rng):
    """Puts something before the picture, and says which joints there are and are seen."""
    image = np.ascontiguousarray(image)
    x, y = rng.integers(0, SIDE - 30, 2)
    image[y : y + 30, x : x + 30] = 128
    valid = ~np.isnan(points if coords is None else coords).any(axis=-1)
    with np.errstate(invalid="ignore"):
        inside = ((points >= 0) & (points < SIDE)).all(axis=-1)
        hidden = ((points > [x - 8, y - 8]) & (points < [x + 38, y + 38])).all(axis=-1)
    return types.SimpleNamespace(
        image=image, coords=coords, points=np.asarray(points), valid=valid,
        seen=valid & inside & ~hidden, image_path=ex.image_path,
    )  # fmt: skip


def load_parametric(ex):
    """What a loader of body parameters takes of an example."""
    ex = ex.load()
    parameters = ex.parameters
    pose, shape = parameters["pose"].reshape(-1), parameters["shape"]
    scale = parameters.get("scale", 1)
    camera = ex.camera.copy()
    camera.t = camera.t / (1000 * scale)
    return types.SimpleNamespace(
        model=parameters["type"], gender=parameters["gender"][0], pose=pose, shape=shape,
        trans=parameters["trans"], kid=parameters.get("kid_factor", 0),
        expression=parameters.get("expression", np.zeros(10)), camera=camera,
    )  # fmt: skip


# ---------------------------------------------------------------- archives of entries


class Archives:
    """Annotations and pictures as the original reads them from a pair of Barecat archives."""

    def __init__(self, annotations: Path, images: Path):
        import barecat

        self.annotations = barecat.Barecat(str(annotations), readonly=True)
        self.images = barecat.Barecat(str(images), readonly=True)
        metadata = self._unpacked("metadata.msgpack")
        self.joint_names, self.joint_edges = metadata["joint_names"], metadata["joint_edges"]
        self.train_bones = metadata.get("train_bone_lengths")
        self.keys = {TRAIN: [], VALID: [], TEST: []}
        splits = {"train": TRAIN, "val": VALID, "test": TEST}
        for key in self.annotations:
            if key.partition("/")[0] in splits:
                self.keys[splits[key.partition("/")[0]]].append(key)

    def _unpacked(self, key):
        data = self.annotations[key]
        return msgpack.unpackb(data, object_hook=msgpack_numpy.decode, strict_map_key=False)

    def example(self, key: str):
        """The example of an entry, as the original makes it."""
        entry, n_joints = self._unpacked(key), len(self.joint_names)
        coords = self._coords(entry, "joints3d", 3, n_joints)
        camera = None
        if "cam" in entry:
            cam = entry["cam"]
            camera = deltacamera.Camera(
                rot_world_to_cam=cv2.Rodrigues(cam["rotvec_w2c"])[0],
                optical_center=np.array(cam["loc"]),
                intrinsic_matrix=np.concatenate([cam["intr"], [[0, 0, 1]]]),
                distortion_coeffs=cam.get("distcoef"),
                world_up=cam.get("up", (0, 0, 1)),
            )
        mask = entry.get("mask")
        return types.SimpleNamespace(
            image_path=entry["impath"], bbox=entry["bbox"].astype(np.float32), camera=camera,
            world_coords=coords, coords=self._coords(entry, "joints2d", 2, n_joints),
            mask=None if mask is None else rlemasklib.decompress(mask, only_gzip=True),
            parameters=entry.get("parameters"), data=self.images[entry["impath"]],
        )  # fmt: skip

    def _coords(self, entry, name, n_dims, n_joints):
        if name not in entry or not n_joints:
            return None
        rows = entry[name]["i_rows"]
        if not len(rows):
            return entry[name]["rows"]
        coords = np.full((n_joints, n_dims), np.nan, np.float32)
        coords[rows] = entry[name]["rows"]
        return coords

    def close(self):
        self.annotations.close()
        self.images.close()


# ---------------------------------------------------------------- whether it fits

LEAST_FOUND = 0.5  # of the joints that are seen: discs are found whole or not at all
MARGIN_PX = 1.5  # of a crop: what reprojecting and finding add


def check_loaders(sample, per_split=3):
    """Has examples of every split loaded, turned, mirrored and hidden, and looks for the discs.

    Args:
        sample: A processed miniature, as of :mod:`posepile.checking.sample`; DATA_ROOT is its.
        per_split: Of how many examples of each split.

    Returns:
        Of crops as they are and of mirrored ones, how many discs were looked for and found; and
        the mean distance in pixels of the crop.
    """
    dataset, colors = sample.dataset, sample.truth.colors
    info, rng = dataset.joint_info, np.random.default_rng(0)
    away, looked_for = ([], []), [0, 0]
    for split in (TRAIN, VALID, TEST):
        examples = dataset.examples[split]
        places = np.linspace(0, len(examples) - 1, min(per_split, len(examples)))
        for k in np.unique(places.astype(int)):
            for flip in (False, True):
                loaded = _load(dataset, examples[int(k)], info, rng, flip)
                if loaded is None or len(colors) != info.n_joints:
                    continue
                order = range(info.n_joints)
                if flip:  # by the names, not by what is tested
                    order = [info.ids.get(other_side_name(n), i) for i, n in enumerate(info.names)]
                own = [colors[i] for i in order]
                drawn = np.array([c is not None for c in own])
                points = np.where((loaded.seen & drawn)[:, None], loaded.points, np.nan)
                found = find_discs(loaded.image, points, own, None)
                looked_for[flip] += int(np.isfinite(points).all(axis=1).sum())
                apart = np.linalg.norm(found - points, axis=1)
                away[flip].extend(apart[np.isfinite(apart)])
    counts = [(n, len(own)) for n, own in zip(looked_for, away, strict=True)]
    return counts, float(np.mean([*away[0], *away[1], 0]))


def _load(dataset, ex, info, rng, flip):
    if getattr(ex, "parameters", None) is not None:
        body = load_parametric(ex)
        assert len(body.pose) in (72, 156, 165) and np.isfinite(body.pose).all()
    if dataset.kind == "2d":
        return load_2d(ex, info, rng, flip=flip, image=ex.get_image())
    if not info.n_joints or ex.camera is None:
        return None
    return load_3d(ex, info, rng, flip=flip)


def compare_entries(dataset, archives, per_split=10):
    """Compares what the original reads of an export with the dataset, value by value.

    Returns:
        How many examples were compared.
    """
    n = 0
    assert archives.joint_names in (dataset.joint_info.names, [])
    for split in (TRAIN, VALID, TEST):
        ours = {f"{ex.path}": ex for ex in dataset.examples[split]}
        keys = archives.keys[split]
        for key in keys[:: max(1, len(keys) // per_split)]:
            theirs, ex = archives.example(key), ours[key]
            assert (theirs.image_path, theirs.data) == (
                ex.image_path, bytes(ex._source.image_bytes(ex._row)),
            )  # fmt: skip
            np.testing.assert_allclose(theirs.bbox, ex.bbox)
            if dataset.kind == "2d":
                np.testing.assert_allclose(theirs.coords, ex.coords)
            elif archives.joint_names:
                np.testing.assert_allclose(theirs.world_coords, ex.get_world_coords(), rtol=1e-6)
            if theirs.camera is not None and ex.camera is not None:
                points = ex.camera.camera_to_world(np.float32([[100, 200, 3000], [-300, 0, 2500]]))
                seen = theirs.camera.world_to_image(points)
                np.testing.assert_allclose(seen, ex.camera.world_to_image(points), atol=0.05)
            n += 1
    return n
