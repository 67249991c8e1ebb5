"""What is said of an annotation file like COCO's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class CocoFile:
    """An annotation file and what it holds.

    Attributes:
        path: JSON with ``images``, ``annotations`` and ``categories``.
        pictures: Folder to which the ``file_name`` of an image is relative.
        n_joints: Number of (x, y, v) in ``keypoints``.
        visibility: The values v may have: 0 = not labelled, 2 = visible; None = any number, of
            which those above 0 are labelled.
        optional: Keys that an annotation may lack: of ``iscrowd``, ``segmentation``, ``bbox`` and
            ``keypoints``; one that lacks another is left out, as is one that is malformed.
        crowd_key: How ``iscrowd`` is spelt.
        key_points: Their names in order, ``a|b`` is either; a file that states others is refused.
        category: Name of the category, or names; annotations of others are passed over. None:
            there are no ``categories``, everything is a person.
        more: Further keys of annotations that the recipe needs, where they are there.
        more_of_images: Further keys of images that it needs.
        parts: Further lists of (x, y, v) that are appended to ``keypoints``: key of the list, key
            of the flag that says whether it is valid (if not, its joints are not labelled), number
            of joints, which ``n_joints`` counts as well.
        sizes_of_files: The pictures tell their sizes; what the file says of them is not needed and
            not believed. ``exchanged``: it may say width for height, and nothing else.
        read: (path, ``images``, ``annotations`` or ``categories``) -> entries like COCO's, for
            files of another form. An image's ``fault`` says why nobody in it can be used.
        may_be_empty: There may be no annotation at all, in a video of nobody.
        pictures_per_unit: That many make a unit.
        hint: What the user can do if the file is missing or damaged.
    """

    path: Path
    pictures: Path
    n_joints: int = 17
    visibility: tuple[int, ...] | None = (0, 1, 2)
    optional: tuple[str, ...] = ()
    crowd_key: str = "iscrowd"
    key_points: tuple[str, ...] = ()
    category: str | tuple[str, ...] | None = "person"
    more: tuple[str, ...] = ()
    more_of_images: tuple[str, ...] = ()
    parts: tuple[tuple[str, str, int], ...] = ()
    sizes_of_files: bool | Literal["exchanged"] = False
    read: Callable[[Path, str], Iterator[dict]] | None = None
    may_be_empty: bool = False
    pictures_per_unit: int = 400
    hint: str | None = "fetch or extract it again"
