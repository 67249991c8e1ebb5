"""GeneBody: parameter files, hands, joints, and the published meshes."""

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from genebody_kit import TRAIN, load, param_of, read, save, unit_named

from posepile.bodies.meshes import mesh_error
from posepile.bodies.parameters import load_hands
from posepile.ds.genebody import main
from posepile.ds.genebody.body import world_joints
from posepile.ds.genebody.subjects import Performer
from posepile.errors import CorruptInput, UsageError
from posepile.formats.mesh_files import read_obj_vertices
from posepile.miniature.truth import read_truth
from posepile.run import commands, job, pack


@pytest.fixture
def raw(raw_miniature, tmp_path):
    """A copy to spoil; files are links, so every change replaces the file."""
    root = tmp_path / "genebody"
    shutil.copytree(raw_miniature("genebody"), root, copy_function=os.link)
    return root


class Hostile:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_hostile_pickles_are_not_run(raw, tmp_path):
    mark = tmp_path / "was_run"
    evil = np.array({"smplx": Hostile(mark), "cams": Hostile(mark)}, dtype=object)
    pickle.loads(pickle.dumps(Hostile(mark)))
    assert mark.exists(), "the bait must work"
    mark.unlink()
    files = [
        raw / TRAIN / "dannier" / "param" / "0046.npy",
        raw / TRAIN / "zhuna2" / "annots.npy",
    ]
    for file, name in zip(files, ("dannier/00", "zhuna2/00"), strict=True):
        file.unlink()
        np.save(file, evil)
        with pytest.raises(CorruptInput, match=r"refused.*touch|refused.*Path") as e:
            load(raw, name)
        assert str(file) in str(e.value)
    split = raw / TRAIN / "genebody_split.npy"
    split.unlink()
    np.save(split, evil)
    with pytest.raises(CorruptInput, match="refused"):
        list(main.list_units(raw, main.Options()))
    assert not mark.exists()


@pytest.fixture
def body_file(raw):
    path = raw / TRAIN / "dannier" / "param" / "0045.npy"
    return path, param_of(path), raw / "body_models" / "smplx" / "SMPLX_MALE.npz"


@pytest.mark.parametrize("shape", [(1, 45), (15, 3), (1, 15, 3), (45,)])
def test_hands_get_the_mean_whatever_their_shape(body_file, shape):
    path, param, model = body_file
    stored = param["smplx"]["left_hand_pose"].ravel().copy()
    param["smplx"]["left_hand_pose"] = stored.reshape(shape)
    save(path, param)
    mean = load_hands(model).mean[0]
    whole = read(path, "male", model).parameters
    assert whole["pose"].shape == (165,) and whole["pose"].dtype == np.float32
    np.testing.assert_allclose(whole["pose"][75:120], stored + mean, atol=1e-6)
    assert whole["hands_mean_included"] is True
    bare = read(path, "male", None).parameters
    np.testing.assert_allclose(bare["pose"][75:120], stored, atol=1e-6)
    assert bare["hands_mean_included"] is False
    full = read(path, "male", model, hand_mean="none").parameters
    np.testing.assert_allclose(full["pose"][75:120], stored, atol=1e-6)
    assert full["hands_mean_included"] is True


@pytest.mark.parametrize("n", [6, 12])
def test_pca_hands_are_told_by_their_length(body_file, n):
    path, param, model = body_file
    hands = load_hands(model)
    coefficients = np.linspace(-1, 1, n).astype(np.float32)
    param["smplx"]["right_hand_pose"] = coefficients[None]
    save(path, param)
    expected = hands.mean[1] + sum(c * hands.components[1, i] for i, c in enumerate(coefficients))
    got = read(path, "male", model).parameters["pose"][120:]
    np.testing.assert_allclose(got, expected, atol=1e-5)
    other = read(path, "male", model, hand_mean="none").parameters["pose"]
    np.testing.assert_allclose(other[120:], expected, atol=1e-5)  # always about the mean
    np.testing.assert_allclose(other[75:120], param["smplx"]["left_hand_pose"].ravel(), atol=1e-6)
    assert f"{n} PCA numbers" in read(path, "male", None).left_out


def test_frames_with_pca_hands_are_dropped_in_all_views_alike_without_the_model(raw):
    for frame in ("098", "100"):
        path = raw / TRAIN / "zhuna2" / "param" / f"{frame}.npy"
        param = param_of(path)
        param["smplx"]["left_hand_pose"] = np.zeros((1, 6))
        save(path, param)
    shutil.rmtree(raw / "body_models")
    (nowhere := raw.parent / "nowhere").mkdir()
    for view in ("00", "37"):
        sequence = load(raw, f"zhuna2/{view}", body_models=str(nowhere))
        assert [p.name for p in sequence.frames.paths] == ["099.jpg", "101.jpg"]
        assert sequence.dropped == {
            "hand pose of 6 PCA numbers needs the SMPL-X model file": 2,
        }


