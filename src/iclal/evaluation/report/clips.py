"""Clips of a report: what was said, asked and answered, to play and read side by side."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic
from markupsafe import Markup

from iclal.errors import AudioError, DataError
from iclal.evaluation.report.names import INPUT_NAMES
from iclal.evaluation.report.recordings import Recording, embed, read_recording
from iclal.evaluation.report.spectrogram import Token, spectrogram_figure

# What all recordings of a page may take, as base64; FLAC until then, Opus beyond.
AUDIO_BUDGET_BYTES = 4_500_000
# Spectrograms are heavy (and tall): only the first clips with tokens get one.
MAX_SPECTROGRAMS = 4


class TokenFields(pydantic.BaseModel):
    """A nearest token as `report.json` holds it."""

    token: str
    start_seconds: float
    end_seconds: float


class ClipFields(pydantic.BaseModel):
    """A clip as `report.json` holds it (under `extras.clips`).

    `audio` is a path in the run folder. `answers` are the headline model's, by input; `answers_by_model` those of
    other models, through audio. `right` says per input, `right_by_model` per other model, whether the metric counted
    the answer as right; where it is left out, an answer is marked by comparing letters and digits only.
    `nearest_tokens` are the headline model's, or a dict of lists by model.
    """

    id: str
    audio: str | None = None
    voice: str | None = None
    condition: str | None = None
    reference: str | None = None
    question: str | None = None
    answer: str | None = None
    answers: dict[str, str] = {}
    answers_by_model: dict[str, str] = {}
    right_by_model: dict[str, bool] = {}
    right: dict[str, bool] = {}
    cascade: str | None = None
    nearest_tokens: list[TokenFields] | dict[str, list[TokenFields]] = []


@dataclass(frozen=True)
class ClipAnswer:
    """An answer beside the name of the input (or model) that gave it; `is_right` is None where nobody knows."""

    name: str
    text: str
    is_right: bool | None


@dataclass(frozen=True)
class ClipView:
    """A clip as the page shows it."""

    fields: ClipFields
    answers: Sequence[ClipAnswer]
    by_model: Sequence[ClipAnswer]
    cascade_words: Sequence[tuple[str, bool]]
    audio_uri: str | None
    missing: str | None
    duration_seconds: float | None
    figure: Markup | None


def read_clips(values: Sequence[Mapping[str, Any]]) -> list[ClipFields]:
    """The clips of a report. Raises DataError for one that is not as `ClipFields` says, naming clip and field."""
    clips = []
    for number, value in enumerate(values, 1):
        try:
            clips.append(ClipFields.model_validate(value))
        except pydantic.ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
            raise DataError(f"clip {number} of the report: {problems}") from error
    return clips


def view_clips(clips: Sequence[ClipFields], run_folder: Path) -> list[ClipView]:
    """Clips with their sound embedded and, for the first few with tokens, a spectrogram.

    A recording that is missing or cannot be read leaves its words standing, and the page says so.
    """
    recordings: dict[int, Recording] = {}
    missing: dict[int, str] = {}
    for index, clip in enumerate(clips):
        if clip.audio is not None:
            try:
                recordings[index] = read_recording(run_folder / clip.audio)
            except AudioError:
                missing[index] = f"no recording at {clip.audio}"
    uris = dict(zip(recordings, embed(list(recordings.values()), AUDIO_BUDGET_BYTES), strict=True))
    missing |= {index: "left out to keep the page small" for index, uri in uris.items() if uri is None}
    drawn = [index for index, clip in enumerate(clips) if clip.nearest_tokens and index in recordings]
    return [
        ClipView(
            clip,
            [_mark(INPUT_NAMES.get(i, i), text, clip, clip.right.get(i)) for i, text in clip.answers.items()],
            [_mark(m, text, clip, clip.right_by_model.get(m)) for m, text in clip.answers_by_model.items()],
            differing_words(clip.reference or "", clip.cascade or ""),
            uris.get(index),
            missing.get(index),
            recordings[index].duration_seconds if index in recordings else None,
            _figure(clip, recordings[index], index) if index in drawn[:MAX_SPECTROGRAMS] else None,
        )
        for index, clip in enumerate(clips)
    ]


def _figure(clip: ClipFields, recording: Recording, index: int) -> Markup:
    by_model = clip.nearest_tokens if isinstance(clip.nearest_tokens, dict) else {"": clip.nearest_tokens}
    lanes = {
        name: [Token(t.token, t.start_seconds, t.end_seconds) for t in tokens] for name, tokens in by_model.items()
    }
    return spectrogram_figure(recording, lanes, f"spectrogram-{index}")


def _mark(name: str, text: str, clip: ClipFields, right: bool | None) -> ClipAnswer:
    """An answer as the metric marked it; where it did not, by its letters."""
    if right is not None:
        return ClipAnswer(name, text, right)
    return ClipAnswer(name, text, None if clip.answer is None else _bare(text) == _bare(clip.answer))


def _bare(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def differing_words(reference: str, hypothesis: str) -> list[tuple[str, bool]]:
    """The hypothesis's words, each with whether it differs from the reference; a lost word is shown as "[word]".

    >>> differing_words("the red cat sat", "the rat sat down")
    [('the', False), ('rat', True), ('sat', False), ('down', True)]
    >>> differing_words("one two three", "one three")
    [('one', False), ('[two]', True), ('three', False)]
    """
    expected, found = reference.split(), hypothesis.split()
    matcher = difflib.SequenceMatcher(None, [_bare(w) for w in expected], [_bare(w) for w in found], autojunk=False)
    words: list[tuple[str, bool]] = []
    for kind, start, end, found_start, found_end in matcher.get_opcodes():
        if kind == "delete":
            words += [(f"[{word}]", True) for word in expected[start:end]]
        words += [(word, kind != "equal") for word in found[found_start:found_end]]
    return words
