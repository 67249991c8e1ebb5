"""EHF: the camera by its numbers, meshes and detections that belong together, its evaluation."""

import json
import pickle
import re
import shutil

import numpy as np
import pytest

from posepile.ds.ehf import eval as ehf_eval
from posepile.ds.ehf import main
from posepile.errors import CorruptInput, WorkError
from posepile.evaluation import meshes
from posepile.geometry.pictures import project
from posepile.miniature import writers

NAMES = ["01_img.png", "02_img.png", "03_img.png", "10_img.png", "100_img.png"]


@pytest.fixture
def root(raw_miniature, tmp_path, monkeypatch):
    raw, target = raw_miniature("ehf"), tmp_path / "ehf"
    shutil.copytree(raw, target, ignore=shutil.ignore_patterns("body_models"))
    # Large models are read once, and not for each copy.
    monkeypatch.setenv("SMPLFITTER_BODY_MODELS", str(raw / "body_models"))
    return target


def load(root, **options):
    options = main.Options(**options)
    (unit,) = main.list_units(root, options)
    (sequence,) = main.load_unit(root, unit, options)
    return sequence


def test_the_camera_gives_the_numbers_of_the_card():
    camera = main.load_camera()
    np.testing.assert_allclose(camera.t, [-48, 792, 2276], atol=1)
    np.testing.assert_allclose(camera.R[:, 1], [-0.005, -0.988, -0.153], atol=6e-4)
    points = project(camera, [[0, 0, 0], [0, 900, 0]])
    np.testing.assert_allclose(points, [[767.5, 853.2], [763.1, 273.5]], atol=0.06)
    np.testing.assert_allclose(
        main.to_camera(np.array([[10.0, 20, 30]])), camera.world_to_camera([[10.0, 20, 30]]),
        atol=1e-3,
    )  # fmt: skip


@pytest.mark.parametrize("folder", [".", "EHF", "EHF/EHF"])
def test_pictures_are_found_however_unpacked_and_ordered_by_number(root, folder):
    (root / "EHF").rename(root.parent / "files")
    (root / folder).parent.mkdir(exist_ok=True)
    if folder == ".":
        for path in (root.parent / "files").iterdir():
            path.rename(root / path.name)
    else:
        (root.parent / "files").rename(root / folder)
    sequence = load(root)
    assert [path.name for path in sequence.frames.paths] == NAMES
    names = [sequence.image_name(k, 0) for k in range(5)]
    assert names == [f"{name[:-8]}.jpg" for name in NAMES]


def test_tips_of_fingers_are_vertices(root):
    joints = load(root).tracks[0].world_coords[1]
    vertices = main.read_vertices(root / "EHF/02_align.ply")
    for name, vertex in (("lthu", 5361), ("lindex", 4933), ("rpinky", 8022), ("rthu", 8079)):
        np.testing.assert_allclose(joints[main.JOINT_NAMES.index(name)], vertices[vertex])
    assert vertices[:, 1].max() - vertices[:, 1].min() > 1000  # millimetres, y is up


def test_the_camera_file_must_be_that_of_the_release(root):
    path = root / "EHF/EHF_camera.txt"
    text = path.read_text()
    path.write_text(text.replace("1498.22426237", "1500.0"))
    with pytest.raises(CorruptInput, match=r"EHF_camera.txt: Focal length: found \[1500"):
        load(root)
    path.write_text(text.partition("Rotation")[0])
    with pytest.raises(CorruptInput, match=r"Rotation: found \[\]; expected"):
        load(root)
    path.unlink()
    load(root)


def test_a_transposed_rotation_is_refused(root, monkeypatch):
    turned = {**main.CAMERA, "Rotation": tuple(-v for v in main.CAMERA["Rotation"])}
    (root / "EHF/EHF_camera.txt").unlink()
    monkeypatch.setattr(main, "CAMERA", turned)
    with pytest.raises(CorruptInput, match=r"01_2Djnt.json: right side: 2D labels lie|outside of"):
        load(root)


def test_a_mesh_of_another_picture_is_refused(root):
    one, other = root / "EHF/01_align.ply", root / "EHF/03_align.ply"
    vertices = main.read_vertices(other) / 1000
    vertices[:, 0] += 0.4
    writers.write_ply(one, vertices, np.array([[0, 1, 2]]))
    with pytest.raises(CorruptInput, match="01_2Djnt.json: right side: 2D labels lie"):
        load(root)


def test_a_mesh_in_millimetres_is_refused(root):
    path = root / "EHF/02_align.ply"
    writers.write_ply(path, main.read_vertices(path), np.array([[0, 1, 2]]))
    with pytest.raises(CorruptInput, match=r"02_(align.ply|2Djnt.json)"):
        load(root)


