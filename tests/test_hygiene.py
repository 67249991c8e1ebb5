"""What is trained on and tested on at once: people, motions, pictures."""

import csv
import dataclasses

import archive_kit as kit
import numpy as np
import pytest

from posepile import datasets2d, datasets3d
from posepile.cli import main
from posepile.ds import dataset_names, load_recipe
from posepile.imaging import fingerprints
from posepile.merging import hygiene, identities
from posepile.merging.groups import GroupBatches, clips, people_of_pictures, views_of_instants
from posepile.merging.merge import merge_datasets
from posepile.merging.sequences import SequenceFacts, read_sequence_id
from posepile.recipe import TRAIN, VALID
from posepile.store import packing, parts


def make(root, name, pattern, sequences, *, kind="3d", n=3, more=lambda split, id, i: {}):
    """Packs (split, sequence) with n frames each."""
    paths = []
    for unit, (split, id) in enumerate(sequences):
        with parts.PartWriter(root / f"{name}_work" / "parts" / f"{unit:03d}.part") as writer:
            for i in range(n):
                told = {"sequence": id, "track": 0, **more(split, id, i)}
                record = kit.record(name, split, unit, i, kind=kind, **told)
                writer.add(record, kit.jpeg(i + 10 * unit))
        paths.append(writer.path)
    spec = dataclasses.replace(kit.spec(name, kind), sequence_names=pattern)
    packing.pack(paths, root / f"{name}.barecat", spec, {"sources": []})
    return (datasets2d if kind == "2d" else datasets3d).get_dataset(name)


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    return tmp_path


THREEDHP = r"(?P<subject>S\d)/(?P<motion>Seq\d)/(?P<view>\d)"


def named(name):
    return load_recipe(name).SPEC.sequence_names


@pytest.fixture
def studio(root):
    """Two datasets of the same people, and one of others whose motions AMASS has."""
    takes = [("train", "S1/Seq1/0"), ("train", "S1/Seq1/1"), ("val", "S8/Seq1/0")]
    whole = [("train", f"S{s}/Seq2/{v}") for s in (1, 8) for v in (0, 3)]
    clips = [("train", "train/run0/01_01/01_01_c0001"), ("test", "test/run0/ung_1_01/c2")]
    return {
        "tdhp": make(root, "tdhp", named("tdhp"), takes),
        "tdhp_full": make(root, "tdhp_full", named("tdhp_full"), whole),
        "surreal": make(root, "surreal", named("surreal"), clips),
    }


def test_people_are_the_same_in_datasets_of_which_that_is_public(studio):
    found = hygiene.find_leaks(studio)
    (person, performer, motion) = found.leaks
    assert person == hygiene.Leak(
        "subject", "tdhp/S8", "tdhp_full", 6, "S8/Seq2/0", "tdhp", "val", 3, "S8/Seq1/0"
    )
    assert (performer.what, performer.dataset, performer.held_split) == (
        "CMU/01",
        "surreal",
        "test",
    )
    assert motion.kind == "motion" and motion.what == "CMU/01/01_01"
    assert found.unknown["tdhp", "train", hygiene.NO_MOTION] == 6
    assert ("surreal", "train", hygiene.NO_MOTION) not in found.unknown


def test_the_parts_of_a_merged_set_are_told_apart(studio):
    merged = merge_datasets(studio, {"tdhp_full": "whole"})
    apart, together = hygiene.find_leaks(studio), hygiene.find_leaks({"mix": merged})
    assert together.leaks == apart.leaks and together.unknown == apart.unknown


def test_everybody_of_a_composite_counts(root, studio):
    muco = make(root, "muco", "", [("train", "unaugmented_set_001/00001")])
    (leak,) = hygiene.find_leaks({"muco": muco, "tdhp": studio["tdhp"]}).leaks
    assert (leak.dataset, leak.what, leak.n_examples) == ("muco", "tdhp/S8", 3)


