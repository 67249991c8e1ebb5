"""Filters of examples: what columns decide is what each example says when asked."""

import json
from collections import Counter

import archive_kit as kit
import cv2
import deltacamera
import numpy as np
import pytest
from pydantic import ValidationError

from posepile import datasets2d, datasets3d
from posepile.datasets3d import TRAIN, compute_mean_bones
from posepile.errors import UsageError
from posepile.export.coco import export_coco
from posepile.merging.filters import Filters, keep
from posepile.store import packing, parts
from posepile.store.example_list import ExampleList, as_example_list

LENS = deltacamera.BrownConradyEx(np.float32([0.2, -0.1, 0.01, -0.02, 0.05]))


def person_before(rng, i):
    """A record of a person whose joints are in the picture, or about there."""
    camera = deltacamera.Camera(
        rot_world_to_cam=cv2.Rodrigues(rng.normal(size=3))[0],
        optical_center=rng.normal(size=3) * 1000,
        intrinsic_matrix=[[30, 0, 12], [0, 30, 8], [0, 0, 1]],
        distortion_model=LENS if i % 3 == 0 else None,
        world_up=(0, 0, 1),
    )
    seen = np.array([0, 0, 3000]) + rng.normal(size=(5, 3)) * [1000, 500, 300]
    if i % 7 == 0:
        seen[1, 2] *= -1  # behind the camera
    world = camera.camera_to_world(seen.astype(np.float32))
    world[rng.random(5) < 0.2] = np.nan
    return {"camera": camera, "world_coords": world, "bbox": np.float32([4, 3, 14, 9])}


def points_at(rng):
    return {
        "coords2d": np.float32(rng.uniform(-1, 20, (5, 2))),
        "bbox": np.float32([4, 3, rng.uniform(1, 14), 9]),
    }


def archive(root, name, n, make, kind="3d"):
    path = root / f"{name}_work" / "parts" / "000.part"
    with parts.PartWriter(path) as writer:
        for i in range(n):
            record = kit.record(name, "train", i % 3, i, kind=kind, **make(i))
            writer.add(record, kit.jpeg(i))
    packing.pack([path], root / f"{name}.barecat", kit.spec(name, kind), {})
    return str(root / f"{name}.barecat")


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    root, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(5)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DATA_ROOT", raising=False)
        a = archive(root, "toy", 60, lambda i: person_before(rng, i))
        b = archive(root, "tuy", 40, lambda i: points_at(rng), "2d")
        yield datasets3d.get_dataset(a), datasets2d.get_dataset(b)


def places(ex):
    """Where the joints of an example are in its picture, by its own camera."""
    if ex.KIND == "2d":
        return ex.coords
    seen = ex.camera.world_to_camera(ex.world_coords)
    found = np.full((len(seen), 2), np.nan)
    front = seen[:, 2] > 0
    found[front] = ex.camera.camera_to_image(np.ascontiguousarray(seen[front]), False)
    return found


def n_in_box(ex, margin=0.0):
    x, y, w, h = ex.bbox
    p = places(ex)
    near = (p[:, 0] >= x - margin * w) & (p[:, 0] <= x + w + margin * w)
    return np.count_nonzero(near & (p[:, 1] >= y - margin * h) & (p[:, 1] <= y + h + margin * h))


def n_odd(ex, bones, low, high, mm):
    n = 0
    for (i, j), mean in zip(kit.JOINTS.stick_figure_edges, bones, strict=True):
        length = np.linalg.norm(ex.world_coords[i] - ex.world_coords[j])
        n += (
            not np.isnan(length)
            and not low * mean <= length <= high * mean
            and (abs(length - mean) > mm)
        )
    return n


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"min_joints_in_box": 3}, lambda ex: n_in_box(ex) >= 3),
        ({"min_joints_in_box": 4, "box_margin": 0.25}, lambda ex: n_in_box(ex, 0.25) >= 4),
        (
            {"min_share_in_box": 0.6},
            lambda ex: n_in_box(ex) >= 0.6 * np.isfinite(places(ex)).all(axis=1).sum() > 0,
        ),
        (
            {"min_joints_in_picture": 4},
            lambda ex: ((places(ex) > -0.5) & (places(ex) < (23.5, 15.5))).all(axis=1).sum() >= 4,
        ),
        ({"only": {"sequence": "s[01]"}}, lambda ex: ex.sequence in ("s0", "s1")),
        ({"without": {"image_path": ["*/0003.jpg", "x"]}}, lambda ex: "0003" not in ex.image_path),
        ({"needs": "mask"}, lambda ex: ex.mask is not None),
        ({"min_box_side": 3}, lambda ex: min(ex.bbox[2:]) >= 3),
    ],
)
def test_columns_decide_as_examples_do(datasets, which, options, wanted):
    ds = datasets[which]
    examples = ds.examples[TRAIN][:]
    examples.shuffle(0)
    examples.insert(7, examples[2].load(load_image=False))
    mask, reasons = keep(examples, ds.joint_info, Filters(**options))
    expected = np.array([bool(wanted(ex)) for ex in examples])
    assert expected.any()
    assert mask.tolist() == expected.tolist()
    assert sum(reasons.values()) == np.count_nonzero(~mask)


def test_joints_that_are_there_are_counted(datasets):
    for ds in datasets:
        examples = ds.examples[TRAIN]
        mask, _ = keep(examples, ds.joint_info, Filters(min_joints=4))
        rows = [ex.coords if ex.KIND == "2d" else ex.world_coords for ex in examples]
        assert mask.tolist() == [int(np.isfinite(r).all(axis=1).sum()) >= 4 for r in rows]


