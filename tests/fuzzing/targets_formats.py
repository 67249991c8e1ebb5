"""The readers of text and of recordings in :mod:`posepile.formats`, as recipes call them."""

from __future__ import annotations

from pathlib import Path

import cdflib  # noqa: F401  here, so that not every worker imports it
import defusedxml.ElementTree  # noqa: F401
import ezc3d  # noqa: F401
import ijson  # noqa: F401
import numpy as np
from pydantic import BaseModel, ConfigDict

from fuzzing import heads
from fuzzing.looking import look_at
from fuzzing.mutators_mocap import C3D, CDF, VRS
from fuzzing.mutators_numpy import NPY, NPZ
from fuzzing.mutators_records import TFRECORD
from fuzzing.mutators_text import JSON, TEXT, XML, YAML
from fuzzing.target import Target
from posepile.files import read_json as read_own_json
from posepile.formats.aria_files import read_aria_lens, read_static_calibs
from posepile.formats.arrays import read_array
from posepile.formats.babel import activity_at, assign_splits, load_babel
from posepile.formats.derived import derived_rows
from posepile.formats.kinect_files import lens_points, read_kinect_bodies
from posepile.formats.lcrnet_files import read_found_people
from posepile.formats.loose_json import read_loose_json
from posepile.formats.mesh_files import read_obj_vertices, read_ply_vertices
from posepile.formats.mocap_files import read_c3d, read_cdf
from posepile.formats.name_lists import read_counted_names
from posepile.formats.opencv_files import read_opencv_xml, read_opencv_yaml
from posepile.formats.schema import Array, OneOf
from posepile.formats.tables import iter_json_pairs
from posepile.formats.text_files import (
    iter_json,
    read_csv,
    read_json,
    read_lines,
    read_numbers,
    read_text,
    read_xml,
)
from posepile.formats.tfrecords import iter_examples, read_span
from posepile.formats.yaml_files import read_yaml
from posepile.miniature import kinect, lcrnet, opencv_files, rig, writers
from posepile.miniature.tfrecords import write_tfrecord

RNG = np.random.default_rng(0)

# ---------------------------------------------------------------- JSON

CAMERA = {"K": Array(3, 3), "R": Array(3, 3), "t": Array(3), "size": Array(2, dtype=int)}
CAMERA |= {"name": str, "kind": OneOf("pinhole", "fisheye"), "distCoef?": Array("n"), "*": None}
TAKE = {"cameras": [CAMERA], "joints": Array("T", 17, 3), "subject": int, "rate?": float}


def json_samples(folder: Path) -> list[Path]:
    camera = {"K": np.eye(3) * 500, "R": np.eye(3), "t": [0, 0, 3.5], "size": [640, 480]}
    camera |= {"kind": "pinhole", "distCoef": [0.1, 0, 0, 0, 0], "panel": 3, "more": {"a": [1]}}
    cameras = [{**camera, "name": f"cam{i}"} for i in range(2)]
    content = {"cameras": cameras, "joints": RNG.normal(size=(2, 17, 3)).round(3), "subject": 7}
    writers.write_json(folder / "take.json", {**content, "rate": 29.97})
    writers.write_json(folder / "short.json", content, indent=1)
    return [folder / "take.json", folder / "short.json"]


def use_json(path: Path, output: Path) -> None:
    look_at(read_json(path, TAKE))


def loose_json_samples(folder: Path) -> list[Path]:
    text = '{\n  "id":"p1",\n  "rate":50,\n  "views":["f", "s",],\n}'
    writers.write_text(folder / "take.json", text + text.replace("50", "1e2") + "\n")
    return [folder / "take.json"]


def use_loose_json(path: Path, output: Path) -> None:
    look_at(read_loose_json(path, {"id": str, "rate": float, "views": [str]}))


PERSON = {"id": int, "bbox": Array(4), "keypoints": [(float, type(None))], "more?": None}


