"""Small archives for tests."""

import cv2
import deltacamera
import numpy as np

from posepile.joint_info import JointInfo
from posepile.recipe import DatasetSpec
from posepile.store import codec, packing, parts

JOINTS = JointInfo("pelv,lhip,rhip,lkne,rkne", "pelv-lhip-lkne")


def spec(name="toy", kind="3d", joints=JOINTS):
    return DatasetSpec(name, joints, f"{name}_downscaled", kind=kind, world_up=(0, 0, 1))


def jpeg(i=0):
    image = np.full((16, 24, 3), (i * 37) % 256, np.uint8)
    return cv2.imencode(".jpg", image)[1].tobytes()


def record(name, split, unit, i, *, person=0, kind="3d", **overrides):
    rng = np.random.default_rng([unit, i, person])
    fields = {
        "image_path": f"{name}_downscaled/s{unit}/{i:04d}.jpg",
        "split": split,
        "bbox": np.float32([i, 1, 2, 3.5]),
        "imshape": (16, 24),
        "frame": i,
        "person": person,
        "sequence": f"s{unit}",
        "activity": "walking" if i % 2 else "sitting",
    }
    if kind == "3d":
        fields["world_coords"] = (rng.normal(size=(5, 3)) * 1000).astype(np.float32)
        fields["world_coords"][i % 5] = np.nan
        fields["camera"] = deltacamera.Camera(
            rot_world_to_cam=cv2.Rodrigues(rng.normal(size=3))[0],
            optical_center=rng.normal(size=3) * 1000,
            intrinsic_matrix=[[500, 0, 12], [0, 500, 8], [0, 0, 1]],
            world_up=(0, 0, 1),
        )
    else:
        fields["coords2d"] = rng.normal(size=(5, 2)).astype(np.float32)
    if i % 3 == 0:
        fields["mask"] = {"size": [16, 24], "counts": b"0a1"}
    return codec.Record(**{**fields, **overrides})


def make_parts(root, name="toy", *, units=("train", "train", "val"), n=6, kind="3d"):
    paths, records = [], []
    for unit, split in enumerate(units):
        with parts.PartWriter(root / f"{name}_work" / "parts" / f"{unit:03d}.part") as writer:
            for i in range(n):
                r = record(name, split, unit, i, kind=kind)
                writer.add(r, jpeg(i + 10 * unit))
                records.append(r)
        paths.append(writer.path)
    return paths, records


def make_archive(root, name="toy", kind="3d", **kwargs):
    paths, records = make_parts(root, name, kind=kind, **kwargs)
    packing.pack(paths, root / f"{name}.barecat", spec(name, kind), {"sources": []})
    return records
