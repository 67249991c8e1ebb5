"""Bodies of examples posed: joints and vertices in chunks, and how they fit the pictures."""

import pickle

import archive_kit as kit
import deltacamera
import numpy as np
import pytest
import rlemasklib
from bodies_kit import ORDER, make_body, write_one_body

from posepile import datasets2d, datasets3d
from posepile.bodies.models import body_forward
from posepile.bodies.parameters import load_hands
from posepile.datasets3d import TRAIN
from posepile.errors import CorruptInput, UsageError, WorkError
from posepile.joint_info import JointInfo
from posepile.merging.merge import merge_datasets
from posepile.posing import ReposeLimits, converted_chunks, posed_chunks, repose
from posepile.posing.checks import share_outside
from posepile.skeletons.data import load_convention
from posepile.skeletons.mapping import to_convention
from posepile.store import packing, parts

N_VALID = 6


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return write_one_body(tmp_path_factory.mktemp("models"), transfer=True, step=-1)


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    return tmp_path


def mesh(body, models, n_betas=10):
    params = {k: body[k] for k in ("pose", "trans", "scale", "kid_factor") if k in body}
    params["shape"] = body["shape"][:n_betas]
    return body_forward(body["type"], body["gender"], params, models_root=models)


def camera():
    return deltacamera.Camera(intrinsic_matrix=[[20, 0, 12], [0, 20, 8], [0, 0, 1]])


def make(root, name, bodies, *, joints=kit.JOINTS, world=None, n_valid_betas=None, masks=None):
    """An archive whose training examples have these parameters."""
    path = root / f"{name}_work" / "parts" / "000.part"
    with parts.PartWriter(path) as writer:
        for i, body in enumerate(bodies):
            more = {"parameters": body, "camera": camera(), "mask": masks[i] if masks else None}
            more["world_coords"] = np.zeros((5, 3), np.float32) if world is None else world[i]
            writer.add(kit.record(name, "train", 0, i, **more), kit.jpeg(i))
    spec = kit.spec(name, joints=joints)
    object.__setattr__(spec, "n_valid_betas", n_valid_betas)
    packing.pack([path], root / f"{name}.barecat", spec, {"sources": []})
    return datasets3d.get_dataset(name)


def without_mean(body, models):
    pose = body["pose"].copy()
    pose[-90:] -= load_hands(models / "smplx" / "SMPLX_MALE.npz").mean.ravel()
    return dict(body, pose=pose, hands_mean_included=False)


def test_bodies_of_a_dataset_in_its_order(root, models):
    bodies = [make_body("smpl", k, scale=1.2, kid_factor=0.3) for k in range(7)]
    bodies[2] = None
    bodies[4] = make_body("smpl", 4, gender="female")
    examples = make(root, "toy", bodies).examples[TRAIN]
    order = [5, 2, 0, 4, 4]
    for chosen in (
        examples[order],
        [examples[i] for i in order],
        [examples[i].load() for i in order],
    ):
        chunks = list(posed_chunks(chosen, size=2, models_root=models))
        assert [c.positions.tolist() for c in chunks] == [[0, 1], [2, 3], [4]]
        assert {c.kind for c in chunks} == {"smpl"} and chunks[0].own_kinds == ["smpl", ""]
        joints, vertices, errors = (
            np.concatenate([getattr(c, name) for c in chunks])
            for name in ("joints", "vertices", "error_mm")
        )
        assert joints.shape == (5, 24, 3) and joints.dtype == vertices.dtype == np.float32
        for k, i in enumerate(order):
            if bodies[i] is None:
                assert np.isnan(joints[k]).all() and np.isnan(vertices[k]).all()
                assert np.isnan(errors[k])
                continue
            expected = mesh(bodies[i], models)
            np.testing.assert_allclose(joints[k], 1000 * expected["joints"][0], atol=0.01)
            np.testing.assert_allclose(vertices[k], 1000 * expected["vertices"][0], atol=0.01)
            assert errors[k] == 0


def test_some_vertices_or_none(root, models):
    examples = make(root, "toy", [make_body("smpl", 1), None]).examples[TRAIN]
    (whole,) = posed_chunks(examples, models_root=models)
    (some,) = posed_chunks(examples, at=[7, 3], models_root=models)
    (tenth,) = posed_chunks(examples, every=10, models_root=models)
    (none,) = posed_chunks(examples, vertices=False, models_root=models)
    np.testing.assert_array_equal(some.vertices[0], whole.vertices[0, [7, 3]])
    np.testing.assert_array_equal(tenth.vertices[0], whole.vertices[0, ::10])
    assert none.vertices is None and np.array_equal(none.joints, whole.joints, equal_nan=True)


