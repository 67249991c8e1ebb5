"""MPI-INF-3DHP with all it has: 14 cameras, 28 joints, every frame, and one folder for both."""

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rlemasklib
import yaml
from scipy.io import loadmat

from posepile.acquire.doctor import run_doctor
from posepile.ds.tdhp_full import main
from posepile.errors import CorruptInput, UsageError
from posepile.geometry.markerless import ALL_OF_STUDIO
from posepile.geometry.pictures import project
from posepile.shapes import markerless
from posepile.stages.select import SelectParams, select_frames

SOURCES = Path(main.__file__).with_name("sources.yaml")


@pytest.fixture
def root(raw_miniature, tmp_path):
    return Path(shutil.copytree(raw_miniature("tdhp_full"), tmp_path / "tdhp_full"))


def load(root, name, **options):
    options = main.Options(**options)
    units = {unit.id: unit for unit in main.list_units(root, options)}
    return main.load_unit(root, units[name], options)[0]


def test_joints_are_the_28_by_their_places_among_the_labels():
    raw = (  # by hand; the first is renamed
        "thor,spi4,spi2,spin,pelv,neck,head,htop,lcla,lsho,lelb,lwri,lhan,rcla,rsho,relb,rwri,"
        "rhan,lhip,lkne,lank,lfoo,ltoe,rhip,rkne,rank,rfoo,rtoe"
    ).split(",")
    listed = [0, 1, 2, 8, 12, 13, 17, 21, 22, 26, 27, 7, 5, 14, 15, 16, 9, 10, 11, 23, 24, 25]
    assert [*ALL_OF_STUDIO] == [*listed, 18, 19, 20, 3, 6, 4]
    assert main.SPEC.joint_info.names == [raw[j] for j in ALL_OF_STUDIO]
    assert main.SPEC.image_dir == "3dhp_full_downscaled"


def test_every_take_and_camera_is_for_training(root):
    for subject in markerless.FRAMES:
        for take in ("Seq1", "Seq2"):
            folder = root / subject / take / "imageSequence"
            folder.mkdir(parents=True, exist_ok=True)
            for c in range(14):
                (folder / f"video_{c}.avi").touch()
    units = list(main.list_units(root, main.Options()))
    assert len(units) == 8 * 2 * 14 and {unit.split for unit in units} == {"train"}
    some = main.list_units(root, main.Options(subjects=["S1"], cameras=[3, 12]))
    expected = {f"S1/Seq{q}/{c}" for q in (1, 2) for c in (3, 12)}
    assert {unit.id for unit in some} == expected
    with pytest.raises(UsageError, match="no subject TS1"):
        list(main.list_units(root, main.Options(subjects=["TS1"])))


def test_poses_are_those_of_the_rows_in_the_axes_of_the_camera(root):
    sequence = load(root, "S1/Seq1/12")
    labels = loadmat(root / "S1/Seq1/annot.mat")
    points = labels["annot3"][12, 0].reshape(-1, 28, 3)[:, list(ALL_OF_STUDIO)]
    world = sequence.tracks[0].world_coords
    np.testing.assert_allclose(sequence.camera.world_to_camera(world), points, atol=0.01)
    assert sequence.camera.t[1] > 4000  # at the ceiling
    assert sequence.image_name(4, 0) == "S1/Seq1/imageSequence/video_12/000004.jpg"


def test_who_has_moved_is_decided_before_who_is_in_the_picture(root):
    sequence = load(root, "S8/Seq1/1")
    (track,) = sequence.tracks
    assert track.frames.tolist() == [*range(16)]  # every frame takes part
    pixels = project(sequence.camera, track.world_coords)
    within = ((pixels >= -0.5) & (pixels <= 2047.5)).all(axis=2).sum(axis=1)
    usable = [track.unusable(k) is None for k in range(16)]
    assert usable == (within >= 9).tolist() and within[9:11].tolist() == [8, 9]
    assert track.unusable(9) == "fewer than 9 joints inside the picture"
    kept = [k for k in select_frames(track.world_coords, SelectParams()) if usable[k]]
    first = usable.index(True)
    other_way = first + select_frames(track.world_coords[first:], SelectParams())
    assert kept == [11, 13, 15] and other_way.tolist() == [10, 12, 14]
    assert load(root, "S8/Seq1/1", min_joints_inside=8).tracks[0].unusable(9) is None


def test_labels_after_the_end_of_a_take_do_not_count(root, monkeypatch):
    assert markerless.FRAMES["S5"] == (12820, 12312) and markerless.FRAMES["S8"] == (6468, 6054)
    monkeypatch.setitem(markerless.FRAMES, "S6", (3, 8))
    sequence = load(root, "S6/Seq2/2")  # of which there are even fewer frames
    assert len(sequence.tracks[0].frames) == 8
    assert sequence.frames.n_frames == 8 and sequence.frames.mismatch_known


def test_masks_are_all_that_is_red_but_for_two_takes(root):
    assert markerless.NO_RED == ("S1/Seq2", "S4/Seq2")
    assert load(root, "S4/Seq2/3").tracks[0].mask is None
    track = load(root, "S1/Seq1/0").tracks[0]
    h, w = track.mask(2)["size"]
    assert (w, h) == (2048, 2048) and 10_000 < rlemasklib.area(track.mask(2)) < 200_000
    (root / "S1/Seq1/FGmasks/video_0.avi").unlink()
    assert load(root, "S1/Seq1/0").tracks[0].mask is None


def test_cameras_of_another_order_are_refused(root):
    path = root / "S1/Seq1/camera.calibration"
    head, *blocks = path.read_text().split("name ")
    lines = [block.splitlines() for block in blocks]
    lines[0][1:], lines[12][1:] = lines[12][1:], lines[0][1:]
    path.write_text("name ".join([head, *("\n".join(block) + "\n" for block in lines)]))
    for c in (0, 12):
        with pytest.raises(CorruptInput, match="2D labels"):
            load(root, f"S1/Seq1/{c}")


def test_one_folder_serves_both(root, raw_miniature, tmp_path):
    try:
        from posepile.ds.tdhp import main as other
    except ModuleNotFoundError:
        pytest.skip("the other dataset is not here")
    more = shutil.copytree(raw_miniature("tdhp"), tmp_path / "tdhp")
    (more / "miniature_truth.json").unlink()
    (more / "archives").mkdir()
    zipfile.ZipFile(more / "mpi_inf_3dhp_test_set.zip", "w").close()
    link = tmp_path / "link"
    link.symlink_to(more)
    report = run_doctor("tdhp_full", SOURCES, link)
    assert not report.unexpected and not report.misplaced and not report.truncated
    assert [unit.id for unit in main.list_units(link, main.Options(subjects=["S1"]))]
    path = Path(other.__file__).with_name("sources.yaml")
    ours, theirs = (
        {source["name"]: source for source in yaml.safe_load(p.read_text())["sources"]}
        for p in (SOURCES, path)
    )
    assert len(ours.keys() & theirs.keys()) == 6
    for name in ours.keys() & theirs.keys():  # what one has fetched, the other knows
        for key in ("each", "url", "to", "extract"):
            assert ours[name].get(key) == theirs[name].get(key)
