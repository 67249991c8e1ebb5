"""Our joints by what other programs call their points."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Words of a label without its side -> joint (with l or r in front where it has a side), and the
# place of the body it is (skeletons/places.yaml), where it is called otherwise.
_MIDDLE = {
    "nose": ("nose", "nose"),
    "neck": ("neck", "neck"),
    "neckbase": ("neck", "neck"),
    "cervicalspine": ("neck", "neck"),
    "head": ("head", "head"),
    "headcenter": ("head", "head"),
    "headtop": ("htop", "headtop"),
    "tophead": ("htop", "headtop"),
    "topofhead": ("htop", "headtop"),
    "vertex": ("htop", "headtop"),
    "hip": ("pelv", "pelv"),
    "hips": ("pelv", "pelv"),
    "midhip": ("pelv", "pelv"),
    "chip": ("pelv", "pelv"),
    "pelvis": ("pelv", "pelv"),
    "root": ("pelv", "pelv"),
    "hipcenter": ("pelv", "pelv"),
    "hipscenter": ("pelv", "pelv"),
    "spine": ("spin", "spine2"),
    "torso": ("spin", "spine2"),
    "thorax": ("thor", "spine3"),
    "chest": ("thor", "spine3"),
    "jaw": ("jaw", "jaw"),
}
_SIDES = {
    "eye": ("eye", "eye"),
    "ear": ("ear", "ear"),
    "shoulder": ("sho", "sho"),
    "sho": ("sho", "sho"),
    "elbow": ("elb", "elb"),
    "elb": ("elb", "elb"),
    "wrist": ("wri", "wri"),
    "wri": ("wri", "wri"),
    "hand": ("han", "hand"),
    "hip": ("hip", "hip"),
    "knee": ("kne", "kne"),
    "kne": ("kne", "kne"),
    "ankle": ("ank", "ank"),
    "ank": ("ank", "ank"),
    "heel": ("hee", "heel"),
    "bigtoe": ("toe", "bigtoe"),
    "footindex": ("toe", "bigtoe"),
    "toe": ("toe", "bigtoe"),
    "smalltoe": ("to3", "smalltoe"),
    "clavicle": ("cla", "cla"),
    "collar": ("cla", "cla"),
}
# Bones between joints of which some may be absent; those of the right follow.
LINES = (
    "htop-head-neck-thor-spin-pelv",
    "neck-lcla-lsho-lelb-lwri-lhan",
    "pelv-lhip-lkne-lank-ltoe",
    "lank-lhee",
    "ltoe-lto3",
    "head-nose-leye-lear",
)
FEWER = ("lsho-rsho", "lhip-rhip", "lsho-lhip")  # where there is no neck or pelvis


def our_joints(labels: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Returns joint -> (label, place) of the points that are joints of ours, both sides or none.

    >>> our_joints(["RShoulder", "left_shoulder", "Hip", "balloon", "LEye"])
    {'rsho': ('RShoulder', 'rsho'), 'lsho': ('left_shoulder', 'lsho'), 'pelv': ('Hip', 'pelv')}
    """
    found: dict[str, tuple[str, str]] = {}
    for label in labels:
        joint, place = _joint(label)
        if joint and joint not in found:
            found[joint] = label, place
    middle = {name for name, _ in _MIDDLE.values()}
    return {
        joint: value
        for joint, value in found.items()
        if joint in middle or {f"l{joint[1:]}", f"r{joint[1:]}"} <= set(found)
    }


def bones(joints: Iterable[str]) -> str:
    """Returns edges between those joints that are there, as JointInfo takes them.

    >>> bones(["pelv", "neck", "lsho", "rsho", "lwri", "rwri"])
    'neck-pelv,neck-lsho-lwri'
    """
    there = set(joints)
    lines = ["-".join(n for n in line.split("-") if n in there) for line in LINES]
    if "neck" not in there:
        lines += [FEWER[0], FEWER[2]]
    if "pelv" not in there:
        lines += [FEWER[1], FEWER[2]]
    good = [line for line in lines if "-" in line and set(line.split("-")) <= there]
    return ",".join(dict.fromkeys(good))


def _joint(label: str) -> tuple[str, str]:
    """Joint and place of a label; empty if it is none of ours."""
    text = re.sub(r"([a-z])([A-Z])", r"\1_\2", label.rpartition(":")[2])
    words = [word for word in re.split(r"[^a-z0-9]+", text.lower()) if word]
    while len(words) > 1 and words[0] in ("body", "mediapipe", "pose", "kp", "skeleton"):
        words = words[1:]
    together = "".join(words)
    own = {name: (name, place) for name, place in _MIDDLE.values()}
    if together in _MIDDLE or together in own:
        return _MIDDLE.get(together) or own[together]
    for side, full in (("l", "left"), ("r", "right")):
        rest = None
        if side in words or full in words:
            kept = [word for word in words if word not in (side, full)]
            rest = "".join(kept)
        elif together.startswith(full):
            rest = together[len(full) :]
        elif together.startswith(side) and together[1:] in _SIDES:
            rest = together[1:]
        elif together.endswith(full):
            rest = together[: -len(full)]
        if rest in _SIDES:
            name, place = _SIDES[rest]
            return side + name, side + place
    return "", ""
