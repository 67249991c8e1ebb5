"""EMDB: joints of the model in the world, good frames, and its evaluation."""

import pickle
import shutil

import numpy as np
import pytest
from evaluation_kit import evaluate

from posepile.ds.emdb import eval as evaluation
from posepile.ds.emdb import eval_bodies, main
from posepile.errors import CorruptInput, WorkError
from posepile.evaluation import bodies
from posepile.formats.pickles import read_pickle
from posepile.geometry.pictures import project_frames
from posepile.geometry.rotations import matrix_rotvec, rotvec_matrix

WALK, CLIMB, ROCK = "P0/09_outdoor_walk", "P1/14_outdoor_climb", "P7/57_outdoor_rock_chair"


@pytest.fixture
def root(raw_miniature, tmp_path):
    return shutil.copytree(raw_miniature("emdb"), tmp_path / "emdb")


def file_of(root, name):
    return root / name / f"{name.replace('/', '_')}_data.pkl"


def edit(root, name, change):
    content = read_pickle(file_of(root, name))
    change(content)
    file_of(root, name).write_bytes(pickle.dumps(content))


def load(root, **options):
    options = main.Options(**options)
    units = main.list_units(root, options)
    return {s.id: s for unit in units for s in main.load_unit(root, unit, options)}


def test_joints_of_the_model_project_onto_the_published_pixels(root):
    for name, sequence in load(root).items():
        (person,) = sequence.tracks
        data = read_pickle(file_of(root, name))
        points = project_frames(sequence.camera, person.frames, person.world_coords)
        np.testing.assert_allclose(points, data["kp2d"][person.frames], atol=0.01)
        assert sequence.frames.sizes[0] == (data["camera"]["width"], data["camera"]["height"])
        assert sequence.dropped[main.NOT_GOOD] == 1 and len(person.frames) == 7


def test_sequences_are_those_of_the_chosen_sets(root):
    edit(root, CLIMB, lambda d: d.update(emdb1=False))
    chosen = {
        k: {n for n, s in load(root, sets=[k]).items() if len(s.tracks[0].frames)}
        for k in range(3)
    }
    assert chosen == {0: {CLIMB}, 1: {ROCK}, 2: {WALK, ROCK}}
    assert load(root)[CLIMB].dropped[main.IN_NO_SET] == 7


def test_an_invalid_box_is_that_of_the_joints(root):
    edit(root, CLIMB, lambda d: d["bboxes"].update(invalid_idxs=np.array([3, 4])))
    (person,) = load(root)[CLIMB].tracks
    assert person.note == ["", "", "", main.BOX_OF_JOINTS, "", "", ""]
    points = read_pickle(file_of(root, CLIMB))["kp2d"][4]
    np.testing.assert_allclose(person.bbox[3][:2], points.min(axis=0), atol=0.01)


def turn_world(content):
    """Has the world's z axis point up, of bodies and cameras alike."""
    turn = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    smpl, camera = content["smpl"], content["camera"]
    camera["extrinsics"] = camera["extrinsics"] @ turn.T
    rest = content["rest"]
    smpl["trans"] = (smpl["trans"] + rest) @ turn[:3, :3].T - rest
    smpl["poses_root"] = matrix_rotvec(turn[:3, :3] @ rotvec_matrix(smpl["poses_root"]))


def test_a_world_with_another_axis_up_is_refused_in_walks(root):
    from posepile.bodies.models import body_joints

    data = read_pickle(file_of(root, WALK))
    rest = {"pose": np.zeros(72), "shape": data["smpl"]["betas"]}
    pelvis = body_joints("smpl", data["gender"], rest, models_root=root / "body_models")[0, 0]

    def change(content):
        content["rest"] = pelvis.astype(float)
        turn_world(content)
        del content["rest"]

    edit(root, WALK, change)
    with pytest.raises(CorruptInput, match=r"bodies stand along \[0, 0, 1\] .*; expected along"):
        load(root)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(name="P0_10"), "name: found 'P0_10'; expected that of the file"),
        (lambda d: d.update(n_frames=9), "good_frames_mask: found 8 frames; expected 9"),
        (lambda d: d.update(gender="man"), "gender: found 'man'; expected 'male' or 'female'"),
        (lambda d: d["smpl"].update(trans=np.zeros((8, 2))), r"smpl.trans: found shape \(8, 2\)"),
        (
            lambda d: d["smpl"].update(betas=d["smpl"]["betas"] + 30),
            "projects .* px from its publ",
        ),
        (lambda d: d.update(gender="female"), "projects .* px from its published place"),
        (
            lambda d: d["camera"].update(extrinsics=np.linalg.inv(d["camera"]["extrinsics"])),
            "projects .* px from its published place",
        ),
    ],
)
def test_what_is_wrong_in_a_file_is_said(root, change, message):
    edit(root, WALK, change)
    with pytest.raises(CorruptInput, match=message) as error:
        load(root)
    assert "P0_09_outdoor_walk_data.pkl" in str(error.value) and "\n" not in str(error.value)


