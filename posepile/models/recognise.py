"""Which kind of export a detector file is: by what it declares, and by what it says on a picture.

Shapes alone mislead: YOLOX with and without its boxes decoded looks the same, and so do scores
before and after the sigmoid. So every kind that the declared inputs and outputs allow is shown a
test picture, and what contradicts the answer is refused with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from posepile.errors import UsageError
from posepile.models.decoders import FORMS, Form, Given, Look
from posepile.models.onnx import ImageNetwork

PERSON = "person"


@dataclass(frozen=True)
class Recognised:
    """A detector file that is understood.

    Attributes:
        form: How its outputs are read.
        look: How pictures are shown to it.
        person_class: Index of the person among the classes.
        why: What speaks for it, one sentence each.
    """

    form: Form
    look: Look
    person_class: int
    why: tuple[str, ...]


def recognise(
    network: ImageNetwork,
    decoder: str | None = None,
    person_class: int | None = None,
    settings: dict | None = None,
) -> Recognised:
    """Finds out how a detector is to be read, and whether that can be right.

    Args:
        network: The opened file; pictures are shown to it.
        decoder: Name of the form as far as it is known; None: it is chosen.
        person_class: Index of the person; None: by the class names or their number.
        settings: What of :class:`Look` the user has stated; the rest is as usual for the form.

    Raises:
        UsageError: It is no detector of a known kind, it may be of several, or what it answers to
            a picture does not fit the stated kind; in one line, with the reasons.
    """
    _measure_outputs(network)
    signature = network.signature
    wanted = [form for form in FORMS if decoder in (None, form.name)]
    fits, against = [], []
    for form in wanted:
        claim = form.claims(signature)
        if claim is None:
            continue
        look = replace(form.look, **(settings or {}))
        index, named = find_person(network, form, person_class)
        doubt = doubt_on_picture(network, form, look, index)
        if doubt is None:
            fits.append(Recognised(form, look, index, (claim, named, *_facts(look))))
        else:
            against.append(f"not {form.name} ({form.title}): {doubt}")
    if len(fits) == 1:
        return fits[0]
    if fits:
        names = ", ".join(f"{fit.form.name} ({fit.form.title})" for fit in fits)
        raise UsageError(f"{network.path}: may be {names}; set decoder: to one of them")
    if not against:
        kinds = wanted[0].title if decoder else "any known detector"
        against = [f"{signature}: not the interface of {kinds}"]
    others = [] if decoder is None else _fitting(network, decoder, person_class, settings)
    hint = f"set decoder: {others[0]}" if others else "posepile model check FILE shows more"
    raise UsageError(f"{network.path}: {'; '.join(against)}; {hint}")


def _measure_outputs(network: ImageNetwork) -> None:
    """Fills in the shapes of outputs that the file does not declare."""
    signature = network.signature
    if all(port.shape for port in signature.outputs) or len(signature.inputs) > 1:
        return
    answer = network.answer([draw_test_picture(*network.input_size)])
    network.signature = replace(
        signature,
        outputs=tuple(
            port if port.shape else replace(port, shape=(None, *answer[port.name].shape[1:]))
            for port in signature.outputs
        ),
    )


def _fitting(network, decoder, person_class, settings) -> list[str]:
    """Names of the forms other than the stated one that nothing speaks against."""
    try:
        found = recognise(network, None, person_class, settings)
    except UsageError:
        return []
    return [found.form.name]


def _facts(look: Look) -> Iterable[str]:
    yield (
        f"shown as {look.channels.upper()} x {look.scale:.6g}"
        if look.scale != "max"
        else (f"shown as {look.channels.upper()} / its maximum")
    )


def find_person(network: ImageNetwork, form: Form, stated: int | None) -> tuple[int, str]:
    """Returns the index of the person among the classes, and where it is from.

    Raises:
        UsageError: It is not among them, or cannot be told.
    """
    names = network.signature.class_names()
    n = len(names) if names else form.n_classes(network.signature)
    if stated is not None:
        if n is not None and stated >= n:
            raise UsageError(f"{network.path}: person_class: {stated}, but it has {n} classes")
        person = _index_of_person(names)
        if person not in (None, stated):
            raise UsageError(
                f"{network.path}: person_class: {stated} is {names.get(stated)!r} in the file's "
                f"own list of classes, and {PERSON!r} is {person}"
            )
        return stated, f"person_class {stated} as stated"
    if names:
        index = _index_of_person(names)
        if index is None:
            raise UsageError(
                f"{network.path}: no class 'person' among the file's "
                f"{len(names)} classes; set person_class: if one of them means a person"
            )
        return index, f"class {index} is 'person' in the file's metadata"
    usual = {1: 0, 80: 0, 90: 1, 91: 1, 92: 1}
    if n is None or n in usual:
        index = usual.get(n, 0)
        return index, f"class {index} is the person in a list of {n or 80} classes"
    raise UsageError(f"{network.path}: {n} classes and no names; set person_class:")


def _index_of_person(names: dict[int, str] | None) -> int | None:
    return next((i for i, name in (names or {}).items() if name.lower() == PERSON), None)


def doubt_on_picture(
    network: ImageNetwork, form: Form, look: Look, person_class: int
) -> str | None:
    """Returns what a network's answer to the test picture has against a form; None if nothing."""
    network.show(look, form.feeds)
    h, w = network.input_size
    outputs = network.answer([draw_test_picture(h, w)])
    given = Given(network.input_size, person_class, score=0.0, nms=1.0)
    broken = [
        name for name, a in outputs.items() if a.dtype.kind == "f" and not np.isfinite(a).all()
    ]
    if broken:
        return f"output {broken[0]} has values that are not finite"
    return form.doubts(outputs, given)


def draw_test_picture(h: int, w: int) -> np.ndarray:
    """Returns uint8 RGB ``[h, w, 3]``: ground, sky, texture and a figure; the same every time."""
    y, x = np.mgrid[:h, :w] / np.float32([[[h]], [[w]]])
    picture = np.stack([90 + 120 * y, 150 - 60 * y, 210 - 150 * y], axis=2)
    picture += 14 * np.sin(x * 40 + 9 * np.sin(y * 23))[..., None]
    picture = np.clip(picture, 0, 255).astype(np.uint8)

    def at(u, v):
        return round(u * w), round(v * h)

    size = max(1, round(0.05 * min(h, w)))
    for a, b, colour in (
        ((0.5, 0.35), (0.5, 0.6), (160, 40, 40)),
        ((0.5, 0.38), (0.4, 0.55), (160, 40, 40)),
        ((0.5, 0.38), (0.6, 0.55), (160, 40, 40)),
        ((0.5, 0.6), (0.45, 0.9), (40, 50, 90)),
        ((0.5, 0.6), (0.55, 0.9), (40, 50, 90)),
    ):
        cv2.line(picture, at(*a), at(*b), colour, 2 * size)
    cv2.circle(picture, at(0.5, 0.27), round(1.4 * size), (224, 172, 140), -1)
    return picture
