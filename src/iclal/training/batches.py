"""Which items stand in which batch: a pure function of (seed, number of the batch), within a budget of padded sizes.

Items are sorted by the share of the budget they take and cut into buckets once; every epoch shuffles inside the buckets
and shuffles the batches. So each epoch has the same number of batches, holds each item exactly once, and the position
of a run is a counter: resuming costs nothing.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic

import numpy as np
import torch
from pydantic import Field

from iclal.errors import DataError, SettingsError
from iclal.settings import Settings
from iclal.training.step import AnyBatch, shown_ids

_BATCHES_A_BUCKET = 8  # fewer: less padding, but neighbours in length meet in every epoch; more: the other way


@dataclass(frozen=True)
class Size:
    """What an item takes: samples of its longest clip (as augmented), clips, tokens of text."""

    samples: int = 0
    tokens: int = 0
    clips: int = 1  # all clips of a batch are padded to the longest

    @property
    def padded(self) -> int:
        """Samples that it takes alone."""
        return self.samples * self.clips


class BatchBudget(Settings):
    """Limits of a batch: longest clip times number of clips, in samples, and longest item times number of items, in
    tokens. None is no limit."""

    max_samples: int | None = Field(default=None, gt=0)
    max_tokens: int | None = Field(default=None, gt=0)
    max_items: int = Field(default=64, gt=0)

    def share(self, size: Size) -> float:
        """The share of a batch that the item takes; above 1 it fits into none."""
        shares = [1 / self.max_items]
        if self.max_samples is not None:
            shares.append(size.padded / self.max_samples)
        if self.max_tokens is not None:
            shares.append(size.tokens / self.max_tokens)
        return max(shares)

    def capacity(self, longest: Size) -> int:
        """How many items of at most this size in every respect a batch holds."""
        limits = [self.max_items]
        if self.max_samples is not None and longest.padded:
            limits.append(self.max_samples // longest.padded)
        if self.max_tokens is not None and longest.tokens:
            limits.append(self.max_tokens // longest.tokens)
        return min(limits)


class Plan:
    """Batches of item ids without end, by number: `plan.batch(step * micro_batches + micro)`.

    Two plans of the same sizes, budget and seed are the same plan. `short_first_epochs` epochs go from short items to
    long ones (of one clip first, still shuffled inside buckets), which helps a CTC encoder over its start.

    Raises:
        DataError: no items, or items over the budget; names them with their numbers.

    >>> plan = Plan({"a": Size(3), "b": Size(5), "c": Size(4)}, BatchBudget(max_samples=10), seed=1)
    >>> plan.batches_per_epoch, sorted(plan.batch(0) + plan.batch(1))
    (2, ['a', 'b', 'c'])
    """

    def __init__(
        self, sizes: Mapping[str, Size], budget: BatchBudget, seed: int, *, short_first_epochs: int = 0
    ) -> None:
        if not sizes:
            raise DataError("there are no items to make batches of")
        _check_fit(sizes, budget)
        self.sizes, self.budget, self.seed = dict(sizes), budget, seed
        self.short_first_epochs = short_first_epochs
        by_share = sorted(sizes, key=lambda id: (budget.share(sizes[id]), sizes[id].padded, sizes[id].tokens, id))
        ordered = sorted(by_share, key=lambda id: sizes[id].clips)
        self._ids = np.array(ordered, dtype=object)
        self._buckets = list(_buckets([sizes[id] for id in ordered], budget))
        self.batches_per_epoch = sum(bucket.batches for bucket in self._buckets)
        self._epoch: tuple[int, list[np.ndarray]] | None = None

    def batch(self, number: int) -> tuple[str, ...]:
        """The ids of the batch of this number, counted from 0 over all epochs."""
        epoch, position = divmod(number, self.batches_per_epoch)
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = (epoch, self._order(epoch))
        return tuple(self._ids[self._epoch[1][position]])

    def worst_batches(self) -> list[tuple[str, ...]]:
        """The largest batches that can come: most padded samples, most padded tokens, and the longest items."""

        def of_most(unit: str) -> list[tuple[str, ...]]:
            """The largest batch of each bucket."""
            found = []
            for bucket in self._buckets:
                ids = sorted(
                    self._ids[bucket.start : bucket.stop], key=lambda id: getattr(self.sizes[id], unit), reverse=True
                )
                found.append(tuple(ids[: bucket.most_items]))
            return found

        found: list[tuple[str, ...]] = []
        for unit in ("padded", "tokens"):
            found.append(max(of_most(unit), key=lambda ids: len(ids) * getattr(self.sizes[ids[0]], unit)))
        for unit in ("samples", "tokens"):  # attention grows faster than the length of a single one
            found.append(max(of_most(unit), key=lambda ids: getattr(self.sizes[ids[0]], unit)))
        return list(dict.fromkeys(found))

    def digest(self) -> str:
        """SHA-256 of all that decides the order: a resumed run with another plan is refused by it."""
        limits = list(self.budget.model_dump().values())
        digest = hashlib.sha256(f"{self.seed} {self.short_first_epochs} {limits}\n".encode())
        for id in self._ids:
            size = self.sizes[id]
            digest.update(f"{id}\t{size.samples}\t{size.tokens}\t{size.clips}\n".encode())
        return digest.hexdigest()

    def _order(self, epoch: int) -> list[np.ndarray]:
        """The batches of an epoch as arrays of positions in the sorted ids."""
        generator = np.random.default_rng([self.seed, epoch])
        batches: list[np.ndarray] = []
        for bucket in self._buckets:
            shuffled = bucket.start + generator.permutation(bucket.stop - bucket.start)
            batches += np.array_split(shuffled, bucket.batches)
        if epoch < self.short_first_epochs:
            return batches
        return [batches[index] for index in generator.permutation(len(batches))]


@dataclass(frozen=True)
class _Bucket:
    """Items `start` to `stop` of the sorted ids, cut evenly into `batches`."""

    start: int
    stop: int
    batches: int

    @property
    def most_items(self) -> int:
        """Items of its fullest batch."""
        return -(-(self.stop - self.start) // self.batches)


def _buckets(sizes: list[Size], budget: BatchBudget) -> list[_Bucket]:
    """Cut sorted sizes into buckets of some full batches each; every batch of a bucket is within the budget.

    Items of a bucket have equally many clips: many beside a long one would all be padded to that.
    """
    buckets = []
    start, samples, tokens = 0, 0, 0
    for position, size in enumerate(sizes):
        samples, tokens = max(samples, size.samples), max(tokens, size.tokens)
        capacity = budget.capacity(Size(samples, tokens, size.clips))
        count = position + 1 - start
        is_last = position == len(sizes) - 1 or sizes[position + 1].clips != size.clips
        if count >= _BATCHES_A_BUCKET * capacity or is_last:
            buckets.append(_Bucket(start, position + 1, -(-count // capacity)))
            start, samples, tokens = position + 1, 0, 0
    return buckets


def _check_fit(sizes: Mapping[str, Size], budget: BatchBudget) -> None:
    over = [
        f"{id} ({size.padded} samples, {size.tokens} tokens)" for id, size in sizes.items() if budget.share(size) > 1
    ]
    if over:
        limits = f"{budget.max_samples} samples, {budget.max_tokens} tokens"
        raise DataError(
            f"{len(over)} of {len(sizes)} items are larger than a batch may be ({limits}): {shown_ids(over)}; "
            "raise the budget, or drop them by a length limit of the data settings"
        )


class Ahead(Generic[AnyBatch]):
    """`draw_batch`, some batches ahead on a thread of its own, so that reading does not wait for training.

    What comes out is the same: drawing is a function of (step, micro) and touches no global generator. Nothing behind
    the last of `steps` is drawn. Use as a context manager, which ends the thread.
    """

    def __init__(
        self, draw: Callable[[int, int], AnyBatch], micro_batches: int, ahead: int = 2, *, steps: int | None = None
    ) -> None:
        if ahead < 1:
            raise SettingsError(f"batches are drawn at least 1 ahead, not {ahead}; leave `Ahead` out to draw none")
        self._draw, self._micro_batches, self._ahead = draw, micro_batches, ahead
        self._end = None if steps is None else steps * micro_batches
        threads = torch.get_num_threads()
        # OpenMP counts threads per calling thread: without this, each torch call in there would take all cores
        self._pool = ThreadPoolExecutor(1, "draw", initializer=lambda: torch.set_num_threads(threads))
        self._coming: OrderedDict[int, Future[AnyBatch]] = OrderedDict()

    def __call__(self, step: int, micro: int) -> AnyBatch:
        number = step * self._micro_batches + micro
        for old in [n for n in self._coming if n < number]:
            self._coming.pop(old).cancel()
        for wanted in range(number, number + self._ahead + 1):
            if wanted not in self._coming and (self._end is None or wanted < self._end):
                self._coming[wanted] = self._pool.submit(self._draw, *divmod(wanted, self._micro_batches))
        return self._coming.pop(number).result()

    def __enter__(self) -> Ahead[AnyBatch]:
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
