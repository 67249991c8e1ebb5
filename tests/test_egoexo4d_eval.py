"""Ego-Exo4D: both benchmarks, compared with plain loops."""

import itertools
import json

import numpy as np
import pytest
from egoexo4d_kit import aria_pose, copy_of, edit

from posepile.ds.egoexo4d import annotations, miniature
from posepile.ds.egoexo4d import eval as benchmark
from posepile.errors import CorruptInput, WorkError
from posepile.miniature import kit


@pytest.fixture
def raw(raw_miniature):
    return raw_miniature("egoexo4d")


@pytest.fixture
def copy(raw, tmp_path):
    """A miniature whose labels and metadata may be changed."""
    return copy_of(raw, tmp_path / "egoexo4d")


def body_truth(raw, take, kind="annotation"):
    content = json.loads(miniature.label_path(raw, take, f"body/{kind}").read_text())
    poses = {}
    for frame, entries in content.items():
        if entries:
            joints = entries[0]["annotation3D"]
            poses[int(frame)] = np.array(
                [[joints[j][a] for a in "xyz"] if j in joints else [np.nan] * 3
                 for j in annotations.BODY_KEYS]
            )  # fmt: skip
    return poses


def noisy(poses, seed=0):
    rng = np.random.default_rng(seed)
    return {f: np.nan_to_num(p) + rng.normal(0, 0.03, p.shape) for f, p in poses.items()}


def keyed(uid, poses):
    return {f"{uid}/body/{f}": p for f, p in poses.items()}


def reference_body(true, pred, extrinsics=None):
    """The benchmark's numbers of one take, by plain loops over the official definition."""
    frames = sorted(true)
    if extrinsics is not None:
        frames = [f for f in frames if f in extrinsics]
        rt = {f: extrinsics[f] for f in frames}
        true = {f: np.array([rt[f][0] @ x + rt[f][1] for x in true[f]]) for f in frames}
        pred = {f: np.array([rt[f][0] @ x + rt[f][1] for x in pred[f]]) for f in frames}
    errors, velocities = [], []
    for f in frames:
        for a, b in zip(true[f], pred[f], strict=True):
            if np.isfinite(a).all():
                errors.append(np.sqrt(((a - b) ** 2).sum()))
    for f, g in itertools.pairwise(frames):
        for j in range(17):
            if np.isfinite(true[f][j]).all() and np.isfinite(true[g][j]).all():
                v = (true[g][j] - true[f][j]) * 10 - (pred[g][j] - pred[f][j]) * 10
                velocities.append(np.sqrt((v**2).sum()))
    return 100 * np.mean(errors), np.mean(velocities)


@pytest.mark.parametrize("reference", ["global", "camera"])
def test_body_numbers_equal_plain_loops(raw, tmp_path, capsys, reference):
    uid = miniature.UIDS[miniature.DANCE]
    true = body_truth(raw, miniature.DANCE)
    pred = noisy(true)
    path = tmp_path / "pred.json"
    path.write_text(
        json.dumps(
            {uid: {"take_name": "x", "body": {str(f): p.tolist() for f, p in pred.items()}}}
        )
    )
    gap = miniature.ARIA_FRAME_WITHOUT_POSE
    poses = {f: aria_pose(miniature.DANCE, f) for f in true if f != gap}
    if reference == "global":  # frames without a pose of the glasses are left out all the same
        poses = {f: (np.eye(3), np.zeros(3)) for f in poses}
    cm, velocity = reference_body(true, pred, poses)
    args = ["body", "--pred-path", str(path), "--data-dir", str(raw), "--reference", reference]
    assert benchmark.main(args) == 0
    printed = capsys.readouterr().out
    result = json.loads((tmp_path / "pred.body_eval_val.json").read_text())
    assert result["scores"]["MPJPE_cm"] == pytest.approx(cm, rel=1e-9)
    assert result["scores"]["MPJVE_m_per_s"] == pytest.approx(velocity, rel=1e-9)
    assert result["scenarios"] == {"Dance": result["scores"]}
    assert result["left_out"] == {"without a pose of the glasses": 1}
    assert f"Dance: 1 takes, MPJPE {cm:.4f} cm" in printed


def test_body_scores_are_means_over_takes(raw):
    takes_ = {}
    for seed, t in enumerate((miniature.REPAIR, miniature.DROPPED)):
        poses = noisy(body_truth(raw, t, "automatic"), seed)
        takes_ |= keyed(miniature.UIDS[t], poses)
    with pytest.raises(CorruptInput, match="camera_pose"):  # the dropped take has none
        benchmark.evaluate_body(raw, takes_, "train", "automatic")


