"""The reference evaluators give what their cards say, on truths one can check by hand."""

import importlib
import math
import shutil

import numpy as np
import pytest
from references import coco, common, emdb, h36m, mupots, tdhp, tdpw, trees
from scipy.spatial.transform import Rotation


@pytest.fixture(scope="module")
def raw_miniature(tmp_path_factory):
    """Raw folder of a dataset's miniature, whether or not its reader is there yet."""
    made = {}

    def get(name):
        if name not in made:
            made[name] = tmp_path_factory.mktemp(f"raw_{name}") / name
            importlib.import_module(f"posepile.ds.{name}.miniature").build(made[name])
        return made[name]

    return get


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def test_procrustes_undoes_a_similarity_but_no_mirror(rng):
    points = rng.normal(0, 300, (17, 3))
    moved = 1.7 * points @ Rotation.from_rotvec([0.3, 2, -1]).as_matrix().T + [5, 6, 7]
    assert np.allclose(common.procrustes(moved, points), points)
    assert not np.allclose(common.procrustes(points * [-1, 1, 1], points), points, atol=50)
    assert np.allclose(common.procrustes(0 * points, points), points.mean(axis=0))
    rigid = common.procrustes(moved, points, scale=False)
    assert np.isclose(np.ptp(rigid), np.ptp(rigid)) and not np.allclose(rigid, points, atol=50)
    spread = np.linalg.norm(rigid - rigid.mean(0), axis=1)
    assert np.allclose(spread, 1.7 * np.linalg.norm(points - points.mean(0), axis=1))


def test_smpl_by_hand(raw_miniature, rng):
    """A plain forward pass in float64 gives what smplfitter gives in float32."""
    root = raw_miniature("tdpw")
    smpl, pose, betas = common.Smpl(root), rng.normal(0, 0.4, 72), rng.normal(0, 1, 10)
    vertices, joints, rotations = smpl.pose("female", pose, betas, [0.1, 0.2, 3])
    path = root / "body_models/smpl/basicmodel_f_lbs_10_207_0_v1.1.0.pkl"
    model = {k: v for k, v in common.load_pickle(path).items()}
    parents = np.asarray(model["kintree_table"])[0].astype(np.int64)
    shaped = model["v_template"] + model["shapedirs"][:, :, :10] @ betas
    rest = model["J_regressor"] @ shaped
    local = Rotation.from_rotvec(pose.reshape(24, 3)).as_matrix()
    shaped = shaped + model["posedirs"] @ (local[1:] - np.eye(3)).ravel()
    turns, places = [local[0]], [rest[0]]
    for j in range(1, 24):
        parent = parents[j]
        turns.append(turns[parent] @ local[j])
        places.append(places[parent] + turns[parent] @ (rest[j] - rest[parent]))
    skin = sum(
        model["weights"][:, j, None] * ((shaped - rest[j]) @ turns[j].T + places[j])
        for j in range(24)
    )
    assert np.abs(skin + np.array([0.1, 0.2, 3]) - vertices).max() < 2e-6
    assert np.abs(places + np.array([0.1, 0.2, 3]) - joints).max() < 2e-6
    assert np.abs(turns - rotations).max() < 2e-6


def test_tdhp(tmp_path, rng):
    trees.write_tdhp(tmp_path)
    for protocol in ("tdhp.official", "tdhp.official-corrected", "tdhp.posepile"):
        true = tdhp.truth(tmp_path, protocol)
        assert len(true) == sum(5 + n - 1 for n in range(1, 7))
        assert "3dhp/TS1/imageSequence/img_000002.jpg" not in true  # not valid
        perfect = {key: entry["pose"] - entry["pose"][14] for key, entry in true.items()}
        figures = tdhp.scores(true, perfect, protocol)
        assert figures["PCK150_percent"] == pytest.approx(100)
        assert figures["AUC150_percent"] == pytest.approx(100 * 30 / 31)  # threshold 0
        assert figures["MPJPE_mm"] == 0
        off = {}
        for key, pose in perfect.items():
            off[key] = pose.copy()
            off[key][:11, 0] += 150  # exactly 150 is wrong; 3 of 14 joints are right
        figures = tdhp.scores(true, off, protocol)
        assert figures["PCK150_percent"] == pytest.approx(300 / 14)
        assert figures["MPJPE_mm"] == pytest.approx(11 * 150 / 17)
        moved = {key: pose + 100 for key, pose in perfect.items()}
        centred = tdhp.scores(true, moved, protocol)["MPJPE_mm"]
        assert centred == pytest.approx(100 * math.sqrt(3) if protocol == "tdhp.official" else 0)
    closed = [max(0, 1 - math.floor(30 * d / 150 + 1) / 31) for d in (0, 5, 7.3, 149, 150, 400)]
    assert common.auc_150([0, 5, 7.3, 149, 150, 400]) == pytest.approx(np.mean(closed))


