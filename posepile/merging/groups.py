"""Examples that belong together: views of an instant, people of a picture, frames of a clip.

A group is an array of positions in a list of examples, found from its columns: nothing is loaded
and nothing copied. ``examples[group]`` is the group as a list; :class:`GroupBatches` hands whole
groups to a loader, also as ``batch_sampler`` of PyTorch's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from posepile.errors import UsageError
from posepile.merging.sequences import sequences_of

NO_VIEWS = "ids of its sequences tell no views"
NO_TIME = "frames of its sequences are in no order of time, or that is not known"
NO_PERSON = "who it is within the sequence is not known: pack the dataset again"
ALONE = "too few others that belong to it"
TWICE = "is in the list before"


class Groups(Sequence):
    """Groups of examples, each an array of positions in the list that they were found in.

    Attributes:
        positions: Positions of one group after the other, int32.
        starts: Where each group begins in these, and where the last one ends, int64 ``[n + 1]``.
        left_out: How many examples are in no group, by reason.
    """

    def __init__(self, positions: np.ndarray, starts: np.ndarray, left_out: Counter):
        self.positions = positions
        self.starts = starts
        self.left_out = left_out

    def __len__(self):
        return len(self.starts) - 1

    def __getitem__(self, key):
        """Returns the positions of a group; or groups, of a slice, a mask or many numbers."""
        if not isinstance(key, slice) and np.ndim(key) == 0:
            i = range(len(self))[key]
            return self.positions[self.starts[i] : self.starts[i + 1]]
        return self._some(np.arange(len(self))[key])

    def _some(self, chosen):
        if np.array_equal(chosen, np.arange(len(self))):
            return self
        sizes = self.sizes[chosen]
        starts = np.concatenate([[0], np.cumsum(sizes)])
        places = np.arange(starts[-1]) + np.repeat(self.starts[chosen] - starts[:-1], sizes)
        return Groups(self.positions[places], starts, self.left_out)

    @property
    def sizes(self) -> np.ndarray:
        """How many examples are in each group, int64 ``[n]``."""
        return np.diff(self.starts)

    def __repr__(self):
        lost = "".join(f"; {n:,} in none: {why}" for why, n in self.left_out.items())
        return f"<{len(self):,} groups of {len(self.positions):,} examples{lost}>"


def views_of_instants(examples: Any, *, by_person: bool = True, least: int = 2) -> Groups:
    """Finds the examples that show one instant from several views.

    >>> from posepile.datasets3d import TRAIN, get_dataset
    >>> ds = get_dataset("aspset")
    >>> views = views_of_instants(ds.examples[TRAIN])
    >>> views, [ex.view for ex in ds.examples[TRAIN][views[0]]]
    (<12 groups of 24 examples>, ['left', 'mid'])

    Args:
        examples: An ``ExampleList``, also of merged datasets.
        by_person: A group is one person from several views; else it is everybody there.
        least: Fewest views of a group.

    Returns:
        Groups in the order of their first examples in the list, each in the order of the names of
        the views.
    """
    sequence, facts = sequences_of(examples)
    frame = examples.column("frame").astype(np.int64)
    person = _persons(examples, sequence, facts)
    recording = _numbers([(f.dataset, f.recording) for f in facts])[sequence]
    view = _numbers([f.view for f in facts])[sequence].astype(np.int64)
    if any(f.is_instant for f in facts):  # frames of such a sequence are the views
        own = np.array([f.is_instant for f in facts])[sequence]
        view[own], frame[own] = frame[own], 0
    tells = np.array([f.is_instant or f.view != "unknown" for f in facts], bool)[sequence]
    left_out = Counter({NO_VIEWS: int((~tells).sum())})
    keys = [recording, frame]
    if by_person:
        keys.append(person)
        left_out[NO_PERSON] = int((tells & (person < 0)).sum())
        tells &= person >= 0
    else:
        person = _apart(person)
    return _grouped(_positions(tells), keys, [view, person], least, left_out)


def people_of_pictures(examples: Any, *, least: int = 1) -> Groups:
    """Finds the examples that are of one picture: the people in it.

    >>> from posepile.datasets3d import TRAIN, get_dataset
    >>> ds = get_dataset("aspset")
    >>> people_of_pictures(ds.examples[TRAIN])
    <24 groups of 24 examples>

    Args:
        examples: An ``ExampleList``, also of merged datasets.
        least: Fewest people of a group.

    Returns:
        Groups in the order of their first examples in the list, each in the order of the people.
    """
    sequence, facts = sequences_of(examples)
    keys = [sequence, examples.column("frame")]
    people = _apart(_persons(examples, sequence, facts))
    return _grouped(np.arange(len(examples), dtype=np.int32), keys, [people], least, Counter())


def clips(
    examples: Any,
    length: int,
    step: int | None = 1,
    *,
    every: int | None = None,
    max_gap: int | None = None,
) -> Groups:
    """Finds frames of one person in one sequence that follow each other.

    Packing keeps frames in which somebody has moved: few may be equally far apart then.
    ``step=None`` takes the frames that there are.

    >>> from posepile.datasets3d import TRAIN, get_dataset
    >>> ds = get_dataset("aspset")
    >>> motion = clips(ds.examples[TRAIN], 3)
    >>> motion, ds.examples[TRAIN][motion[0]].column("frame").tolist()
    (<8 groups of 24 examples>, [0, 1, 2])

    Args:
        examples: An ``ExampleList``, also of merged datasets.
        length: How many frames a clip has.
        step: How far neighbours are apart; None: those that were packed, however far.
        every: A clip begins at every so many of these frames; None: where the last one ended.
        max_gap: How far they may be apart, with ``step=None``.

    Returns:
        Groups of ``length`` each, in the order of sequences, people and frames.

    Raises:
        UsageError: A number below 1, or ``max_gap`` where ``step`` says it.
    """
    numbers = {"length": length, "step": step, "every": every, "max_gap": max_gap}
    for name, value in numbers.items():
        if value is not None and value < 1:
            raise UsageError(f"clips: {name}={value}; expected at least 1")
    if step is not None and max_gap is not None:
        raise UsageError("clips: max_gap is for step=None; step says how far frames are apart")
    sequence, facts = sequences_of(examples)
    frame, person = examples.column("frame").astype(np.int64), _persons(examples, sequence, facts)
    in_time = np.array([f.in_time for f in facts], bool)[sequence]
    left_out = Counter({NO_TIME: int((~in_time).sum())})
    left_out[NO_PERSON] = int((in_time & (person < 0)).sum())
    usable = _positions(in_time & (person >= 0))
    phase = frame % step if step else np.zeros(len(frame), bool)
    order = _sorted(usable, [sequence, person, phase, frame])
    order, n_twice = _without_twins(order, [sequence, person, phase, frame])
    left_out[TWICE] = n_twice
    far = np.diff(frame[order])
    linked = (far == step) if step else far <= (max_gap or np.inf)
    for key in (sequence, person, phase):
        linked &= key[order[1:]] == key[order[:-1]]
    begins = np.flatnonzero(np.concatenate([[True], ~linked]))[: len(order)]
    sizes = np.diff(np.concatenate([begins, [len(order)]])) if len(order) else begins
    every = every or length
    n_clips = np.maximum(0, (sizes - length) // every + 1)
    first = np.repeat(begins, n_clips)
    within = np.arange(len(first)) - np.repeat(np.cumsum(n_clips) - n_clips, n_clips)
    places = (first + every * within)[:, None] + np.arange(length)
    left_out[ALONE] = len(order) - len(np.unique(places))
    starts = length * np.arange(len(first) + 1)
    return Groups(order[places.ravel()], starts, +left_out)


class GroupBatches:
    """Batches of whole groups, shuffled; iterates over lists of positions.

    For training on several processes, each rank gets every so many groups, all of them equally
    many batches. The same seed and epoch give the same order.

    >>> from posepile.datasets3d import TRAIN, get_dataset
    >>> ds = get_dataset("aspset")
    >>> batches = GroupBatches(views_of_instants(ds.examples[TRAIN]), 4, seed=0)
    >>> len(batches), [len(positions) for positions in batches]
    (3, [8, 8, 8])

    Args:
        groups: The groups.
        size: How many groups make a batch.
        shuffle: Whether groups are in another order in every epoch.
        seed: Of the shuffling.
        rank: Number of this process, from 0.
        world_size: Number of processes.
        drop_last: Leave out groups that do not fill a batch; with several processes always.
        with_epoch: Yield (position, epoch, number of the group) instead of positions:
            ``posepile.torch.CropDataset`` makes its random numbers of these, other ones for an
            example in each of its groups.
    """

    def __init__(
        self,
        groups: Groups,
        size: int,
        *,
        shuffle: bool = True,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        drop_last: bool = False,
        with_epoch: bool = False,
    ):
        if size < 1:
            raise UsageError(f"GroupBatches: size={size}; expected at least 1")
        if not 0 <= rank < world_size:
            raise UsageError(f"GroupBatches: rank {rank} of {world_size}; expected 0 to one less")
        self.groups, self.size, self.epoch = groups, size, 0
        self.shuffle, self.seed = shuffle, seed
        self.rank, self.world_size = rank, world_size
        self.drop_last = drop_last or world_size > 1
        self.with_epoch = with_epoch

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order; without it, every iteration has the next one."""
        self.epoch = epoch

    def __len__(self):
        n = len(self.groups) // self.world_size if self.world_size > 1 else len(self.groups)
        return n // self.size if self.drop_last else -(-n // self.size)

    def __iter__(self) -> Iterator[list]:
        epoch, order = self.epoch, np.arange(len(self.groups))
        if self.shuffle:
            # Of other random numbers than the draws of (seed, epoch, index, nth)
            key = np.random.SeedSequence([self.seed, epoch], spawn_key=(2,))
            np.random.default_rng(key).shuffle(order)
        self.epoch += 1
        own = order[self.rank :: self.world_size]
        for k in range(len(self)):
            chosen = own[k * self.size : (k + 1) * self.size].tolist()
            members = [(group, np.asarray(self.groups[group]).tolist()) for group in chosen]
            if self.with_epoch:
                yield [(i, epoch, group) for group, own in members for i in own]
            else:
                yield [i for _, own in members for i in own]


