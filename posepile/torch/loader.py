"""Batches for training, whose place in an epoch can be kept and gone on from."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import cv2
from torch import distributed
from torch.utils.data import DataLoader

from posepile.errors import UsageError
from posepile.torch.collate import collate
from posepile.torch.dataset import CropDataset
from posepile.torch.draw import given_number
from posepile.torch.sampler import ShardShuffleSampler


def rank_and_world_size() -> tuple[int, int]:
    """Returns this process's rank and the number of processes of a training.

    As ``torch.distributed`` says, or before it is set up what ``torchrun`` puts into the
    environment; 0 of 1 without either.
    """
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    try:
        return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    except ValueError:
        found = {name: os.environ.get(name) for name in ("RANK", "WORLD_SIZE")}
        raise UsageError(f"environment: found {found}, expected whole numbers") from None


class _WorkerStart:
    # A worker is one of many: OpenCV, as torch does by itself, computes in one thread there.

    def __init__(self, then: Callable[[int], Any] | None):
        self.then = then

    def __call__(self, number):
        cv2.setNumThreads(1)
        if self.then is not None:
            self.then(number)


class CropLoader(DataLoader):
    """Shuffled batches of a list of examples, epoch after epoch.

    Each iteration is an epoch and the next one another: ``epoch`` says which is in progress, or
    comes next. One that was left early is gone on with by the next iteration. ``state_dict`` in
    the loop says where training stands, this batch included; after ``load_state_dict`` the next
    iteration goes on with the batch after it, with any number of workers. With another number of
    processes it goes on with the examples that none of them had.

    >>> from posepile.datasets3d import TRAIN, get_dataset
    >>> ds = get_dataset("aspset")
    >>> from posepile.torch import CropDataset
    >>> data = CropDataset(ds.examples[TRAIN], lambda ex: (ex.image, ex.image_path))
    >>> loader = CropLoader(data, batch_size=8)
    >>> for batch in loader:
    ...     print(loader.epoch, tuple(batch[0].shape), len(batch[1]))
    0 (8, 96, 128, 3) 8
    0 (8, 96, 128, 3) 8
    0 (8, 96, 128, 3) 8

    Args:
        dataset: What is read.
        batch_size: Examples of a batch of this process.
        seed: Of the order; that of the random numbers of transforms is the dataset's.
        weights: As of :class:`ShardShuffleSampler`, as are ``strides``, ``length``, ``block`` and
            ``window``.
        strides: See there.
        length: See there.
        block: See there.
        window: See there.
        rank: This process; by default as ``torch.distributed`` or ``torchrun`` say.
        world_size: Number of processes; likewise.
        options: Those of ``torch.utils.data.DataLoader``: ``num_workers``, ``pin_memory``,
            ``drop_last``, … Workers stay from epoch to epoch unless
            ``persistent_workers=False``; ``collate_fn`` is :func:`collate`.

    Raises:
        UsageError: Arguments are wrong, or an epoch would have no batch.
    """

    def __init__(
        self,
        dataset: CropDataset,
        batch_size: int = 32,
        *,
        seed: int = 0,
        weights: Mapping[str, float | None] | None = None,
        strides: Mapping[str, int] | None = None,
        length: int | None = None,
        block: int = 64,
        window: int = 256,
        rank: int | None = None,
        world_size: int | None = None,
        **options: Any,
    ):
        for name in ("sampler", "batch_sampler", "shuffle"):
            if options.get(name) is not None:
                raise UsageError(
                    f"CropLoader: found {name!r}, which is the loader's own business here; use "
                    "torch.utils.data.DataLoader with collate_fn=posepile.torch.collate for "
                    "another order"
                )
        if not options.get("in_order", True):
            raise UsageError(
                "CropLoader: found in_order=False, with which batches come in an order that "
                "state_dict cannot tell; leave it out"
            )
        batch_size = given_number("CropLoader: batch_size", batch_size, 1)
        if (rank is None) != (world_size is None):
            raise UsageError("CropLoader: expected both of rank and world_size, or none")
        if rank is None:
            rank, world_size = rank_and_world_size()
        sampler = ShardShuffleSampler(
            dataset.examples,
            seed,
            rank,
            world_size,
            block,
            window,
            weights=weights,
            strides=strides,
            length=length,
        )
        options.setdefault("persistent_workers", options.get("num_workers", 0) > 0)
        options.setdefault("collate_fn", collate)
        if options.get("num_workers", 0) > 0:
            options["worker_init_fn"] = _WorkerStart(options.get("worker_init_fn"))
        self._batches = 0  # handed over by the last iteration,
        self._began: tuple[int, int] | None = None  # which the sampler was here at the start of
        self._iteration: object | None = None
        super().__init__(dataset, batch_size, sampler=sampler, **options)
        if not len(self):
            raise UsageError(
                f"CropLoader: found {len(sampler)} examples of an epoch for each of {world_size} "
                f"processes, which make no batch; expected at least "
                f"{batch_size if self.drop_last else 1}; take fewer processes, a longer list"
                + (", a smaller batch_size, or drop_last=False" if self.drop_last else "")
            )

    @property
    def epoch(self) -> int:
        """The epoch that is in progress or comes next."""
        return self.sampler.epoch

    def __iter__(self) -> Iterator[Any]:
        self.sampler.load_state_dict(self._place())
        self._batches = 0
        self._began = began = self.sampler.place
        self._iteration = token = object()
        return self._iterate(super().__iter__(), token, began)

    def _iterate(self, batches, token, began):
        for batch in batches:
            if self._iteration is not token:
                raise RuntimeError("another iteration of this CropLoader has begun since")
            self._batches += 1
            yield batch
        if self._iteration is token and self.sampler.place == began:
            self.sampler.set_epoch(self.sampler.epoch + 1)
            self._batches = 0

    def _place(self):
        # Where set_epoch has named another place, the iteration before says nothing about it.
        if self.sampler.place != self._began:
            return self.sampler.state_dict()
        # What drop_last leaves over does not come any more.
        taken, size = self._batches * self.batch_size, len(self.sampler)
        done = taken >= size or (self.drop_last and taken and size - taken < self.batch_size)
        return self.sampler.state_dict(size if done else taken)

    def state_dict(self) -> dict[str, Any]:
        """Returns where training stands: numbers that go into a checkpoint as they are."""
        return {**self._place(), "draws": self.dataset.seed}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state; to be called between iterations.

        Args:
            state: What :meth:`state_dict` returned, on any rank.

        Raises:
            UsageError: It is of another list, or of other settings.
        """
        state = dict(state) if isinstance(state, Mapping) else {}
        if state.pop("draws", None) != self.dataset.seed:
            raise UsageError(
                "load_state_dict: the state is of a CropDataset of another seed, or none of a "
                f"CropLoader; here the dataset's seed is {self.dataset.seed}"
            )
        self.sampler.load_state_dict(state)
        self._batches = 0
        self._iteration = None
