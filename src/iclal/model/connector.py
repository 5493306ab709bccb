"""Connectors: frames of the encoder -> rows of the audio prefix. A connector owns the length rule.

Shapes: B batch, F frames, N frames of all clips laid end to end, R rows of all clips, A rows of a clip, E encoder
width, D width of the language model, V its vocabulary; the blank of CTC is index V.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

import pydantic
import torch
from torch import Tensor, nn

from iclal.settings import Settings

_MAX_SCORES = 1 << 27  # 512 MB of scores at once, where no gradient needs them all


class LinearSettings(Settings):
    """The paper's connector: frames stacked and projected."""

    kind: Literal["linear"] = "linear"
    stack: int = pydantic.Field(default=4, ge=1)  # frames a row


class CTCSettings(Settings):
    """The vocabulary-aligned connector: CTC over the language model's own tokens decides which rows there are."""

    kind: Literal["ctc"] = "ctc"
    output: Literal["free", "tied"] = "free"  # a layer of its own, or the language model's embedding table
    rows: Literal["soft", "hard"] = "soft"  # probability-weighted mean of embeddings, or the best token's
    context_width: int = pydantic.Field(default=0, ge=0)  # of a convolution over neighbouring frames; 0: none
    context_frames: int = pydantic.Field(default=5, ge=1)  # that it sees, an odd number
    residual: bool = True  # add what the frames say beyond the tokens
    residual_width: int = pydantic.Field(default=64, ge=1)

    @pydantic.field_validator("context_frames")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError(f"{value} frames have no middle: give an odd number")
        return value


ConnectorSettings: TypeAlias = Annotated[LinearSettings | CTCSettings, pydantic.Field(discriminator="kind")]


@dataclass(frozen=True)
class Prefixes:
    """What a connector makes of a batch: the rows of each clip, and what CTC saw on the way.

    `token_ids` and `segments` (first frame, frame behind the last) stand one to a row.
    """

    rows: list[Tensor]  # B tensors [A_i, D]
    token_ids: list[list[int]] | None = None
    segments: list[list[tuple[int, int]]] | None = None


