import json
import re

import numpy as np
import pytest

from posepile.ds.panoptic import main as panoptic
from posepile.errors import CorruptInput, UsageError
from posepile.geometry.pictures import project
from posepile.stages.counts import Counts
from posepile.stages.examples import selected_examples
from posepile.stages.select import SelectParams

NAME = "171204_pose1"
RNG = np.random.default_rng(3)
BODY = RNG.normal((0, -100, 0), 40, (19, 3))  # cm, y down
BODY[2] = BODY[[6, 12]].mean(axis=0)
SELECT = SelectParams(min_moved=3, missing_is_unchanged=True)


def body(x, number=0, unknown=()):
    joints = np.column_stack([BODY + np.array([x, 0, 0]), np.full(19, 0.6)])
    joints[list(unknown)] = 0, 0, 0, -1
    return {"id": number, "joints19": joints.ravel().tolist()}


def hd_camera(node, **more):
    # In front of the people, 4 m away, and level.
    angle = np.radians(5 * node)
    rotation = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    return {
        "name": f"00_{node:02d}",
        "type": "hd",
        "panel": 0,
        "node": node,
        "resolution": [1920, 1080],
        "K": [[1400, 0, 950], [0, 1405, 540], [0, 0, 1]],
        "distCoef": [-0.2, 0.1, 0.001, -0.002, 0.01],
        "R": rotation,
        "t": [[0], [100], [400]],
        **more,
    }


def write_recording(root, frames, inner=".", name=NAME, views=(3, 12)):
    """Frames: number -> list of bodies, or the text of the file."""
    folder = root / name
    (folder / "hdVideos").mkdir(parents=True)
    for view in views:
        (folder / "hdVideos" / f"hd_00_{view:02d}.mp4").touch()
    other = hd_camera(3, name="01_03", type="vga", resolution=[640, 480], distCoef=[0] * 4)
    cameras = [other, hd_camera(3), hd_camera(12)]
    text = json.dumps({"calibDataSource": "x", "cameras": cameras})
    (folder / f"calibration_{name}.json").write_text(text)
    labels = folder / "hdPose3d_stage1_coco19" / inner
    labels.mkdir(parents=True)
    for frame, bodies in frames.items():
        content = {"version": 0.7, "univTime": 1.5, "fpsType": "hd_29_97", "bodies": bodies}
        text = bodies if isinstance(bodies, str) else json.dumps(content)
        (labels / f"body3DScene_{frame:08d}.json").write_text(text)
    return root


def load(root, view=0, **options):
    options = panoptic.Options(**options)
    units = list(panoptic.list_units(root, options))
    return panoptic.load_unit(root, units[view], options)[0]


@pytest.mark.parametrize("inner", panoptic.BODY_FOLDERS)
def test_people_are_followed_whatever_their_ids_and_order(tmp_path, inner):
    frames = {
        140: [body(0, 7), body(150, 8)],
        141: [body(146, 0), body(3, 1)],
        142: [],
        143: [body(9, 2), body(138, 3)],
    }
    sequence = load(write_recording(tmp_path, frames, inner))
    assert [t.person for t in sequence.tracks] == [0, 1]
    assert [t.frames.tolist() for t in sequence.tracks] == [[140, 141, 143]] * 2
    x = [t.world_coords[:, 0, 0] - 10 * BODY[0, 0] for t in sequence.tracks]
    np.testing.assert_allclose(x, [[0, 30, 90], [1500, 1460, 1380]], atol=0.01)
    counts = Counts()
    kept = selected_examples(sequence, SELECT, [], counts)
    assert [(s.frame, s.track.person) for s in kept] == [(140, 0), (140, 1), (143, 1)]
    assert sequence.image_name(143, 1) == f"{NAME}/hd_00_03/000143_01.jpg"
    assert sequence.tracks[0].activity == "pose"