def huge_json_samples(folder: Path) -> list[Path]:
    people = [{"id": i, "bbox": [1, 2.5, 3, 4], "keypoints": [1, 2, 2] * 17} for i in range(5)]
    people[3]["more"] = {"text": 'say "NaN", \\', "list": [[1], {"a": None}]}
    content = {"info": {"year": 2020}, "annotations": people, "images": []}
    writers.write_json(folder / "huge.json", content)
    text = (folder / "huge.json").read_text().replace("[1, 2, 2, 1", "[NaN, -Infinity, 2, 1")
    (folder / "nan.json").write_text(text)
    return [folder / "huge.json", folder / "nan.json"]


def use_huge_json(path: Path, output: Path) -> None:
    look_at(list(iter_json(path, "annotations.item", PERSON)))


def use_array_in_json(path: Path, output: Path) -> None:
    look_at(read_array(path, "cameras.1.K", (3, 3)))
    look_at(read_array(path, "joints", ("T", 17, 3), finite=False))


def use_array_in_numpy(path: Path, output: Path) -> None:
    key = "joints" if path.suffix == ".npz" else None
    look_at(read_array(path, key, ("T", 17, 3), finite=False))


def array_samples(folder: Path) -> list[Path]:
    joints = RNG.normal(size=(2, 17, 3))
    writers.write_npy(folder / "joints.npy", joints)
    writers.write_npz(folder / "joints.npz", joints=joints, rate=np.array(50))
    return [folder / "joints.npy", folder / "joints.npz"]


def babel_samples(folder: Path) -> list[Path]:
    labels = [{"act_cat": ["walk"], "proc_label": "walk", "start_t": 0.0, "end_t": 2.0}]
    labels += [{"act_cat": None, "proc_label": "x", "start_t": 1, "end_t": 3.5}]
    whole = [{"act_cat": ["sit", "wave"], "proc_label": "sit"}]
    motion = {"dur": 3.5, "frame_ann": {"labels": labels}, "seq_ann": {"labels": whole}}
    extra = {"dur": 2.0, "seq_anns": [{"labels": whole}], "frame_anns": None, "url": "https://x"}
    root = folder / "babel_v1.0_release"
    for name, sid in {"train": 1, "val": 2, "extra_train": 3}.items():
        content = {}
        for i in (sid, sid + 10):
            feat = {"feat_p": f"CMU/CMU/{i:02}/{i:02}_01_poses.npz"}
            content[str(i)] = feat | (extra if name.startswith("extra") else motion)
        writers.write_json(root / f"{name}.json", content)
    return [root]


def use_babel(path: Path, output: Path) -> None:
    entries = load_babel(path, ["train.json", "val.json", "extra_train.json"])
    for entry in entries.values():
        for time in (0.0, 1.5, entry.duration):
            activity_at(entry, time)
    assign_splits(entries, {name: entry.split for name, entry in entries.items()})


def derived_samples(folder: Path) -> list[Path]:
    place = folder / "mydata"
    writers.write_json(place / "big.json", [{"image": f"{i}.jpg", "age": i} for i in range(4)])
    return [place]


def use_derived(path: Path, output: Path) -> None:
    source = path / "big.json"
    rows = lambda: iter_json(source, "item", {"image": str, "age": int})
    pieces = derived_rows([source], output / "work", rows, "image", 2)
    look_at([read_own_json(file) for file in pieces])


# ---------------------------------------------------------------- other text

COLUMNS = {"frame": int, "left": float, "name": str, "note?": str, "score?": float}


def csv_samples(folder: Path) -> list[Path]:
    rows = [("frame", "left", "name", "note", "score", "other")]
    rows += [(i, 1.5 * i, f"S{i}", "a, b" if i else "", "", "x") for i in range(5)]
    writers.write_csv(folder / "boxes.csv", rows)
    writers.write_csv(folder / "few.csv", [row[:3] for row in rows])
    return [folder / "boxes.csv", folder / "few.csv"]


