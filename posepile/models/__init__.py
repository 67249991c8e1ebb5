"""Person detectors and segmenters behind one small interface each."""
