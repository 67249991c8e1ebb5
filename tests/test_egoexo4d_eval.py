"""Ego-Exo4D: both benchmarks, compared with plain loops."""

import itertools
import json

import numpy as np
import pytest
from egoexo4d_kit import aria_pose, copy_of, edit
from evaluation_kit import evaluate

from posepile.ds.egoexo4d import annotations, eval_hands, eval_submission, miniature, takes
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


def write_body(path, poses_of_take):
    """The challenge's JSON of take -> frame -> pose."""
    content = {}
    for take, poses in poses_of_take.items():
        body = {str(frame): pose.tolist() for frame, pose in poses.items()}
        content[miniature.UIDS[take]] = {"take_name": f"takes/{take}", "body": body}
    path.write_text(json.dumps(content))
    return path


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
    true = body_truth(raw, miniature.DANCE)
    pred = noisy(true)
    path = write_body(tmp_path / "pred.json", {miniature.DANCE: pred})
    gap = miniature.ARIA_FRAME_WITHOUT_POSE
    poses = {f: aria_pose(miniature.DANCE, f) for f in true if f != gap}
    if reference == "global":  # frames without a pose of the glasses are left out all the same
        poses = {f: (np.eye(3), np.zeros(3)) for f in poses}
    cm, velocity = reference_body(true, pred, poses)
    args = ["--pred-path", str(path), "--data-dir", str(raw), "--reference", reference]
    assert benchmark.main(args) == 0
    printed = capsys.readouterr().out
    result = json.loads((tmp_path / "pred.eval_egoexo4d_body.json").read_text())
    assert result["figures"]["MPJPE_cm"] == pytest.approx(cm, rel=1e-9)
    assert result["figures"]["MPJVE_m_per_s"] == pytest.approx(velocity, rel=1e-9)
    assert result["groups"] == {"scenario": {"Dance": pytest.approx(result["figures"])}}
    assert result["left_out"] == {"without a pose of the glasses": 1}
    assert result["options"]["reference"] == reference
    assert f"{cm:.4f} cm" in printed and f"{velocity:.4f} m/s" in printed


def long_take(copy, frames, empty=(), gone=()):
    """Gives the dancing take labels in these frames, some of them empty; returns truth."""
    rng, (joints, *_) = np.random.default_rng(1), body_truth(copy, miniature.DANCE).values()
    truth = {}
    for frame in frames:
        truth[frame] = np.nan_to_num(joints) + rng.normal(0, 0.1, joints.shape)
        truth[frame][frame % 17] = np.nan
        if frame in empty:
            truth[frame][:] = np.nan
    content = {}
    for frame, pose in truth.items():
        named = zip(annotations.BODY_KEYS, pose.tolist(), strict=True)
        known = {k: dict(zip("xyz", p, strict=True)) for k, p in named if np.isfinite(p).all()}
        content[str(frame)] = [{"annotation3D": known}] if known else []
    miniature.label_path(copy, miniature.DANCE, "body/annotation").write_text(json.dumps(content))

    def turn(cameras):
        poses = {}
        for frame in frames:
            c, s = np.cos(frame / 2), np.sin(frame / 2)
            if frame not in gone:
                poses[str(frame)] = [[c, -s, 0, frame / 100], [s, c, 0, 0], [0, 0, 1, 0]]
        (key,) = [key for key in cameras if "aria" in key]
        cameras[key]["camera_extrinsics"] = poses

    edit(takes.camera_pose_file(copy, "val", miniature.UIDS[miniature.DANCE]), turn)
    return truth


def velocity(truth, pred, pairs):
    """Mean over joints of pairs (frame, next frame, times per second)."""
    errors = []
    for f, g, factor in pairs:
        change = (truth[g] - truth[f]) - (pred[g] - pred[f])
        errors += list(factor * np.linalg.norm(change, axis=1))
    return np.nanmean(errors)


# Clips of 120 frames and a short one, 9 frames after the first and 10 frames before the third.
FIRST, SHORT, THIRD = range(0, 120, 3), range(126, 200, 3), range(208, 328, 3)