def test_missing_predictions_are_named(raw):
    uid = miniature.UIDS[miniature.DANCE]
    with pytest.raises(WorkError, match=f"lacks pose {uid}/body/1 and 1 more"):
        benchmark.evaluate_body(raw, {})
    pred = noisy(body_truth(raw, miniature.DANCE))
    del pred[4]
    with pytest.raises(WorkError, match=f"lacks pose {uid}/body/4, 1 of"):
        benchmark.evaluate_body(raw, keyed(uid, pred))


def test_submission_from_predictions_on_our_crops(raw, tmp_path):
    uid, name = miniature.UIDS[miniature.COOK], miniature.COOK
    rng = np.random.default_rng(3)
    coords = rng.normal(0, 500, (4, 61, 3))
    np.savez(
        tmp_path / "pred.npz",
        image_path=[
            f"egoexo4d_downscaled/{name}/cam0{c}/{f:06d}.jpg" for f in (0, 30) for c in (1, 2)
        ],
        coords3d_pred_world=coords,
    )
    out = tmp_path / "submission.json"
    args = ["body", "--split", "test", "--pred-path", str(tmp_path / "pred.npz")]
    assert benchmark.main([*args, "--data-dir", str(raw), "--submission", str(out)]) == 0
    written = json.loads(out.read_text())
    assert written[uid]["take_name"] == f"takes/{name}"
    assert list(written[uid]["body"]) == ["0", "30"]
    mean = coords[2:].mean(axis=0)  # both views of frame 30
    nose = mean[annotations.JOINT_NAMES.index("nose")] / 1000
    np.testing.assert_allclose(written[uid]["body"]["30"][0], nose)
    assert np.shape(written[uid]["body"]["30"]) == (17, 3)

    dummy = tmp_path / "dummy_test.json"
    dummy.write_text(json.dumps({uid: {"body": {"0": [], "60": []}}}))
    more = ["--data-dir", str(raw), "--submission", str(out), "--frames", str(dummy)]
    assert benchmark.main([*args, *more]) == 1
    assert benchmark.main([*args, "--data-dir", str(raw)]) == 2


def plain_procrustes(x, y):
    """Error after the best rotation, scale and shift of y onto x, by numerical definition."""
    x0, y0 = x - x.mean(0), y - y.mean(0)
    u, s, vt = np.linalg.svd(y0.T @ x0)
    d = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
    scale = (s * np.diag(d)).sum() / (y0**2).sum()
    return np.linalg.norm(scale * y0 @ u @ d @ vt - x0, axis=1).mean()


def plain_hand_truth(raw):
    """Wrist-first joints of both hands in the frame of the glasses, for posed frames."""
    content = json.loads(miniature.label_path(raw, miniature.REPAIR, "hand/automatic").read_text())
    frames = {}
    for frame, entries in content.items():
        if int(frame) == miniature.ARIA_FRAME_WITHOUT_POSE:
            continue
        rotation, translation = aria_pose(miniature.REPAIR, int(frame))
        joints = entries[0]["annotation3D"]
        frames[frame] = {
            f"{side}_hand_3d": np.array(
                [
                    rotation @ [joints[f"{side}_{s}"][a] for a in "xyz"] + translation
                    for s in annotations.HAND_SUFFIXES
                ]
            )
            for side in ("left", "right")
        }
    return frames