@pytest.fixture
def merged(root, models):
    """SMPL whose last components hold no shape, SMPL-X without mean hands, and a 2D set."""
    smpl = [make_body("smpl", k) for k in range(4)]
    smplx = [make_body("smplx", 10 + k, hands=False) for k in range(3)]
    stored = [without_mean(b, models) for b in smplx]
    stored[1] = smplx[1] = None
    kit.make_archive(root, "flat", "2d", n=2)
    sets = {
        "a": make(root, "a", smpl, n_valid_betas=N_VALID),
        "b": make(root, "b", stored),
        "flat": datasets2d.get_dataset("flat"),
    }
    return merge_datasets(sets), smpl, smplx


def test_joints_of_merged_datasets(merged, models):
    data, smpl, smplx = merged
    examples = data.examples[TRAIN]
    with pytest.raises(UsageError, match="found smplx parameters, while the first are smpl; say"):
        list(posed_chunks(examples, models_root=models))
    (chunk,) = posed_chunks(examples, "smplx", models_root=models)
    assert chunk.own_kinds == ["smpl"] * 4 + ["smplx", "", "smplx"] + [""] * 4
    for i in range(4):
        cut = mesh(smpl[i], models, N_VALID)
        np.testing.assert_allclose(chunk.joints[i, :22], 1000 * cut["joints"][0, :22], atol=0.01)
        assert np.isnan(chunk.joints[i, 22:]).all() and np.isnan(chunk.vertices[i]).all()
    for i, body in ((4, smplx[0]), (6, smplx[2])):
        expected = mesh(body, models)
        np.testing.assert_allclose(chunk.joints[i], 1000 * expected["joints"][0], atol=0.01)
        np.testing.assert_allclose(chunk.vertices[i], 1000 * expected["vertices"][0], atol=0.01)
    assert np.isnan(chunk.joints[7:]).all()
    assert np.flatnonzero(chunk.error_mm == 0).tolist() == [4, 6]


def test_all_of_merged_datasets_become_one_model(merged, models):
    data, smpl, _ = merged
    copy = pickle.loads(pickle.dumps(data))
    (own,) = posed_chunks(copy.examples[TRAIN], "smplx", models_root=models)
    (chunk,) = posed_chunks(copy.examples[TRAIN], "smplx", convert=True, models_root=models)
    assert (chunk.error_mm[:4] < 0.1).all() and (chunk.error_mm[[4, 6]] == 0).all()
    for i in range(4):
        found, expected = chunk.vertices[i], mesh(smpl[i], models, N_VALID)["vertices"][0]
        np.testing.assert_allclose(found[ORDER], 1000 * expected, atol=0.1)
    np.testing.assert_allclose(chunk.vertices[4:], own.vertices[4:], atol=0.01)
    found = list(converted_chunks(copy.examples[TRAIN], "smplh", size=3, models_root=models))
    assert [positions.tolist() for positions, _ in found[:2]] == [[0, 1, 2], [3, 4, 5]]
    assert len(found) == 4 and found[1][1].parameters[2] is None
    assert found[0][1].parameters[0]["converted_from"] == "smpl male"
    assert found[0][1].max_mm.max() < 0.1


def test_a_model_that_is_not_there_is_named(merged, models, tmp_path):
    data, *_ = merged
    examples = data.examples[TRAIN]
    place = tmp_path / "only"
    place.mkdir()
    (place / "smpl").symlink_to(models / "smpl")
    with pytest.raises(WorkError, match=r"smplx/SMPLX_MALE\.npz not found below .*only; get it"):
        list(posed_chunks(examples, "smplx", models_root=place))
    (chunk,) = posed_chunks(examples, "smplx", skip_missing=True, models_root=place)
    (line,) = chunk.lacking
    assert "smplx/SMPLX_MALE.npz not found below" in line and "README.md" in line
    assert np.isfinite(chunk.joints[:4, :22]).all() and np.isnan(chunk.joints[4:]).all()
    assert chunk.vertices.shape == (11, 10475, 3)  # as the published model has
    result = repose(examples, data, models_root=place)
    assert result.lacking == (line,) and result.posed.tolist() == [True] * 4 + [False] * 7


def test_what_is_asked_wrongly(root, models):
    examples = make(root, "toy", [None, None]).examples[TRAIN]
    with pytest.raises(UsageError, match="none of the 2 examples has body parameters"):
        list(posed_chunks(examples, models_root=models))
    (chunk,) = posed_chunks(examples, "smplh", models_root=models)
    assert chunk.vertices.shape == (2, 330, 3) and np.isnan(chunk.joints).all()
    assert list(posed_chunks(examples[:0], "smpl", models_root=models)) == []
    with pytest.raises(UsageError, match="'flame' is unknown"):
        next(posed_chunks(examples, "flame", models_root=models))
    with pytest.raises(UsageError, match="size=0"):
        next(posed_chunks(examples, "smpl", size=0, models_root=models))


def test_damaged_parameters_are_named_by_their_example(root, models):
    examples = make(root, "toy", [None, dict(make_body("smpl"), pose=np.zeros(71))]).examples[
        TRAIN
    ]
    with pytest.raises(
        CorruptInput, match=r"0001\.jpg, example 1 of the list: smpl pose of shape"
    ):
        list(posed_chunks(examples, models_root=models))