def test_pooled_numbers_are_of_long_clips(copy, tmp_path):
    frames = [*FIRST, *SHORT, *THIRD]
    truth = long_take(copy, frames, empty=(9,), gone=(12, 15))
    pred = noisy(truth)
    path = write_body(tmp_path / "pred.json", {miniature.DANCE: pred})
    result = evaluate("egoexo4d", copy, path, "--protocol", "body-pooled")
    used = [*FIRST, *THIRD]
    errors = [np.linalg.norm(truth[f] - pred[f], axis=1) for f in used]
    assert result["figures"]["MPJPE_cm"] == pytest.approx(100 * np.nanmean(errors), rel=1e-9)
    # Across the empty entry there is no velocity, and none from 117 to 208.
    pairs = [(f, g, 10) for f, g in itertools.pairwise(used) if g - f == 3]
    expected = velocity(truth, pred, pairs)
    assert result["figures"]["MPJVE_m_per_s"] == pytest.approx(expected, rel=1e-9)
    assert result["left_out"] == {
        "in clips of fewer than 120 frames": len(SHORT),
        "without a labelled joint": 1,
    }
    # 9 frames between two long clips: velocity by their time; 10 frames: none.
    for step in (9, 10):
        near = [*FIRST, *range(117 + step, 237 + step, 3)]
        truth = long_take(copy, near)
        pred = noisy(truth)
        write_body(path, {miniature.DANCE: pred})
        result = evaluate("egoexo4d", copy, path, "--protocol", "body-pooled")
        pairs = [(f, g, 30 / (g - f)) for f, g in itertools.pairwise(near) if g - f < 10]
        assert len(pairs) == len(near) - (1 if step == 9 else 2)
        expected = velocity(truth, pred, pairs)
        assert result["figures"]["MPJVE_m_per_s"] == pytest.approx(expected, rel=1e-9)


def test_corrected_velocity_needs_entries_that_follow_each_other(copy, tmp_path):
    frames = [*FIRST, *SHORT]
    truth = long_take(copy, frames, empty=(9, 60), gone=(15, 18, 126))
    pred = noisy(truth)
    path = write_body(tmp_path / "pred.json", {miniature.DANCE: pred})
    kept = [f for f in frames if f not in (15, 18, 126)]
    follow = list(itertools.pairwise(kept))  # of the official script, whatever the gap
    near = [(f, g) for f, g in follow if g - f == 3]
    assert len(near) == len(follow) - 2
    for name, pairs in (("body", follow), ("body-corrected", near)):
        options = ("--protocol", name, "--reference", "global")
        found = evaluate("egoexo4d", copy, path, *options)["figures"]["MPJVE_m_per_s"]
        expected = velocity(truth, pred, [(f, g, 10) for f, g in pairs])
        assert found == pytest.approx(expected, rel=1e-9)
        # The glasses turn, so that velocities in their frame are others.
        turned = evaluate("egoexo4d", copy, path, "--protocol", name)["figures"]
        assert abs(turned["MPJVE_m_per_s"] - found) > 1e-3
        first = evaluate("egoexo4d", copy, path, "--protocol", name, "--reference", "first")
        assert first["figures"]["MPJVE_m_per_s"] == pytest.approx(found)


def test_entries_without_labels_need_no_prediction(copy, tmp_path):
    truth = long_take(copy, FIRST, empty=(9,))
    pred = noisy(truth)
    del pred[9]
    path = write_body(tmp_path / "pred.json", {miniature.DANCE: pred})
    assert evaluate("egoexo4d", copy, path)["entries"] == len(FIRST) - 1
    del pred[12]
    write_body(path, {miniature.DANCE: pred})
    with pytest.raises(WorkError, match="/body/12, 1 of 39"):
        evaluate("egoexo4d", copy, path)
    assert evaluate("egoexo4d", copy, path, "--allow-missing")["entries"] == len(FIRST) - 2


