"""Rows of 3DHP, MuPoTS, 3DPW, EMDB and H36M for the comparison with references."""

from __future__ import annotations

import math
from unittest import mock

import numpy as np
from protocols_kit import (
    DEGENERATE,
    EITHER,
    EQUAL,
    REFUSED,
    Attack,
    Attacked,
    Row,
    chosen,
    each,
    empty,
    exchanged,
    key_words,
    lacking_one,
    more,
    pose_attacks,
    rows_of,
    single,
)
from references import emdb, h36m, mupots, tdhp, tdpw, trees

MIRROR = np.diag([-1.0, 1, 1])


# 3DHP and H36M: an array per image.
def naming_sequence(change):
    """Returns an attack of which the refusal names the sequence only."""

    def changed(poses, rng):
        attacked = change(poses, rng)
        sequences = {tdhp.sequence_of(key) for key in poses if key not in attacked.poses}
        return Attacked(attacked.poses, (tuple(sequences),))

    return changed


def nan_left_out(poses, rng):
    """Puts NaN into a pose, which may be missing."""
    key, value = chosen(poses, rng)
    rest = {k: v for k, v in rows_of(poses) if k != key}
    return Attacked({**poses, key: np.where(np.eye(3)[1] > 0, math.nan, value)}, scored=rest)


def at_thresholds(true, rng, protocol):
    """Returns predictions off by multiples of 5 mm, as thresholds are, along one axis."""
    poses = {}
    for key, entry in true.items():
        off = 5 * rng.integers(0, 40, (17, 1)) * np.eye(3)[rng.integers(0, 3, 17)]
        off[tdhp.PELVIS] = 0
        poses[key] = entry["pose"] - entry["pose"][tdhp.PELVIS] + off
    return poses


LENIENT = {
    "more": Attack(more, EQUAL),
    "missing_allowed": Attack(lacking_one, EQUAL, ("--allow-missing",)),
    "nan_allowed": Attack(nan_left_out, EQUAL, ("--allow-missing",)),
}


def single_precision(poses, rng):
    """Writes float32."""
    return Attacked({key: np.float32(pose) for key, pose in rows_of(poses)})


LENIENT["float32"] = Attack(single_precision, EQUAL)
TDHP = pose_attacks(tdhp.SWAPPED, **LENIENT, **DEGENERATE)
# In a .mat the order alone says which image is meant.
IN_ORDER = pose_attacks(
    tdhp.SWAPPED,
    shuffled=None,
    doubled=None,
    missing=Attack(naming_sequence(lacking_one), REFUSED),
    single=Attack(naming_sequence(single), REFUSED),
)
H36M = pose_attacks(h36m.SWAPPED, **LENIENT, **DEGENERATE)


# MuPoTS: points and poses of several people per image.
def with_nan(which):
    """Returns an attack that puts NaN into somebody's points (0) or pose (1)."""

    def change(poses, rng):
        key, both = next((k, b) for k, b in rows_of(poses) if len(b[0]))
        both, joint = [np.array(part) for part in both], int(rng.integers(1, 14))
        both[which][0, joint, 0] = math.nan
        words = (*key_words(key), key.replace("/", "_").removesuffix(".jpg"))
        file = ("preds_2d_kpt_mupots.mat", "preds_3d_kpt_mupots.mat")[which]
        return Attacked({**poses, key: tuple(both)}, (words, f"joint {joint}", file))

    return change


def of_both(points, pose):
    """Returns an attack that changes the points and poses of everybody."""
    return each(lambda both: (points(both[0]), pose(both[1])))


def nobody(poses, rng):
    """Leaves nobody in every second image."""
    none = np.zeros((0, 17, 2)), np.zeros((0, 17, 3))
    return Attacked({k: none if i % 2 else v for i, (k, v) in enumerate(rows_of(poses))})


