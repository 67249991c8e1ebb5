"""SAIL-VOS: cut scenes of a computer game, with joints for those who have the pose files."""
