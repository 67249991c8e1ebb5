"""A tiny DensePose-COCO: annotations, template of charts, and COCO's photographs of 2014.

People without dense labels, with a list of no points, with too few joints or too few of the
limbs; points within faces of the charts, on the cut between two parts and outside of every face;
a box with fractions, and one that leaves the picture, to both of which points refer.
"""

from __future__ import annotations

from pathlib import Path

from posepile.miniature import dense, truth, writers
from posepile.miniature.photos import COCO_NAMES, COCO_PERSON, Album, Sitter, photo_figure

FIGURE = photo_figure(COCO_NAMES)
LABELLED = [5, 6, 7, 11, 12, 13, 14]  # joints on which there are points
CUT = [2] * 8 + [0, 2, 0] + [2] * 6  # the right arm is outside of the picture
NINE = [2, 0, 0, 0, 0, 2, 2, 2, 2, 1, 2, 1, 0, 1, 0, 0, 0]  # labelled; 6 are visible, 8 of limbs
SIX = [2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 0, 0, 0, 0, 0, 0]  # of limbs, of 11 labelled
FEW = [2, 0, 0, 0, 0, 2, 2, 2, 2, 0, 2, 1, 0, 1, 0, 0, 0]
NO_FIELDS, NO_POINTS = {("train", 9, 1)}, {("train", 25, 1)}  # phase, photograph, person
PHOTOS = (  # phase, split, folder, id, size, people
    ("train", "train", "train2014", 9, (520, 400), [Sitter(130), Sitter(380, kept=False)]),
    ("train", "train", "train2014", 25, (660, 400), [
        Sitter(68, v=CUT, mask="compressed"), Sitter(300, kept=False), Sitter(530, v=NINE),
    ]),
    ("valminusminival", "train", "val2014", 73, (740, 400), [
        Sitter(120, v=SIX, kept=False), Sitter(360), Sitter(610, v=FEW, kept=False),
    ]),
    ("minival", "val", "val2014", 42, (330, 400), [Sitter(150)]),
)  # fmt: skip


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses and scenes."""
    root, album, points = Path(root), Album(FIGURE, seed + 1), {}
    sequences, contents = {}, {}
    for phase, split, folder, id, size, people in PHOTOS:
        name = f"COCO_{folder}_{id:012d}"
        photo = album.take(name, id, size, people, file_name=f"{name}.jpg")
        writers.write_jpeg(root / "coco" / folder / f"{name}.jpg", photo.image, 97)
        content = album.content(name, COCO_PERSON)
        for told in content["annotations"]:
            shot = photo.shots[i := told["id"] - photo.first]
            x, y, w, h = told["bbox"]
            outside = 9.5 if x == 0 else 0.5
            told["bbox"] = [x - outside, y - 0.25, w + outside + 0.75, h + 0.5]
            if (phase, id, i) in NO_FIELDS:
                continue
            fields, known = dense.label_points(shot.points[LABELLED], told["bbox"])
            if (phase, id, i) in NO_POINTS:
                fields |= {key: [] for key in fields if key != "dp_masks"}
            elif people[i].kept:
                points[told["id"]] = known
            told.update(fields)
        whole = contents.setdefault(phase, {key: [] for key in content})
        whole |= {key: whole[key] + content[key] for key in ("images", "annotations")}
        whole["categories"] = [COCO_PERSON]
        # Two phases share a folder, so that a photograph is a sequence.
        kept = {str(photo.first + i): i for i, sitter in enumerate(people) if sitter.kept}
        examples = [(0, i) for i in kept.values()]
        sequences[f"{folder}/{name}"] = truth.SequenceTruth(split, examples, id, kept)
    for phase, content in contents.items():
        writers.write_json(root / f"DensePose_COCO/densepose_coco_2014_{phase}.json", content)
    dense.write_charts(root / "UV_data/UV_Processed.mat")
    pattern = r"/(?P<sequence>\w+/\w+)_(?P<person>\d+)\.jpg$"
    more = {"n_people": 3, "raw_masks": True, "facts": {"points": points}}
    truth.write_truth(root, truth.make_truth(FIGURE, pattern, sequences, **more))
