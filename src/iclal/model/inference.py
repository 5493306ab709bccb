"""Asking a model: greedy answers, scores of targets and candidates. Lists in, lists out, in order.

Prompts of a batch that begin alike (the demonstrations of few-shot evaluation) have that part read once; a clip is
heard once, however often it stands in prompts. Shapes: B batch, T rows, C columns of the cache, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from transformers import DynamicCache

from iclal.data.prompt import Prompt
from iclal.errors import ModelError, PromptError
from iclal.model.cache import fork
from iclal.model.hearing import BATCH_SIZE, Hearing, in_use
from iclal.model.layout import (
    Layout,
    Slot,
    TokenizedPrompt,
    check_length,
    lay_out,
    shared_rows,
    tokenize,
    tokenize_target,
)
from iclal.model.model import ICLAL, pad

FinishReason: TypeAlias = Literal["end", "length", "repetition"]
Padding: TypeAlias = Literal["left", "right"]

_TOKENS_PER_SECOND = 12  # about three times fast speech
_SPARE_TOKENS = 32
_LEAST_TOKENS = 16  # a prompt that leaves no room for a short answer is too long
_LOOP_TOKENS = 24  # so many tokens of nothing but one run repeated, at least three times, are a loop


@dataclass(frozen=True)
class Answer:
    """A greedy answer. With `finish_reason` "end" the last token is the end token; the text is without it.

    With "repetition" the tokens end in a run that repeats itself; the text has its first turn only.
    """

    text: str
    token_ids: tuple[int, ...]
    log_probabilities: tuple[float, ...]
    finish_reason: FinishReason


def generate(
    model: ICLAL,
    prompts: Sequence[Prompt],
    *,
    max_new_tokens: int | None = None,
    batch_size: int = BATCH_SIZE,
    hearing: Hearing | None = None,
    share: bool = True,
    padding: Padding = "right",
) -> list[Answer]:
    """The greedy answer to each prompt.

    Args:
        max_new_tokens: most tokens of an answer, its end token included; by default it grows with the longest clip or
            text of the prompt and takes what room the language model's positions leave.
        hearing: prefixes known from other calls.
        share: read what the prompts of a batch begin with once.
        padding: side of the batch's padding; the answers are the same.

    Raises:
        PromptError: a prompt that is no tuple, empty, not filled, or too long for the language model's positions.
        AudioError: a clip that is too long to be heard at once.
        ModelError: the language model is in the state for activation checkpointing, or computes what is not finite.
    """
    with in_use(model):
        hearing, tokenized, layouts = _lay_out_all(model, prompts, [()] * len(prompts), hearing, batch_size)
        budgets = [
            _budget(model, layout, prompt, hearing, max_new_tokens)
            for layout, prompt in zip(layouts, tokenized, strict=True)
        ]
        answers: list[Answer] = []
        for start in range(0, len(prompts), batch_size):
            batch = slice(start, start + batch_size)
            answers += _generate_batch(model, layouts[batch], budgets[batch], hearing, share, padding)
        return answers


def check_prompts(
    model: ICLAL, prompts: Sequence[Prompt], *, max_new_tokens: int | None = None, hearing: Hearing | None = None
) -> None:
    """Refuse what `generate` would refuse of the same prompts, clips heard but nothing generated. Raises as it does."""
    with in_use(model):
        hearing, tokenized, layouts = _lay_out_all(model, prompts, [()] * len(prompts), hearing, BATCH_SIZE)
        for layout, prompt in zip(layouts, tokenized, strict=True):
            _budget(model, layout, prompt, hearing, max_new_tokens)


def score_targets(
    model: ICLAL,
    prompts: Sequence[Prompt],
    targets: Sequence[str],
    *,
    batch_size: int = BATCH_SIZE,
    hearing: Hearing | None = None,
    share: bool = True,
) -> list[list[float]]:
    """Log-probability of each token of each prompt's target (a blank, the target, the end token).

    Raises:
        PromptError, AudioError, ModelError: as `generate`.
    """
    with in_use(model):
        ids = [tokenize_target(target, model.settings.template.end, model.language_model) for target in targets]
        hearing, _, layouts = _lay_out_all(model, prompts, ids, hearing, batch_size)
        scores: list[list[float]] = []
        for start in range(0, len(prompts), batch_size):
            batch = layouts[start : start + batch_size]
            shared = shared_rows(batch) if share and len(batch) > 1 else 0
            scores += _score_batch(model, batch, hearing, _read_shared(model, batch[0], shared, hearing))
        return scores


def score_candidates(
    model: ICLAL,
    prompt: Prompt,
    candidates: Iterable[str],
    *,
    batch_size: int = BATCH_SIZE,
    hearing: Hearing | None = None,
) -> list[float]:
    """Log-probability of each candidate with its end token as the prompt's answer. The prompt is read once.

    Raises:
        PromptError, AudioError, ModelError: as `generate`; PromptError for candidates that are no texts, or one text
            alone.
    """
    if isinstance(candidates, str):
        raise PromptError(f"candidates are several texts, found the one text {candidates!r}: put it in a list")
    candidates = list(candidates)
    for candidate in candidates:
        if not isinstance(candidate, str):
            raise PromptError(f"a candidate is a text, found {type(candidate).__name__} {candidate!r}")
    if not candidates:
        return []
    with in_use(model):
        ids = [tokenize_target(target, model.settings.template.end, model.language_model) for target in candidates]
        hearing, _, layouts = _lay_out_all(model, [prompt] * len(ids), ids, hearing, batch_size)
        shared = _read_shared(model, layouts[0], shared_rows(layouts), hearing)
        scores: list[float] = []
        for start in range(0, len(layouts), batch_size):
            scores += [sum(own) for own in _score_batch(model, layouts[start : start + batch_size], hearing, shared)]
        return scores


def is_looping(token_ids: Sequence[int]) -> bool:
    """Whether the last 24 tokens or more are one run of tokens, three times or more."""
    return _loop_period(token_ids) is not None


def _loop_period(token_ids: Sequence[int]) -> int | None:
    """How many tokens the run is long that a looping answer ends in."""
    for period in range(1, len(token_ids) // 3 + 1):
        span = max(3 * period, _LOOP_TOKENS)
        if span > len(token_ids):
            return None
        tail = token_ids[-span:]
        if all(tail[index] == tail[index - period] for index in range(period, span)):
            return period
    return None


def _first_turn(token_ids: list[int]) -> list[int]:
    """A looping answer up to where it begins to repeat itself."""
    period = _loop_period(token_ids)
    assert period is not None
    kept = len(token_ids)
    while kept > period and token_ids[kept - 1] == token_ids[kept - 1 - period]:
        kept -= 1
    return token_ids[:kept]


def _lay_out_all(
    model: ICLAL,
    prompts: Sequence[Prompt],
    targets: Sequence[Sequence[int]],
    hearing: Hearing | None,
    batch_size: int,
) -> tuple[Hearing, list[TokenizedPrompt], list[Layout]]:
    """Tokens and layouts of prompts with their targets' ids, all clips heard, all lengths checked."""
    for prompt in prompts:
        if not isinstance(prompt, tuple):
            raise PromptError(f"a prompt is a tuple of pieces, found {type(prompt).__name__}; several stand in a list")
    hearing = hearing if hearing is not None else Hearing(model)
    tokenized = [tokenize(prompt, model.language_model, hearing.number) for prompt in prompts]
    counts = hearing.hear(batch_size)
    layouts = [lay_out(prompt, counts, target) for prompt, target in zip(tokenized, targets, strict=True)]
    for layout in layouts:
        check_length(layout, 0, model.language_model.max_positions)
    return hearing, tokenized, layouts


