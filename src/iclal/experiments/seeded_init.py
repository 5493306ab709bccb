"""Initial weights that let a tiny OPT copy from its context from the first step.

Pure initialisation: the result is an ordinary `OPTForCausalLM`, trained as usual afterwards. Hugging Face's own
initialisation sat on a plateau (loss 2.9, nothing copied) for thousands of steps on the same data.

The circuit. Positions are sinusoids in the first `position_width` dimensions, so "n tokens back" is a rotation.
Layer 0, heads 0-2 attend 1, 2, 3 tokens back and write what they see into three subspaces B1, B2, B3.
Layer 1, heads 0-1 look for the place whose three tokens before it equal the current token and the two before it
(query: A x + .8 R B1 + .6 R' B2; key: B1 + .8 R B2 + .6 R' B3), and copy the token found there.
Layer 2, head 0 attends to tokens of the current token's kind, the later the better, and copies them.
Random MLP and attention outputs are made small: at Hugging Face's scale they swamp the embeddings.

Kinds. Words of one kind (colours, days, first syllables of names) share a direction of their embeddings, as they do in
any language model that has read much. A model of a few million tokens finds "the colour in this clip" late without it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import torch

from iclal.errors import SettingsError

if TYPE_CHECKING:
    from transformers import OPTForCausalLM


def seed_induction(
    model: OPTForCausalLM,
    *,
    kinds: Sequence[Sequence[int]] = (),
    kind_amplitude: float = 0.3,
    position_width: int = 48,
    position_amplitude: float = 0.1,
    look_back_scale: float = 1.8,
    match_scale: float = 1.6,
    kind_scale: float = 2.0,
    seed: int = 3,
) -> OPTForCausalLM:
    """Overwrite the initial weights of an untrained OPT (at least 2 layers, 3 with kinds, and 3 heads); returns it.

    `kinds` lists the token ids of each kind of word; a token may be of several.

    Raises:
        SettingsError: (hidden_size - position_width) is less than 4 head widths and a dimension a kind, there are more
            kinds than half a head is wide, or too few layers or heads.
    """
    generator = torch.Generator().manual_seed(seed)
    decoder = cast(Any, model.model.decoder)
    positions, tokens = decoder.embed_positions.weight, decoder.embed_tokens.weight
    count, width = positions.shape
    head = width // model.config.num_attention_heads
    rest = width - position_width
    least_layers = 3 if kinds else 2
    if rest < 4 * head + len(kinds) or len(decoder.layers) < least_layers or model.config.num_attention_heads < 3:
        raise SettingsError(
            f"hidden_size {width} leaves {rest} dimensions beside positions; 4 heads of {head} are needed, and "
            f"{least_layers} layers of 3 heads and {len(kinds)} dimensions for kinds of words"
        )
    if len(kinds) > head // 2:
        raise SettingsError(f"{len(kinds)} kinds of words; half a head of {head} holds {head // 2}")

    pairs = position_width // 2
    frequency = 2.5 * torch.exp(-math.log(500.0) * torch.arange(pairs) / (pairs - 1))
    angle = torch.arange(count)[:, None] * frequency
    with torch.no_grad():
        positions.zero_()
        positions[:, :position_width] = (
            torch.stack([angle.sin(), angle.cos()], -1).reshape(count, position_width) * position_amplitude
        )

        basis = torch.linalg.qr(torch.randn(rest, rest, generator=generator))[0]
        empty = torch.zeros(head, position_width)
        content, *back = (torch.cat([empty, basis[:, i * head : (i + 1) * head].T], 1) for i in range(4))
        tokens[:, :position_width] *= 0.3
        tokens[:, position_width:] *= 1.5
        directions = torch.cat([torch.zeros(len(kinds), position_width), basis[:, 4 * head :].T[: len(kinds)]], 1)
        for direction, ids in zip(directions, kinds, strict=True):
            tokens[list(ids)] += kind_amplitude * direction
        for space in back:
            tokens -= 0.6 * (tokens @ space.T) @ space
        for layer in decoder.layers:
            layer.fc2.weight *= 0.1
            layer.self_attn.out_proj.weight *= 0.1

        look, match = decoder.layers[0].self_attn, decoder.layers[1].self_attn
        for h in range(3):
            rows = slice(h * head, (h + 1) * head)
            query, key = torch.zeros(head, width), torch.zeros(head, width)
            for j in range(head // 2):
                turn = float(frequency[j]) * (h + 1)
                c, s = math.cos(turn), math.sin(turn)
                key[2 * j, 2 * j] = key[2 * j + 1, 2 * j + 1] = 1
                query[2 * j, 2 * j], query[2 * j, 2 * j + 1] = c, -s
                query[2 * j + 1, 2 * j + 1], query[2 * j + 1, 2 * j] = c, s
            look.q_proj.weight[rows], look.k_proj.weight[rows] = query * look_back_scale, key * look_back_scale
            look.v_proj.weight[rows], look.out_proj.weight[:, rows] = content, back[h].T * 0.15
        turn_a, turn_b = (torch.linalg.qr(torch.randn(head, head, generator=generator))[0] for _ in range(2))
        for h, (second, third) in enumerate(((0.8, 0.6), (0.3, 0.0))):
            rows = slice(h * head, (h + 1) * head)
            match.q_proj.weight[rows] = (content + second * turn_a @ back[0] + third * turn_b @ back[1]) * match_scale
            match.k_proj.weight[rows] = (back[0] + second * turn_a @ back[1] + third * turn_b @ back[2]) * match_scale
            match.v_proj.weight[rows], match.out_proj.weight[:, rows] = content, content.T * 0.25
        if kinds:
            same, rows = decoder.layers[2].self_attn, slice(0, head)
            wanted = torch.zeros(head, width)
            wanted[: len(kinds)] = directions * kind_scale
            for j in range(head // 4):  # the lowest frequencies turn so slowly that near places match best
                wanted[head // 2 + 2 * j, position_width - 2 - 2 * j] = 1
                wanted[head // 2 + 2 * j + 1, position_width - 1 - 2 * j] = 1
            same.q_proj.weight[rows], same.k_proj.weight[rows] = wanted, wanted
            same.v_proj.weight[rows], same.out_proj.weight[:, rows] = content, content.T * 0.25
    return model
