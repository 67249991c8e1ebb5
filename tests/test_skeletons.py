"""Skeletons: what joints are, and how those of one become those of another."""

import importlib
import pickle

import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from posepile.datasets2d import Pose2DDataset
from posepile.datasets3d import Pose3DDataset, SparseCoords
from posepile.ds import dataset_dir, dataset_names, load_recipe
from posepile.errors import UsageError
from posepile.joint_info import JointInfo, other_side_name
from posepile.merging.merge import merge_datasets
from posepile.skeletons import data
from posepile.skeletons.data import MISSING, SAME, SIMILAR, Point
from posepile.skeletons.mapping import to_convention, to_skeleton
from posepile.skeletons.meaning import meanings
from posepile.skeletons.unions import same_points, shared_union

JOINTS = {name: load_recipe(name).SPEC.joint_info for name in dataset_names()}
JOINTS = {name: info for name, info in JOINTS.items() if info.names}
CONVENTIONS = sorted(data.conventions())


def merged(*names):
    """The joints of several datasets as merging names them."""
    return JointInfo(
        [f"{joint}_{name.replace('_', '')}" for name in names for joint in JOINTS[name].names],
        strict=False,
    )


def taken(name, convention, similar=True):
    """Joint of the convention -> (kind, joint of the dataset)."""
    mapping = to_convention(JOINTS[name], convention, similar, dataset=name)
    return {row["joint"]: (row["kind"], row["from"]) for row in mapping.rows()}


@pytest.mark.parametrize("name", sorted(JOINTS))
def test_every_joint_of_every_dataset_is_described(name):
    skeleton = data.dataset_skeleton(name)
    assert set(skeleton.points) == set(JOINTS[name].names)
    assert len(set(skeleton.points.values())) == len(skeleton.points), "one point, two joints"
    assert skeleton.sources and set(skeleton.how) == {p.family for p in skeleton.points.values()}


def test_the_joints_of_a_dataset_tell_whose_they_are():
    """Datasets with the same joints in the same order mean the same by them."""
    for name, info in JOINTS.items():
        own = data.dataset_skeleton(name).points
        assert [m.point for m in meanings(info)] == [own[joint] for joint in info.names], name


def test_helpers_have_no_joints_to_describe():
    assert {n for n in dataset_names() if n not in JOINTS} == {
        n for n in dataset_names() if not (dataset_dir(n) / "joints.yaml").exists()
    }


@pytest.mark.parametrize("name", [*sorted(JOINTS), *CONVENTIONS])
def test_the_other_side_is_the_other_side(name):
    """A joint on the left is a point on the left, and its mirror image is that of the point."""
    skeleton = data.find_convention(name) or data.dataset_skeleton(name)
    info = skeleton.joint_info or JOINTS[name]
    for i, joint in enumerate(info.names):
        point, mirror = skeleton.points[joint], info.names[info.mirror_mapping[i]]
        assert skeleton.points[mirror] == Point(point.family, mirrored(point.place)), joint


def mirrored(place):
    other = other_side_name(place)
    return other if other in data.places() else place


