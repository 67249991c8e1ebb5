"""Joints and vertices of the body models of examples, of one dataset or of many."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from posepile.bodies.batches import Batch, alike_bodies, family_of, kind_of_body
from posepile.bodies.conversion import Conversion, convert_bodies
from posepile.bodies.joints import JOINT_NAMES, N_JOINTS
from posepile.bodies.models import body_forward
from posepile.errors import UsageError, WorkError
from posepile.posing.given import OFFICIAL_SIZES, ExampleBodies, Given
from posepile.store.example_list import as_example_list


@dataclass(frozen=True, eq=False)
class PosedChunk:
    """Bodies of some examples that follow each other in a list.

    Attributes:
        positions: Where in the list they are, int64 ``[n]``.
        kind: Whose joints and vertices these are.
        joint_names: Names of the joints, ``J``.
        joints: float32 ``[n, J, 3]`` millimetres in the world; NaN = not known.
        vertices: float32 ``[n, V, 3]`` likewise; None where they were not asked for.
        own_kinds: Kind of each example's own model; '' without parameters, or without its file.
        error_mm: Mean error of the conversion, ``[n]``: 0 where the model is the example's own,
            NaN where nothing was posed or only the joints of the same names were taken.
        lacking: What model files are missing and where they belong, one line each.
    """

    positions: np.ndarray
    kind: str
    joint_names: tuple[str, ...]
    joints: np.ndarray
    vertices: np.ndarray | None
    own_kinds: list[str]
    error_mm: np.ndarray
    lacking: tuple[str, ...]


def posed_chunks(
    examples: Any,
    kind: str | None = None,
    *,
    vertices: bool = True,
    convert: bool = False,
    every: int = 1,
    at: Sequence[int] | None = None,
    size: int = 64,
    n_valid_betas: int | None = None,
    skip_missing: bool = False,
    models_root: str | os.PathLike | None = None,
) -> Iterator[PosedChunk]:
    """Iterates over the posed bodies of a list of examples, some at a time, in its order.

    What docs/FORMAT.md says of parameters holds: ``scale`` and ``kid_factor`` are applied, hands
    that lack their mean get it, and shape components that hold no shape in their dataset
    (``n_valid_betas``) are left out.

    Args:
        examples: An ``ExampleList``, of one dataset or merged, or any list of examples.
        kind: Whose joints and vertices are wanted: ``smpl``, ``smplh``, ``smplx``, or a variant.
            Of a body of another model the joints of the same names are given, and its vertices
            where the meshes are the same (SMPL and SMPL-H). None: that of the first example with
            parameters, which all others have to be of.
        vertices: Whether vertices are wanted, too (much slower).
        convert: Whether bodies of other models are converted, see
            :func:`posepile.bodies.conversion.convert_bodies` (slower still).
        every: Only every n-th vertex.
        at: Only these vertices, in this order.
        size: Examples at a time.
        n_valid_betas: Instead of what each example's dataset says.
        skip_missing: Whether bodies whose model file is not on disk are left NaN, and the file is
            named in ``lacking``; else it is an error.
        models_root: As of :func:`posepile.bodies.models.body_forward`.

    Raises:
        UsageError: No example has parameters, or they are of several models, and ``kind`` is not
            given; or smplfitter is not installed.
        WorkError: A model file is not on disk; says where it belongs.
        CorruptInput: Parameters of an example are damaged.
    """
    if kind is not None and kind not in N_JOINTS:
        raise UsageError(f"body model kind {kind!r} is unknown; known: {', '.join(N_JOINTS)}")
    if size < 1:
        raise UsageError(f"size={size}: expected a number from 1")
    examples = as_example_list(examples)
    only = kind is None
    bodies = ExampleBodies(examples, n_valid_betas, skip_missing, models_root)
    first = bodies.first()
    if kind is None:
        if first is None:
            raise UsageError(
                f"none of the {len(examples)} examples has body parameters; with kind=... there "
                "are NaN for all of them"
            )
        kind = first[0]
    n_vertices = bodies.n_vertices(kind, first, every, at)
    pick = {"every": every, "at": at, "models_root": models_root}
    for positions in _cuts(len(examples), size):
        given = bodies.at(positions)
        if only:
            _refuse_others(given, kind)
        names = JOINT_NAMES[family_of(kind)]
        chunk = PosedChunk(
            positions,
            kind,
            names,
            np.full((len(positions), len(names), 3), np.nan, np.float32),
            np.full((len(positions), n_vertices, 3), np.nan, np.float32) if vertices else None,
            [kind_of_body(b, w) if b else "" for b, w in given.items()],
            np.full(len(positions), np.nan),
            tuple(given.lacking),
        )
        found = given.bodies
        if convert and any(own not in ("", kind) for own in chunk.own_kinds):
            converted = convert_bodies(found, kind, **given.how())
            found, chunk.error_mm[:] = converted.parameters, converted.mean_mm
            how = given.how() | {"n_valid_betas": None}
        else:
            how = given.how()
        for batch in alike_bodies(found, **how):
            _fill(chunk, batch, pick)
        yield chunk


def converted_chunks(
    examples: Any,
    kind: str,
    *,
    gender: str | None = None,
    n_betas: int = 10,
    fit_to: Literal["best", "points"] = "best",
    size: int = 256,
    n_valid_betas: int | None = None,
    skip_missing: bool = False,
    models_root: str | os.PathLike | None = None,
) -> Iterator[tuple[np.ndarray, Conversion]]:
    """Iterates over positions in a list of examples and their bodies in one kind of model.

    Args:
        examples: As of :func:`posed_chunks`.
        kind: As of :func:`posepile.bodies.conversion.convert_bodies`, as are ``gender``,
            ``n_betas`` and ``fit_to``.
        gender: See there.
        n_betas: See there.
        fit_to: See there.
        size: As of :func:`posed_chunks`.
        n_valid_betas: As there.
        skip_missing: Whether bodies whose own model is not on disk are left out (None).
        models_root: As there.
    """
    examples = as_example_list(examples)
    bodies = ExampleBodies(examples, n_valid_betas, skip_missing, models_root)
    more: dict[str, Any] = {"gender": gender, "n_betas": n_betas, "fit_to": fit_to}
    for positions in _cuts(len(examples), size):
        given = bodies.at(positions)
        yield positions, convert_bodies(given.bodies, kind, **more, **given.how())


def _cuts(n: int, size: int) -> Iterator[np.ndarray]:
    return (np.arange(i, min(i + size, n)) for i in range(0, n, size))


def _fill(chunk: PosedChunk, batch: Batch, pick: Mapping[str, Any]) -> None:
    own, wanted = family_of(batch.kind), family_of(chunk.kind)
    same_mesh = OFFICIAL_SIZES[own] == OFFICIAL_SIZES[wanted]
    with_mesh = chunk.vertices is not None and same_mesh
    found = body_forward(batch.kind, batch.gender, batch.params, vertices=with_mesh, **pick)
    names = JOINT_NAMES[own]
    if own == wanted:
        chunk.joints[batch.positions] = found["joints"] * np.float32(1000)
        blank = np.isnan(chunk.error_mm[batch.positions])
        chunk.error_mm[batch.positions[blank]] = 0.0
    else:
        common = [name for name in chunk.joint_names if name in names]
        to = [chunk.joint_names.index(name) for name in common]
        joints = found["joints"][:, [names.index(name) for name in common]]
        chunk.joints[batch.positions[:, None], to] = joints * np.float32(1000)
    if with_mesh and chunk.vertices is not None:
        mesh = found["vertices"]
        if mesh.shape[1] != chunk.vertices.shape[1]:
            raise WorkError(
                f"{batch.kind} {batch.gender} body model: found {mesh.shape[1]} vertices; "
                f"expected {chunk.vertices.shape[1]}, as others have"
            )
        chunk.vertices[batch.positions] = mesh * np.float32(1000)


def _refuse_others(given: Given, kind: str) -> None:
    for body, where in given.items():
        if body and family_of(other := kind_of_body(body, where)) != family_of(kind):
            raise UsageError(
                f"{where}: found {other} parameters, while the first are {kind}; say which "
                "kind is wanted, e.g. kind='smplx' (with convert=True all become that)"
            )