def _persons(examples, sequence, facts):
    """Returns who each example is within its recording, -1 where that is not known."""
    track = examples.column("track")
    alone = np.array([f.single_person for f in facts], bool)[sequence]
    return np.where((track < 0) & alone, np.int32(0), track)


def _apart(person):
    """Returns persons, those who are not known as somebody else each time."""
    unknown = person < 0
    if unknown.any():
        person = person.astype(np.int64)
        person[unknown] = person.max() + 1 + np.arange(unknown.sum())
    return person


def _positions(mask):
    return np.flatnonzero(mask).astype(np.int32)


def _numbers(values):
    """Returns the number of each of some values, in the order of the values."""
    places = {value: i for i, value in enumerate(sorted(set(values)))}
    return np.array([places[value] for value in values], np.int32)


def _grouped(usable, keys, order, least, left_out):
    """Returns groups of equal keys; members that also agree in ``order`` are the same twice."""
    positions, n_twice = _without_twins(_sorted(usable, [*keys, *order]), [*keys, *order])
    left_out[TWICE] = n_twice
    differs = _changes(positions, keys)
    starts = np.flatnonzero(differs)
    # How many different values the first of the order has: views, or people.
    kinds = np.cumsum(_changes(positions, [*keys, order[0]]), dtype=np.int32)
    ends = np.concatenate([starts[1:], [len(positions)]]).astype(np.int64)[: len(starts)]
    enough = kinds[ends - 1] - kinds[starts] + 1 >= least
    left_out[ALONE] = int((ends - starts)[~enough].sum())
    first = np.minimum.reduceat(positions, starts) if len(starts) else starts
    chosen = np.flatnonzero(enough)
    chosen = chosen[np.argsort(first[chosen], kind="stable")]
    everything = Groups(positions, np.concatenate([starts, [len(positions)]]), +left_out)
    return everything[chosen]


def _sorted(positions, keys):
    """Returns positions in the order of some keys of all examples."""
    key, room = np.zeros(len(positions), np.int64), 1
    for values in keys:
        own = values[positions]
        low, high = (int(own.min()), int(own.max())) if len(own) else (0, 0)
        room *= high - low + 1
        if room >= 2**63:
            return positions[np.lexsort([k[positions] for k in reversed(keys)])]
        key *= high - low + 1
        key += own - low
    return positions[np.argsort(key, kind="stable")]


def _changes(positions, keys):
    """Returns where a key differs from the one before, in sorted positions."""
    differs = np.zeros(len(positions), bool)
    differs[:1] = True
    for values in keys:
        own = values[positions]
        differs[1:] |= own[1:] != own[:-1]
    return differs


def _without_twins(positions, keys):
    different = _changes(positions, keys)
    return positions[different], int((~different).sum())
