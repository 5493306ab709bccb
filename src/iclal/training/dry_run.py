"""What a run will take, found by doing a little of it: the largest batches and one usual step, without an update."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from iclal.training.progress import duration, memory_mib
from iclal.training.random_state import kept_random_state
from iclal.training.step import AnyBatch, StepLoss, accumulate, denormals_as_zero
from iclal.training.train_settings import TrainSettings


@dataclass(frozen=True)
class Estimate:
    """Peak memory of the run in MiB (optimiser state included) and its time without validation.

    `hearing_seconds` is what a frozen encoder takes before the first step, to hear every clip once.
    """

    parameters: int
    memory_mib: float
    worst_batch_seconds: float
    step_seconds: float
    steps: int
    hearing_seconds: float = 0.0

    def __str__(self) -> str:
        hearing = f"{duration(self.hearing_seconds)} to hear all clips once; " if self.hearing_seconds else ""
        seconds = self.step_seconds * self.steps
        return hearing + (
            f"{self.parameters:,} trained parameters; about {self.memory_mib:,.0f} MiB at the peak; "
            f"{self.step_seconds:.2f} s a step, {duration(seconds)} for {self.steps:,} steps without "
            f"validation; the largest batch takes {self.worst_batch_seconds:.2f} s"
        )


def estimate(
    trainable: nn.Module,
    groups: Mapping[str, Sequence[nn.Parameter]],
    draw_batch: Callable[[int, int], AnyBatch],
    loss: Callable[[AnyBatch], StepLoss],
    settings: TrainSettings,
    worst: Iterable[AnyBatch] = (),
) -> Estimate:
    """Memory and time that `fit` with the same arguments will take; weights and generators are left as they are.

    Raises:
        TrainingError: the largest batch does not fit into memory; names its items and what to set.
    """
    settings.use_threads()
    parameters = [parameter for group in groups.values() for parameter in group]
    mode = trainable.training
    autocast = getattr(torch, settings.autocast)

    def seconds_of(batches: Iterable[AnyBatch]) -> float:
        start = time.monotonic()
        accumulate(iter(batches), loss, parameters, autocast)
        for parameter in parameters:
            parameter.grad = None
        if parameters[0].device.type == "cuda":
            torch.cuda.synchronize()  # else the backward pass is only begun
        return time.monotonic() - start

    trainable.train()
    try:
        with kept_random_state(parameters[0].device), denormals_as_zero():
            worst_seconds = max((seconds_of([batch]) for batch in worst), default=0.0)
            seconds_of([draw_batch(0, 0)])  # the first call of anything is slow: not timed
            step_seconds = seconds_of(draw_batch(0, micro) for micro in range(settings.micro_batches))
    finally:
        trainable.train(mode)
    count = sum(parameter.numel() for parameter in parameters)
    state_mib = 2 * 4 * count / 2**20  # two float32 moments a parameter; Muon keeps one, which is rounded up here
    peak = memory_mib(parameters[0].device) + state_mib
    return Estimate(count, peak, worst_seconds, step_seconds, settings.steps)