def use_csv(path: Path, output: Path) -> None:
    look_at(read_csv(path, COLUMNS))


def plain_csv_samples(folder: Path) -> list[Path]:
    rows = [(i, 1.5 * i, f"S{i}") for i in range(5)]
    writers.write_csv(folder / "boxes.csv", rows)
    writers.write_csv(folder / "headed.csv", [("a", "b", "c"), *rows])
    return [folder / "boxes.csv", folder / "headed.csv"]


def use_plain_csv(path: Path, output: Path) -> None:
    header = "unnamed" if path.stem == "headed" else False
    look_at(read_csv(path, {"frame": int, "left": float, "name": str}, header=header))


def numbers_samples(folder: Path) -> list[Path]:
    writers.write_text(folder / "palette.txt", "".join(f"{i}\t[{i}, 18, 5]\n" for i in range(9)))
    writers.write_text(folder / "matrix.txt", "1 0 0.5\n0, 1, -2e3\n(0; 0; 1)\n\n")
    return [folder / "palette.txt", folder / "matrix.txt"]


def use_numbers(path: Path, output: Path) -> None:
    if path.stem == "palette":
        look_at(read_numbers(path, Array("n", 3, dtype=np.uint8), numbered=True))
    else:
        look_at(read_numbers(path, Array(3, 3)))


def text_samples(folder: Path) -> list[Path]:
    writers.write_text(folder / "train.txt", "S1/walk\nS2/jump é\n" * 5)
    return [folder / "train.txt"]


def use_text(path: Path, output: Path) -> None:
    read_text(path).splitlines()
    read_lines(path)


def counted_samples(folder: Path) -> list[Path]:
    names = "\n".join(f"S001C{k:03d}" for k in range(1, 13))
    writers.write_text(folder / "missing.txt", f"12 clips are incomplete.\n\n{names}\n")
    return [folder / "missing.txt"]


def use_counted(path: Path, output: Path) -> None:
    read_counted_names(path, r"S\d{3}C\d{3}")


def xml_samples(folder: Path) -> list[Path]:
    frames = writers.xml_table("frames", [["60", "63"], ["1", "2.5"]])
    people = [("actor", f"S{i}", {"unit": "mm", "id": str(i)}) for i in range(4)]
    writers.write_xml(folder / "meta.xml", ("meta", [*people, frames, ("w0", "[1 2 3]")]))
    return [folder / "meta.xml"]


def use_xml(path: Path, output: Path) -> None:
    root = read_xml(path)
    for element in root.iter():
        look_at([element.tag, element.text, dict(element.attrib)])


class Window(BaseModel):
    """What a YAML file of the fuzzer holds."""

    model_config = ConfigDict(extra="forbid")
    name: str
    start: int = 0
    rate: float = 1.0
    tags: list[str] = []
    more: dict[str, int] = {}


class Layout(BaseModel):
    """A YAML file of the fuzzer."""

    model_config = ConfigDict(extra="forbid")
    version: int
    windows: list[Window]
    place: Path | None = None


def yaml_samples(folder: Path) -> list[Path]:
    text = "version: 3  # of this file\nplace: a/b\nwindows:\n"
    text += "".join(
        f"- name: walk{i}\n  start: {i}\n  rate: 29.97\n  tags: [a, b]\n  more: {{x: 1}}\n"
        for i in range(3)
    )
    writers.write_text(folder / "layout.yaml", text)
    merged = "- &w\n  name: b\n  start: 2\n- <<: *w\n  name: c\n"
    writers.write_text(folder / "merged.yaml", "version: 1\nwindows:\n" + merged)
    return [folder / "layout.yaml", folder / "merged.yaml"]


def use_yaml(path: Path, output: Path) -> None:
    read_yaml(path, Layout, kind="layout")


# ---------------------------------------------------------------- recordings and cameras