def _budget(model: ICLAL, layout: Layout, prompt: TokenizedPrompt, hearing: Hearing, asked: int | None) -> int:
    """Most tokens of the answer. Raises PromptError where the positions do not hold them."""
    limit = model.language_model.max_positions
    if asked is not None:
        if asked < 1:
            raise PromptError(f"max_new_tokens must be 1 or more, found {asked}")
        check_length(layout, asked, limit)
        return asked
    longest = 0
    for part in prompt.parts:
        if isinstance(part, Slot):
            seconds = hearing.audios[part.clip].duration_seconds
            longest = max(longest, math.ceil(seconds * _TOKENS_PER_SECOND))
        else:
            longest = max(longest, len(part.ids))
    check_length(layout, _LEAST_TOKENS, limit)
    wanted = longest + _SPARE_TOKENS
    return wanted if limit is None else min(wanted, limit - layout.num_prompt_rows)


def _read_shared(model: ICLAL, layout: Layout, shared: int, hearing: Hearing) -> DynamicCache | None:
    """The cache of a layout's first `shared` rows; None for none."""
    if not shared:
        return None
    part = Layout(layout.rows[:shared], shared)
    cache = DynamicCache()
    model.hidden(model.embed([part], hearing.prefixes), cache=cache)
    return cache


