"""Detection, silhouettes, key points, averages against loops, pycocotools, values by hand."""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from metrics_kit import INF, NAN, make_poses, mean

from posepile import metrics

seeds = st.integers(0, 2**32 - 1)

# Detection, contacts, silhouettes


def test_detection_by_hand():
    found = metrics.detection_scores(tp=6, fp=2, fn=4)
    assert found == metrics.Scores(0.75, 0.6, pytest.approx(2 * 0.75 * 0.6 / 1.35))
    assert np.isnan(metrics.detection_scores(0, 0, 0)).all()
    per_entry = metrics.detection_scores([1, 0], [1, 0], [0, 1])
    np.testing.assert_allclose(per_entry.f1, [2 / 3, 0])
    assert np.isnan(per_entry.precision[1]) and per_entry.recall[1] == 0
    assert metrics.normalized_error(90.0, 0.75) == 120 and metrics.normalized_error(9, 0) == INF


@given(seeds)
@settings(max_examples=30, deadline=None)
def test_contacts_equal_plain_loops(seed):
    rng = np.random.default_rng(seed)
    pred, true = rng.random((5, 9)), rng.random((5, 9)) < 0.3
    pred[0], true[1] = 0.1, False
    distances = rng.random((9, 9))
    plain = metrics.contact_scores(pred, true)
    bstro = metrics.contact_scores(pred, true, epsilon=1e-10)
    geodesic = metrics.contact_distances(pred, true, distances)
    for i in range(5):
        hits = sum(p >= 0.5 and bool(t) for p, t in zip(pred[i], true[i], strict=True))
        n_pred, n_true = sum(p >= 0.5 for p in pred[i]), int(true[i].sum())
        precision, recall = hits / (n_pred + 1e-10), hits / (n_true + 1e-10)
        f1 = 2 * precision * recall / (precision + recall + 1e-10)
        np.testing.assert_allclose([x[i] for x in bstro], [precision, recall, f1], rtol=1e-12)
        expected = [hits / n_pred if n_pred else NAN, hits / n_true if n_true else NAN]
        np.testing.assert_allclose([plain.precision[i], plain.recall[i]], expected)
        rows = [v for v in range(9) if pred[i, v] >= 0.5] or list(range(9))
        columns = [v for v in range(9) if true[i, v]] or list(range(9))
        nearest = [min(distances[a, b] for b in columns) for a in rows]
        np.testing.assert_allclose(geodesic[i], mean(nearest))
    valid = np.zeros((5, 9), bool)
    assert not np.any(metrics.binary_counts(pred >= 0.5, true, valid))


def test_silhouettes_by_hand():
    true = np.zeros((3, 4, 4), np.uint8)
    pred = true.copy()
    true[0, :2], pred[0, 1:3] = 255, 1  # 4 of 12 pixels
    true[1] = 1  # nothing of 16
    intersection, union = metrics.overlap_pixels(pred, true)
    assert intersection.tolist() == [4, 0, 0] and union.tolist() == [12, 16, 0]
    ious = metrics.silhouette_ious(intersection, union)
    np.testing.assert_allclose(ious, [1 / 3, 0, NAN])
    assert metrics.mean_value(ious) == pytest.approx(1 / 6)
    assert metrics.pooled_iou(intersection, union) == pytest.approx(4 / 28)
    assert np.isnan(metrics.pooled_iou([0], [0]))


# Key points


