"""SynthEgo (SimpleEgo, 3DV 2024): synthetic head-mounted stereo views."""
