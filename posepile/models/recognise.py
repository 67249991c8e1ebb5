"""Which kind of export a detector file is: by what it declares, and by what it says on a picture.

Shapes alone mislead: YOLOX with and without its boxes decoded looks the same, and so do scores
before and after the sigmoid. So every kind that the declared inputs and outputs allow is shown a
test picture, and what contradicts the answer is refused with the reason. The picture is a
photograph of a person: a network that does not see her as it is shown the picture, but would with
another range of values, or as another class, is told by that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from posepile.errors import UsageError
from posepile.models.decoders import FORMS, Form, Given, Look, Outputs
from posepile.models.decoders.form import IMAGENET_BGR, IMAGENET_RGB
from posepile.models.onnx import ImageNetwork
from posepile.models.signature import Signature

PERSON = "person"
SEEN = 0.5  # score of somebody who is clearly seen
UNSEEN = 0.1
# What else pixel values are usually turned into, besides what is usual for the form.
_RANGES = (
    {"scale": 1 / 255, "mean": (0.0,) * 3, "std": (1.0,) * 3},
    {"scale": 1.0, "mean": (0.0,) * 3, "std": (1.0,) * 3},
    {"scale": 1 / 255, **IMAGENET_RGB},
    {"scale": 1.0, **IMAGENET_BGR},
)
_OTHER_TASKS = {
    "obb": "oriented boxes, not upright ones",
    "classify": "one class for a picture, no boxes",
    "semantic": "a class for every pixel, no boxes",
    "depth": "depth, no boxes",
}


@dataclass(frozen=True)
class Recognised:
    """A detector file that is understood.

    Attributes:
        form: How its outputs are read.
        look: How pictures are shown to it.
        person_class: Index of the person among the classes.
        why: What speaks for it, one sentence each.
        seen: Score of the person in the test picture.
        stated: As in :class:`Given`.
    """

    form: Form
    look: Look
    person_class: int
    why: tuple[str, ...]
    seen: float = 0.0
    stated: bool = False


def recognise(
    network: ImageNetwork,
    decoder: str | None = None,
    person_class: int | None = None,
    settings: dict | None = None,
) -> Recognised:
    """Finds out how a detector is to be read, and whether that can be right.

    Args:
        network: The opened file; pictures are shown to it, last as the last form that was tried
            wants them: who goes on with it calls its ``show`` with what was found.
        decoder: Name of the form as far as it is known; None: it is chosen.
        person_class: Index of the person; None: by the class names or their number.
        settings: What of :class:`Look` the user has stated; the rest is as usual for the form.

    Raises:
        UsageError: It is no detector of a known kind, it may be of several, or what it answers to
            a picture does not fit the stated kind; in one line, with the reasons.
    """
    trials = examine(network, person_class, settings, decoder)
    fits = [trial.found for trial in trials if trial.found]
    clear = [fit for fit in fits if fit.seen >= SEEN]
    if len(fits) > 1 and len(clear) == 1 and all(f.seen < UNSEEN for f in fits if f not in clear):
        fits = clear
    if len(fits) == 1:
        return fits[0]
    if fits:
        names = ", ".join(f"{fit.form.name} ({fit.form.title})" for fit in fits)
        raise UsageError(f"{network.path}: may be {names}; set decoder: to one of them")
    other = _other_form(network, person_class, settings) if decoder is not None else None
    hint = f"set decoder: {other.name}" if other else "posepile model check FILE shows more"
    raise UsageError(f"{network.path}: {_reasons(trials, network.signature, decoder)}; {hint}")


@dataclass(frozen=True)
class Trial:
    """What came of taking a file for one kind of export.

    Attributes:
        form: The kind.
        found: How it would be read; None if something speaks against it.
        doubt: What speaks against it; None if its interface is another one.
    """

    form: Form
    found: Recognised | None = None
    doubt: str | None = None


def examine(
    network: ImageNetwork,
    person_class: int | None = None,
    settings: dict | None = None,
    decoder: str | None = None,
) -> list[Trial]:
    """Takes a file for each kind of export, or the stated one; see :func:`recognise`.

    Raises:
        UsageError: Its metadata says that it is no detector, or it fails at a picture.
    """
    task = network.signature.metadata.get("task", "")
    if task in _OTHER_TASKS:
        raise UsageError(
            f"{network.path}: its metadata says task {task}: {_OTHER_TASKS[task]}; export a "
            f"detector (task detect)"
        )
    _measure_outputs(network)
    trials = []
    for form in FORMS:
        if decoder not in (None, form.name):
            continue
        claim = form.claims(network.signature)
        if claim is None:
            trials.append(Trial(form))
            continue
        found, doubt = _try(network, form, person_class, settings or {})
        if found is not None:
            found = replace(found, why=(claim, *found.why))
        trials.append(Trial(form, found, doubt))
    return trials


def _reasons(trials: list[Trial], signature: Signature, decoder: str | None) -> str:
    against = [trial for trial in trials if trial.doubt]
    if not against:
        kinds = trials[0].form.title if decoder else "any known detector"
        return f"{signature}: not the interface of {kinds}"
    doubts = {trial.doubt for trial in against}
    if len(doubts) == 1:
        (doubt,) = doubts
        names = " or ".join(f"{t.form.name} ({t.form.title})" for t in against)
        return f"not {names}: {doubt}"
    return "; ".join(f"not {t.form.name} ({t.form.title}): {t.doubt}" for t in against)


def _measure_outputs(network: ImageNetwork) -> None:
    """Fills in the sizes of outputs, beyond the first, that the file leaves free."""
    signature = network.signature
    known = (port.shape and None not in port.shape[1:] for port in signature.outputs)
    if all(known) or len(signature.inputs) > 1:
        return
    answer = network.answer([load_test_picture()])
    network.signature = replace(
        signature,
        outputs=tuple(
            replace(port, shape=_with_sizes(port.shape, answer[port.name].shape))
            for port in signature.outputs
        ),
    )


def _with_sizes(declared: tuple, found: tuple[int, ...]) -> tuple:
    """The sizes of an output as found, but for the first, which is that of the batch."""
    return ((declared[0] if declared else None), *found[1:]) if found else ()


def _other_form(
    network: ImageNetwork, person_class: int | None, settings: dict | None
) -> Form | None:
    """Returns the form that would be chosen if none were stated; None if none or several fit."""
    try:
        return recognise(network, None, person_class, settings).form
    except UsageError:
        return None


def _try(
    network: ImageNetwork, form: Form, person_class: int | None, settings: dict
) -> tuple[Recognised | None, str | None]:
    """Returns a form with all it needs, or what speaks against it."""
    index, named, doubt = find_person(network, form, person_class)
    if doubt:
        return None, doubt
    look, doubt = _usual_look(network, form, settings)
    if doubt:
        return None, doubt
    stated = person_class is not None or bool(network.signature.class_names())
    given = Given(network.input_size, index, 0.0, 1.0, n_classes(network, form), stated)
    outputs, doubt = _ask(network, form, look, given)
    if doubt:
        return None, doubt
    seen = person_score(form, outputs, given)
    if seen < UNSEEN:
        better = _best_range(network, form, look, given)
        if better and any(settings.get(k) is not None for k in ("scale", "mean", "std")):
            return None, (
                f"shown as {look.range} the person in the test picture has a score of "
                f"{seen:.2g}, shown as {better[0].range} {better[1]:.2g}; {_setting(better[0])}"
            )
        if better:
            look, seen = better
    if seen < SEEN and not network.signature.class_names():
        doubt = _other_class(form, outputs, given, seen)
        if doubt:
            return None, doubt
    facts = f"the person in the test picture has a score of {seen:.2g}"
    why = (named, f"shown as {look.range}", facts)
    return Recognised(form, look, index, why, seen, stated), None


def _setting(look: Look) -> str:
    plain = f"set scale: {look.scale:.6g}, mean: {list(look.mean)}, std: {list(look.std)}"
    return plain if any(look.mean) else f"set scale: {look.scale:.6g} without mean and std"


def _usual_look(network, form: Form, settings: dict) -> tuple[Look | None, str | None]:
    """Returns how pictures are shown unless stated otherwise, and what speaks against that."""
    look = form.look_of(network.signature) if form.look_of else form.look
    if network.image.type == "uint8":
        stated = [k for k in ("scale", "mean", "std") if settings.get(k) is not None]
        if stated and replace(look, **_RANGES[1]) != replace(look, **(_RANGES[1] | settings)):
            return None, f"{stated[0]}: but its input {network.image} takes pixels as they are"
        look = replace(look, **_RANGES[1])
    return replace(look, **settings), None


def _ask(network, form: Form, look: Look, given: Given) -> tuple[Outputs, str | None]:
    """Returns the answer to the test picture, and what it has against the form."""
    network.show(look, form)
    outputs = network.answer([load_test_picture()])
    for name, array in outputs.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            return outputs, f"output {name} has values that are not finite"
    with np.errstate(all="ignore"):  # values of any size
        doubt = form.doubts(outputs, given)
        n = 1 if doubt else len(form.decode(outputs, replace(given, score=UNSEEN)))
    if n != 1:
        doubt = f"it answers one picture with {n} lists of boxes (its batch is fixed at {n}?)"
    return outputs, doubt


def person_score(form: Form, outputs: Outputs, given: Given) -> float:
    """Returns the score of the most certain person in one picture; 0 if there is none."""
    with np.errstate(all="ignore"):
        (boxes,) = form.decode(outputs, replace(given, score=UNSEEN))
    return float(boxes[:, 4].max(initial=0))


def _best_range(network, form: Form, look: Look, given: Given) -> tuple[Look, float] | None:
    """Another range of values in which the person is clearly seen, with the score."""
    found = []
    for values in _RANGES if network.image.type != "uint8" else ():
        other = replace(look, **values)
        if other != look:
            try:
                outputs, doubt = _ask(network, form, other, given)
            except UsageError:  # some fail where they find nothing at all
                continue
            score = 0.0 if doubt else person_score(form, outputs, given)
            found.append((other, score))
    best = max(found, key=lambda pair: pair[1], default=(look, 0.0))
    return best if best[1] >= SEEN else None


def _other_class(form: Form, outputs: Outputs, given: Given, seen: float) -> str | None:
    """What speaks against the person's class where there are no names: another one that is seen.

    It must be seen twice as clearly, as some things lie about the person in the picture.
    """
    scores = [
        person_score(form, outputs, replace(given, person_class=i))
        for i in range(given.n_classes or 80)
    ]
    best = int(np.argmax(scores))
    if scores[best] < max(SEEN, 2 * seen):
        return None
    return (
        f"person_class: {given.person_class} has a score of {seen:.2g} in the test picture, a "
        f"photograph of a person, and class {best} {scores[best]:.2g}"
    )


def n_classes(network: ImageNetwork, form: Form) -> int | None:
    """Returns the number of classes, by the file's names or else by its outputs."""
    names = network.signature.class_names()
    return len(names) if names else form.n_classes(network.signature)


