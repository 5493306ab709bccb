"""Ears and frozen language model, held together.

Shapes: B batch, T rows of a prompt, A rows of a clip, N rows wanted over the batch, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self, cast, overload

import numpy as np
import torch
from torch import Tensor, nn
from transformers import Cache

from iclal.audio.reading import Audio
from iclal.data.prompt import Prompt, Template
from iclal.errors import PromptError
from iclal.model.connector import Connector, ConnectorSettings, Prefixes, build_connector
from iclal.model.encoder import Encoder
from iclal.model.language_model import LanguageModel
from iclal.model.layout import Layout
from iclal.settings import Settings

if TYPE_CHECKING:
    from iclal.model.inference import Answer
    from iclal.model.transcribing import Transcript


class ModelSettings(Settings):
    """What is saved with the ears beside the encoder's own settings."""

    connector: ConnectorSettings
    template: Template = Template()
    objective: str = "transcription"  # what it was trained by, in words
    transcription_instruction: str | None = None  # None: [audio; transcript], as the paper trains
    window_seconds: float = 20.0  # the longest stretch that is heard at once by `transcribe`


@dataclass(frozen=True)
class TargetRows:
    """Scores where the loss looks, over a batch laid end to end: N rows."""

    logits_NV: Tensor
    token_ids_N: Tensor  # the token each row should predict


