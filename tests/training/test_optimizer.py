"""Rates by step and group; AdamW and Muon as torch has them; the state as named tensors."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from iclal.errors import TrainingError
from iclal.training.optimizer import Optimizer, OptimizerSettings


def _module() -> nn.Module:
    torch.manual_seed(0)
    return nn.ModuleDict({"embed": nn.Embedding(5, 4), "hidden": nn.Linear(4, 4), "head": nn.Linear(4, 5)})


def _with_gradients(module: nn.Module, step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    for parameter in module.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


@given(steps=st.integers(1, 500), warmup=st.integers(0, 50), share=st.floats(0, 1))
def test_the_rate_rises_stays_and_falls_within_its_bounds(steps: int, warmup: int, share: float) -> None:
    settings = OptimizerSettings(warmup_steps=warmup, decay_share=share)
    factors = [settings.rate_factor(step, steps) for step in range(1, steps + 1)]
    assert all(0 < factor <= 1 for factor in factors)
    top = factors.index(max(factors))
    assert factors[: top + 1] == sorted(factors[: top + 1]) and factors[top:] == sorted(factors[top:], reverse=True)


def test_adamw_is_torchs_with_decay_of_matrices_only() -> None:
    ours, theirs = _module(), _module()
    settings = OptimizerSettings(learning_rate=0.01, weight_decay=0.3)
    optimizer = Optimizer(ours, {"all": list(ours.parameters())}, settings)
    parts = [[p for p in theirs.parameters() if (p.ndim > 1) is matrix] for matrix in (True, False)]
    reference = torch.optim.AdamW(
        [{"params": parts[0], "weight_decay": 0.3}, {"params": parts[1], "weight_decay": 0.0}], betas=(0.9, 0.98)
    )
    for step, factor in enumerate((0.5, 1.0, 0.25)):
        _with_gradients(ours, step)
        _with_gradients(theirs, step)
        for group in reference.param_groups:
            group["lr"] = 0.01 * factor
        optimizer.update(factor)
        reference.step()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_muon_takes_hidden_matrices_and_leaves_embeddings_heads_and_vectors_to_adamw() -> None:
    module = _module()
    optimizer = Optimizer(module, {"all": list(module.parameters())}, OptimizerSettings(name="muon"))
    _with_gradients(module, 0)
    optimizer.update(1.0)
    names = sorted(optimizer.tensors())
    assert [name for name in names if name.startswith("muon/")] == ["muon/momentum_buffer/hidden.weight"]
    assert sum(name.startswith("adamw/exp_avg/") for name in names) == 4


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_its_state_goes_into_another_optimizer_and_both_go_on_alike(name: str) -> None:
    settings = OptimizerSettings(name=name)  # type: ignore[arg-type]
    first, second = _module(), _module()
    one = Optimizer(first, {"all": list(first.parameters())}, settings)
    two = Optimizer(second, {"all": list(second.parameters())}, settings)
    _with_gradients(first, 0)
    one.update(1.0)
    second.load_state_dict(first.state_dict())
    two.load_tensors(one.tensors())
    for module, optimizer in ((first, one), (second, two)):
        _with_gradients(module, 1)
        optimizer.update(0.5)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_state_of_another_optimizer_is_refused() -> None:
    module = _module()
    optimizer = Optimizer(module, {"all": list(module.parameters())}, OptimizerSettings())
    with pytest.raises(TrainingError, match=r"muon state for hidden\.weight, which is not trained here"):
        optimizer.load_tensors({"muon/momentum_buffer/hidden.weight": torch.zeros(4, 4)})
