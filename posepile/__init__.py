"""PosePile: every pose dataset from raw files to one training format."""

__version__ = "0.1.0"
