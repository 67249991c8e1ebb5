"""Which kind of export a segmenter file is: by what it declares, and by what it says on a picture.

The picture is the one that detectors are shown, a photograph of one person. Where she is is known,
so a network is told that marks everything but her, or that would see her in another range of
pixel values. One that sees nothing of her (random weights, one trained on drawings) is taken at
its word.
"""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache

import cv2
import numpy as np

from posepile.errors import UsageError
from posepile.models.decoders import FORMS, Look
from posepile.models.matting import (
    PERSON_OF,
    RATIO,
    STATE,
    MapForm,
    Matting,
    doubt_of_values,
    person_probability,
    planes,
    video_feeds,
)
from posepile.models.onnx import ImageNetwork
from posepile.models.recognise import load_test_picture
from posepile.models.signature import Signature

LOOK = tuple(field.name for field in fields(Look))
_PLAIN = {"mean": (0.0,) * 3, "std": (1.0,) * 3}
_HALF = (0.5,) * 3
# What pixel values are turned into: 0..1, -1..1, -0.5..0.5, by ImageNet's mean, by the picture's
# maximum, not at all.
_RANGES = (
    {"scale": 1 / 255, **_PLAIN},
    {"scale": 1 / 255, "mean": _HALF, "std": _HALF},
    {"scale": 1 / 255, "mean": _HALF, "std": (1.0,) * 3},
    {"scale": 1 / 255, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)},
    {"scale": 1.0, **_PLAIN},
)
CLEAR = 0.7  # contrast between the person and what is around her that is clearly seen
UNCLEAR = 0.3
# In pixels of the test picture; between the two lie her outline and the helmet she holds.
PERSON_BOX = np.array([12.0, 9.0, 191.0, 279.0])
PERSON_JOINTS = np.array(
    [[125, 60], [60, 155], [178, 160], [35, 220], [110, 200], [120, 270]], float
)
_PERSON = [
    *((98, 25), (150, 25), (162, 52), (150, 72), (142, 100), (128, 165), (180, 165), (188, 190)),
    *((165, 205), (150, 280), (35, 280), (22, 215), (32, 155), (75, 165), (105, 100), (92, 60)),
]
_BACKGROUND = ((0, 0, 40, 110), (58, 0, 80, 80), (178, 0, 280, 140), (0, 240, 8, 280))


@cache
def person_and_background() -> tuple[np.ndarray, np.ndarray]:
    """Returns the pixels of the test picture that are surely hers, and surely not, bool."""
    h, w = load_test_picture().shape[:2]
    person, background = np.zeros((2, h, w), np.uint8)
    cv2.fillPoly(person, [np.array(_PERSON, np.int32)], 1)
    for x0, y0, x1, y1 in _BACKGROUND:
        background[y0:y1, x0:x1] = 1
    return person.astype(bool), background.astype(bool)


def contrast(probability: np.ndarray) -> float:
    """Returns how much more of the person than of the background is marked, -1 to 1."""
    person, background = person_and_background()
    return float(probability[person].mean() - probability[background].mean())


def refuse_parts(signature: Signature, path) -> None:
    """Refuses a file that is one part of a promptable network in two files.

    Raises:
        UsageError: It is.
    """
    asks = is_promptable(signature)
    if takes_embeddings(signature):
        raise UsageError(
            f"{path}: {signature}: the decoder of a promptable network in two files, which takes "
            f"embeddings, not pictures; set path: to its encoder and decoder_path: to this file"
        )
    told = [port.name for port in signature.outputs if "embed" in port.name.lower()]
    told += [port.name for port in signature.outputs if "high_res_feats" in port.name.lower()]
    if told and not asks:
        raise UsageError(
            f"{path}: {signature}: the encoder of a promptable network in two files "
            f"({', '.join(told)}); set decoder_path: to its decoder"
        )


def takes_embeddings(signature: Signature) -> bool:
    """Whether a file takes points, or a box, and what an encoder gives, instead of a picture."""
    names = [port.name.lower() for port in signature.inputs]
    asks = any(word in name for name in names for word in ("point", "label", "box"))
    return asks and any("embed" in name or "feat" in name for name in names)


