"""The detector on real photographs with the official nano weights, where both are at hand."""

import argparse
import importlib
import json
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from real_data import real_data

from posepile.models import DetectorFile, DetectParams, load_detector


@pytest.fixture(scope="module")
def photos():
    root = real_data() / "coco"
    data = json.loads((root / "annotations" / "person_keypoints_val2017.json").read_text())
    images = {}
    for entry in data["images"]:
        bgr = cv2.imread(str(root / "val2017" / entry["file_name"]), cv2.IMREAD_COLOR)
        images[entry["id"]] = np.ascontiguousarray(bgr[..., ::-1])
    return images, data["annotations"]


@pytest.fixture(scope="module")
def weights_file():
    path = real_data() / "models" / "yolox_nano.onnx"
    if not path.is_file():
        pytest.skip(f"no {path}")
    return path


def nano(weights_file, **more):
    model = DetectorFile(path=str(weights_file), decoder="yolox")
    return load_detector(DetectParams(model=model, **more))


def plain_yolox(session, image, score=0.5, iou=0.45):
    """One image, one box at a time, following the description of the format step by step."""
    h, w = image.shape[:2]
    ratio = min(416 / h, 416 / w)
    new_w, new_h = int(w * ratio), int(h * ratio)
    canvas = np.full((416, 416, 3), 114, np.uint8)
    canvas[:new_h, :new_w] = cv2.resize(image[..., ::-1], (new_w, new_h))
    blob = canvas.transpose(2, 0, 1)[None].astype(np.float32)
    rows = session.run(None, {"images": blob})[0][0].astype(np.float64)
    candidates, i = [], 0
    for stride in (8, 16, 32):
        for gy in range(416 // stride):
            for gx in range(416 // stride):
                row, i = rows[i], i + 1
                confidence = row[4] * row[5]
                if confidence < score:
                    continue
                cx, cy = (row[0] + gx) * stride, (row[1] + gy) * stride
                bw, bh = np.exp(row[2]) * stride, np.exp(row[3]) * stride
                corners = [cx - bw / 2, cy - bh / 2, cx + bw / 2, cy + bh / 2]
                candidates.append((confidence, corners))
    kept = []
    for confidence, box in sorted(candidates, key=lambda c: -c[0]):
        if all(overlap(box, other) <= iou for _, other in kept):
            kept.append((confidence, box))
    found = []
    for confidence, (x0, y0, x1, y1) in kept:
        x0, x1 = (min(max(x * w / new_w, 0), w) for x in (x0, x1))
        y0, y1 = (min(max(y * h / new_h, 0), h) for y in (y0, y1))
        found.append([x0, y0, x1 - x0, y1 - y0, confidence])
    return np.array(found).reshape(-1, 5)


def overlap(a, b):
    iw = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    ih = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return iw * ih / (area - iw * ih)


def corners(box):
    return [box[0], box[1], box[0] + box[2], box[1] + box[3]]


def variants(images):
    """The photographs, and portrait, tiny and cut versions of them."""
    first = next(iter(images.values()))
    return [
        *images.values(),
        np.ascontiguousarray(first.transpose(1, 0, 2)),
        cv2.resize(first, (90, 61)),
        np.ascontiguousarray(first[:, 250:330]),
    ]


def test_boxes_are_those_of_a_plain_reference_at_any_batch_size(photos, weights_file):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(weights_file), providers=["CPUExecutionProvider"])
    images = variants(photos[0])
    expected = [plain_yolox(session, image) for image in images]
    assert sum(map(len, expected)) >= 11
    for batch in (1, 2, 3, 8):
        for found, wanted in zip(nano(weights_file, batch=batch)(images), expected, strict=True):
            assert found.shape == wanted.shape
            np.testing.assert_allclose(found[:, :4], wanted[:, :4], atol=0.1)
            np.testing.assert_allclose(found[:, 4], wanted[:, 4], atol=1e-4)


def test_people_are_found_and_nothing_else(photos, weights_file):
    """Recall over annotated people larger than 96 x 48 px and less than half hidden.

    Half hidden: fewer than half of the 17 key points are visible.
    """
    images, annotations = photos
    found = dict(zip(images, nano(weights_file)(list(images.values())), strict=True))
    large, hits = 0, 0
    for person in annotations:
        visible = np.array(person["keypoints"])[2::3] == 2
        big = person["bbox"][3] > 96 and person["bbox"][2] > 48
        if person["iscrowd"] or not big or visible.mean() < 0.5:
            continue
        large += 1
        overlaps = [
            overlap(corners(person["bbox"]), corners(b)) for b in found[person["image_id"]]
        ]
        hits += max(overlaps, default=0) >= 0.5
    assert large >= 8
    assert hits / large >= 0.9
    for image_id, boxes in found.items():
        people = [corners(p["bbox"]) for p in annotations if p["image_id"] == image_id]
        for box in boxes:
            assert max(overlap(corners(box), p) for p in people) > 0.1, (image_id, box)


def test_downscaled_decoding_changes_boxes_little(photos, weights_file):
    """Detection on a reduced image, boxes taken back: the same people, nearly the same boxes."""
    from posepile.models.boxes import scale_boxes

    detector = nano(weights_file)
    for image in photos[0].values():
        h, w = image.shape[:2]
        small = cv2.resize(image, (w * 3 // 4, h * 3 // 4), interpolation=cv2.INTER_AREA)
        (full,), (reduced,) = detector([image]), detector([small])
        back = scale_boxes(reduced, small.shape[1::-1], (w, h))
        for box in full[full[:, 4] > 0.7]:
            assert max(overlap(corners(box), corners(b)) for b in back) > 0.8


def test_network_free_segmentation_is_near_the_annotated_masks(photos):
    """GrabCut seeded by the annotated skeletons: median IoU with the annotation's polygons."""
    coco_mask = pytest.importorskip("pycocotools.mask")
    from posepile.models import SegmentParams, load_segmenter

    images, annotations = photos
    segmenter = load_segmenter(SegmentParams(model="grabcut"))

    def joints(person):
        k = np.array(person["keypoints"], float).reshape(-1, 3)
        return np.where(k[:, 2:] > 0, k[:, :2], np.nan)

    scores, stolen = [], []
    for person in annotations:
        if person["num_keypoints"] < 10:
            continue
        image = images[person["image_id"]]
        others = [
            p
            for p in annotations
            if p["image_id"] == person["image_id"] and p is not person and p["num_keypoints"]
        ]
        rle = segmenter(image, person["bbox"], joints(person), [joints(p) for p in others])
        size = image.shape[:2]

        def decode(p, size=size):
            return coco_mask.decode(
                coco_mask.merge(coco_mask.frPyObjects(p["segmentation"], *size))
            ).astype(bool)

        mask = coco_mask.decode(rle).astype(bool) if rle else np.zeros(size, bool)
        truth = decode(person)
        scores.append((mask & truth).sum() / (mask | truth).sum())
        foreign = [(mask & decode(p) & ~truth).sum() / decode(p).sum() for p in others]
        stolen.append(max(foreign, default=0))
    assert np.median(scores) > 0.6
    assert max(stolen) < 0.5


def test_little_of_a_mask_is_on_others_once_they_are_known(monkeypatch):
    """The people whom the recipe keeps, by the benchmark: what models/README.md states."""
    from posepile.models import SegmentParams, load_segmenter

    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    benchmark = importlib.import_module("masks")
    segmenter, scores = load_segmenter(SegmentParams(model="grabcut")), {}
    options = argparse.Namespace(people=False, overlays=None)
    for options.others in ("joints", "none"):
        cases = benchmark.read_cases(real_data() / "coco", "val2017", options.others, None)
        kept = [case for case in cases if case.kept]
        assert len(kept) == 8
        scores[options.others] = benchmark.measure(segmenter, kept, options)
    assert scores["joints"]["none"] == 0 and scores["joints"]["iou"] > 0.76
    assert scores["joints"]["on_others"] < 0.04 and scores["none"]["on_others"] > 0.06


def test_video_frames_are_detected_on_a_downscaled_decode():
    """A person doing tai chi: found in the kept frames, boxes in pixels of the full frame."""
    frames = pytest.importorskip("posepile.imaging.frames")
    from posepile.models.boxes import scale_boxes
    from posepile.recipe import Video

    root = real_data()
    video, weights = root / "video" / "ta_chi.mp4", root / "models" / "yolox_nano.onnx"
    if not (video.is_file() and weights.is_file()):
        pytest.skip(f"no {video} or no {weights}")
    detector = nano(weights, score=0.3)
    with frames.open_frames(Video(video)) as reader:
        kept = [0, 40, 80]
        for index, frame in reader.read(kept):
            full, small = frame.rgb(), frame.rgb(short_side=240)
            (reference,), (boxes,) = detector([full]), detector([small])
            boxes = scale_boxes(boxes, small.shape[1::-1], frame.size)
            assert len(reference) >= 1, index
            best = max(overlap(corners(reference[0]), corners(b)) for b in boxes)
            assert best > 0.7, index


def test_the_main_job_on_real_photographs(run_main, tmp_path, monkeypatch):
    """Photographs in, packed dataset out, with boxes from the detector next to the annotated."""
    source = real_data()
    if not (source / "models" / "yolox_nano.onnx").is_file():
        pytest.skip("no yolox_nano.onnx")
    shutil.copytree(source / "coco", tmp_path / "coco")
    monkeypatch.setenv("POSEPILE_MODELS", str(source / "models"))
    detect = ["--set", "box.source=detect", "--set", "detect.model=yolox_nano"]
    # As the README says for the validation photographs alone: what is here is enough.
    run_main("coco", tmp_path, "--from", "calibrate", *detect)
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    from posepile.datasets2d import get_dataset

    examples = [e.load() for e in get_dataset("coco").examples[1]]
    assert len(examples) == 8
    manifest = json.loads((tmp_path / "coco.barecat.manifest.json").read_text())
    assert "8" in re.findall(r'"box by yolox_nano@\w+": (\d+)', json.dumps(manifest))
    assert (tmp_path / "coco_work" / "report.html").stat().st_size > 10_000
    import rlemasklib

    for example in examples:
        assert example.image_path.startswith("coco_downscaled/val2017/")
        mask = rlemasklib.decode(example.mask).astype(bool)
        assert mask.shape == example.get_image().shape[:2]
        ys, xs = np.nonzero(mask)
        around_mask = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
        assert overlap(corners(example.bbox), around_mask) > 0.6
        joints = example.coords[np.isfinite(example.coords).all(axis=1)]
        x, y, w, h = example.bbox
        inside = (joints >= [x - 8, y - 8]).all(axis=1) & (joints <= [x + w + 8, y + h + 8]).all(
            axis=1
        )
        assert inside.mean() > 0.8
