"""The page of all datasets, README's table, and what descriptions say of joints and splits."""

import sys

import pytest
import yaml
from conftest import ROOT

sys.path.insert(0, str(ROOT / "docs"))
import catalogue

from posepile.ds import dataset_names, load_recipe
from posepile.joint_info import JointInfo
from posepile.miniature.truth import read_truth

NAMES = dataset_names()
FACTS = yaml.safe_load((ROOT / "tests" / "card_facts.yaml").read_text())

# The 3D datasets that were merged for the published model (WACV 2023): the first word is where
# training code looks for them (an image folder begins so), the second the folder here.
MIX_OF_28 = """
    h36m_ h36m    muco_downscaled muco    humbi humbi    3doh_down tdoh    agora agora
    surreal surreal    panoptic_ panoptic    aist_ aist    aspset_ aspset    gpa_ gpa
    3dpeople tdpeople    sailvos sailvos    bml_movi bml_movi    mads_down mads
    umpm_down umpm    bmhad_down bmhad    3dhp_full_down tdhp_full    totalcapture totalcapture
    jta_down jta    ikea_down ikea    human4d human4d    behave_down behave    rich_down rich
    spec_down spec    fit3d_ fit3d    chi3d_ chi3d    humansc3d_ humansc3d    hspace_ hspace
""".split()


def test_readme_lists_every_dataset():
    table = "\n".join(catalogue.readme_table())
    assert table in (ROOT / "README.md").read_text(), f"README.md should have:\n{table}"


@pytest.mark.parametrize("name", NAMES)
def test_the_page_has_a_whole_row(name):
    cells = catalogue.row(load_recipe(name).SPEC, catalogue.sources_of(name))
    assert len(cells) == len(catalogue.COLUMNS)
    assert all(cells)
    assert not cells[4].startswith("0.000")  # lists beside data of unknown size


@pytest.mark.parametrize("name", NAMES)
def test_what_is_done_by_hand_is_that_of_the_sources(name):
    # Where another source gives the same, nobody has to do it.
    sources = [s for s in catalogue.sources_of(name).select() if not s.instead_of]
    by_hand = [s.name for s in sources if not s.url or s.login]
    assert not by_hand or catalogue.about_of(name).by_hand != "nothing"


@pytest.mark.parametrize("name", NAMES)
def test_splits_of_the_miniature_are_among_those_stated(name, raw_miniature):
    counts = read_truth(raw_miniature(name)).counts
    found = {split for split, n in counts.items() if n}
    assert found <= set(catalogue.about_of(name).splits)


@pytest.mark.parametrize("name", sorted(set(FACTS) & set(NAMES)))
def test_joints_and_folder_are_those_of_the_description(name):
    spec, facts = load_recipe(name).SPEC, FACTS[name]
    assert spec.image_dir == facts.get("image_dir", spec.image_dir)
    if "joints" in facts:
        assert list(spec.joint_info.names) == facts["joints"].split(",")
    if "edges" in facts:
        said = JointInfo(facts["joints"], facts["edges"]).stick_figure_edges
        found = spec.joint_info.stick_figure_edges
        assert {frozenset(e) for e in found} == {frozenset(e) for e in said}
    if "splits" in facts:
        assert catalogue.about_of(name).splits == facts["splits"]


def test_facts_are_of_datasets_that_exist():
    assert set(FACTS) <= set(NAMES)


def test_the_mix_of_28_datasets_is_here():
    pairs = list(zip(MIX_OF_28[::2], MIX_OF_28[1::2], strict=True))
    assert len({name for _, name in pairs}) == 28
    for prefix, name in pairs:
        assert load_recipe(name).SPEC.image_dir.startswith(prefix)
