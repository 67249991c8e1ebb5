import cv2
import numpy as np
import pytest
import rlemasklib
import tiny_networks
from hypothesis import given, settings
from hypothesis import strategies as st

from posepile.errors import CorruptInput, UsageError
from posepile.models import SegmenterFile, SegmentParams, load_segmenter
from posepile.models.person_mask import limbs, nearest_to, select_person
from posepile.models.prompts import prompt_joints

NAN = float("nan")


def figure(x, y):
    """A standing figure: joints ``[5, 2]``: head, hips, hand, knee, foot."""
    return np.array([[x, y], [x, y + 50], [x + 18, y + 30], [x, y + 75], [x, y + 100]], float)


EDGES = [(0, 1), (1, 3), (3, 4), (0, 2)]


def paint(image, joints, value, width=13):
    for a, b in EDGES:
        ends = [tuple(int(v) for v in joints[i]) for i in (a, b)]
        cv2.line(image, *ends, value, width)


def scene(*people, value=240):
    """uint8 RGB 160 x 200 with drawn figures, and the mask of each as drawn alone."""
    image = np.full((160, 200, 3), 20, np.uint8)
    masks = []
    for joints in people:
        paint(image, joints, (value,) * 3)
        alone = np.zeros((160, 200), np.uint8)
        paint(alone, joints, 1)
        masks.append(alone.astype(bool))
    return image, masks


def box_of(joints):
    low, high = np.nanmin(joints, axis=0) - 8, np.nanmax(joints, axis=0) + 8
    return np.array([*low, *(high - low)])


def iou(rle, mask):
    found = rlemasklib.decode(rle).astype(bool)
    return (found & mask).sum() / (found | mask).sum()


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    root = tmp_path_factory.mktemp("nets")
    return {
        "matting": tiny_networks.matting(root / "matting.onnx", (160, 200)),
        "small": tiny_networks.matting(root / "small.onnx", (80, 64)),
        "two": tiny_networks.matting(root / "two.onnx", (160, 200), two_classes=True),
        "nhwc": tiny_networks.matting(root / "nhwc.onnx", (160, 200), layout="nhwc"),
        "sam": tiny_networks.sam(root / "sam.onnx", (160, 200)),
        "sam3": tiny_networks.sam(root / "sam3.onnx", (80, 64), label_rank=3),
    }


def load(nets, name, decoder="matting", params=None, **more):
    file = SegmenterFile(path=str(nets[name]), decoder=decoder, **more)
    return load_segmenter(SegmentParams(model=file, **(params or {})))


@pytest.mark.parametrize("name", ["matting", "two", "small", "nhwc", "sam", "sam3", "grabcut"])
def test_one_person_is_segmented(nets, name):
    joints = figure(90, 30)
    image, (mask,) = scene(joints)
    if name == "grabcut":
        segmenter = load_segmenter(SegmentParams(model="grabcut"))
        assert segmenter.label == "grabcut"
    else:
        segmenter = load(nets, name, "sam" if name.startswith("sam") else "matting")
        assert segmenter.label.startswith(nets[name].name + "@")
    rle = segmenter(image, box_of(joints), joints)
    assert rle["size"] == [160, 200]
    assert isinstance(rle["counts"], bytes)
    assert iou(rle, mask) > (0.85 if name in ("small", "sam3") else 0.95)
    again = segmenter(image, box_of(joints), joints)
    assert again == rle
    assert segmenter(image, box_of(joints), None) is not None


