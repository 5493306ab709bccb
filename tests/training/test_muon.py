"""Muon equals PyTorch's own, and its matrices come out orthogonal."""

import pytest
import torch

from iclal.training import muon
from iclal.training.muon import Muon, orthogonalised


@pytest.fixture(autouse=True, params=["bfloat16", "float32"])
def _either_arithmetic(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(muon, "_cpu_is_fast_in_bfloat16", lambda: request.param == "bfloat16")


@pytest.mark.parametrize("shape", [(8, 8), (24, 6), (6, 24)])
def test_some_steps_equal_those_of_pytorchs_muon_up_to_its_rounding(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    ours, theirs = (torch.nn.Parameter(torch.full(shape, 0.3)) for _ in range(2))
    theirs_steps = torch.optim.Muon([theirs], lr=0.01, weight_decay=0.1, momentum=0.9, adjust_lr_fn="match_rms_adamw")
    ours_steps = Muon([{"params": [ours], "weight_decay": 0.1}], momentum=0.9)
    ours_steps.param_groups[0]["lr"] = 0.01
    for _ in range(4):
        gradient = torch.randn(shape)
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        ours_steps.step()
        theirs_steps.step()
    moved = (theirs - 0.3).abs().max()
    assert (ours - theirs).abs().max() < 0.02 * moved  # bfloat16 keeps two to three digits
    torch.testing.assert_close(ours_steps.state[ours], theirs_steps.state[theirs])


@pytest.mark.parametrize("shape", [(16, 16), (40, 12), (12, 40)])
def test_singular_values_come_near_one(shape: tuple[int, int]) -> None:
    torch.manual_seed(1)
    values = torch.linalg.svdvals(orthogonalised(torch.randn(shape) * 30).float())
    assert 0.6 < values.min() and values.max() < 1.3


def test_a_parameter_without_a_gradient_stays() -> None:
    still = torch.nn.Parameter(torch.ones(3, 3))
    optimizer = Muon([{"params": [still]}], momentum=0.9)
    optimizer.param_groups[0]["lr"] = 1.0
    optimizer.step()
    assert torch.equal(still, torch.ones(3, 3)) and not optimizer.state
