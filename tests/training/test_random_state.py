"""Random generators: put back exactly, wherever they were."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from iclal.errors import TrainingError
from iclal.training.random_state import kept_random_state, random_state, restore_random_state, seed_everything


def _draws() -> list[float]:
    torch_normal, numpy_normal = float(torch.randn(())), float(np.random.normal())
    return [random.random(), random.gauss(0, 1), np.random.rand(), numpy_normal, torch_normal, float(torch.rand(()))]


def test_generators_go_on_exactly_where_they_were() -> None:
    seed_everything(3)
    random.gauss(0, 1), np.random.normal()  # each keeps a second number for the next call
    state = random_state()
    expected = _draws()
    seed_everything(4)
    restore_random_state(state)
    assert _draws() == expected
    seed_everything(3)
    with kept_random_state():
        _draws()
    first = _draws()
    seed_everything(3)
    assert _draws() == first


def test_a_random_state_with_a_generator_missing_is_an_error() -> None:
    state = random_state()
    del state["numpy_position"]
    with pytest.raises(TrainingError, match=r"cannot be restored.*numpy_position"):
        restore_random_state(state)
    with pytest.raises(TrainingError, match="the random state cannot be restored"):
        restore_random_state(random_state() | {"torch": torch.zeros(3, dtype=torch.uint8)})
    with pytest.raises(
        TrainingError, match=r"saved on another kind of device than cpu .*\(cuda\); go on .* on the kind"
    ):
        restore_random_state(random_state() | {"cuda": torch.zeros(16, dtype=torch.uint8)})
