"""CrowdPose: overlapping people in web photographs, 14 key points."""
