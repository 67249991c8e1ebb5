"""Ego-Exo4D: body and hand poses of the camera wearer, seen by GoPros and by the glasses."""
