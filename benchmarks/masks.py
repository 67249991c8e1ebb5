"""Quality of masks against annotated ones, on photographs in COCO's layout.

    python benchmarks/masks.py --coco DIR --model grabcut efficientsam_ti
    python benchmarks/masks.py --coco DIR --model '{"path": "net.onnx", "decoder": "matting"}'

Every annotated person who has a mask is cropped as the pipeline does it and segmented without the
masks of the annotation; box and joints come from there, and those of everybody else in the crop.
One JSON line per method: ``iou`` with the annotated mask, mean over the people; ``on_others``,
the share of the mask that lies on pixels annotated as somebody else, mean over the people;
``none``, how many got no mask; ``ms``, processor time per crop. ``kept`` says the same of the
people whom configs/coco.yaml keeps: large, with joints visible.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import rlemasklib

from posepile.ds.coco import main as coco
from posepile.imaging import cropping, jpeg
from posepile.imaging.frames import open_frames
from posepile.models import SegmenterFile, SegmentParams, load_segmenter
from posepile.recipe import Stills, Track
from posepile.shapes.coco import joint_coords
from posepile.shapes.coco_masks import decode_mask
from posepile.stages.people import Seen, neighbours
from posepile.stages.segment import pixels_of, skeletons

EDGES = coco.SPEC.joint_info.stick_figure_edges
N_JOINTS = coco.SPEC.joint_info.n_joints
QUALITY = 95


@dataclass
class Case:
    """A crop to be segmented, and what is right.

    Attributes:
        name: Picture and annotation.
        image: The crop as it is stored, uint8 RGB.
        box: Of the person, in the crop.
        joints: ``[17, 2]``, or None.
        others: Joints of the other people.
        taken: Pixels known to be of others, or None.
        truth: Annotated pixels of the person.
        theirs: Annotated pixels of others alone.
        kept: The person is among those that the recipe keeps.
    """

    name: str
    image: np.ndarray
    box: np.ndarray
    joints: np.ndarray | None
    others: list[np.ndarray]
    taken: np.ndarray | None
    truth: np.ndarray
    theirs: np.ndarray
    kept: bool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--coco", required=True, type=Path, help="folder with annotations/")
    parser.add_argument("--phase", default="val2017")
    parser.add_argument("--model", nargs="+", default=["grabcut"], help="names, or JSON of a file")
    parser.add_argument("--pictures", type=int, help="only the first so many pictures")
    parser.add_argument(
        "--others", choices=["joints", "masks", "none"], default="joints",
        help="what is known of others: joints and boxes, masks as well, nothing",
    )  # fmt: skip
    parser.add_argument("--people", action="store_true", help="a line for each person, too")
    parser.add_argument("--overlays", type=Path, help="folder for a picture of each mask")
    args = parser.parse_args()
    cases = list(read_cases(args.coco, args.phase, args.others, args.pictures))
    for model in args.model:
        is_file = model.startswith("{")
        chosen = SegmenterFile.model_validate_json(model) if is_file else model
        segmenter = load_segmenter(SegmentParams(model=chosen))
        print(json.dumps(measure(segmenter, cases, args)), flush=True)


def read_cases(root: Path, phase: str, known: str, n_pictures: int | None):
    """Yields a case for each annotated person with a mask who can be cropped."""
    source, _ = coco.files(root, coco.Options())[phase]
    content = json.loads(source.path.read_text())
    by_image: dict[int, list[dict]] = {}
    for person in content["annotations"]:
        by_image.setdefault(person["image_id"], []).append(person)
    for image in content["images"][:n_pictures]:
        size = image["width"], image["height"]
        people = by_image.get(image["id"], [])
        masks = [decode_mask(person["segmentation"], *size) for person in people]
        seen = [seen_as(p, m) for p, m in zip(people, masks, strict=True)]
        with open_frames(Stills((source.pictures / image["file_name"],), (size,))) as reader:
            ((_, frame),) = reader.read([0])
            for person, mask, me in zip(people, masks, seen, strict=True):
                if person["iscrowd"] or mask is None:
                    continue
                plan = cropping.plan_crop(None, me.bbox, size, cropping.CropParams())
                (drawn,) = cropping.render_many(frame, None, [plan])
                others = [] if known == "none" else seen
                if known == "joints":
                    others = [replace(other, mask=None) for other in others]
                found = neighbours([me, *others], me.who, None, plan, N_JOINTS)
                around = [
                    decoded(cropping.warp_mask(m, None, plan))
                    for m in masks
                    if m is not None and m is not mask
                ]
                truth = decoded(cropping.warp_mask(mask, None, plan))
                joints = None
                if np.isfinite(me.pixels).any():
                    joints = cropping.transform_points(me.pixels, None, plan)
                yield Case(
                    f"{image['id']:012d}_{person['id']}",
                    jpeg.decode(jpeg.encode(drawn, QUALITY), name="crop"),
                    plan.bbox,
                    joints,
                    skeletons(found),
                    pixels_of(found),
                    truth,
                    np.any([np.zeros_like(truth), *around], axis=0) & ~truth,
                    joints is not None and coco.why_not(person, [], coco.Options()) is None,
                )


def seen_as(person: dict, mask: dict | None) -> Seen:
    """Returns what a crop of somebody else knows of an annotated person."""
    joints = joint_coords(person, N_JOINTS)
    box = None if person["iscrowd"] else np.array(person["bbox"], np.float64)
    return Seen(Track(np.arange(1)), None, joints, box, lambda: mask)


def decoded(mask: dict) -> np.ndarray:
    """Returns the pixels of a mask."""
    return rlemasklib.decode(mask).astype(bool)


def measure(segmenter, cases: list[Case], args: argparse.Namespace) -> dict:
    """Segments all cases and returns the line of a method."""
    scores, used = [], 0.0
    for case in cases:
        start = time.process_time()
        mask = segmenter(case.image, case.box, case.joints, case.others, EDGES, taken=case.taken)
        used += time.process_time() - start
        found = np.zeros_like(case.truth) if mask is None else decoded(mask)
        scores.append((iou(found, case.truth), share(found, case.theirs), found.any(), case.kept))
        if args.people:
            line = {"person": case.name, "kept": case.kept, "mask": bool(found.any())}
            line |= {"iou": round(scores[-1][0], 3), "on_others": round(scores[-1][1], 3)}
            print(json.dumps(line), flush=True)
        if args.overlays:
            args.overlays.mkdir(parents=True, exist_ok=True)
            name = f"{case.name}_{segmenter.label.partition('@')[0]}.png"
            cv2.imwrite(str(args.overlays / name), overlay(case, found)[..., ::-1])
    table = np.array(scores, float).reshape(-1, 4)
    ms = round(1000 * used / max(1, len(cases)), 1)
    line = {"benchmark": "masks", "model": segmenter.label, "others": args.others}
    return line | summary(table) | {"kept": summary(table[table[:, 3] > 0]), "ms": ms}


def summary(scores: np.ndarray) -> dict:
    """Returns means over the people who got a mask, and how many there are."""
    found = scores[scores[:, 2] > 0]
    if not len(found):
        return {"people": len(scores), "none": len(scores)}
    return {
        "people": len(scores),
        "none": len(scores) - len(found),
        "iou": round(float(found[:, 0].mean()), 3),
        "iou_median": round(float(np.median(found[:, 0])), 3),
        "on_others": round(float(found[:, 1].mean()), 3),
    }


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Returns the intersection of two masks over their union."""
    return float((a & b).sum() / max(1, (a | b).sum()))


def share(mask: np.ndarray, of: np.ndarray) -> float:
    """Returns the share of a mask that lies on another."""
    return float((mask & of).sum() / max(1, mask.sum()))


def overlay(case: Case, found: np.ndarray) -> np.ndarray:
    """Returns the crop with the mask in green, the annotated outline in white, bones in red."""
    image = case.image.copy()
    image[found] = image[found] // 2 + np.array([0, 110, 0], np.uint8)
    for mask, color in ((case.truth, (255, 255, 255)), (case.theirs, (255, 200, 0))):
        lines, _ = cv2.findContours(
            mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(image, lines, -1, color, 1)
    for joints, color in ((case.joints, (255, 0, 0)), *((o, (0, 0, 255)) for o in case.others)):
        for point in joints[np.isfinite(joints).all(axis=-1)] if joints is not None else ():
            cv2.circle(image, tuple(point.round().astype(int).tolist()), 3, color, -1)
    return image


if __name__ == "__main__":
    main()
