"""Pose metrics in plain numpy."""
