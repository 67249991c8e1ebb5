"""A tiny DensePose-PoseTrack: annotations, template of charts, and pictures of PoseTrack18.

Pictures have the names of 2017: folders are numbered without zeros, files from 1; the frame's
number is a field. People without dense labels, with a list of no points, with few joints; a
picture of which no person has dense labels, and one that is not there; boxes with fractions.
"""

from __future__ import annotations

from pathlib import Path

from posepile.miniature import dense, photos, truth, writers

FIGURE = photos.photo_figure(photos.POSETRACK_NAMES, without=["lear", "rear"])
LABELLED = [5, 6, 7, 11, 12, 13, 14]  # joints on which there are points
SEEN = [int("ear" not in name) for name in photos.POSETRACK_NAMES]  # v of every joint
FEW = [0] * 5 + [1] * 4 + [0] * 8
VIDEOS = (  # split, folder of 2017, of 2018, size, frames with dense labels, not there, people
    ("train", "bonn/15_bonn", "000015_bonn_train", (520, 340), range(2, 5), 3, [
        photos.Sitter(160, v=SEEN, y=150), photos.Sitter(380, v=FEW),
    ]),
    ("val", "mpii_5sec/3418_mpii", "003418_mpii_test", (660, 340), range(2), None, [
        photos.Sitter(130, v=SEEN, kept=False), photos.Sitter(330, v=SEEN, kept=False),
        photos.Sitter(530, v=SEEN),
    ]),
)  # fmt: skip
NO_FIELDS, NO_POINTS = ("val", 0), ("val", 1)  # split and person


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses and scenes."""
    root, points, sequences = Path(root), {}, {}
    for v, (split, old, new, size, labelled, missing, people) in enumerate(VIDEOS):
        content = {"images": [], "annotations": [], "categories": [photos.POSETRACK_PERSON]}
        expected = truth.SequenceTruth(split, [], 31 * v)
        lens = {"number": expected.start, "seed": seed, "names": photos.POSETRACK_ACTOR}
        for k, photo in enumerate(photos.take_photos(size, people, FIGURE, 6, **lens)):
            path = root / f"posetrack/images/{split}/{new}/{k:06d}.jpg"
            if k != missing:
                writers.write_jpeg(path, photo.image, 97)
            # As in the files with all pictures: at both ends of a clip nobody is labelled.
            image_id = 1000 * (v + 1) + k
            image = {"id": image_id, "file_name": f"images/{old}/{k + 1:08d}.jpg", "frame_id": k}
            image |= {"width": size[0], "height": size[1], "vid_id": old.split("/")[1][:-5]}
            image |= {"nframes": 6, "is_labeled": 0 < k < 5}
            image |= {"ignore_regions_x": [[0, 40, 0]], "ignore_regions_y": [[0, 0, 40]]}
            content["images"].append(image | ({} if k in labelled else {"has_no_densepose": True}))
            for i, sitter in enumerate(people if 0 < k < 5 or k in labelled else []):
                told = photo.annotation(i, 2)
                told = {
                    key: told[key] for key in ("keypoints", "num_keypoints", "bbox", "iscrowd")
                }
                x, y, w, h = told["bbox"]
                told["bbox"] = [x - 0.5, y - 0.25, w + 0.75, h + 0.5]
                id = 100 * image_id + i
                told |= {"id": id, "image_id": image_id, "track_id": 7 + i, "category_id": 1}
                if k in labelled and (split, i) != NO_FIELDS:
                    at = photo.shots[i].points[LABELLED]
                    fields, known = dense.label_points(at, told["bbox"])
                    if (split, i) == NO_POINTS:
                        fields |= {key: [] for key in fields if key != "dp_masks"}
                    told |= fields
                    if sitter.kept and k != missing:
                        points[id] = known
                        expected.examples.append((k, i))
                        expected.persons[str(id)] = i
                content["annotations"].append(told)
        sequences[f"{split}/{new}"] = expected
        file = f"densepose_posetrack_{split}2017.json"
        writers.write_json(root / "annotations/coco" / file, content)
    dense.write_charts(root / "UV_data/UV_Processed.mat")
    pattern = r"/(?P<sequence>\w+/\w+)/(?P<frame>\d{6})_(?P<person>\d+)\.jpg$"
    more = {"n_people": 3, "facts": {"points": points}}
    truth.write_truth(root, truth.make_truth(FIGURE, pattern, sequences, **more))