def is_promptable(signature: Signature) -> bool:
    """Whether a file takes points beside a picture."""
    names = [port.name.lower() for port in signature.inputs[1:]]
    return any("point" in name for name in names) and any("label" in name for name in names)


def recognise_matting(
    network: ImageNetwork, stated: dict, person_class: int | None, threshold: float, ratio
) -> Matting | str:
    """Finds out how a matting network is read; or why it is none.

    Args:
        network: The opened file; pictures are shown to it.
        stated: What of :class:`Look` the user has stated.
        person_class: Index of the person as stated.
        threshold: On the probability.
        ratio: ``downsample_ratio``.

    Raises:
        UsageError: It is one, but what it says is not what it should.
    """
    signature = network.signature
    further = [port for port in signature.inputs if port.name != network.image.name]
    unknown = [port for port in further if port.name not in (*STATE, RATIO)]
    if unknown:
        return f"input {unknown[0]}: it takes more than a picture"
    look = replace(Look(), **((_RANGES[4] if network.image.type == "uint8" else {}) | stated))
    if network.image.type == "uint8" and (look.scale != 1 or any(look.mean)):
        raise UsageError(
            f"{network.path}: scale: but its input {network.image} takes pixels as they are"
        )

    def show(look: Look) -> dict[str, np.ndarray]:
        network.show(look)
        network.feeds = video_feeds(ratio) if further else network.feeds
        return network.answer([load_test_picture()])

    outputs = show(look)
    maps = {name: planes(out, network.input_size) for name, out in outputs.items()}
    # Beside masks, some give the features on the way, down to a few pixels (IS-Net).
    maps = {n: m for n, m in maps.items() if m is not None or outputs[n].ndim != 4}
    candidates = _candidates(maps, signature)
    if not candidates:
        told = ", ".join(f"{name} {list(out.shape)}" for name, out in outputs.items())
        h, w = network.input_size
        return f"outputs are {told}, expected a map of the {w}x{h} input, [1, 1, h, w] or alike"

    def trial(look: Look, outputs) -> tuple[float, MapForm | None, str | None]:
        """Contrast, form and doubt of the best output."""
        trials = []
        for name in candidates:
            found = planes(outputs[name], network.input_size)
            form, doubt = map_form(name, found, signature, person_class)
            doubt = doubt or doubt_of_values(found, form)
            if doubt:
                trials.append((-2.0, form, f"output {name}: {doubt}"))
                continue
            probability = person_probability(found, form, load_test_picture().shape[:2])
            doubt = _doubt_of_marks(probability, form)
            trials.append((contrast(probability), form, doubt))
        # Of maps that mark much the same the first counts: the others are steps on the way.
        best = max(seen for seen, _, _ in trials)
        return next(t for t in trials if t[0] >= best - (0.2 if best >= CLEAR else 0))

    seen, form, doubt = trial(look, outputs)
    better = None
    if seen < CLEAR and network.image.type != "uint8":
        others = [replace(look, **values) for values in _RANGES]
        tried = [(trial(other, show(other)), other) for other in others if other != look]
        clear = [t for t in tried if t[0][2] is None and t[0][0] >= CLEAR]
        clear = [t for t in clear if t[0][0] > seen + 0.1]
        better = max(clear, key=lambda t: t[0][0], default=None)
    if better and any(key in stated for key in ("scale", "mean", "std")) and seen < UNCLEAR:
        other = better[1]
        raise UsageError(
            f"{network.path}: shown as {look.range} it marks the person in the test picture by "
            f"{seen:.2g} more than what is around her, shown as {other.range} {better[0][0]:.2g}; "
            f"set scale: {other.scale:.6g}, mean: {list(other.mean)}, std: {list(other.std)}"
        )
    if better and not any(key in stated for key in ("scale", "mean", "std")):
        (seen, form, doubt), look = better
    if doubt:
        raise UsageError(f"{network.path}: {doubt}")
    show(look)
    why = [
        f"{form.title}",
        f"shown as {look.range}",
        f"the person in the test picture is marked by {seen:.2g} more than what is around her",
    ]
    if further:
        why.insert(0, "recurrent inputs r1i to r4i: for videos; each picture is its first")
    return Matting(network, form, threshold, tuple(why))