def test_tdhp_pools_frames_or_means_sequences(tmp_path):
    trees.write_tdhp(tmp_path)
    true = tdhp.truth(tmp_path, "tdhp.official-corrected")
    wrong = {
        key: entry["pose"] + (0 if "TS6" in key else 1000) * np.eye(17)[0][:, None]
        for key, entry in true.items()
    }
    figures = tdhp.scores(true, wrong, "tdhp.official-corrected")
    share = sum("TS6" in key for key in true) / len(true)
    assert figures["PCK150_percent"] == pytest.approx(100 * (1 - (1 - share) / 14))
    assert figures["PCK150-sequence-mean_percent"] == pytest.approx(100 * (1 - 5 / 6 / 14))


def test_mupots(tmp_path):
    trees.write_mupots(tmp_path)
    true = mupots.truth(tmp_path, "mupots.all")
    assert len(true["TS2/img_000000.jpg"]) == 2 and len(true["TS2/img_000001.jpg"]) == 3
    assert len(true["TS1/img_000000.jpg"]) == 1  # the other is not valid
    perfect = {
        key: (np.stack([p["points"] for p in people]), np.stack([p["pose"] for p in people]))
        for key, people in true.items()
    }
    for protocol in (
        "mupots.all",
        "mupots.matched",
        "mupots.all-absolute",
        "mupots.all-corrected",
    ):
        figures = mupots.scores(true, perfect, protocol)
        assert figures["PCK150_percent"] == pytest.approx(100)
        assert figures["AUC150_percent"] == pytest.approx(100 * 30 / 31)
    large = {key: (points, 1.5 * poses) for key, (points, poses) in perfect.items()}
    assert mupots.scores(true, large, "mupots.all")["PCK150_percent"] == pytest.approx(100)
    assert mupots.scores(true, large, "mupots.all-corrected")["PCK150_percent"] < 80
    assert mupots.scores(true, large, "mupots.all-absolute")["PCK150_percent"] == 0
    nobody = {**perfect, "TS4/img_000000.jpg": (np.zeros((0, 17, 2)), np.zeros((0, 17, 3)))}
    lost = 100 * (1 / 3) / 20  # one of the three people of one of twenty sequences
    figures = mupots.scores(true, nobody, "mupots.all")
    assert figures["PCK150_percent"] == pytest.approx(100 - lost)
    assert mupots.scores(true, nobody, "mupots.matched")["PCK150_percent"] == pytest.approx(100)


def test_mupots_matching():
    points = np.arange(34.0).reshape(17, 2) * 50 + 100
    near, far, one = points + np.array([39.9, -39.9]), points + np.array([40, 0]), points + 500
    one[5] = points[5]
    assert mupots.match([points], [far, near]) == [1]
    assert mupots.match([points], [far]) == [None]
    assert mupots.match([points, points], [near, near]) == [0, 1]  # ties: the first, used once
    assert mupots.match([points], [one, near]) == [1]
    head = points + 500
    head[[0, 14, 15, 16]] = points[[0, 14, 15, 16]]  # these do not count
    assert mupots.match([points], [head]) == [None]
    at_zero = np.zeros((17, 2))
    assert mupots.match([at_zero], [at_zero]) == [None]


def test_tdpw(raw_miniature, tmp_path):
    root = raw_miniature("tdpw")
    for protocol in ("tdpw.challenge", "tdpw.posepile"):
        true = tdpw.truth(root, protocol)
        assert sum(int(entry["valid"].sum()) for entry in true.values()) == 4 * 6 - 4
        perfect = {
            key: {"jointPositions": entry["joints"] + 3, "orientations": entry["orientations"]}
            for key, entry in true.items()
        }
        figures = tdpw.scores(true, perfect, protocol)
        assert figures["MPJPE_mm"] == pytest.approx(0, abs=1e-6)
        assert figures["PA-MPJPE_mm"] == pytest.approx(0, abs=1e-6)
        if protocol == "tdpw.posepile":
            assert figures["PCK50_percent"] == figures["NCPS125_percent"] == 100
            assert figures["AUC50_percent"] == pytest.approx(99)
        else:
            assert figures["PCK50"] == 1 and figures["MPJAE_deg"] == pytest.approx(0, abs=1e-5)
            assert figures["AUC200"] == pytest.approx(1, abs=1 / 199)
    stored = tdpw.truth(root, "tdpw.posepile")
    for key, entry in tdpw.truth(root, "tdpw.challenge").items():  # the self-test of section 5
        assert np.abs(stored[key]["joints"] - entry["joints"]).max() < 0.001
    assert list(tdpw.truth(root, "tdpw.challenge-test")) == ["test/downtown_walking_00"]


