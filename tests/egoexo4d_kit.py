"""Helpers of the tests of Ego-Exo4D."""

import json
import shutil
from pathlib import Path

import numpy as np

from posepile.ds.egoexo4d import main, miniature

SIZES = [(3840, 2160), (2160, 3840)]


def load(root, unit_id, **options):
    options = main.Options(**options)
    (unit,) = [u for u in main.list_units(root, options) if u.id == unit_id]
    (sequence,) = main.load_unit(root, unit, options)
    return sequence


def unit_ids(root, **options):
    return [u.id for u in main.list_units(root, main.Options(**options))]


def edit(path, function):
    content = json.loads(path.read_text())
    function(content)
    path.write_text(json.dumps(content))


def lens_matrix(f, size):
    return np.array([[f, 0, size[0] / 2], [0, f, size[1] / 2], [0, 0, 1.0]])


def body_of(joints):
    """The 17 body joints [17, 3] in the order of the miniature."""
    return joints[miniature.KNOWN]


def aria_pose(take, frame):
    """Rotation and translation (metres) of the glasses."""
    camera = miniature.glasses(miniature.wearer(take)[frame])
    return camera.rotation, camera.translation / 1000


CAM01 = f"train/{miniature.REPAIR}/cam01"


CAM02 = f"train/{miniature.REPAIR}/cam02"


EGO = f"train/{miniature.REPAIR}/aria01_214-1"


GP01 = f"val/{miniature.DANCE}/gp01"


def copy_of(raw, root):
    """Copies a miniature; videos become links, nobody writes to them."""

    def put(source, target):
        is_video = source.endswith(".mp4")
        return Path(target).symlink_to(source) if is_video else shutil.copyfile(source, target)

    shutil.copytree(raw, root, copy_function=put)
    return root