def _candidates(maps: dict[str, np.ndarray | None], signature: Signature) -> list[str]:
    """Names of outputs that may be the mask, the likeliest first; empty if there is none."""
    state = {name.replace("i", "o") for name in STATE}
    rest = {name: found for name, found in maps.items() if name not in state}
    if not rest or any(found is None for found in rest.values()):
        return []
    if "pha" in rest:
        return ["pha"]
    few = {n: m for n, m in rest.items() if len(m) <= 2} or rest
    most = max(m.shape[1] * m.shape[2] for m in few.values())
    return [name for name, m in few.items() if m.shape[1] * m.shape[2] == most]


def map_form(
    name: str, maps: np.ndarray, signature: Signature, stated: int | None
) -> tuple[MapForm | None, str | None]:
    """Returns how maps ``[c, h, w]`` of the test picture are read, and what speaks against it."""
    n, low, high = len(maps), float(maps.min()), float(maps.max())
    if n == 1 and maps.dtype.kind in "iu" and maps.dtype != np.uint8:
        return _numbers(name, maps[0], stated)
    if n == 1:
        if stated not in (None, 1):
            return None, f"person_class: {stated}, but there is one plane, not one for each class"
        if low >= -1e-3 and high <= 1.001:
            return MapForm(name, "alpha"), None
        if low >= -1e-3 and high <= 255 and (maps.dtype == np.uint8 or _black_and_white(maps)):
            return MapForm(name, "bytes"), None
        if low >= -1e-3:
            return None, (
                f"values of {low:.3g} to {high:.3g}, neither probabilities nor logits; so are "
                f"depths"
            )
        return MapForm(name, "logits"), None
    names = signature.class_names()
    person = stated
    if person is None and names:
        person = next((i for i, text in names.items() if text.lower() == "person"), None)
    if person is None:
        person = PERSON_OF.get(n)
    if person is None:
        more = ", as of colours or normals" if n == 3 else ""
        return None, f"{n} planes{more}, and no names of classes; set person_class:"
    if person >= n:
        return None, f"person_class: {person}, but it has {n} classes"
    total = maps.sum(axis=0)
    shares = low >= -1e-3 and high <= 1.001 and bool(np.abs(total - 1).max() < 0.02)
    return MapForm(name, "classes", person, shares), None


def _numbers(name: str, numbers: np.ndarray, stated: int | None):
    """How a map of the numbers of classes is read: the person is the class where she is."""
    if stated is not None:
        return MapForm(name, "numbers", stated), None
    size = load_test_picture().shape[1::-1]
    scaled = cv2.resize(numbers.astype(np.float32), size, interpolation=cv2.INTER_NEAREST)
    person, background = person_and_background()
    here = int(np.bincount(scaled[person].astype(int).clip(0)).argmax())
    there = int(np.bincount(scaled[background].astype(int).clip(0)).argmax())
    if here != there and here in PERSON_OF.values():
        return MapForm(name, "numbers", here), None
    return None, (
        f"numbers of classes, of which the person in the test picture is {here} and what is "
        f"around her {there}; set person_class:"
    )


def _black_and_white(maps: np.ndarray) -> bool:
    return bool(maps.max() > 200 and ((maps < 30) | (maps > 225)).mean() > 0.6)


def _doubt_of_marks(probability: np.ndarray, form: MapForm) -> str | None:
    """What speaks against a mask of the test picture ``[h, w]``."""
    if form.values in ("alpha", "bytes", "logits"):
        between = float(((probability > 0.1) & (probability < 0.9)).mean())
        if between > 0.6:
            return (
                f"{form.title}: {between:.0%} of the test picture is neither person nor "
                f"background (0.1 to 0.9); so are depths and soft maps of what draws attention"
            )
    if contrast(probability) < -CLEAR:
        hint = "set person_class: 0" if form.values == "classes" else "export 1 - output"
        return (
            f"{form.title}: marks everything in the test picture but the person, "
            f"background as foreground; {hint}"
        )
    return None


def claims_boxes(signature: Signature) -> bool:
    """Whether a detector of a known kind may have this interface."""
    return any(form.claims(signature) for form in FORMS)
