"""Parameters of the examples of a list, with what their datasets say of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from posepile.bodies.batches import family_of, kind_of_body
from posepile.bodies.models import find_body_model, load_body_model, require_body_model
from posepile.errors import WorkError
from posepile.store import bulk

OFFICIAL_SIZES = {"smpl": 6890, "smplh": 6890, "smplx": 10475}


class Given:
    """Parameters of some examples, and what goes with them to the room of bodies.

    Attributes:
        bodies: Parameters of each example; None where there are none, or no model file.
        where: Which example each is, for messages.
        n_betas: How many shape components hold shape; None = all.
        lacking: What is said of the model files that are not on disk, as keys.
    """

    def __init__(self, bodies, where, n_betas, lacking, models_root):
        self.bodies, self.where, self.n_betas = bodies, where, n_betas
        self.lacking, self.root = lacking, models_root

    def items(self) -> Iterator[tuple[dict[str, Any] | None, str]]:
        """Iterates over parameters and which example they are of."""
        return zip(self.bodies, self.where, strict=True)

    def how(self) -> dict[str, Any]:
        """Returns what :func:`posepile.bodies.batches.alike_bodies` is given beside the bodies."""
        return {
            "n_valid_betas": self.n_betas,
            "where": self.where,
            "models_root": self.root,
        }


class ExampleBodies:
    """Reads parameters of a list of examples.

    Args:
        examples: An ``ExampleList``.
        n_valid_betas: As of :func:`posepile.posing.posed.posed_chunks`.
        skip_missing: As there.
        models_root: As there.
    """

    def __init__(
        self, examples: Any, n_valid_betas: int | None, skip_missing: bool, models_root: Any
    ):
        self.examples, self.skip, self.root = examples, skip_missing, models_root
        self.there = examples.column("has_parameters")
        self.n_betas = _valid_betas(examples, n_valid_betas)
        self.known: dict[tuple, str] = {}

    def first(self) -> tuple[str, dict] | None:
        """Returns kind and parameters of the first example that has any."""
        if not self.there.any():
            return None
        example = self.examples[int(np.argmax(self.there))]
        return kind_of_body(example.parameters, example.image_path), example.parameters

    def at(self, positions: np.ndarray) -> Given:
        """Returns the parameters of the examples at some positions."""
        bodies, where, lacking = [], [], {}
        for i in positions.tolist():
            example = self.examples[i] if self.there[i] else None
            body = None if example is None else example.parameters
            place = "" if example is None else f"{example.image_path}, example {i} of the list"
            if body and self.skip and (line := self._lacking(body, place)):
                lacking[line], body = None, None
            bodies.append(body or None)
            where.append(place)
        n_betas = [None if n < 0 else int(n) for n in self.n_betas[positions]]
        return Given(bodies, where, n_betas, lacking, self.root)

    def _lacking(self, body: Mapping[str, Any], place: str) -> str:
        """Returns what is said of a model file that is not there, else nothing."""
        n_betas = np.size(body.get("shape", ()))
        key = kind_of_body(body, place), str(body.get("gender")), n_betas
        if key not in self.known:
            who = {"n_betas": n_betas, "models_root": self.root}
            self.known[key] = ""
            if find_body_model(*key[:2], **who) is None:
                try:
                    require_body_model(*key[:2], **who)
                except WorkError as e:
                    self.known[key] = str(e)
        return self.known[key]

    def n_vertices(self, kind: str, first, every: int, at) -> int:
        """Returns how many vertices of a kind of model there are when only some are wanted."""
        if at is not None:
            return len(at)
        n = OFFICIAL_SIZES[family_of(kind)]
        genders = [first[1].get("gender", "neutral")] if first else []
        for gender in [*genders, "neutral", "male", "female"]:
            if find_body_model(kind, str(gender), models_root=self.root) is not None:
                n = load_body_model(kind, str(gender), models_root=self.root).num_vertices
                break
        return -(-n // every)


def _valid_betas(examples, given: int | None) -> np.ndarray:
    """Returns how many shape components hold shape, int ``[n]``; -1 = all."""
    if given is not None:
        return np.full(len(examples), given)
    result = np.full(len(examples), -1)
    for positions, _, source in bulk.by_source(examples):
        if source is not None:
            result[bulk.as_slice(positions)] = _valid_betas_of(source)
            continue
        for i in positions:
            origin = getattr(examples[int(i)], "_origin", None)
            place = getattr(origin, "place", None)
            result[i] = -1 if place is None else _valid_betas_of(place[0])
    return result


def _valid_betas_of(source) -> int:
    if not hasattr(source, "archive"):
        return -1
    n = source.archive().metadata.get("n_valid_betas")
    return -1 if n is None else int(n)
