"""The references of CrowdPose, COCO-WholeBody and PoseTrack give what one can check by hand."""

import math

import numpy as np
import pytest
from references import crowdpose, posetrack, trees, wholebody


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def test_crowdpose(tmp_path, rng):
    """Equal to xtcocotools 1.14.3 on twelve such trees, compared once: it needs numpy below 2."""
    trees.write_crowdpose(tmp_path)
    true = crowdpose.truth(tmp_path, "crowdpose.official")
    perfect = {
        image: [
            {"keypoints": np.reshape(person["keypoints"], (14, 3)), "score": 0.9}
            for person in content["people"]
            if person["num_keypoints"]
        ]
        for image, content in true.items()
    }
    assert [*crowdpose.scores(true, perfect, "crowdpose.official").values()] == pytest.approx(
        [1] * 9
    )
    person = next(p for c in true.values() for p in c["people"] if p["num_keypoints"])
    points = np.array(person["keypoints"], float).reshape(14, 3)
    size = math.sqrt(0.53 * person["bbox"][2] * person["bbox"][3])
    points[:, 0] += size * np.array(crowdpose.SIGMAS) * 2 * math.sqrt(2 * math.log(2))
    assert crowdpose.similarity(person, points) == pytest.approx(0.5)
    assert crowdpose.scores(true, {}, "crowdpose.official")["AP"] == 0
    noisy = crowdpose.guess(true, rng, "crowdpose.official")
    both = [crowdpose.scores(true, noisy, name) for name in crowdpose.BORDERS]
    assert both[0]["AP"] == both[1]["AP"] and both[0]["AP-easy"] != both[1]["AP-easy"]


def test_wholebody(tmp_path, rng):
    """Equal to xtcocotools 1.14.3 on twelve such trees to 1e-14, compared once (numpy below 2)."""
    trees.write_wholebody(tmp_path)
    true = wholebody.truth(tmp_path, "coco_wholebody.face")
    perfect = {
        image: [{"keypoints": wholebody.points_of(person), "score": 0.9} for person in people]
        for image, people in true.items()
    }
    for protocol in wholebody.PROTOCOLS:
        found = wholebody.scores(true, perfect, protocol)
        assert [*found.values()] == pytest.approx([1] * 10), protocol
        assert wholebody.scores(true, {}, protocol)["AP"] == 0
    person = next(p for people in true.values() for p in people if p["face_valid"])
    points = wholebody.points_of(person)
    sigmas = np.array([int(spread) / 10000 for spread in wholebody.FACE.split()])
    points[23:91, 0] += math.sqrt(person["area"]) * sigmas * 2 * math.sqrt(2 * math.log(2))
    assert wholebody.similarity(person, points, "face") == pytest.approx(0.5)
    assert wholebody.similarity(person, points, "wholebody") > 0.5
    noisy = wholebody.guess(true, rng, "coco_wholebody.face")
    aps = {wholebody.scores(true, noisy, protocol)["AP"] for protocol in wholebody.PROTOCOLS}
    assert len(aps) == 6 and all(0 < value < 1 for value in aps)


def posetrack_person(x, **more):
    """Somebody with a head of 100 px, whose joints lie side by side."""
    points = [
        [x + 10.0 * joint, 50, 1] if joint not in (3, 4) else [0, 0, 0] for joint in range(17)
    ]
    return {"track_id": 0, "keypoints": points, "bbox_head": [x, 0, 60, 80]} | more


def posetrack_figures(people, found, regions=()):
    true = {"a": [{"id": 1, "ignored": list(regions), "people": people}]}
    frame = {"id": 1, "file_name": "", "people": found}
    return posetrack.scores(true, {"a": [frame]}, "posetrack.ap")


