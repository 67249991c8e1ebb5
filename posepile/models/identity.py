"""Which network under which parameters: what of them a result depends on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from posepile.errors import UsageError
from posepile.files import fingerprint
from posepile.models.external import files_beside
from posepile.models.params import DetectParams

if TYPE_CHECKING:
    from posepile.models.params import SegmentParams

# Keys of configs/models.yaml that say something about a network without changing its results.
PROSE = {"licence", "source", "good_for", "cost"}
PROSE_OF_FILES = {
    *("url", "copies", "sha256_note"),
    *("member", "archive_sha256", "archive_bytes"),
}

# What stands for a network without being one.
NO_NETWORK = ("none", "joints", "raw", "grabcut")


def network_identity(params: DetectParams | SegmentParams) -> dict[str, Any]:
    """Returns what of a detection or segmentation section can change a result, as plain data.

    Batch size, threads, device and cache folder cannot; which network it is, down to its bytes or
    the checksum it is verified against, can.

    Raises:
        UsageError: The file of a user's own network cannot be read.
    """
    data = params.model_dump(mode="json", exclude=params.without_effect)
    model = data["model"]
    if isinstance(model, dict):
        data["weights"] = _fingerprint("path", model.pop("path"))
        decoder = model.pop("decoder_path", None)
        if decoder is not None:
            data["decoder_weights"] = _fingerprint("decoder_path", decoder)
    elif model not in NO_NETWORK:
        from posepile.models.weights import find_spec

        kind = "detectors" if isinstance(params, DetectParams) else "segmenters"
        spec = find_spec(kind, model)
        plain = spec.model_dump(mode="json", exclude=PROSE | {"files"})
        files = [f.model_dump(mode="json", exclude=PROSE_OF_FILES) for f in spec.files]
        if len(files) == 1:
            del files[0]["part"]
        data["weights"] = plain | (files[0] if len(files) == 1 else {"files": files})
    return data


def _fingerprint(key: str, path: str) -> str | list[str]:
    """Of every byte, as a network that was trained further differs in few of them."""
    file = Path(path).expanduser()
    try:
        own = fingerprint(file, whole=True)
        beside = files_beside(file)
    except (OSError, ValueError) as e:
        raise UsageError(f"model.{key} = {path!r}: {getattr(e, 'strerror', e)}") from None
    try:
        return [own, *(fingerprint(other, whole=True) for other in beside)] if beside else own
    except OSError as e:
        told = f"its weights {e.filename}: {e.strerror}"
        raise UsageError(f"model.{key} = {path}: {told}") from None
