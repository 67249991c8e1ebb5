"""MPII Human Pose: people in frames of web videos, 16 key points."""
