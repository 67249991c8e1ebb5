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


def cached_detector(params: DetectParams):
    """Same as :func:`load_detector`, once per process: a worker sees thousands of units."""
    return _cached(load_detector, params)


def cached_segmenter(params: SegmentParams):
    """Same as :func:`load_segmenter`, once per process."""
    return _cached(load_segmenter, params)


_networks: dict[str, object] = {}


def _cached(load, params):
    key = f"{type(params).__name__} {params.model_dump_json()}"
    if key not in _networks:
        _networks[key] = load(params)
    return _networks[key]
