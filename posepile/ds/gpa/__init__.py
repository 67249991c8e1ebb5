"""Geometric Pose Affordance (GPA): people and boxes in a motion-capture studio, five views."""
