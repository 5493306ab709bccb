"""Weights: into a module of the same build only; every bit of them is in their digest."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from iclal.errors import TrainingError
from iclal.training.checkpoint import Checkpoint, save_checkpoint
from iclal.training.random_state import random_state
from iclal.training.weights import load_weights, module_digest


def test_weights_go_into_a_module_of_the_same_build_only(tmp_path: Path) -> None:
    source, target = nn.Linear(3, 2), nn.Linear(3, 2)
    folder = save_checkpoint(tmp_path, Checkpoint(dict(source.named_parameters()), {}, random_state(), {"step": 7}))
    assert load_weights(folder, target) == 7 and module_digest(source) == module_digest(target)
    with pytest.raises(TrainingError, match=r"weight has shape \[2, 3\], here \[2, 4\]"):
        load_weights(folder, nn.Linear(4, 2))
    with pytest.raises(TrainingError, match=r"holds 1 tensors that this model lacks, e\.g\. bias"):
        load_weights(folder, nn.Linear(3, 2, bias=False))
    with pytest.raises(TrainingError, match="no such checkpoint"):
        load_weights(tmp_path / "step-8", target)


def test_a_digest_sees_every_bit_name_and_dtype() -> None:
    module = nn.BatchNorm1d(2)
    before = module_digest(module)
    module.running_mean[0] = 1e-30  # type: ignore[index]
    assert module_digest(module) != before
    assert module_digest(nn.Linear(1, 1).to(torch.bfloat16)) != module_digest(nn.Linear(1, 1))