def test_exchanged_sides_are_refused(root):
    path = root / "EHF/10_2Djnt.json"
    content = json.loads(path.read_text())
    points = np.reshape(content["people"][0]["pose_keypoints_2d"], (25, 3))
    points[[2, 3, 4, 9, 10, 11, 5, 6, 7, 12, 13, 14]] = points[
        [5, 6, 7, 12, 13, 14, 2, 3, 4, 9, 10, 11]
    ]
    content["people"][0]["pose_keypoints_2d"] = points.ravel().tolist()
    path.write_text(json.dumps(content))
    with pytest.raises(CorruptInput, match="10_2Djnt.json: right side"):
        load(root)
    path.write_text(json.dumps({"people": []}))  # nobody was found
    load(root)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda data: data[:5000], "01_align.ply: not a binary PLY mesh"),
        (lambda data: data.replace(b"binary_little", b"ascii_little"), "not a binary PLY mesh"),
        (lambda data: data.replace(b"vertex 10475", b"vertex 10474"), r"found shape \(10474, 3\)"),
        (lambda data: b"", "no header of a PLY file"),
    ],
)
def test_damaged_meshes_are_one_line(root, change, text):
    path = root / "EHF/01_align.ply"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(CorruptInput, match=text):
        load(root)


def test_without_the_model_it_is_said_where_it_belongs(root, monkeypatch):
    monkeypatch.setenv("SMPLFITTER_BODY_MODELS", str(root))
    assert "SMPLX_NEUTRAL.npz" in main.plan(root, main.Options())[0]
    with pytest.raises(WorkError, match="SMPLX_NEUTRAL.npz not found"):
        load(root)


@pytest.fixture(scope="module")
def raw(raw_miniature):
    return raw_miniature("ehf")


@pytest.fixture(scope="module")
def truth(raw):
    """Name of each picture -> vertices in the frame of the camera, mm."""
    files = main.mesh_files(raw)
    return {name: main.to_camera(main.read_vertices(file)) for name, file in files.items()}


@pytest.fixture
def score(raw, tmp_path, capsys):
    """Returns the figures of predictions, or the one line by which they are refused."""

    def run(content, *options, suffix=".pkl"):
        path = tmp_path / f"pred{suffix}"
        if suffix == ".npz":
            np.savez(path, **content)
        else:
            path.write_bytes(pickle.dumps(content))
        out = tmp_path / "result.json"
        given = ["--pred-path", path, "--data-dir", raw, "--out", out, *options]
        code = ehf_eval.main([str(value) for value in given])
        if code:
            text = capsys.readouterr().err.rstrip("\n")
            assert code == 1 and "\n" not in text and str(path) in text, text
            return text
        return json.loads(out.read_text())["figures"]

    return run


def moved(truth, change):
    return {name: {"vertices": change(vertices)} for name, vertices in truth.items()}


def test_moving_a_body_costs_nothing(truth, score):
    figures = score(moved(truth, lambda v: v + np.array([30, -50, 400])))
    assert len(figures) == 8
    assert max(figures.values()) < 1e-4  # rows of the regressor sum to one in single precision


def test_scale_costs_without_scale_in_the_alignment_only(truth, score):
    smaller = moved(truth, lambda v: 0.9 * v)
    official = score(smaller)
    original = score(smaller, "--protocol", "posepile", "--camspace")
    assert set(original) - set(official) == {"PA-MPVPE-body_mm"}
    for name in official:
        assert (official[name] < 1e-3) == name.startswith("PA-"), name
        if name.startswith("PA-"):
            assert original[name] > 0.4, name
        else:
            assert original[name] == pytest.approx(official[name], rel=1e-9)
    for vertices in truth.values():  # by hand: the rms distance from the mean shrinks by a tenth
        off = np.linalg.norm(vertices - vertices.mean(axis=0), axis=1)
        assert original["PA-MPVPE-all_mm"] == pytest.approx(0.1 * off.mean(), rel=0.2)


def test_the_face_is_compared_from_the_neck(raw, truth, score):
    parts = meshes.smplx_parts(raw)

    def shift(vertices):
        vertices = vertices.copy()
        vertices[parts["face"]] += [3, 4, 0]
        return vertices

    figures = score(moved(truth, shift))
    assert figures["MPVPE-face_mm"] == pytest.approx(5, abs=1e-6)
    assert figures["MPVPE-all_mm"] == pytest.approx(5 * len(parts["face"]) / 10475, abs=1e-6)
    assert figures["MPVPE-hands_mm"] < 1e-6
    assert figures["PA-MPVPE-face_mm"] < 1e-6


def test_hands_are_the_mean_of_both(raw, truth, score):
    ids = meshes.smplx_parts(raw)["left_hand"]
    ids = ids[ids % 55 != 20]  # the wrist stays

    def shift(vertices):
        vertices = vertices.copy()
        vertices[ids] += [0, 6, 8]
        return vertices

    expected = 10 * len(ids) / 60 / 2
    assert score(moved(truth, shift))["MPVPE-hands_mm"] == pytest.approx(expected, abs=1e-6)