def test_a_missing_picture_is_refused(root):
    (root / WALK / "images/00007.jpg").unlink()
    with pytest.raises(CorruptInput, match="images: found 7 frames; expected 8, as in .*data.pkl"):
        load(root)


def test_without_models_nothing_can_be_read(root):
    shutil.rmtree(root / "body_models")
    with pytest.raises(WorkError, match="body model: .*basicmodel_m"):
        load(root)
    (line,) = main.plan(root, main.Options())
    assert "there are no joints, so nothing is packed" in line


# ---------------------------------------------------------------- evaluation


@pytest.fixture
def neutral(root):
    """Truth of the neutral model, as predictions are, so that these can be right."""
    models = root / "body_models/smpl"
    for letter in "mf":
        path = models / f"basicmodel_{letter}_lbs_10_207_0_v1.1.0.pkl"
        path.write_bytes((models / "basicmodel_neutral_lbs_10_207_0_v1.1.0.pkl").read_bytes())
    return root


def predict(root, path, change=lambda body: body, *, world=False):
    """Writes PosePile's form of the true bodies."""
    content = {}
    for file in root.glob("P*/*/*_data.pkl"):
        data = main.read_sequence(file)
        body = {"pose": data["body"]["pose"].copy(), "trans": data["body"]["trans"].copy()}
        if not world:
            turn = data["camera"]["extrinsics"][:, :3, :3]
            body["pose"][:, :3] = matrix_rotvec(turn @ rotvec_matrix(body["pose"][:, :3]))
        body["betas"] = data["body"]["shape"]
        content[data["name"]] = change(body)
    path.write_bytes(pickle.dumps(content))
    return path


def official(pickled, folder):
    """Writes the official form of what is in PosePile's."""
    for name, body in pickle.loads(pickled.read_bytes()).items():
        person, sequence = name.split("_", 1)
        place = folder / person / sequence / "hybrIK-out"
        place.mkdir(parents=True)
        for i, pose in enumerate(body["pose"]):
            frame = {"pred_theta_mats": rotvec_matrix(pose.reshape(24, 3)).reshape(1, 216)}
            frame |= {"pred_shape": body["betas"][i : i + 1], "transl": body["trans"][i : i + 1]}
            (place / f"{i:06d}.pkl").write_bytes(pickle.dumps(frame))
    return folder


def figures(root, pred, protocol, *options):
    return evaluate("emdb", root, pred, "--protocol", protocol, *options)


@pytest.mark.parametrize("protocol", ["emdb.1", "emdb.1-corrected", "emdb.1-posepile"])
def test_the_truth_has_no_error(neutral, tmp_path, protocol):
    found = figures(neutral, predict(neutral, tmp_path / "pred.pkl"), protocol)
    assert found["entries"] == 14 and found["clips"] == 2
    for name in evaluation.POSES:
        assert found["figures"][name] == pytest.approx(0, abs=5e-3)


def test_both_forms_give_the_same(root, tmp_path):
    bent = predict(root, tmp_path / "pred.pkl", lambda b: b | {"pose": 0.9 * b["pose"]})
    folder = official(bent, tmp_path / "official")
    one, other = (figures(root, pred, "emdb.1")["figures"] for pred in (bent, folder))
    assert one == pytest.approx(other, rel=1e-5)
    assert one["MPJPE_mm"] > one["PA-MPJPE_mm"] > 1 and one["MPJAE_deg"] > 1


