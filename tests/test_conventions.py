"""Conventions: order and names as at their sources, and what several of them have alike."""

import pytest

from posepile.bodies import joints as body_joints
from posepile.ds import load_recipe
from posepile.shapes.faces_hands import FACE, HANDS
from posepile.skeletons import data
from posepile.skeletons.mapping import to_convention

CONVENTIONS = sorted(data.conventions())


def joints(name):
    return load_recipe(name).SPEC.joint_info


@pytest.mark.parametrize("name", CONVENTIONS)
def test_conventions_hold_together(name):
    convention = data.conventions()[name]
    n = int("".join(c for c in name if c.isdigit()).removeprefix("36"))  # h36m17
    assert len(convention.points) == len(convention.official) == n
    assert list(convention.points) == convention.joint_info.names
    assert len(set(convention.official)) == n == len(set(convention.points.values()))
    assert convention.sources and convention.joint_info.stick_figure_edges
    # Every joint of the body's own has an edge, so that the picture is one.
    assert len(convention.joint_info.stick_figure_edges) >= min(n - 1, 16)


def test_conventions_have_the_order_of_their_sources():
    c = {name: list(skeleton.points) for name, skeleton in data.conventions().items()}
    official = {name: skeleton.official for name, skeleton in data.conventions().items()}
    assert c["smpl24"] == list(body_joints.SMPL_JOINT_NAMES)
    assert c["smplh52"] == list(body_joints.SMPLH_JOINT_NAMES)
    assert c["smplx127"][:76] == list(body_joints.SMPLX_OUTPUT_NAMES)
    assert c["smplx127"] == joints("rich").names
    assert c["wholebody133"] == joints("coco_wholebody").names
    assert c["wholebody133"][23:] == [*FACE, *HANDS]
    assert c["h36m17"][:4] == ["pelv", "rhip", "rkne", "rank"]  # the right leg first
    # Facts of the sources, by position: smplx/joint_names.py, human_data.py, coco_wholebody.py
    x = official["smplx144"]
    assert (x[22], x[28], x[55], x[60], x[66], x[76], x[86], x[95], x[127], x[135]) == (
        *("jaw", "left_middle1", "nose", "left_big_toe", "left_thumb", "right_eye_brow1"),
        *("nose1", "right_eye1", "right_contour_1", "contour_middle"),
    )
    h = official["humandata190"]
    assert h[:15] == tuple(n.replace("spine", "spine_") for n in x[:15])
    assert (h[144], h[147], h[149], h[152], h[153], h[161], h[177], h[178], h[184]) == (
        *("right_hip_extra", "headtop", "thorax_extra", "head_extra", "nose_openpose"),
        *("pelvis_openpose", "right_heel_openpose", "spine_4_3dhp", "right_toe_3dhp"),
    )
    assert h[185:] == ("head_h36m", "headtop_h36m", "head_bottom_pt", "left_hand", "right_hand")
    w = official["wholebody133"]
    assert (w[17], w[19], w[23], w[31], w[40], w[59], w[65], w[71]) == (
        *("left_bigtoe", "left_heel", "right_contour_1", "contour_middle", "right_eyebrow_1"),
        *("right_eye_1", "left_eye_4", "right_mouth_1"),
    )
    assert (w[91], w[92], w[95], w[96], w[112], w[132]) == (
        *("left_hand_root", "left_thumb_1", "left_thumb", "left_index_1"),
        *("right_hand_root", "right_pinky"),
    )


def test_what_one_convention_has_of_another_is_the_same():
    """The rows are written out in each, so that they could come to differ."""
    longest = data.conventions()["smplx144"]
    for name, n in (("smplx55", 55), ("smplx127", 127), ("humandata190", 144)):
        one = data.conventions()[name]
        assert list(one.points.values())[:n] == list(longest.points.values())[:n], name
        if name != "smplx55":  # which calls the eyeballs leye and reye
            assert list(one.points)[:n] == list(longest.points)[:n]
        if name != "humandata190":  # which has official names of its own
            assert one.official[:n] == longest.official[:n]
    edges = {
        name: {
            tuple(sorted(edge)) for edge in data.conventions()[name].joint_info.stick_figure_edges
        }
        for name in ("smplx127", "smplx144", "humandata190")
    }
    assert edges["smplx127"] < edges["smplx144"] == edges["humandata190"]


def test_where_sources_disagree_notes_name_both():
    """SPIN's J24_TO_J17 and H36M_TO_J17 pair joint 18 with 10; mmhuman3d's h36m.py has 9 there."""
    convention = data.conventions()["humandata190"]
    places = {joint: convention.points[joint].place for joint in ("head_extra", "jaw_extra")}
    assert places == {"head_extra": "head", "jaw_extra": "jaw"}
    for joint in places:
        note = convention.notes[joint]
        assert "SPIN" in note and "mmhuman3d" in note and "disagree" in note


def test_stand_ins_say_who_says_so():
    assert all(why.endswith(")") for _, why in data.near().values())
    mapping = to_convention(joints("h36m"), "coco17")
    assert "H36M_KEYPOINTS_EXPOSE" in mapping.rows()[0]["why"]
