"""JRDB-Pose: people around a robot, 17 key points in five cameras."""
