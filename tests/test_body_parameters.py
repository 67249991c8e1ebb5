"""The ``parameters`` of an example: sizes, names, finiteness, and the mean of the hands."""

import numpy as np
import pytest

from posepile.bodies.parameters import (
    Hands,
    body_parameters,
    join_pose,
    load_hands,
    parameters_by_frame,
    parameters_of_fit,
)
from posepile.errors import CorruptInput
from posepile.miniature import bodies as miniature_bodies

RNG = np.random.default_rng(0)
SMPLX = {
    "type": "smplx",
    "gender": "female",
    "pose": RNG.normal(0, 1, 165),
    "shape": RNG.normal(0, 1, 10),
    "trans": [1.0, 2, 3],
    "hands": "whole",
}


def test_keys_and_types():
    given = SMPLX | {"expression": np.ones((1, 10)), "scale": np.array([[1.5]]), "kid_factor": 0}
    found = body_parameters("f", **given, note="own")
    keys = "type gender pose shape expression trans scale kid_factor note"
    assert list(found) == keys.split()
    for name, size in {"pose": 165, "shape": 10, "expression": 10, "trans": 3}.items():
        assert found[name].dtype == np.float32
        assert found[name].shape == (size,)
    assert (found["scale"], found["kid_factor"], found["note"]) == (1.5, 0.0, "own")
    np.testing.assert_allclose(found["pose"], SMPLX["pose"], rtol=1e-6)


def test_only_what_is_given_and_leading_axes_of_one():
    given = {"pose": RNG.normal(0, 1, (1, 24, 3)), "shape": np.ones((1, 10)), "trans": [[0, 0, 1]]}
    found = body_parameters("f", type="smpl", gender="male", hands="none", **given)
    assert list(found) == ["type", "gender", "pose", "shape", "trans"]
    np.testing.assert_allclose(found["pose"], given["pose"].ravel(), rtol=1e-6)


def test_a_missing_mean_is_written_down():
    found = body_parameters("f", **(SMPLX | {"hands": "mean missing"}))
    assert found["hands_mean_included"] is False


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"type": "smplz"}, "body model 'smplz'; expected smpl, "),
        ({"gender": "m"}, "gender is 'm'; expected male"),
        ({"gender": b"male"}, "gender is b'male'"),
        ({"pose": np.zeros(156)}, r"smplx pose of shape \(156,\); expected 165"),
        ({"pose": np.zeros((2, 165))}, r"smplx pose of shape \(2, 165\)"),
        ({"shape": np.zeros((7, 10))}, r"shape of shape \(7, 10\); expected at most 300"),
        ({"shape": np.zeros(301)}, r"shape of shape \(301,\)"),
        ({"type": "smplh", "pose": np.zeros(156), "shape": np.zeros(17)}, r"\(17,\).* at most 16"),
        ({"trans": np.zeros(4)}, r"trans of shape \(4,\); expected 3"),
        ({"trans": [0, np.nan, 0]}, "trans is not finite"),
        ({"pose": np.full(165, np.inf)}, "smplx pose is not finite"),
        ({"shape": "abc"}, "shape is 'abc'; expected numbers"),
        ({"scale": 0.0}, "scale is 0.0; expected a positive"),
        ({"scale": np.ones(2)}, "scale is .*; expected one number"),
        ({"kid_factor": np.nan}, "kid_factor is not finite"),
        (
            {"type": "smplh", "pose": np.zeros(156), "expression": np.ones(10)},
            "expression for smp",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(wrong, message):
    with pytest.raises(CorruptInput, match=message) as caught:
        body_parameters("p.npz, person 3", **(SMPLX | wrong))
    assert str(caught.value).startswith("p.npz, person 3: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("hands", ["none", "flat", None])
def test_the_convention_of_hands_is_not_guessed(hands):
    with pytest.raises(ValueError, match="does not go with smplx"):
        body_parameters("f", **(SMPLX | {"hands": hands}))


def test_by_frame():
    poses, trans = RNG.normal(0, 1, (5, 165)), RNG.normal(0, 1, (5, 3))
    given = SMPLX | {"pose": poses, "trans": trans}
    of_frame = parameters_by_frame("f", 5, **given)
    expected = body_parameters("f", **(SMPLX | {"pose": poses[3], "trans": trans[3]}))
    found = of_frame(3)
    assert list(found) == list(expected)
    for name in ("pose", "trans", "shape"):
        np.testing.assert_array_equal(found[name], expected[name])
    # Shape of every frame stays that of every frame
    shapes = RNG.normal(0, 1, (5, 10))
    of_frame = parameters_by_frame("f", 5, **(given | {"shape": shapes}))
    np.testing.assert_array_equal(of_frame(4)["shape"], np.float32(shapes[4]))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"pose": np.zeros((4, 165))}, r"f: pose has shape \(4, 165\); expected 5 frames"),
        ({"shape": np.zeros((4, 10))}, r"f: shape has shape \(4, 10\)"),
        ({"pose": np.zeros((5, 72))}, r"f, frame 0: smplx pose of shape \(72,\)"),
    ],
)
def test_by_frame_refuses(wrong, message):
    given = SMPLX | {"pose": np.zeros((5, 165)), "trans": np.zeros((5, 3))}
    with pytest.raises(CorruptInput, match=message):
        parameters_by_frame("f", 5, **(given | wrong))