@pytest.mark.parametrize("scale", [None, "m", "mm"])
def test_predictions_on_our_crops_score_like_those_of_the_challenge(raw, tmp_path, scale):
    pred = noisy(body_truth(raw, miniature.DANCE))
    as_json = write_body(tmp_path / "pred.json", {miniature.DANCE: pred})
    names, coords = [], []
    for frame, pose in pred.items():
        for camera, shift in (("gp01", 40), ("gp02", -40)):  # whose mean is the prediction
            names.append(f"egoexo4d_downscaled/{miniature.DANCE}/{camera}/{frame:06d}.jpg")
            coords.append((1000 * pose + shift) / (1000 if scale == "m" else 1))
    more = {"units": scale} if scale else {}
    np.savez(tmp_path / "pred.npz", image_path=names, coords3d_pred_world=coords, **more)
    wanted = evaluate("egoexo4d", raw, as_json)["figures"]
    found = evaluate("egoexo4d", raw, tmp_path / "pred.npz")
    assert found["figures"] == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("scale", [None, "m"])
def test_hands_predicted_in_the_world(raw, tmp_path, scale):
    """They are brought into the frame of the glasses; one joint is 8 mm off."""
    world = miniature.wearer(miniature.REPAIR)
    frames = [f for f in range(len(world)) if f != miniature.ARIA_FRAME_WITHOUT_POSE]
    coords = np.array([world[f] for f in frames])
    assert coords.shape[1:] == (61, 3)
    coords[:, annotations.PARTS["left_hand"].start + 6, 1] += 8
    names = [f"egoexo4d_downscaled/{miniature.REPAIR}/cam01/{f:06d}.jpg" for f in frames]
    more = {"units": scale} if scale else {}
    coords = coords / (1000 if scale == "m" else 1)
    path = tmp_path / "pred.npz"
    np.savez(path, image_path=names, coords3d_pred_world=coords, **more)
    options = ("--protocol", "hand", "--split", "train", "--labels", "automatic")
    result = evaluate("egoexo4d", raw, path, *options)
    assert result["figures"]["MPJPE_mm"] == pytest.approx(8 / 21 / 2, abs=1e-3)
    # The best fit spreads it over all joints of that hand.
    assert result["figures"]["PA-MPJPE_mm"] == pytest.approx(8 / 21, rel=0.1)


def test_takes_without_calibration_are_refused(raw, tmp_path):
    poses = {
        take: noisy(body_truth(raw, take, "automatic"), seed)
        for seed, take in enumerate((miniature.REPAIR, miniature.DROPPED))
    }
    path = write_body(tmp_path / "pred.json", poses)
    with pytest.raises(CorruptInput, match="camera_pose"):  # the dropped take has none
        evaluate("egoexo4d", raw, path, "--split", "train", "--labels", "automatic")


def test_missing_predictions_are_named(raw, tmp_path):
    uid, path = miniature.UIDS[miniature.DANCE], tmp_path / "pred.json"
    with pytest.raises(WorkError, match=f"lacks pose {uid}/body/1 and 1 more"):
        evaluate("egoexo4d", raw, write_body(path, {}))
    pred = noisy(body_truth(raw, miniature.DANCE))
    del pred[4]
    with pytest.raises(WorkError, match=f"lacks pose {uid}/body/4, 1 of"):
        evaluate("egoexo4d", raw, write_body(path, {miniature.DANCE: pred}))


