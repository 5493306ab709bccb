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
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from iclal.errors import SettingsError

if TYPE_CHECKING:
    from transformers import OPTForCausalLM


class Spaces(NamedTuple):
    """Orthogonal subspaces beside the positions: H a head's width, D the model's, K kinds of words."""

    content_HD: Tensor
    back_HD: tuple[Tensor, ...]  # what stood 1, 2, 3 tokens before
    kinds_KD: Tensor


@torch.no_grad()
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
    decoder = cast(Any, model.model.decoder)
    tokens = decoder.embed_tokens.weight
    width = tokens.shape[1]
    head = width // model.config.num_attention_heads
    _check_size(model, head, width - position_width, len(kinds))

    generator = torch.Generator().manual_seed(seed)
    pairs = position_width // 2
    frequency = 2.5 * torch.exp(-math.log(500.0) * torch.arange(pairs) / (pairs - 1))
    _set_positions(decoder.embed_positions.weight, frequency, position_amplitude)
    spaces = _divide(width - position_width, position_width, head, len(kinds), generator)
    _set_tokens(tokens, position_width, spaces, kinds, kind_amplitude)
    for layer in decoder.layers:
        layer.fc2.weight *= 0.1
        layer.self_attn.out_proj.weight *= 0.1
    _look_back(decoder.layers[0].self_attn, frequency, spaces, look_back_scale)
    _match(decoder.layers[1].self_attn, spaces, match_scale, generator)
    if kinds:
        _find_kind(decoder.layers[2].self_attn, position_width, spaces, kind_scale)
    return model


def _check_size(model: OPTForCausalLM, head: int, rest: int, num_kinds: int) -> None:
    """Raises SettingsError for a model that does not hold the circuit."""
    least_layers = 3 if num_kinds else 2
    layers, heads = model.config.num_hidden_layers, model.config.num_attention_heads
    if rest < 4 * head + num_kinds or layers < least_layers or heads < 3:
        raise SettingsError(
            f"hidden_size {model.config.hidden_size} leaves {rest} dimensions beside positions; 4 heads of {head} are "
            f"needed, and {least_layers} layers of 3 heads and {num_kinds} dimensions for kinds of words"
        )
    if num_kinds > head // 2:
        raise SettingsError(f"{num_kinds} kinds of words; half a head of {head} holds {head // 2}")


def _set_positions(positions: Tensor, frequency: Tensor, amplitude: float) -> None:
    """Sinusoids in the first dimensions, a pair each frequency, and nothing in the others."""
    angle = torch.arange(len(positions))[:, None] * frequency
    positions.zero_()
    positions[:, : 2 * len(frequency)] = (
        torch.stack([angle.sin(), angle.cos()], -1).reshape(len(positions), -1) * amplitude
    )


def _divide(rest: int, position_width: int, head: int, num_kinds: int, generator: torch.Generator) -> Spaces:
    """The `rest` dimensions behind the positions, divided at random."""
    basis = torch.linalg.qr(torch.randn(rest, rest, generator=generator))[0]
    whole = torch.cat([torch.zeros(rest, position_width), basis.T], 1)
    content, *back = (whole[i * head : (i + 1) * head] for i in range(4))
    return Spaces(content, tuple(back), whole[4 * head : 4 * head + num_kinds])


def _set_tokens(
    tokens: Tensor, position_width: int, spaces: Spaces, kinds: Sequence[Sequence[int]], kind_amplitude: float
) -> None:
    """Faint where positions are, alike where words are of a kind, faint where what stood before is written."""
    tokens[:, :position_width] *= 0.3
    tokens[:, position_width:] *= 1.5
    for direction, ids in zip(spaces.kinds_KD, kinds, strict=True):
        tokens[list(ids)] += kind_amplitude * direction
    for space in spaces.back_HD:
        tokens -= 0.6 * (tokens @ space.T) @ space


def _look_back(attention: nn.Module, frequency: Tensor, spaces: Spaces, scale: float) -> None:
    """Heads 0 to 2 attend 1, 2, 3 tokens back: a query turned by so many steps."""
    head, width = spaces.content_HD.shape
    for h, back in enumerate(spaces.back_HD):
        query, key = torch.zeros(head, width), torch.zeros(head, width)
        for j in range(head // 2):
            turn = float(frequency[j]) * (h + 1)
            c, s = math.cos(turn), math.sin(turn)
            key[2 * j, 2 * j] = key[2 * j + 1, 2 * j + 1] = 1
            query[2 * j, 2 * j], query[2 * j, 2 * j + 1] = c, -s
            query[2 * j + 1, 2 * j + 1], query[2 * j + 1, 2 * j] = c, s
        _set_head(attention, h, query * scale, key * scale, spaces.content_HD, back.T * 0.15)


def _match(attention: nn.Module, spaces: Spaces, scale: float, generator: torch.Generator) -> None:
    """Heads 0 and 1 look for the place behind tokens like the current one and those before it."""
    content, (one, two, three) = spaces.content_HD, spaces.back_HD
    head = len(content)
    turn_a, turn_b = (torch.linalg.qr(torch.randn(head, head, generator=generator))[0] for _ in range(2))
    for h, (second, third) in enumerate(((0.8, 0.6), (0.3, 0.0))):
        query = content + second * turn_a @ one + third * turn_b @ two
        key = one + second * turn_a @ two + third * turn_b @ three
        _set_head(attention, h, query * scale, key * scale, content, content.T * 0.25)


def _find_kind(attention: nn.Module, position_width: int, spaces: Spaces, scale: float) -> None:
    """Head 0 attends to words of the current word's kind, the nearest first."""
    head, width = spaces.content_HD.shape
    wanted = torch.zeros(head, width)
    wanted[: len(spaces.kinds_KD)] = spaces.kinds_KD * scale
    for j in range(head // 4):  # the lowest frequencies turn so slowly that near places match best
        wanted[head // 2 + 2 * j, position_width - 2 - 2 * j] = 1
        wanted[head // 2 + 2 * j + 1, position_width - 1 - 2 * j] = 1
    _set_head(attention, 0, wanted, wanted, spaces.content_HD, spaces.content_HD.T * 0.25)


def _set_head(attention: Any, number: int, query_HD: Tensor, key_HD: Tensor, value_HD: Tensor, out_DH: Tensor) -> None:
    head = len(query_HD)
    rows = slice(number * head, (number + 1) * head)
    attention.q_proj.weight[rows], attention.k_proj.weight[rows] = query_HD, key_HD
    attention.v_proj.weight[rows], attention.out_proj.weight[:, rows] = value_HD, out_DH
