"""What is true of newdata: the one file to be edited. docs/OWN_DATA.md explains every line."""

from __future__ import annotations

from posepile.joint_info import JointInfo
from posepile.recipe import DatasetSpec
from posepile.shapes.recordings import Recordings

# Our joint -> what it is called in the file of the key points. An l or r in front where there are
# two of them; what is not named here is left out.
JOINTS = {
    "pelv": "Hip",
    "neck": "Neck",
    "htop": "Head",
    "lsho": "LShoulder",
    "lelb": "LElbow",
    "lwri": "LWrist",
    "rsho": "RShoulder",
    "relb": "RElbow",
    "rwri": "RWrist",
    "lhip": "LHip",
    "lkne": "LKnee",
    "lank": "LAnkle",
    "rhip": "RHip",
    "rkne": "RKnee",
    "rank": "RAnkle",
}
# Bones; those of the other side follow.
EDGES = "htop-neck-pelv,neck-lsho-lelb-lwri,pelv-lhip-lkne-lank"

RECORDINGS = Recordings(
    # Paths below the raw folder; <take> and <camera> stand for any name.
    video="<take>/<camera>.mp4",
    keypoints="<take>/keypoints.trc",
    calibration="calibration.toml",
    joints=JOINTS,
    camera_unit="m",  # of the translations in the calibration: mm, cm, m, or a number of mm
    keypoint_unit=None,  # likewise of the key points; None: as their file says
    axes="xyz",  # which axes of the key points are x, y, z of the calibration
    rows_per_frame=1,  # 2 where key points have 100 rows per second and videos 50 frames
    first_row={},  # {"cam1": 12}: the first frame of its videos shows row 12 of the key points
    length_may_differ=0,  # frames by which videos may be longer or shorter than the key points
    splits={"turn": "val", "run": "test"},  # takes that are not for training
    camera_names={},  # {"GH01": "int_cam01"}: camera of the video -> camera of the calibration
)

SPEC = DatasetSpec(
    name="newdata",
    joint_info=JointInfo(",".join(JOINTS), EDGES),
    image_dir="newdata_downscaled",
    world_up=(0.0, 0.0, 1.0),  # in the world of the calibration
    single_person=True,
    citation="newdata: who is to be cited",
    licence="not stated",
    # Ids are <take>/<camera>; frame k is the same instant in all cameras.
    sequence_names=r"(?P<motion>[^/]+)/(?P<view>[^/]+)",
)