# (dataset, convention): joint that comes out -> (kind, joint that goes in)
FACTS = {
    ("h36m", "h36m17"): {"spin": ("same", "tors"), "head": ("same", "head")},
    ("h36m", "humandata190"): {
        "head_extra": ("similar", "head"),
        "head_h36m": ("same", "head"),
        "headtop_extra": ("similar", "htop"),
        "jaw_extra": ("missing", None),
    },
    ("fit3d", "h36m17"): {"spin": ("same", "spin"), "lwri": ("same", "lwri")},
    ("h36m", "coco17"): {
        "lhip": ("similar", "lhip"),
        "nose": ("similar", "head"),
        "lear": ("missing", None),
    },
    # A marker beside the hip for the joint in it
    ("bmhad", "h36m17"): {"lhip": ("similar", "lhipl"), "pelv": ("missing", None)},
    # Names that say something else
    ("ntu", "h36m17"): {"neck": ("similar", "neck"), "head": ("similar", "htop")},
    ("mpii", "h36m17"): {"neck": ("similar", "thor"), "htop": ("similar", "head")},
    ("aic", "h36m17"): {"htop": ("similar", "head"), "head": ("similar", "head")},
    ("posetrack", "humandata190"): {
        "head_pt": ("same", "head"),
        "headtop_extra": ("similar", "htop"),
    },
    ("hspace", "smplx55"): {"leye": ("similar", "lbrow1"), "jaw": ("similar", "head2")},
    ("tdpeople", "smplx55"): {"lmiddle1": ("similar", "lhan")},
    ("humbi", "openpose25"): {
        "lto2": ("same", "lfoo_coco"),
        "lto3": ("same", "ltoe_coco"),
        "nose": ("same", "nose_coco"),
    },
    ("humbi", "smpl24"): {"lhip": ("same", "lhip"), "ltoe": ("same", "ltoe")},
    ("coco_wholebody", "coco17"): {"lwri": ("same", "lwri"), "leye": ("same", "leye")},
    ("halpe", "wholebody133"): {
        "lface1": ("same", "lface1"),
        "lmouth4": ("same", "lmouth4"),
        "ltoe": ("similar", "ltoe"),
        "rhan21": ("same", "rhan21"),
    },
    ("rich", "wholebody133"): {
        "rface9": ("similar", "reyebrow1"),
        "lmouth4": ("similar", "lmouth5"),
        "rface1": ("missing", None),
        "lhan10": ("similar", "lmiddle1"),
        "lhan13": ("similar", "lmiddle"),
        "lhan17": ("similar", "lring"),
        "nose5": ("similar", "nosemiddle"),
    },
    ("tdpw", "smplx55"): {"pelv": ("similar", "pelv"), "lindex1": ("missing", None)},
    ("agora", "smplx55"): {"lhip": ("same", "lhip_smplx"), "lindex1": ("missing", None)},
    ("agora", "smpl24"): {"lhip": ("same", "lhip"), "rhan": ("same", "rhan")},
    ("muco", "humandata190"): {"spi4_3dhp": ("same", "spi4"), "ltoe_3dhp": ("same", "ltoe")},
    ("aist", "openpose25"): {"neck": ("same", "neck"), "pelv": ("same", "pelv")},
    ("egoexo4d", "wholebody133"): {"lhan5": ("same", "lhan5"), "lwri": ("similar", "lwri")},
    ("jta", "smpl24"): {"bell": ("similar", "spin2"), "spin": ("similar", "spin0")},
}


@pytest.mark.parametrize(("name", "convention"), FACTS)
def test_known_pairs(name, convention):
    found = taken(name, convention)
    wanted = FACTS[name, convention]
    assert {joint: found[joint] for joint in wanted} == wanted


@pytest.mark.parametrize(
    ("name", "places"),
    {
        "ntu": "head=necktop htop=head neck=neck bell=spine2",
        "mpii": "thor=neck neck=necktop head=headtop",
        "posetrack": "head=necktop htop=headtop",
        "aic": "head=headtop",
        "tdoh": "head=headtop",
        "h36m": "tors=spine2 head=head htop=headtop",
        "fit3d": "lfoo=lball ltoe=ltoetip lthu=lthumbtip",
        "humbi": "lfoo_coco=lbigtoe ltoe_coco=lsmalltoe ltoe=lball",
        "rich": "ltoe=lball lto2=lbigtoe lto3=lsmalltoe lthu=lthumbtip leyehf=leyeball leye=leye",
        "genebody": "leye=leyeball reye=reyeball",
        "hspace": "head2=jaw rbrow1=reyeball lthu=lthumb3 lfoo=lball",
        "tdpeople": "lhan=lmiddle1 spi2=spine3",
        "gpa": "spi1=spine2 rthu2=rthumbtip",
    }.items(),
)
def test_what_names_that_mislead_mean(name, places):
    points = data.dataset_skeleton(name).points
    wanted = dict(pair.split("=") for pair in places.split())
    assert {joint: points[joint].place for joint in wanted} == wanted


def test_limbs_of_every_dataset_are_found_at_their_own_side():
    limbs = [s + j for s in "lr" for j in ("sho", "elb", "wri", "kne", "ank")]
    for name in JOINTS:
        found = taken(name, "coco17")
        for limb in limbs:
            kind, own = found[limb]
            assert kind != "missing" and own[0] == limb[0], (name, limb, own)
            point = data.dataset_skeleton(name).points[own]
            assert point.place == limb