def lacking_image(change):
    """Returns an attack that leaves images out; their variables may be named instead."""

    def changed(poses, rng):
        left = change(poses, rng).poses
        absent = next((key for key in poses if key not in left), None)
        words = (*key_words(absent), absent.replace("/", "_").removesuffix(".jpg"))
        return Attacked(left, (words,))

    return changed


def reorder(part):
    return part[:, mupots.SWAPPED]


def two_in_one(pose):
    """Puts the left elbow where the left shoulder is."""
    return pose[:, [*range(6), 5, *range(7, 17)]]


MUPOTS = {
    "nan": Attack(with_nan(1), REFUSED),
    "nan_points": Attack(with_nan(0), REFUSED),
    "missing": Attack(lacking_image(lacking_one), REFUSED),
    "single": Attack(lacking_image(single), REFUSED),
    "empty": Attack(empty, REFUSED),
    "nobody": Attack(nobody, EQUAL),
    "swapped": Attack(of_both(reorder, reorder), EQUAL),
    "mirrored": Attack(of_both(lambda x: x, lambda pose: pose @ MIRROR), EQUAL),
    "times_1000": Attack(of_both(lambda x: x, lambda pose: pose * 1000), EITHER),
    "people_swapped": Attack(of_both(lambda x: x[::-1], lambda pose: pose[::-1]), EQUAL),
    "poses_swapped": Attack(of_both(lambda x: x, lambda pose: pose[::-1]), EQUAL),
    "exchanged": Attack(exchanged, EQUAL),
    # Bones without length have no direction: their joints are wrong.
    "flat": Attack(of_both(lambda x: x, lambda pose: pose * np.array([1.0, 1, 0])), EQUAL),
    "in_a_point": Attack(of_both(lambda x: x, lambda pose: 0 * pose + pose[:, :1]), EITHER),
    "two_in_one": Attack(of_both(lambda x: x, two_in_one), EQUAL),
}


# 3DPW: arrays of all people and frames per sequence.
def of_tracks(**changes):
    """Returns an attack that changes arrays of every sequence by their names."""
    return each(
        lambda content: {
            key: changes.get(key, lambda x: x)(array) for key, array in content.items()
        }
    )


def nan_in_track(array, frame):
    """Returns an attack that puts NaN into a frame of somebody in the last sequence."""

    def change(poses, rng):
        key, content = rows_of(poses)[-1]
        array_ = np.array(content[array])
        joint = int(rng.integers(array_.shape[2]))
        array_[0, frame, joint] = math.nan
        named = (key_words(key), (f"frame {frame}", f"/{frame}", f"{frame:05d}"), f" {joint}")
        return Attacked({**poses, key: {**content, array: array_}}, named)

    return change


def shorter(poses, rng):
    """Leaves the last frame out of a sequence."""
    key, content = chosen(poses, rng)
    cut = {name: array[:, :-1] for name, array in content.items()}
    return Attacked({**poses, key: cut}, (key_words(key),))


def fewer_people(poses, rng):
    """Leaves out a person."""
    key, content = next((k, c) for k, c in rows_of(poses))
    fewer = {name: array[:-1] for name, array in content.items()}
    return Attacked({**poses, key: fewer}, (key_words(key),))


def without_orientations(poses, rng):
    """Leaves the rotations out of one file."""
    key, content = chosen(poses, rng)
    rest = {name: array for name, array in content.items() if name != "orientations"}
    return Attacked({**poses, key: rest}, (key_words(key), "orientations"))


def swap_people(array):
    return array[::-1]


