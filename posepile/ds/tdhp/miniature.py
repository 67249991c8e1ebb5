"""A tiny MPI-INF-3DHP in the official layout: takes by some of the cameras, six test sequences.

The poses of S1/Seq1 go on after its videos, and camera 2 stopped early in S6/Seq2. In one view a
foot leaves the picture. S1/Seq2 has videos of masks, but their red tells nothing of the person.
"""

from pathlib import Path

import numpy as np

from posepile.miniature import markerless, rig, shoot, skeleton, truth, video, writers

TESTED = [markerless.STUDIO.index(name) for name in markerless.TESTED]
KEPT = [*TESTED[:14], 3, 6, 4]
FIGURE = skeleton.make_figure([markerless.STUDIO[j] for j in KEPT])
SIZE, OUTDOORS = markerless.SIZE, (1920, 1080)
# Where along the motion the actor is in each frame. Every fifth is 1, 5, … steps on.
WHERE = [0, 1, 2, 3, 2, 1, 2, 3, 4, 5, 6, 7, 6, 7, 8, 9]
TAKES = (  # subject and sequence, split, rate, frames of videos by camera, universal size
    ("S1/Seq1", "train", 25, {0: 14, 8: 14}, 0.94),
    ("S1/Seq2", "train", 50, {4: 16}, 0.94),
    ("S6/Seq2", "train", 25, {2: 9, 7: 16}, 1.07),
    ("S8/Seq1", "val", 25, {1: 16}, 1.02),
)
NO_RED, WHITE, CYAN = ("S1/Seq2",), (255, 255, 255), (0, 255, 255)
# Of the test cameras: size, sensor, focal length (mm), aspect, offset; origin, up and right.
STUDIO = (SIZE, (10, 10), 7.32506, 1.00044, (-0.0322884, 0.0929296))
STUDIO += ((3427.28, 1387.86, 309.42), (-0.208215, 0.976233, 0.06014))
STUDIO += ((0.000575281, 0.0616098, -0.9981),)
FIELD = (OUTDOORS, (10, 5.625), 8.770747185, 0.993236423, (-0.104908645, 0.104899704))
FIELD += ((-2104.3074, 1038.6707, -4596.6367), (0.025272345, 0.995038509, 0.096227370))
FIELD += ((-0.939647257, -0.009210289, 0.342020929),)
TS2 = np.array([[1503.78, 0, 1015.23], [0, 1501.27, 1038.68], [0, 0, 1]])  # its own pinhole
VALID = ("01101", "110", "001", "0110", "10", "101")  # frames of TS1 to TS6


def build(root: Path, seed: int = 0) -> None:
    """Writes the miniature below ``root``; the seed is that of poses and scene."""
    root, rng, sequences = Path(root), np.random.default_rng(seed), {}
    # Camera 1 looks past the person, who leaves its picture. 8 is wholly as the real one.
    cameras = markerless.studio_cameras(rng, 3900, {1: (-2850, 950, 0)})
    cameras[8], backdrop = rig.sensor_camera(*STUDIO), shoot.Backdrop(SIZE, seed)
    cyan, white = shoot.Backdrop(SIZE, color=CYAN), shoot.Backdrop(SIZE, color=WHITE)
    for name, split, rate, views, scale in TAKES:
        joints, folder = markerless.studio_joints(WHERE, rng, (0, 950, 0), 20), root / name
        labels = [markerless.label_joints(c, joints, markerless.STUDIO, scale) for c in cameras]
        markerless.write_take(folder, cameras, labels)
        for c, n in views.items():
            start, poses = 31 * len(sequences), joints[:n, KEPT]
            shots = shoot.shoot_frames(backdrop, cameras[c], poses, FIGURE, start)
            # Red is the person; in green and blue, clothing would be dark. Chairs are dark in red.
            colors = (white, CYAN) if name in NO_RED else (cyan, WHITE)
            chair = shots[0].mask(white, WHITE)
            kinds = {"imageSequence": shots, "ChairMasks": [chair] * n}
            kinds["FGmasks"] = [shot.mask(*colors) for shot in shots]
            for kind, pictures in kinds.items():
                video.write_video(folder / f"{kind}/video_{c}.avi", pictures, rate, b_frames=0)
            off = abs(cameras[c].project(poses) - 1023.5).max(axis=(1, 2))
            kept = truth.frames_kept(poses, among=[k for k in range(0, n, 5) if off[k] <= 1024])
            more = {"start": start, "masks": name not in NO_RED}
            expected = truth.SequenceTruth(split, [(k, 0) for k in kept], **more)
            sequences[f"{name}/imageSequence/img_{c}"] = expected
    for number, valid in enumerate(VALID, 1):
        more = {"start": 31 * len(sequences), "masks": False}
        write_test(root, number, valid, more["start"], rng)
        more["frames"] = {f"{k + 1:06d}": k for k in range(len(valid))}
        told = [(k, 0) for k in range(len(valid)) if valid[k] == "1"]
        sequences[f"TS{number}/imageSequence/img"] = truth.SequenceTruth("test", told, **more)
    pattern = r"(?P<sequence>S\d/Seq\d/\w+/img_\d+|TS\d/\w+/img)_(?P<frame>\d{6})\.jpg$"
    truth.write_truth(root, truth.make_truth(FIGURE, pattern, sequences, raw_masks=True))


def write_test(root: Path, number: int, valid: str, start: int, rng) -> None:
    """Writes a test sequence; labels that are not valid are wrong."""
    camera, n = rig.sensor_camera(*(STUDIO if number < 5 else FIELD)), len(valid)
    if number == 2:
        camera = rig.RigCamera(SIZE, TS2, camera.rotation, camera.translation)
    at, turned = camera.center + 4600 * camera.rotation[2], 90 + 105 * (number > 4)
    joints = markerless.studio_joints(range(n), rng, (at[0], 950, at[2]), turned)
    told = markerless.label_joints(camera, joints[:, TESTED], markerless.TESTED, 0.96)
    if number == 6:
        told["univ_annot3"][:, [9, 10, 12, 13]] += 45  # not revised
    backdrop, folder = shoot.Backdrop(camera.size, number), root / "mpi_inf_3dhp_test_set"
    folder = folder / f"mpi_inf_3dhp_test_set/TS{number}"
    for k, shot in enumerate(shoot.shoot_frames(backdrop, camera, joints[:, KEPT], FIGURE, start)):
        writers.write_jpeg(folder / f"imageSequence/img_{k + 1:06d}.jpg", shot.image)
    mat = {"valid_frame": np.array([[float(v) for v in valid]])}
    mat["activity_annotation"] = (np.arange(n)[None] + number) % 7 + 1.0
    for key, value in told.items():  # in the order of MATLAB
        value[[v == "0" for v in valid]] *= 1.3
        mat[key] = value.transpose(2, 1, 0)[:, :, None]
    writers.write_mat73(folder / "annot_data.mat", mat)
