"""HumanSC3D: its subjects and names; what it shares with Fit3D is tested there."""

import shutil

import pytest

from posepile.ds.humansc3d import main
from posepile.errors import CorruptInput


def test_subjects_and_names(raw_miniature):
    root, options = raw_miniature("humansc3d"), main.Options()
    units = list(main.list_units(root, options))
    assert {unit.id.split("/")[1] for unit in units} == {"170", "scratch head 2"}
    assert sorted(main.LAB.subjects) == ["s01", "s02", "s03", "s06"]
    (sequence,) = main.load_unit(root, units[0], options)
    assert sequence.image_name(7, 0) == "train/s01/videos/50591643/170.mp4/000007.jpg"
    assert len(sequence.tracks) == 1 and sequence.checks["body_mm"] < 60


def test_a_table_of_another_set_is_refused(raw_miniature, tmp_path):
    root = shutil.copytree(raw_miniature("humansc3d"), tmp_path / "humansc3d")
    shutil.copy(raw_miniature("fit3d") / "fit3d_info.json", root / "humansc3d_info.json")
    with pytest.raises(CorruptInput, match="expected .'s01', 's02', 's03', 's06'."):
        list(main.list_units(root, main.Options()))
