"""HSPACE: rendered people in moving scenes, with joints of GHUM, in TFRecords."""