def coco_people(rng, n_images=4):
    """Content of an annotation file and of a results file."""
    images = [{"id": i, "width": 640, "height": 480} for i in range(n_images)]
    people, results = [], []
    for image in images:
        for _ in range(rng.integers(0, 4)):
            points = np.column_stack([rng.uniform(100, 400, (17, 2)), rng.integers(0, 3, 17)])
            points = np.round(points) * (rng.random() < 0.9)
            box = [100.0, 100.0, 300.0, 300.0]
            facts = {"id": len(people) + 1, "image_id": image["id"], "category_id": 1}
            facts |= {"keypoints": points.ravel().tolist(), "bbox": box, "iscrowd": 0}
            n = int((points[:, 2] > 0).sum())
            people.append(facts | {"num_keypoints": n, "area": float(rng.uniform(500, 60000))})
            for _ in range(rng.integers(0, 3)):
                near = points + np.column_stack([rng.normal(0, 12, (17, 2)), np.zeros(17)])
                facts = {"image_id": image["id"], "category_id": 1}
                results.append(facts | {"keypoints": near.ravel().tolist(), "score": rng.random()})
    categories = [{"id": 1, "name": "person"}]
    return {"images": images, "annotations": people, "categories": categories}, results


@given(seeds)
@example(0)
@settings(max_examples=15, deadline=None)
def test_keypoint_similarity_and_precision_equal_pycocotools(seed):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth, results = coco_people(np.random.default_rng(seed))
    before = repr((truth, results))
    found = metrics.keypoint_ap(truth, results)
    assert repr((truth, results)) == before
    if not results:
        assert all(not v > 0 for v in found.values())
        return
    labels = COCO()
    labels.dataset = truth
    labels.createIndex()
    evaluation = COCOeval(labels, labels.loadRes([dict(r) for r in results]), "keypoints")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    np.testing.assert_array_equal(list(found.values()), evaluation.stats)
    assert list(found) == list(metrics.COCO_FIGURES)
    for image in truth["images"]:
        people = [a for a in truth["annotations"] if a["image_id"] == image["id"]]
        guesses = [r for r in results if r["image_id"] == image["id"]]
        guesses.sort(key=lambda r: -r["score"])
        if not people or not guesses:
            continue
        official = evaluation.ious[image["id"], 1]
        pred = np.reshape([r["keypoints"] for r in guesses], (-1, 1, 17, 3))[..., :2]
        true = np.reshape([a["keypoints"] for a in people], (1, -1, 17, 3))
        area = np.array([[a["area"] for a in people]])
        similar = metrics.oks(pred, true[..., :2], area, true[..., 2] > 0)
        beside = metrics.oks_beside_box(pred, np.array([[a["bbox"] for a in people]]), area)
        unlabelled = (true[0, :, :, 2] == 0).all(axis=1)
        np.testing.assert_allclose(np.where(unlabelled, beside, similar), official, rtol=1e-12)
        assert np.isnan(similar[:, unlabelled]).all()


def test_keypoints_without_any_detection_or_person():
    truth, _ = coco_people(np.random.default_rng(3))
    assert metrics.keypoint_ap(truth, [])["AP"] == 0
    empty = {**truth, "annotations": []}
    assert set(metrics.keypoint_ap(empty, []).values()) == {-1}


def test_similarity_of_what_is_missing():
    pred, true = np.zeros((2, 2)), np.array([[0, 0], [NAN, 0]])
    assert metrics.oks(pred, true, 100.0, sigmas=[0.1, 0.1]) == 1
    pred[0] = NAN
    assert metrics.oks(pred, true, 100.0, sigmas=[0.1, 0.1]) == 0
    # d = 2, variance (2 * 0.1)**2 = 0.04, area 100: exp(-4 / (2 * 4))
    pred[0] = [0, 2]
    assert metrics.oks(pred, true, 100.0, sigmas=[0.1, 0.1]) == pytest.approx(math.exp(-0.5))


# Averages and how sure they are


