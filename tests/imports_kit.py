"""Small datasets in the formats of others, with known content."""

import io
import json
import pickle
import tarfile

import cv2
import deltacamera
import numpy as np

NAMES = (
    "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow "
    "right_elbow left_wrist right_wrist left_hip right_hip left_knee right_knee left_ankle "
    "right_ankle"
).split()
OWN = (
    "nose leye reye lear rear lsho rsho lelb relb lwri rwri lhip rhip lkne rkne lank rank"
).split()
SIZE = (64, 48)  # width, height


def picture(i=0, size=SIZE):
    image = np.full((size[1], size[0], 3), (i * 37) % 200 + 20, np.uint8)
    cv2.circle(image, (size[0] // 2, size[1] // 2), 9, (0, 200, i % 256), -1)
    return cv2.imencode(".jpg", image)[1].tobytes()


def camera(i=0, moved=True):
    return deltacamera.Camera(
        rot_world_to_cam=cv2.Rodrigues(np.array([0.1 * i, 0.2, -0.1]))[0],
        optical_center=[100.0 * i, -1200, -4000] if moved else [0, 0, 0],
        intrinsic_matrix=[[60, 0, 31.5], [0, 60, 23.5], [0, 0, 1]],
        world_up=(0, -1, 0),
    )


def pose(i, n=17):
    """Joints of a person of 1.7 m before :func:`camera`, ``[n, 3]`` mm."""
    rng = np.random.default_rng(i)
    cam = camera(i)
    own = rng.uniform([-500, -850, 3500], [500, 850, 4200], (n, 3))
    own[0, 1], own[-1, 1] = -850, 850
    return cam.camera_to_world(own.astype(np.float32)).astype(np.float32)


def write_pictures(folder, names):
    for i, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(i))


def tar(path, members):
    """Writes a shard: [(name, bytes)]."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as f:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            f.addfile(info, io.BytesIO(data))


# ---------------------------------------------------------------- COCO


def coco(root, n=6, people=2, names=NAMES):
    """An annotation file of n pictures; returns its path and what it says, by annotation id."""
    rng = np.random.default_rng(0)
    images, annotations, known = [], [], {}
    for i in range(n):
        image = {"id": i + 1, "file_name": f"train/{i:03d}.jpg", "width": 64, "height": 48}
        images.append(image)
        for _ in range(people):
            points = rng.uniform(2, 45, (len(names), 2)).round(1)
            seen = rng.integers(0, 3, len(names))
            seen[0] = 2
            points[seen == 0] = 0
            number = len(annotations) + 1
            x, y, w, h = 4.0, 5.0, 30.0 + i, 40.0
            corners = [x, y, x + w, y, x + w, y + h, x, y + h]
            annotations.append(
                {
                    "id": number, "image_id": i + 1, "category_id": 1, "iscrowd": 0,
                    "bbox": [x, y, w, h], "area": w * h, "segmentation": [corners],
                    "num_keypoints": int((seen > 0).sum()),
                    "keypoints": [float(v) for p, s in zip(points, seen, strict=True)
                                  for v in (*p, s)],
                }
            )  # fmt: skip
            known[number] = (image["file_name"], np.where(seen[:, None] > 0, points, np.nan))
    crowd = {**annotations[0], "id": len(annotations) + 1, "iscrowd": 1, "segmentation": []}
    nobody = {**annotations[0], "id": len(annotations) + 2, "keypoints": [0] * 3 * len(names)}
    content = {
        "info": {"year": 2020},
        "images": images,
        "annotations": [*annotations, crowd, nobody],
        "categories": [
            {"id": 1, "name": "person", "keypoints": names, "skeleton": [[6, 8], [8, 10]]},
            {"id": 2, "name": "dog"},
        ],
    }
    write_pictures(root / "images", [image["file_name"] for image in images])
    path = root / "person_keypoints_train2020.json"
    path.write_text(json.dumps(content))
    return path, known


# ---------------------------------------------------------------- HumanData


def human_data(path, n=8, *, compressed=False, **overrides):
    """A file of n rows with 5 joints, in metres in the axes of the camera; returns the arrays."""
    rng = np.random.default_rng(1)
    points = np.ones((n, 5, 3), np.float32)
    points[..., :2] = rng.uniform(1, 45, (n, 5, 2))
    points[0, 3, 2] = 0
    joints = np.ones((n, 5, 4), np.float32)
    joints[..., :3] = rng.uniform([-0.5, -0.9, 3.5], [0.5, 0.9, 4.2], (n, 5, 3))
    mask = np.uint8([1, 1, 1, 1, 1])
    data = {
        "image_path": [f"seq/{i // 2:03d}.jpg" for i in range(n)],
        "bbox_xywh": np.float32([[3, 4, 30, 40, 1]] * n),
        "config": "toy",
        "keypoints2d": points,
        "keypoints2d_mask": mask,
        "keypoints3d": joints,
        "keypoints3d_mask": mask,
        "smpl": {
            "global_orient": rng.normal(size=(n, 3)).astype(np.float32),
            "body_pose": rng.normal(size=(n, 23, 3)).astype(np.float32),
            "betas": rng.normal(size=(n, 10)).astype(np.float32),
            "transl": rng.normal(size=(n, 3)).astype(np.float32),
        },
        "meta": {"gender": ["m", "f"] * (n // 2)},
        "__key_strict__": False,
        "__temporal_len__": n,
        "__keypoints_compressed__": False,
        **overrides,
    }
    if compressed:
        data["__keypoints_compressed__"] = True
        for name in ("keypoints2d", "keypoints3d"):
            data[f"{name}_mask"] = np.uint8([1, 0, 1, 1, 0, 1, 1])
    write_pictures(path.parent / "images", sorted(set(data["image_path"])))
    np.savez_compressed(path, **{k: np.array(v, object) if isinstance(v, dict) else v
                                 for k, v in data.items()})  # fmt: skip
    return data


# ---------------------------------------------------------------- WebDataset


def sam3d(path, n=6, people=2, *, shift=True):
    """A shard as SAM 3D Body's script writes it; returns the 3D points in mm by (key, person)."""
    members, known = [], {}
    for i in range(n):
        annotations = []
        for person in range(people):
            rng = np.random.default_rng([i, person])
            joints = rng.uniform([-0.5, -0.9, -0.3], [0.5, 0.9, 0.3], (70, 3))
            trans = np.array([0.1 * person, 0, 4.0])
            placed = joints + trans
            cam = np.array([[60, 0, 31.5], [0, 60, 23.5], [0, 0, 1.0]])
            seen = placed @ cam.T
            points = np.concatenate([seen[:, :2] / seen[:, 2:], np.ones((70, 1))], axis=1)
            points[5, 2] = 0
            given = joints if shift else placed
            annotations.append(
                {
                    "person_id": person,
                    "keypoints_2d": points,
                    "keypoints_3d": np.concatenate([given, np.ones((70, 1))], axis=1),
                    "proto_params": {
                        "global_rot": np.zeros(3), "body_pose_params": np.full(133, 0.5),
                        "hand_pose_params": np.zeros(108), "scale_params": np.zeros(28),
                        "shape_params": np.arange(45.0), "expr_params": np.zeros(72),
                    },
                    "proto_valid": person == 0,
                    "bbox": np.array([5.0, 6, 35, 46]), "bbox_format": "xyxy", "bbox_score": 1.0,
                    "center": np.array([20.0, 26]), "scale": np.array([30.0, 40]),
                    "metadata": {"cam_trans": trans, "cam_int": cam, "loss": 0.0},
                }
            )  # fmt: skip
            known[f"coco-{i:03d}", person] = placed * 1000
        members += [
            (f"coco-{i:03d}.jpg", picture(i)),
            (f"coco-{i:03d}.metadata.json", b'{"width": 64, "height": 48}'),
            (f"coco-{i:03d}.annotation.pyd", pickle.dumps(annotations)),
        ]
    tar(path, members)
    return known


def hmr2(path, n=6):
    """A shard as 4D-Humans has it."""
    members = []
    for i in range(n):
        rng = np.random.default_rng(i)
        points = np.concatenate([rng.uniform(2, 45, (44, 2)), np.ones((44, 1))], axis=1)
        person = {
            "keypoints_2d": points.astype(np.float32), "keypoints_3d": np.zeros((44, 4)),
            "center": np.array([30.0, 22.0]), "scale": np.array([0.1, 0.2]),
            "body_pose": np.full(72, 0.1, np.float32), "has_body_pose": np.array(1.0),
            "betas": np.arange(10.0), "has_betas": np.array(1.0), "extra_info": {},
        }  # fmt: skip
        members += [
            (f"aic/{i:02d}.jpg", picture(i)),
            (f"aic/{i:02d}.data.pyd", pickle.dumps([person])),
        ]
    tar(path, members)