@pytest.mark.parametrize("like", ["coco", "multiview", "stills", "videos"])
def test_templates_describe_their_joints(like, monkeypatch, tmp_path):
    info = importlib.import_module(f"posepile.templates.{like}.main").SPEC.joint_info
    (tmp_path / "gym").mkdir()
    (tmp_path / "gym" / "main.py").write_text("")
    text = (ROOT / "posepile" / "templates" / like / "joints.yaml").read_text()
    (tmp_path / "gym" / "joints.yaml").write_text(text)
    monkeypatch.setenv("POSEPILE_DATASETS", str(tmp_path))
    found = meanings(info, "gym")
    assert len({m.point for m in found}) == info.n_joints
    assert to_convention(info, "h36m17", dataset="gym").mask.sum() >= 13


def test_strictly_only_the_same_points():
    assert set(taken("h36m", "coco17", similar=False).values()) == {("missing", None)}
    assert {kind for kind, _ in taken("fit3d", "h36m17", similar=False).values()} == {"same"}
    # All of the same size of mask as without, where all is the same anyway
    found = to_convention(JOINTS["rich"], "smplx127", dataset="rich")
    assert found.kinds.tolist() == [SAME] * 127 and found.indices.tolist() == list(range(127))


def test_one_indexing_operation():
    mapping = to_convention(JOINTS["tdpw"], "h36m17")
    coords = np.random.default_rng(0).normal(size=(5, 2, 24, 3)).astype(np.float32)
    plain = coords[..., mapping.indices, :]
    result = mapping.apply(coords)
    assert result.shape == (5, 2, 17, 3) and result.dtype == np.float32
    assert np.array_equal(result[..., mapping.mask, :], plain[..., mapping.mask, :])
    assert np.isnan(result[..., ~mapping.mask, :]).all()
    names = [JOINTS["tdpw"].names[i] for i in mapping.indices]
    assert names[:4] == ["pelv", "rhip", "rkne", "rank"]


def test_sparse_integers_and_points_of_a_picture():
    info = JOINTS["h36m"]
    mapping = to_convention(info, "coco17")
    coords = np.arange(51.0).reshape(17, 3)
    coords[info.ids.lwri] = np.nan
    dense, sparse = mapping.apply(coords), mapping.apply(SparseCoords(coords))
    assert np.array_equal(dense, sparse, equal_nan=True)
    assert np.isnan(dense[9]).all() and np.array_equal(dense[10], coords[info.ids.rwri])
    flat = mapping.apply(np.arange(34).reshape(17, 2))
    assert np.isnan(flat[1]).all() and flat[0].tolist() == [16, 17]  # head for the nose
    assert mapping.choose(coords)[1].tolist()[9] == MISSING


def test_a_merged_set_takes_what_the_example_has():
    info = merged("h36m", "coco_wholebody", "tdpw")
    mapping = to_convention(info, "coco17")
    coords = np.full((2, info.n_joints, 3), np.nan)
    coords[0, info.ids.lwri_h36m], coords[1, info.ids.lwri_cocowholebody] = 1, 2
    coords[1, info.ids.leye_cocowholebody] = 3
    result = mapping.apply(coords)
    indices, kinds = mapping.choose(coords)
    assert result[:, 9, 0].tolist() == [1, 2] and result[1, 1, 0] == 3
    assert np.isfinite(result[..., 0]).sum() == 3
    assert kinds[:, 9].tolist() == [SIMILAR, SAME] and kinds[0, 1] == MISSING
    assert info.names[indices[0, 9]] == "lwri_h36m"
    # One dataset alone, and several in one batch
    assert mapping.of("h36m").kinds[9] == SIMILAR and mapping.of("h36m").kinds[1] == MISSING
    table, table_kinds = mapping.table(["h36m", "cocowholebody"])
    batch = coords[np.arange(2)[:, None], table[[0, 1]]]
    batch[table_kinds[[0, 1]] == MISSING] = np.nan
    assert np.array_equal(batch, result, equal_nan=True)
    with pytest.raises(UsageError, match="suffix 'mpii': expected one of cocowholebody, h36m"):
        mapping.of("mpii")