def test_parameter_files_of_another_form_are_named_with_what_to_do(body_file):
    path, param, model = body_file

    def expect(match, **changes):
        changed = {"smplx": dict(param["smplx"]), "smplx_scale": param["smplx_scale"]}
        for key, value in changes.items():
            target = changed if key in changed else changed["smplx"]
            target[key] = value
        save(path, changed)
        with pytest.raises(CorruptInput, match=match) as e:
            read(path, "male", model)
        assert str(path) in str(e.value)

    expect(r"body_pose: found shape \(69,\); expected.*63\)", body_pose=np.zeros((1, 69)))
    expect(r"left_hand_pose has 30 numbers; expected 45", left_hand_pose=np.zeros(30))
    expect(r"transl: found .*None; expected numbers", transl=None)
    expect(r"betas: found nan.*expected finite", betas=np.full((1, 10), np.nan))
    expect(r"smplx_scale is 970", smplx_scale=970.0)
    expect(r"jaw_pose: found text, 'open'; expected numbers", jaw_pose="open")
    save(path, {"pose": np.zeros((66, 1)), "keypoints": np.zeros((135, 3))})
    with pytest.raises(CorruptInput, match=r"no smplx \(there: keypoints, pose\).*2022-09-01"):
        read(path, "male", model)
    path.unlink()
    path.write_bytes(b"\x93NUMPY\x01\x00")
    with pytest.raises(CorruptInput, match=r"0045\.npy"):
        read(path, "male", model)


def test_scale_applies_after_translation(raw):
    """Joints equal those that the miniature's own kinematics gave, in millimetres."""
    truth = read_truth(raw).facts["joints_mm"]
    for name, scale in (("dannier", 1.0), ("zhuna2", 0.71), ("anastasia", 1.04)):
        sequence = load(raw, f"{name}/00")
        track = sequence.tracks[0]
        frames = [str(int(p.stem)) for p in sequence.frames.paths]
        expected = np.array([truth[name][f] for f in frames])
        assert track.world_coords.dtype == np.float32
        np.testing.assert_allclose(track.world_coords, expected, atol=0.02)
        parameters = track.parameters(0)
        assert parameters["scale"] == np.float32(scale)
        assert parameters["gender"] == ("male" if name == "dannier" else "female")
        raw_transl = param_of(
            raw / TRAIN / name / "param" / f"{sequence.frames.paths[0].stem}.npy"
        )
        np.testing.assert_array_equal(parameters["trans"], raw_transl["smplx"]["transl"][0])


def test_joints_come_from_the_best_source_there_is(raw, monkeypatch):
    by_model = load(raw, "zhuna2/00")
    assert by_model.checks["keypoints_mm"] < 0.01
    by_points = load(raw, "zhuna2/00", joints="keypoints")
    np.testing.assert_allclose(
        by_model.tracks[0].world_coords, by_points.tracks[0].world_coords, atol=0.02
    )
    none = load(raw, "zhuna2/00", joints="none").tracks[0]
    assert none.world_coords is None and none.parameters(0)["type"] == "smplx"

    shutil.rmtree(raw / "body_models")
    (raw.parent / "nowhere").mkdir(exist_ok=True)
    monkeypatch.setenv("SMPLFITTER_BODY_MODELS", str(raw.parent / "nowhere"))
    assert unit_named(raw, "zhuna2/00")[0].args["joints"] == "keypoints"
    without_model = load(raw, "zhuna2/00").tracks[0]
    np.testing.assert_array_equal(without_model.world_coords, by_points.tracks[0].world_coords)
    assert without_model.parameters(0)["hands_mean_included"] is False
    with pytest.raises(UsageError, match=r"joints=model, but the SMPL-X file is not on disk"):
        list(main.list_units(raw, main.Options(joints="model")))

    for path in (raw / TRAIN / "zhuna2" / "param").iterdir():
        param = param_of(path)
        del param["keypoints3d"]
        save(path, param)
    assert load(raw, "zhuna2/00").tracks[0].world_coords is None
    lines = main.calibrate(raw, main.Options())
    assert [line.split(":")[0] for line in lines if "parameters only" in line] == ["zhuna2"]
    with pytest.raises(CorruptInput, match=r"no keypoints.*select\.method=none"):
        load(raw, "zhuna2/00", joints="keypoints")