def test_a_reflection_is_not_aligned_away(truth, score):
    figures = score(moved(truth, lambda v: v * [-1, 1, 1]))
    assert all(figures[name] > 1 for name in figures if name.startswith("PA-"))


def test_without_camspace_the_original_compares_in_the_studio(raw, truth, score):
    studio = {n: {"vertices": main.read_vertices(f)} for n, f in main.mesh_files(raw).items()}
    assert max(score(studio, "--protocol", "ehf.posepile").values()) < 1e-6
    turned = score(moved(truth, np.array), "--protocol", "ehf.posepile")
    assert turned["MPVPE-all_mm"] > 500 and turned["PA-MPVPE-all_mm"] < 1e-3


def test_bodies_are_posed_by_the_neutral_model(raw, score):
    rng = np.random.default_rng(0)
    body = {"pose": rng.normal(0, 0.2, (5, 165)), "betas": rng.normal(size=(5, 10))}
    body["trans"] = rng.normal((0, 0, 2.5), 0.2, (5, 3))
    params = {"pose": body["pose"], "shape": body["betas"], "trans": body["trans"]}
    below = {"models_root": raw / "body_models"}
    posed = meshes.posed_bodies("smplx", "neutral", params, **below)["vertices"]
    meshes_of = {name: {"vertices": v} for name, v in zip(NAMES, posed, strict=True)}
    expected = score(meshes_of)
    assert score(body, suffix=".npz") == pytest.approx(expected, rel=1e-6)
    body["trans"] = 1000 * body["trans"]
    assert score({**body, "units": "mm"}, suffix=".npz") == pytest.approx(expected, rel=1e-6)
    order = [4, 2, 0, 1, 3]
    named = {name: values[order] for name, values in body.items()}
    named |= {"units": "mm", "image_path": np.array(NAMES)[order]}
    assert score(named, suffix=".npz") == pytest.approx(expected, rel=1e-6)


def broken(truth, **changes):
    return {**{k: {"vertices": v} for k, v in truth.items()}, **changes}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda t: broken(t, **{"02_img.png": {"vertices": np.full((10475, 3), np.nan)}}),
         "vertices 0, 0 of 02_img.png: found nan"),
        (lambda t: dict(list(broken(t).items())[1:]), "lacks image 01_img.png, 1 of 5"),
        (lambda t: {}, "lacks image 01_img.png and 4 more"),
        (lambda t: {k: {"vertices": v / 1000} for k, v in t.items()}, "times smaller than"),
        (lambda t: broken(t, **{"02_img.png": {"vertices": np.zeros((6890, 3))}}),
         r"02_img.png.vertices: found shape \(6890, 3\); expected shape \(10475, 3\)"),
        (lambda t: [1, 2], "found .*; expected a mapping"),
        (lambda t: broken(t, **{"03_img.png": {"joints": 1}}), "03_img.png: found no vertices"),
    ],
)  # fmt: skip
def test_bad_predictions_are_refused(truth, score, change, text):
    said = score(change(truth))
    assert isinstance(said, str)
    assert re.search(text, said), said


def test_rows_of_bodies_must_be_as_many_as_pictures(score):
    body = {"pose": np.zeros((4, 165)), "betas": np.zeros((4, 10)), "trans": np.zeros((4, 3))}
    assert "4 rows; expected 5" in score(body, suffix=".npz")
    assert "found neither vertices nor" in score({"betas": np.zeros((5, 9))}, suffix=".npz")


def test_pictures_that_there_are_not_are_listed(truth, score, tmp_path):
    score(broken(truth, **{"77_img.png": {"vertices": np.zeros((10475, 3))}}))
    told = json.loads((tmp_path / "result.json").read_text())["not_evaluated"]
    assert told == {"number": 1, "first": ["77_img.png"]}


def test_vertices_of_hands_must_be_those_of_the_model(raw, tmp_path):
    folder = tmp_path / "body_models/smplx"
    shutil.copytree(
        raw / "body_models/smplx", folder, ignore=shutil.ignore_patterns("SMPLX_[MFN]*")
    )
    np.save(folder / "SMPL-X__FLAME_vertex_ids.npy", np.array([3, 10475]))
    with pytest.raises(
        CorruptInput, match="face: found other vertices than those from 0 to 10474"
    ):
        meshes.smplx_parts(tmp_path)
    (folder / "SMPL-X__FLAME_vertex_ids.npy").unlink()
    with pytest.raises(WorkError, match="SMPL-X__FLAME_vertex_ids.npy: not there"):
        meshes.smplx_parts(tmp_path)