class ICLAL(nn.Module):
    """Encoder and connector (the ears: the only parameters) with a frozen language model beside them."""

    def __init__(self, encoder: Encoder, language_model: LanguageModel, settings: ModelSettings) -> None:
        super().__init__()
        self.settings = settings
        self.encoder = encoder
        self.connector: Connector = build_connector(
            settings.connector, encoder.width, language_model.width, language_model.vocabulary_size
        )
        self.language_model = language_model  # no nn.Module, so neither trained nor saved with the ears
        self.end_id = language_model.end_id(settings.template.end)
        self.to(language_model.device)

    @property
    def device(self) -> torch.device:
        """Where ears and language model are."""
        return self.language_model.device

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Moves take the language model along; casts do not reach it."""
        super()._apply(fn, recurse)
        self.language_model.to(next(self.parameters()).device)
        return self

    def max_rows(self, num_samples: int) -> int:
        """The most rows that a clip of `num_samples` samples can be heard as."""
        return self.connector.max_rows(self.encoder.num_frames(num_samples))

    def hear(self, audios: Sequence[Audio]) -> Prefixes:
        """The audio prefixes of clips, with what the connector saw on the way; gradients flow to the ears."""
        return self.connect(*self.encode(audios))

    def encode(self, audios: Sequence[Audio]) -> tuple[Tensor, Tensor]:
        """The encoder's frames [B, F, E] of clips, zeros behind each clip's last, and how many each has [B]."""
        return self.encoder([torch.from_numpy(np.ascontiguousarray(audio.samples)) for audio in audios])

    def connect(self, frames_BFE: Tensor, num_frames_B: Tensor) -> Prefixes:
        """The audio prefixes of clips from their frames, as `encode` gives them."""
        return self.connector(frames_BFE, num_frames_B, self.language_model.embedding_VD)

    def prefixes(self, audios: Sequence[Audio]) -> list[Tensor]:
        """The audio prefix [A_i, D] of each clip; gradients flow to the ears."""
        return self.hear(audios).rows

    def embed(self, layouts: Sequence[Layout], prefixes: Sequence[Tensor], first_row: int = 0) -> list[Tensor]:
        """The rows [T_i, D] of each layout from `first_row` on, in the language model's dtype.

        `prefixes` are numbered as the layouts number their clips.
        """
        rows = [row for layout in layouts for row in layout.rows[first_row:]]
        tokens_N = torch.tensor([token for token, _, _ in rows], dtype=torch.long, device=self.device)
        rows_ND = self.language_model.embed(tokens_N.clamp_min(0))
        clips = sorted({clip for token, clip, _ in rows if token < 0})
        if clips:
            starts, total = {}, 0
            for clip in clips:
                starts[clip] = total
                total += len(prefixes[clip])
            index_R = torch.tensor([starts[clip] + row for token, clip, row in rows if token < 0], device=self.device)
            heard_RD = torch.cat([prefixes[clip] for clip in clips]).to(self.language_model.dtype)
            rows_ND = rows_ND.index_put((tokens_N < 0,), heard_RD[index_R])
        return list(rows_ND.split([len(layout.rows) - first_row for layout in layouts]))

    def hidden(
        self,
        rows: Sequence[Tensor],
        *,
        first_row: int = 0,
        cache: Cache | None = None,
        padding: Literal["left", "right"] = "right",
    ) -> list[Tensor]:
        """Last hidden states [T_i, H] of rows [T_i, D], batched; padding costs no position and is seen by nobody.

        With `first_row`, a cache holds that many rows which all items share in front of theirs. It is extended.
        """
        rows_BTD, positions_BT, mask_BT = pad(rows, first_row, padding)
        states_BTH = self.language_model.hidden(rows_BTD, positions_BT, mask_BT, cache)
        width = states_BTH.shape[1]
        if padding == "right":
            return [states_BTH[item, : len(own)] for item, own in enumerate(rows)]
        return [states_BTH[item, width - len(own) :] for item, own in enumerate(rows)]

    def target_logits(
        self,
        layouts: Sequence[Layout],
        prefixes: Sequence[Tensor],
        *,
        padding: Literal["left", "right"] = "right",
    ) -> TargetRows:
        """Scores at the rows that predict the targets; the output layer sees no other row. Differentiable.

        Every layout must have a row in front of its target (see `check_length`).
        """
        states = self.hidden(self.embed(layouts, prefixes), padding=padding)
        wanted, ids = [], []
        for layout, states_TH in zip(layouts, states, strict=True):
            rows = layout.target_rows
            assert layout.num_prompt_rows > 0, "a target needs a row in front of it"
            wanted.append(states_TH[[row - 1 for row in rows]])
            ids += [layout.rows[row][0] for row in rows]
        logits_NV = self.language_model.logits(torch.cat(wanted))
        return TargetRows(logits_NV, torch.tensor(ids, dtype=torch.long, device=self.device))

    @overload
    def transcribe(self, audio: Audio) -> Transcript: ...
    @overload
    def transcribe(self, audio: Sequence[Audio]) -> list[Transcript]: ...
    def transcribe(self, audio: Audio | Sequence[Audio]) -> Transcript | list[Transcript]:
        """What is said in a recording of any length, or in each of a list: see `iclal.model.transcribing`."""
        from iclal.model import transcribing

        if isinstance(audio, Audio):
            return transcribing.transcribe(self, [audio])[0]
        return transcribing.transcribe(self, audio)

    @overload
    def generate(self, prompt: Prompt, *, max_new_tokens: int | None = None, batch_size: int = 16) -> Answer: ...
    @overload
    def generate(
        self, prompt: Sequence[Prompt], *, max_new_tokens: int | None = None, batch_size: int = 16
    ) -> list[Answer]: ...
    def generate(
        self, prompt: Prompt | Sequence[Prompt], *, max_new_tokens: int | None = None, batch_size: int = 16
    ) -> Answer | list[Answer]:
        """The answer to a prompt (a tuple of pieces), or to each of a list: see `iclal.model.inference.generate`."""
        from iclal.model import inference

        if isinstance(prompt, tuple):
            return inference.generate(
                self, [cast(Prompt, prompt)], max_new_tokens=max_new_tokens, batch_size=batch_size
            )[0]
        if not isinstance(prompt, Sequence) or isinstance(prompt, str):
            raise PromptError(f"a prompt is a tuple of pieces, and several are a list; found {type(prompt).__name__}")
        return inference.generate(
            self, cast(Sequence[Prompt], prompt), max_new_tokens=max_new_tokens, batch_size=batch_size
        )

    def score_candidates(self, prompt: Prompt, candidates: Iterable[str]) -> list[float]:
        """Log-probability of each candidate as the answer: see `iclal.model.inference.score_candidates`."""
        from iclal.model import inference

        return inference.score_candidates(self, prompt, candidates)


def pad(
    rows: Sequence[Tensor], first_row: int = 0, padding: Literal["left", "right"] = "right"
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Rows of several lengths as one batch: rows_BTD, positions_BT, and mask_BT over the shared and these rows.

    The mask is None where nothing is padded, so that the call is the one a plain user of the model would make.
    """
    lengths = [len(own) for own in rows]
    width = max(lengths)
    device = rows[0].device
    offsets_B = torch.tensor([width - length if padding == "left" else 0 for length in lengths], device=device)
    lengths_B = torch.tensor(lengths, device=device)
    places_BT = torch.arange(width, device=device) - offsets_B[:, None]
    valid_BT = (places_BT >= 0) & (places_BT < lengths_B[:, None])
    positions_BT = first_row + places_BT.where(valid_BT, torch.zeros_like(places_BT))
    rows_BTD = nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_side=padding)
    if bool(valid_BT.all()):
        return rows_BTD, positions_BT, None
    shared_BP = torch.ones(len(rows), first_row, dtype=torch.bool, device=device)
    return rows_BTD, positions_BT, torch.cat([shared_BP, valid_BT], dim=1)
