"""Faults in raw files: each is refused, dropped with the reason, or known not to be visible."""

import re
import shutil

import pytest
import raw_faults
from conftest import ROOT
from raw_faults import DROPPED, NOT_VISIBLE, REFUSED, faults_of, plant, read_expected
from raw_faults_bodies import AGORA, GENEBODY, SURREAL
from raw_faults_lenses import with_lenses
from raw_faults_markerless import MUPOTS, TDHP
from raw_faults_sensors import EMDB, TDPW
from raw_faults_stills import COCO, SYNTHEGO
from raw_faults_video import AMARV, ASPSET, EGOEXO4D, H36M, PANOPTIC
from raw_kit import copy_raw, crop_units

from posepile.ds import dataset_names, load_recipe

RAW = with_lenses({
    "agora": AGORA, "amarv": AMARV, "aspset": ASPSET, "coco": COCO, "egoexo4d": EGOEXO4D,
    "genebody": GENEBODY, "h36m": H36M, "panoptic": PANOPTIC, "surreal": SURREAL,
    "synthego": SYNTHEGO, "tdhp": TDHP, "mupots": MUPOTS,
    "emdb": EMDB, "tdpw": TDPW,
})  # fmt: skip
CASES = [(name, fault) for name, raw in RAW.items() for fault in faults_of(raw)]
MARKS = ("<!-- raw faults: python tests/raw_faults.py -->\n", "<!-- end -->\n")


@pytest.fixture(scope="module")
def clean(raw_miniature, tmp_path_factory):
    """Of a dataset: raw files without what is not needed here, and what becomes of them."""
    made = {}

    def get(name):
        if name not in made:
            raw, folder = RAW[name], tmp_path_factory.mktemp(f"thin_{name}")
            root = copy_raw(raw_miniature(name), folder / name)
            raw.thin(root)
            done = copy_raw(root, folder / "done" / name)
            made[name] = (
                root,
                crop_units(name, done, folder / "out", raw.units, settings=raw.settings),
            )
        return made[name]

    return get


@pytest.mark.parametrize("name", RAW)
def test_nothing_is_said_of_right_files(name, clean):
    _, outcome = clean(name)
    total = outcome.total()
    assert total.examples > 1 and not outcome.refused and not total.quarantined
    assert not [reason for reason in total.dropped if reason.startswith("implausible")]


@pytest.mark.parametrize(("name", "fault"), CASES, ids=[f"{n}-{f}" for n, f in CASES])
def test_what_becomes_of_a_fault(name, fault, clean, tmp_path):
    expected = read_expected()[name][fault]
    raw, (thin, before) = RAW[name], clean(name)
    root = copy_raw(thin, tmp_path / name)
    plant(raw, fault, root)
    outcome = crop_units(name, root, tmp_path / "out", raw.units, settings=raw.settings)
    shutil.rmtree(tmp_path)
    kind, text = describe(outcome, before)
    wanted, _, pattern = expected.partition(": ")
    assert kind == wanted, f"{kind}: {text}"
    if kind != NOT_VISIBLE:
        assert re.search(pattern, text), text
    else:
        assert len(pattern) > 10, "the reason is missing"


def describe(outcome, before):
    """What became of the units: refused, dropped or not visible, and the messages."""
    total = outcome.total()
    refused = [*outcome.refused, *(q["reason"] for q in total.quarantined)]
    if refused:
        return REFUSED, "\n".join(refused)
    known = before.total().dropped
    new = [f"{reason} ({n})" for reason, n in total.dropped.items() if n > known[reason]]
    return (DROPPED, "\n".join(new)) if new else (NOT_VISIBLE, "")


# Faults of these are planted by their own tests.
OWN_TESTS = set(
    """aic coco_wholebody crowdpose halpe
    aist behave bmhad bml_movi chi3d ehf fit3d gpa hspace human4d humansc3d humbi ikea jta mads
    muco ntu rich sailvos smarthome spec ssp3d tdhp_full tdoh tdpeople totalcapture umpm""".split()
) | {"densepose_coco", "densepose_posetrack", "jrdb", "mpii", "posetrack"}


def test_the_table_is_of_all_faults_that_files_can_carry():
    helpers = {n for n in dataset_names() if load_recipe(n).SPEC.kind == "helper"}
    assert set(RAW) | OWN_TESTS == set(dataset_names()) - helpers
    expected = read_expected()
    assert {name: list(of) for name, of in expected.items()} == {
        name: faults_of(raw) for name, raw in RAW.items()
    }
    for of in expected.values():
        for outcome in of.values():
            assert outcome.partition(": ")[0] in (REFUSED, DROPPED, NOT_VISIBLE)


def test_the_table_in_the_documents_is_up_to_date():
    text = (ROOT / "docs/CHECKING.md").read_text()
    table = text.partition(MARKS[0])[2].partition(MARKS[1])[0]
    assert table.strip() == raw_faults.table().strip(), "python tests/raw_faults.py prints it"
