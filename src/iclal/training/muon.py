"""Muon: momentum that is made orthogonal before it is applied (Keller Jordan, kellerjordan.github.io/posts/muon).

`torch.optim.Muon` iterates in bfloat16, which a processor without bfloat16 instructions emulates some thirteen times
slower than it computes float32; there the optimiser took longer than everything else of a step together. So it is
bfloat16 where that is fast (CUDA, and processors with AMX), else float32.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic iteration, steep at zero
_ITERATIONS = 5


class Muon(torch.optim.Optimizer):
    """Muon over matrices, with Nesterov momentum and decoupled weight decay.

    Does what `torch.optim.Muon(..., adjust_lr_fn="match_rms_adamw")` does, its state too. The update's root mean square
    is about AdamW's, so AdamW's rates serve.
    """

    def __init__(self, params: Iterable[dict[str, Any]], *, momentum: float) -> None:
        """Groups as any optimiser of PyTorch takes them, each with its `weight_decay`; `lr` is set before a step."""
        super().__init__(params, {"lr": 0.0, "weight_decay": 0.0, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One update of every parameter that has a gradient; nothing is computed anew in between (`closure`)."""
        assert closure is None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(parameter)
                state["momentum_buffer"].lerp_(parameter.grad, 1 - group["momentum"])
                ahead = parameter.grad.lerp(state["momentum_buffer"], group["momentum"])
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                rate = group["lr"] * 0.2 * math.sqrt(max(parameter.shape))
                parameter.add_(orthogonalised(ahead).to(parameter.dtype), alpha=-rate)


def orthogonalised(matrix: Tensor) -> Tensor:
    """`matrix` with singular values brought near 1 (0.7 to 1.2), by a few matrix products: no decomposition."""
    a, b, c = _COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    in_bfloat16 = matrix.is_cuda or (matrix.device.type == "cpu" and _cpu_is_fast_in_bfloat16())
    x = (matrix.T if tall else matrix).to(torch.bfloat16 if in_bfloat16 else torch.float32)
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


@functools.cache
def _cpu_is_fast_in_bfloat16() -> bool:
    """Whether the processor multiplies matrices of bfloat16 itself, in tiles (AMX)."""
    return bool(torch.cpu.get_capabilities().get("amx_bf16"))
