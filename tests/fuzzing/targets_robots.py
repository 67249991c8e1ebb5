"""The template of dense points; cameras of robots, and boxes of people around them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fuzzing.looking import look_at
from fuzzing.mutators_mat import MAT5
from fuzzing.mutators_text import JSON, YAML
from fuzzing.target import Target
from posepile.bodies.charts import read_charts
from posepile.formats.robot_files import read_track_boxes
from posepile.geometry.robots import ring_cameras
from posepile.miniature import dense, writers


def chart_samples(folder: Path) -> list[Path]:
    dense.write_charts(folder / "UV_Processed.mat")
    return [folder / "UV_Processed.mat"]


def use_charts(path: Path, output: Path) -> None:
    charts = read_charts(path)
    uv = np.random.default_rng(3).uniform(size=(20, 2))
    look_at(charts.on_surface(np.resize(np.unique(charts.parts), 20), uv))


def sensor_samples(folder: Path) -> list[Path]:
    sensor = "{width: 752, height: 480, D: -0.3 0.1 0 0 0, T: 0 0 -50, K: 476 0 360 0 476 220 "
    sensor += "0 0 1, R: 1 0 0 0 1 0 0 0 1}"
    text = f"cameras:\n  sensor_0: {sensor}\n  sensor_1: {sensor}\n"
    writers.write_text(folder / "cameras.yaml", text)
    return [folder / "cameras.yaml"]


def use_sensors(path: Path, output: Path) -> None:
    for camera, size in ring_cameras(path, [0], (40, 60), (0, -1, 0)):
        look_at([camera.R, camera.t, camera.intrinsic_matrix, size])


def box_samples(folder: Path) -> list[Path]:
    box = {"box": [1, 2.5, 30, 40], "label_id": "pedestrian:7", "file_id": "000006.jpg"}
    writers.write_json(
        folder / "walk.json", {"labels": {"000004.jpg": [box], "000005.jpg": [box] * 2}}
    )
    return [folder / "walk.json"]


def use_boxes(path: Path, output: Path) -> None:
    look_at(list(read_track_boxes(path).values()))


TARGETS = [
    Target("charts", chart_samples, use_charts, MAT5),
    Target("sensors", sensor_samples, use_sensors, YAML),
    Target("track_boxes", box_samples, use_boxes, JSON),
]
