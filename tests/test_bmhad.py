"""Berkeley MHAD: mosaics, two systems of axes, rows that name poses, products of poses."""

import re
import shutil

import cv2
import numpy as np
import pytest

from posepile.ds.bmhad import main
from posepile.errors import CorruptInput
from posepile.formats.mocap_files import read_c3d
from posepile.imaging.frames import open_frames
from posepile.miniature import writers
from posepile.stages.plausible import CheckParams
from posepile.stages.sides import refuse_wrong_sides

L01 = "Camera/Cluster01/Cam01/S01/A01/R01"
NAMES = (
    "head,lhead,rhead,rback,backl,backt,lback,lside,bell,chest,rside,lsho1,lsho2,larm,lelb,lwri,"
    "lhan1,lhan2,lhan3,rsho1,rsho2,rarm,relb,rwri,rhan1,rhan2,rhan3,lhipb,lhipf,lhipl,lleg,lkne,"
    "lank,lhee,lfoo,rhipb,rhipf,rhipl,rleg,rkne,rank,rhee,rfoo"
).split(",")


@pytest.fixture
def root(raw_miniature, tmp_path):
    target = tmp_path / "bmhad"
    shutil.copytree(raw_miniature("bmhad"), target)
    return target


def load(root, id=L01, **options):
    options = main.Options(**options)
    (unit,) = (u for u in main.list_units(root, options) if u.id == id)
    return main.load_unit(root, unit, options)[0]


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_joints_and_the_edges_that_a_missing_comma_lost():
    info = main.SPEC.joint_info
    assert info.names == NAMES and len(NAMES) == 43
    pairs = {tuple(sorted((NAMES[a], NAMES[b]))) for a, b in info.stick_figure_edges}
    assert {("bell", "chest"), ("backl", "rback"), ("backl", "lback"), ("lhee", "lank")[::-1]} <= {
        *pairs, ("lank", "lhee")
    }  # fmt: skip
    assert ("lhipb", "lhipl") in pairs and ("backl", "backt") in pairs


def test_units_are_sequences_and_views_that_are_there(root):
    ids = {unit.id: unit.args["view"] for unit in main.list_units(root, main.Options())}
    assert ids == {
        **{L01: "l01c01", "Camera/Cluster01/Cam02/S01/A01/R01": "l01c02"},
        **{"Camera/Cluster03/Cam01/S01/A01/R01": "l03c01", "Kinect/Kin01/S01/A01/R01": "k01"},
        "Camera/Cluster01/Cam01/S05/A02/R05": "l01c01",
    }
    (root / "Kinect/Kin01").rename(root / "Kinect/k01")
    options = main.Options(views=["k01"], subjects=["S01"])
    assert [unit.id for unit in main.list_units(root, options)] == ["Kinect/k01/S01/A01/R01"]


def test_cameras_are_products_and_stand_where_they_are_known_to(root):
    first = load(root).camera
    np.testing.assert_allclose(first.t, (1925, 1435, 2414), atol=0.5)
    (fx, _, cx), (_, fy, cy), _ = first.intrinsic_matrix
    np.testing.assert_allclose((fx, fy, cx, cy), (523.625, 524.780, 351.502, 225.299), atol=1e-3)
    second = load(root, L01.replace("Cam01", "Cam02")).camera
    # In the axes of the first camera, the second is at -R' t of its place in the cluster.
    turn = cv2.Rodrigues(np.array([0.02, -0.05, 0.015]))[0]
    at = first.R @ (second.t - first.t)
    np.testing.assert_allclose(at, -turn.T @ [-130, 12, 25], atol=0.01)
    place = root / "Calibration/RwTw_l01.txt"
    tw = place.read_text().splitlines()[1].split()[0]
    change(place, tw, f"Tw={float(tw[3:]) + 30}")
    with pytest.raises(
        CorruptInput, match="30 mm from .*, its known place; expected at most 1 mm"
    ):
        load(root)


def test_any_camera_in_another_place_is_refused(root):
    path = root / "Calibration/camcfg_l01.yml"
    whole = path.read_text()
    first, second = (i.start() for i in re.finditer("PosRel", whole))

    def move(start, numbers):
        at = whole.index("data:", start)
        path.write_text(f"{whole[:at]}data: {numbers}{whole[whole.index(']', at) + 1 :]}")

    move(first, [1, 0, 0, 0, 0, 0])
    with pytest.raises(CorruptInput, match="Camera_1: PosRel is not zero"):
        load(root)
    move(second, [0, 0, 0, 0, 0.9, 0])
    with pytest.raises(CorruptInput, match="of the joints project outside the picture"):
        load(root, L01.replace("Cam01", "Cam02"))


def test_colours_of_a_mosaic(root):
    sequence = load(root)
    rgb = dict(open_one(sequence, 0))[0]
    told = cv2.imread(str(sequence.frames.paths[0]), cv2.IMREAD_UNCHANGED)
    assert rgb.shape == (480, 640, 3)
    # Where a colour was measured it stays: green, red above blue, green.
    inner = np.s_[2:-2:2], np.s_[2:-2:2]
    assert (rgb[2:-2:2, 3:-2:2, 0] == told[2:-2:2, 3:-2:2]).all()
    assert (rgb[3:-2:2, 2:-2:2, 2] == told[3:-2:2, 2:-2:2]).all()
    assert (rgb[inner][..., 1] == told[inner]).all()


def open_one(sequence, k):
    with open_frames(sequence.frames) as frames:
        for i, frame in frames.read([k]):
            yield i, frame.rgb()


