import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posepile.geometry.pictures import box_of_points
from posepile.models import DetectParams
from posepile.stages import associate as module
from posepile.stages.associate import associate, joints_inside

NAN = float("nan")


def person(x, y, w, h, n=8):
    """Joints spread over a box, the corners included."""
    rng = np.random.default_rng(0)
    inner = rng.uniform(0, 1, (n - 2, 2))
    return np.concatenate([[[0, 0], [1, 1]], inner]) * [w, h] + [x, y]


def params(**more):
    return DetectParams(**({"expand": 1.0, "iou": 0.2, "min_joints_inside": 6} | more))


def test_each_person_gets_their_box_and_reasons_are_told():
    joints = np.stack(
        [
            person(10, 10, 50, 100),
            person(200, 10, 50, 100),
            person(400, 10, 50, 100),
            np.full((8, 2), NAN),
            person(14, 14, 50, 100),
        ]
    )
    boxes = np.array([[198, 8, 54, 104, 0.9], [9, 9, 53, 102, 0.8], [405, 300, 50, 100, 0.99]])
    result = associate(boxes, joints, params())
    assert result.index.tolist() == [1, 0, -1, -1, -1]
    assert result.reasons == [None, None, module.LOW_IOU, module.NO_JOINTS, module.TAKEN]
    assert result.iou[0] > 0.8
    assert (result.iou[2:] == 0).all()
    alone = associate(np.zeros((0, 5)), joints[:2], params())
    assert alone.index.tolist() == [-1, -1]
    assert alone.reasons == [module.NO_DETECTION] * 2
    nobody = associate(boxes, np.zeros((0, 8, 2)), params())
    assert nobody.index.shape == (0,)
    assert nobody.reasons == []


def test_a_box_must_hold_enough_joints():
    joints = person(0, 0, 100, 100)[None]
    joints[0, 2:] = [90, 90]  # nearly all in one corner
    box = np.array([[0, 0, 80, 80, 1.0]])  # IoU 0.64, but holds one joint
    assert associate(box, joints, params()).reasons == [module.FEW_JOINTS]
    assert associate(box, joints, params(min_joints_inside=1)).index.tolist() == [0]


def test_people_with_fewer_joints_than_asked_need_all_of_theirs():
    joints = np.full((1, 8, 2), NAN)
    joints[0, :3] = [[0, 0], [50, 50], [100, 100]]
    assert associate(np.array([[0, 0, 100, 100]]), joints, params()).index.tolist() == [0]
    assert associate(np.array([[1, 1, 100, 100]]), joints, params()).reasons == [module.FEW_JOINTS]


def test_thresholds_are_inclusive_and_expand_enlarges_the_joint_box():
    joints = np.stack([np.array([[0, 0], [10, 10], [5, 5]], float)])
    half = np.array([[0, 0, 20, 10]])  # IoU exactly 0.5 with the joint box
    assert associate(half, joints, params(iou=0.5)).index.tolist() == [0]
    assert associate(half, joints, params(iou=0.51)).index.tolist() == [-1]
    np.testing.assert_allclose(box_of_points(joints, None, 1.2), [[-1, -1, 12, 12]])


def test_two_matches_are_better_than_one_good_one():
    """The second person overlaps both boxes, the first only one of them, which they then get."""
    joints = np.stack([person(0, 0, 100, 100), person(60, 0, 100, 100)])
    boxes = np.array([[50, 0, 100, 100], [120, 0, 100, 100]])  # IoUs 1/3 and 0.82, 0.25
    loose = params(min_joints_inside=0, iou=0.2)
    assert associate(boxes, joints[1:], loose).index.tolist() == [0]
    assert associate(boxes, joints, loose).index.tolist() == [0, 1]


coordinate = st.integers(0, 30)
box_rows = st.lists(st.tuples(coordinate, coordinate, *[st.integers(1, 20)] * 2), max_size=5)
people = st.lists(
    st.lists(
        st.one_of(st.just((NAN, NAN)), st.tuples(coordinate, coordinate)), min_size=4, max_size=4
    ),
    max_size=4,
)


