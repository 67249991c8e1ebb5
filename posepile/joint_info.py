"""Joints of a skeleton: names, indices, mirror pairs and the edges of the stick figure."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable

import numpy as np
from addict import Addict

from posepile.errors import UsageError


def get_joint2bone_mat(joint_info: JointInfo) -> np.ndarray:
    """Returns the matrix that turns joint positions into bone vectors.

    Args:
        joint_info: Skeleton with ``n`` edges and ``J`` joints.

    Returns:
        float32 ``[n, J]`` with 1 at the first joint of each edge and -1 at the second.
    """
    edges = np.asarray(joint_info.stick_figure_edges, np.int64).reshape(-1, 2)
    mat = np.zeros([len(edges), joint_info.n_joints], np.float32)
    rows = np.arange(len(edges))
    mat[rows, edges[:, 0]] = 1
    mat[rows, edges[:, 1]] = -1
    return mat


def other_side_name(name: str) -> str:
    """Returns the name of the joint on the other side; the first letter alone decides."""
    swapped = {"l": "r", "r": "l"}.get(name[:1])
    return swapped + name[1:] if swapped else name


class JointInfo:
    """Names and topology of a skeleton.

    >>> info = JointInfo("pelv,lhip,rhip,lkne,rkne", "pelv-lhip-lkne")
    >>> info.n_joints, info.ids.rkne, info.mirror_mapping
    (5, 4, [0, 2, 1, 4, 3])
    >>> info.stick_figure_edges
    [(0, 1), (0, 2), (1, 3), (2, 4)]

    Attributes:
        ids: Joint name to index; also readable as attributes (``ids.lwri``).
        names: Joint names in index order.
        mirror_mapping: Index of the joint on the other side, for each joint.
        stick_figure_edges: Pairs of joint indices.

    Args:
        joints: Names in order as a list, tuple, array or comma-separated string, or a dict from
            name to index.
        edges: Pairs of joint indices, or paths of names such as ``'neck-lsho-lelb,pelv-neck'``;
            every path is mirrored automatically and unknown names are skipped.
        strict: Refuse a name that starts with l or r when its counterpart does not exist. Readers
            of existing data pass False; such a joint is then its own mirror image.

    Raises:
        UsageError: The names are not unique or not contiguous, an edge points nowhere, or
            (``strict``) a left/right counterpart is missing.
    """

    def __init__(
        self,
        joints: dict[str, int] | Iterable[str] | str,
        edges: Iterable[tuple[int, int]] | str = (),
        *,
        strict: bool = True,
    ):
        if isinstance(joints, dict):
            pairs = [(str(name), int(i)) for name, i in joints.items()]
        else:
            if isinstance(joints, str):
                joints = joints.split(",") if joints else []
            pairs = [(str(name), i) for i, name in enumerate(joints)]
        pairs.sort(key=lambda pair: pair[1])
        if [i for _, i in pairs] != list(range(len(pairs))):
            raise UsageError(
                f"joint indices: found {[i for _, i in pairs]}, expected 0 to {len(pairs) - 1}, "
                "each once"
            )
        self._set_names([name for name, _ in pairs])
        self.mirror_mapping = _mirror_mapping(self.names, strict)
        self.stick_figure_edges = []
        self.add_edges(edges)

    @property
    def n_joints(self) -> int:
        """Number of joints."""
        return len(self.names)

    @staticmethod
    def make_id_map(names: Iterable[str]) -> Addict:
        """Returns name -> index, whose keys can be read as attributes.

        >>> JointInfo.make_id_map(["pelv", "lhip"]).lhip
        1
        """
        return Addict({name: i for i, name in enumerate(names)})

    @staticmethod
    def other_side_joint_name(name: str) -> str:
        """Returns the name of the joint on the other side, as :func:`other_side_name`."""
        return other_side_name(name)

    def add_edges(self, edges: Iterable[tuple[int, int]] | str) -> None:
        """Adds index pairs as given, or mirrored paths of joint names."""
        if isinstance(edges, str):
            self.stick_figure_edges.extend(self._edges_of_paths(edges))
            return
        for first, second in edges:
            i, j = int(first), int(second)
            if not (0 <= i < self.n_joints and 0 <= j < self.n_joints):
                raise UsageError(
                    f"stick figure edge: found ({i}, {j}), expected indices below {self.n_joints}"
                )
            self.stick_figure_edges.append((i, j))

    def _edges_of_paths(self, paths):
        for path in paths.split(","):
            for a, b in itertools.pairwise(path.split("-")):
                if a not in self.ids or b not in self.ids:
                    continue
                i, j = self.ids[a], self.ids[b]
                edge = (min(i, j), max(i, j))
                mi, mj = self.mirror_mapping[i], self.mirror_mapping[j]
                mirrored = (min(mi, mj), max(mi, mj))
                yield edge
                if mirrored != edge:
                    yield mirrored

    def update_names(self, new_names: Iterable[str] | str) -> None:
        """Renames all joints; mirror pairs follow the new names."""
        names = new_names.split(",") if isinstance(new_names, str) else list(new_names)
        if len(names) != self.n_joints:
            raise UsageError(f"new joint names: found {len(names)}, expected {self.n_joints}")
        self._set_names([str(name) for name in names])
        self.mirror_mapping = _mirror_mapping(self.names, strict=False)

    def select_joints(self, selected_joint_ids: Iterable[int]) -> JointInfo:
        """Returns the skeleton of some joints, in the order given, with the edges among them."""
        selected = [int(i) for i in selected_joint_ids]
        place = {i: k for k, i in enumerate(selected)}
        edges = [
            (place[i], place[j]) for i, j in self.stick_figure_edges if i in place and j in place
        ]
        # One side only is a legitimate choice, hence not strict.
        return JointInfo([self.names[i] for i in selected], edges, strict=False)

    def _set_names(self, names):
        repeated = {name for name, n in Counter(names).items() if n > 1}
        if repeated:
            raise UsageError(f"joint name {sorted(repeated)[0]!r}: found twice, expected once")
        self.names = names
        self.ids = self.make_id_map(names)

    def __eq__(self, other):
        if not isinstance(other, JointInfo):
            return NotImplemented
        return (
            self.names == other.names
            and [tuple(e) for e in self.stick_figure_edges]
            == [tuple(e) for e in other.stick_figure_edges]
            and list(self.mirror_mapping) == list(other.mirror_mapping)
        )

    def __hash__(self):
        # What no method changes: names and edges may be replaced while it is a key somewhere.
        return hash(self.n_joints)

    def __repr__(self):
        return f"JointInfo({','.join(self.names)!r}, {self.stick_figure_edges!r})"

    def __str__(self):
        bones = ", ".join("-".join(self.names[i] for i in e) for e in self.stick_figure_edges)
        return f"Joints: {', '.join(self.names)}\nBones: {bones}"

    # One string and lists of small integers: no object identity gets into the pickle, so equal
    # skeletons give equal bytes.
    def __reduce__(self):
        flat_edges = [int(i) for edge in self.stick_figure_edges for i in edge]
        return _rebuild, ("\n".join(self.names), flat_edges, [int(i) for i in self.mirror_mapping])


def _rebuild(names: str, flat_edges: list[int], mirror_mapping: list[int]) -> JointInfo:
    info = JointInfo.__new__(JointInfo)
    info._set_names(names.split("\n") if names else [])
    info.mirror_mapping = mirror_mapping
    info.stick_figure_edges = list(zip(flat_edges[::2], flat_edges[1::2], strict=True))
    return info


def _mirror_mapping(names, strict):
    ids = {name: i for i, name in enumerate(names)}
    mapping = []
    for i, name in enumerate(names):
        j = ids.get(other_side_name(name))
        if j is None:
            if strict:
                raise UsageError(
                    f"joint {name!r}: no counterpart {other_side_name(name)!r} found; names that "
                    "start with l or r are taken for left and right, rename the joint or add the "
                    "other"
                )
            j = i
        mapping.append(j)
    return mapping