def test_pictures_that_are_trained_on_and_tested_on(root):
    rng = np.random.default_rng(0)
    tiles = rng.integers(0, 255, (6, 8, 8), np.uint8)
    printed = [
        fingerprints.of_luma(np.kron(t, np.ones((8, 8), np.uint8)), (320, 240)) for t in tiles
    ]

    def more(of):
        return lambda split, id, i: {"fingerprint": printed[of[id] + i]}

    one = make(root, "one", "", [("train", "a")], kind="2d", more=more({"a": 0}))
    two = make(
        root, "two", "", [("train", "a"), ("val", "b")], kind="2d", more=more({"a": 3, "b": 1})
    )
    found = hygiene.find_leaks({"one": one, "two": two})
    assert {leak.kind for leak in found.leaks} == {"picture"}
    pairs = {(leak.dataset, leak.place[-8:], leak.held_place[-8:]) for leak in found.leaks}
    assert pairs == {
        ("one", "0001.jpg", "0000.jpg"),
        ("one", "0002.jpg", "0001.jpg"),
        ("two", "0000.jpg", "0002.jpg"),
    }
    assert not hygiene.find_leaks({"one": one, "two": two}, pictures=False).leaks
    assert found.unknown["two", "val", hygiene.NO_SUBJECT] == 3
    assert ("one", "train", hygiene.NO_PICTURE) not in found.unknown