def test_submission_from_predictions_on_our_crops(raw, tmp_path, capsys):
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
    args = ["--pred-path", str(tmp_path / "pred.npz"), "--data-dir", str(raw), "--out", str(out)]
    assert eval_submission.main(args) == 0
    written = json.loads(out.read_text())
    assert written[uid]["take_name"] == f"takes/{name}"
    assert list(written[uid]["body"]) == ["0", "30"]
    mean = coords[2:].mean(axis=0)  # both views of frame 30
    nose = mean[annotations.JOINT_NAMES.index("nose")] / 1000
    np.testing.assert_allclose(written[uid]["body"]["30"][0], nose)
    assert np.shape(written[uid]["body"]["30"]) == (17, 3)

    dummy = tmp_path / "dummy_test.json"
    dummy.write_text(json.dumps({uid: {"body": {"0": [], "60": []}}}))
    assert eval_submission.main([*args, "--frames", str(dummy)]) == 1
    error = capsys.readouterr().err
    assert f"pred.npz: lacks pose {uid}/body/60, 1 of 2" in error and error.count("\n") == 1
    dummy.write_text(json.dumps({uid: {"body": {"30": []}}}))
    assert eval_submission.main([*args, "--frames", str(dummy)]) == 0
    assert list(json.loads(out.read_text())[uid]["body"]) == ["30"]
    dummy.write_text(json.dumps({"x": {"body": {"30": []}}}))
    assert eval_submission.main([*args, "--frames", str(dummy)]) == 1
    assert "x/body/30: takes.json has no such take" in capsys.readouterr().err


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
    for frame, both in true.items():
        pred[uid][frame] = {}
        for key, joints in both.items():
            guess = joints + rng.normal(0, 0.01, joints.shape)
            pred[uid][frame][key] = (guess - joints[0] if offset else guess).tolist()
            errors.append(1000 * np.linalg.norm(guess - joints, axis=1).mean())
            aligned.append(1000 * plain_procrustes(joints, guess))
    path = tmp_path / "pred.json"
    path.write_text(json.dumps(pred))
    args = ["--protocol", "hand", "--pred-path", str(path), "--data-dir", str(raw)]
    args += ["--split", "train", "--labels", "automatic", *(["--offset"] if offset else [])]
    assert benchmark.main([*args, "--write-truth", str(tmp_path / "truth.json")]) == 0
    result = json.loads((tmp_path / "pred.eval_egoexo4d_hand_train.json").read_text())
    assert result["entries"] == len(errors) == 14
    assert result["figures"]["MPJPE_mm"] == pytest.approx(np.mean(errors), rel=1e-6)
    assert result["figures"]["PA-MPJPE_mm"] == pytest.approx(np.mean(aligned), rel=1e-6)
    again = [*args, "--truth", str(tmp_path / "truth.json"), "--out", str(tmp_path / "again.json")]
    assert benchmark.main(again) == 0
    assert json.loads((tmp_path / "again.json").read_text())["figures"] == result["figures"]
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
    camera, valid, box = eval_hands.hand_validity(world, image, pose)
    assert valid.all() and camera.shape == (21, 3)
    low, high = image.min(0) - 20, image.max(0) + 20
    np.testing.assert_allclose(box, np.clip([*low, *high], 0, 511))

    def judged(change_world=None, change_image=None, mask=None):
        w, i = world.copy(), image.copy()
        if change_world:
            change_world(w)
        if change_image:
            change_image(i)
        return eval_hands.hand_validity(w, i, pose, mask)

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
    assert not eval_hands.implausible_joints(world).any()
    folded = world.copy()
    folded[7:9] = folded[6] + 0.2 * (folded[5] - folded[6])  # index folded back onto itself
    assert eval_hands.implausible_joints(folded)[6]
    near_root = world.copy()
    near_root[5] = world[0] + 0.5 * (world[5] - world[0])  # 45 mm from the wrist
    assert eval_hands.implausible_joints(near_root)[5]
    thumb = world.copy()
    thumb[1] = world[0] + 0.9 * (world[1] - world[0])  # the thumb may be that near
    assert not eval_hands.implausible_joints(thumb)[1]
    missing = world.copy()
    missing[6] = np.nan
    assert not eval_hands.implausible_joints(missing).any()


def test_few_views_do_not_count_for_manual_hands(copy):
    def reduce(content):
        for poses in content.values():
            for joint in poses[0]["annotation3D"].values():
                joint["num_views_for_3d"] = 2

    path = miniature.label_path(copy, miniature.REPAIR, "hand/automatic")
    edit(path, reduce)
    assert eval_hands.hand_truth(copy, "train", "automatic")[0]
    manual = miniature.label_path(copy, miniature.REPAIR, "hand/annotation")
    manual.parent.mkdir(parents=True)
    path.rename(manual)
    truth, left_out = eval_hands.hand_truth(copy, "train", "manual")
    assert truth == {} and left_out["frames without a valid hand"] == 7
