"""PoseTrack18: people tracked through web videos, 15 key points."""
