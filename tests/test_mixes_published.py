"""Published mixes: shares as published, every dataset named with its source, none forgotten."""

import json
from collections import Counter

import pytest
import yaml
from conftest import ROOT

from posepile import cli
from posepile.ds import dataset_names, load_recipe
from posepile.merging import mixes, mixing

MIXES = (
    "coco_mpii_aic",
    "dozens",
    "dozens_2d",
    "dozens_medium",
    "dozens_small",
    "nlf",
    "sam3d_body",
)

# Typed from the published code: shares of the 96 examples of 3D joints in a batch.
SHARES_OF_DOZENS = (
    "surreal 5, h36m 4, fit3d 2, chi3d 1, humansc3d 1, sailvos 5, panoptic 7, muco 6, aist 6, "
    "gpa 4, humbi 5, aspset 4, agora 3, tdoh 3, tdpeople 4, bml_movi 5, mads 2, umpm 2, bmhad 3, "
    "tdhp_full 3, totalcapture 3, jta 3, ikea 2, human4d 1, behave 3, rich 4, spec 2, hspace 3"
)
# Datasets of published mixes that no recipe is of.
NO_RECIPE = {
    "nlf": {
        *("bedlam", "moyo", "arctic", "intercap", "egobody", "hi4d", "hi4d_rerender", "humman"),
        *("synbody_humannerf", "thuman2", "zjumocap", "dfaust_render", "egohumans"),
        "dna_rendering",
    },
    "sam3d_body": {"egohumans", "harmony4d", "sa1b"},
}


def run(*args):
    with pytest.raises(SystemExit) as e:
        cli.main(["merge", *map(str, args)])
    return e.value.code


def test_the_published_mixes_are_there():
    assert tuple(mixes.mix_names()) == MIXES


def test_shares_of_the_28_are_the_published_ones():
    mix = mixes.load_mix("dozens")
    typed = dict(word.split() for word in SHARES_OF_DOZENS.split(", "))
    assert {n: p.share for n, p in mix.parts.items() if p.share} == {
        name: float(share) for name, share in typed.items()
    }
    assert len(typed) == 28 and sum(map(float, typed.values())) == 96
    # Two more are validated on.
    assert set(mix.parts) - set(typed) == {"tdhp", "mupots"}
    assert mix.splits("tdhp") == {"train": [], "val": ["test"], "test": []}
    assert mix.splits("aist") == {"train": ["train", "val"], "val": [], "test": []}


def test_the_groups_of_nlf_are_complete():
    mix = mixes.load_mix("nlf")
    sums, numbers = Counter(), Counter()
    for part in mix.parts.values():
        sums[part.group] += part.share
        numbers[part.group] += 1
    assert sums == {"bodies": 97, "joints3d": 97, "dense": 21, "joints2d": 24}
    assert numbers == {"bodies": 18, "joints3d": 25, "dense": 2, "joints2d": 6}


@pytest.mark.parametrize("name", MIXES)
def test_a_published_mix_fits_the_recipes(name):
    mix = mixes.load_mix(name)
    cards = yaml.safe_load((ROOT / "tests" / "card_facts.yaml").read_text())
    assert set(mix.parts) - set(dataset_names()) == NO_RECIPE.get(name, set())
    of_skeleton = {}
    for dataset, part in mix.parts.items():
        assert part.source in mix.file.sources
        if dataset not in dataset_names():
            continue
        info = load_recipe(dataset).SPEC.joint_info
        kept = mixing.kept_joints(mix, dataset, info)
        info = info.select_joints([info.ids[joint] for joint in kept])
        # Datasets of one suffix have the same joints, or they could not be merged.
        assert of_skeleton.setdefault(mix.skeleton(dataset), info) == info, dataset
        if part.splits and "splits" in cards.get(dataset, {}):
            asked = {split for sources in part.splits.values() for split in sources}
            assert asked & set(cards[dataset]["splits"]), dataset
    assert mix.file.about and mix.file.published


@pytest.mark.parametrize("name", MIXES)
def test_a_dry_run_names_every_dataset_with_share_and_source(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    mix = mixes.load_mix(name)
    assert run(name, "--dry-run") == 1
    out, err = capsys.readouterr()
    lines = {line.split()[0]: line for line in out.splitlines() if line[:1].strip()}
    for dataset, part in mix.parts.items():
        line = lines[dataset]
        assert part.source in line
        assert ("not packed" in line) == (dataset in dataset_names())
        assert ("no recipe" in line) == (dataset not in dataset_names())
        if part.share is not None:
            assert f" {part.share:g} of " in line
        elif mix.splits(dataset)["train"]:
            assert " unknown " in line
    for source in {part.source for part in mix.parts.values()}:
        assert f"\n  {source}: " in out
    assert err.startswith(f"posepile: mix {name}: ") and "--skip-missing" in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "cache").exists()
    assert run(name, "--dry-run", "--skip-missing", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found["datasets"]) == list(mix.parts) == found["missing"]


def test_without_a_name_they_are_listed(capsys):
    assert run() == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(MIXES)
    assert run("--json") == 0
    assert list(json.loads(capsys.readouterr().out)) == list(MIXES)
    assert run("--dry-run") == 2