def _score_batch(
    model: ICLAL, layouts: Sequence[Layout], hearing: Hearing, shared: DynamicCache | None
) -> list[list[float]]:
    """Log-probabilities of the targets' tokens behind rows already read."""
    first_row = shared.get_seq_length() if shared is not None else 0
    rows = model.embed(layouts, hearing.prefixes, first_row)
    states = model.hidden(rows, first_row=first_row, cache=fork(shared, len(layouts)))
    scores = []
    for layout, states_TH in zip(layouts, states, strict=True):
        first = layout.num_prompt_rows - 1 - first_row
        logits_UV = model.language_model.logits(states_TH[first : first + len(layout.target_rows)])
        ids_U = torch.tensor([layout.rows[row][0] for row in layout.target_rows], device=model.device)
        scores.append((-torch.nn.functional.cross_entropy(logits_UV.float(), ids_U, reduction="none")).tolist())
    return scores


def _generate_batch(
    model: ICLAL,
    layouts: Sequence[Layout],
    budgets: Sequence[int],
    hearing: Hearing,
    share: bool,
    padding: Padding,
) -> list[Answer]:
    """Greedy answers of one batch; an answer that is complete leaves it."""
    language_model = model.language_model
    shared = shared_rows(layouts) if share and len(layouts) > 1 else 0
    cache = fork(_read_shared(model, layouts[0], shared, hearing), len(layouts))
    rows = model.embed(layouts, hearing.prefixes, shared)
    rows_BTD, positions_BT, mask_BC = pad(rows, shared, padding)
    states_BTH = language_model.hidden(rows_BTD, positions_BT, mask_BC, cache)
    lasts = [rows_BTD.shape[1] - 1 if padding == "left" else len(own) - 1 for own in rows]
    logits_BV = language_model.logits(states_BTH[range(len(rows)), lasts])
    positions_B = positions_BT.amax(1)
    ends = (model.end_id, language_model.tokenizer.eos_token_id)

    going = list(range(len(layouts)))  # the items in the batch's rows
    ids: list[list[int]] = [[] for _ in layouts]
    log_probs: list[list[float]] = [[] for _ in layouts]
    reasons: dict[int, FinishReason] = {}
    while True:
        best_B, tokens_B = logits_BV.float().log_softmax(-1).max(-1)
        if not bool(best_B.isfinite().all()):
            raise ModelError(
                f"the language model computes {language_model.dtype} numbers that are not finite: load it in float32"
            )
        for item, token, log_prob in zip(going, tokens_B.tolist(), best_B.tolist(), strict=True):
            ids[item].append(token)
            log_probs[item].append(log_prob)
            if token in ends:
                reasons[item] = "end"
            elif is_looping(ids[item]):
                reasons[item] = "repetition"
            elif len(ids[item]) >= budgets[item]:
                reasons[item] = "length"
        kept = _closed_up([item not in reasons for item in going])
        if not kept:
            break
        if len(kept) < len(going):
            kept_B = torch.tensor(kept, device=model.device)
            cache.batch_select_indices(kept_B)
            tokens_B, positions_B = tokens_B[kept_B], positions_B[kept_B]
            mask_BC = None if mask_BC is None else mask_BC[kept_B]
            going = [going[row] for row in kept]
        positions_B = positions_B + 1
        if mask_BC is not None:
            mask_BC = torch.cat([mask_BC, mask_BC.new_ones(len(going), 1)], dim=1)
        rows_B1D = language_model.embed(tokens_B[:, None])
        logits_BV = language_model.logits(language_model.hidden(rows_B1D, positions_B[:, None], mask_BC, cache)[:, 0])
    return [_answer(model, ids[item], log_probs[item], reasons[item]) for item in range(len(layouts))]


def _closed_up(stays: Sequence[bool]) -> list[int]:
    """The rows that stay, those at the end in the places of those that leave in front, so that few of them move.

    >>> _closed_up([True, False, True, True, False, True])
    [0, 5, 2, 3]
    """
    staying = [row for row, stay in enumerate(stays) if stay]
    places, movers = len(staying), [row for row in staying if row >= len(staying)]
    return [row if stays[row] else movers.pop() for row in range(places)]


def _answer(model: ICLAL, ids: list[int], log_probs: list[float], reason: FinishReason) -> Answer:
    """An answer from its tokens."""
    said = ids[:-1] if reason == "end" else _first_turn(ids) if reason == "repetition" else ids
    text = model.language_model.text(said)
    return Answer(text, tuple(ids), tuple(log_probs), reason)
