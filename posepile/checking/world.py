"""Questions about world and camera that no picture answers: units, up, mirroring."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from posepile.checking.findings import Answer, Finding, not_asked
from posepile.checking.sample import Sample, Shown

if TYPE_CHECKING:
    import deltacamera

    from posepile.recipe import DatasetSpec

# Bones by the ends of their joints' names and how long they may be, millimetres: anybody's.
BONES = (("hip", "kne"), ("kne", "ank"), ("sho", "elb"), ("elb", "wri"))
BONE_MM = (120.0, 700.0)
TALL_MM = 2600.0  # nobody reaches further, arms up
CAMERA_M = (0.03, 200.0)  # from the camera to the person
UPRIGHT = 0.5  # cosine between a person's axis and the world's up: people stand in miniatures


def world_is_in_millimetres(sample: Sample) -> Answer:
    """Whether people are of human size and stand along ``world_up``, else along their camera's."""
    name, spec = sample.name, sample.spec
    if spec.kind == "2d":
        return not_asked("2D")
    findings, lengths, ups = [], [], []
    for shown in sample.shown:
        joints = world_of(sample, shown)
        known = np.isfinite(joints).all(axis=1)
        if known.sum() < 2:
            continue
        reach = np.ptp(joints[known], axis=0).max()
        if reach > TALL_MM:
            text = f"the joints reach over {reach:.0f} mm; expected at most {TALL_MM:.0f} mm"
            findings.append(Finding(name, text, shown.path))
        for a, b in _bones(sample.joint_names):
            if known[a] and known[b]:
                length = np.linalg.norm(joints[a] - joints[b])
                lengths.append(length)
                if not BONE_MM[0] <= length <= BONE_MM[1]:
                    low, high = BONE_MM
                    text = f"is {length:.3g} mm from its parent; expected {low:.0f} to {high:.0f}"
                    findings.append(Finding(name, text, shown.path, sample.joint_names[b]))
        up = _axis(sample.joint_names, joints)
        expected = _up(spec, shown.example.camera)
        if up is not None and expected is not None:
            ups.append(float(up @ expected))
            if ups[-1] < UPRIGHT:
                text = (
                    f"the person stands along {np.round(up, 2).tolist()}; expected world_up "
                    f"{tuple(np.round(expected, 3).tolist())}"
                )
                findings.append(Finding(name, text, shown.path))
    if not lengths and not ups and not findings:
        return not_asked("no world joints by whose names limbs are known")
    note = f"{len(lengths)} limbs"
    if lengths:
        note += f" of {min(lengths):.0f} to {max(lengths):.0f} mm"
    if ups:
        note += f", least cosine to world_up {min(ups):.2f}"
    return Answer(findings, note)


def cameras_see_the_person(sample: Sample) -> Answer:
    """Whether each camera is a rigid one, upright, and sees the person in front of it."""
    name, spec = sample.name, sample.spec
    if spec.kind == "2d":
        return not_asked("2D")
    findings, distances = [], []
    for shown in sample.shown:
        camera = shown.example.camera
        if camera is None:
            findings.append(Finding(name, "has no camera", shown.path))
            continue
        rotation = np.asarray(camera.R, float)
        wrong = np.abs(rotation @ rotation.T - np.eye(3)).max()
        if wrong > 1e-3:
            text = f"R Rᵀ differs from the identity by {wrong:.2g}"
            findings.append(Finding(name, text, shown.path))
        up, own = _up(spec, camera), np.asarray(camera.world_up, float)
        if not np.allclose(own, up, atol=1e-3):
            text = f"the camera's world_up is {np.round(own, 3).tolist()}"
            findings.append(Finding(name, f"{text}; expected {tuple(spec.world_up)}", shown.path))
        in_camera = rotation @ up
        if abs(in_camera[2]) < 0.97 and (in_camera[1] > 0 or abs(in_camera[0]) > 0.02):
            text = f"up is {np.round(in_camera, 2).tolist()} in the crop; expected (0, -1, 0)"
            findings.append(Finding(name, f"{text} as far as it can", shown.path))
        joints = world_of(sample, shown)
        known = np.isfinite(joints).all(axis=1)
        if known.any():
            seen = (joints[known].mean(axis=0) - np.asarray(camera.t, float)) @ rotation.T / 1000
            distances.append(float(np.linalg.norm(seen)))
            low, high = CAMERA_M
            if seen[2] <= 0:
                text = f"the person is {-seen[2]:.3g} m behind the camera"
                findings.append(Finding(name, text, shown.path))
            elif not low <= distances[-1] <= high:
                text = f"the person is {distances[-1]:.3g} m away; expected {low:g} to {high:g} m"
                findings.append(Finding(name, text, shown.path))
    note = f"{min(distances):.2f} to {max(distances):.2f} m from the person" if distances else ""
    return Answer(findings, note)


