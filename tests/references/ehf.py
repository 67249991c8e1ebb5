"""EHF: errors of vertices and joints of SMPL-X, as Hand4Whole gives them and as PosePile does."""

import pickle
import re
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from references import bodies
from references.common import distances, procrustes
from references.entries import folder_of, mean, pairs_of

TURN = Rotation.from_rotvec([-2.98747896, 0.01172457, -0.05704687]).as_matrix()
SHIFT = np.array([-0.03609917, 0.43416458, 2.37101226])
FOCAL, CENTRE = 1498.22426237, (790.263706, 578.90334)
PELVIS, NECK, LEFT_WRIST, RIGHT_WRIST = 0, 12, 20, 21
# Rows of the regressor, each finger's with the vertex at its tip, after the wrist.
LEFT_HAND = [(37, 38, 39, 5361), (25, 26, 27, 4933), (28, 29, 30, 5058), (34, 35, 36, 5169)]
LEFT_HAND = (20, [*LEFT_HAND, (31, 32, 33, 5286)])
RIGHT_HAND = [(52, 53, 54, 8079), (40, 41, 42, 7669), (43, 44, 45, 7794), (49, 50, 51, 7905)]
RIGHT_HAND = (21, [*RIGHT_HAND, (46, 47, 48, 8022)])


def read_ply(path):
    """Returns the vertices of a binary little-endian ply file, float32 x, y, z first."""
    data = Path(path).read_bytes()
    head, body = data.split(b"end_header\n", 1)
    count = int(re.search(rb"element vertex (\d+)", head).group(1))
    after = head.split(b"element vertex", 1)[1].split(b"element", 1)[0]
    sizes = {b"float": 4, b"float32": 4, b"double": 8, b"uchar": 1, b"uint8": 1, b"int": 4}
    width = sum(sizes[kind] for kind in re.findall(rb"property (\w+) \w+", after))
    rows = np.frombuffer(body, np.uint8, count * width).reshape(count, width)
    return rows[:, :12].copy().view("<f4").astype(float)


def truth(root, protocol, camera_frame=True):
    """Returns by image name the vertices ``[10475, 3]``, metres; ``""``: what is used of them.

    Args:
        root: Of the data.
        protocol: Name of the protocol.
        camera_frame: False: PosePile's default, the studio's frame.
    """
    folder = folder_of(root, "ehf/EHF", "ehf", "EHF")
    meshes = {}
    for path in sorted(folder.glob("*_align.ply"), key=lambda p: int(p.name.split("_")[0])):
        mesh = read_ply(path)
        if protocol == "ehf.hand4whole":
            mesh = mesh @ TURN.T
        elif camera_frame:
            mesh = mesh @ TURN.T + SHIFT
        meshes[path.name.replace("_align.ply", "_img.png")] = mesh
    hands = pickle.loads(bodies.find(root, "MANO_SMPLX_vertex_ids.pkl").read_bytes())
    regressor = bodies.load_model(root, "smplx", "neutral")["J_regressor"]
    body14 = pickle.loads(bodies.find(root, "SMPLX_to_J14.pkl").read_bytes(), encoding="latin1")
    face = np.load(bodies.find(root, "SMPL-X__FLAME_vertex_ids.npy"))
    parts = {"left": hands["left_hand"], "right": hands["right_hand"], "face": face}
    meshes[""] = {"parts": parts, "regressor": regressor, "body14": body14}
    return meshes


def guess(truth, rng, protocol):
    """Returns predictions near the truth, metres: smaller, turned and noisy."""
    out = {}
    for key, mesh in truth.items():
        if key:
            turn = Rotation.from_rotvec(rng.normal(0, 0.2, 3)).as_matrix()
            out[key] = 0.9 * mesh @ turn.T + rng.normal(0, 0.02, mesh.shape)
    return out


def write_predictions(path, poses, protocol):
    """Writes PosePile's pickle: image name to ``{'vertices': millimetres}``."""
    out = {k: {"vertices": 1000 * np.asarray(v, float)} for k, v in pairs_of(poses)}
    Path(path).write_bytes(pickle.dumps(out))


def hand_joints(regressor, mesh, hand):
    """Returns the 21 joints of a hand."""
    wrist, fingers = hand
    points = [regressor[wrist] @ mesh]
    for *rows, tip in fingers:
        points += [regressor[row] @ mesh for row in rows] + [mesh[tip]]
    return np.array(points)


def scores(truth, poses, protocol):
    """Returns the figures of a protocol, millimetres."""
    used, scale = truth[""], protocol == "ehf.hand4whole"
    parts, regressor = used["parts"], used["regressor"]
    everything = range(10475)
    apart = {int(i) for ids in parts.values() for i in ids}
    body = [i for i in everything if i not in apart]
    lists = {}

    def note(name, value):
        lists.setdefault(name, []).append(value)

    for key, mesh in truth.items():
        if not key:
            continue
        guess = np.asarray(poses[key], float)

        def at_joint(ids, joint, guess=guess, mesh=mesh):
            shift = regressor[joint] @ mesh - regressor[joint] @ guess
            ids = np.asarray(ids)
            return 1000 * mean(distances(guess[ids] + shift, mesh[ids]))

        def aligned(a, b):
            return 1000 * mean(distances(procrustes(a, b, scale), b))

        left, right, face = (np.asarray(parts[k]) for k in ("left", "right", "face"))
        note("MPVPE-all_mm", at_joint(everything, PELVIS))
        hands = at_joint(left, LEFT_WRIST) + at_joint(right, RIGHT_WRIST)
        note("MPVPE-hands_mm", hands / 2)
        note("MPVPE-face_mm", at_joint(face, NECK))
        note("PA-MPVPE-all_mm", aligned(guess, mesh))
        hands = aligned(guess[left], mesh[left]) + aligned(guess[right], mesh[right])
        note("PA-MPVPE-hands_mm", hands / 2)
        note("PA-MPVPE-face_mm", aligned(guess[face], mesh[face]))
        if protocol == "ehf.posepile":
            note("PA-MPVPE-body_mm", aligned(guess[body], mesh[body]))
        note("PA-MPJPE-body_mm", aligned(used["body14"] @ guess, used["body14"] @ mesh))
        hands = [
            aligned(hand_joints(regressor, guess, hand), hand_joints(regressor, mesh, hand))
            for hand in (LEFT_HAND, RIGHT_HAND)
        ]
        note("PA-MPJPE-hands_mm", sum(hands) / 2)
    return {name: mean(values) for name, values in lists.items()}
