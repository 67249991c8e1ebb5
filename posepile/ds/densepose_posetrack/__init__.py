"""DensePose-PoseTrack: people in videos, points on the surface of the body."""