def test_the_other_group_of_joints_stands_in():
    """Where the body of an example was not fitted, its key points are there."""
    info = JOINTS["behave"]
    mapping = to_convention(info, "h36m17")
    coords = np.full((info.n_joints, 3), np.nan)
    coords[info.ids.lkne_coco] = 1
    assert mapping.apply(coords)[5, 0] == 1
    assert np.isnan(mapping.first_only().apply(coords)).all()
    coords[info.ids.lkne] = 2
    assert mapping.apply(coords)[5, 0] == mapping.first_only().apply(coords)[5, 0] == 2


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_what_comes_out_went_in(draw):
    """Against a loop over names that knows nothing of arrays."""
    names = draw.draw(
        st.lists(st.sampled_from(sorted(JOINTS)), min_size=1, max_size=3, unique=True)
    )
    convention = data.conventions()[draw.draw(st.sampled_from(CONVENTIONS))]
    info = merged(*names)
    whose = {name.replace("_", ""): name for name in names}
    mapping = to_convention(info, convention.name, dataset=whose)
    seed = draw.draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    coords = rng.normal(size=(info.n_joints, 3))
    coords[rng.random(info.n_joints) < 0.6] = np.nan
    result, (indices, kinds) = mapping.apply(coords), mapping.choose(coords)
    points = [m.point for m in meanings(info, whose)]
    there = [p for p, c in zip(points, coords, strict=True) if np.isfinite(c).all()]
    for k, wanted in enumerate(convention.points.values()):
        if kinds[k] == MISSING:
            assert indices[k] == -1 and np.isnan(result[k]).all()
            assert all(p.place != wanted.place for p in there)
        else:
            assert np.array_equal(result[k], coords[indices[k]])
            assert (kinds[k] == SAME) == (points[indices[k]] == wanted) == (wanted in there)


def test_dataset_to_dataset_and_back():
    there = to_skeleton(JOINTS["tdpw"], JOINTS["emdb"])  # pelvis last, pelvis first
    assert there.kinds.tolist() == [SAME] * 24 and there.indices[0] == 23
    back = to_skeleton(JOINTS["emdb"], JOINTS["tdpw"])
    coords = np.random.default_rng(1).normal(size=(24, 3))
    assert np.array_equal(back.apply(there.apply(coords)), coords)
    assert to_skeleton(JOINTS["h36m"], "COCO-17").joint_info.names[0] == "nose"


def test_whose_joints_they_are():
    assert {m.point.family for m in meanings(JOINTS["tdhp"])} == {"3dhp"}
    assert {m.point.family for m in meanings(JOINTS["aspset"])} == {"aspset"}  # the same names
    mixed = JointInfo(sorted(JOINTS["aspset"].names))
    with pytest.raises(UsageError, match="are those of aspset and mupots and tdhp, where they"):
        meanings(mixed)
    assert meanings(JOINTS["agora"])[24].point == Point("smplx", "pelv")
    some = JOINTS["tdpw"].select_joints([0, 3, 5])
    with pytest.raises(UsageError, match="of no convention and no dataset.*dataset=NAME"):
        meanings(some)
    assert [m.point.place for m in meanings(some, "tdpw")] == ["lhip", "lkne", "spine2"]
    assert meanings(JointInfo("lhip_a,rhip_a"), {"a": ["aist", "tdpw"]})[0].point.family == "coco"
    with pytest.raises(UsageError, match="joint 'lhip_b': has none of the suffixes a"):
        meanings(JointInfo("lhip_b,rhip_b"), {"a": "tdpw"})
    with pytest.raises(UsageError, match="joint 'lfoo_h36m': lfoo is no joint of h36m"):
        meanings(JointInfo("lfoo_h36m,rfoo_h36m"))
    with pytest.raises(UsageError, match="expected one of h36m17, coco17"):
        to_convention(JOINTS["tdpw"], "coco18")
    with pytest.raises(UsageError, match=r"shape \(17, 3\), expected \[..., 24, d\]"):
        to_convention(JOINTS["tdpw"], "coco17").apply(np.zeros((17, 3)))


class Dataset:
    def __init__(self, info, parts):
        self.joint_info, self.parts = info, parts


def test_a_dataset_says_itself_what_it_is_made_of():
    h36m, fit3d = JOINTS["h36m"], JOINTS["fit3d"]
    names = list(dict.fromkeys(f"{n}_h36m" for n in [*h36m.names, *fit3d.names]))
    parts = {"h36m": {"skeleton": "h36m"}, "fit3d": {"skeleton": "h36m"}}
    info = JointInfo([*names, *(f"{n}_b" for n in JOINTS["tdpw"].names)], strict=False)
    dataset = Dataset(info, parts | {"tdpw": {"skeleton": "b"}})
    found = {m.name: m.point for m in meanings(dataset)}
    assert found["lfoo_h36m"] == Point("h36m", "lball")
    assert found["tors_h36m"] == found["spin_h36m"] and found["lhip_b"] == Point("smpl", "lhip")
    assert same_points(dataset) == [[names.index("tors_h36m"), names.index("spin_h36m")]]
    # Joints that were left out of one dataset
    alone = Dataset(JOINTS["tdpw"].select_joints([0, 1]), {"tdpw": {"skeleton": "tdpw"}})
    assert meanings(alone)[0].point == Point("smpl", "lhip")
    one = Dataset(merged("tdpw"), {"tdpw": {"skeleton": "tdpw"}})
    assert meanings(one)[0].point == Point("smpl", "lhip")