SIDES = {
    "jointPositions": lambda x: x[:, :, tdpw.SWAPPED],
    "orientations": lambda x: x[:, :, tdpw.SWAPPED_PARTS],
}
IN_MIRROR = {
    "jointPositions": lambda x: x @ MIRROR,
    "vertices": lambda x: x @ MIRROR,
    "orientations": lambda x: MIRROR @ x @ MIRROR,
}
LARGER = {"jointPositions": lambda x: 1000 * x, "vertices": lambda x: 1000 * x}
ALL_SAME = dict.fromkeys(("jointPositions", "vertices", "orientations"), swap_people)
AT_ZERO = {"jointPositions": lambda x: 0 * x, "vertices": lambda x: 0 * x}
FLAT = dict.fromkeys(("jointPositions", "vertices"), lambda x: x * np.array([1.0, 1, 0]))
TDPW = {
    "nan": Attack(nan_in_track("jointPositions", 1), REFUSED),
    "missing": Attack(lacking_one, REFUSED),
    "shorter": Attack(shorter, REFUSED),
    "fewer_people": Attack(fewer_people, REFUSED),
    "empty": Attack(empty, REFUSED),
    "swapped": Attack(of_tracks(**SIDES), EQUAL),
    "mirrored": Attack(of_tracks(**IN_MIRROR), EQUAL),
    "times_1000": Attack(of_tracks(**LARGER), EITHER),
    "people_swapped": Attack(of_tracks(**ALL_SAME), EQUAL),
    "all_zero": Attack(of_tracks(**AT_ZERO), EQUAL),
    "flat": Attack(of_tracks(**FLAT), EQUAL),
}
ONE_SEQUENCE = ("missing", "single", "without_orientations")
CHALLENGE = {
    **TDPW,
    "without_orientations": Attack(without_orientations, REFUSED),
    "nan_rotation": Attack(nan_in_track("orientations", 1), REFUSED),
    "single": Attack(single, REFUSED),
}
# Of made-up tracks the first frame counts; of the only test sequence of the miniature it does not.
FIRST_FRAMES = {
    "nan": Attack(nan_in_track("jointPositions", 0), REFUSED),
    "nan_rotation": Attack(nan_in_track("orientations", 0), REFUSED),
}
UNSEEN = {"nan_where_nobody_looks": Attack(nan_in_track("jointPositions", 0), EQUAL)}
HMR = {**TDPW, "nan": Attack(nan_in_track("vertices", 1), REFUSED), "missing": None}


# EMDB: body parameters per sequence.
def nan_in_pose(poses, rng):
    """Puts NaN into the rotation of a joint in a good frame."""
    key, content = chosen(poses, rng)
    pose, joint = np.array(content["pose"]), int(rng.integers(24))
    pose[6, 3 * joint + 1] = math.nan
    named = (emdb_words(key), "6")
    return Attacked({**poses, key: {**content, "pose": pose}}, named)


def emdb_words(key):
    """Returns how a message may name a sequence."""
    return (key, key.replace("_", "/", 1))


def emdb_lacking(change):
    """Returns an attack that leaves sequences out."""

    def changed(poses, rng):
        left = change(poses, rng).poses
        return Attacked(left, (emdb_words(next(key for key in poses if key not in left)),))

    return changed


def fewer_frames(poses, rng):
    """Leaves the last frame out of a sequence."""
    key, content = chosen(poses, rng)
    cut = {name: array[:-1] for name, array in content.items()}
    return Attacked({**poses, key: cut}, (emdb_words(key),))


def of_parameters(**changes):
    return of_tracks(**changes)


def sides(pose):
    return pose.reshape(-1, 24, 3)[:, emdb.SWAPPED].reshape(-1, 72)


EMDB = {
    "nan": Attack(nan_in_pose, REFUSED),
    "missing": Attack(emdb_lacking(lacking_one), REFUSED),
    "single": Attack(emdb_lacking(single), REFUSED),
    "shorter": Attack(fewer_frames, REFUSED),
    "empty": Attack(empty, REFUSED),
    "exchanged": Attack(exchanged, EQUAL),
    "swapped": Attack(of_parameters(pose=sides), EQUAL),
    "mirrored": Attack(of_parameters(pose=lambda x: sides(x) * np.tile([1, -1, -1], 24)), EQUAL),
    "times_1000": Attack(of_parameters(trans=lambda x: 1000 * x), EITHER),
}