def _up(spec: DatasetSpec, camera: deltacamera.Camera | None) -> np.ndarray | None:
    """Returns up in the world, which without one direction for all each camera tells."""
    if spec.world_up is not None:
        return np.asarray(spec.world_up, float)
    return None if camera is None else np.asarray(camera.world_up, float)


def nothing_is_mirrored(sample: Sample) -> Answer:
    """Whether cameras keep handedness and people have their left where their front says.

    A mirrored picture of which also camera or world are mirrored fits its discs.
    """
    name = sample.name
    if sample.spec.kind == "2d":
        return not_asked("2D: handedness cannot be told")
    findings, n = [], 0
    for shown in sample.shown:
        if shown.example.camera is None:
            continue
        n += 1
        if np.linalg.det(np.asarray(shown.example.camera.R, float)) < 0:
            findings.append(Finding(name, "the camera's rotation is a reflection", shown.path))
    turns = [
        (shown.path, turn)
        for shown in sample.shown
        if (turn := _front(sample.joint_names, world_of(sample, shown))) is not None
    ]
    # A single pose may be unusual; most have knees that bend forwards.
    if turns and np.median([turn for _, turn in turns]) < 0:
        path = next(path for path, turn in turns if turn < 0)
        text = "knees, toes or nose point to the back of the person: left and right are exchanged"
        findings.append(Finding(name, f"{text}, or the world is mirrored", path))
    note = f"{n} cameras, {len(turns)} poses with a front"
    return Answer(findings, note)


def world_of(sample: Sample, shown: Shown) -> np.ndarray:
    """Returns the world joints of an example, float64 ``[J, 3]``; NaN = missing."""
    world = getattr(shown.example, "world_coords", None)
    if world is None:
        return np.full((len(sample.joint_names), 3), np.nan)
    return np.array(world, float).reshape(-1, 3)


def _bones(names: list[str]) -> list[tuple[int, int]]:
    index = {n: i for i, n in enumerate(names)}
    pairs = [(side + a, side + b) for side in "lr" for a, b in BONES]
    return [(index[a], index[b]) for a, b in pairs if a in index and b in index]


def _at(names: list[str], joints: np.ndarray, *wanted: str) -> np.ndarray | None:
    """Mean of the named joints if all are known."""
    if any(w not in names for w in wanted):
        return None
    found = joints[[names.index(w) for w in wanted]]
    return found.mean(axis=0) if np.isfinite(found).all() else None


def _axis(names: list[str], joints: np.ndarray) -> np.ndarray | None:
    """Unit vector from the hips to the shoulders, None if unknown."""
    top = _at(names, joints, "lsho", "rsho")
    bottom = _at(names, joints, "lhip", "rhip")
    if top is None or bottom is None:
        return None
    length = np.linalg.norm(top - bottom)
    return (top - bottom) / length if length > 0 else None


def _front(names: list[str], joints: np.ndarray) -> float | None:
    """How far nose, toes or knees point to where the front is by left and up; None if unknown."""
    up = _axis(names, joints)
    left, right = _at(names, joints, "lhip"), _at(names, joints, "rhip")
    if up is None or left is None:
        return None
    front = np.cross(left - right, up)
    front /= max(np.linalg.norm(front), 1e-9)
    signs = []
    for side in "lr":
        toe, ankle = _at(names, joints, f"{side}toe"), _at(names, joints, f"{side}ank")
        hip, knee = _at(names, joints, f"{side}hip"), _at(names, joints, f"{side}kne")
        if toe is not None and ankle is not None:
            signs.append((toe - ankle) @ front)
        if hip is not None and knee is not None and ankle is not None:
            leg = (ankle - hip) / max(np.linalg.norm(ankle - hip), 1e-9)
            bend = knee - hip - leg * ((knee - hip) @ leg)
            signs.append(bend @ front)
    nose, ears = _at(names, joints, "nose"), _at(names, joints, "lear", "rear")
    if nose is not None and ears is not None:
        signs.append((nose - ears) @ front)
    # Straight legs and flat faces say nothing.
    strong = [s for s in signs if abs(s) > 0.02 * np.linalg.norm(left - right) + 1e-9]
    return float(np.sum(strong)) if strong else None
