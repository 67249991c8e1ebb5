"""CHI3D: both people of a pair; what it shares with Fit3D is tested there."""

import json
import shutil

import numpy as np
import pytest

from posepile.bodies.models import body_joints
from posepile.ds.chi3d import main
from posepile.errors import CorruptInput
from posepile.shapes import lab_json

VIEW = "60457274"


@pytest.fixture
def root(raw_miniature, tmp_path):
    return shutil.copytree(raw_miniature("chi3d"), tmp_path / "chi3d")


def load(root, **options):
    lab_json.load_action.cache_clear()
    options = main.Options(cameras=[VIEW], **options)
    units = main.list_units(root, options)
    return {s.id: s for unit in units for s in main.load_unit(root, unit, options)}


def test_both_people_have_joints_and_their_own_body(root):
    sequence = load(root)[f"s02/Grab 10/{VIEW}"]
    told = json.loads((root / "train/s02/joints3d_25/Grab 10.json").read_text())["joints3d_25"]
    assert [track.person for track in sequence.tracks] == [0, 1]
    for track, joints in zip(sequence.tracks, np.array(told), strict=True):
        np.testing.assert_allclose(track.world_coords, 1000 * joints[track.frames], atol=1e-3)
        body = track.parameters(2)
        found = body_joints("smplx", "neutral", body, models_root=root / "body_models")[0]
        np.testing.assert_allclose(1000 * found[0], track.world_coords[2, 0], atol=1)
    assert sequence.image_name(3, 1).endswith(f"{VIEW}/Grab 10.mp4/000003_01.jpg")
    assert len(sequence.tracks[0].frames) == 7 and len(sequence.tracks[1].frames) == 8
    assert not main.SPEC.single_person and sorted(main.LAB.subjects) == ["s02", "s03", "s04"]


def test_a_release_of_one_person_is_refused(root):
    path = root / "train/s02/joints3d_25/Hug 1.json"
    told = json.loads(path.read_text())["joints3d_25"]
    path.write_text(json.dumps({"joints3d_25": told[0]}))
    expected = r"found shape \(7, 25, 3\); expected shape \(2, rows, 25, 3\).*download it again"
    with pytest.raises(CorruptInput, match=expected):
        load(root)


def test_fits_of_the_other_person_are_refused(root):
    path = root / "train/s02/smplx/Hug 1.json"
    fits = json.loads(path.read_text())
    fits["global_orient"] = fits["global_orient"][::-1]
    path.write_text(json.dumps(fits))
    with pytest.raises(CorruptInput, match="Hug 1.json, person 0: half of the limbs: .* mm"):
        load(root)
