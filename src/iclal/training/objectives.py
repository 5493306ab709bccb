"""What the ears are trained by: transcription, alignment, distillation; each a sum over tokens, added by weight.

* transcription (the paper's): the frozen language model reads [prefix; transcript] and the transcript's tokens are
  scored. Needs no demonstration and no instruction, and teaches nothing else than to transcribe.
* alignment: CTC of the clip's rich transcript over the language model's own tokens. The language model is never run.
* distillation: the frozen model's own distribution over its own answer, given the transcript as text, is the target
  for the same prompt with audio in it (AudioChatLlama, arXiv 2311.06753; Ultravox's code).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from iclal.audio.reading import Audio
from iclal.data.manifest import Utterance
from iclal.data.prompt import Prompt
from iclal.errors import SettingsError
from iclal.model.connector import CTCConnector, Prefixes
from iclal.model.layout import check_length, lay_out, tokenize, tokenize_target
from iclal.model.model import ICLAL
from iclal.settings import Settings
from iclal.training.step import StepLoss
from iclal.training.teacher import TeacherAnswer


class Objectives(Settings):
    """Weights of the objectives; 0 leaves one out."""

    transcription: float = Field(default=0.0, ge=0)
    alignment: float = Field(default=0.0, ge=0)
    distillation: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _one_at_least(self) -> Objectives:
        if not (self.transcription or self.alignment or self.distillation):
            raise ValueError("every objective has weight 0; give one a weight, e.g. objectives.alignment=1")
        return self

    @property
    def words(self) -> str:
        """The objectives in words, e.g. "alignment + distillation"; saved with the ears and written in reports."""
        return " + ".join(name for name, weight in self.model_dump().items() if weight)

    @property
    def reads_prefix(self) -> bool:
        """Whether the language model reads the prefix: alignment does without."""
        return bool(self.transcription or self.distillation)


@dataclass(frozen=True)
class Case:
    """A prompt with audio whose answer the teacher gave."""

    prompt: Prompt  # filled: Audio in its slots, objects of the batch's `audios`
    answer: TeacherAnswer


@dataclass(frozen=True)
class EarsBatch:
    """Clips, each heard once: first those of the utterances, which stand for themselves, then the cases' own."""

    utterances: Sequence[Utterance]
    audios: Sequence[Audio]
    cases: Sequence[Case] = ()


def check_objectives(objectives: Objectives, model: ICLAL) -> None:
    """Raises SettingsError where the connector cannot be trained so."""
    if objectives.alignment and not isinstance(model.connector, CTCConnector):
        kind = model.settings.connector.kind
        raise SettingsError(f"objectives.alignment needs the connector 'ctc', not '{kind}'; set it to 0")


def ears_loss(
    model: ICLAL, batch: EarsBatch, objectives: Objectives, frames: tuple[Tensor, Tensor] | None = None
) -> StepLoss:
    """The batch's loss: sums by weight, counted in the tokens of all objectives.

    Every clip passes the encoder once, whatever reads its prefix; or not at all, where its `frames` are given.
    Alignment scores the frames apart from the rows that the others read.
    """
    frames = model.encode(batch.audios) if frames is None else frames
    sums: dict[str, tuple[Tensor, int]] = {}
    if objectives.alignment and batch.utterances:
        sums["alignment"] = alignment(model, batch, *frames)
    transcribed, taught = objectives.transcription and batch.utterances, objectives.distillation and batch.cases
    if transcribed or taught:  # rows are dear with a large vocabulary, and alignment does without
        prefixes = model.connect(*frames)
        if transcribed:
            sums["transcription"] = transcription(model, batch, prefixes)
        if taught:
            sums["distillation"] = distillation(model, batch, prefixes)
    total = torch.zeros((), device=model.device)
    for name, (loss, _) in sums.items():
        total = total + getattr(objectives, name) * loss
    count = sum(tokens for _, tokens in sums.values())
    return StepLoss(total, float(count), {name: float(loss.detach()) for name, (loss, _) in sums.items()})


