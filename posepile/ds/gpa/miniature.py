"""A tiny GPA in the official layout: single pictures by two of the five cameras.

Pictures are named by numbers from 1; the table of cameras is indexed by them, and taken one entry
off it would mix the two lenses. One picture belongs to no split, one is not annotated at all.
"""

from pathlib import Path

import cv2
import numpy as np

from posepile.miniature import actor, rig, shoot, skeleton, truth, writers

NAMES = (
    "pelv spin spi1 spi2 spi3 neck head htop rcla rsho relb rwri rhan rfin rthu rthu2 "
    "lcla lsho lelb lwri lhan lfin lthu lthu2 rhip rkne rank rfoo rtoe lhip lkne lank lfoo ltoe"
).split()
# Joints that the studio's skeleton lacks: on the way from one of it to another, or beyond.
BETWEEN = {"spi1": ("spin", "neck", 0.25), "spi2": ("spin", "neck", 0.5)}
BETWEEN |= {"spi3": ("spin", "neck", 0.75)}
BETWEEN |= {f"{s}thu2": (f"{s}wri", f"{s}thu", 1.5) for s in "lr"}
FIGURE = skeleton.make_figure(NAMES, radius_mm=55, disc=0.5)
SIZE, FOCAL, SHIFT = (1920, 1080), {"1": 1180, "4": 1205}, {"1": (9, -14), "4": (-17, 6)}
ROWS = (  # number of the picture, camera, step along the motion, split
    (146, "1", 0, "train"),
    (148, "4", 0, "train"),
    (149, "1", 0.8, "train"),  # has hardly moved
    (150, "4", 6, "train"),
    (151, "1", 6, "train"),
    (153, "4", 12, ""),
    (155, "1", 13, "test"),
    (160, "4", 19, "test"),
)
# By number, also of pictures that are not annotated; 0 = none.
CAMERA_IDS = dict.fromkeys(range(1, 162), "2") | {147: "4", 152: "1", 0: "0", 3: "0"}
CAMERA_IDS |= {number: camera for number, camera, *_ in ROWS}


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses and scene."""
    root, rng, sequences = Path(root), np.random.default_rng(seed), {}
    joints = make_joints(actor.move(21, int(rng.integers(99)), at=(0, 0, 950), step_mm=40))
    cameras = {c: make_camera(c, rng) for c in FOCAL}
    in_camera, in_world, shot = [], [], {c: [] for c in FOCAL}
    for number, c, step, split in ROWS:
        k = int(step)
        pose = joints[k] + (step - k) * (joints[k + 1] - joints[k])
        backdrop = shoot.Backdrop(SIZE, seed + int(c))
        picture = shoot.shoot(backdrop, cameras[c], [shoot.Actor(pose, FIGURE)], number)
        write_picture(root, number, picture)
        in_camera.append(annotate(cameras[c], pose, picture.people[0].box(), split))
        in_world.append(in_camera[-1] | locate(cameras[c], pose))
        shot[c].append((pose, number, split))
    write_picture(root, 154, picture)  # not annotated
    for rows in shot.values():
        for i in truth.frames_kept(np.array([pose for pose, *_ in rows])):
            _, number, split = rows[i]
            if split:
                sequences[f"{number:010d}"] = truth.SequenceTruth(split, [(number, 0)])
    names = [f"Gaussian_cropped_images/{number:010d}.png" for number, *_ in ROWS]
    images = [{"file_name": name, "image_id": int(name[-14:-4])} for name in names]
    for kind, rows in (("mdp_cntind_crop_cam_c2g", in_camera), ("cntind_world_cams", in_world)):
        content = {"images": images, "annotations": rows}
        writers.write_json(root / f"xyz_gpa12_{kind}.json", content)
    ids = np.array([CAMERA_IDS[i] for i in range(162)])
    writers.write_npy(root / "Sequence_ids/cam_ids_750k.npy", ids)
    pattern = r"(?P<sequence>(?P<frame>\d{10}))(_0)?\.jpg$"
    more = {"raw_masks": True, "moving": False, "box": "joints"}
    truth.write_truth(root, truth.make_truth(FIGURE, pattern, sequences, **more))


def make_joints(motion: actor.Motion) -> np.ndarray:
    """Returns joints ``[n, 34, 3]`` in the world, z up, mm."""
    joints = actor.pose_skeleton(motion, NAMES)
    for name, (start, end, share) in BETWEEN.items():
        a, b = joints[:, NAMES.index(start)], joints[:, NAMES.index(end)]
        joints[:, NAMES.index(name)] = a + share * (b - a)
    return joints


def make_camera(c: str, rng: np.random.Generator) -> rig.RigCamera:
    """Returns a camera without distortion, some metres away."""
    angle = 40 - 20 * int(c) + rng.uniform(-5, 5)
    place = rig.around((0, 0, 950), 4800, angle, 500 + 100 * int(c))
    lens = {"shift": SHIFT[c], "stretch": 1.002}
    return rig.make_camera(SIZE, place, (0, 0, 900), FOCAL[c], **lens)


def annotate(camera: rig.RigCamera, pose: np.ndarray, box: list[float], split: str) -> dict:
    """Returns what is told of a picture, and of the square of 256 x 256 cut out of it."""
    pixels, lens = camera.project(pose), camera.intrinsics
    corner, side = np.floor(box[:2]) - 20, max(box[2] - box[0], box[3] - box[1]) + 40
    return {
        "joint_cams": camera.from_world(pose).T,
        "joint_imgs": (pixels - corner) * 256 / side,
        "joint_imgs_uncrop": pixels,
        "f": [lens[0, 0], lens[1, 1]],
        "c": lens[:2, 2],
        "c_f": [lens[0, 0] * 256 / side, lens[1, 1] * 256 / side],
        "c_c": (lens[:2, 2] - corner) * 256 / side,
        "bboxes": [*corner, side, side],
        "istrains": split == "train",
        "istests": split == "test",
    }


def locate(camera: rig.RigCamera, pose: np.ndarray) -> dict:
    """Returns what the other file tells besides; its translations are in centimetres."""
    return {
        "joint_world_mm": pose,
        "src_cam0": camera.intrinsics,
        "src_cam1": np.zeros(5),
        "src_cam2": actor.rotvec(camera.rotation)[:, None],
        "src_cam3": camera.translation[:, None] / 10,
    }


def write_picture(root: Path, number: int, picture: shoot.Picture) -> None:
    """Writes a picture and the mask of its person, a JPEG, too."""
    folders = ("Gaussian_img_jpg_new", "img_jpg_new_resnet101deeplabv3humanmask")
    writers.write_jpeg(root / folders[0] / f"{number:010d}.jpg", picture.image)
    mask = np.uint8(255) * picture.people[0].mask(SIZE)
    writers.write_jpeg(root / folders[1] / f"{number:010d}_mask.jpg", cv2.merge([mask] * 3))
