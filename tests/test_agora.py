"""AGORA: cameras by file name, masks by colour, bodies in the world, frames that must agree."""

import shutil

import numpy as np
import pytest

from posepile.bodies.models import body_joints
from posepile.ds.agora import main, miniature
from posepile.errors import CorruptInput
from posepile.formats.pickles import read_pickle
from posepile.geometry.pictures import project
from posepile.miniature import pickled
from posepile.shapes import stills
from posepile.shapes.units import UNLABELLED

HDRI = "ag_trainset_renderpeople_bfh_hdri_50mm_5_10_00007"
CAM00 = "ag_trainset_3dpeople_bfh_archviz_5_10_cam00_00000"
CAM02 = "ag_trainset_3dpeople_bfh_archviz_5_10_cam02_00031"
GIRL = "ag_trainset_renderpeople_bfh_hdri_50mm_5_10_00024"
AG2 = "ag_validationset_axyz_body_ag2_5_15_00002"
FLOWERS = "ag_validationset_renderpeople_bfh_flowers_5_15_00049"


def load(root, **options):
    options = main.Options(**options)
    units = main.list_units(root, options)
    return [s for unit in units for s in main.load_unit(root, unit, options)]


@pytest.fixture(scope="module")
def sequences(raw_miniature, tmp_path_factory):
    """What the reader says of a copy."""
    root = tmp_path_factory.mktemp("data") / "agora"
    shutil.copytree(raw_miniature("agora"), root)
    return load(root)


@pytest.fixture(scope="module")
def examples(sequences):
    """(Picture, person) -> camera, track, index in the track."""
    found = {}
    for sequence in sequences:
        for track in sequence.tracks:
            for k, frame in enumerate(track.frames):
                stem, _, person = sequence.image_name(frame, track.person).rpartition("_")
                key = stem.rpartition("/")[2], int(person.removesuffix(".jpg"))
                found[key] = sequence.camera(frame), track, k
    return found


def test_who_is_left_out_and_why(sequences, examples):
    assert [s.split for s in sequences] == ["train", "val"]
    assert len(examples) == 18 and (HDRI, 2) in examples and (CAM02, 2) not in examples
    dropped = {"invalid, or occluded by more than 75 %": 2, stills.SMALL: 1}
    assert [dict(s.dropped) for s in sequences] == [dropped, dropped]


@pytest.mark.parametrize(
    ("name", "focal", "place", "ahead"),
    [
        (HDRI, 50, (0, -1.7, 0), (0, 0, 1)),
        (CAM00, 18, (-2.75, -2.65, 4), (0.6124, 0.5, -0.6124)),
        (CAM02, 18, (1.7, -2.65, -4.9), (-0.6124, 0.5, 0.6124)),
        (AG2, 28, (0, -1.7, 0), (0, 0.2588, 0.9659)),
        (FLOWERS, 28, (-0.6, -1.8, 1.2), (0.4226, 0, 0.9063)),
    ],
)
def test_the_name_of_a_picture_tells_its_camera(examples, name, focal, place, ahead):
    camera, track, k = examples[name, 0]
    lens = [[focal * 3840 / 36, 0, 1919.5], [0, focal * 3840 / 36, 1079.5], [0, 0, 1]]
    np.testing.assert_allclose(camera.intrinsic_matrix, lens, atol=1e-3)
    np.testing.assert_allclose(camera.t, 1000 * np.array(place), atol=0.1)
    np.testing.assert_allclose(camera.R[2], ahead, atol=1e-4)
    x, y, w, h = track.bbox[k]
    off = (project(camera, track.world_coords[k][:24]) - [x, y]) / [w, h]
    assert (off > -0.02).all() and (off < 1.02).all()


@pytest.mark.parametrize("name", [HDRI, GIRL, CAM02, AG2])
@pytest.mark.parametrize("person", [0, 1])
def test_the_body_stands_where_the_joints_are(raw_miniature, examples, name, person):
    _, track, k = examples[name, person]
    body = track.parameters(k)
    assert ("kid_factor" in body) == (person == 1 and name in (GIRL, CAM02))
    assert (body["gender"] == "neutral") == (person == 1 and name == GIRL)
    parts = ("pose", "shape", "trans", "expression", "kid_factor")
    parameters = {key: np.asarray(body[key]) for key in parts if key in body}
    models = raw_miniature("agora") / "body_models"
    joints = body_joints("smplx", body["gender"], parameters, models_root=models)[0]
    n = sum(j < 55 for j in miniature.KEPT)
    found = 1000 * joints[miniature.KEPT[:n]]
    np.testing.assert_allclose(found, track.world_coords[k][24 : 24 + n], atol=1)


@pytest.fixture
def root(raw_miniature, tmp_path):
    target = tmp_path / "agora"
    shutil.copytree(raw_miniature("agora"), target)
    return target


NO_MODEL = "no body parameters, since the SMPL-X file was not found"


@pytest.fixture
def few(root):
    """A picture of each set, two of the people girls."""
    for part in ("train_0", "validation_0"):
        for kind in ("SMPL", "SMPLX"):
            path = root / kind / f"{part}_withjv.pkl"
            table = {key: list(column)[1:2] for key, column in read_pickle(path).items()}
            pickled.write_pickle(path, pickled.frame(table))
    return root