def alignment(model: ICLAL, batch: EarsBatch, frames_BFE: Tensor, num_frames_B: Tensor) -> tuple[Tensor, int]:
    """CTC loss over the language model's tokens, summed over clips, and the tokens it is counted in.

    The target is what a text slot would hold: a blank and the rich transcript. A clip without speech counts as one.
    """
    assert isinstance(model.connector, CTCConnector)
    own = slice(len(batch.utterances))
    ids = [model.language_model.ids(f" {u.rich_text}") if u.rich_text else [] for u in batch.utterances]
    log_probs_BFV1 = model.connector.log_probs(frames_BFE[own], num_frames_B[own], model.language_model.embedding_VD)
    # PyTorch has no CTC for Apple's devices; there the scores go to main memory and their gradient comes back.
    place = torch.device("cpu") if model.device.type == "mps" else model.device
    lengths = torch.tensor([len(each) for each in ids], device=place)
    targets = torch.tensor([token for each in ids for token in each], dtype=torch.long, device=place)
    loss = F.ctc_loss(
        log_probs_BFV1.transpose(0, 1).to(place),
        targets,
        num_frames_B[own].to(place),
        lengths,
        blank=model.language_model.vocabulary_size,
        reduction="sum",
        zero_infinity=True,
    )
    return loss.to(model.device), int(lengths.clamp_min(1).sum())


def transcription(model: ICLAL, batch: EarsBatch, prefixes: Prefixes) -> tuple[Tensor, int]:
    """Cross-entropy of the transcript's tokens behind the bare prefix, as in the paper.

    A clip of which no row was heard is left out where the tokenizer puts no token first: nothing would foretell it.
    """
    end = model.settings.template.end
    own = list(zip(batch.utterances, batch.audios, prefixes.rows, strict=False))  # other clips are the cases'
    read = [(u, audio) for u, audio, rows in own if len(rows) or model.language_model.prefix_ids]
    if not read:
        return torch.zeros((), device=model.device), 0
    prompts: list[Prompt] = [(audio,) for _, audio in read]
    targets = [tokenize_target(u.text or "", end, model.language_model) for u, _ in read]
    logits_NV = _target_logits(model, batch, prefixes, prompts, targets)
    ids = torch.tensor([token for target in targets for token in target], device=model.device)
    return F.cross_entropy(logits_NV.float(), ids, reduction="sum"), len(ids)


def distillation(model: ICLAL, batch: EarsBatch, prefixes: Prefixes) -> tuple[Tensor, int]:
    """Cross-entropy between the teacher's distribution (its most likely tokens) and the student's, over its answer."""
    prompts = [case.prompt for case in batch.cases]
    answers = [case.answer for case in batch.cases]
    logits_NV = _target_logits(model, batch, prefixes, prompts, [answer.token_ids for answer in answers])
    log_probs_NV = logits_NV.float().log_softmax(-1)
    ids_NK = torch.cat([answer.likely_ids for answer in answers]).to(model.device)
    probs_NK = torch.cat([answer.likely_probs for answer in answers]).to(model.device)
    return -(probs_NK * log_probs_NV.gather(1, ids_NK)).sum(), len(ids_NK)


def _target_logits(
    model: ICLAL,
    batch: EarsBatch,
    prefixes: Prefixes,
    prompts: Sequence[Prompt],
    targets: Sequence[tuple[int, ...]],
) -> Tensor:
    """Logits [N, V] at the targets' rows. Raises PromptError for a prompt that is empty or beyond the positions."""
    numbers = {id(audio): number for number, audio in enumerate(batch.audios)}
    counts = [len(rows) for rows in prefixes.rows]
    layouts = [
        lay_out(tokenize(prompt, model.language_model, lambda audio: numbers[id(audio)]), counts, target)
        for prompt, target in zip(prompts, targets, strict=True)
    ]
    for layout in layouts:
        check_length(layout, 0, model.language_model.max_positions)
    return model.target_logits(layouts, prefixes.rows).logits_NV
