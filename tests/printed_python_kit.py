"""Small packed sets under the names that documents use, for Python that is printed somewhere."""

import cv2
import deltacamera
import numpy as np
from fingerprints_kit import picture

from posepile.ds import load_recipe
from posepile.imaging import fingerprints, jpeg
from posepile.imaging.pictures import ArrayFrame
from posepile.miniature.kit import look_at
from posepile.store import codec, packing, parts

W, H = 128, 96
# Dataset -> ids of its sequences by split; those of stills are names of folders.
SEQUENCES = {
    "aspset": {
        "train": [f"trainval/{s}/{s}-0001-{v}" for s in ("04ac", "4d9e") for v in ("left", "mid")],
        "val": ["trainval/1e28/1e28-0001-left"],
    },
    "h36m": {"train": ["S1/Walking/54138969"], "test": ["S9/Walking/54138969"]},
    "panoptic": {
        "train": [f"171204_pose1/hd_00_{v:02d}" for v in range(3)],
        "val": ["171204_pose2/hd_00_00"],
    },
    "coco": {"train": ["train2017"], "val": ["val2017"]},
    "mpii": {"train": ["images"]},
    "aic": {"train": ["train"], "val": ["images"]},
    "crowdpose": {"train": ["others"]},
}
FRAMES = 6
OTHERS = {"images": 200, "others": 300, "val2017": 100}  # seeds of pictures; MPII's are AIC's


def make_sets(root):
    """Packs all of them below a ``DATA_ROOT``."""
    for name, splits in SEQUENCES.items():
        spec = load_recipe(name).SPEC
        paths = []
        for split, sequences in splits.items():
            for sequence in sequences:
                path = root / f"{name}_work" / "parts" / f"{len(paths):03d}.part"
                with parts.PartWriter(path) as writer:
                    for frame in range(FRAMES):
                        image = picture(OTHERS.get(sequence, 0) + frame, W, H)
                        record = make_record(spec, split, sequence, frame, image)
                        writer.add(record, jpeg.encode(image, 90))
                paths.append(path)
        packing.pack(paths, root / f"{name}.barecat", spec, {"sources": []})


def make_record(spec, split, sequence, frame, image):
    """One person in the middle of the picture, the same at an instant in all views."""
    rng = np.random.default_rng(frame)
    n = spec.joint_info.n_joints
    fields = {
        "image_path": f"{spec.image_dir}/{sequence}/{frame:06d}.jpg",
        "split": split,
        "bbox": np.float32([40, 20, 48, 60]),
        "imshape": (H, W),
        "frame": frame,
        "person": 0,
        "track": 0,
        "sequence": sequence,
        "activity": "walking" if frame < FRAMES // 2 else "running",
    }
    if spec.kind == "2d":
        fields["coords2d"] = rng.uniform((45, 25), (80, 75), (n, 2)).astype(np.float32)
        fields["fingerprint"] = fingerprints.of_frame(ArrayFrame(image))
        return codec.Record(**fields)
    middle = 4000 * np.roll(np.abs(spec.world_up), 1)
    coords = middle + rng.uniform(-300, 300, (n, 3))
    fields["world_coords"] = coords.astype(np.float32)
    fields["camera"] = deltacamera.Camera(
        rot_world_to_cam=look_at(np.zeros(3), middle, spec.world_up)[0],
        optical_center=np.zeros(3),
        intrinsic_matrix=[[250, 0, W / 2 - 0.5], [0, 250, H / 2 - 0.5], [0, 0, 1]],
        world_up=spec.world_up,
    )
    mask = np.zeros((H, W), np.uint8)
    cv2.ellipse(mask, (64, 50), (20, 28), 0, 0, 360, 1, -1)
    return codec.Record(**fields, mask=rle(mask))


def rle(mask):
    """A mask as COCO's compressed run lengths."""
    from pycocotools import mask as coco

    return coco.encode(np.asfortranarray(mask))
