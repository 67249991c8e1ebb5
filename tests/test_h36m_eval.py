"""Human3.6M's protocols: values by hand, forms of predictions, what is refused."""

import shutil

import numpy as np
import pytest
from evaluation_kit import evaluate
from references import h36m as reference

from posepile.ds.h36m import eval as h36m_eval
from posepile.errors import CorruptInput, WorkError
from posepile.geometry.rotations import euler_matrix

LIFTING = [f"h36m.lifting-{name}" for name in ("p1", "p2", "p3", "velocity")]


@pytest.fixture(scope="module")
def root(raw_miniature):
    return raw_miniature("h36m")


@pytest.fixture(scope="module")
def sampled(root):
    """Poses by image path, as another reader has them."""
    return reference.truth(root, "h36m.p1")


def write(path, poses, **more):
    np.savez(path, image_path=[*poses], coords3d_pred_world=np.array([*poses.values()]), **more)
    return path


def changed(poses, change):
    return {key: change(np.array(pose)) for key, pose in poses.items()}


def figures(root, pred, protocol, *options):
    result = evaluate("h36m", root, pred, "--protocol", protocol, *options)
    return result["figures"] | result["more_figures"]


def test_a_joint_that_is_off_counts_as_one_of_seventeen(root, sampled, tmp_path):
    step = np.zeros((17, 3))
    step[3, 0] = 68  # right ankle
    moved = changed(sampled, lambda pose: pose + step + [0, 30, 40])
    found = figures(root, write(tmp_path / "a.npz", moved), "p1")
    assert found["MPJPE_mm"] == pytest.approx(68 / 17)  # the offset is the root's, too
    off = (16 * 50 + np.linalg.norm([68, 30, 40])) / 17
    assert found["absolute-MPJPE_mm"] == pytest.approx(off)
    assert found["PCK50_percent"] == pytest.approx(100 * 16 / 17)
    assert found["PCK100_percent"] == 100
    assert found["AUC100_percent"] == pytest.approx((16 + 0.32) / 17 * 100)
    assert 0 < found["PA-MPJPE_mm"] < 68 and found["CPS100_percent"] == 100


def test_alignments_undo_what_they_solve_for(root, sampled, tmp_path):
    turn = euler_matrix("XYZ", [0.3, -0.2, 1.0])
    larger = changed(sampled, lambda pose: 1.2 * pose @ turn.T + 500)
    pred = write(tmp_path / "a.npz", larger)
    assert figures(root, pred, "p2")["PA-MPJPE_mm"] == pytest.approx(0, abs=1e-6)
    assert figures(root, pred, "p1")["MPJPE_mm"] > 100
    scaled = changed(sampled, lambda pose: 1.2 * (pose - pose[:1]))
    found = figures(root, write(tmp_path / "b.npz", scaled), "p1")
    assert found["N-MPJPE_mm"] == pytest.approx(0, abs=1e-6)
    extent = [np.linalg.norm(pose - pose[0], axis=1).mean() for pose in sampled.values()]
    assert found["MPJPE_mm"] == pytest.approx(0.2 * np.mean(extent))


def test_velocity_of_poses_that_stand_still_is_that_of_the_truth(root, tmp_path):
    true = reference.truth(root, LIFTING[3])
    takes = {}
    for key, pose in true.items():
        takes.setdefault(key.rpartition("/")[0], []).append(pose - pose[0])
    still = {key: np.array(takes[key.rpartition("/")[0]][0]) for key in true}
    actions = {}
    for folder, poses in takes.items():
        step = np.linalg.norm(np.diff(poses, axis=0), axis=-1).mean()
        action = folder.split("/")[-1].split(".")[0].split(" ")[0]
        actions.setdefault(action, []).append((step, len(poses)))
    expected = np.mean(
        [
            np.average(*np.transpose(values)[:1], weights=np.transpose(values)[1])
            for values in actions.values()
        ]
    )
    pred = write(tmp_path / "a.npz", still)
    found = figures(root, pred, "lifting-velocity")
    assert found["MPJVE_mm_per_frame"] == pytest.approx(expected)
    assert figures(root, write(tmp_path / "b.npz", true), "lifting-velocity") == {
        "MPJVE_mm_per_frame": 0
    }