def c3d_samples(folder: Path) -> list[Path]:
    points = RNG.normal(size=(6, 4, 3)) * 100
    names = ["head", "neck", "lhip", "rhip"]
    writers.write_c3d(folder / "clip.c3d", points, names, 50.0, more={"SKEL": ["human"]})
    points[2, 1] = np.nan
    writers.write_c3d(folder / "gap.c3d", points, names, 120.0)
    return [folder / "clip.c3d", folder / "gap.c3d"]


def use_c3d(path: Path, output: Path) -> None:
    look_at(tuple(read_c3d(path)))


def cdf_samples(folder: Path) -> list[Path]:
    writers.write_cdf(folder / "walk.cdf", {"Pose": RNG.normal(size=(1, 5, 96))})
    more = {"Pose": RNG.normal(size=(1, 3, 96)), "Score": np.arange(9, dtype=np.int32)}
    writers.write_cdf(folder / "more.cdf", more)
    return [folder / "walk.cdf", folder / "more.cdf"]


def use_cdf(path: Path, output: Path) -> None:
    look_at(read_cdf(path, {"Pose": Array(1, "T", 96), "Score?": Array("n")}))


LENS = [611.0, 703.0, 705.0, *np.linspace(-0.1, 0.1, 12)]


def tfrecord_samples(folder: Path) -> list[Path]:
    example = {"image": b"picture", "joints": np.arange(9.0), "id": np.array([4, -1, 1 << 40])}
    write_tfrecord(folder / "a.tfrecord", [example, example | {"id": np.array([7])}])
    return [folder / "a.tfrecord"]


def use_tfrecord(path: Path, output: Path) -> None:
    for example in iter_examples(path, {"image": Array("n", 2, dtype=int), "*": None}):
        look_at([example, *(read_span(path, span) for span in example["image"].tolist())])


def vrs_samples(folder: Path) -> list[Path]:
    writers.write_aria_lens(folder / "glasses.vrs", LENS)
    return [folder / "glasses.vrs"]


def lens_samples(folder: Path) -> list[Path]:
    writers.write_aria_lens(folder / "glasses.json", LENS)
    return [folder / "glasses.json"]


def use_lens(path: Path, output: Path) -> None:
    look_at(read_aria_lens(path))


def calibs_samples(folder: Path) -> list[Path]:
    place = (0, -4000, 0), (0, 0, 0), 500
    camera = rig.make_camera((640, 480), *place, distortion=[0.1, 0, 0, 0])
    cameras = {f"cam{i:02}": camera for i in range(4)}
    writers.write_static_calibs(folder / "calibs.csv", cameras, bad=["cam02"])
    return [folder / "calibs.csv"]


def use_calibs(path: Path, output: Path) -> None:
    look_at(read_static_calibs(path))


def bodies_samples(folder: Path) -> list[Path]:
    joints = RNG.normal((0, 0, 3000), 300, (25, 3))
    body = 72057594037931101, joints, np.full(25, 2)
    kinect.write_kinect_bodies(folder / "a.skeleton", [[body], [], [body, body]])
    return [folder / "a.skeleton"]


def use_bodies(path: Path, output: Path) -> None:
    bodies = read_kinect_bodies(path)
    look_at([bodies.frames, bodies.joints, bodies.color_pixels, bodies.states])
    look_at(lens_points([path], 8))


def people_samples(folder: Path) -> list[Path]:
    person = {"pose2d": RNG.normal(size=26).round(2), "pose3d": RNG.normal(size=39).round(2)}
    lcrnet.write_found_people(folder / "a.json", [[person], [], [lcrnet.in_older_axes(person)]])
    return [folder / "a.json"]


def use_people(path: Path, output: Path) -> None:
    people = read_found_people(path)
    look_at([people.frames, people.ranks, people.pixels, people.poses])


def obj_samples(folder: Path) -> list[Path]:
    lines = [f"v {x:.4f} {y:.4f} {z:.4f}" for x, y, z in RNG.normal(size=(20, 3))]
    lines += ["vn 0 0 1", "vt 0.5 0.5", "f 1/1/1 2/1/1 3/1/1", "usemtl a"]
    writers.write_text(folder / "body.obj", "# mesh\n" + "\n".join(lines) + "\n")
    return [folder / "body.obj"]


