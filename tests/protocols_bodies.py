"""Rows of RICH, EHF, SSP-3D, 3DOH50K, AGORA, ASPset and Ego-Exo4D."""

from __future__ import annotations

import json
import math
import pickle
import shutil
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from protocols_kit import (
    EITHER,
    EQUAL,
    REFUSED,
    Attack,
    Attacked,
    Row,
    doubled,
    each,
    empty,
    lacking_one,
    pose_attacks,
    rows_of,
    single,
    with_number,
)
from references import agora, aspset, egoexo4d, ehf, rich, ssp3d, tdoh

LSP_SWAPPED = [5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6, 12, 13]
ASPSET_SWAPPED = [*range(6, 12), *range(6), *range(12, 17)]
COCO_SWAPPED = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]
ROWS: list[Row] = []


def row(*args, **options) -> None:
    """Adds a row."""
    ROWS.append(Row(*args, **options))


def attacks(order=(), **changes) -> dict[str, Attack]:
    """Returns the attacks on poses, some of them replaced; None: it does not apply."""
    found = {**pose_attacks(list(order)), **changes}
    return {name: attack for name, attack in found.items() if attack is not None}


def in_entry(key, _joint=None) -> tuple:
    """Returns what names an entry: the last part of a path or tuple."""
    return (str(key[-1] if isinstance(key, tuple) else key).rsplit("/", 1)[-1],)


def in_point(key, joint) -> tuple:
    """Returns what names an entry and a joint or vertex of it."""
    return (*in_entry(key), (f"joint {joint}", f"vertex {joint}", f"vertices {joint}"))


REVERSED = Attack(each(lambda mesh: mesh[..., ::-1, :]), EQUAL)
MESH = attacks(
    swapped=REVERSED,
    nan=Attack(with_number(math.nan, in_point), REFUSED),
    infinite=Attack(with_number(math.inf, in_point), REFUSED),
)

for protocol in ("tdoh.lsp14", "tdoh.lsp14-pa"):
    row(protocol, tdoh, attacks=attacks(LSP_SWAPPED))
row("tdoh.pare", tdoh, attacks=MESH)


# A pickled dict has each picture once, in whatever order.
ONCE = {name: attack for name, attack in MESH.items() if name != "doubled"}
row("ehf.hand4whole", ehf, "predictions.pkl", ONCE)
row("ehf.posepile", ehf, "predictions.pkl", ONCE, options=("--camspace",))
STUDIO = SimpleNamespace(**{**vars(ehf), "truth": partial(ehf.truth, camera_frame=False)})
row("ehf.posepile", STUDIO, "studio.pkl", {}, lambda folder, miniature: miniature("ehf"))