@pytest.mark.parametrize("name", ["matting", "sam", "grabcut"])
@pytest.mark.parametrize("gap", [60, 22, 12])
def test_nobody_gets_the_others_mask(nets, name, gap):
    """Two people apart, close, and touching (limbs are 13 wide): each gets their own pixels."""
    a, b = figure(70, 30), figure(70 + gap, 30)
    a[2, 0] -= 36  # hands on the outer sides
    image, masks = scene(a, b)
    decoder = "sam" if name == "sam" else "matting"
    segmenter = (
        load_segmenter(SegmentParams(model="grabcut"))
        if name == "grabcut"
        else load(nets, name, decoder)
    )
    found = [
        rlemasklib.decode(segmenter(image, box_of(own), own, [other])).astype(bool)
        for own, other in ((a, b), (b, a))
    ]
    for k in (0, 1):
        only_other = masks[1 - k] & ~masks[k]
        assert (found[k] & only_other).sum() <= 0.12 * only_other.sum()
        assert (found[k] & masks[k]).sum() >= 0.75 * masks[k].sum()


@pytest.mark.parametrize("name", ["sam", "sam3"])
def test_prompts_reach_the_network_in_its_own_pixels(nets, name):
    """The tiny network answers with what is bright left of the prompted box's right edge."""
    left, right = figure(50, 30), figure(150, 30)
    image, masks = scene(left, right)
    segmenter = load(nets, name, "sam")
    found = segmenter.foreground(image, box_of(left), left, [], None)
    assert not (found & masks[1]).any()
    assert (found & masks[0]).sum() > 0.85 * masks[0].sum()
    edge = box_of(left)[0] + box_of(left)[2]
    wide = np.zeros_like(image)
    wide[20:140] = 255
    reach = np.flatnonzero(segmenter.foreground(wide, box_of(left), left, [], None).any(axis=0))
    assert abs(reach.max() - edge) <= image.shape[1] / segmenter.foreground.network.input_size[1]


def test_only_the_part_on_the_skeleton_is_kept(nets):
    joints = figure(90, 30)
    image, (mask,) = scene(joints)
    image[40:60, 60:70] = 255  # a lamp within the enlarged box, touching nothing
    wide = box_of(joints) + np.array([-35, 0, 70, 0])
    rle = load(nets, "matting")(image, wide, joints)
    assert iou(rle, mask) > 0.95


def test_masks_that_do_not_agree_are_none(nets):
    joints = figure(90, 30)
    image, _ = scene(joints)
    segmenter = load(nets, "matting")
    dark = np.zeros_like(image)
    assert segmenter(dark, box_of(joints), joints) is None
    assert segmenter(image, box_of(figure(20, 30)), figure(20, 30)) is None
    assert segmenter(image, np.array([500.0, 30, 40, 100]), joints) is None
    elsewhere = joints + np.array([0, 400])  # the box is right, but no joint is in the crop
    assert segmenter(image, box_of(joints), elsewhere) is None
    speck = np.zeros_like(image)
    cv2.circle(speck, (90, 80), 4, (255,) * 3, -1)
    assert segmenter(speck, box_of(joints), joints) is None
    tolerant = load(nets, "matting", params={"min_area": 0, "min_joints_covered": 0})
    assert tolerant(speck, box_of(joints), joints) is not None


def test_nan_joints_and_people_without_joints_are_no_obstacle(nets):
    joints = figure(90, 30)
    image, (mask,) = scene(joints)
    joints[2] = NAN
    nobody = np.full((5, 2), NAN)
    rle = load(nets, "matting")(image, box_of(joints) + np.array([-5, 0, 25, 0]), joints, [nobody])
    assert iou(rle, mask) > 0.9
    assert load(nets, "matting")(image, box_of(joints), nobody) is not None


def test_threshold_moves_the_outline(nets):
    joints = figure(90, 30)
    image, _ = scene(joints)
    soft = cv2.GaussianBlur(image, (0, 0), 5)
    areas = [
        rlemasklib.area(
            load(nets, "matting", params={"threshold": t})(soft, box_of(joints), joints)
        )
        for t in (0.02, 0.5, 0.98)
    ]
    assert areas[0] > areas[1] > areas[2]


