"""People as pictures list them, turned into tracks by their index within the picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np

from posepile.recipe import Track

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Person:
    """One person in one picture; what is None is not known.

    Attributes:
        world_coords: ``[J, 3]`` millimetres, NaN = missing.
        image_coords: ``[J, 2]`` pixels of the picture, NaN = missing.
        bbox: x, y, width, height in pixels of the picture.
        mask: Gives the RLE mask of the person, or None if there is none; called only where the
            person becomes an example.
        parameters: Gives the body-model parameters; called likewise.
        unusable: Why the person gives no example although selected.
    """

    world_coords: np.ndarray | None = None
    image_coords: np.ndarray | None = None
    bbox: np.ndarray | None = None
    mask: Callable[[], dict | None] | None = None
    parameters: Callable[[], dict | None] | None = None
    unusable: str | None = None


class Rows:
    """Rows of a track's array that are made when asked for, e.g. boxes of masks read then.

    >>> Rows([5, 7], lambda k: 10 * k)[1]
    70

    Args:
        keys: What each row is made from.
        make: Makes it.
    """

    def __init__(self, keys: Sequence, make: Callable[[Any], np.ndarray]):
        self._keys, self._make = keys, make

    def __len__(self) -> int:
        """Returns the number of rows."""
        return len(self._keys)

    def __getitem__(self, k: int) -> np.ndarray:
        """Returns the k-th row."""
        return self._make(self._keys[k])


def tracks_of_pictures(pictures: Iterable[dict[int, Person]]) -> list[Track]:
    """Returns one track for each person index: the k-th people of all pictures.

    >>> tall, small = (Person(bbox=np.array([0, 0, 9, h])) for h in (90, 9))
    >>> [track.frames.tolist() for track in tracks_of_pictures([{0: tall, 1: small}, {1: tall}])]
    [[0], [0, 1]]

    They have nothing in common but the index, which is all that stills allow; the frame is the
    position of the picture.

    Args:
        pictures: Index -> person of every picture. An index that is not there was left out.
    """
    seen: dict[int, list[tuple[int, Person]]] = {}
    for frame, people in enumerate(pictures):
        for index, person in people.items():
            seen.setdefault(index, []).append((frame, person))
    return [_track(index, entries) for index, entries in sorted(seen.items())]


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yields lists of so many items, the last one shorter.

    >>> list(chunks("abcde", 2))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    chunk = []
    for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _track(index: int, entries: list[tuple[int, Person]]) -> Track:
    people = [person for _, person in entries]
    given = {f.name: [getattr(p, f.name) for p in people] for f in fields(Person)}

    def of_frame(name: str) -> Any:
        functions = given[name]
        if all(function is None for function in functions):
            return None
        return lambda k: None if functions[k] is None else functions[k]()

    return Track(
        frames=np.array([frame for frame, _ in entries]),
        person=index,
        world_coords=_stack(given["world_coords"]),
        image_coords=_stack(given["image_coords"]),
        bbox=_stack(given["bbox"]),
        mask=of_frame("mask"),
        parameters=of_frame("parameters"),
        unusable=lambda k: people[k].unusable,
    )


def _stack(values: list[np.ndarray | None]) -> np.ndarray | None:
    """float32 arrays one upon the other, NaN for those that are None; None if all are."""
    known = next((value for value in values if value is not None), None)
    if known is None:
        return None
    missing = np.full(np.shape(known), np.nan)
    return np.stack([missing if v is None else np.asarray(v) for v in values]).astype(np.float32)
