"""The fields of an example: what there is, how it is stored, under which name examples have it.

:class:`Record` is the list, and the only one: columns, table, examples, entries and merging are
made from it. A new field is one more line there, with a flag (a bit of the column ``flags`` that
nothing else uses) if a row may be without it. Archives written before have no such column; their
examples have the default. Programs from before ignore the column.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from posepile.recipe import SPLITS
from posepile.store.storage import (
    CAMERA_KNOWS_SHAPE,
    HAS_OTHER_SIZE,
    Camera,
    Choice,
    ColumnTypes,
    Extra,
    Field,
    Fixed,
    ImagePath,
    JointCoords,
    Mask,
    Ragged,
    Shared,
    Text,
)

if TYPE_CHECKING:
    import deltacamera

# The kinds of examples: with world coordinates, or with image coordinates only.
KINDS = ("3d", "2d")


def stored(
    how: Any,
    *,
    default: Any = dataclasses.MISSING,
    flag: int = 0,
    examples: Mapping[str, str] | tuple[str, ...] = KINDS,
) -> Any:
    """Declares a field of a record.

    Args:
        how: How it is stored, one of the classes of :mod:`posepile.store.storage`.
        default: Its value where a record or an older archive has none; without it, every record
            must have a value.
        flag: Bit of the column ``flags`` of rows that have a value; for fields whose default is
            None.
        examples: The kinds of examples that have it, or kind -> its name there.
    """
    names = examples if isinstance(examples, Mapping) else None
    return dataclasses.field(
        default=default, metadata={"how": how, "flag": flag, "kinds": examples, "names": names}
    )


@dataclass(slots=True, eq=False)
class Record:
    """One example of a dataset as plain data.

    Attributes:
        image_path: ``<image_dir>/<...>.jpg``, forward slashes.
        split: ``train``, ``val`` or ``test``.
        bbox: float32 ``[4]`` x, y, width, height in crop pixels.
        imshape: Height and width of the crop.
        frame: Source frame index.
        person: Index of the person within the image.
        sequence: Id of the sequence.
        world_coords: ``[J, 3]`` millimetres, NaN = missing; None if there are no 3D joints at all.
        coords2d: ``[J, 2]`` crop pixels, NaN = missing.
        camera: Camera of the crop.
        mask: RLE dict ``{'size': [h, w], 'counts': bytes}`` in crop pixels.
        valid_poly: float32 ``[K, 2]`` outline in crop pixels of what the source image covers;
            None or empty = all of the crop.
        parameters: Body-model parameters.
        densepose: (imcoords ``[n, 2]``, i_faces, barycoords ``[n, 3]``).
        activity: Activity label.
        scene: Scene label.
        track: Index of the person within the sequence; -1 where that is not known.
        fingerprint: Of the source picture (:mod:`posepile.imaging.fingerprints`), by which the
            same photograph is found in several datasets; None where none was made.
    """

    image_path: str = stored(ImagePath(), examples=())  # examples have it as a property
    split: str = stored(Choice(SPLITS), examples=())
    bbox: np.ndarray = stored(Fixed("<f4", (4,)))
    imshape: tuple[int, int] = stored(Fixed("<i4", (2,), tuple))
    frame: int = stored(Fixed("<i8"))
    person: int = stored(Fixed("<u4"))
    sequence: str = stored(Text())
    world_coords: np.ndarray | None = stored(JointCoords(), default=None, flag=1, examples=("3d",))
    coords2d: np.ndarray | None = stored(
        Fixed("<f4", ("J", 2)),
        default=None,
        flag=2,
        examples={"3d": "coords2d", "2d": "coords"},
    )
    camera: deltacamera.Camera | None = stored(Camera(), default=None, flag=4)
    mask: dict | None = stored(Mask(), default=None, flag=8)
    valid_poly: np.ndarray | None = stored(Ragged("<f4", (2,)), default=None, flag=16)
    parameters: dict | None = stored(Extra(), default=None, flag=32)
    densepose: tuple | None = stored(Extra(tuple), default=None, flag=64)
    activity: str = stored(Text(), default="unknown", examples={"3d": "activity_name"})
    scene: str = stored(Text(), default="unknown", examples={"3d": "scene_name"})
    track: int = stored(Fixed("<i4"), default=-1)
    fingerprint: bytes | None = stored(Shared(), default=None, flag=512)


# What examples have beside it and no archive stores, by kind.
NOT_STORED = {
    "3d": ("image", "univ_coords", "instance_mask", "custom"),
    "2d": ("image",),
}


def _fields():
    result, used = {}, CAMERA_KNOWS_SHAPE | HAS_OTHER_SIZE
    for declared in dataclasses.fields(Record):
        meta, required = declared.metadata, declared.default is dataclasses.MISSING
        if used & meta["flag"]:
            raise TypeError(f"field {declared.name!r}: flag {meta['flag']} is used twice")
        used |= meta["flag"]
        default = None if required else declared.default
        names = meta["names"] or dict.fromkeys(meta["kinds"], declared.name)
        result[declared.name] = Field(
            declared.name, meta["how"], meta["flag"], required, default, names
        )
    return result


FIELDS: dict[str, Field] = _fields()


def names_in_examples(kind: str) -> dict[str, Field]:
    """Returns the stored fields of the examples of a kind, by their names there."""
    return {f.names[kind]: f for f in FIELDS.values() if kind in f.names}


def _column_types():
    # Where a row's image is, and which fields it has.
    total = ColumnTypes(
        {"flags": ("<u2", ()), "shard": ("<u4", ()), "offset": ("<u8", ()), "size": ("<u4", ())}
    )
    required, optional = set(total.fixed), set()
    for field in FIELDS.values():
        own = field.how.columns(field.name)
        total.fixed.update(own.fixed)
        total.ragged.update(own.ragged)
        total.texts += own.texts
        if field.required:
            required |= {*own.fixed, *own.ragged}
        elif own.fixed and (field.flag or not own.texts):
            optional |= set(own.fixed)
    return total, required, optional


_types, REQUIRED, OPTIONAL = _column_types()

# REQUIRED: columns without which there is no table. OPTIONAL: fixed ones that are left out
# altogether when no row has a value.

# name -> (dtype, shape of a row); J stands for the number of joints
FIXED = _types.fixed

# Values of rows one after another; ``<name>_ptr`` (uint64, one longer than the table) says where.
RAGGED = _types.ragged

# Fixed columns that are numbers of strings (or bytes); ``<name>_strings`` and
# ``<name>_strings_ptr`` hold them.
STRINGS = _types.texts

# Needed only to write the index; they stay in the part.
PART_ONLY = {"crc32c": ("<u4", ()), "new_image": ("u1", ())}

# What the names of arrays begin with that a stage leaves for the next one; they stay in the part.
BETWEEN_STAGES = "stage_"
