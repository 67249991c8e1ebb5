"""SynthEgo: the splice against the card's rules, and the checks that settle what is unknown."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posepile import files
from posepile.acquire.sources import load_sources
from posepile.ds.synthego import main, miniature, splice
from posepile.errors import CorruptInput, UsageError, WorkError
from posepile.shapes.units import UNLABELLED


@pytest.fixture
def made(raw_miniature):
    return raw_miniature("synthego")


@pytest.fixture
def root(made, tmp_path):
    """A copy that may be changed; images are left out where nobody looks at them."""
    target = tmp_path / "synthego"
    shutil.copytree(made, target, ignore=shutil.ignore_patterns("*.jpg"))
    return target


def official_splice(root):
    """The release's procedure as the card describes it, in its own simple words: the oracle."""
    hands = {
        s: np.load(
            root
            / "manoposesv10"
            / "mano_poses_v1_0"
            / f"handsOnly_REGISTRATIONS_r_lm___POSES___{s}.npy"
        )
        for s in "LR"
    }
    result = {}
    for file in sorted((root / "SynthEgo").glob("*.json")):
        pose = json.loads(file.read_text())["pose"]
        if isinstance(pose[1], str):
            text = pose[1]
            frame = int(text.split("_")[-2])
            path = "/".join(text.split("/")[1:])
            path = ".".join(path.split(".")[:-1]) + ".npz"
            if text.startswith("MoSh_MPI_MoSh"):
                top, inner = "MoSh", "MPI_mosh"
            elif text.startswith("MoSh_MPI_PoseLimits"):
                top, inner = "PosePrior", "MPI_Limits"
            else:
                raise ValueError(text)
            path = path.replace("Data/moshpp_fits_SMPL", inner).replace(".npz", "_poses.npz")
            if not (root / top / path).exists():
                path = path.replace(".npz", "_poses.npz")
            data = np.load(root / top / path)
            step = math.floor(data["mocap_framerate"] / 30)
            pose[1:22] = data["poses"][::step][frame].reshape(52, 3)[1:22].tolist()
        if isinstance(pose[22], str):
            pose[22:37] = hands["L"][int(pose[22].split("_")[1])].reshape(15, 3).tolist()
        if isinstance(pose[37], str):
            pose[37:52] = hands["R"][int(pose[37].split("_")[1])].reshape(15, 3).tolist()
        result[file.name] = pose
    return result


def test_splice_equals_the_official_procedure(root):
    expected = official_splice(root)
    truth = json.loads((root / "miniature_truth.json").read_text())["facts"]["poses"]
    before = {p.name: json.loads(p.read_text()) for p in splice.find_metadata(root)}
    counts = splice.splice_tree(root)
    assert counts == {"spliced": 7, "complete already": 2}
    for path in splice.find_metadata(root):
        after = json.loads(path.read_text())
        assert after["pose"] == expected[path.name]
        np.testing.assert_array_equal(after["pose"], truth[path.stem.removeprefix("metadata_")])
        assert {k: v for k, v in after.items() if k != "pose"} == {
            k: v for k, v in before[path.name].items() if k != "pose"
        }
    assert not list(root.rglob("*.tmp"))


def test_splicing_again_touches_nothing(root):
    splice.splice_tree(root)
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in splice.find_metadata(root)}
    assert splice.splice_tree(root) == {"complete already": 9}
    assert before == {
        p: (p.stat().st_mtime_ns, p.read_bytes()) for p in splice.find_metadata(root)
    }