def test_what_merging_makes_is_understood():
    """Also where datasets have other suffixes, fewer joints, and are merged once more."""
    datasets = {
        "h36m": Pose3DDataset(JOINTS["h36m"]),
        "coco_wholebody": Pose2DDataset(JOINTS["coco_wholebody"]),
    }
    both = merge_datasets(datasets, {"coco_wholebody": "wb"}, joints={"h36m": ["lwri", "rwri"]})
    assert both.joint_info.names[:3] == ["lwri_h36m", "rwri_h36m", "nose_wb"]
    mapping = to_convention(both, "coco17")
    assert mapping.of("wb").kinds.tolist() == [SAME] * 17
    assert mapping.of("h36m").indices[9:11].tolist() == [0, 1]
    more = merge_datasets({"both": both, "tdpw": Pose3DDataset(JOINTS["tdpw"])}, {"both": "2"})
    assert more.joint_info.names[0] == "lwri_h36m_2"
    again = to_convention(more, "coco17")
    assert np.array_equal(again.of("wb").indices, mapping.of("wb").indices)
    assert again.of("tdpw").mask.sum() == 12
    with pytest.raises(UsageError, match="say whose they are: dataset=NAME, or dataset={suffix"):
        to_convention(both.joint_info, "coco17")


def test_a_union_in_which_the_same_is_one_joint():
    info, ids = shared_union(
        {"coco": JOINTS["coco"], "wb": JOINTS["coco_wholebody"], "mpii": JOINTS["mpii"]}
    )
    assert info.n_joints == 133 + 16
    assert ids["coco"].tolist() == ids["wb"][:17].tolist() == list(range(17))
    assert info.names[0] == "nose_coco" and info.names[17] == "ltoe_wb"
    assert info.names[ids["mpii"][0]] == "rank_mpii"
    assert len(set(map(tuple, info.stick_figure_edges))) == len(info.stick_figure_edges)
    a, b = JOINTS["coco"].stick_figure_edges[0]
    assert tuple(sorted((ids["coco"][a], ids["coco"][b]))) in set(info.stick_figure_edges)
    assert not same_points(info, {"coco": "coco", "wb": "coco_wholebody", "mpii": "mpii"})
    with pytest.raises(UsageError, match="'a_b': must not be empty or hold '_'"):
        shared_union({"a_b": JOINTS["coco"]})


def test_mappings_are_pickled_and_cannot_be_changed_by_accident():
    mapping = to_convention(JOINTS["behave"], "coco17")
    copy = pickle.loads(pickle.dumps(mapping))
    coords = np.random.default_rng(2).normal(size=(49, 3))
    assert np.array_equal(copy.apply(coords), mapping.apply(coords), equal_nan=True)
    with pytest.raises(ValueError, match="read-only"):
        mapping.indices[0] = 3


def test_mistakes_in_a_description_are_one_line(tmp_path, monkeypatch):
    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / "main.py").write_text("")
    monkeypatch.setenv("POSEPILE_DATASETS", str(tmp_path))
    with pytest.raises(UsageError, match=r"odd.joints.yaml: no such file; it says which points"):
        data.dataset_skeleton("odd")
    for text, message in {
        "sources: [a]\njoints: {own: lhip}": "joints: own: expected own, with `how` beside",
        "sources: [a]\njoints: {smlp: lhip}": "joints: smlp: expected own.*smpl",
        "sources: [a]\njoints: {smpl: lhop}": "joints: smpl: lhop: no place 'lhop'",
        "sources: [a]\njoints: {smpl: lhip lhip}": "lhip is named twice",
        "sources: [a]\nnotes: {x: y}\njoints: {smpl: lhip}": "notes: x: no such joint",
        "sources: [a]\njonts: {smpl: lhip}": "joints is missing",
    }.items():
        (folder / "joints.yaml").write_text(text)
        data._read.cache_clear()
        data._dataset_skeleton.cache_clear()
        with pytest.raises(UsageError, match=message) as e:
            data.dataset_skeleton("odd")
        assert "odd" in str(e.value) and "\n" not in str(e.value)
