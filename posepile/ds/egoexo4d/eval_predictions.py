"""Predictions of body and hands: the challenge's JSON, or an npz over our images.

Body JSON, global frame, metres: ``{take_uid: {"take_name": "takes/<name>", "body": {frame:
17x3}}}``. Hand JSON, frame of the glasses' RGB camera, metres: ``{take_uid: {frame:
{"left_hand_3d": 21x3, "right_hand_3d": 21x3}}}``. A pose has its path in that JSON as key.
An npz has ``image_path`` and ``coords3d_pred_world`` ``[n, 61, 3]`` (or 17 body joints) in
millimetres; several views of one instant are averaged.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from posepile.ds.egoexo4d import aria, takes
from posepile.ds.egoexo4d.annotations import BODY_INDICES, PARTS
from posepile.evaluation.benchmark import MILLIMETRES, Predictions
from posepile.evaluation.forms import check_pred, keyed, npz_poses, read_npz_poses
from posepile.evaluation.predictions import flatten, read_pred_json
from posepile.formats.schema import Array

KEY = "coords3d_pred_world"
BODY_FORM = {"*": {"body": {"*": None}}}
HANDS = ("right_hand", "left_hand")  # the benchmark's order


def body_poses(root: Path, path: Path) -> Predictions:
    """Returns the opened predictions of the body, ``[17, 3]`` by ``<take_uid>/body/<frame>``."""
    if path.suffix == ".npz":
        joints = {17: None, 61: BODY_INDICES}
        key_of = instant(root, "{}/body/{}")
        return npz_poses(path, KEY, joints, key_of=key_of, views=True, what="pose")
    return json_poses(path, BODY_FORM, 17)


def hand_poses(root: Path, path: Path, split: str, unit: str | None = None) -> Predictions:
    """Returns the opened predictions of hands, ``[21, 3]`` by ``<take_uid>/<frame>/<hand>_3d``.

    Args:
        root: Raw folder of the dataset.
        path: The file.
        split: Where the poses of the glasses are, for an npz of world coordinates.
        unit: What the command line says that the npz is in.
    """
    if path.suffix != ".npz":
        return json_poses(path, {"*": {"*": {"*": None}}}, 21)
    poses = read_npz_poses(path, KEY, {61: None}, key_of=instant(root, "{}/{}"), views=True)
    metre, found = 1000 / MILLIMETRES[poses.units or unit or "mm"], {}
    for key, coords in zip(poses.keys, poses.coords, strict=True):
        uid, _, frame = key.partition("/")
        file = takes.camera_pose_file(root, split, uid)
        glasses = aria.read_glasses(file)[0] if file.is_file() else {}
        if frame.isdigit() and int(frame) in glasses:
            rotation, translation = glasses[int(frame)]
            camera = coords @ rotation.T + translation * metre
            found |= {f"{key}/{hand}_3d": camera[PARTS[hand]] for hand in HANDS}
    coords = np.reshape(list(found.values()), (-1, 21, 3))
    return keyed(path, list(found), {"joints": coords}, stated=poses.units, what="pose")


def json_poses(path: Path, form: Any, n_joints: int) -> Predictions:
    """Returns the opened predictions of a JSON file, in metres; empty ones are none."""
    shape, flat = Array(n_joints, 3, finite=False), flatten(read_pred_json(path, form), 3)
    poses = {k: check_pred(v, shape, path, k) for k, v in flat.items() if v != []}
    coords = np.reshape(list(poses.values()), (-1, n_joints, 3))
    return keyed(path, list(poses), {"joints": coords}, what="pose", unit="m")


def instant(root: Path, key: str) -> Callable[[str], str | None]:
    """Returns what gives the key of an instant by the path of an image of ours."""
    uids = {take["take_name"]: take["take_uid"] for take in takes.read_takes(root)}

    def key_of(image_path: str) -> str | None:
        found = re.fullmatch(r"[^/]+/([^/]+)/[^/]+/([0-9]{1,18})\.jpg", image_path)
        return key.format(uids[found[1]], int(found[2])) if found and found[1] in uids else None

    return key_of