def test_posetrack():
    person, ones = posetrack_person(0), [0.5] * 17
    found = person | {"scores": ones}
    assert set(posetrack_figures([person], [found]).values()) == {1.0}
    none = posetrack_figures([person], [])
    assert set(none.values()) == {0.0}
    # A head of 100 px is a head size of 60: joints may be off by 30 px.
    for off, right in ((29, 1.0), (31, 0.0)):
        moved = [[x, y + off * v, v] for x, y, v in found["keypoints"]]
        assert posetrack_figures([person], [found | {"keypoints": moved}])["AP"] == right
    # Somebody found beside whom there is: wrong, with the better score: precision 1/2 at recall 1.
    other = posetrack_person(5000, scores=[0.9] * 17)
    figures = posetrack_figures([person], [other, found])
    assert figures["AP"] == figures["precision"] == 0.5 and figures["recall"] == 1
    assert posetrack_figures([person], [found, other | {"scores": [0.1] * 17}])["AP"] == 1
    # In a region that is ignored they do not count.
    region = [(4000, 0), (6000, 0), (6000, 100), (4000, 100)]
    assert posetrack_figures([person], [other, found], [region])["AP"] == 1
    assert posetrack_figures([person, posetrack_person(5000)], [found], [region])["recall"] == 1
    # One of two who are found in the same place is wrong.
    figures = posetrack_figures([person], [found, found])
    assert (figures["precision"], figures["recall"]) == (0.5, 1)
    # Nobody's wrists are labelled: as predictions there are, they are left out of the mean.
    without = [
        p if joint not in (9, 10) else [0, 0, 0] for joint, p in enumerate(person["keypoints"])
    ]
    figures = posetrack_figures([person | {"keypoints": without}], [found])
    assert math.isnan(figures["AP-wrist"]) and figures["AP"] == 1
    assert figures["precision"] == pytest.approx(13 / 15)
    # Neither labelled nor found: 0, in the mean.
    fewer = found | {"keypoints": without}
    assert posetrack_figures([person | {"keypoints": without}], [fewer])["AP"] == pytest.approx(
        13 / 15
    )


def test_posetrack_tree(tmp_path, rng):
    trees.write_posetrack(tmp_path)
    true = posetrack.truth(tmp_path, "posetrack.ap")
    assert any(not f["people"] for frames in true.values() for f in frames)
    assert any(f["ignored"] for frames in true.values() for f in frames)
    figures = posetrack.scores(true, posetrack.guess(true, rng, ""), "posetrack.ap")
    assert all(0.05 < value < 0.95 for value in figures.values()), figures


def track_figures(frames):
    """MOTA of frames of true and found (place, track), of a video whose last frame is not seen."""
    true, found = [], []
    for number, (people, guesses) in enumerate(frames):
        people = [posetrack_person(x, track_id=track) for x, track in people]
        true.append({"id": number, "ignored": [], "people": people})
        guesses = [posetrack_person(x, track_id=track, scores=[1] * 17) for x, track in guesses]
        found.append({"id": number, "file_name": "", "people": guesses})
    return posetrack.scores({"a": true}, {"a": found}, "posetrack.mota")


def test_posetrack_tracks():
    """Equal to motmetrics 1.4.0 on the trees of four seeds, compared once (MOTP: by pairs)."""
    here, there, last = (0, 1), (9000, 2), ([(0, 1)], [(0, 7)])
    assert set(track_figures([([here], [(0, 7)])] * 3).values()) == {1.0}
    # Another track in the second of two frames: one switch of two objects; the third is not seen.
    switched = track_figures([([here], [(0, 7)]), ([here], [(0, 8)]), last])
    assert (switched["MOTA"], switched["MOTP"], switched["recall"]) == (0.5, 1, 1)
    # Whom a track was with keeps it, though another found person is nearer.
    kept = track_figures([([here], [(0, 7)]), ([here], [(0, 8), (20, 7)]), last])
    assert kept["MOTA"] == 0.5 and kept["MOTP"] == pytest.approx(1 - 20 / 60 / 2)
    # One is missed and one is wrong, beside two pairs.
    some = track_figures([([here, there], [(0, 7), (5000, 9)]), ([here], [(0, 7)]), last])
    assert some["MOTA"] == pytest.approx(1 - 2 / 3) and some["recall"] == pytest.approx(2 / 3)
    # Nobody found in a frame with two people: one object, one missed and one wrong.
    nobody = track_figures([([here, there], []), ([here], [(0, 7)]), last])
    assert nobody["MOTA"] == 0 and nobody["precision"] == nobody["recall"] == 0.5
    # Two pairs rather than the one that is nearest.
    two = track_figures([([(0, 1), (25, 2)], [(10, 7), (-15, 8)]), last])
    assert two["MOTA"] == 1
