"""The global random generators of Python, NumPy and torch: seeded, kept, put back exactly."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from iclal.errors import TrainingError

CPU = torch.device("cpu")


def random_state(device: torch.device = CPU) -> dict[str, Tensor]:
    """The global generators of Python, NumPy (SpecAugment draws from it) and torch, as tensors of integers; and that of
    the device that a run computes on.
    """
    _, python_words, python_gauss = random.getstate()
    _, numpy_words, position, has_gauss, gauss = np.random.get_state(legacy=True)
    state = {
        "python": torch.tensor(python_words, dtype=torch.int64),
        "python_gauss": torch.tensor([] if python_gauss is None else [python_gauss], dtype=torch.float64),
        "numpy": torch.from_numpy(np.asarray(numpy_words).astype(np.int64)),
        "numpy_position": torch.tensor([position, has_gauss], dtype=torch.int64),
        "numpy_gauss": torch.tensor([gauss], dtype=torch.float64),
        "torch": torch.get_rng_state(),
    }
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    if device.type == "mps":
        state["mps"] = torch.mps.get_rng_state()
    return state


def restore_random_state(state: Mapping[str, Tensor], device: torch.device = CPU) -> None:
    """Set the global generators as `random_state` found them.

    Raises:
        TrainingError: a generator is missing, or the checkpoint comes from another kind of device.
    """
    if differing := sorted(state.keys() ^ random_state(device).keys()):
        raise TrainingError(
            f"the random state was saved on another kind of device than {device} and cannot be restored "
            f"({', '.join(differing)}); go on with the run on the kind of device it was begun on"
        )
    try:
        gauss = state["python_gauss"].tolist()
        random.setstate((3, tuple(state["python"].tolist()), gauss[0] if gauss else None))
        position, has_gauss = state["numpy_position"].tolist()
        words = state["numpy"].numpy().astype(np.uint32)
        np.random.set_state(("MT19937", words, position, has_gauss, state["numpy_gauss"].item()))
        torch.set_rng_state(state["torch"])
        if device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda"], device)
        if device.type == "mps":
            torch.mps.set_rng_state(state["mps"])
    except (ValueError, TypeError, RuntimeError) as error:
        raise TrainingError(f"the random state cannot be restored ({error})") from error


@contextmanager
def kept_random_state(device: torch.device = CPU) -> Iterator[None]:
    """Whatever draws inside leaves the generators as they were: validating does not change training."""
    state = random_state(device)
    try:
        yield
    finally:
        restore_random_state(state, device)


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, NumPy and torch."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