def all_tracks(folder, raw_miniature):
    """Makes 3DPW with its 87 tracks."""
    trees.write_tdpw_tracks(folder, raw_miniature("tdpw"))
    return folder


def whole_numbers(folder, raw_miniature):
    """Makes 3DHP with whole millimetres, so that errors can lie on thresholds."""
    trees.write_tdhp(folder)
    return folder


def walks(folder, raw_miniature):
    """Makes EMDB 2 with sequences of more than a hundred frames, in which feet stand still."""
    trees.write_emdb_walks(folder, raw_miniature("emdb"))
    return folder


def actions(folder, raw_miniature):
    """Makes H36M with takes of both test subjects and of several actions."""
    from posepile.ds.h36m import miniature

    takes = (
        ("S9", "test", "Greeting", "Greeting", miniature.HALTING, 66, 200),
        ("S9", "test", "Greeting 1", "Greeting 1", range(6), 3, 0),
        ("S11", "test", "Walking 1", "Walking 1", range(8), 5, 0),
        ("S11", "test", "Directions 1", "Directions 1", range(4), 1, 0),
        ("S11", "", "_ALL", "_ALL", range(4), 2, 0),
    )
    with mock.patch.object(miniature, "TAKES", takes):
        miniature.build(folder)
    return folder


def without(attacks, left_out):
    return {name: attack for name, attack in attacks.items() if name not in left_out}


ROWS = [
    *(
        Row(f"tdhp.{name}", tdhp, "predictions.mat", IN_ORDER)
        for name in ("official", "official-corrected")
    ),
    *(Row(f"tdhp.{name}", tdhp, attacks=TDHP) for name in ("posepile", "posepile-universal")),
    Row("tdhp.official", tdhp, "whole.mat", root=whole_numbers, guess=at_thresholds),
    Row("tdhp.posepile", tdhp, "whole.npz", root=whole_numbers, guess=at_thresholds),
    *(
        Row(f"mupots.{name}", mupots, "predictions", MUPOTS)
        for name in ("all", "matched", "all-absolute", "matched-absolute", "all-corrected")
    ),
    Row("tdhp.official", tdhp, "relative.npz"),
    Row("tdhp.posepile", tdhp, "predictions.mat"),
    *(
        Row(f"mupots.{name}", mupots, "people.npz", guess=mupots.guess_in_space)
        for name in ("all", "matched-absolute", "all-corrected")
    ),
    Row("tdpw.challenge", tdpw, "predictions", CHALLENGE | FIRST_FRAMES, all_tracks),
    Row("tdpw.challenge-test", tdpw, "predictions", without(CHALLENGE, ONE_SEQUENCE) | UNSEEN),
    Row("tdpw.posepile", tdpw, "predictions", TDPW),
    Row("tdpw.hmr14", tdpw, "predictions", without(HMR, ONE_SEQUENCE)),
    Row("tdpw.hmr14", tdpw, "all", root=all_tracks),  # some of them were not detected
    Row("emdb.1", emdb, "predictions", EMDB),
    Row("emdb.1", emdb, "posepile.pkl"),
    Row("emdb.1-posepile", emdb, "official"),
    Row("emdb.1-corrected", emdb, "predictions", EMDB),
    Row("emdb.1-posepile", emdb, "predictions.pkl", EMDB),
    Row("emdb.2", emdb, "predictions.pkl", root=walks),
    Row("emdb.2", emdb, "few.pkl", EMDB),
    *(
        Row(f"h36m.{name}", h36m, attacks=H36M, root=actions)
        for name in ("p1", "p2", "p1-corrected", "p2-corrected")
    ),
    *(
        Row(f"h36m.lifting-{name}", h36m, attacks=H36M if name == "p1" else {}, root=actions)
        for name in ("p1", "p2", "p3", "velocity")
    ),
]
