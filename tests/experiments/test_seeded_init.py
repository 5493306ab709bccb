"""Seeded initial weights: heads that look back, and copying before the first step."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import OPTConfig, OPTForCausalLM

from iclal.errors import SettingsError
from iclal.experiments.seeded_init import seed_induction

VOCABULARY, LENGTH = 400, 40


def untrained(width: int = 192, heads: int = 6, layers: int = 2) -> OPTForCausalLM:
    torch.manual_seed(0)
    config = OPTConfig(
        vocab_size=VOCABULARY, hidden_size=width, word_embed_proj_dim=width, num_hidden_layers=layers,
        ffn_dim=4 * width, num_attention_heads=heads, max_position_embeddings=512, dropout=0.0,
    )  # fmt: skip
    config._attn_implementation = "eager"
    return OPTForCausalLM(config).eval()


def repeated(batch: int = 8) -> Tensor:
    """Random tokens, twice: ids [B, 2 * LENGTH]."""
    generator = torch.Generator().manual_seed(1)
    half = torch.stack([torch.randperm(VOCABULARY - 10, generator=generator)[:LENGTH] + 10 for _ in range(batch)])
    return torch.cat([half, half], dim=1)


@torch.no_grad()
def copied(model: OPTForCausalLM) -> float:
    """Share of the second half's tokens that are predicted, all but the first three, which nothing foretells."""
    ids_BT = repeated()
    predicted = model(input_ids=ids_BT).logits[:, LENGTH + 2 : -1].argmax(-1)
    return float((predicted == ids_BT[:, LENGTH + 3 :]).float().mean())


@pytest.mark.parametrize("head", [0, 1, 2])
@torch.no_grad()
def test_heads_of_the_first_layer_attend_one_two_and_three_tokens_back(head: int) -> None:
    attention = seed_induction(untrained())(input_ids=repeated(2), output_attentions=True).attentions[0]
    for place in range(4, 2 * LENGTH):
        assert (attention[:, head, place].argmax(-1) == place - 1 - head).all()
    back = attention[:, head].diagonal(-1 - head, dim1=1, dim2=2)
    assert float(back.mean()) > 0.5


@torch.no_grad()
def test_looking_back_works_at_every_position() -> None:
    model = seed_induction(untrained())
    positions = torch.arange(2 * LENGTH)[None].expand(2, -1) + 400
    attention = model(input_ids=repeated(2), position_ids=positions, output_attentions=True).attentions[0]
    assert float(attention[:, 0].diagonal(-1, dim1=1, dim2=2).mean()) > 0.5


def test_seeded_weights_copy_before_the_first_step_and_huggingfaces_do_not() -> None:
    assert copied(untrained()) < 0.05
    assert copied(seed_induction(untrained())) > 0.5


def test_seeding_is_a_function_of_the_seed() -> None:
    one, same, other = (seed_induction(untrained(), seed=seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


@torch.no_grad()
def test_words_of_a_kind_are_alike_and_found_by_their_kind_the_latest_first() -> None:
    colours, days = list(range(20, 40)), list(range(40, 60))
    model = seed_induction(untrained(layers=3), kinds=[colours, days], match_scale=0.0)
    embeddings = torch.nn.functional.normalize(model.model.decoder.embed_tokens.weight[:, 48:], dim=-1)
    alike = (embeddings[colours] @ embeddings[colours].T).mean()
    assert float(alike) > 0.3 > 0.1 > float((embeddings[colours] @ embeddings[days].T).mean().abs())
    ids = torch.tensor([[100, 20, 101, 41, 102, 103, 25, 104, 105, 46, 106, 107, 30]])
    attention = model(input_ids=ids, output_attentions=True).attentions[2][0, 0, -1]
    others = [place for place, id in enumerate(ids[0, :-1].tolist()) if id not in colours]
    assert attention[6] > attention[1] > max(attention[other] for other in others)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [((96, 2, 2), "hidden_size 96 leaves 48 dimensions"), ((192, 6, 1), "hidden_size 192"), ((192, 2, 2), "4 heads")],
)
def test_models_too_small_for_the_circuit_are_refused(sizes: tuple[int, int, int], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        seed_induction(untrained(*sizes))


def test_more_kinds_than_half_a_head_holds_are_refused() -> None:
    with pytest.raises(SettingsError, match="17 kinds of words; half a head of 32 holds 16"):
        seed_induction(untrained(width=256, heads=8, layers=3), kinds=[[number] for number in range(17)])