def test_mistakes_are_explained(nets, tmp_path):
    image, _ = scene(figure(90, 30))
    with pytest.raises(CorruptInput, match="set layout: nhwc"):
        load(nets, "nhwc", layout="nchw")
    with pytest.raises(CorruptInput, match="expected images, point coordinates and point labels"):
        load(nets, "matting", "sam")
    with pytest.raises(UsageError, match="threshold has no effect"):
        load(nets, "sam", "sam", params={"threshold": 0.4})
    with pytest.raises(ValueError, match="threshold has no effect"):
        SegmentParams(model="grabcut", threshold=0.4)
    with pytest.raises(UsageError, match="no such ONNX file"):
        load({"x": tmp_path / "x.onnx"}, "x")
    with pytest.raises(UsageError, match=r"unknown model 'deeplab'.*u2net_human_seg"):
        load_segmenter(SegmentParams(model="deeplab"))
    with pytest.raises(UsageError, match="finite x, y, w, h"):
        load(nets, "matting")(image, np.array([NAN, 0, 1, 1]))
    with pytest.raises(UsageError, match="8 bits per channel"):
        load(nets, "matting")(image.astype(np.uint16), np.array([0, 0, 9, 9]))
    assert load_segmenter(SegmentParams(model="none")) is None
    assert load_segmenter(SegmentParams(model="raw")) is None


@settings(max_examples=60)
@given(st.lists(st.tuples(*[st.integers(0, 40)] * 2), min_size=1, max_size=9))
def test_guessed_limbs_connect_all_joints_with_least_length(rows):
    joints = np.array([*rows, (NAN, NAN)], float)
    lines = [(a, b) for a, b in limbs(joints, None) if not np.array_equal(a, b)]
    points = sorted(set(rows))
    # Prim's algorithm, written out
    inside, total = {points[0]}, 0.0
    while len(inside) < len(points):
        step, best = min(
            (np.hypot(a[0] - b[0], a[1] - b[1]), b)
            for a in inside
            for b in points
            if b not in inside
        )
        inside.add(best)
        total += step
    assert sum(np.linalg.norm(a - b) for a, b in lines) == pytest.approx(total)


def test_given_edges_are_kept_and_their_parts_connected():
    joints = np.array([[0, 0], [0, 10], [20, 0], [20, 10], [NAN, NAN]], float)
    lines = {
        frozenset([tuple(a), tuple(b)])
        for a, b in limbs(joints, [(0, 1), (2, 3), (0, 3), (1, 4)])
        if not np.array_equal(a, b)
    }
    assert lines == {
        frozenset([(0.0, 0.0), (0.0, 10.0)]),
        frozenset([(20.0, 0.0), (20.0, 10.0)]),
        frozenset([(0.0, 0.0), (20.0, 10.0)]),
    }
    apart = limbs(joints, [(0, 1), (2, 3)])
    between = [a for a, b in apart if a[0] != b[0]]
    assert len(between) == 1  # one line of length 20 connects the two parts


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_each_pixel_goes_to_exactly_one_or_is_shared_on_the_border(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(0, 60, (2, 4, 2))
    mine = nearest_to((60, 60), a, [b], None)
    theirs = nearest_to((60, 60), b, [a], None)
    assert (mine | theirs).all()
    assert (mine & theirs).mean() < 0.2


def test_selection_never_leaves_the_foreground():
    joints = figure(90, 30)
    _, (mask,) = scene(joints)
    chosen = select_person(mask, box_of(joints), joints, [], params=SegmentParams())
    assert chosen.any()
    assert not (chosen & ~mask).any()


def test_prompts_are_spread_and_inside():
    joints = np.array([[5, 5], [6, 5], [95, 5], [50, 50], [300, 5], [NAN, 1], [50, 95]])
    chosen = prompt_joints(joints, (100, 100), 3)
    assert len(chosen) == 3
    assert {tuple(p) for p in chosen} <= {(5, 5), (6, 5), (95, 5), (50, 50), (50, 95)}
    assert min(np.linalg.norm(a - b) for i, a in enumerate(chosen) for b in chosen[:i]) > 40
    assert prompt_joints(np.full((3, 2), NAN), (9, 9), 3).shape == (0, 2)