def test_an_interrupted_splice_goes_on(root, monkeypatch):
    whole = official_splice(root)
    real, calls = files.os.replace, []

    def killed(a, b):
        calls.append(b)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(a, b)

    monkeypatch.setattr(files.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        splice.splice_tree(root)
    monkeypatch.undo()
    # a killed process leaves the file it was writing next to the whole one
    (root / "SynthEgo" / ".metadata_0000003_0001.json.0a1b.tmp").write_text('{"pose": [')
    for path in splice.find_metadata(root):
        json.loads(path.read_text())
    assert splice.splice_tree(root) == {"spliced": 4, "complete already": 5}
    for path in splice.find_metadata(root):
        assert json.loads(path.read_text())["pose"] == whole[path.name]
    assert not list(root.rglob("*.tmp"))


def edit(root, name, change):
    path = root / "SynthEgo" / f"metadata_{name}.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    return path


def body(text):
    def change(data):
        data["pose"][1:22] = [text] * 21

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (body("MoSh_MPI_MoSh_s/Data/moshpp_fits_SMPL/00008/misc.pkl_7_2"), "expected .*_0"),
        (
            body("MoSh_MPI_MoSh_s/Data/moshpp_fits_SMPL/00008/misc.pkl_10_0"),
            "frame 10 of .*one of 10",
        ),
        (
            body("MoSh_MPI_MoSh_s/Data/moshpp_fits_SMPL/00009/misc.pkl_1_0"),
            "extract that AMASS part",
        ),
        (body("KIT_x/Data/moshpp_fits_SMPL/3/misc.pkl_1_0"), "body reference is"),
        (body("MoSh_MPI_MoSh_s/../../../etc/passwd.pkl_1_0"), "body reference is"),
        (body("MoSh_MPI_MoSh"), "body reference is"),
        (lambda d: d["pose"].__setitem__(slice(22, 37), ["mano_12_L"] * 15), "number below 12"),
        (lambda d: d["pose"].__setitem__(slice(37, 52), ["mano"] * 15), "number below 12"),
        (lambda d: d["pose"].__setitem__(5, "x"), "pose.*expected"),
        (lambda d: d["pose"].__setitem__(0, "root"), "pose.*expected"),
        (lambda d: d["pose"].pop(), "pose.*51"),
    ],
)
def test_what_cannot_be_spliced_is_named_and_the_rest_is_done(root, change, message):
    path = edit(root, "0000003_0000", change)
    before = path.read_bytes()
    with pytest.raises(WorkError, match=message) as e:
        splice.splice_tree(root)
    assert path.name in str(e.value) and "1 of 9" in str(e.value)
    assert path.read_bytes() == before
    assert splice.SPLICED.search((root / "SynthEgo" / "metadata_0000019_0000.json").read_bytes())


def test_damaged_json_is_named(root):
    path = root / "SynthEgo" / "metadata_0000008_0001.json"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(WorkError, match=r"metadata_0000008_0001.json: "):
        splice.splice_tree(root)


def test_missing_mano_is_named(root):
    shutil.rmtree(root / "manoposesv10")
    splice.load_hands.cache_clear()
    with pytest.raises(WorkError, match=r"manoposesv10/.*___L\.npy: .*missing"):
        splice.splice_tree(root)


