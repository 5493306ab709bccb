"""Attention out of autocast: in float32 where all else is bfloat16, and the network's own without autocast."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from model_builders import build_encoder, build_language_model, noise
from transformers import AutoModelForCausalLM

from iclal.model.encoder import Encoder
from iclal.training.attention import attend_in_float32


@pytest.fixture
def dtypes(monkeypatch: pytest.MonkeyPatch) -> list[torch.dtype]:
    """The dtypes that attention computes in, call by call."""
    found: list[torch.dtype] = []
    attention = torch.nn.functional.scaled_dot_product_attention

    def seen(query: torch.Tensor, *others: torch.Tensor, **settings: object) -> torch.Tensor:
        found.append(query.dtype)
        return attention(query, *others, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", seen)
    return found


@torch.no_grad()
def test_a_language_models_attention_is_float32_under_autocast_and_its_own_without(
    tmp_path: Path, dtypes: list[torch.dtype]
) -> None:
    folder = build_language_model(tmp_path / "lm")
    ordinary, ours = (AutoModelForCausalLM.from_pretrained(folder, attn_implementation="sdpa").eval() for _ in "ab")
    attend_in_float32(ours)
    ours.save_pretrained(tmp_path / "saved")
    assert "sdpa-float32" not in (tmp_path / "saved" / "config.json").read_text(encoding="utf-8")
    ids = torch.randint(10, 90, (2, 30), generator=torch.Generator().manual_seed(0))
    assert torch.equal(ours(ids).logits, ordinary(ids).logits)

    dtypes.clear()
    with torch.autocast("cpu", torch.bfloat16):
        assert ours(ids).logits.dtype == torch.bfloat16
        assert set(dtypes) == {torch.float32}
        dtypes.clear()
        ordinary(ids)
    assert set(dtypes) == {torch.bfloat16}


@torch.no_grad()
@pytest.mark.parametrize("lengths", [(20_000, 12_000), (16_000, 16_000)])
def test_an_encoders_attention_is_float32_under_autocast_and_its_own_without(
    tmp_path: Path, dtypes: list[torch.dtype], lengths: tuple[int, int]
) -> None:
    ordinary, ours = (Encoder.load(build_encoder(tmp_path / name)).eval() for name in "ab")
    attend_in_float32(ours.network)
    clips = [torch.from_numpy(noise(length).samples) for length in lengths]
    for found, expected in zip(ours(clips), ordinary(clips), strict=True):
        assert torch.equal(found, expected)
    dtypes.clear()
    with torch.autocast("cpu", torch.bfloat16):
        ours(clips)
    assert dtypes and set(dtypes) == {torch.float32}
