"""What is odd about examples, and in which order a person looks at it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

# Kind -> what it means. The order is that of the codes in files: new ones are added at the end.
KINDS: dict[str, str] = {
    "swapped_sides": "left and right are exchanged",
    "mirrored_image": "the picture is mirrored: joints fit its mirror image better",
    "shifted_camera": "joints lie beside the person, all by the same way",
    "off_by_frames": "joints are of another frame than the picture",
    "wrong_scale": "the person is too large or too small",
    "odd_bone": "a bone is much longer or shorter than elsewhere",
    "uneven_sides": "a bone of the left is not as long as that of the right",
    "jump": "the pose jumps away from its neighbours in time and back",
    "upside_down": "the feet are above the head",
    "outside_mask": "joints lie outside the mask of the person",
    "outside_box": "joints lie outside the box of the person",
    "cut_mask": "the mask runs along the border of the picture",
    "views_differ": "cameras that saw the same instant have different poses for it",
    "reprojection": "annotated places are not where the camera sees the joints",
    "duplicate": "exactly the same pose is there twice",
}
CODES = {kind: code for code, kind in enumerate(KINDS)}


@dataclass(frozen=True)
class Group:
    """Examples of one sequence that are odd in the same way.

    Attributes:
        kind: Of :data:`KINDS`.
        sequence: Id of the sequence; empty where the dataset knows none.
        members: Indices into the arrays of :class:`Suspects`, worst first, int64 ``[k]``.
        total: How many examples the sequence has in the split.
    """

    kind: str
    sequence: str
    members: np.ndarray
    total: int

    @property
    def worst(self) -> int:
        """Index of the worst example into the arrays of :class:`Suspects`."""
        return int(self.members[0])


@dataclass(frozen=True, repr=False, eq=False)
class Suspects:
    """Examples of a split that are probably wrong, worst first; an example may be there twice.

    The order is mixed so that neither one kind nor one sequence fills the first page: first comes
    the worst of each sequence and kind, then the second worst of each, and so on. What is odd
    about a pose is so in all cameras that saw it: there a recording counts as one sequence.

    Attributes:
        positions: Where in the list of the split the examples are, int32 ``[m]``.
        kinds: Numbers of :data:`KINDS`, int8 ``[m]``.
        scores: 1 = at the limit, larger is worse, comparable among kinds, float32 ``[m]``. Where
            a whole sequence is odd, the score is up to a tenth lower, perhaps below 1, for those
            of its examples in which that is hardly to be seen.
        values: The figure that was measured, in the unit that the reason names, float32 ``[m]``.
        details: Number in ``texts`` of the sentence for the figure, int32 ``[m]``.
        texts: Sentences with a place ``{}`` for the figure.
        sequences: Number in ``sequence_names`` of the sequence, int32 ``[m]``.
        sequence_names: Their ids.
        sequence_sizes: How many examples each has, int32.
        n: How many examples were looked at.
    """

    positions: np.ndarray = field(default_factory=lambda: np.empty(0, np.int32))
    kinds: np.ndarray = field(default_factory=lambda: np.empty(0, np.int8))
    scores: np.ndarray = field(default_factory=lambda: np.empty(0, np.float32))
    values: np.ndarray = field(default_factory=lambda: np.empty(0, np.float32))
    details: np.ndarray = field(default_factory=lambda: np.empty(0, np.int32))
    texts: Sequence[str] = ()
    sequences: np.ndarray = field(default_factory=lambda: np.empty(0, np.int32))
    sequence_names: Sequence[str] = ()
    sequence_sizes: np.ndarray = field(default_factory=lambda: np.empty(0, np.int32))
    n: int = 0

    def __repr__(self) -> str:
        return f"<Suspects: {len(self):,} findings in {self.n:,} examples, {self.counts()}>"

    def __len__(self) -> int:
        return len(self.positions)

    def kind(self, i: int) -> str:
        """Returns the kind of one entry, of :data:`KINDS`."""
        return tuple(KINDS)[int(self.kinds[i])]

    def reason(self, i: int) -> str:
        """Returns why an entry is there, as a sentence with its figure."""
        text = self.texts[int(self.details[i])].format(float(self.values[i]))
        return f"{KINDS[self.kind(i)]}: {text}"

    def groups(self) -> list[Group]:
        """Returns the entries by sequence and kind, in the order of their worst."""
        keys = self.sequences.astype(np.int64) * 128 + self.kinds
        _, number = np.unique(keys, return_inverse=True)
        order = np.argsort(number, kind="stable")
        parts = np.split(order, np.cumsum(np.bincount(number))[:-1]) if len(order) else []
        return [
            Group(
                self.kind(members[0]),
                self.sequence_names[self.sequences[members[0]]],
                members,
                int(self.sequence_sizes[self.sequences[members[0]]]),
            )
            for members in sorted(parts, key=lambda some: int(some[0]))
        ]

    def counts(self) -> dict[str, int]:
        """Returns kind -> number of entries, of the kinds that there are."""
        found = np.bincount(self.kinds, minlength=len(KINDS))
        return {kind: int(n) for kind, n in zip(KINDS, found, strict=True) if n}

    def iter_first(self, n: int) -> Iterator[int]:
        """Iterates over the indices of the first entries that are of different examples."""
        seen: set[int] = set()
        for i, position in enumerate(self.positions.tolist()):
            if len(seen) == n:
                return
            if position not in seen:
                seen.add(position)
                yield i