class LinearConnector(nn.Module):
    """`stack` frames side by side, projected to the language model's width; the last stack is filled with zeros."""

    def __init__(self, settings: LinearSettings, encoder_width: int, width: int, vocabulary_size: int) -> None:
        super().__init__()
        self.settings = settings
        self.project = nn.Linear(settings.stack * encoder_width, width)

    def max_rows(self, num_frames: int) -> int:
        """Rows of a clip with `num_frames` frames: exact for this connector."""
        return -(-num_frames // self.settings.stack)

    def forward(self, frames_BFE: Tensor, num_frames_B: Tensor, embedding_VD: Tensor) -> Prefixes:
        """Rows of each clip; the embeddings are not needed here."""
        num_clips, num_frames, width = frames_BFE.shape
        num_rows = self.max_rows(num_frames)
        filled = nn.functional.pad(frames_BFE, (0, 0, 0, num_rows * self.settings.stack - num_frames))
        rows_BAD = self.project(filled.reshape(num_clips, num_rows, self.settings.stack * width))
        counts = [self.max_rows(count) for count in num_frames_B.tolist()]
        return Prefixes([rows_BAD[clip, :count] for clip, count in enumerate(counts)])


class CTCConnector(nn.Module):
    """CTC's greedy path cuts a clip into segments; each is a row near the language model's own embeddings.

    A frame's token may depend on its neighbours (`context_width`). Blanks are dropped and repeats merged. A row is the
    mean of token embeddings weighted by the segment's posterior (averaged over its frames, the blank taken out) plus a
    learned residual of its mean frame, which starts at zero.
    Which segments there are carries no gradient; rows do, through posterior and residual.
    """

    def __init__(self, settings: CTCSettings, encoder_width: int, width: int, vocabulary_size: int) -> None:
        super().__init__()
        self.settings = settings
        self.blank = vocabulary_size
        self.norm = nn.LayerNorm(encoder_width)
        self.context = _Context(encoder_width, settings) if settings.context_width else None
        if settings.output == "free":
            self.output = nn.Linear(encoder_width, vocabulary_size + 1)
        else:
            self.output = _TiedOutput(encoder_width, width, vocabulary_size)
        self.residual = _Residual(encoder_width, settings.residual_width, width) if settings.residual else None

    def max_rows(self, num_frames: int) -> int:
        """The most rows a clip with `num_frames` frames can have: one a frame."""
        return num_frames

    def log_probs(self, frames_BFE: Tensor, num_frames_B: Tensor, embedding_VD: Tensor) -> Tensor:
        """Log-probabilities [B, F, V + 1] of the tokens and the blank (last), zeros behind a clip's last frame."""
        mask_BF = _mask(frames_BFE, num_frames_B)
        log_probs_NV1 = self._log_probs(frames_BFE, mask_BF, embedding_VD.detach())
        return log_probs_NV1.new_zeros(*mask_BF.shape, self.blank + 1).index_put((mask_BF,), log_probs_NV1)

    def _log_probs(self, frames_BFE: Tensor, mask_BF: Tensor, embedding_VD: Tensor) -> Tensor:
        """Log-probabilities [N, V + 1] of the frames that the mask holds true."""
        normed_NE = self.norm(frames_BFE[mask_BF])
        if self.context is not None and len(normed_NE):  # no frame at all has no neighbours
            normed_BFE = torch.zeros_like(frames_BFE).index_put((mask_BF,), normed_NE)
            normed_NE = normed_NE + self.context(normed_BFE)[mask_BF]
        tied = isinstance(self.output, _TiedOutput)
        logits_NV1 = self.output(normed_NE, embedding_VD.float()) if tied else self.output(normed_NE)
        return logits_NV1.float().log_softmax(-1)

    def forward(self, frames_BFE: Tensor, num_frames_B: Tensor, embedding_VD: Tensor) -> Prefixes:
        """Rows of each clip. Without gradients a large vocabulary is scored a few clips at a time.

        `embedding_VD` is the language model's frozen table, passed at call time and never saved with the connector.
        """
        num_scores = frames_BFE.shape[0] * frames_BFE.shape[1] * (self.blank + 1)
        if num_scores > _MAX_SCORES and len(frames_BFE) > 1 and not torch.is_grad_enabled():
            half = len(frames_BFE) // 2
            parts = [
                self(frames_BFE[part], num_frames_B[part], embedding_VD)
                for part in (slice(None, half), slice(half, None))
            ]
            return _joined(parts[0], parts[1])
        return self._hear(frames_BFE, num_frames_B, embedding_VD.detach())

    def _hear(self, frames_BFE: Tensor, num_frames_B: Tensor, embedding_VD: Tensor) -> Prefixes:
        """Rows of each clip, all clips at once."""
        mask_BF = _mask(frames_BFE, num_frames_B)
        frames_NE = frames_BFE[mask_BF]
        clips_N = mask_BF.nonzero()[:, 0]
        log_probs_NV1 = self._log_probs(frames_BFE, mask_BF, embedding_VD)
        tokens_N = log_probs_NV1.argmax(-1)

        changed_N = torch.ones_like(tokens_N, dtype=torch.bool)
        changed_N[1:] = (tokens_N[1:] != tokens_N[:-1]) | (clips_N[1:] != clips_N[:-1])
        spoken_N = tokens_N != self.blank
        starts_N = changed_N & spoken_N
        row_of_frame = (starts_N.cumsum(0) - 1)[spoken_N]
        num_rows = int(starts_N.sum())
        counts_R = torch.bincount(row_of_frame, minlength=num_rows)
        tokens_R = tokens_N[starts_N]

        if self.settings.rows == "hard":
            rows_RD = embedding_VD[tokens_R]
        else:
            weights_RV = _sums(log_probs_NV1[spoken_N].exp()[:, : self.blank], row_of_frame, num_rows)
            shares_RV = weights_RV / weights_RV.sum(-1, keepdim=True)
            rows_RD = shares_RV.to(embedding_VD.dtype) @ embedding_VD  # a large table is not widened for a few rows
        if self.residual is not None:
            rows_RD = rows_RD + self.residual(_sums(frames_NE[spoken_N], row_of_frame, num_rows) / counts_R[:, None])

        clips_R = clips_N[starts_N]
        rows_per_clip = torch.bincount(clips_R, minlength=len(frames_BFE)).tolist()
        frame_in_clip_R = mask_BF.nonzero()[:, 1][starts_N]
        spans = list(zip(frame_in_clip_R.tolist(), (frame_in_clip_R + counts_R).tolist(), strict=True))
        return Prefixes(
            rows=list(rows_RD.split(rows_per_clip)),
            token_ids=_split(tokens_R.tolist(), rows_per_clip),
            segments=_split(spans, rows_per_clip),
        )


class _Context(nn.Module):
    """What a frame's neighbours say of its token, for an encoder that is not trained along; zero before training."""

    def __init__(self, encoder_width: int, settings: CTCSettings) -> None:
        super().__init__()
        frames = settings.context_frames
        self.gather = nn.Conv1d(encoder_width, settings.context_width, frames, padding=frames // 2)
        self.narrow = nn.Linear(settings.context_width, encoder_width)
        nn.init.zeros_(self.narrow.weight)
        nn.init.zeros_(self.narrow.bias)

    def forward(self, frames_BFE: Tensor) -> Tensor:
        """What is to be added to each frame [B, F, E]; beyond a clip's ends there are zeros."""
        gathered_BFC = self.gather(frames_BFE.transpose(1, 2)).transpose(1, 2)
        return self.narrow(nn.functional.gelu(gathered_BFC))


class _TiedOutput(nn.Module):
    """Scores against the language model's embedding table, which is passed at call time and so never saved."""

    def __init__(self, encoder_width: int, width: int, vocabulary_size: int) -> None:
        super().__init__()
        self.project = nn.Linear(encoder_width, width)
        self.blank = nn.Linear(encoder_width, 1)
        self.bias_V = nn.Parameter(torch.zeros(vocabulary_size))
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, frames_NE: Tensor, embedding_VD: Tensor) -> Tensor:
        """Logits [N, V + 1]."""
        # The table's own size differs by a hundred times between models: bring it to unit variance first.
        table_VD = embedding_VD / embedding_VD.square().mean().sqrt().clamp_min(1e-8)
        scores_NV = self.project(frames_NE) @ table_VD.T * (self.scale / table_VD.shape[1] ** 0.5) + self.bias_V
        return torch.cat([scores_NV, self.blank(frames_NE)], dim=-1)


class _Residual(nn.Module):
    """What a segment's mean frame says beyond its tokens; zero before training."""

    def __init__(self, encoder_width: int, residual_width: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(encoder_width)
        self.narrow = nn.Linear(encoder_width, residual_width)
        self.widen = nn.Linear(residual_width, width)
        nn.init.zeros_(self.widen.weight)
        nn.init.zeros_(self.widen.bias)

    def forward(self, frames_RE: Tensor) -> Tensor:
        """Residual rows [R, D]."""
        return self.widen(nn.functional.gelu(self.narrow(self.norm(frames_RE))))


Connector: TypeAlias = LinearConnector | CTCConnector


def build_connector(
    settings: LinearSettings | CTCSettings, encoder_width: int, width: int, vocabulary_size: int
) -> Connector:
    """A fresh connector between an encoder of `encoder_width` and a language model of `width` and vocabulary."""
    if isinstance(settings, LinearSettings):
        return LinearConnector(settings, encoder_width, width, vocabulary_size)
    return CTCConnector(settings, encoder_width, width, vocabulary_size)


def _joined(one: Prefixes, other: Prefixes) -> Prefixes:
    """The prefixes of two batches as one."""
    assert one.token_ids is not None and other.token_ids is not None
    assert one.segments is not None and other.segments is not None
    return Prefixes(
        rows=one.rows + other.rows,
        token_ids=one.token_ids + other.token_ids,
        segments=one.segments + other.segments,
    )


def _mask(frames_BFE: Tensor, num_frames_B: Tensor) -> Tensor:
    """Which frames [B, F] are a clip's own."""
    return torch.arange(frames_BFE.shape[1], device=num_frames_B.device) < num_frames_B[:, None]


def _sums(values_NX: Tensor, row_of_frame: Tensor, num_rows: int) -> Tensor:
    """Sums [R, X] of the frames of each row."""
    return values_NX.new_zeros(num_rows, values_NX.shape[1]).index_add(0, row_of_frame, values_NX)


def _split(values: list, counts: list[int]) -> list[list]:
    """Values cut into runs of the given lengths."""
    runs, start = [], 0
    for count in counts:
        runs.append(values[start : start + count])
        start += count
    return runs
