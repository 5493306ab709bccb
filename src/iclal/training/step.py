"""One step's gradient, however it is cut into micro-batches: the sum over all target tokens, divided once.

Each micro-batch adds the gradient of its *sum*; the total is divided by the target tokens of the whole step. So 8 x 1,
4 x 2 and 1 x 8 give the same gradient, also when targets differ in length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from iclal.errors import TrainingError


class Batch(Protocol):
    """What a micro-batch must tell of itself; the rest is between the drawing and the loss."""

    @property
    def ids(self) -> Sequence[str]:
        """Ids of its items, named when something goes wrong with them."""
        ...

    @property
    def units(self) -> Mapping[str, float]:
        """What it holds, by unit, for the rates in the log: {"tokens": 3012} or {"audio_seconds": 29.4}."""
        ...


AnyBatch = TypeVar("AnyBatch", bound=Batch)


Content = TypeVar("Content")


@dataclass(frozen=True)
class SimpleBatch(Generic[Content]):
    """A batch of anything: `content` is what the loss works on."""

    content: Content
    ids: Sequence[str]
    units: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class StepLoss:
    """The loss of one micro-batch.

    `sum` is a scalar with a gradient, summed over target tokens (an objective with a weight or a denominator of its own
    is brought to this scale before); `count` is the number of target tokens; `parts` are sums too, for the log.
    """

    sum: Tensor
    count: float
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass
class StepSums:
    """What the micro-batches of a step add up to. `bad_ids`: items of those whose loss was not finite."""

    loss: float = 0.0
    count: float = 0.0
    parts: dict[str, float] = field(default_factory=dict)
    units: dict[str, float] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)
    bad_ids: list[str] = field(default_factory=list)

    def add(self, loss: float, result: StepLoss, batch: Batch) -> None:
        """Count one micro-batch in."""
        self.ids += batch.ids
        for name, value in batch.units.items():
            self.units[name] = self.units.get(name, 0.0) + value
        if not math.isfinite(loss):
            self.bad_ids += batch.ids
            return
        self.loss += loss
        self.count += result.count
        for name, value in result.parts.items():
            self.parts[name] = self.parts.get(name, 0.0) + value


def accumulate(
    batches: Sequence[AnyBatch] | Iterator[AnyBatch],
    loss: Callable[[AnyBatch], StepLoss],
    parameters: Sequence[nn.Parameter],
    autocast: torch.dtype = torch.float32,
) -> StepSums:
    """Forward and backward over the micro-batches of a step; `parameters` then hold the gradient per target token.

    A micro-batch whose loss is not finite gives no gradient and is named in `bad_ids`.

    Raises:
        TrainingError: memory ran out; names the items.
    """
    sums = StepSums()
    device = parameters[0].device
    for batch in batches:
        with named_memory_errors(batch):
            with torch.autocast(device.type, autocast, enabled=autocast != torch.float32):
                result = loss(batch)
            value = float(result.sum.detach())
            sums.add(value, result, batch)
            if math.isfinite(value) and result.sum.requires_grad:
                result.sum.backward()
    if sums.count:
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad.mul_(1.0 / sums.count)
    return sums


def clip_gradient(parameters: Sequence[nn.Parameter], clip_norm: float | None) -> float:
    """Scale the gradient down to `clip_norm`; returns its norm before, which is not finite if the gradient is not."""
    return float(nn.utils.clip_grad_norm_(parameters, math.inf if clip_norm is None else clip_norm))


@contextmanager
def denormals_as_zero() -> Iterator[None]:
    """This thread takes numbers too small for float32's full precision for zero; others that torch has begun do not.

    Gradients of sharp posteriors are full of them, and a processor multiplies them up to forty times slower than others
    (docs/log.md).
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@contextmanager
def named_memory_errors(batch: Batch) -> Iterator[None]:
    """An out-of-memory error with the ids and sizes of the batch and a way out."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        text = str(error).lower()
        if not isinstance(error, MemoryError) and "out of memory" not in text and "can't allocate memory" not in text:
            raise
        sizes = ", ".join(f"{value:g} {name.replace('_', ' ')}" for name, value in batch.units.items())
        raise TrainingError(
            f"out of memory on a batch of {len(batch.ids)} items ({sizes}; {shown_ids(batch.ids)}): halve the batch "
            "budget and double micro_batches, which trains the same"
        ) from error


def shown_ids(ids: Sequence[str], most: int = 8) -> str:
    """The first ids and how many more.

    >>> shown_ids(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    rest = len(ids) - most
    return ", ".join(ids[:most]) + (f" and {rest} more" if rest > 0 else "")