# ---------------------------------------------------------------- over pictures


def mask_of(points, margin=1):
    """A mask that has the pixels at these points."""
    mask = np.zeros((16, 24), np.uint8)
    pixels = np.asarray(camera().camera_to_image(np.float32(points)))
    for x, y in np.round(pixels).astype(int):
        mask[max(0, y - margin) : y + margin + 1, max(0, x - margin) : x + margin + 1] = 1
    return rlemasklib.encode(mask)


def test_a_body_that_fits_and_others_that_do_not(root, models):
    """The same body right, moved aside by 900 mm, and with a joint that is 500 mm off."""
    body = make_body("smpl", 1, trans=np.float32([0, 0, 4]))
    aside = dict(body, trans=np.float32([0.9, 0, 4]))
    found = mesh(body, models)
    joints = np.float32(1000 * found["joints"][0])
    off = joints.copy()
    off[5, 1] += 500
    missing = joints.copy()
    missing[7] = np.nan
    data = make(
        root,
        "toy",
        [body, aside, body, body, None],
        joints=load_convention("smpl24").joint_info,
        world=[joints, joints, off, missing, joints],
        masks=[mask_of(1000 * found["vertices"][0])] * 5,
    )
    result = repose(
        data.examples[TRAIN], data.joint_info, margin_px=0, every=1, models_root=models
    )
    assert result.posed.tolist() == [True] * 4 + [False] and result.same.tolist()[:4] == [True] * 4
    np.testing.assert_allclose(result.joint_mm[:4], [0, 900, 500 / 24, 0], atol=0.05)
    np.testing.assert_allclose(result.joint_max_mm[:4], [0, 900, 500, 0], atol=0.05)
    assert result.worst_joints[2] == "rkne"
    assert result.outside[[0, 2, 3]].max() == 0 and result.outside[1] > 0.1
    assert np.isnan(result.joint_mm[4]) and np.isnan(result.outside[4])
    excess = result.excess(ReposeLimits(same_mm=30, outside=10))
    np.testing.assert_allclose(excess, [0, 30, 500 / 24 / 30, 0, 0], atol=0.01)


def test_joints_that_are_only_similar(root, models):
    body = make_body("smplx", 1, trans=np.float32([0, 0, 4]))
    joints = np.float32(1000 * mesh(body, models)["joints"][0])
    smpl = load_convention("smpl24").joint_info
    names = list(load_convention("smplx55").joint_info.names)
    own = [names.index(n) if n in names else names.index(n[0] + "middle1") for n in smpl.names]
    data = make(root, "toy", [body], joints=smpl, world=[joints[own] + np.float32([60, 0, 0])])
    result = repose(data.examples[TRAIN], smpl, models_root=models)
    assert not result.same[0] and result.joint_mm[0] == pytest.approx(60, abs=0.1)
    assert result.excess()[0] == pytest.approx(60 / 150, abs=0.01)
    unknown = JointInfo("foo,bar", "foo-bar")
    result = repose(data.examples[TRAIN], unknown, models_root=models)
    assert np.isnan(result.joint_mm[0]) and result.note
    assert repose(data.examples[TRAIN], None, models_root=models).note == "no joints were named"


@pytest.mark.parametrize("n_similar", [1, 22])
def test_few_joints_that_are_the_same_among_many(root, models, n_similar):
    """HumanData has hands of SMPL; all other joints are those of SMPL-X."""
    body = make_body("smpl", 1, trans=np.float32([0, 0, 4]))
    joints = np.float32(1000 * mesh(body, models)["joints"][0])
    info = load_convention("humandata190").joint_info
    mapping = to_convention(info, "smpl24")
    world = np.full((info.n_joints, 3), np.nan, np.float32)
    there = [22, 23, *range(n_similar)]
    world[mapping.indices[there]] = joints[there] + 60 * np.float32(np.array(there) < 22)[:, None]
    data = make(root, "toy", [body], joints=info, world=[world])
    result = repose(data.examples[TRAIN], info, models_root=models)
    assert result.same[0] == (n_similar == 1)
    expected = 0 if n_similar == 1 else 60 * 3**0.5 * 22 / 24
    assert result.joint_mm[0] == pytest.approx(expected, abs=0.1)


def test_shares_outside_are_counted():
    """Four points: in the mask, beside it, out of the picture, behind the camera."""
    mask = np.zeros((16, 24), np.uint8)
    mask[8, 12] = 1
    example = datasets3d.Pose3DExample("a.jpg", None, [0, 0, 9, 9], camera())
    points = np.float32([[0, 0, 1000], [200, 0, 1000], [5000, 0, 1000], [0, 0, -1000]])
    assert np.isnan(share_outside(example, points))
    example.mask = rlemasklib.encode(mask)
    assert share_outside(example, points, 0) == 0.5
    assert share_outside(example, points, 4) == 0.0
    assert share_outside(example, points[2:], 4) == 1.0
    example.camera = None
    assert np.isnan(share_outside(example, points))
