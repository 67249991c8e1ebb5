"""Parameters of bodies in augmented crops: posed anew, joints are where the camera sees them."""

import types

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from posepile.augmentation import Augmentation, AugmentationParams, bodies
from posepile.bodies.joints import JOINT_NAMES, PARENTS, global_rotations
from posepile.errors import UsageError
from posepile.joint_info import other_side_name
from posepile.miniature.bodies import write_body_models

KINDS = ("smpl", "smplh", "smplx")
CENTER = np.array([500.0, -3000, 1200])
TURN = Rotation.from_euler("xyz", [80, 20, -35], degrees=True).as_matrix()
MIRRORING = np.diag([-1.0, 1, 1]) @ TURN


def parameters(kind, scale=1.0):
    pytest.importorskip("smplfitter")
    rng = np.random.default_rng(len(kind))
    n = 3 * len(JOINT_NAMES[kind])
    return {
        "type": kind,
        "gender": "female",
        "pose": rng.normal(0, 0.4, n),
        "shape": rng.normal(0, 1, 10),
        "trans": np.array([0.3, 0.9, -0.4]),
        "scale": scale,
    }


def joints(kind, params, root):
    from posepile.bodies.models import body_joints

    return 1000 * body_joints(kind, params["gender"], params, models_root=root)[0].astype(float)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [1.0, 0.8])
def test_the_body_is_where_the_camera_sees_it(kind, scale, tmp_path):
    params = parameters(kind, scale)
    write_body_models(tmp_path, (kind,))
    seen = (joints(kind, params, tmp_path) - CENTER) @ TURN.T
    moved = bodies.parameters_in_camera(params, TURN, CENTER, tmp_path)
    np.testing.assert_allclose(joints(kind, moved, tmp_path), seen, atol=0.05)
    np.testing.assert_array_equal(moved["pose"][3:], params["pose"][3:])


@pytest.mark.parametrize("kind", KINDS)
def test_a_mirrored_body_is_posed_as_its_mirror_image(kind):
    """By a skeleton that is its own mirror image, as the models nearly are."""
    rng, names = np.random.default_rng(1), list(JOINT_NAMES[kind])
    others = np.array([names.index(other_side_name(name)) for name in names])
    rest = rng.normal(0, 0.3, (len(names), 3))
    rest = (rest + rest[others] * [-1, 1, 1]) / 2
    pose = rng.normal(0, 0.6, 3 * len(names))

    def posed(pose):
        turns, places = global_rotations(pose, PARENTS[kind]), rest.copy()
        for j, parent in enumerate(PARENTS[kind]):
            if parent >= 0:
                places[j] = places[parent] + turns[parent] @ (rest[j] - rest[parent])
        return places

    mirrored = posed(bodies.mirrored_pose(pose))
    np.testing.assert_allclose(mirrored, (posed(pose) * [-1, 1, 1])[others], atol=1e-9)
    np.testing.assert_allclose(bodies.mirrored_pose(bodies.mirrored_pose(pose)), pose, atol=1e-12)


def test_a_mirrored_body_is_where_the_mirroring_camera_sees_it(tmp_path):
    params = parameters("smpl")
    write_body_models(tmp_path, ("smpl",))
    before = joints("smpl", params, tmp_path)
    moved = bodies.parameters_in_camera(params, MIRRORING, CENTER, tmp_path)
    after = joints("smpl", moved, tmp_path)
    np.testing.assert_allclose(after[0], MIRRORING @ (before[0] - CENTER), atol=0.05)
    # Directions of the torso's axes are mirror images of each other, whatever the bones are
    first = Rotation.from_rotvec(params["pose"][:3]).as_matrix()
    last = Rotation.from_rotvec(moved["pose"][:3]).as_matrix()
    np.testing.assert_allclose(last, MIRRORING @ first @ np.diag([-1, 1, 1]), atol=1e-9)


def test_arrays_have_one_shape_whatever_the_model_is():
    forms = [{k: (v.shape, v.dtype) for k, v in bodies.no_body(12).items()}]
    for kind in KINDS:
        made = bodies.body_arrays(parameters(kind), 12)
        forms.append({k: (v.shape, v.dtype) for k, v in made.items()})
        assert bodies.KINDS[made["body_kind"]] == kind
        assert bodies.GENDERS[made["body_gender"]] == "female"
        n = 3 * len(JOINT_NAMES[kind])
        np.testing.assert_allclose(made["body_pose"][:n], parameters(kind)["pose"], rtol=1e-6)
        assert not made["body_pose"][n:].any() and not made["body_shape"][10:].any()
    assert all(form == forms[0] for form in forms)


def test_a_pose_of_no_model_is_refused():
    with pytest.raises(UsageError, match=r"found 71 numbers, expected 72, 156, 165"):
        bodies.kind_of({"pose": np.zeros(71)})


def test_drawn_bodies_follow_the_picture(miniature, monkeypatch):
    """Of a miniature with SMPL, posed anew from what comes out: its joints, in space."""
    pytest.importorskip("smplfitter")
    from posepile.bodies.models import body_joints
    from posepile.datasets3d import get_dataset

    monkeypatch.setenv("DATA_ROOT", str(miniature("surreal")))
    monkeypatch.setenv("SMPLFITTER_BODY_MODELS", str(miniature("surreal") / "surreal/body_models"))
    dataset = get_dataset("surreal")
    examples = next(examples for examples in dataset.examples.values() if len(examples))
    augmentation = Augmentation(AugmentationParams(bodies=True, mirror=0), dataset.joint_info)
    example = examples[0]
    world = 1000 * body_joints("smpl", example.parameters["gender"], example.parameters)[0]
    for seed in range(4):
        draw = types.SimpleNamespace(index=0, epoch=0, rng=np.random.default_rng(seed))
        result = augmentation(example, draw)
        body = {
            "pose": result["body_pose"][:72],
            "shape": result["body_shape"],
            "trans": result["body_trans"],
        }
        gender = bodies.GENDERS[result["body_gender"]]
        seen = (world - result["center"]) @ result["rotation"].T
        np.testing.assert_allclose(1000 * body_joints("smpl", gender, body)[0], seen, atol=0.5)
