"""What a network file is taken for, and why: for a person to read before it is used."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import rlemasklib

from posepile.errors import UsageError
from posepile.models import onnx
from posepile.models.detectors import LOOK, Detector
from posepile.models.external import network_sha256
from posepile.models.params import DetectorFile, DetectParams, SegmenterFile, SegmentParams
from posepile.models.recognise import Recognised, Trial, examine, recognise
from posepile.models.segmenters import load_segmenter
from posepile.models.signature import Port, Signature
from posepile.models.weights import WeightSpec

_LONGEST = 200  # characters of a value of the metadata


def describe_file(path: Path, signature: Signature) -> dict[str, Any]:
    """Returns what a file says of itself, as plain data."""

    def port(p: Port) -> dict[str, Any]:
        return {"name": p.name, "type": p.type, "shape": list(p.shape)}

    return {
        "file": str(path),
        "sha256": network_sha256(path),
        "inputs": [port(p) for p in signature.inputs],
        "outputs": [port(p) for p in signature.outputs],
        "metadata": {k: v[:_LONGEST] for k, v in sorted(signature.metadata.items())},
    }


def check_detector(
    spec: DetectorFile | WeightSpec,
    path: Path,
    images: dict[str, np.ndarray],
    params: DetectParams,
) -> dict[str, Any]:
    """Returns what is to be known of a detector: its file, the decoder and why, what it finds.

    Args:
        spec: What is stated of it.
        path: The file.
        images: uint8 RGB by name; people are looked for in them.
        params: Lowest score and suppression.

    Returns:
        Plain data. ``decoder`` is None if it cannot be told, and ``refused`` then says why.
    """
    network = onnx.ImageNetwork(
        path, input_size=spec.input_size, layout=spec.layout, device=params.device
    )
    told = describe_file(path, network.signature)
    stated = {k: v for k in LOOK if (v := getattr(spec, k, None)) is not None}
    told |= {"kind": "detector", "decoder": None, "against": {}, "other_interface": []}
    try:
        trials = examine(network, spec.person_class, stated)
        told |= _against(trials)
        found = recognise(network, spec.decoder, spec.person_class, stated)
    except UsageError as e:
        told["refused"] = _without_hint(e)
        return told
    told |= _chosen(found)
    told["look"]["size"] = list(network.input_size)
    told["look"]["layout"] = network.layout
    detector = Detector(network, found, params, path.name)
    told["pictures"] = []
    for name, image in images.items():
        try:
            (boxes,) = detector([image])
        except UsageError as e:
            told["refused"] = f"{name}: {_without_hint(e)}"
            return told
        size = [image.shape[1], image.shape[0]]
        told["pictures"].append({"file": name, "size": size, "boxes": boxes.tolist()})
    return told


def check_segmenter(
    model: str | SegmenterFile,
    images: dict[str, np.ndarray],
    box: tuple[float, float, float, float] | None = None,
) -> dict[str, Any]:
    """Returns what is to be known of a segmenter, and what it marks in pictures.

    Args:
        model: Its name or file.
        images: uint8 RGB by name.
        box: x, y, w, h of the person asked for, in pixels; None: she fills the picture.

    Raises:
        UsageError: It is none, or not what it is said to be.
    """
    segmenter = load_segmenter(SegmentParams(model=model))
    foreground = segmenter.foreground
    network = getattr(foreground, "network", None) or getattr(foreground, "asked", None)
    network = getattr(network, "network", network)  # of a promptable one
    told = describe_file(network.path, network.signature)
    told |= {
        "kind": "segmenter",
        "title": getattr(foreground, "title", segmenter.label),
        "against": {},
        "other_interface": [],
    }
    told["decoder"] = getattr(foreground, "kind", type(foreground).__name__.lower())
    why = getattr(foreground, "why", ())
    told["why"] = list(why() if callable(why) else why)
    told["look"] = {**asdict(network.look), "size": list(network.input_size)}
    told["look"]["layout"] = network.layout
    told["pictures"] = []
    for name, image in images.items():
        h, w = image.shape[:2]
        asked = np.array(box or [0.02 * w, 0.02 * h, 0.96 * w, 0.96 * h])
        mask = segmenter(image, asked)
        found = {"file": name, "size": [w, h], "boxes": [[*asked.tolist(), 1.0]], "mask": None}
        if mask is not None:
            found["mask"] = {"size": [h, w], "counts": mask["counts"].decode("ascii")}
        found["share"] = 0.0 if mask is None else float(rlemasklib.area(mask)) / (h * w)
        told["pictures"].append(found)
    return told


def _without_hint(error: UsageError) -> str:
    """What is wrong, without the advice to run the command that tells it."""
    return str(error).replace("; posepile model check FILE shows more", "")


def _against(trials: list[Trial]) -> dict[str, Any]:
    return {
        "against": {t.form.name: t.doubt for t in trials if t.doubt},
        "other_interface": [t.form.name for t in trials if not t.doubt and not t.found],
    }


def _chosen(found: Recognised) -> dict[str, Any]:
    return {
        "decoder": found.form.name,
        "title": found.form.title,
        "why": list(found.why),
        "look": asdict(found.look),
        "person_class": found.person_class,
    }


def words(told: dict[str, Any]) -> list[str]:
    """Returns the same in lines for a person."""
    lines = [f"{told['file']} (sha256 {told['sha256'][:12]}…)"]
    for kind in ("input", "output"):
        lines += [f"  {kind:9}{_port(port)}" for port in told[f"{kind}s"]]
    lines += [f"  metadata {key}: {value}" for key, value in told["metadata"].items()]
    if told["decoder"]:
        lines.append(f"  decoder  {told['decoder']}: {told['title']}")
        lines += [f"    because {reason}" for reason in told["why"]]
    lines += [f"    not {name}: {doubt}" for name, doubt in told["against"].items()]
    if told["decoder"]:
        lines.append(f"  shown    {_look(told['look'])}")
    if "person_class" in told:
        lines.append(f"  person   class {told['person_class']}")
    for picture in told.get("pictures", ()):
        w, h = picture["size"]
        n = len(picture["boxes"])
        what = f"{picture['share']:.1%} marked" if "share" in picture else f"{n} people"
        lines.append(f"  {picture['file']} ({w}x{h}): {what}")
        for x, y, bw, bh, score in () if "share" in picture else picture["boxes"]:
            lines.append(f"    x {x:.1f}, y {y:.1f}, {bw:.1f} x {bh:.1f}, score {score:.3f}")
    return lines


def _port(port: dict[str, Any]) -> str:
    return str(Port(port["name"], port["type"], tuple(port["shape"])))


def _look(look: dict[str, Any]) -> str:
    h, w = look["size"]
    scale = "its maximum" if isinstance(look["scale"], str) else f"{1 / look['scale']:.6g}"
    text = f"{look['channels'].upper()} / {scale}, {w}x{h}, {look['layout']}, {look['resize']}"
    if any(look["mean"]) or any(n != 1 for n in look["std"]):
        text += f", mean {list(look['mean'])}, std {list(look['std'])}"
    return text
