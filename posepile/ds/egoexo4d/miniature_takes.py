"""Metadata of the made-up takes: ``takes.json`` and ``splits.json`` in the released form."""

from __future__ import annotations

REPAIR, DANCE, COOK = "cmu_bike01_2", "upenn_0710_Dance_1_3", "sfu_cooking_003_1"
DROPPED, UNPOSED = "cmu_bike01_4", "iiith_soccer_01_2"
UIDS = {
    REPAIR: "0a1f0c5e-3b52-4f0e-8d0a-111111111111",
    DANCE: "4b9c2d7a-8e16-4a51-9c3b-222222222222",
    COOK: "8c7d3e91-1f24-4c68-b7ad-333333333333",
    DROPPED: "c2d4e6f8-5a3b-4d7c-a9be-444444444444",
    UNPOSED: "e3f5a7b9-6c4d-4e8f-bacf-555555555555",
}
SPLIT_OF = {REPAIR: "train", DANCE: "val", COOK: "test", DROPPED: "train", UNPOSED: "train"}
TASKS = {REPAIR: 4001, DANCE: 9003, COOK: 1005, DROPPED: 4001, UNPOSED: 8001}


def takes_json(frames: dict[str, int]) -> list[dict]:
    """``takes.json``: cameras by lab, a phone, previews, and null where the release has null."""
    exo = {
        REPAIR: ["cam01", "cam02"],
        DANCE: ["gp01", "gp02"],
        COOK: ["cam01"],
        DROPPED: ["cam01"],
        UNPOSED: ["cam01"],
    }
    result = []
    for i, (name, uid) in enumerate(UIDS.items()):
        n = frames.get(name, 6)
        videos = {c: {"0": aligned(c, "0", f"{c}.mp4")} for c in exo[name]}
        videos["aria01"] = {
            label: aligned("aria01", stream, f"aria01_{stream}.mp4")
            for label, stream in (
                ("rgb", "214-1"),
                ("slam-left", "1201-1"),
                ("slam-right", "1201-2"),
                ("et", "211-1"),
            )
        }
        videos["collage"] = {
            "0": {**aligned("collage", "0", "ego_preview.mp4"), "is_collage": True}
        }
        best = f"{exo[name][0]}.mp4" if name != DANCE else None
        videos["best_exo"] = {"0": aligned("best_exo", "0", best)}
        cameras = [device(c, False, "hero10") for c in exo[name]]
        cameras += [device("aria01", True, "aria"), device("moblie", False, "phone")]
        if name == DANCE:
            videos["gp05"] = {"0": aligned("gp05", "0", "gp05.mp4")}
            cameras.append(device("gp05", True, "hero10"))
        capture = name.rsplit("_", 1)[0]
        result.append(
            {
                "root_dir": f"takes/{name}",
                "take_name": name,
                "take_uid": uid,
                "capture_uid": f"capture-{i}",
                "participant_uid": i,
                "is_dropped": name == DROPPED,
                "objects": [],
                "task_id": TASKS[name],
                "task_name": f"Task {TASKS[name]}",
                "parent_task_id": TASKS[name] // 1000 * 1000,
                "parent_task_name": "Parent",
                "take_idx": i,
                "duration_sec": n / 30,
                "best_exo": None if name == DANCE else exo[name][0],
                "task_start_sec": None,
                "task_end_sec": None,
                "timesync_uid": i,
                "timesync_start_idx": 100,
                "timesync_end_idx": 100 + n,
                "frame_aligned_videos": videos,
                "university_id": name.split("_", maxsplit=1)[0],
                "university_name": name.split("_", maxsplit=1)[0],
                "physical_setting_uid": f"setting-{i}",
                "capture": {
                    "root_dir": f"captures/{capture}",
                    "capture_name": capture,
                    "capture_uid": f"capture-{i}",
                    "cameras": cameras,
                },
                "validated": True,
            }
        )
    return result


def aligned(camera: str, stream: str, file: str | None) -> dict:
    """Returns one entry of ``frame_aligned_videos``."""
    return {
        "cam_id": camera,
        "stream_id": stream,
        "readable_stream_id": stream,
        "clip_uid": f"{camera}-{stream}",
        "is_collage": False,
        "relative_path": None if file is None else f"frame_aligned_videos/{file}",
    }


def device(camera: str, is_ego: bool, device_type: str) -> dict:
    """Returns one entry of ``capture.cameras``."""
    return {
        "cam_id": camera,
        "is_ego": is_ego,
        "has_walkaround": False,
        "includes_audio": True,
        "device_type": device_type,
        "relative_path": f"videos/{camera}.mp4",
    }


def splits_json() -> dict:
    """``annotations/splits.json`` with its four keys."""
    by_uid = {UIDS[name]: split for name, split in SPLIT_OF.items()}
    return {
        "take_uid_to_split": by_uid,
        "split_to_take_uids": {
            s: [u for u, split in by_uid.items() if split == s] for s in ("train", "val", "test")
        },
        "take_uid_to_benchmark": {
            uid: ["ego_pose", "body_pose", "hand_pose"] if name != UNPOSED else ["keystep"]
            for name, uid in UIDS.items()
        },
        "ds": "20240101",
    }
