"""Compares protocols with their reference evaluators, on good and on adversarial predictions.

A :class:`Row` names a protocol and its reference (``tests/references``), which reads the truth by
itself, makes predictions near it, writes them as the benchmark wants them, and scores them. An
attack changes predictions; what is written then is either scored like the reference does, or
refused in one line that names the file, the entry and the joint.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from posepile.ds import load_evaluation

REFUSED, EQUAL, EITHER = "refused", "equal", "either"
TOLERANCE = 1e-6  # relative
SEEDS = (0, 1, 2)


class Attacked(NamedTuple):
    """Predictions that were changed.

    Attributes:
        poses: As the reference's ``write_predictions`` takes them: entry -> value, or a list of
            such pairs where entries are doubled or in another order.
        named: What a refusal must say, besides the file: each as it is, or one of a tuple.
        scored: What the reference scores, where that is not ``poses``.
    """

    poses: Any
    named: tuple[str | tuple[str, ...], ...] = ()
    scored: Any = None


class Attack(NamedTuple):
    """A change of predictions, and what has to come of it: refused, equal, or either.

    With ``--allow-missing`` among the options the reference's truth lacks what is not predicted.
    """

    change: Callable[[Any, np.random.Generator], Attacked]
    expected: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """A protocol and what it is compared with.

    Attributes:
        protocol: Full name.
        reference: Module with ``truth``, ``guess``, ``write_predictions``, ``scores``.
        file: Name of the prediction file or folder; the reference writes the form it stands for.
        attacks: Name -> attack.
        root: Makes the raw folder below a folder, given the function that returns miniatures;
            None: the miniature.
        guess: Makes predictions, in place of the reference's.
        options: More of the command line; ``{root}`` stands for the raw folder.
        hidden: Figures of the reference that the protocol does not report.
        tolerance: Relative.
        seeds: Of random predictions.
    """

    protocol: str
    reference: ModuleType
    file: str = "predictions.npz"
    attacks: Mapping[str, Attack] = field(default_factory=dict)
    root: Callable[[Path, Callable[[str], Path]], Path] | None = None
    guess: Callable[[Any, np.random.Generator, str], Any] | None = None
    options: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    tolerance: float = TOLERANCE
    seeds: tuple[int, ...] = SEEDS

    @property
    def dataset(self) -> str:
        """The name of its dataset."""
        return self.protocol.partition(".")[0]

    def __str__(self) -> str:
        return f"{self.protocol}-{self.file}"

    def predict(self, truth: Any, rng: np.random.Generator) -> Any:
        """Returns predictions near the truth."""
        return (self.guess or self.reference.guess)(truth, rng, self.protocol)

    def random(self, seed: int) -> np.random.Generator:
        """Returns the random numbers of a seed, other ones for each row."""
        return np.random.default_rng([seed, zlib.crc32(str(self).encode())])


class Outcome(NamedTuple):
    """What an evaluation gave: exit code, figures, and what it printed."""

    code: int
    figures: dict[str, float]
    out: str
    err: str


def evaluate(row: Row, root: Path, pred: Path, capsys, *options: str) -> Outcome:
    """Returns the outcome of ``python -m posepile.ds.<dataset>.eval``."""
    result = pred.parent / "result.json"
    result.unlink(missing_ok=True)
    argv = ["--protocol", row.protocol, "--pred-path", str(pred), "--data-dir", str(root)]
    given = [option.format(root=root) for option in (*row.options, *options)]
    capsys.readouterr()
    code = load_evaluation(row.dataset).main([*argv, "--out", str(result), *given])
    said = capsys.readouterr()
    figures = json.loads(result.read_text())["figures"] if code == 0 else {}
    return Outcome(code, figures, said.out, said.err)


def check_equal(row: Row, outcome: Outcome, expected: dict[str, float]) -> None:
    """Asserts that all figures of the reference were found, and the same."""
    assert outcome.code == 0, outcome.err
    for name, value in expected.items():
        if name in row.hidden:
            continue
        assert name in outcome.figures, f"{row}: no {name} among {sorted(outcome.figures)}"
        found = outcome.figures[name]
        if math.isnan(value):
            assert found is None, f"{row}: {name} is {found}, reference NaN"
            continue
        assert found is not None, f"{row}: {name} is NaN, reference {value}"
        close = math.isclose(found, value, rel_tol=row.tolerance, abs_tol=1e-9)
        assert close, f"{row}: {name} is {found!r}, reference {value!r}"


def check_refused(row: Row, outcome: Outcome, pred: Path, named: tuple) -> None:
    """Asserts that one line says which file, entry and joint are wrong, without a traceback."""
    assert outcome.code == 1, f"{row}: exit {outcome.code}: {outcome.out} {outcome.err}"
    said = outcome.err.rstrip("\n")
    assert said and "\n" not in said, said
    assert "Traceback" not in said and "download" not in said, said
    assert str(pred) in said, f"{row}: does not name {pred.name}: {said}"
    for words in named:
        words = (words,) if isinstance(words, str) else words
        assert any(word in said for word in words), f"{row}: none of {words} in: {said}"


# Attacks; most on poses of which each entry is one array ``[..., J, 3]``.


def rows_of(poses: Any) -> list[tuple]:
    """Returns pairs of entry and value."""
    return list(poses.items()) if isinstance(poses, Mapping) else list(poses)


def chosen(poses: Any, rng: np.random.Generator) -> tuple:
    """Returns an entry and its value."""
    rows = rows_of(poses)
    return rows[int(rng.integers(len(rows)))]


def each(change: Callable[[Any], Any]) -> Callable:
    """Returns an attack that changes the value of every entry."""
    return lambda poses, rng: Attacked({key: change(value) for key, value in rows_of(poses)})


def with_number(number: float, words: Callable[[Any, int], tuple]) -> Callable:
    """Returns an attack that puts a number into a joint of an entry.

    Args:
        number: NaN or infinity.
        words: Entry and joint -> what the refusal must say.
    """

    def change(poses, rng):
        rows = rows_of(poses)
        key, value = rows[int(rng.integers(len(rows)))]
        joint = int(rng.integers(value.shape[-2]))
        value = np.array(value)
        value[..., joint, 1] = number
        return Attacked({**dict(rows), key: value}, words(key, joint))

    return change


# Poses of which Procrustes' rotation or scale is not determined.
DEGENERATE = {
    "all_zero": Attack(each(lambda pose: 0 * pose), EQUAL),
    "in_line": Attack(each(lambda pose: pose * np.array([1.0, 0, 0])), EQUAL),
    "flat": Attack(each(lambda pose: pose * np.array([1.0, 1, 0])), EQUAL),
}


def lacking_one(poses, rng) -> Attacked:
    """Leaves out an entry."""
    rows = rows_of(poses)
    key, _ = rows.pop(int(rng.integers(len(rows))))
    return Attacked(dict(rows), (key_words(key),))


def single(poses, rng) -> Attacked:
    """Leaves one entry."""
    rows = rows_of(poses)
    key, value = rows[int(rng.integers(len(rows)))]
    absent = next(k for k, _ in rows if k != key)
    return Attacked({key: value}, (key_words(absent),))


def empty(poses, rng) -> Attacked:
    """Leaves nothing."""
    return Attacked({})


def shuffled(poses, rng) -> Attacked:
    """Writes the entries in another order."""
    rows = rows_of(poses)
    return Attacked([rows[i] for i in rng.permutation(len(rows))], scored=dict(rows))


def more(poses, rng) -> Attacked:
    """Predicts an image, too, that is not evaluated."""
    rows = rows_of(poses)
    key, value = rows[0]
    return Attacked([(f"{key}.png", value), *rows], scored=dict(rows))


def doubled(poses, rng) -> Attacked:
    """Writes an entry twice."""
    rows = rows_of(poses)
    key, value = rows[int(rng.integers(len(rows)))]
    return Attacked([*rows, (key, value)], (key_words(key),))


def exchanged(poses, rng) -> Attacked:
    """Gives two entries each other's value."""
    rows = rows_of(poses)
    values = [value for _, value in rows]
    values[0], values[-1] = values[-1], values[0]
    return Attacked({key: v for (key, _), v in zip(rows, values, strict=True)})