class Hostile:
    """What a malicious pickle does when it is loaded."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def test_hostile_and_damaged_arrays_are_refused_and_nothing_is_run(root, tmp_path):
    mark = tmp_path / "was_run"
    hands = next((root / "manoposesv10").rglob("*L.npy"))
    motion = root / "MoSh" / "MPI_mosh" / "00008" / "misc_poses.npz"
    hostile = np.array([Hostile(mark)], object)
    cut_hands, cut_motion = (p.read_bytes()[: p.stat().st_size // 2] for p in (hands, motion))
    for path, write in (
        (hands, lambda f: np.save(f, hostile)),
        (hands, lambda f: f.write(cut_hands)),
        (motion, lambda f: np.savez(f, poses=hostile, mocap_framerate=120.0)),
        (motion, lambda f: f.write(cut_motion)),
    ):
        before = path.read_bytes()
        json_before = {p: p.read_bytes() for p in splice.find_metadata(root)}
        with open(path, "wb") as f:
            write(f)
        splice.load_motion.cache_clear()
        splice.load_hands.cache_clear()
        with pytest.raises(WorkError, match=rf"{path.name}(\[poses\.npy\])?: ") as e:
            splice.splice_tree(root)
        assert "\n" not in str(e.value)
        assert not mark.exists()
        for p, text in json_before.items():  # a file is as before or spliced as a whole
            assert p.read_bytes() == text or splice.SPLICED.search(p.read_bytes())
            p.write_bytes(text)
        path.write_bytes(before)


def test_unknown_gender_bytes_are_an_error_and_known_ones_are_not(root):
    path = root / "MoSh" / "MPI_mosh" / "00008" / "misc_poses.npz"  # its gender is b'female'
    data = dict(np.load(path))
    assert data["gender"].dtype.kind == "S"
    np.savez(path, **{**data, "gender": np.array(b"\xff\x00")})
    splice.load_motion.cache_clear()
    with pytest.raises(WorkError, match=r"misc_poses\.npz: gender"):
        splice.splice_tree(root)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.booleans(), min_size=3, max_size=3), st.integers(0, 60), st.booleans())
def test_quick_look_agrees_with_parsing(blocks, indent, pose_last):
    pose = [[0.5, 1e-7, -3.0] for _ in range(52)]
    for wanted, (a, b) in zip(blocks, ((1, 22), (22, 37), (37, 52)), strict=True):
        if wanted:
            pose[a:b] = ["A/b.c_1_0"] * (b - a)
    items = [("pose", pose), ("translation", [0, 0, 0])]
    text = json.dumps(dict(reversed(items) if pose_last else items), indent=indent % 5 or None)
    assert bool(splice.SPLICED.search(text.encode())) == (not any(blocks))
    assert not splice.SPLICED.search(text.encode()[:-1])


# --------------------------------------------------------------------------------------------


@pytest.fixture
def spliced(root):
    splice.splice_tree(root)
    return root


def load_all(root, **options):
    options = main.Options(**options)
    units = list(main.list_units(root, options))
    return {s.id: s for u in units for s in main.load_unit(root, u, options)}


def test_samples_with_the_mirror_flag_are_left_out_and_counted(root):
    mirrored = miniature.MOSH.format(3).removesuffix("_0") + "_1"
    edit(root, "0000003_0001", body(mirrored))
    for k in (0, 1, 2):
        edit(root, f"0000019_000{k}", body(mirrored))
    counts = splice.splice_tree(root)
    assert counts[f"left out: {splice.MIRRORED}"] == 4
    sequences = load_all(root)
    for eye in "LR":
        found = sequences[f"0000003/{eye}"]
        assert found.tracks[0].frames.tolist() == [0, 2]
        assert found.dropped[splice.MIRRORED] == 1
        assert sequences[f"0000019/{eye}"].dropped == {splice.MIRRORED: 3}
        assert sequences[f"0000019/{eye}"].tracks == []
    assert not sequences["0000008/L"].dropped


def test_two_files_of_one_pose_are_refused(root):
    first = root / "SynthEgo/metadata_0000003_0001.json"
    (root / "SynthEgo/part_2").mkdir()
    shutil.copy(first, root / "SynthEgo/part_2/metadata_0000003_0001.json")
    message = r"identity and pose 3 1: found at .*SynthEgo/metadata.* and at .*part_2/metadata"
    with pytest.raises(CorruptInput, match=message):
        list(main.list_units(root, main.Options()))


def test_identities_can_be_chosen(spliced):
    def ids(*subjects):
        units = main.list_units(spliced, main.Options(subjects=subjects or None))
        return {name.split("_")[1] for u in units for name in u.args["metadata"]}

    assert ids() == {"0000003", "0000008", "0000019"}
    assert ids(8, "0000019") == {"0000008", "0000019"}
    with pytest.raises(UsageError, match=r"dataset\.subjects: no subject 18.*there are: 19, 3, 8"):
        ids(18)


def test_images_without_metadata_are_counted(made, tmp_path):
    root = tmp_path / "synthego"
    shutil.copytree(made, root)
    splice.splice_tree(root)
    metadata = root / "SynthEgo"
    (metadata / "metadata_0000008_0001.json").unlink()
    (metadata / "img_R_0000008_0001.jpg").unlink()
    for k in range(3):  # nothing is left of its split
        (metadata / f"metadata_0000019_000{k}.json").unlink()
    with pytest.raises(CorruptInput, match=r"of this and 3 others of 9 .*max_unlabelled"):
        load_all(root)
    counts = {id: s.dropped[UNLABELLED] for id, s in load_all(root, max_unlabelled=0.5).items()}
    lost = {id: n for id, n in counts.items() if n}
    assert lost == {"test/0000000-0000029": 6, "val/0000000-0000029": 1}
    only = load_all(root, subjects=["3"], max_unlabelled=0.5)
    assert sorted(only) == ["0000003/L", "0000003/R"]


def test_sequences(spliced):
    sequences = load_all(spliced)
    assert sorted(sequences) == [f"{i:07d}/{e}" for i in (3, 8, 19) for e in "LR"]
    gap = sequences["0000008/L"]
    assert gap.tracks[0].frames.tolist() == [0, 1, 3]
    assert gap.frames.paths[3].name == "img_L_0000008_0003.jpg"
    assert sequences["0000008/R"].dropped == {"fewer than 4 landmarks in view": 1}
    assert [sequences[f"{i:07d}/L"].split for i in (3, 8, 19)] == ["train", "val", "test"]
    raw = json.loads((spliced / "SynthEgo" / "metadata_0000003_0001.json").read_text())
    track = sequences["0000003/R"].tracks[0]
    world = 1000 * np.array(raw["landmarks"]["3D_world"])
    np.testing.assert_allclose(track.world_coords[1], world, atol=1e-3)
    image = sequences["0000003/R"].camera(1).world_to_image(track.world_coords[1])
    np.testing.assert_allclose(image, raw["landmarks"]["2D_camera_R"], atol=0.01)
    parameters = track.parameters(1)
    np.testing.assert_allclose(parameters["pose"].reshape(52, 3), raw["pose"], atol=1e-6)
    assert parameters["shape"].shape == (10,) and parameters["trans"].dtype == np.float32
    assert all(s.checks["reprojection_px"] < 0.01 for s in sequences.values())


def test_left_and_right_eye_are_seen_from_the_data(spliced):
    for path in splice.find_metadata(spliced):
        data = json.loads(path.read_text())
        for key in data["landmarks"]:
            rows = data["landmarks"][key]
            rows[52], rows[53] = rows[53], rows[52]
        path.write_text(json.dumps(data))
    truth = miniature.REST
    assert truth[52, 0] > 0  # the left side is +x
    track = load_all(spliced)["0000003/L"].tracks[0]
    names = main.SPEC.joint_info.ids
    left, right = track.world_coords[0, names["leye"]], track.world_coords[0, names["reye"]]
    assert left[0] > right[0]


def test_extra_landmarks_that_are_no_eyes_stay_missing(spliced):
    for path in splice.find_metadata(spliced):
        data = json.loads(path.read_text())
        for key in data["landmarks"]:
            data["landmarks"][key][53] = data["landmarks"][key][52]
        path.write_text(json.dumps(data))
    sequence = load_all(spliced)["0000003/L"]
    assert np.isnan(sequence.tracks[0].world_coords[:, 52:]).all()
    assert np.isfinite(sequence.tracks[0].world_coords[:, :52]).all()
    assert sequence.checks["eyes_missing"] == 1


def test_wrong_joint_order_fails_loudly(spliced):
    for path in splice.find_metadata(spliced):
        data = json.loads(path.read_text())
        for key in data["landmarks"]:
            rows = data["landmarks"][key]
            rows[18], rows[4] = rows[4], rows[18]
        path.write_text(json.dumps(data))
    with pytest.raises(CorruptInput, match=r"joint .* from its parent .* changes by"):
        load_all(spliced)


def test_wrong_pose_fails_loudly(spliced):
    def turn_knee(data):
        data["pose"][4][0] += 0.8  # as from another frame of the motion

    edit(spliced, "0000003_0001", turn_knee)
    with pytest.raises(
        CorruptInput, match=r"identity 3, mm: .*joint l\w+ from .*the pose puts it"
    ):
        load_all(spliced)


def test_wrong_camera_fails_loudly(spliced):
    def flip(data):
        matrix = data["cameras"]["camera_L"]["world_to_camera"]
        data["cameras"]["camera_L"]["world_to_camera"] = (
            np.diag([1, -1, -1, 1]) @ np.array(matrix)
        ).tolist()

    edit(spliced, "0000019_0002", flip)
    with pytest.raises(CorruptInput, match=r"0000019/L: frame 2, .* px from its published place"):
        load_all(spliced)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["landmarks"].pop("2D_camera_R"), "2D_camera_R"),
        (lambda d: d["cameras"].pop("camera_L"), "camera_L"),
        (lambda d: d.__setitem__("identity", [0] * 9), "identity"),
        (body("MoSh_MPI_MoSh_s/Data/moshpp_fits_SMPL/00008/misc.pkl_7_0"), "pose"),
    ],
)
def test_malformed_metadata_is_named(spliced, change, message):
    path = edit(spliced, "0000003_0002", change)
    with pytest.raises(CorruptInput, match=message) as e:
        load_all(spliced)
    assert path.name in str(e.value)


def test_up_is_compared_with_the_data(spliced, monkeypatch):
    monkeypatch.setattr(main, "WORLD_UP", (0.0, 0.0, 1.0))
    monkeypatch.setattr(main.check_up, "__kwdefaults__", {"least": 3})
    with pytest.raises(
        CorruptInput, match=r"bodies stand along \[0, 1, 0\].* along \[0.0, 0.0, 1"
    ):
        load_all(spliced)


def test_landmarks_close_to_the_camera_plane_do_not_count_for_the_box(spliced):
    before = load_all(spliced)["0000003/L"].tracks[0].bbox[1]
    names = [*main.SPEC.joint_info.names]

    def hide_legs(data):
        for name in names:
            if name[1:] in ("kne", "ank", "toe"):
                data["landmarks"]["3D_camera_L"][names.index(name)][2] = 0.04

    edit(spliced, "0000003_0001", hide_legs)
    after = load_all(spliced)["0000003/L"].tracks[0].bbox[1]
    assert 0 < after[2] * after[3] < 0.9 * before[2] * before[3]

    def hide_all(data):
        for row in data["landmarks"]["3D_camera_L"][3:]:
            row[2] = 0.04

    edit(spliced, "0000003_0001", hide_all)
    assert load_all(spliced)["0000003/L"].tracks[0].frames.tolist() == [0, 2]


def test_sources_and_splits():
    sources = load_sources(main.Path(main.__file__).parent / "sources.yaml")
    zips = [s for s in sources.sources if s.name.startswith("synth_ego_")]
    assert len(zips) == 10 and all(s.extract.to == "SynthEgo" for s in zips)
    assert {s.login.domain for s in sources.sources if s.login} == {"amass", "mano"}
    with pytest.raises(ValueError, match="less than or equal to 9"):
        main.Options(split_of_digit={12: "val"})