def find_person(
    network: ImageNetwork, form: Form, stated: int | None
) -> tuple[int, str, str | None]:
    """Returns the person's index among the classes, where it is from, what speaks against it."""
    names = network.signature.class_names()
    columns = form.n_classes(network.signature)
    n = len(names) if names else columns
    if names and columns is not None and columns != n:
        return 0, "", f"{n} names of classes, but its output has {columns} classes"
    if stated is not None:
        if n is not None and stated >= n:
            return 0, "", f"person_class: {stated}, but it has {n} classes"
        person = _index_of_person(names)
        if person not in (None, stated):
            return (
                0,
                "",
                f"person_class: {stated} is {names.get(stated)!r} in the file's own list of "
                f"classes, and {PERSON!r} is {person}",
            )
        return stated, f"person_class {stated} as stated", None
    if names:
        index = _index_of_person(names)
        if index is None:
            told = f"no class 'person' among the file's {len(names)} classes"
            return 0, "", f"{told}; set person_class: if one of them means a person"
        return index, f"class {index} is 'person' in the file's metadata", None
    usual = {1: 0, 80: 0, 90: 1, 91: 1, 92: 1}
    if n is None or n in usual:
        index = usual.get(n, 0)
        return index, f"class {index} is the person in a list of {n or 80} classes", None
    return 0, "", f"{n} classes and no names; set person_class:"


def _index_of_person(names: dict[int, str] | None) -> int | None:
    return next((i for i, name in (names or {}).items() if name.lower() == PERSON), None)


@cache
def load_test_picture() -> np.ndarray:
    """Returns uint8 RGB ``[288, 288, 3]``: a person in front of things (NASA, public domain)."""
    stored = np.frombuffer((Path(__file__).parent / "test_picture.jpg").read_bytes(), np.uint8)
    picture = cv2.cvtColor(cv2.imdecode(stored, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    picture.setflags(write=False)
    return picture