def test_stored_key_points_are_checked(body_file, tmp_path):
    path, param, model = body_file
    param["keypoints3d"] = np.zeros((55, 4))
    save(path, param)
    with pytest.raises(
        CorruptInput,
        match=r"\(55, 4\); expected shape \(..., points, 3\)",
    ):
        read(path, "male", model)
    points = np.random.default_rng(0).normal(0, 0.5, (1, 70, 3))
    param["smplx"]["keypoints3d"] = points  # place in the file is not documented
    del param["keypoints3d"]
    save(path, param)
    body = read(path, "male", model)
    np.testing.assert_allclose(body.keypoints, points[0, :55] * 1000)
    param["smplx"]["keypoints3d"] = points * 1000
    save(path, param)
    bodies = [read(path, "male", model)]
    with pytest.raises(CorruptInput, match="expected a body in metres"):
        world_joints(Performer(tmp_path, "train", "male", None, None, "keypoints"), bodies, 50)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"gender": "neutral"},
            r"neutral.*agrees to 0\.0. mm with the male model.*set dataset\.gender",
        ),
        (
            {"hand_mean": "none"},
            r"to 0\.0. mm with the mean hand added.*dataset\.hand_mean",
        ),
    ],
)
def test_a_wrong_assumption_about_the_body_is_named(raw, options, message):
    assert load(raw, "dannier/00").checks["mesh_mm"] < 0.01
    with pytest.raises(CorruptInput, match=message) as e:
        load(raw, "dannier/00", **options)
    assert "0045.obj" in str(e.value)
    assert "expected at most 5;" in str(e.value)
    limits = {"max_mesh_error_mm": 2000, "max_keypoints_mm": 2000}
    assert load(raw, "dannier/00", **limits, **options).checks["mesh_mm"] > 5


def rewrite_mesh(path, change):
    vertices = change(read_obj_vertices(path))
    path.unlink()
    path.write_text("\n".join(f"v {x} {y} {z}" for x, y, z in vertices) + "\nf 1 2 3\n")


def test_mesh_without_scale_and_mesh_of_another_body(raw):
    mesh = raw / TRAIN / "zhuna2" / "smpl" / "098.obj"
    rewrite_mesh(mesh, lambda v: v / 0.71)
    with pytest.raises(CorruptInput, match=r"with the scale not applied"):
        load(raw, "zhuna2/00")
    rewrite_mesh(mesh, lambda v: v + 0.3)
    with pytest.raises(CorruptInput, match=r"neither another gender, nor the scale, nor the mean"):
        load(raw, "zhuna2/00")
    assert any("098.obj" in line for line in main.calibrate(raw, main.Options()))
    rewrite_mesh(mesh, lambda v: v[:-1])
    with pytest.raises(CorruptInput, match=r"mesh of 439 vertices.*has 440"):
        load(raw, "zhuna2/00")
    mesh.unlink()
    mesh.write_text("v 1 2 three\n")
    with pytest.raises(CorruptInput, match=r"098\.obj: not a mesh"):
        load(raw, "zhuna2/00")


def test_a_mesh_in_the_middle_is_compared_as_well(raw):
    """As where files are shifted against each other from some frame on."""
    assert load(raw, "dannier/00").checks["mesh_mm"] < 0.01
    rewrite_mesh(
        raw / TRAIN / "dannier" / "smpl" / "0047.obj", lambda v: v + np.array([0.01, 0, 0])
    )
    with pytest.raises(CorruptInput, match=r"0047\.obj: .* is 10\.0 mm off"):
        load(raw, "dannier/00")
    assert any("0047.obj" in line for line in main.calibrate(raw, main.Options()))
    assert load(raw, "dannier/00", max_mesh_error_mm=11).checks["mesh_mm"] > 9


def test_some_meshes_of_a_long_sequence_are_inputs_of_its_units(raw):
    folder = raw / TRAIN / "dannier"
    for kind, name in (("param", "{:04d}.npy"), ("smpl", "{:04d}.obj")):
        for frame in range(100, 220):
            os.link(folder / kind / name.format(45), folder / kind / name.format(frame))
    for frame in range(100, 220):
        os.link(folder / "image/00/0045.jpg", folder / f"image/00/{frame:04d}.jpg")
        os.link(folder / "mask/00/mask0045.png", folder / f"mask/00/mask{frame:04d}.png")
    unit, _ = unit_named(raw, "dannier/00")
    meshes = [int(p.stem) for p in unit.inputs if p.suffix == ".obj"]
    assert 8 <= len(meshes) <= 11 and meshes[0] == 45 and meshes[-1] > 200
    assert max(np.diff(meshes[1:])) < 20