@given(seeds)
@settings(max_examples=30, deadline=None)
def test_averages_equal_plain_loops(seed):
    rng, pred, true, valid = make_poses(seed, n=12)
    errors = metrics.joint_errors(pred, true, valid)
    errors[rng.integers(12)] = NAN
    labels = rng.choice(["walk", "sit", "eat"], 12).tolist()
    assert metrics.mean_value(errors) == pytest.approx(mean(errors.ravel()))
    per_pose = [mean(row) for row in errors]
    np.testing.assert_allclose(metrics.pose_means(errors), per_pose)
    assert metrics.mean_value(errors, "pose") == pytest.approx(mean(per_pose))
    np.testing.assert_allclose(metrics.joint_means(errors), [mean(c) for c in errors.T])
    groups = {"arms": [0, 3], "legs": [5]}
    found = metrics.group_means(errors, groups, "pose")
    for name, joints in groups.items():
        np.testing.assert_allclose(found[name], mean(mean(r[joints]) for r in errors))
    pooled = metrics.label_means(errors, labels)
    by_pose = metrics.label_means(errors, np.array(labels), "pose")
    assert list(pooled) == list(by_pose) == list(dict.fromkeys(labels))
    for label in pooled:
        rows = [r for r, name in zip(errors, labels, strict=True) if name == label]
        np.testing.assert_allclose(pooled[label], mean(np.ravel(rows)))
        np.testing.assert_allclose(by_pose[label], mean(map(mean, rows)))
    with pytest.raises(ValueError, match="12 values, 2 labels"):
        metrics.label_means(errors, ["a", "b"])


def test_means_of_nothing_and_of_infinity():
    assert np.isnan(metrics.mean_value([])) and metrics.mean_value([1.0, NAN, INF]) == INF
    assert metrics.mean_value(3.0) == 3
    assert metrics.label_means([], []) == {}
    assert np.isnan(metrics.joint_means(np.full((2, 3), NAN))).all()


def test_intervals():
    rng = np.random.default_rng(0)
    values = rng.normal(100, 15, 400)
    low, high = metrics.bootstrap_interval(values)
    # The standard error is 0.75: 1.96 of them on either side.
    assert low < values.mean() < high and (high - low) / 4 == pytest.approx(0.735, rel=0.12)
    assert metrics.bootstrap_interval(values) == (low, high)
    assert metrics.bootstrap_interval(values, seed=1) != (low, high)
    narrow = metrics.bootstrap_interval(values, level=0.5)
    assert low < narrow[0] < narrow[1] < high

    # Poses of a clip are alike: as many as there are clips are independent.
    clips = np.repeat(np.arange(10), 40)
    alike = np.repeat(rng.normal(100, 15, 10), 40)
    wide = metrics.bootstrap_interval(alike, clips)
    close = metrics.bootstrap_interval(alike)
    assert wide[1] - wide[0] > 4 * (close[1] - close[0])
    # A clip brings its values, so the mean is over values: here 9 of 1 and 1 of 11.
    low, high = metrics.bootstrap_interval([1.0] * 9 + [11.0], ["a"] * 9 + ["b"], level=1)
    assert (low, high) == (1, 11)
    low, high = metrics.bootstrap_interval(np.array([[1, NAN], [NAN, NAN], [3, 5]]), level=1)
    assert (low, high) == (1, 4)
    assert all(np.isnan(metrics.bootstrap_interval([NAN, NAN], ["a", "b"])))
    assert metrics.bootstrap_interval([1.0, INF], level=1) == (1, INF)
    # The same from the sums of clips, which is what evaluations keep.
    sums = np.bincount(clips, alike), np.bincount(clips).astype(float)
    assert metrics.interval_of_sums(*sums) == wide
    assert all(np.isnan(metrics.interval_of_sums([], [])))
    # Many resamples are drawn in one call; each is what it is when drawn alone.
    counts, rng = np.arange(1.0, 401), np.random.default_rng(7)
    drawn = [rng.integers(400, size=400) for _ in range(1000)]
    means = [values[rows].sum() / counts[rows].sum() for rows in drawn]
    ends = metrics.interval_of_sums(values, counts, seed=7)
    assert ends == tuple(np.quantile(means, [0.025, 0.975], method="nearest"))
    with pytest.raises(ValueError, match="2 values, 1 clips"):
        metrics.bootstrap_interval([1, 2], ["a"])
