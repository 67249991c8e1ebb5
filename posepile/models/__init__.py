"""Person detectors and segmenters behind two small interfaces (ONNX Runtime)."""

from posepile.models.params import DetectorFile, DetectParams, SegmenterFile, SegmentParams

__all__ = [
    "DetectParams",
    "DetectorFile",
    "SegmentParams",
    "SegmenterFile",
    "load_detector",
    "load_segmenter",
]


def load_detector(params: DetectParams):
    """Loads the detector ``params.model`` names, see :mod:`posepile.models.detectors`."""
    from posepile.models import detectors

    return detectors.load_detector(params)


def load_segmenter(params: SegmentParams):
    """Loads the segmenter ``params.model`` names, see :mod:`posepile.models.segmenters`."""
    from posepile.models import segmenters

    return segmenters.load_segmenter(params)
