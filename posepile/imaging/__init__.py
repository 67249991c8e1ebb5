"""Pixels in, pixels out: JPEG, video, warping, masks. Knows no dataset and no stage."""