def key_words(key: Any) -> tuple[str, ...]:
    """Returns how a message may name an entry."""
    return (str(key), str(key).rsplit("/", maxsplit=1)[-1])


def joint_words(names: tuple[str, ...] = ()) -> Callable[[Any, int], tuple]:
    """Returns what a refusal says of an entry and a joint."""
    return lambda key, joint: (key_words(key), (f"joint {joint}", *names[joint : joint + 1]))


def pose_attacks(swapped: list[int], **changes: Attack | None) -> dict[str, Attack]:
    """Returns the attacks on entries that are arrays ``[..., J, 3]``.

    Args:
        swapped: Order of joints in which left and right have changed places.
        **changes: In place of, or beside, one of them; None: it does not apply.
    """
    attacks = {
        "nan": Attack(with_number(math.nan, joint_words()), REFUSED),
        "infinite": Attack(with_number(math.inf, joint_words()), REFUSED),
        "missing": Attack(lacking_one, REFUSED),
        "swapped": Attack(each(lambda pose: pose[..., swapped, :]), EQUAL),
        "mirrored": Attack(each(lambda pose: pose * np.array([-1.0, 1, 1])), EQUAL),
        "times_1000": Attack(each(lambda pose: pose * 1000), EITHER),
        "single": Attack(single, REFUSED),
        "exchanged": Attack(exchanged, EQUAL),
        "shuffled": Attack(shuffled, EQUAL),
        "doubled": Attack(doubled, REFUSED),
        "empty": Attack(empty, REFUSED),
    }
    return {name: a for name, a in {**attacks, **changes}.items() if a is not None}