def test_orientations_by_hand(neutral, tmp_path):
    """The root turned by 10 degrees turns all nine parts, and Procrustes undoes it."""

    def turned(body):
        turn = rotvec_matrix([0, 0, np.radians(10)])
        root = matrix_rotvec(turn @ rotvec_matrix(body["pose"][:, :3]))
        return body | {"pose": np.hstack([root, body["pose"][:, 3:]])}

    found = figures(neutral, predict(neutral, tmp_path / "p.pkl", turned), "emdb.1")["figures"]
    assert found["MPJAE_deg"] == pytest.approx(10, abs=1e-3)
    assert found["PA-MPJAE_deg"] == pytest.approx(0, abs=1e-2)


def test_official_jitter_zeroes_nine_joints_and_steps_over_gaps(monkeypatch):
    """All joints move along x with a third difference of one; frame 4 is not good."""
    frames = np.array([0, 1, 2, 3, 5, 6, 7, 8])
    path = frames**3 / 6 * 1000.0
    points = np.zeros((8, 28, 3))
    points[..., 0] = path[:, None]
    monkeypatch.setattr(bodies, "in_batches", lambda *_: {"told": points, "true": points})
    clip = type("Clip", (), {"truth": {"frame": frames}, "name": "a"})
    pred = {"pose": np.zeros((8, 72)), "betas": np.zeros((8, 10)), "trans": np.zeros((8, 3))}
    unit = 30**3 / 10

    def jitter(protocol):
        setup = type("Setup", (), {"protocol": protocol, "root": None})
        return evaluation.score(setup, clip, pred)["jitter_10m_per_s3"][0]

    assert jitter(evaluation.CORRECTED) == pytest.approx(unit)
    third = np.abs(np.diff(frames**3 / 6, n=3))
    assert jitter(evaluation.OFFICIAL) == pytest.approx(third.mean() * 15 / 24 * unit)
    assert third.mean() > 2  # so the gap shows


def test_motion_in_the_world_may_be_in_any_world(neutral, tmp_path):
    def elsewhere(body):
        return body | {"trans": body["trans"] + [5.0, 0, -3]}

    pred = predict(neutral, tmp_path / "pred.pkl", elsewhere, world=True)
    found = figures(neutral, pred, "emdb.2")["figures"]
    for name in ("W-MPJPE_mm", "WA-MPJPE_mm", "RTE_percent"):
        assert found[name] == pytest.approx(0, abs=1e-2)


@pytest.mark.parametrize(
    ("change", "protocol", "message"),
    [
        (lambda b: b | {"pose": b["pose"][1:]}, "emdb.1", r"pose: found shape \(7, 72\)"),
        (lambda b: b | {"pose": b["pose"] * np.nan}, "emdb.1", "pose 0 of frame 0: found nan"),
        (lambda b: {"pose": b["pose"]}, "emdb.1", "found no betas"),
        (lambda b: b | {"trans": b["trans"] * 1000}, "emdb.2", "trans spreads over .* mm, the tr"),
    ],
)
def test_bad_predictions_are_refused_in_one_line(root, tmp_path, change, protocol, message):
    pred = predict(root, tmp_path / "pred.pkl", change, world=True)
    with pytest.raises(WorkError, match=message) as error:
        figures(root, pred, protocol)
    said = str(error.value)
    assert said.startswith(str(pred)) and "\n" not in said and "fetch" not in said


def test_bad_official_predictions_are_refused_in_one_line(root, tmp_path):
    folder = official(predict(root, tmp_path / "pred.pkl"), tmp_path / "official")
    frame = folder / "P1/14_outdoor_climb/hybrIK-out/000002.pkl"
    good = frame.read_bytes()
    frame.unlink()
    with pytest.raises(WorkError, match="hybrIK-out: found 7 pickles; expected 8, one of each"):
        figures(root, folder, "emdb.1")
    frame.write_bytes(pickle.dumps(pickle.loads(good) | {"pred_theta_mats": np.zeros((1, 72))}))
    with pytest.raises(WorkError, match=r"000002.pkl: pred_theta_mats: found shape \(1, 72\)"):
        figures(root, folder, "emdb.1")
    shutil.rmtree(folder / "P1")
    with pytest.raises(WorkError, match="lacks sequence P1_14_outdoor_climb"):
        figures(root, folder, "emdb.1")


def test_feet_are_those_of_smpl():
    assert eval_bodies.FEET == [3216, 3387, 6617, 6787]