def long_recording(folder: Path, miniature) -> Path:
    """Makes a RICH whose test recording goes on for some frames, with a gap."""
    source, rng = miniature("rich"), np.random.default_rng(0)
    for name in ("body_models", "resource", "scan_calibration"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(source / name)
    (body,) = (source / "test_body").iterdir()
    fits = sorted(body.glob("*/*.pkl"))
    for frame in [*range(344, 350), *range(351, 356)]:
        fit = pickle.loads(fits[frame % len(fits)].read_bytes())
        fit["body_pose"] = np.float32(fit["body_pose"] + rng.normal(0, 0.05, (1, 63)))
        path = folder / "test_body" / body.name / f"{frame:05d}" / fits[0].name
        path.parent.mkdir(parents=True)
        path.write_bytes(pickle.dumps(fit))
    return folder


row("rich.body", rich, attacks=MESH)
row("rich.body", rich, "long.npz", {}, long_recording)


def in_dict(change):
    """Returns an attack that changes one array of the dict of an entry, drawn by chance."""

    def attack(poses, rng):
        rows = rows_of(poses)
        key, value = rows[int(rng.integers(len(rows)))]
        name = sorted(value)[int(rng.integers(len(value)))]
        changed = {**value, name: change(np.array(value[name], float))}
        return Attacked({**dict(rows), key: changed}, (in_entry(key),))

    return attack


def in_array(number):
    """Returns an attack that puts a number into the array of an entry."""

    def attack(poses, rng):
        rows = rows_of(poses)
        key, value = rows[int(rng.integers(len(rows)))]
        value = np.array(value, float)
        value[5] = number
        return Attacked({**dict(rows), key: value}, (in_entry(key), ("5",)))

    return attack


def of_all(**changes):
    """Returns an attack that changes arrays of every entry by their names."""

    def attack(poses, rng):
        out = {}
        for key, value in rows_of(poses):
            named = {
                name: changes[name](array) for name, array in value.items() if name in changes
            }
            out[key] = {**value, **named}
        return Attacked(out)

    return attack


def first_number(number):
    """Returns a function that puts a number in the place of the first one."""

    def change(array):
        array.flat[0] = number
        return array

    return change


SMPL_SWAPPED = [
    0,
    2,
    1,
    3,
    5,
    4,
    6,
    8,
    7,
    9,
    11,
    10,
    12,
    14,
    13,
    15,
    17,
    16,
    19,
    18,
    21,
    20,
    23,
    22,
]
PARAMETERS = attacks(
    nan=Attack(in_dict(first_number(math.nan)), REFUSED),
    infinite=Attack(in_dict(first_number(math.inf)), REFUSED),
    swapped=Attack(of_all(pose=lambda p: p[SMPL_SWAPPED] * np.array([1, -1, -1])), EQUAL),
    mirrored=Attack(of_all(trans=lambda t: t * np.array([-1.0, 1, 1])), EQUAL),
    times_1000=Attack(of_all(trans=lambda t: 1000 * t), EITHER),
)
POINTS = attacks(
    nan=PARAMETERS["nan"],
    infinite=PARAMETERS["infinite"],
    swapped=Attack(of_all(vertices=lambda v: v[::-1].copy()), EQUAL),
    mirrored=Attack(of_all(vertices=lambda v: v * np.array([-1.0, 1, 1])), EQUAL),
    times_1000=Attack(of_all(vertices=lambda v: 1000 * v, joints=lambda j: 1000 * j), EITHER),
)
# Bodies are drawn, and fitted: a second each, so only the first has every attack.
row("ssp3d.official", ssp3d, attacks=PARAMETERS, seeds=(0, 1))
SOME = ("nan", "mirrored", "exchanged", "doubled", "empty")
row("ssp3d.hierprob", ssp3d, attacks={k: PARAMETERS[k] for k in SOME}, seeds=(0, 1))
row("ssp3d.posepile", ssp3d, attacks={k: POINTS[k] for k in SOME}, seeds=(0,))

ONE_CLIP = attacks(ASPSET_SWAPPED, exchanged=None, single=None, shuffled=None)


def three_views(folder: Path, miniature) -> Path:
    """Makes an ASPset with a test split of three clips, two of them with all views."""
    source = miniature("aspset") / "data"
    shutil.copytree(source / "trainval", folder / "data" / "test")
    shutil.copytree(source / "test", folder / "data" / "test", dirs_exist_ok=True)
    text = (source / "splits.csv").read_text()
    text = text.replace(",train,", ",test,").replace(",val,", ",test,")
    (folder / "data" / "splits.csv").write_text(text)
    return folder


ASPSET = attacks(
    ASPSET_SWAPPED, exchanged=None,  # of another length
    nan=Attack(with_number(math.nan, in_point), REFUSED),
    infinite=Attack(with_number(math.inf, in_point), REFUSED),
)  # fmt: skip
for protocol in ("aspset.official", "aspset.universal"):
    row(protocol, aspset, "predictions", ASPSET, three_views)
for form in ("predictions_csv", "predictions_c3d"):
    row("aspset.official", aspset, form, {}, three_views)


def long_takes(folder: Path, miniature) -> Path:
    """Makes an Ego-Exo4D whose labelled take of val is long, with gaps in it."""
    source = miniature("egoexo4d")
    (folder / "annotations").mkdir(parents=True)
    for name in ("takes.json", "annotations/splits.json"):
        shutil.copyfile(source / name, folder / name)
    shutil.copytree(source / "annotations" / "ego_pose", folder / "annotations" / "ego_pose")
    rng, val = np.random.default_rng(0), folder / "annotations" / "ego_pose" / "val"
    (file,) = (val / "body" / "annotation").glob("*.json")
    frames = [*range(2, 140, 3), *range(146, 290, 3), *range(400, 460, 3)]
    labels, places = {}, rng.normal(0, 0.4, (17, 3)) + np.array([0, 0, 1.0])
    for frame in frames:
        places = places + rng.normal(0, 0.02, (17, 3))
        known = {name: dict(zip("xyz", p, strict=True)) | {"num_views_for_3d": 3}
                 for name, p in zip(egoexo4d.BODY, places.tolist(), strict=True)
                 if rng.random() > 0.1}  # fmt: skip
        labels[str(frame)] = [{"annotation3D": known, "annotation2D": {}}]
    labels["50"], labels["53"] = [], [{"annotation3D": {}, "annotation2D": {}}]
    file.write_text(json.dumps(labels))
    glasses = val / "camera_pose" / file.name
    content = json.loads(glasses.read_text())
    turning = {}
    for frame in range(470):
        angle = 0.01 * frame
        turn = [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
        turning[str(frame)] = np.c_[turn, [0.1, 0.2, 0.001 * frame]].tolist()
    del turning["230"]
    content["aria01"]["camera_extrinsics"] = turning
    glasses.write_text(json.dumps(content))
    return folder


def in_frame(key, joint=None) -> tuple:
    """Returns what names a frame, and a joint of it."""
    frame = (str(key[1]),)
    return frame if joint is None else (frame, (f"joint {joint}", egoexo4d.BODY[joint]))


def renamed(attack, words):
    """Returns an attack of which the refusal names entries otherwise.

    Args:
        attack: Changes the entries of which one is left out or doubled.
        words: The changed keys, all keys -> what the refusal must say.
    """

    def change(poses, rng):
        found = attack(poses, rng)
        keys, before = [key for key, _ in rows_of(found.poses)], list(poses)
        named = [k for k in before if keys.count(k) != 1]
        return found._replace(named=(tuple(w for k in named for w in words(k)),))

    return change


COUNTED = {"missing": lacking_one, "single": single, "doubled": doubled}
FRAMES = {
    name: Attack(renamed(change, lambda key: (str(key[1]),)), REFUSED)
    for name, change in COUNTED.items()
}
# A frame without labels may be missing.
BODY = attacks(
    COCO_SWAPPED,
    **{**FRAMES, "missing": Attack(FRAMES["missing"].change, EITHER)},
    nan=Attack(with_number(math.nan, in_frame), EITHER),  # none is scored without a label
    infinite=Attack(with_number(math.inf, in_frame), EITHER),
)
for protocol in ("egoexo4d.body", "egoexo4d.body-pooled", "egoexo4d.body-corrected"):
    row(protocol, egoexo4d, "predictions.json", BODY, long_takes)


def hand_truth(folder: Path, miniature) -> Path:
    """Makes a truth of hands in the official form beside the takes."""
    rng, out = np.random.default_rng(0), {}
    (folder / "annotations").mkdir(parents=True)
    for name in ("takes.json", "annotations/splits.json"):
        shutil.copyfile(miniature("egoexo4d") / name, folder / name)
    takes = json.loads((folder / "takes.json").read_text())
    for uid in sorted(take["take_uid"] for take in takes)[:2]:
        for frame in (3, 9, 12):
            hands = {}
            for i, side in enumerate(egoexo4d.SIDES):
                valid = rng.random(21) > 0.2
                joints = rng.normal(0, 0.05, (21, 3)) + np.array([0.1, 0, 0.4])
                given = (frame, i) != (9, 1)
                hands[f"{side}_hand_3d"] = joints.tolist() if given else []
                hands[f"{side}_hand_valid_3d"] = valid.tolist() if given else []
            out.setdefault(uid, {})[str(frame)] = hands
    (folder / "hand_truth.json").write_text(json.dumps(out))
    return folder


HAND = attacks(
    **FRAMES,
    swapped=Attack(each(lambda hand: hand[::-1]), EQUAL),
    nan=Attack(with_number(math.nan, lambda key, joint: (str(key[1]),)), EITHER),
    infinite=Attack(with_number(math.inf, lambda key, joint: (str(key[1]),)), EITHER),
)
TRUTH = ("--truth", "{root}/hand_truth.json")
row("egoexo4d.hand", egoexo4d, "predictions.json", HAND, hand_truth, options=TRUTH)


N_SKIN = {"smpl": 6890, "smplx": 10475}


def with_indices(folder: Path, miniature) -> Path:
    """Makes the labels of AGORA's miniature with the index files of the official package."""
    source, rng = miniature("agora"), np.random.default_rng(0)
    for name in ("SMPL", "SMPLX", "body_models"):
        shutil.copytree(source / name, folder / name)
    chosen = {k: np.sort(rng.choice(n, 4010, replace=False)) for k, n in N_SKIN.items()}
    ids = folder / "body_models" / "smplx"
    for kind, values in chosen.items():
        np.save(folder / "body_models" / f"body_verts_{kind}.npy", values)
    hands = {f"{side}_hand": rng.choice(10475, 778, replace=False) for side in ("left", "right")}
    (ids / "MANO_SMPLX_vertex_ids.pkl").write_bytes(pickle.dumps(hands))
    np.save(ids / "SMPL-X__FLAME_vertex_ids.npy", rng.choice(10475, 5023, replace=False))
    return folder


def of_people(change):
    """Returns an attack that changes every person."""
    return lambda poses, rng: Attacked({k: [change(p) for p in v] for k, v in poses.items()})


def scaled(*factors):
    """Returns a function that multiplies what is in metres."""
    factors = np.array(factors)
    return lambda p: {**p, "joints_3d": p["joints_3d"] * factors, "verts": p["verts"] * factors}


def crossed(person):
    """Returns a person whose left and right joints have changed places."""
    swapped = [*SMPL_SWAPPED[:22], *range(22, len(person["joints_3d"]))]
    return {**person, "joints_3d": person["joints_3d"][swapped]}


def of_a_person(number):
    """Returns an attack that puts a number into a joint of somebody."""

    def attack(poses, rng):
        image = sorted(poses)[int(rng.integers(len(poses)))]
        person = int(rng.integers(len(poses[image])))
        people = [dict(p) for p in poses[image]]
        people[person]["joints_3d"] = people[person]["joints_3d"].copy()
        people[person]["joints_3d"][3, 1] = number
        named = f"{image.removesuffix('.png')}_personId_{person}"
        return Attacked({**poses, image: people}, (named, "3"))

    return attack


def one_picture(poses, rng):
    """Leaves the people of one picture: the others count as missed."""
    image = sorted(poses)[int(rng.integers(len(poses)))]
    return Attacked({image: poses[image]})


def without_one(poses, rng):
    """Leaves out a picture, whose people count as missed."""
    image = sorted(poses)[int(rng.integers(len(poses)))]
    return Attacked({key: value for key, value in poses.items() if key != image})


def bodies_exchanged(poses, rng):
    """Gives two people of a picture each other's body, but not their place in the picture."""
    out = {key: [dict(p) for p in value] for key, value in poses.items()}
    for people in out.values():
        a, b = people[0], people[-1]
        for key in ("joints_3d", "verts"):
            a[key], b[key] = b[key], a[key]
    return Attacked(out)


def once_more(poses, rng):
    """Predicts somebody twice: the second counts as wrong."""
    return Attacked({key: [*people, people[0]] for key, people in poses.items()})


def same_member(poses, rng):
    """Writes all people of a picture twice under the same names."""
    rows = rows_of(poses)
    return Attacked([*rows, rows[0]], (rows[0][0].removesuffix(".png"),))


PEOPLE = {
    "nan": Attack(of_a_person(math.nan), REFUSED),
    "infinite": Attack(of_a_person(math.inf), REFUSED),
    "missing": Attack(without_one, EQUAL),
    "single": Attack(one_picture, EQUAL),
    "swapped": Attack(of_people(crossed), EQUAL),
    "mirrored": Attack(of_people(scaled(-1.0, 1, 1)), EQUAL),
    "times_1000": Attack(of_people(scaled(1000.0, 1000, 1000)), EITHER),
    "exchanged": Attack(bodies_exchanged, EQUAL),
    "once_more": Attack(once_more, EQUAL),
    "doubled": Attack(same_member, REFUSED),
    "empty": Attack(empty, REFUSED),
}
for protocol in ("agora.smpl", "agora.smplx", "agora.smpl-corrected", "agora.smplx-corrected"):
    row(protocol, agora, "predictions.zip", PEOPLE, with_indices)

CONTACT = attacks(
    swapped=Attack(each(lambda p: p[::-1]), EQUAL),
    mirrored=Attack(each(lambda p: 1 - p), EITHER),
    times_1000=Attack(each(lambda p: 1000 * p), EITHER),
    nan=Attack(in_array(math.nan), REFUSED),
    infinite=Attack(in_array(math.inf), REFUSED),
)
row("rich.contact", rich, attacks=CONTACT)