def test_a_bad_frame_is_named():
    trans = np.zeros((5, 3))
    trans[3, 1] = np.nan
    of_frame = parameters_by_frame(
        "f", 5, **(SMPLX | {"pose": np.zeros((5, 165)), "trans": trans})
    )
    with pytest.raises(CorruptInput, match="f, frame 3: trans is not finite"):
        of_frame(3)


HAND_MODEL = Hands(
    RNG.normal(0, 0.1, (2, 45)), np.stack([np.linalg.qr(RNG.normal(size=(45, 45)))[0]] * 2)
)


def test_parts_are_joined_in_the_models_order():
    parts = {
        "root": np.full((2, 3), 1),
        "body": np.full((2, 21, 3), 2),
        "leye": np.full((2, 3), 4),
        "right_hand": np.full((2, 45), 7),
    }
    pose = join_pose("f", "smplx", **parts)
    assert pose.shape == (2, 165)
    expected = [1] * 3 + [2] * 63 + [0] * 3 + [4] * 3 + [0] * 3 + [0] * 45 + [7] * 45
    np.testing.assert_array_equal(pose, [expected] * 2)
    assert join_pose("f", "smplh", root=np.zeros(3), body=np.zeros(63)).shape == (156,)


@pytest.mark.parametrize("n", [6, 12, 45])
def test_hands_are_completed(n):
    left, right = RNG.normal(0, 1, (2, 3, n))
    parts = {"root": np.zeros((3, 3)), "body": np.zeros((3, 63))}
    pose = join_pose("f", "smplx", HAND_MODEL, left_hand=left, right_hand=right, **parts)
    for hand, value, side in ((pose[:, 75:120], left, 0), (pose[:, 120:], right, 1)):
        whole = value if n == 45 else value @ HAND_MODEL.components[side][:n]
        np.testing.assert_allclose(hand, whole + HAND_MODEL.mean[side])
    # Whole hands may be published along with coefficients, which are always about the mean.
    parts |= {"left_hand": left, "mean_missing": False}
    hand = join_pose("f", "smplx", HAND_MODEL, **parts)[:, 75:120]
    whole = left if n == 45 else left @ HAND_MODEL.components[0][:n] + HAND_MODEL.mean[0]
    np.testing.assert_allclose(hand, whole)


def test_wrong_parts():
    parts = {"root": np.zeros(3), "body": np.zeros(63)}
    with pytest.raises(CorruptInput, match="f: left_hand pose of 12 numbers; expected 45 .or PCA"):
        join_pose("f", "smplx", left_hand=np.zeros(12), **parts)
    with pytest.raises(CorruptInput, match="f: body pose of 69 numbers; expected 63"):
        join_pose("f", "smplx", root=np.zeros(3), body=np.zeros(69))
    with pytest.raises(TypeError, match="a smpl pose has no jaw"):
        join_pose("f", "smpl", jaw=np.zeros(3), **parts)


def test_hands_of_a_model_file(tmp_path):
    miniature_bodies.write_body_models(tmp_path, ("smplx",))
    file = tmp_path / "smplx" / "SMPLX_MALE.npz"
    with np.load(file) as f:
        np.testing.assert_array_equal(load_hands(file).mean[1], f["hands_meanr"])
    np.savez(tmp_path / "other.npz", a=1)
    with pytest.raises(
        CorruptInput, match=r"other\.npz: found no hands_meanl .*; it must be a model file"
    ):
        load_hands(tmp_path / "other.npz")
    (tmp_path / "cut.npz").write_bytes(file.read_bytes()[:-100])
    with pytest.raises(CorruptInput, match=r"cut\.npz: not a complete npz file"):
        load_hands(tmp_path / "cut.npz")


def test_a_fit_without_betas_has_no_share_of_the_kid_template():
    fit = {"global_orient": np.zeros(3), "body_pose": np.zeros(63), "transl": np.zeros(3)}
    fit["betas"] = np.zeros((1, 0))
    with pytest.raises(CorruptInput, match=r"a\.pkl: betas: found none; expected the share"):
        parameters_of_fit("a.pkl", fit, gender="male", hands=None, kid=True)