def test_a_picture_cut_short_is_one_bad_file(root):
    sequence = load(root)
    path = sequence.frames.paths[1]
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CorruptInput, match=r"_00001.pgm.*bytes of pixels; expected 640 x 480"):
        list(open_one(sequence, 1))
    assert list(open_one(sequence, 0))
    path.write_bytes(b"")
    with pytest.raises(CorruptInput, match="expected the header of a binary PGM"):
        list(open_one(sequence, 1))


def test_rows_of_correspondences(root):
    path = root / "Kinect/Correspondences/corr_moc_kin01_s01_a01_r01.txt"
    numbers = [int(line.split()[0]) for line in path.read_text().splitlines()]
    assert numbers != list(range(6))  # they are not what pictures are named by
    kinect = load(root, "Kinect/Kin01/S01/A01/R01")
    x, y, z = read_c3d(root / "Mocap/OpticalData/moc_s01_a01_r01.c3d").points[32].T
    np.testing.assert_allclose(kinect.tracks[0].world_coords[2].T, [-x, z, y], atol=0.01)
    path = root / "Camera/Correspondences/corr_moc_img_s01_a01_r01.txt"
    whole = path.read_text()
    path.write_text("".join(whole.splitlines(keepends=True)[:-1]))
    with pytest.raises(CorruptInput, match="found 4 pictures or rows; expected 5"):
        load(root)
    for cut in ("", "".join(" ".join(s.split()[:2]) + "\n" for s in whole.splitlines())):
        path.write_text(cut)
        with pytest.raises(CorruptInput, match="corr_moc_img.*(found shape|found 0 pictures)"):
            load(root)
    backwards = "".join(reversed(whole.splitlines(keepends=True)))
    for wrong, found in ((whole.replace(" 87\n", " 8700\n"), "0 to 8700"), (backwards, "87 to 0")):
        path.write_text(wrong)
        with pytest.raises(
            CorruptInput, match=f"column 3: found {found}; expected increasing rows"
        ):
            load(root)


def test_markers_that_are_missing(root):
    lost = NAMES.index("lhee")
    for id in (L01, L01.replace("S01/A01/R01", "S05/A02/R05")):  # as zeros, as NaN in the text
        coords = load(root, id).tracks[0].world_coords
        missing = np.argwhere(np.isnan(coords).any(axis=-1))
        assert {int(j) for _, j in missing} == {lost} and len(missing) == 2


def test_c3d_and_text_must_agree_in_axes_and_unit(root):
    path = root / "Mocap/OpticalData/moc_s01_a01_r01.c3d"
    mocap = read_c3d(path)
    for points, more in (
        (mocap.points[..., [1, 0, 2]], {}),
        (mocap.points, {"units": "cm"}),
        (np.nan_to_num(mocap.points, nan=5.0), {}),
    ):
        writers.write_c3d(path, points, mocap.labels, 480, **more)
        with pytest.raises(
            CorruptInput, match=r"moc_s01_a01_r01.txt.*(at most 0.5|missing in one)"
        ):
            load(root)
    writers.write_c3d(path, mocap.points / 1000, mocap.labels, 480, "m")
    assert load(root).checks["text_mm"] < 0.01
    (root / "Mocap/OpticalData/moc_s01_a01_r01.txt").unlink()
    writers.write_c3d(path, mocap.points[..., [1, 2, 0]], mocap.labels, 480)
    with pytest.raises(CorruptInput, match="stand along"):
        load(root)
    writers.write_c3d(path, mocap.points[:, :42], mocap.labels[:42], 480)
    with pytest.raises(CorruptInput, match=r"found shape \(\d+, 42, 3\); expected shape"):
        load(root)


def test_a_gap_among_pictures_is_refused(root):
    (root / L01 / "img_l01_c01_s01_a01_r01_00002.pgm").unlink()
    with pytest.raises(CorruptInput, match="no number 2 among 4 files"):
        load(root)


def test_front_is_told_by_the_names_of_markers(root):
    (root / "Mocap/OpticalData/moc_s01_a01_r01.txt").unlink()
    points = main.read_markers(root / "Mocap/OpticalData/moc_s01_a01_r01.c3d")
    info, params = main.SPEC.joint_info, CheckParams()
    refuse_wrong_sides("a.c3d", points, info, params)
    others = [NAMES.index(re.sub("^[lr]", lambda m: "lr"[m[0] == "l"], name)) for name in NAMES]
    for wrong in (points[:, others], points * (-1, 1, 1)):
        with pytest.raises(CorruptInput, match="exchanged, or the world is mirrored"):
            refuse_wrong_sides("a.c3d", wrong, info, params)


def test_a_take_without_its_markers_is_a_unit_that_fails(root):
    mocap, ids = root / "Mocap/OpticalData", {u.id for u in main.list_units(root, main.Options())}
    (mocap / "moc_s05_a02_r05.c3d").rename(mocap / "MOC_S05_A02_R05.C3D")
    assert load(root, L01.replace("S01/A01/R01", "S05/A02/R05")).tracks
    (mocap / "moc_s01_a01_r01.c3d").unlink()
    found = list(main.list_units(root, main.Options()))
    assert {unit.id for unit in found} == ids
    assert mocap / "moc_s01_a01_r01.c3d" in next(u for u in found if u.id == L01).inputs


@pytest.mark.parametrize("action", ["00", "12"])
def test_there_are_eleven_actions(root, action):
    (root / L01).parents[0].rename(root / L01.replace("A01/R01", f"A{action}"))
    folder = root / L01.replace("A01", f"A{action}")
    for path in [*folder.iterdir(), *root.glob("*/**/*_s01_a01_r01.*")]:
        path.rename(path.with_name(path.name.replace("_a01_", f"_a{action}_")))
    with pytest.raises(CorruptInput, match=rf"is of action {int(action)}; expected 1 to 11"):
        load(root, folder.relative_to(root).as_posix())