def brute_force(allowed, iou):
    """All one-to-one assignments: most pairs first, then the largest sum of IoUs."""
    n_people, n_boxes = allowed.shape
    best = (0, 0.0)
    for choice in itertools.product(range(-1, n_boxes), repeat=n_people):
        used = [d for d in choice if d >= 0]
        pairs = [(p, d) for p, d in enumerate(choice) if d >= 0]
        if len(set(used)) == len(used) and all(allowed[p, d] for p, d in pairs):
            best = max(best, (len(pairs), sum(iou[p, d] for p, d in pairs)))
    return best


def plain_iou(a, b):
    iw = max(0.0, min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0]))
    ih = max(0.0, min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1]))
    union = a[2] * a[3] + b[2] * b[3] - iw * ih
    return iw * ih / union if union > 0 else 0.0


@settings(max_examples=150, deadline=None)
@given(box_rows, people, st.sampled_from([0.05, 0.2, 0.5]), st.integers(0, 4))
def test_assignment_is_the_best_of_all(rows, crowd, threshold, needed):
    boxes = np.array(rows, float).reshape(-1, 4)
    joints = np.array(crowd, float).reshape(-1, 4, 2)
    result = associate(boxes, joints, params(iou=threshold, min_joints_inside=needed))

    iou = np.zeros((len(joints), len(boxes)))
    allowed = np.zeros(iou.shape, bool)
    for p, d in np.ndindex(*iou.shape):
        ok = joints[p][np.isfinite(joints[p]).all(axis=1)]
        if len(ok):
            around = [*ok.min(axis=0), *np.ptp(ok, axis=0)]
            iou[p, d] = plain_iou(around, boxes[d])
            x, y, w, h = boxes[d]
            held = sum(x <= u <= x + w and y <= v <= y + h for u, v in ok)
            allowed[p, d] = iou[p, d] >= threshold and held >= min(needed, len(ok))

    pairs = [(p, d) for p, d in enumerate(result.index) if d >= 0]
    assert len({d for _, d in pairs}) == len(pairs)
    assert all(allowed[p, d] for p, d in pairs)
    count, total = brute_force(allowed, iou)
    assert len(pairs) == count
    assert sum(iou[p, d] for p, d in pairs) == pytest.approx(total)
    assert [r is None for r in result.reasons] == (result.index >= 0).tolist()


@given(box_rows, people)
def test_joints_inside_counts_by_definition(rows, crowd):
    boxes = np.array(rows, float).reshape(-1, 4)
    joints = np.array(crowd, float).reshape(-1, 4, 2)
    counted = joints_inside(boxes, joints)
    assert counted.shape == (len(joints), len(boxes))
    for p, d in np.ndindex(*counted.shape):
        x, y, w, h = boxes[d]
        assert counted[p, d] == sum(x <= u <= x + w and y <= v <= y + h for u, v in joints[p])


def test_a_detection_much_larger_than_the_box_is_another_persons():
    joints = person(100, 100, 50, 100)[None]
    box = np.array([[90, 80, 80, 140, 0.9]])  # IoU 0.45, 2.2 times the area
    found = associate(box, joints, params(max_area=2.0))
    assert (found.index.tolist(), found.reasons) == ([-1], [module.TOO_LARGE])
    assert associate(box, joints, params(max_area=2.3)).index.tolist() == [0]
    assert associate(box, joints, params()).index.tolist() == [0]
    # as a share of the enlarged box, where that is compared
    assert associate(box, joints, params(max_area=2.0, expand=1.25)).index.tolist() == [0]


def test_annotated_boxes_are_compared_instead_of_those_of_the_joints():
    joints = np.stack([person(100, 100, 50, 100), person(300, 100, 50, 100)])
    annotated = np.array([[100, 100, 50, 50], [np.nan] * 4])
    boxes = np.array([[100, 100, 50, 52, 0.9], [300, 100, 50, 100, 0.9]])
    strict = params(iou=0.9, min_joints_inside=0, compare="annotation")
    found = associate(boxes, joints, strict, annotated)
    assert found.index.tolist() == [0, -1]
    assert found.reasons == [None, module.NO_BOX]
    np.testing.assert_allclose(found.iou, [50 / 52, 0])