def test_units_are_the_hd_videos_that_are_there(tmp_path):
    write_recording(tmp_path, {0: [body(0)]})
    write_recording(tmp_path, {0: [body(0)]}, name="160224_haggling1", views=(3,))
    write_recording(tmp_path, {}, name="170307_dance1")  # has no labels

    def ids(**options):
        return [unit.id for unit in panoptic.list_units(tmp_path, panoptic.Options(**options))]

    assert ids() == ["160224_haggling1/hd_00_03", f"{NAME}/hd_00_03", f"{NAME}/hd_00_12"]
    assert ids(views=[12]) == [f"{NAME}/hd_00_12"]
    assert ids(sequences=["*haggling*"]) == ["160224_haggling1/hd_00_03"]
    with pytest.raises(UsageError, match="nothing in .* matches 'mafia'"):
        ids(sequences=["mafia"])


def test_camera_is_the_hd_one_in_millimetres(tmp_path):
    write_recording(tmp_path, {0: [body(0)]})
    sequence = load(tmp_path, view=1)
    np.testing.assert_allclose(sequence.camera.R @ -sequence.camera.t, [0, 1000, 4000], atol=0.01)
    assert sequence.frames.size == (1920, 1080)
    coords = sequence.tracks[0].world_coords[0]
    cm = BODY @ np.array(hd_camera(12)["R"]).T + [0, 100, 400]
    by_hand = cm[0, :2] / cm[0, 2] * [1400, 1405] + [950, 540]
    assert np.linalg.norm(project(sequence.camera, coords)[0] - by_hand) < 15  # but for the lens
    (tmp_path / NAME / "hdVideos" / "hd_00_20.mp4").touch()
    with pytest.raises(CorruptInput, match="0 entries for the camera of type hd, node 20"):
        load(tmp_path, view=2)


def test_missing_joints(tmp_path):
    frames = {
        0: [body(0, unknown=[12])],  # the pelvis is then not to be trusted
        1: [body(0, unknown=range(6, 19))],
        2: [body(0, unknown=range(5, 19))],
    }
    sequence = load(write_recording(tmp_path, frames))
    first, second = sequence.tracks[0].world_coords
    names = panoptic.SPEC.joint_info.names
    assert [n for n, p in zip(names, first, strict=True) if np.isnan(p).any()] == ["rhip", "pelv"]
    assert np.isfinite(second).all(axis=-1).sum() == 5
    assert sequence.dropped == {panoptic.FEW_JOINTS: 1}
    ((frame, (seen,)),) = sequence.bystanders.items()  # whose pixels are nobody else's
    assert frame == 2 and np.isfinite(seen.world_coords).all(axis=-1).sum() == 4


def test_a_damaged_file_is_a_lost_frame_and_many_are_an_error(tmp_path):
    good = {frame: [body(frame)] for frame in range(9)}
    write_recording(tmp_path, good | {4: '{"version":0.7,"bodies":[{"id":0,"joi'})
    sequence = load(tmp_path)
    assert sequence.dropped == {panoptic.UNREADABLE: 1}
    assert sequence.tracks[0].frames.tolist() == [0, 1, 2, 3, 5, 6, 7, 8]
    other = tmp_path / "other"
    write_recording(other, good | {4: "{", 7: '{"fpsType": "vga_25", "bodies": []}'})
    message = r"2 of 9 body files are unreadable, the first one is body3DScene_00000004.json: not"
    with pytest.raises(CorruptInput, match=message) as e:
        load(other)
    assert re.search(r"expected at most 1.0%; extract", str(e.value))
    assert load(other, max_unreadable=0.3).dropped == {panoptic.UNREADABLE: 2}


def test_another_order_of_joints_is_refused(tmp_path):
    turned = body(0)
    joints = np.reshape(turned["joints19"], (19, 4))
    turned["joints19"] = joints[[2, 1, 0, *range(3, 19)]].ravel().tolist()
    with pytest.raises(CorruptInput, match="the pelvis is not in the middle of the hips"):
        load(write_recording(tmp_path, {0: [turned]}))


def test_few_joints_in_a_view_are_no_example(tmp_path):
    frames = {0: [body(0), body(420)]}  # the second is at the side of the first camera's picture
    sequence = load(write_recording(tmp_path, frames))
    reasons = [track.unusable(0) for track in sequence.tracks]
    assert reasons == [None, "fewer than 6 joints inside the picture"]