@pytest.mark.parametrize(
    ("options", "limits"),
    [
        ({"bone_range": (0.5, 1.6)}, (0.5, 1.6, 0)),
        ({"bone_mm": 400}, (1, 1, 400)),
        ({"bone_range": (0.8, 1.2), "bone_mm": 400}, (0.8, 1.2, 400)),
        ({"bone_range": (0.8, 1.2), "odd_bones_allowed": 2}, (0.8, 1.2, 0)),
    ],
)
def test_odd_bones(datasets, options, limits):
    ds = datasets[0]
    examples = ds.examples[TRAIN]
    bones = compute_mean_bones(examples, ds.joint_info)
    expected = [
        n_odd(ex, bones, *limits) <= options.get("odd_bones_allowed", 0) for ex in examples
    ]
    assert 0 < sum(expected) < len(expected)
    for given in (None, bones):
        mask, reasons = keep(examples, ds.joint_info, Filters(**options), given)
        assert mask.tolist() == expected
        assert reasons == Counter({"bones of odd lengths": expected.count(False)})


def test_an_example_without_joints_in_the_world_has_no_odd_bones(datasets):
    ds = datasets[1]
    mask, reasons = keep(ds.examples[TRAIN], ds.joint_info, Filters(bone_mm=1))
    assert mask.all()
    assert not reasons


def test_each_example_is_counted_once(datasets):
    ds = datasets[0]
    filters = Filters(only={"sequence": "s1"}, without={"activity_name": "sit*"}, min_joints=5)
    mask, reasons = keep(ds.examples[TRAIN], ds.joint_info, filters)
    assert sum(reasons.values()) + mask.sum() == len(mask)
    assert reasons["sequence not wanted"] == 40
    assert list(reasons) == [
        "sequence not wanted",
        "activity_name excluded",
        "fewer than 5 joints",
    ]


def test_exclusions_are_read_from_files(datasets, tmp_path):
    ds = datasets[0]
    examples = ds.examples[TRAIN]
    listed = tmp_path / "bad.txt"
    listed.write_text(f"# doubtful\n{examples[3].image_path}  # blurred\n\n*/s2/*4.jpg\n")
    mask, reasons = keep(examples, ds.joint_info, Filters(exclusions=listed))
    expected = [
        i != 3 and not ("/s2/" in ex.image_path and ex.image_path.endswith("4.jpg"))
        for i, ex in enumerate(examples)
    ]
    assert mask.tolist() == expected
    assert reasons == {"image_path in a list of exclusions": expected.count(False)}
    with pytest.raises(UsageError, match=r"exclusions: .*none.txt"):
        keep(examples, ds.joint_info, Filters(exclusions=tmp_path / "none.txt"))


def test_exclusions_may_have_a_mark_first_and_signs_in_names(datasets, tmp_path):
    ds, listed = datasets[0], tmp_path / "bad.txt"
    examples, path = ds.examples[TRAIN], ds.examples[TRAIN][3].image_path
    listed.write_bytes(b"\xef\xbb\xbf" + f"{path}\t# blurred\n".encode())
    mask, _ = keep(examples, ds.joint_info, Filters(exclusions=listed))
    assert np.flatnonzero(~mask).tolist() == [3]
    # What follows # in a name belongs to it.
    listed.write_text(f"{path}#2.jpg\n#{path}\n")
    mask, _ = keep(examples, ds.joint_info, Filters(exclusions=listed))
    assert mask.all()


def test_no_examples_no_filters(datasets):
    ds = datasets[0]
    filters = Filters(min_joints=3, bone_mm=3, min_joints_in_box=1, without={"motion": "x"})
    assert keep(ExampleList(), ds.joint_info, filters)[0].shape == (0,)
    assert Filters().is_empty
    assert not filters.is_empty
    assert keep(ds.examples[TRAIN], ds.joint_info, Filters())[0].all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"only": {"colour": "red"}},
        {"needs": "hat"},
        {"bone_range": (2, 1)},
        {"min_joints": -1},
        {"min_share_in_box": 1.5},
        {"bones": 3},
    ],
)
def test_what_no_filter_is_is_refused(wrong):
    with pytest.raises(ValidationError):
        Filters(**wrong)


def test_the_filter_and_coco_agree_what_is_in_the_picture(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    rng = np.random.default_rng(1)
    nowhere = np.full((5, 2), np.nan, np.float32)
    half = nowhere.copy()
    half[0, 0] = 3  # y is not known: no place
    at_the_border = np.float32([[23.5, 15.5], [-0.5, -0.5], [24, 3], [3, -0.6], [9, 9]])
    outside = np.full((5, 2), 99, np.float32)
    annotated = [nowhere, half, at_the_border, outside, None, at_the_border, outside]

    def make(i):
        person = person_before(rng, 1)
        person["world_coords"] = person["camera"].camera_to_world(np.float32([[0, 0, 3000]] * 5))
        size = {"imshape": (0, 0)} if i >= 5 else {}
        return {**person, "coords2d": annotated[i], "mask": None, **size}

    ds = datasets3d.get_dataset(archive(tmp_path, "toy", 7, make))
    examples = ds.examples[TRAIN][:]
    loaded = as_example_list([ex.load(load_image=False) for ex in examples])
    for some in (examples, loaded):
        kept, reasons = keep(some, ds.joint_info, Filters(min_joints_in_picture=3))
        assert kept.tolist() == [True, True, True, False, True, False, False]
        assert reasons == {
            "fewer than 3 joints in the picture": 1,
            "picture of unknown size": 2,
        }
    export_coco(ds, tmp_path / "out", images=False)
    annotations = json.loads(next((tmp_path / "out/annotations").glob("*train*")).read_text())
    seen = [a["keypoints"][2::3].count(2) for a in annotations["annotations"]]
    assert seen == [5, 5, 3, 0, 5, 5, 5]
