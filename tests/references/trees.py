"""Small raw trees of 3DHP and MuPoTS, and all 87 tracks of 3DPW, for tests of references."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from references.common import dump_pickle, load_pickle

TRACKS = 87


def write_tdhp(root: Path, seed: int = 0, frames: int = 5) -> None:
    """Writes the annotations of TS1..TS6; every sequence has a frame that is not valid."""
    import h5py

    rng = np.random.default_rng(seed)
    for number in range(1, 7):
        n = frames + number
        # Whole numbers, or halves: an error of exactly 150 mm stays one.
        pose = np.round(rng.normal(0, 300, (n, 1, 17, 3))) + np.array([0.0, 0, 4000])
        valid = np.ones((n, 1))
        valid[number % n] = 0
        folder = Path(root) / f"TS{number}"
        folder.mkdir(parents=True)
        with h5py.File(folder / "annot_data.mat", "w") as f:
            f["annot2"] = rng.uniform(0, 2000, (n, 1, 17, 2))
            f["annot3"], f["univ_annot3"] = pose, 0.5 * pose
            f["valid_frame"] = valid
            f["activity_annotation"] = rng.integers(1, 8, (n, 1)).astype(float)


def write_mupots(root: Path, seed: int = 0, frames: int = 2) -> None:
    """Writes the annotations of TS1..TS20: up to three people, one of them not valid."""
    from scipy.io import savemat

    rng = np.random.default_rng(seed)
    for number in range(1, 21):
        n_people = 1 + number % 3
        annotations = np.empty((frames, n_people), object)
        for frame in range(frames):
            for person in range(n_people):
                pose = rng.normal(0, 300, (3, 17)) + np.array([[900.0 * person], [0], [4000]])
                points = 1000 * pose[:2] / pose[2] + 500
                annotations[frame, person] = {
                    "annot2": points,
                    "annot3": pose,
                    "univ_annot3": 0.95 * pose,
                    "isValidFrame": float((frame, person) != (0, 1)),
                }
        folder = Path(root) / f"TS{number}"
        folder.mkdir(parents=True)
        savemat(folder / "annot.mat", {"annotations": annotations})


def write_tdpw_tracks(root: Path, miniature: Path, frames: int = 2) -> None:
    """Writes 60 sequences with 87 people, each some frames of a sequence of the miniature."""
    root, made = Path(root), 0
    (root / "sequenceFiles").mkdir(parents=True)
    (root / "body_models").symlink_to(Path(miniature) / "body_models")
    (source,) = sorted((Path(miniature) / "sequenceFiles" / "train").glob("*.pkl"))
    content = load_pickle(source)
    per_person = [key for key, value in content.items() if isinstance(value, list)]
    for number in range(60):
        split = ("train", "validation", "test")[number % 3]
        name = f"made_up_{number:02d}"
        people = [0, 1] if number < TRACKS - 60 else [number % 2]
        chosen = {"sequence": name}
        for key in per_person:
            if content[key]:
                values = [content[key][p] for p in people]
                timed = np.ndim(values[0]) > 0 and len(values[0]) == len(content["cam_poses"])
                chosen[key] = [v[2 : 2 + frames] for v in values] if timed else values
        chosen["cam_poses"] = content["cam_poses"][2 : 2 + frames]
        chosen["cam_intrinsics"] = content["cam_intrinsics"]
        chosen["img_frame_ids"] = 2 * np.arange(frames)
        made += len(people)
        dump_pickle(root / "sequenceFiles" / split / f"{name}.pkl", chosen)
    assert made == TRACKS


def write_emdb_walks(root: Path, miniature: Path, seed: int = 0) -> None:
    """Writes two sequences of EMDB 2, of 104 and 19 frames: now and then somebody stands still."""
    root, rng = Path(root), np.random.default_rng(seed)
    root.mkdir(parents=True)
    (root / "body_models").symlink_to(Path(miniature) / "body_models")
    for person, name, gender, n in (
        ("P0", "09_outdoor_walk", "male", 104),
        ("P2", "19_indoor_walk_off_mvs", "female", 19),
    ):
        still = np.repeat(rng.random(n // 8 + 1) < 0.4, 8)[:n, None]
        pose = np.cumsum(np.where(still, 0.0001, 0.02) * rng.normal(0, 1, (n, 72)), axis=0)
        step = np.where(still, 0.0005, 0.03) * rng.normal(1, 0.3, (n, 3))
        extrinsics = np.tile(np.diag([1.0, -1, -1, 1]), (n, 1, 1))
        extrinsics[:, 2, 3] = 4
        content = {
            "gender": gender,
            "name": f"{person}_{name}",
            "emdb1": False,
            "emdb2": True,
            "n_frames": n,
            "good_frames_mask": rng.random(n) < 0.97,
            "camera": {
                "intrinsics": np.array([[900.0, 0, 360], [0, 900, 480], [0, 0, 1]]),
                "extrinsics": extrinsics,
                "width": 720,
                "height": 960,
            },
            "smpl": {
                "poses_root": pose[:, :3],
                "poses_body": pose[:, 3:],
                "trans": np.cumsum(step, axis=0),
                "betas": rng.normal(0, 0.6, 10),
            },
            "kp2d": np.zeros((n, 24, 2)),
            "bboxes": {"bboxes": np.zeros((n, 4)), "invalid_idxs": np.zeros(0, int)},
        }
        dump_pickle(root / person / name / f"{person}_{name}_data.pkl", content)


def write_coco(root: Path, seed: int = 0, images: int = 25) -> None:
    """Writes the annotations of photographs with people of all sizes, hidden, and in crowds."""
    import json

    rng, content = np.random.default_rng(seed), {"images": [], "annotations": []}
    content["categories"] = [{"id": 1, "name": "person", "keypoints": [], "skeleton": []}]
    for image in range(images):
        size = {"width": 640, "height": 480}
        content["images"].append(
            {"id": 100 - image, "file_name": f"{100 - image:012d}.jpg", **size}
        )
        for _ in range(int(rng.integers(0, 5))):
            w, h = rng.uniform(10, 250, 2)
            x, y = rng.uniform(0, 640 - w), rng.uniform(0, 480 - h)
            visible = rng.choice([0, 1, 2], 17, p=[0.3, 0.2, 0.5])
            crowd = int(rng.random() < 0.1)
            visible = visible * (1 - crowd) * int(rng.random() < 0.9)
            points = np.stack([rng.uniform(x, x + w, 17), rng.uniform(y, y + h, 17)], axis=1)
            points = np.where(visible[:, None] > 0, np.round(points), 0)
            box = [x, y, x + w, y, x + w, y + h, x, y + h]
            rle = {"size": [480, 640], "counts": [0, 480 * 640]}
            content["annotations"].append(
                {
                    "id": len(content["annotations"]) + 1,
                    "image_id": 100 - image,
                    "category_id": 1,
                    "iscrowd": crowd,
                    "bbox": [x, y, w, h],
                    "area": w * h * rng.uniform(0.3, 0.8),
                    "keypoints": np.hstack([points, visible[:, None]])
                    .astype(int)
                    .ravel()
                    .tolist(),
                    "num_keypoints": int((visible > 0).sum()),
                    "segmentation": rle if crowd else [box],
                }
            )
    folder = Path(root) / "annotations"
    folder.mkdir(parents=True)
    (folder / "person_keypoints_val2017.json").write_text(json.dumps(content))


def write_crowdpose(root: Path, seed: int = 0, images: int = 25) -> None:
    """Writes the annotations of crowded photographs, also of people without limb joints."""
    import json

    rng, content = np.random.default_rng(seed), {"images": [], "annotations": []}
    content["categories"] = [{"id": 1, "name": "person", "keypoints": [], "skeleton": [[16, 14]]}]
    for image in range(images):
        number = 119000 - 7 * image
        facts = {"file_name": f"{number}.jpg", "id": number, "height": 480, "width": 640}
        index = float([0.05, 0.1, 0.15, 0.2, 0.5, 0.8, 1.2][image % 7])
        content["images"].append({**facts, "crowdIndex": index})
        for _ in range(int(rng.integers(0, 5))):
            w, h = rng.uniform(10, 250, 2)
            x, y = rng.uniform(0, 640 - w), rng.uniform(0, 480 - h)
            labelled = rng.random(14) < 0.7
            crowd = int(rng.random() < 0.1)
            labelled[:12] &= rng.random() < 0.8
            labelled &= not crowd
            points = np.stack([rng.uniform(x, x + w, 14), rng.uniform(y, y + h, 14)], axis=1)
            points = np.where(labelled[:, None], np.round(points), 0)
            visibility = labelled * np.r_[rng.integers(1, 3, 12), 1, 1]
            content["annotations"].append(
                {
                    "num_keypoints": int(labelled[:12].sum()),
                    "iscrowd": crowd,
                    "keypoints": np.hstack([points, visibility[:, None]])
                    .astype(int)
                    .ravel()
                    .tolist(),
                    "image_id": number,
                    "bbox": [round(value, 2) for value in (x, y, w, h)],
                    "category_id": 1,
                    "id": 120000 + len(content["annotations"]),
                }
            )
    folder = Path(root) / "json"
    folder.mkdir(parents=True)
    (folder / "crowdpose_test.json").write_text(json.dumps(content))


def write_wholebody(root: Path, seed: int = 0, images: int = 15) -> None:
    """Writes the annotations of people of all sizes with some, all or none of their parts."""
    import json

    from references.wholebody import PARTS

    rng, content = np.random.default_rng(seed), {"images": [], "annotations": []}
    content["categories"] = [{"id": 1, "name": "person", "keypoints": [], "skeleton": []}]
    for image in range(900, 900 - images, -1):
        facts = {"file_name": f"{image:012d}.jpg", "id": image, "height": 480, "width": 640}
        content["images"].append(facts)
        for _ in range(int(rng.integers(0, 5))):
            w, h = rng.uniform(10, 250, 2)
            x, y = rng.uniform(0, 640 - w), rng.uniform(0, 480 - h)
            crowd = int(rng.random() < 0.1)
            person = {"id": 1 + len(content["annotations"]), "image_id": image, "category_id": 1}
            person |= {"iscrowd": crowd, "bbox": [x, y, w, h], "segmentation": []}
            person["area"] = w * h * rng.uniform(0.3, 0.8)
            for part, (key, n, _) in PARTS.items():
                valid = not crowd and rng.random() < 0.7
                # Visibility is any number of faces and hands, a valid foot may lack points.
                v = rng.choice([0, 1, 2] if n < 20 else [0.3, 1, 2], n) * valid
                points = np.stack([rng.uniform(x, x + w, n), rng.uniform(y, y + h, n), v], axis=1)
                person[key] = np.where(v[:, None] > 0, np.round(points, 1), 0).ravel().tolist()
                if part == "body":
                    person["num_keypoints"] = int((v > 0).sum())
                else:
                    person[f"{part}_valid"] = bool(valid)
            content["annotations"].append(person)
    Path(root).mkdir(parents=True, exist_ok=True)
    (Path(root) / "coco_wholebody_val_v1.0.json").write_text(json.dumps(content))


def write_posetrack(root: Path, seed: int = 0, videos: int = 3, frames: int = 6) -> None:
    """Writes validation labels: crowded frames with ignored regions, and frames without labels."""
    import json

    from references.posetrack import SLOTS

    rng = np.random.default_rng(seed)
    folder = Path(root) / "posetrack_data" / "annotations" / "val"
    folder.mkdir(parents=True)
    for number in range(1, videos + 1):
        name = f"{number:06d}_mpii_test"
        content = {"images": [], "annotations": []}
        content["categories"] = [{"id": 1, "name": "person", "keypoints": SLOTS, "skeleton": []}]
        for frame in range(frames):
            image = 10_000_000_000 + number * 10_000 + frame
            facts = {"id": image, "frame_id": image, "vid_id": f"{number:06d}", "nframes": frames}
            facts |= {"file_name": f"images/val/{name}/{frame:06d}.jpg"}
            facts |= {"is_labeled": frame % 3 != 2, "ignore_regions_x": [], "ignore_regions_y": []}
            if frame % 2:
                facts["ignore_regions_x"] = [[0, 150, 90, 20], [300, 400, 380]]
                facts["ignore_regions_y"] = [[0, 10, 140, 200], [250, 240, 400]]
            content["images"].append(facts)
            for track in range(int(rng.integers(1, 5)) if facts["is_labeled"] else 0):
                corner, size = rng.uniform(0, 300, 2), rng.uniform(40, 150, 2)
                points = np.round(corner + size * rng.random((17, 2)), 1)
                visible = rng.random(17) < (0.75 if track else 0.2)
                visible[3:5] = False
                rows = np.hstack([points, np.ones((17, 1))]) * visible[:, None]
                person = {"image_id": image, "track_id": track, "id": 100 * image + track}
                person |= {"category_id": 1, "keypoints": rows.ravel().tolist()}
                person |= {"bbox": [*corner, *size], "bbox_head": [*corner, *size / 3]}
                content["annotations"].append(person)
        (folder / f"{name}.json").write_text(json.dumps(content))