@pytest.mark.parametrize("offset", [False, True])
def test_hand_numbers_equal_plain_loops(raw, tmp_path, offset):
    uid = miniature.UIDS[miniature.REPAIR]
    true = plain_hand_truth(raw)
    rng = np.random.default_rng(1)
    pred, errors, aligned = {uid: {}}, [], []
    for frame, hands in true.items():
        pred[uid][frame] = {}
        for key, joints in hands.items():
            guess = joints + rng.normal(0, 0.01, joints.shape)
            pred[uid][frame][key] = (guess - joints[0] if offset else guess).tolist()
            errors.append(1000 * np.linalg.norm(guess - joints, axis=1).mean())
            aligned.append(1000 * plain_procrustes(joints, guess))
    path = tmp_path / "pred.json"
    path.write_text(json.dumps(pred))
    args = ["hand", "--pred-path", str(path), "--data-dir", str(raw), "--split", "train"]
    args += ["--labels", "automatic", *(["--offset"] if offset else [])]
    assert benchmark.main([*args, "--write-truth", str(tmp_path / "truth.json")]) == 0
    result = json.loads((tmp_path / "pred.hand_eval_train.json").read_text())
    assert result["scores"]["hands"] == len(errors) == 14
    assert result["scores"]["MPJPE_mm"] == pytest.approx(np.mean(errors), rel=1e-6)
    assert result["scores"]["PA-MPJPE_mm"] == pytest.approx(np.mean(aligned), rel=1e-6)
    again = [*args, "--truth", str(tmp_path / "truth.json"), "--out", str(tmp_path / "again.json")]
    assert benchmark.main(again) == 0
    assert json.loads((tmp_path / "again.json").read_text())["scores"] == result["scores"]
    del pred[uid]["2"]["left_hand_3d"]
    path.write_text(json.dumps(pred))
    assert benchmark.main(args) == 1


def one_hand(frame=2):
    world = miniature.wearer(miniature.REPAIR)[frame, annotations.PARTS["right_hand"]]
    camera = miniature.glasses(miniature.wearer(miniature.REPAIR)[frame])
    image = kit.project(world, miniature.LINEAR, camera.rotation, camera.translation)
    return world, image, aria_pose(miniature.REPAIR, frame)


def test_rules_of_the_hand_benchmark():
    world, image, pose = one_hand()
    camera, valid, box = benchmark.hand_validity(world, image, pose)
    assert valid.all() and camera.shape == (21, 3)
    low, high = image.min(0) - 20, image.max(0) + 20
    np.testing.assert_allclose(box, np.clip([*low, *high], 0, 511))

    def judged(change_world=None, change_image=None, mask=None):
        w, i = world.copy(), image.copy()
        if change_world:
            change_world(w)
        if change_image:
            change_image(i)
        return benchmark.hand_validity(w, i, pose, mask)

    def lose_wrist(w):
        w[0] = np.nan

    assert all(len(x) == 0 for x in judged(lose_wrist))

    def far_label(i):
        i[[0, 7]] += 31  # the wrist is exempt

    _, valid, _ = judged(None, far_label)
    assert valid[0] and not valid[7] and valid.sum() == 20

    def no_label(i):
        i[9] = np.nan

    assert not judged(None, no_label)[1][9]

    def long_bone(w):
        w[8] += 60 * (w[8] - w[7]) / np.linalg.norm(w[8] - w[7]) + (w[8] - w[7])

    camera, valid, _ = judged(long_bone)
    assert not valid[8] and np.isnan(camera[8]).all()

    everything = np.ones((512, 512), bool)
    x, y = image[4].astype(int)
    everything[y, x] = False
    assert not judged(mask=everything)[1][4]

    def lose_twelve(i):
        i[1:13] = np.nan

    assert all(len(x) == 0 for x in judged(None, lose_twelve))  # nine joints are too few


def test_bones_and_angles_no_hand_has():
    world, _, _ = one_hand()
    assert not benchmark.implausible_joints(world).any()
    folded = world.copy()
    folded[7:9] = folded[6] + 0.2 * (folded[5] - folded[6])  # index folded back onto itself
    assert benchmark.implausible_joints(folded)[6]
    near_root = world.copy()
    near_root[5] = world[0] + 0.5 * (world[5] - world[0])  # 45 mm from the wrist
    assert benchmark.implausible_joints(near_root)[5]
    thumb = world.copy()
    thumb[1] = world[0] + 0.9 * (world[1] - world[0])  # the thumb may be that near
    assert not benchmark.implausible_joints(thumb)[1]
    missing = world.copy()
    missing[6] = np.nan
    assert not benchmark.implausible_joints(missing).any()


def test_few_views_do_not_count_for_manual_hands(copy):
    def reduce(content):
        for poses in content.values():
            for joint in poses[0]["annotation3D"].values():
                joint["num_views_for_3d"] = 2

    path = miniature.label_path(copy, miniature.REPAIR, "hand/automatic")
    edit(path, reduce)
    assert benchmark.hand_truth(copy, "train", "automatic")[0]
    manual = miniature.label_path(copy, miniature.REPAIR, "hand/annotation")
    manual.parent.mkdir(parents=True)
    path.rename(manual)
    truth, left_out = benchmark.hand_truth(copy, "train", "manual")
    assert truth == {} and left_out["frames without a valid hand"] == 7