def test_tdpw_zero_prediction_and_turned_one(raw_miniature):
    true = tdpw.truth(raw_miniature("tdpw"), "tdpw.challenge-test")
    (entry,) = true.values()
    zero = {key: {"jointPositions": 0 * e["joints"]} for key, e in true.items()}
    figures = tdpw.scores(true, zero, "tdpw.challenge-test")
    joints = 1000 * entry["joints"][entry["valid"]]
    centred = np.linalg.norm(joints - joints.mean(axis=1, keepdims=True), axis=-1).mean()
    assert figures["PA-MPJPE_mm"] == pytest.approx(centred)
    turn = Rotation.from_rotvec([0, 0.5, 0]).as_matrix()
    turned = {
        key: {"jointPositions": e["joints"] @ turn.T, "orientations": turn @ e["orientations"]}
        for key, e in true.items()
    }
    figures = tdpw.scores(true, turned, "tdpw.challenge-test")
    assert figures["MPJAE_deg"] == pytest.approx(math.degrees(0.5))
    assert figures["PA-MPJAE_deg"] == pytest.approx(0, abs=1e-4)
    assert figures["PA-MPJPE_mm"] == pytest.approx(0, abs=1e-6) and figures["MPJPE_mm"] > 50


def test_tdpw_hmr(raw_miniature):
    root = raw_miniature("tdpw")
    true = tdpw.truth(root, "tdpw.hmr14")
    assert true["test/downtown_walking_00"]["valid"].sum() == 5  # the camera alone decides
    moved = {key: {"vertices": e["vertices"] + [1.0, 2, 3]} for key, e in true.items()}
    figures = tdpw.scores(true, moved, "tdpw.hmr14")
    assert all(value == pytest.approx(0, abs=1e-3) for value in figures.values()), figures


def test_tdpw_all_tracks(raw_miniature, tmp_path):
    trees.write_tdpw_tracks(tmp_path / "3dpw", raw_miniature("tdpw"))
    true = tdpw.truth(tmp_path / "3dpw", "tdpw.challenge")
    assert len(true) == 60 and sum(len(e["valid"]) for e in true.values()) == 87


@pytest.fixture
def neutral(raw_miniature, tmp_path):
    """EMDB in which everybody is neutral, as predictions are."""
    root = tmp_path / "emdb"
    for path in raw_miniature("emdb").glob("*/*/*_data.pkl"):
        content = {**common.load_pickle(path), "gender": "neutral"}
        common.dump_pickle(root / path.relative_to(raw_miniature("emdb")), content)
    shutil.copytree(raw_miniature("emdb") / "body_models", root / "body_models")
    return root


def exact(true):
    return {
        key: {"pose": e["pose"], "betas": np.tile(e["betas"], (8, 1)), "trans": e["trans"]}
        for key, e in true.items()
    }


def test_emdb(neutral, raw_miniature):
    true = emdb.truth(neutral, "emdb.1")
    assert sorted(true) == ["P1_14_outdoor_climb", "P7_57_outdoor_rock_chair"]
    figures = emdb.scores(true, exact(true), "emdb.1")
    jitter = figures.pop("jitter_10m_per_s3")
    assert all(value == pytest.approx(0, abs=2e-3) for value in figures.values()), figures
    bent = exact(true)
    for poses in bent.values():
        poses["pose"] = np.concatenate([poses["pose"][:, :3], 0.9 * poses["pose"][:, 3:]], axis=1)
    worse = emdb.scores(true, bent, "emdb.1")
    assert min(worse["MPJPE_mm"], worse["PA-MPJPE_mm"], worse["MPJAE_deg"]) > 1
    posepile = emdb.scores(emdb.truth(raw_miniature("emdb"), "emdb.1-posepile"), bent, "emdb.1")
    assert posepile["MPJPE_mm"] > worse["MPJPE_mm"]  # neutral against male and female
    assert jitter > 0


def test_emdb_jitter():
    """Fifteen joints with a jerk of one cannot have a mean of more than 15/24 officially."""
    path = np.cumsum(np.cumsum(np.cumsum(np.ones(8)))) / 30**3 * 10
    joints = {i: np.full((24, 3), [path[i], 0, 0]) for i in range(8)}
    assert emdb.jitter(joints, "emdb.1") == pytest.approx(15 / 24)
    assert emdb.jitter(joints, "emdb.1-corrected") == pytest.approx(1)
    del joints[2]
    assert emdb.jitter(joints, "emdb.1") > 1
    assert emdb.jitter(joints, "emdb.1-corrected") == pytest.approx(1)
    del joints[4], joints[6]
    assert emdb.jitter(joints, "emdb.1-corrected") is None


