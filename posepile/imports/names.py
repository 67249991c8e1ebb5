"""Names of key points as others spell them, in the form that skeletons here have.

The first letter alone tells left from right here, and ``_`` separates a joint from its skeleton
in merged sets; so ``left_shoulder`` becomes ``lsho``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from posepile.errors import UsageError
from posepile.joint_info import JointInfo
from posepile.skeletons.data import conventions, find_convention

# What others call the joints that most skeletons have.
_SHORT = {
    "shoulder": "sho", "elbow": "elb", "wrist": "wri", "knee": "kne", "ankle": "ank",
    "pelvis": "pelv", "headtop": "htop", "topofhead": "htop", "spine": "spin", "thorax": "thor",
    "hand": "han", "foot": "foo", "heel": "hee", "collar": "cla",
}  # fmt: skip
_SIDE = re.compile(r"(left|right|l|r)[\W_]+(.+)", re.IGNORECASE)
_JOINED = re.compile(r"(left|right)(?=[A-Za-z])(.+)", re.IGNORECASE)

_FINGERS = ("thumb", "index", "middle", "ring", "pinky")


def own_name(name: str) -> str:
    """Returns a key point's name in the form that skeletons here have.

    >>> [own_name(n) for n in ("left_shoulder", "Right Big-Toe", "R_Hip", "lwri", "head_top")]
    ['lsho', 'rbigtoe', 'rhip', 'lwri', 'htop']
    """
    found = _SIDE.fullmatch(name.strip()) or _JOINED.fullmatch(name.strip())
    side, rest = (found[1][0].lower(), found[2]) if found else ("", name)
    rest = re.sub(r"[^0-9a-z]+", "", rest.lower())
    return side + _SHORT.get(rest, rest)


def own_names(names: Iterable[str]) -> list[str]:
    """Returns names as of :func:`own_name`; those that would be the same get a number.

    >>> own_names(["nose", "left_hip", "LEFT HIP"])
    ['nose', 'lhip', 'lhip2']
    """
    result: list[str] = []
    for name in names:
        base = own_name(str(name)) or "joint"
        number, new = 1, base
        while new in result:
            number += 1
            new = f"{base}{number}"
        result.append(new)
    return result


def joint_info(names: Iterable[str], edges: Iterable[tuple[int, int]] = ()) -> JointInfo:
    """Returns the skeleton of key points as others name them.

    Where they are those of a known convention, it has that one's names.

    Args:
        names: As the files have them.
        edges: Pairs of indices; none = those of the convention.
    """
    names, edges = [str(name) for name in names], list(edges)
    spelt = [_letters(name) for name in names]
    for known in conventions().values():
        if known.joint_info is not None and [_letters(n) for n in known.official] == spelt:
            return JointInfo(
                known.joint_info.names, edges or known.joint_info.stick_figure_edges, strict=False
            )
    return JointInfo(own_names(names), edges, strict=False)


def _letters(name):
    return re.sub(r"[^0-9a-z]+", "", name.lower())


def _hand(side):
    """Names of MHR's hand: of each finger the tip first, the wrist last."""
    joints = (f"{side}{f}{k}" for f in _FINGERS for k in (4, 3, 2, 1))
    return [*joints, f"{side}wri"]


# The 70 key points of SAM 3D Body; facebookresearch/sam-3d-body, sam_3d_body/metadata/mhr70.py.
MHR70 = [
    *"nose leye reye lear rear lsho rsho lelb relb lhip rhip lkne rkne lank rank".split(),
    *"lbigtoe lsmalltoe lhee rbigtoe rsmalltoe rhee".split(),
    *_hand("r"),
    *_hand("l"),
    *"lolecranon rolecranon lcubitalfossa rcubitalfossa lacromion racromion neck".split(),
]

# The 44 of SPIN and 4D-Humans: OpenPose's 25, then 19 of other datasets, here with an x behind.
_OPENPOSE = (
    "nose neck rsho relb rwri lsho lelb lwri pelv rhip rkne rank lhip lkne lank reye leye rear "
    "lear lbigtoe lsmalltoe lhee rbigtoe rsmalltoe rhee"
).split()
_EXTRA = (
    "rankx rknex rhipx lhipx lknex lankx rwrix relbx rshox lshox lelbx lwrix neckx htopx pelvx "
    "thorx spinx jawx headx"
).split()
SPIN44 = [*_OPENPOSE, *_EXTRA]

_LIMBS = "hip-kne-ank,sho-elb-wri"
_OWN = {"mhr70": MHR70, "spin44": SPIN44}


def _edges(names):
    paths = [
        "-".join(side + joint for joint in limb.split("-"))
        for side in "lr"
        for limb in _LIMBS.split(",")
    ]
    info = JointInfo(names, strict=False)
    info.add_edges(",".join([*paths, "lhip-rhip,lsho-rsho,lsho-lhip,neck-nose"]))
    return list(dict.fromkeys(info.stick_figure_edges))


def convention(name: str) -> JointInfo:
    """Returns the skeleton of a convention by its name.

    Raises:
        UsageError: There is none of that name.
    """
    if name in _OWN:
        return JointInfo(_OWN[name], _edges(_OWN[name]), strict=False)
    found = find_convention(name)
    if found is None or found.joint_info is None:
        known = ", ".join([*_OWN, *conventions()])
        raise UsageError(f"joints: no convention {name!r}; there are {known}; or give a list")
    return found.joint_info
