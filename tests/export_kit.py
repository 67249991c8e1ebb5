"""Datasets of every kind to export, packed, and merged of all kinds."""

import archive_kit as kit
import numpy as np
import rlemasklib

from posepile.merging.merge import merge_datasets
from posepile.store import packing, parts
from posepile.store.opening import open_dataset

_PIXELS = (np.arange(16 * 24).reshape(16, 24) % 7 < 3).astype(np.uint8)
MASK = {"size": [16, 24], "counts": rlemasklib.encode(_PIXELS)["counts"]}
MASKED_PIXELS = _PIXELS


def _pack(root, name, records, kind, images):
    with parts.PartWriter(root / f"{name}_work" / "parts" / "000.part") as writer:
        for i, record in enumerate(records):
            writer.add(record, kit.jpeg(images[i]))
    packing.pack([writer.path], root / f"{name}.barecat", kit.spec(name, kind), {"sources": []})
    return open_dataset(f"{name}.barecat")


def make_3d(root, name="toy"):
    """Twelve examples of two splits with cameras, one of which has a lens, and masks."""
    records = []
    for split in ("train", "val"):
        own = [kit.record(name, split, split == "val", i) for i in range(6)]
        with parts.PartWriter(root / f"{name}_work" / "parts" / f"{split}.part") as writer:
            for i, record in enumerate(own):
                if record.mask is not None:
                    record.mask = dict(MASK)
                record.world_coords[:, 2] += 0.001  # not what a float16 could hold
                if i == 4:
                    record.camera = _with_lens(record.camera)
                    record.valid_poly = np.float32([[0, 0], [20, 0.25], [20, 15]])
                writer.add(record, kit.jpeg(i))
        records += own
    paths = [root / f"{name}_work" / "parts" / f"{split}.part" for split in ("train", "val")]
    packing.pack(paths, root / f"{name}.barecat", kit.spec(name), {"sources": []})
    return open_dataset(f"{name}.barecat"), records


def _with_lens(camera):
    import deltacamera

    return deltacamera.Camera(
        rot_world_to_cam=np.asarray(camera.R),
        optical_center=np.asarray(camera.t),
        intrinsic_matrix=np.asarray(camera.intrinsic_matrix),
        world_up=np.asarray(camera.world_up),
        distortion_model=deltacamera.BrownConradyEx([0.1, -0.02, 0.001, 0.002, 0.003]),
    )


def make_2d(root, name="flat"):
    """Four people in two pictures, one of them with DensePose."""
    records = []
    for i in range(4):
        record = kit.record(name, "train", 0, i, kind="2d", person=i % 2)
        record.image_path = f"{name}_downscaled/s0/{i // 2:04d}.jpg"
        record.coords2d = np.float32([[1.5, 2], [np.nan, np.nan], [30, 3], [4, 5.25], [6, 7]]) + i
        if record.mask is not None:
            record.mask = dict(MASK)
        records.append(record)
    records[0].densepose = (
        np.float32([[1, 2], [3, 4]]), np.uint16([5, 6]), np.float32([[0.5, 0.25, 0.25]] * 2),
    )  # fmt: skip
    return _pack(root, name, records, "2d", [i // 2 for i in range(4)]), records


def make_parametric(root, name="body"):
    """Three examples with SMPL-X and SMPL parameters."""
    records = []
    for i in range(3):
        rng = np.random.default_rng(i)
        n = 55 if i < 2 else 24
        parameters = {
            "type": "smplx" if i < 2 else "smpl",
            "gender": "female",
            "pose": rng.normal(size=3 * n).astype(np.float32),
            "shape": rng.normal(size=10).astype(np.float32),
            "trans": rng.normal(size=3).astype(np.float32),
        }
        records.append(
            kit.record(name, "train", 0, i, parameters=parameters, world_coords=None, mask=None)
        )
    return _pack(root, name, records, "parametric", range(3)), records


def make_mix(root):
    """All three, merged; and the records by image path and person."""
    three, r3 = make_3d(root)
    two, r2 = make_2d(root)
    body, rb = make_parametric(root)
    records = {(r.image_path, r.person): r for r in (*r3, *r2, *rb)}
    return merge_datasets({"toy": three, "flat": two, "body": body}), records


def own_joints(dataset, name):
    """Numbers in the merged skeleton of a dataset's joints, by their names."""
    return [dataset.joint_info.ids[f"{joint}_{name}"] for joint in kit.JOINTS.names]


def name_of(record):
    return record.image_path.split("_")[0]


def in_picture(record):
    """Pixels of a record's joints by the textbook; None where a lens bends them."""
    camera = record.camera
    if camera.has_distortion():
        return None
    seen = (record.world_coords - np.asarray(camera.t)) @ np.asarray(camera.R).T
    with np.errstate(invalid="ignore"):
        seen[~(seen[:, 2] > 0)] = np.nan
    flat = seen / seen[:, 2:] @ np.asarray(camera.intrinsic_matrix).T
    return flat[:, :2]


def image_of(record):
    number = record.frame // 2 if name_of(record) == "flat" else record.frame
    return kit.jpeg(number)


def check_plain(example, record, dataset):
    """Compares the JSON of an example with what was packed, number by number."""
    name = name_of(record)
    ids = own_joints(dataset, name)
    assert example["dataset"] == name and example["sequence"] == record.sequence
    assert (example["frame"], example["person"]) == (record.frame, record.person)
    assert example["imshape"] == [16, 24] and example["split"] == record.split
    assert np.array_equal(np.float32(example["bbox"]), record.bbox)
    for key, unit, coords in (
        ("joints3d", "mm", record.world_coords),
        ("joints2d", "px", record.coords2d),
    ):
        if coords is None:
            assert key not in example
            continue
        there = np.isfinite(coords).all(axis=1)
        assert example[key]["ids"] == [i for i, has in zip(ids, there, strict=True) if has]
        assert np.array_equal(np.float32(example[key][unit]), coords[there])
    if record.camera is None:
        assert "camera" not in example
    else:
        assert np.array_equal(np.float32(example["camera"]["R"]), np.asarray(record.camera.R))
        assert np.array_equal(np.float32(example["camera"]["centre_mm"]), record.camera.t)
        assert ("distortion" in example["camera"]) == record.camera.has_distortion()
    assert ("mask" in example) == (record.mask is not None)
    if record.parameters is not None:
        pose = np.float32(example["parameters"]["pose"])
        assert np.array_equal(pose, record.parameters["pose"])
    if record.densepose is not None:
        assert np.array_equal(example["densepose"]["i_faces"], record.densepose[1])