def test_mesh_error_is_in_millimetres(raw):
    mesh = raw / TRAIN / "zhuna2" / "smpl" / "099.obj"
    parameters = load(raw, "zhuna2/00").tracks[0].parameters(1)
    given = {"hands_added": True, "models_root": raw / "body_models"}
    assert mesh_error(mesh, parameters, 1, **given) < 0.01
    rewrite_mesh(mesh, lambda v: v + np.array([0.003, 0, 0.004]))
    assert abs(mesh_error(mesh, parameters, 10, **given) - 5) < 0.01


@pytest.fixture
def no_models(raw, monkeypatch):
    """A copy without the SMPL-X files, where there are none elsewhere either."""
    shutil.rmtree(raw / "body_models")
    (raw.parent / "nowhere").mkdir(exist_ok=True)
    monkeypatch.setenv("SMPLFITTER_BODY_MODELS", str(raw.parent / "nowhere"))
    return raw


LACKING = "hands lack the mean pose, since the SMPL-X file was not found"


def test_a_mistyped_folder_of_models_is_named(no_models, monkeypatch):
    typed = str(no_models / "body_modles")
    for function in (main.list_units, main.plan):
        with pytest.raises(UsageError, match=r"dataset\.body_models: .*modles: found no such"):
            list(function(no_models, main.Options(body_models=typed)))
        monkeypatch.setenv("SMPLFITTER_BODY_MODELS", typed)
        with pytest.raises(UsageError, match=r"variable SMPLFITTER_BODY_MODELS: .*modles: found"):
            list(function(no_models, main.Options()))


def test_hands_without_the_mean_pose_are_noted_with_every_example(raw, monkeypatch):
    def note(**options):
        return load(raw, "zhuna2/00", **options).tracks[0].note

    assert note() == ""
    elsewhere = {"body_models": str(raw.parent)}
    for options in ({}, {"joints": "none"}):
        assert note(**elsewhere, **options) == LACKING
    assert note(hand_mean="none", **elsewhere) == ""


def test_plan_and_calibrate_name_the_place_of_the_model(no_models):
    place = no_models / "body_models" / "smplx"
    (no_models / "b").mkdir()
    for lines in (
        main.plan(no_models, main.Options()),
        main.plan(no_models / "nothing_yet", main.Options(body_models=str(no_models / "b"))),
        main.calibrate(no_models, main.Options()),
        main.doctor(no_models, main.Options()),
        main.doctor(no_models, main.Options(joints="none")),
    ):
        (line,) = [line for line in lines if "mean" in line]
        assert "SMPLX_FEMALE.npz, SMPLX_MALE.npz" in line and "smplx" in line
        assert str(place) in line or str(no_models / "b" / "smplx") in line
    assert "SMPLX_NEUTRAL.npz" in main.plan(no_models, main.Options(gender="neutral"))[0]
    place.mkdir(parents=True)
    for name in ("SMPLX_FEMALE.npz", "SMPLX_MALE.npz"):
        (place / name).touch()
    assert main.plan(no_models, main.Options()) == []
    assert main.plan(no_models, main.Options(hand_mean="none", joints="none")) == []


def test_manifest_output_and_report_say_that_hands_lack_the_mean_pose(
    no_models, monkeypatch, capsys
):
    from posepile.report.page import write_report

    monkeypatch.setenv("DATA_ROOT", str(no_models.parent))
    options = "run.isolate=false", "dataset.subjects=[zhuna2]", "run.exclusions=false"
    run = job.make_run("genebody", options, quiet=True)
    commands.process(run, ("crop",))
    assert f"note: 10 x {LACKING}" in capsys.readouterr().out
    manifest, _ = pack.pack(run)
    assert manifest["splits"]["train"]["notes"][LACKING] == 10
    write_report("genebody", no_models / "report.html")
    assert LACKING in (no_models / "report.html").read_text()


def test_key_points_that_are_not_of_the_body_are_refused(raw):
    folder = raw / TRAIN / "zhuna2" / "param"
    for path in folder.iterdir():
        param = param_of(path)
        param["keypoints3d"] = np.add(param["keypoints3d"], [0.08, 0, 0])
        save(path, param)
    with pytest.raises(CorruptInput, match=r"80.0 mm.*expected at most 50.*max_keypoints_mm"):
        load(raw, "zhuna2/00")
    assert load(raw, "zhuna2/00", max_keypoints_mm=90).checks["keypoints_mm"] > 79