def test_the_command_says_what_is_in_common(root, studio, capsys):
    out = root / "leaks.csv"
    with pytest.raises(SystemExit) as stopped:
        main(["hygiene", "tdhp", "tdhp_full", "--out", str(out)])
    assert stopped.value.code == 0
    printed = capsys.readouterr().out
    assert "subject tdhp/S8: tdhp_full train (6 examples, first in S8/Seq2/0), tdhp val" in printed
    assert "not known: tdhp train, 6 examples: its pictures have no fingerprints" in printed
    with open(out) as file:
        (row,) = csv.DictReader(file)
    assert row["what"] == "tdhp/S8" and row["n_held_examples"] == "3"
    for argv, code in (
        (["tdhp", "tdhp_full", "--strict", "--no-pictures"], 1),
        (["tdhp", "--strict"], 0),
        (["tdhp", "tdhp"], 2),
        (["nothing"], 2),
        (["tdhp", "--out", "leaks.txt"], 2),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(["hygiene", *argv])
        assert stopped.value.code == code
    assert "nothing in common was found: compared were subjects\n" in capsys.readouterr().out
    for argv, code in ((["--strict"], 1), ([], 0)):  # it has no examples that are tested on
        with pytest.raises(SystemExit) as stopped:
            main(["hygiene", "tdhp_full", *argv])
        assert stopped.value.code == code
        printed = capsys.readouterr().out
        assert "nothing could be compared" in printed and "was found" not in printed


def test_a_mix_is_named_like_a_dataset(root, studio, capsys):
    import pickle

    merged = merge_datasets(studio, {"tdhp_full": "whole"})
    (root / "cache").mkdir()
    (root / "cache/mixed.pkl").write_bytes(pickle.dumps(merged))
    with pytest.raises(SystemExit) as stopped:
        main(["hygiene", "mixed", "--no-pictures"])
    assert stopped.value.code == 0
    assert "subject tdhp/S8: tdhp_full train" in capsys.readouterr().out


def test_groups_of_merged_datasets(studio):
    merged = merge_datasets(studio, {"tdhp_full": "whole"})
    examples = merged.examples[TRAIN]
    examples.shuffle(0)
    found = views_of_instants(examples)
    assert len(found) == 9 and set(found.sizes) == {2}
    for group in found:
        members = examples[group]
        assert len({(ex.dataset, ex.recording, ex.frame) for ex in members}) == 1
        assert len({ex.view for ex in members}) == 2
    assert found.left_out == {"ids of its sequences tell no views": 3}
    found = clips(examples, 3)
    assert len(found) == 7
    for group in found:
        assert [ex.frame for ex in examples[group]] == [0, 1, 2]
        assert len({(ex.dataset, ex.sequence) for ex in examples[group]}) == 1
    assert len(people_of_pictures(examples)) == len(examples)
    assert len(views_of_instants(merged.examples[VALID])) == 0


def test_a_loader_gets_whole_groups(studio):
    pytest.importorskip("torch")
    from torch.utils.data import DataLoader

    from posepile.torch import CropDataset, collate

    def transform(ex, draw):
        return {"pose": ex.world_coords, "frame": ex.frame, "epoch": draw.epoch, "view": ex.view}

    examples = studio["tdhp_full"].examples[TRAIN]
    batches = GroupBatches(views_of_instants(examples), 2, seed=1, with_epoch=True)
    loader = DataLoader(
        CropDataset(examples, transform), batch_sampler=batches, collate_fn=collate
    )
    for epoch in range(2):
        found = list(loader)
        assert len(found) == 3 and all(batch["pose"].shape == (4, 5, 3) for batch in found)
        for batch in found:
            assert batch["frame"][0] == batch["frame"][1] and batch["view"] == ["0", "3"] * 2
            assert set(batch["epoch"].tolist()) == {epoch}


@pytest.mark.parametrize(
    ("recipe", "id", "persons", "motions"),
    [
        ("rich", "train/Pavallion_003_018_y1/cam_03", {"rich/003", "rich/018"}, ()),
        (
            "totalcapture",
            "s1/acting1/TC_S1_acting1_cam6",
            {"TotalCapture/s1"},
            ("TotalCapture/s1/acting1",),
        ),
        # A person has one name, whichever dataset tells of them
        ("bml_movi", "46/S1_PG2_Subject_46_L", {"BMLmovi/Subject_46"}, ()),
        (
            "amarv",
            "BMLmovi/Subject_46_F_MoSh/Subject_46_F_11_poses/v0",
            {"BMLmovi/Subject_46"},
            ("BMLmovi/Subject_46_F_MoSh/Subject_46_F_11",),
        ),
        ("human4d", "S1/19-07-12-07-32-22/cam", {"HUMAN4D/Subject1"}, ()),
        (
            "amarv",
            "HUMAN4D/Subject1_Medhi/INF_Running_S1_01_stageii/v2",
            {"HUMAN4D/Subject1"},
            ("HUMAN4D/Subject1_Medhi/INF_Running_S1_01",),
        ),
        (
            "amarv",
            "BMLrub/rub001/0000_treadmill_poses/v0",
            {"BMLrub/rub001"},
            ("BMLrub/rub001/0000_treadmill",),
        ),
        ("tdpeople", "man36/05_11_dance/camera01/looks", {"tdpeople/man36"}, ("CMU/05/05_11",)),
        ("amarv", "CMU/walk/v0", set(), ()),
        ("amarv", "CMU/01/01_01_poses/v0", {"CMU/01"}, ("CMU/01/01_01",)),
        ("ntu", "synthetic/S018C002P103R002A061/v3", {"ntu/P103"}, ()),
        ("smarthome", "P02T01C06", {"smarthome/p02"}, ()),
        ("h36m", "S9/Greeting/60457274", {"h36m/S9"}, ()),
        ("coco", "train2017/000000000007", set(), ()),
    ],
)
def test_who_and_what_ids_tell(recipe, id, persons, motions):
    facts = read_sequence_id(id, named(recipe), dataset="x", recipe=recipe)
    assert set(identities.persons_of(facts)) == persons
    assert identities.motions_of(facts) == motions


def test_every_rule_is_of_a_recipe_and_has_a_source():
    known = identities.known_identities()
    for rules in (known.persons, known.motions):
        assert rules.keys() <= set(dataset_names())
        assert all(rule.source for rule in rules.values())
    people = known.persons["muco"].everybody
    subjects = [SequenceFacts("", "", subject=f"S{k}", recipe="tdhp") for k in range(1, 9)]
    assert sorted(people) == sorted(p for s in subjects for p in identities.persons_of(s))