def test_emdb_extrinsics_project_onto_kp2d(raw_miniature):
    true = emdb.truth(raw_miniature("emdb"), "emdb.1")
    for path in raw_miniature("emdb").glob("*/*/*_data.pkl"):
        content = common.load_pickle(path)
        if content["emdb1"]:
            points = true[content["name"]]["joints"] @ content["camera"]["intrinsics"].T
            assert np.abs(points[..., :2] / points[..., 2:] - content["kp2d"]).max() < 0.1


def test_emdb_global_motion(neutral):
    true = emdb.truth(neutral, "emdb.2")
    assert sorted(true) == ["P0_09_outdoor_walk", "P7_57_outdoor_rock_chair"]
    figures = emdb.scores(true, exact(true), "emdb.2")
    for name in ("W-MPJPE_mm", "WA-MPJPE_mm", "RTE_percent"):
        assert figures[name] == pytest.approx(0, abs=1e-2)
    assert figures["jitter_10m_per_s3"] > 0
    assert math.isnan(figures["foot-sliding_mm"]) or figures["foot-sliding_mm"] < 10
    moved = exact(true)
    for poses in moved.values():
        poses["trans"] = poses["trans"] + [10, 20, 30]
    assert emdb.scores(true, moved, "emdb.2")["WA-MPJPE_mm"] == pytest.approx(0, abs=2e-2)


def test_h36m(raw_miniature):
    root = raw_miniature("h36m")
    true = h36m.truth(root, "h36m.p1")
    assert len(true) == 4 * 3  # frames 0 and 64 of one take, frame 0 of another
    assert "h36m/S9/Images/Greeting.54138969/frame_000064.jpg" in true
    turn = Rotation.from_rotvec([1, 2, 3]).as_matrix()
    turned = {key: 1.3 * pose @ turn.T + 50 for key, pose in true.items()}
    assert h36m.scores(true, turned, "h36m.p2")["PA-MPJPE_mm"] == pytest.approx(0, abs=1e-6)
    assert h36m.scores(true, turned, "h36m.p1")["MPJPE_mm"] > 100
    shifted = h36m.truth(root, "h36m.p1-corrected")
    key = "h36m/S9/Images/Greeting.54138969/frame_000000.jpg"
    assert np.allclose(true[key] - shifted[key], [200, 0, 0])
    assert h36m.scores(shifted, turned, "h36m.p1-corrected") == pytest.approx(
        h36m.scores(true, turned, "h36m.p1")
    )


def test_h36m_lifting(raw_miniature):
    true = h36m.truth(raw_miniature("h36m"), "h36m.lifting-p1")
    assert len(true) == 4 * (66 + 3)
    larger = {key: 1.25 * pose + 40 for key, pose in true.items()}
    figure = h36m.scores(true, larger, "h36m.lifting-p3")
    assert figure["N-MPJPE_mm"] == pytest.approx(0, abs=1e-9)
    constant = {key: pose + np.eye(17)[5][:, None] * 34 for key, pose in true.items()}
    velocity = h36m.scores(true, constant, "h36m.lifting-velocity")
    assert velocity["MPJVE_mm_per_frame"] == pytest.approx(0, abs=1e-9)
    pose = np.zeros((17, 3))
    names = ("A 1.54138969", "A.54138969", "B.54138969")
    true = {f"h36m/S9/Images/{n}/frame_{i:06d}.jpg": pose for n in names for i in range(3)}
    moved = {k: pose + np.eye(17)[1][:, None] * np.array([17.0, 0, 0]) for k in true if "A" in k}
    moved |= {k: pose for k in true if "B." in k}
    assert h36m.scores(true, moved, "h36m.lifting-p1")["MPJPE_mm"] == pytest.approx(1 / 2)


def test_coco(raw_miniature, rng):
    true = coco.truth(raw_miniature("coco"), "coco.keypoints")
    perfect = {
        image: [
            {"keypoints": np.reshape(person["keypoints"], (17, 3)), "score": 0.9}
            for person in people
            if person["num_keypoints"]
        ]
        for image, people in true["people"].items()
    }
    figures = coco.scores(true, perfect, "coco.keypoints")
    assert figures["AP"] == figures["AP50"] == figures["AR"] == pytest.approx(1)
    person = next(p for people in true["people"].values() for p in people if p["num_keypoints"])
    points = np.array(person["keypoints"], float).reshape(17, 3)
    assert coco.similarity(person, points) == 1
    size = math.sqrt(person["area"])
    points[:, 0] += size * np.array(coco.SIGMAS) * 2 * math.sqrt(2 * math.log(2))
    assert coco.similarity(person, points) == pytest.approx(0.5)
    one = {image: people[:1] for image, people in perfect.items()}
    assert coco.scores(true, one, "coco.keypoints")["AR"] < 1
    assert coco.scores(true, {}, "coco.keypoints")["AP"] == 0
