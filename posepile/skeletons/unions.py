"""Several skeletons as one in which a point that they share is one joint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from posepile.errors import UsageError
from posepile.joint_info import JointInfo
from posepile.skeletons.data import Point
from posepile.skeletons.meaning import Whose, meanings


def same_points(joint_info: Any, dataset: Whose = None) -> list[list[int]]:
    """Returns the groups of joints of a merged skeleton that are one and the same point.

    Args:
        joint_info: As of :func:`posepile.skeletons.meaning.meanings`, as is ``dataset``.
        dataset: Whose joints they are.
    """
    groups: dict[Point, list[int]] = {}
    for i, meaning in enumerate(meanings(joint_info, dataset)):
        groups.setdefault(meaning.point, []).append(i)
    return [group for group in groups.values() if len(group) > 1]


def shared_union(
    skeletons: Mapping[str, Any], dataset: Mapping[str, Whose] | None = None
) -> tuple[JointInfo, dict[str, np.ndarray]]:
    """Returns one skeleton for several, in which the same point occurs once.

    Args:
        skeletons: Joints or datasets by name; the name is the suffix of joints that occur there
            first, so that none may hold a ``_``.
        dataset: Name to whose joints they are, where neither the name nor the joints tell.

    Returns:
        The joints, ``<joint>_<name>``, with the edges of all; and for each name the index in them
        of each of its own joints, int64 ``[J]``.
    """
    names: list[str] = []
    edges: dict[tuple[int, int], None] = {}
    place: dict[Point, int] = {}
    ids = {}
    for name, joints in skeletons.items():
        if "_" in name or not name:
            raise UsageError(f"skeleton {name!r}: must not be empty or hold '_'")
        own = []
        for meaning in meanings(joints, (dataset or {}).get(name)):
            if meaning.point not in place:
                place[meaning.point] = len(names)
                names.append(f"{meaning.name}_{name}")
            own.append(place[meaning.point])
        ids[name] = np.array(own, np.int64)
        info = joints if isinstance(joints, JointInfo) else joints.joint_info
        for i, j in info.stick_figure_edges:
            a, b = sorted((own[i], own[j]))
            edges[a, b] = None
    return JointInfo(names, list(edges), strict=False), ids
