"""What a miniature needs besides its file layout.

A miniature is made from a dataset's card and knows nothing of the reader under test, so nothing
here uses the pipeline's cameras, kinematics or file readers::

    figure = make_figure("pelv neck lsho lelb lwri rsho relb rwri".split())  # order of JointInfo
    joints = pose_skeleton(move(12, seed=1, up="z", at=(0, 0, 950)), figure.names)  # [12, 8, 3] mm
    camera = make_camera((1920, 1080), around((0, 0, 900), 4000, 30), (0, 0, 900), focal=1400)
    backdrop = Backdrop(camera.size, seed=1)  # one for all pictures of a static camera
    pictures = [shoot(backdrop, camera, [Actor(j, figure)], i) for i, j in enumerate(joints)]
    write_video(root / "videos" / "a.mp4", pictures, rate=50)
    sequences = {"a": SequenceTruth("train", [(i, 0) for i in frames_kept(joints)])}
    write_truth(root, make_truth(figure, "(?P<sequence>.+)/(?P<frame>[0-9]+)", sequences))

These are in the modules ``skeleton``, ``actor``, ``rig``, ``shoot``, ``video`` and ``truth``; raw
formats in ``writers`` and ``pickled``, body-model files in ``bodies``. Photographs annotated in
COCO's form are in ``photos``, points of face and hands in ``details``. What is drawn is read again
from a crop with ``marks``.
"""

# In the raw folder of a miniature: what is drawn in it, and which code made it.
TRUTH = "miniature_truth.json"
MARK = ".miniature.json"
# Numbers drawn in pictures are counted modulo this.
N_NUMBERS = 128
