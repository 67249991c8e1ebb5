"""A folder of videos with a calibration and 3D key points, in the forms that programs write.

Written from the descriptions of the formats: the toml of Anipose and Pose2Sim, storage files of
OpenCV, the pair of EasyMocap, npz, sparse models of COLMAP; c3d, trc, csv and npy.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from posepile.joint_info import JointInfo
from posepile.miniature import actor, rig, writers
from posepile.miniature.opencv_files import write_opencv_yaml
from posepile.miniature.rig import RigCamera
from posepile.miniature.shoot import Backdrop, shoot_frames
from posepile.miniature.skeleton import Figure, make_figure
from posepile.miniature.truth import SequenceTruth, frames_kept
from posepile.miniature.video import write_video
from posepile.recipe import DatasetSpec

SIZE = (960, 720)


def write_calibration(
    path: Path, cameras: Mapping[str, RigCamera], unit_mm: float = 1.0, form: str = "anipose"
) -> None:
    """Writes cameras as a program does.

    >>> camera = rig.make_camera((640, 480), (0, -4000, 1000), (0, 0, 1000), focal=500)
    >>> write_calibration(folder / "calibration.toml", {"left": camera})
    >>> (folder / "calibration.toml").read_text().splitlines()[:2]
    ['[cam_0]', 'name = "left"']

    Args:
        path: The file, or the folder of several.
        cameras: By name.
        unit_mm: Millimetres of the unit of length.
        form: ``anipose`` (one toml), ``named`` (one ``.yml``, ``.xml`` or ``.npz`` with the
            camera behind every name), ``opencv`` (a folder of ``.yml``, ``.xml`` and ``.npz``, one
            of each camera), ``easymocap`` (a folder of two), ``json``, ``colmap`` or
            ``colmap_binary``.
    """
    path = Path(path)
    if form == "anipose":
        writers.write_text(path, "\n".join(_toml(cameras, unit_mm)) + "\n")
    elif form == "json":
        writers.write_json(path, {name: _facts(c, unit_mm) for name, c in cameras.items()})
    elif form == "opencv":
        path.mkdir(parents=True, exist_ok=True)
        for k, (name, camera) in enumerate(cameras.items()):
            matrices = {
                "camera_matrix": camera.intrinsics,
                "distortion_coefficients": np.array(camera.distortion or (0.0,) * 5, ndmin=2),
                "rvec": _rotvec(camera)[:, None],
                "tvec": camera.translation[:, None] / unit_mm,
            }
            more = {"image_width": camera.size[0], "image_height": camera.size[1]}
            if k % 3 == 0:
                write_opencv_yaml(path / f"{name}.yml", more | matrices)
            elif k % 3 == 1:
                _write_xml(path / f"{name}.xml", more | matrices)
            else:
                writers.write_npz(path / f"{name}.npz", **more, **matrices)
    elif form in ("easymocap", "named"):
        intri, extri = {}, {}
        for name, camera in cameras.items():
            intri |= {f"K_{name}": camera.intrinsics}
            intri |= {f"dist_{name}": np.array(camera.distortion or (0.0,) * 5)}
            intri |= {f"H_{name}": camera.size[1], f"W_{name}": camera.size[0]}
            extri |= {f"R_{name}": _rotvec(camera)[:, None], f"Rot_{name}": camera.rotation}
            extri |= {f"T_{name}": camera.translation[:, None] / unit_mm}
        if form == "easymocap":
            write_opencv_yaml(path / "intri.yml", intri)
            write_opencv_yaml(path / "extri.yml", extri)
        elif path.suffix == ".npz":
            writers.write_npz(path, **intri, **extri)
        elif path.suffix == ".xml":
            _write_xml(path, intri | extri)
        else:
            write_opencv_yaml(path, intri | extri)
    elif form in ("colmap", "colmap_binary"):
        _write_colmap(path, cameras, unit_mm, binary=form == "colmap_binary")
    else:
        raise ValueError(form)


def write_points(
    path: Path,
    points: np.ndarray,
    labels: Sequence[str],
    rate: float = 25.0,
    unit: str = "mm",
    form: str = "",
) -> None:
    """Writes points ``[n, J, 3]``, NaN = missing, as the ending of the file says.

    >>> write_points(folder / "a.csv", np.array([[[1.0, 2, np.nan]]]), ["nose"])
    >>> (folder / "a.csv").read_text().split()
    ['nose_x,nose_y,nose_z,fnum', '1.0,2.0,,0']

    Args:
        path: ``.c3d``, ``.trc``, ``.csv`` or ``.npy``.
        points: In the unit.
        labels: Of the points.
        rate: Rows per second.
        unit: Where the format says it.
        form: Of a csv: ``deeplabcut`` (three rows of head) or ``long`` (a row per point).
    """
    path, (n, n_points, _) = Path(path), points.shape
    if path.suffix == ".npy":
        writers.write_npy(path, points)
    elif path.suffix == ".c3d":
        writers.write_c3d(path, points, labels, rate, unit)
    elif path.suffix == ".trc":
        head = [
            f"PathFileType\t4\t(X/Y/Z)\t{path.name}",
            "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame"
            "\tOrigNumFrames",
            f"{rate:g}\t{rate:g}\t{n}\t{n_points}\t{unit}\t{rate:g}\t1\t{n}",
            "Frame#\tTime\t" + "\t\t\t".join(labels) + "\t\t\t",
            "\t\t" + "\t".join(f"{axis}{k}" for k in range(1, n_points + 1) for axis in "XYZ"),
            "",
        ]
        rows = [
            "\t".join([str(k + 1), f"{k / rate:.5f}", *map(_cell, row.ravel())])
            for k, row in enumerate(points)
        ]
        writers.write_text(path, "\n".join(head + rows) + "\n")
    elif form == "deeplabcut":
        head = [[first, *words] for first, words in (
            ("scorer", ["human"] * 3 * n_points),
            ("bodyparts", [label for label in labels for _ in "xyz"]),
            ("coords", [*"xyz"] * n_points),
        )]  # fmt: skip
        rows = [[k, *map(_cell, row.ravel())] for k, row in enumerate(points)]
        writers.write_csv(path, [*head, *rows])
    elif form == "long":
        rows = [(k, label, *map(_cell, point)) for k, row in enumerate(points)
                for label, point in zip(labels, row, strict=True)]  # fmt: skip
        writers.write_csv(path, [("frame", "keypoint", "x", "y", "z"), *rows])
    else:
        head = [f"{label}_{axis}" for label in labels for axis in "xyz"]
        rows = [[*map(_cell, row.ravel()), k] for k, row in enumerate(points)]
        writers.write_csv(path, [[*head, "fnum"], *rows])


def recorded_example(folder: Path, n_frames: int = 12) -> tuple[list[str], DatasetSpec]:
    """Draws the folder that the examples of :mod:`posepile.shapes.recordings` are about.

    One take of four joints, filmed by two cameras, all in millimetres.

    >>> recorded_example(folder, n_frames=2)[0]
    ['<camera>.mp4', 'p.trc', 'c.toml']

    Args:
        folder: Where to.
        n_frames: Of each video.

    Returns:
        The paths of videos, key points and calibration, and what is declared of the dataset.
    """
    joints, paths = ["pelv", "neck", "lank", "rank"], ["<camera>.mp4", "p.trc", "c.toml"]
    record(
        folder, make_figure(joints), {"take": "train"}, video=paths[0], keypoints=paths[1],
        calibration=paths[2], labels=joints, to_file=np.eye(3), n_frames=n_frames, size=(320, 240),
    )  # fmt: skip
    info = JointInfo(",".join(joints), "neck-pelv-lank")
    return paths, DatasetSpec("own", info, "own", world_up=(0, 0, 1))


def record(
    root: Path,
    figure: Figure,
    takes: Mapping[str, str],
    *,
    video: str,
    keypoints: str,
    calibration: str,
    labels: Sequence[str],
    to_file: np.ndarray,
    camera_unit_mm: float = 1.0,
    point_unit: str = "mm",
    up: str = "z",
    rows_per_frame: int = 1,
    first_rows: Mapping[str, int] | None = None,
    n_frames: int = 10,
    form: str = "anipose",
    cameras: Sequence[str] = ("front", "side"),
    seed: int = 0,
    step_mm: float = 38.0,
    size: tuple[int, int] = SIZE,
) -> dict[str, SequenceTruth]:
    """Writes a whole folder of recordings; returns what is in each video.

    >>> from posepile.miniature.skeleton import make_figure
    >>> figure = make_figure(["pelv", "neck"])
    >>> paths = {"video": "<take>/<camera>.mp4", "keypoints": "<take>/points.trc"}
    >>> made = record(folder, figure, {"walk": "train"}, **paths, calibration="calibration.toml",
    ...     labels=["Hip", "Neck"], to_file=np.eye(3), n_frames=2)
    >>> sorted(made)
    ['walk/front', 'walk/side']

    Args:
        root: The folder.
        figure: How the actor is drawn.
        takes: Take -> split.
        video: Path of a video, with ``<take>`` and ``<camera>``.
        keypoints: Path of its key points, with ``<take>``.
        calibration: Path of the calibration.
        labels: What the joints of the figure are called in the file of key points.
        to_file: ``[3, 3]``, from millimetres in the world to the file's unit and axes.
        camera_unit_mm: Millimetres of the unit of the calibration.
        point_unit: What files of key points say of their unit, where they can.
        up: Axis of the world that points up.
        rows_per_frame: Rows of key points per frame.
        first_rows: Camera -> row that the first frame of its videos shows; 0 where not given.
        n_frames: Of each video.
        form: Of the calibration, see :func:`write_calibration`.
        cameras: Names of the cameras.
        seed: Of the motions.
        step_mm: How far the actor steps from row to row.
        size: Width and height of the videos.
    """
    at = {"z": (0, 0, 900), "y": (0, 900, 0), "-y": (0, -900, 0)}[up]
    focal = 1000 * size[0] / SIZE[0]
    rigged = {
        name: rig.make_camera(
            size, rig.around(at, 4200, angle, 300, up), at, focal, up=up,
            shift=(9, -5), distortion=(-0.1, 0.04, 0.001, -0.002, 0),
        )
        for name, angle in zip(cameras, np.linspace(10, 70, len(cameras)), strict=True)
    }  # fmt: skip
    for place in dict.fromkeys(calibration.replace("<take>", take) for take in takes):
        write_calibration(root / place, rigged, camera_unit_mm, form)
    first_rows = dict(first_rows or {})
    n_rows = n_frames * rows_per_frame + max([0, *first_rows.values()])
    backdrop, sequences = Backdrop(size, seed), {}
    for i, (take, split) in enumerate(takes.items()):
        motion = actor.move(n_rows, seed + i, up=up, at=at, step_mm=step_mm)
        joints = actor.pose_skeleton(motion, figure.names)
        file = root / keypoints.replace("<take>", take).replace("*", "points")
        write_points(file, joints @ to_file.T, labels, 25.0 * rows_per_frame, point_unit)
        for name, camera in rigged.items():
            start = 17 * len(sequences)  # every video has other numbers drawn in it
            rows = first_rows.get(name, 0) + rows_per_frame * np.arange(n_frames)
            shown = joints[rows[rows < n_rows]]
            pictures = shoot_frames(backdrop, camera, shown, figure, start)
            path = root / video.replace("<take>", take).replace("<camera>", name)
            write_video(path, pictures, 25)
            kept = [(frame, 0) for frame in frames_kept(shown)]
            sequences[f"{take}/{name}"] = SequenceTruth(split, kept, start)
    return sequences


def _rotvec(camera: RigCamera) -> np.ndarray:
    return cv2.Rodrigues(np.asarray(camera.rotation))[0][:, 0]


def _cell(value: Any) -> str:
    return "" if np.isnan(value) else repr(float(value))


def _facts(camera: RigCamera, unit_mm: float) -> dict[str, Any]:
    return {
        "size": list(camera.size),
        "K": camera.intrinsics,
        "dist": list(camera.distortion or (0.0,) * 5),
        "R": camera.rotation,
        "t": camera.translation / unit_mm,
    }


def _toml(cameras: Mapping[str, RigCamera], unit_mm: float) -> list[str]:
    lines = []
    for k, (name, camera) in enumerate(cameras.items()):
        facts = {
            "size": [float(side) for side in camera.size],
            "matrix": np.asarray(camera.intrinsics).tolist(),
            "distortions": [float(x) for x in camera.distortion or (0.0,) * 5],
            "rotation": _rotvec(camera).tolist(),
            "translation": (camera.translation / unit_mm).tolist(),
        }
        lines += [f"[cam_{k}]", f'name = "{name}"']
        lines += [f"{key} = {value}" for key, value in facts.items()]
        lines += [f"fisheye = {str(camera.fisheye).lower()}", ""]
    return [*lines, "[metadata]", "adjusted = false", "error = 0.0"]


def _write_xml(path: Path, content: Mapping[str, Any]) -> None:
    file = cv2.FileStorage(".xml", cv2.FILE_STORAGE_WRITE | cv2.FILE_STORAGE_MEMORY)
    for name, value in content.items():
        file.write(name, value if isinstance(value, int) else np.array(value, float, ndmin=2))
    writers.write_text(path, file.releaseAndGetString())


def _write_colmap(
    path: Path, cameras: Mapping[str, RigCamera], unit_mm: float, binary: bool
) -> None:
    """The cameras and one picture of each; in COLMAP the corner of a picture is at 0, 0."""
    from scipy.spatial.transform import Rotation

    texts, pictures = ["# Camera list"], ["# Image list"]
    bytes_of_cameras = [struct.pack("<Q", len(cameras))]
    bytes_of_pictures = [struct.pack("<Q", len(cameras))]
    for k, (name, camera) in enumerate(cameras.items(), 1):
        matrix, lens = camera.intrinsics, [*camera.distortion, *(0.0,) * 5]
        k1, k2, p1, p2, k3 = lens[:5]
        model, number, rest = "OPENCV", 4, [k1, k2, p1, p2]
        if camera.fisheye:
            model, number, rest = "OPENCV_FISHEYE", 5, lens[:4]
        elif k3:
            model, number, rest = "FULL_OPENCV", 6, [k1, k2, p1, p2, k3, 0, 0, 0]
        values = [matrix[0, 0], matrix[1, 1], matrix[0, 2] + 0.5, matrix[1, 2] + 0.5, *rest]
        values = [float(value) for value in values]
        x, y, z, w = Rotation.from_matrix(camera.rotation).as_quat()
        pose = [float(v) for v in (w, x, y, z, *(camera.translation / unit_mm))]
        texts.append(
            f"{k} {model} {camera.size[0]} {camera.size[1]} {' '.join(map(repr, values))}"
        )
        pictures += [f"{k} {' '.join(map(repr, pose))} {k} {name}.png", "10.5 20.5 -1"]
        head = struct.pack("<iiQQ", k, number, *camera.size)
        bytes_of_cameras.append(head + struct.pack(f"<{len(values)}d", *values))
        head = struct.pack("<i7di", k, *pose, k) + f"{name}.png\0".encode()
        bytes_of_pictures.append(head + struct.pack("<Qddq", 1, 10.5, 20.5, -1))
    if binary:
        path.mkdir(parents=True, exist_ok=True)
        (path / "cameras.bin").write_bytes(b"".join(bytes_of_cameras))
        (path / "images.bin").write_bytes(b"".join(bytes_of_pictures))
    else:
        writers.write_text(path / "cameras.txt", "\n".join(texts) + "\n")
        writers.write_text(path / "images.txt", "\n".join(pictures) + "\n")
