"""Attention out of autocast, where bfloat16 makes it slower."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

_NAME = "sdpa-float32"  # among the attentions of transformers; no saved config holds it


def attend_in_float32(network: PreTrainedModel) -> None:
    """Leave a network's attention out of autocast on a CPU, which pays for it in bfloat16 most of what autocast saves.

    Measured in docs/log.md. On other devices, and in float32, attention is PyTorch's own ("sdpa").
    """
    AttentionInterface.register(_NAME, _attend)
    AttentionMaskInterface.register(_NAME, sdpa_mask)
    network.set_attn_implementation(_NAME)


def _attend(
    module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **settings: Any
) -> tuple[Tensor, None]:
    if query.device.type != "cpu" or query.dtype == torch.float32:
        return sdpa_attention_forward(module, query, key, value, mask, **settings)
    with torch.autocast(query.device.type, enabled=False):
        found, _ = sdpa_attention_forward(module, query.float(), key.float(), value.float(), mask, **settings)
    return found.to(value.dtype), None
