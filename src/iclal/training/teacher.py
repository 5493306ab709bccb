"""The frozen model as its own teacher: its answers to prompts in text, with its distribution at each token, cached."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from iclal.audio.cache import cache_folder, write_aside
from iclal.data.prompt import Example, fill, read_transcript
from iclal.errors import AudioError
from iclal.model.inference import generate
from iclal.model.layout import lay_out, tokenize
from iclal.model.model import ICLAL
from iclal.progress import Bar

logger = logging.getLogger(__name__)

LIKELY_TOKENS = 16  # of each distribution that are kept; the rest is below a thousandth for a trained model
BATCH_SIZE = 16


@dataclass(frozen=True)
class TeacherAnswer:
    """An answer of U tokens (end token included, where it came) and the K likeliest tokens at each, renormalised."""

    token_ids: tuple[int, ...]
    likely_ids: Tensor  # int64 [U, K]
    likely_probs: Tensor  # float32 [U, K]


def teach(model: ICLAL, examples: Sequence[Example], *, folder: Path | None = None) -> list[TeacherAnswer]:
    """The language model's own greedy answer to each example, the (rich) transcripts standing in its slots.

    Ears play no part. Kept in the cache (`folder`, by default the user's), by the digest of language model and prompts.

    Raises:
        PromptError: an utterance without text, or a prompt that is too long.
    """
    prompts = [fill(example.prompt, read_transcript) for example in examples]
    tokenized = [tokenize(prompt, model.language_model) for prompt in prompts]
    known = json.dumps([model.language_model.digest(), LIKELY_TOKENS, [str(each.parts) for each in tokenized]])
    folder = cache_folder() / "teacher" if folder is None else folder
    path = folder / f"{hashlib.sha256(known.encode()).hexdigest()[:32]}.safetensors"
    if (kept := _read(path, len(examples))) is not None:
        return kept
    answers: list[TeacherAnswer] = []
    with Bar("teacher", len(prompts)) as bar, torch.no_grad():
        for start in range(0, len(prompts), BATCH_SIZE):
            batch = prompts[start : start + BATCH_SIZE]
            said = generate(model, batch, batch_size=BATCH_SIZE)
            layouts = [
                lay_out(each, [], answer.token_ids)
                for each, answer in zip(tokenized[start : start + BATCH_SIZE], said, strict=True)
            ]
            rows = model.target_logits(layouts, [])
            probs, ids = rows.logits_NV.float().softmax(-1).topk(min(LIKELY_TOKENS, rows.logits_NV.shape[1]))
            probs = probs / probs.sum(-1, keepdim=True)
            lengths = [len(answer.token_ids) for answer in said]
            for answer, own_ids, own_probs in zip(said, ids.split(lengths), probs.split(lengths), strict=True):
                answers.append(TeacherAnswer(answer.token_ids, own_ids.clone(), own_probs.clone()))
            bar.advance(len(batch))
    _write(path, answers)
    return answers


def _read(path: Path, count: int) -> list[TeacherAnswer] | None:
    """The cached answers, or None where there are none that can be read."""
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError):
        return None
    lengths = tensors["lengths"].tolist()
    if len(lengths) != count:
        return None
    parts = (tensors[name].split(lengths) for name in ("token_ids", "likely_ids", "likely_probs"))
    return [TeacherAnswer(tuple(ids.tolist()), likely, probs) for ids, likely, probs in zip(*parts, strict=True)]


def _write(path: Path, answers: Sequence[TeacherAnswer]) -> None:
    tensors = {
        "lengths": torch.tensor([len(answer.token_ids) for answer in answers]),
        "token_ids": torch.tensor([token for answer in answers for token in answer.token_ids]),
        "likely_ids": torch.cat([answer.likely_ids for answer in answers]),
        "likely_probs": torch.cat([answer.likely_probs for answer in answers]),
    }
    try:
        write_aside(path, save(tensors))
    except AudioError as error:
        logger.warning("the teacher's answers are used, but not kept for another run: %s", error)
