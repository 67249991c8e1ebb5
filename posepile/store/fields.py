"""Columns of the example table: names, types and flags."""

from __future__ import annotations

# Bits of the column ``flags``: which optional fields a row has.
HAS_WORLD, HAS_2D, HAS_CAMERA, HAS_MASK, HAS_POLY, HAS_PARAMETERS, HAS_DENSEPOSE = (
    1 << i for i in range(7)
)


CAMERA_KNOWS_SHAPE = 1 << 7  # the camera carries the crop's shape


HAS_OTHER_SIZE = 1 << 8  # mask or camera of another size than the crop, see ``extras``


# Skeletons larger than this (merged ones) store only the joints that are there.
MAX_DENSE_JOINTS = 256


# name -> (dtype, shape of a row); J stands for the number of joints
FIXED = {
    "split": ("u1", ()),
    "flags": ("<u2", ()),
    "shard": ("<u4", ()),
    "offset": ("<u8", ()),
    "size": ("<u4", ()),
    "bbox": ("<f4", (4,)),
    "imshape": ("<i4", (2,)),
    "frame": ("<i8", ()),
    "person": ("<u4", ()),
    "camera": ("<f4", (24,)),  # rotation, intrinsics (both row-major), optical centre, up vector
    "world_coords": ("<f4", ("J", 3)),
    "coords2d": ("<f4", ("J", 2)),
    "dir": ("<u4", ()),
    "sequence": ("<u4", ()),
    "activity": ("<u4", ()),
    "scene": ("<u4", ()),
}


# Values of rows one after another; ``<name>_ptr`` (uint64, one longer than the table) says where.
RAGGED = {
    "name": ("u1", ()),
    "mask": ("u1", ()),
    "valid_poly": ("<f4", (2,)),
    "distortion": ("<f4", ()),
    "extras": ("u1", ()),
    "joint_ids": ("<u2", ()),
    "joint_rows": ("<f4", (3,)),
}


STRINGS = ("dir", "sequence", "activity", "scene")


# Left out altogether when no row has a value.
OPTIONAL = {
    "camera": HAS_CAMERA,
    "world_coords": HAS_WORLD,
    "coords2d": HAS_2D,
}


# Needed only to write the index; they stay in the part.
PART_ONLY = {"crc32c": ("<u4", ()), "new_image": ("u1", ())}