def notes_of(root):
    """Notes of people -> how many, and how many people have parameters."""
    notes, n = {}, 0
    for sequence in load(root, max_unlabelled=1):
        for track in sequence.tracks:
            for k in range(len(track.frames)):
                note = track.note if isinstance(track.note, str) else track.note[k]
                body = track.parameters(k) if track.parameters else None
                assert (body is None) == bool(note)
                notes[note] = notes.get(note, 0) + 1
                n += body is not None
    return notes, n


def test_examples_without_parameters_say_so(few, monkeypatch):
    monkeypatch.delenv("SMPLFITTER_BODY_MODELS", raising=False)
    monkeypatch.setenv("DATA_ROOT", str(few.parent / "elsewhere"))
    options, folder = main.Options(), few / "body_models/smplx"
    units = list(main.list_units(few, main.Options(max_unlabelled=1)))
    assert main.plan(few, options) == [] and notes_of(few) == ({"": 4}, 4)
    (folder / "SMPLX_NEUTRAL.npz").unlink()  # that of girls
    some, n = notes_of(few)
    assert some == {"": 2, NO_MODEL: 2} and n == 2
    (line,) = main.plan(few, options)
    assert (
        f"without SMPLX_NEUTRAL.npz there are no body parameters: put them into {folder}" in line
    )
    shutil.rmtree(few / "smplx_gt")
    assert notes_of(few)[0] == {
        "no body parameters, since smplx_gt was not found": 2, NO_MODEL: 2
    }  # fmt: skip
    shutil.rmtree(folder)
    assert notes_of(few) == ({NO_MODEL: 4}, 0)
    later = list(main.list_units(few, main.Options(max_unlabelled=1)))
    for before, after in zip(units, later, strict=True):  # when files come, they are made again
        n_lost = before.args.get("unlabelled")
        assert n_lost or (before.inputs != after.inputs and before.args != after.args)


def test_pictures_that_are_in_no_frame_are_counted(few):
    with pytest.raises(CorruptInput, match=r"train_0/ag_.* 2 others of 4 pictures.*at most 10%"):
        load(few)
    lost = [s for s in load(few, max_unlabelled=0.8) if not s.frames.paths]
    assert [(s.id, dict(s.dropped)) for s in lost] == [
        ("train_0/unlabelled", {UNLABELLED: 3}),
        ("validation/unlabelled", {UNLABELLED: 3}),
    ]


def test_frames_of_other_pictures_are_named(root):
    (root / "SMPLX/validation_0_withjv.pkl").replace(root / "SMPLX/train_0_withjv.pkl")
    with pytest.raises(CorruptInput, match=r"found ag_validationset.*; expected ag_trainset"):
        load(root)


def change_frame(root, kind, **columns):
    """Writes the frame of the validation set anew; None = without that column."""
    path = root / kind / "validation_0_withjv.pkl"
    table = {key: list(column) for key, column in read_pickle(path).items()} | columns
    table = {key: column for key, column in table.items() if column is not None}
    pickled.write_pickle(path, pickled.frame(table))


def drop_a_row(root):
    path = root / "SMPL/validation_0_withjv.pkl"
    table = {key: list(column)[:-1] for key, column in read_pickle(path).items()}
    pickled.write_pickle(path, pickled.frame(table))


def drop_a_person(root):
    path = root / "SMPL/validation_0_withjv.pkl"
    table = read_pickle(path)
    joints = {key: [row[:2] for row in table[key]] for key in ("gt_joints_2d", "gt_joints_3d")}
    change_frame(root, "SMPL", **joints)


def write_palette(root, *ids):
    (root / "seg_rgbs.txt").write_text("".join(f"{k}\t[{k}, 181, 57]\n" for k in ids))


def rename_pictures(root):
    for kind in ("SMPL", "SMPLX"):
        change_frame(root, kind, imgPath=[f"ag2_{k}.png" for k in range(4)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop_a_row, r"SMPLX/validation_0.*: found 4 rows; expected 3 as in .*SMPL/validation_0"),
        (drop_a_person, r"found shape \(3, 127, 2\).*where P is 2"),
        (rename_pictures, r"ag2_0\.png.*expected a name like ag_"),
        (
            lambda root: change_frame(root, "SMPLX", camX=None),
            r"flowers_5_15_00049\.png: .*found no camX",
        ),
        (
            lambda root: (root / "seg_rgbs.txt").write_text(
                "0\t[55, 181, 57]\n1\t[153, 108, 6]\n"
            ),
            r"_00000\.png: found 3 people; expected at most 2, which have a colour",
        ),
        (
            lambda root: (root / "seg_rgbs.txt").write_text(
                "0\t[55, 181, 57]\n2\t[153, 108, 6]\n"
            ),
            r"seg_rgbs\.txt: line 2: found .*; expected row 1",
        ),
        (
            lambda root: next(root.glob("train/*hdri/*_00000.png")).unlink(),
            r"_00000\.png: file is missing",
        ),
    ],
)
def test_what_does_not_fit_together_is_one_line(root, change, message):
    change(root)
    with pytest.raises(CorruptInput, match=message):
        load(root)