def use_obj(path: Path, output: Path) -> None:
    look_at(read_obj_vertices(path))


def ply_samples(folder: Path) -> list[Path]:
    writers.write_ply(folder / "body.ply", RNG.normal(size=(20, 3)), np.array([[0, 1, 2]]))
    return [folder / "body.ply"]


def use_ply(path: Path, output: Path) -> None:
    look_at(read_ply_vertices(path))


def opencv_samples(folder: Path) -> list[Path]:
    matrices = {"Intrinsics": RNG.normal(size=(3, 3)), "Distortion": np.zeros((1, 5))}
    writers.write_opencv_xml(folder / "000.xml", matrices)
    return [folder / "000.xml"]


def use_opencv(path: Path, output: Path) -> None:
    look_at(read_opencv_xml(path, {"Intrinsics": Array(9), "Distortion": Array("k")}))


def pairs_samples(folder: Path) -> list[Path]:
    lists = {
        "images": [{"id": i} for i in range(4)],
        "labels": [{"x": [i, 2.5]} for i in range(4)],
    }
    writers.write_json(folder / "pairs.json", lists)
    return [folder / "pairs.json"]


def use_pairs(path: Path, output: Path) -> None:
    for pair in iter_json_pairs(path, {"images": {"id": int}, "labels": {"x": Array(2)}}):
        look_at(pair)


def opencv_yaml_samples(folder: Path) -> list[Path]:
    nodes = {"Number of cameras": 1, "Camera_1": {"K": RNG.normal(size=(3, 3)), "Dist": [0.1, 2]}}
    opencv_files.write_opencv_yaml(folder / "lens.yml", nodes)
    return [folder / "lens.yml"]


def use_opencv_yaml(path: Path, output: Path) -> None:
    look_at(read_opencv_yaml(path, {"Camera_1": {"K": Array(3, 3)}}))


TARGETS = [
    Target("json", json_samples, use_json, JSON),
    Target("loose-json", loose_json_samples, use_loose_json, JSON),
    Target("huge_json", huge_json_samples, use_huge_json, JSON),
    Target("json_pairs", pairs_samples, use_pairs, JSON),
    Target("array_in_json", json_samples, use_array_in_json, JSON),
    Target("array_in_numpy", array_samples, use_array_in_numpy, (*NPZ, *NPY)),
    Target("babel", babel_samples, use_babel, JSON),
    Target("derived", derived_samples, use_derived, JSON),
    Target("csv", csv_samples, use_csv, TEXT),
    Target("plain_csv", plain_csv_samples, use_plain_csv, TEXT),
    Target("numbers", numbers_samples, use_numbers, TEXT),
    Target("text", text_samples, use_text, TEXT),
    Target("counted_names", counted_samples, use_counted, TEXT),
    Target("xml", xml_samples, use_xml, XML),
    Target("yaml", yaml_samples, use_yaml, YAML),
    Target("kinect_bodies", bodies_samples, use_bodies, TEXT),
    Target("found_people", people_samples, use_people, JSON),
    Target("obj", obj_samples, use_obj, TEXT),
    Target("ply", ply_samples, use_ply, TEXT),
    Target("opencv_xml", opencv_samples, use_opencv, XML),
    Target("tfrecord", tfrecord_samples, use_tfrecord, TFRECORD),
    Target("opencv_yaml", opencv_yaml_samples, use_opencv_yaml, YAML),
    Target("vrs", vrs_samples, use_lens, VRS, False, heads.has_calibration),
    Target("aria_lens", lens_samples, use_lens, JSON),
    Target("static_calibs", calibs_samples, use_calibs, TEXT),
    Target("c3d", c3d_samples, use_c3d, C3D),
    Target("cdf", cdf_samples, use_cdf, CDF),
]