def test_the_shift_of_three_takes_is_in_the_truth_unless_corrected(root, sampled, tmp_path):
    pred = write(tmp_path / "a.npz", sampled)
    assert figures(root, pred, "p1")["absolute-MPJPE_mm"] == 0
    found = evaluate("h36m", root, pred, "--protocol", "p1-corrected")
    assert found["figures"]["MPJPE_mm"] == pytest.approx(0, abs=1e-9)
    shifted = {"Greeting", "SittingDown 1", "Waiting 1"}
    assert any(clip.split("/")[-1].split(".")[0] in shifted for clip in found["per_clip"])
    for clip, values in found["per_clip"].items():
        subject, _, take = clip.split("/")
        off = 200 if subject == "S9" and take.split(".")[0] in shifted else 0
        assert values["absolute-MPJPE_mm"] == pytest.approx(off, abs=1e-9)


def test_every_order_of_joints_is_understood(root, sampled, tmp_path):
    rng = np.random.default_rng(0)
    noisy = changed(sampled, lambda pose: pose + rng.normal(0, 50, pose.shape))
    expected = figures(root, write(tmp_path / "a.npz", noisy), "p1")
    ours = changed(noisy, lambda pose: np.roll(pose, -1, axis=0))
    found = figures(root, write(tmp_path / "b.npz", ours), "p1", "--root-last")
    assert found == pytest.approx(expected)
    many = changed(noisy, lambda pose: np.insert(np.zeros((25, 3)), 0, 0, axis=0)[:25])
    for key, pose in noisy.items():
        many[key][h36m_eval.OF_25] = pose
    assert figures(root, write(tmp_path / "c.npz", many), "p1") == pytest.approx(expected)
    packed = {key.replace("h36m/", "h36m_downscaled/"): pose for key, pose in noisy.items()}
    assert figures(root, write(tmp_path / "d.npz", packed), "p1") == pytest.approx(expected)
    metres = changed(noisy, lambda pose: pose / 1000)
    found = figures(root, write(tmp_path / "e.npz", metres, units="m"), "p1")
    assert found == pytest.approx(expected)


def test_the_25_joints_of_the_original_are_those_of_the_card():
    """By names: PosePile's 25 and its 17, pelvis first here."""
    names = (
        "rhip,rkne,rank,rfoo,rtoe,lhip,lkne,lank,lfoo,ltoe,spin,neck,head,htop,lsho,lelb,lwri,"
        "lthu,lfin,rsho,relb,rwri,rthu,rfin,pelv"
    ).split(",")
    chosen = ["tors" if names[j] == "spin" else names[j] for j in h36m_eval.OF_25]
    assert chosen == list(h36m_eval.P1.joint_names)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda poses: changed(poses, lambda pose: pose[:16]), "16 joints; expected 17 or 25"),
        (lambda poses: changed(poses, lambda pose: pose / 1000), "times smaller"),
        (lambda poses: dict([*poses.items()][1:]), "lacks image h36m/S9/Images/"),
        (lambda poses: changed(poses, lambda pose: pose * np.nan), "joint 0 (pelv)"),
    ],
)
def test_what_is_refused(root, sampled, tmp_path, change, said):
    pred = write(tmp_path / "a.npz", change(sampled))
    with pytest.raises((CorruptInput, WorkError)) as error:
        figures(root, pred, "p1")
    assert said in str(error.value) and str(pred) in str(error.value)
    assert "\n" not in str(error.value)


def test_poses_that_are_cut_off_are_not_a_truth(raw_miniature, tmp_path, sampled):
    """The number of rows is a quarter of the mocap count of metadata.xml."""
    root = tmp_path / "h36m"
    shutil.copytree(raw_miniature("h36m"), root, ignore=shutil.ignore_patterns("*.mp4", "*.mat"))
    folder = root / "S9/MyPoseFeatures/D3_Positions"
    shutil.copyfile(folder / "Greeting 1.cdf", folder / "Greeting.cdf")
    with pytest.raises(CorruptInput, match=r"Greeting\.cdf: Pose: .* expected .*96"):
        figures(root, write(tmp_path / "a.npz", sampled), "p1")
