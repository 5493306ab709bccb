"""Transcripts of recordings of any length, heard in windows that are cut at pauses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from iclal.audio.pauses import is_silent, split_at_pauses
from iclal.audio.reading import Audio
from iclal.data.manifest import Utterance
from iclal.data.prompt import Item, Prompt, fill
from iclal.errors import AudioError, ModelError
from iclal.model import inference
from iclal.model.connector import CTCConnector
from iclal.model.hearing import BATCH_SIZE, Hearing, in_use
from iclal.model.inference import Answer, FinishReason
from iclal.model.model import ICLAL


@dataclass(frozen=True)
class Segment:
    """What was said between two times of a recording."""

    start_seconds: float
    end_seconds: float
    text: str
    finish_reason: FinishReason = "end"


@dataclass(frozen=True)
class Transcript:
    """What was said in a recording; `segments` are the windows it was heard in, cut at pauses."""

    text: str
    duration_seconds: float
    no_speech: bool
    segments: tuple[Segment, ...]
    finish_reason: FinishReason


def transcribe(
    model: ICLAL, audios: Sequence[Audio], *, batch_size: int = BATCH_SIZE, hearing: Hearing | None = None
) -> list[Transcript]:
    """What is said in each recording. Long ones are heard in windows cut at pauses, each without the others.

    A window in which nothing was recorded (digital silence), or nothing heard (no row, e.g. CTC found only blanks), has
    no text; the language model is not asked, as it would make something up.

    Args:
        hearing: what was heard before, of this model; what is heard now is added to it.

    Raises:
        AudioError: what is to be transcribed is no Audio, or one that stands in no list.
        PromptError, ModelError: as `generate`.
    """
    if isinstance(audios, Audio):
        raise AudioError("several recordings are transcribed in a list; `model.transcribe` takes one, too")
    for audio in audios if isinstance(audios, Sequence) and not isinstance(audios, str) else [audios]:
        if not isinstance(audio, Audio):
            found = f"{type(audio).__name__} {audio!r}"[:80]
            raise AudioError(f"only an Audio is transcribed, found {found}; read_audio makes one of a file or an array")
    windows = [_windows(model, audio) for audio in audios]
    with in_use(model):
        hearing = hearing or Hearing(model)
        numbers = [[None if is_silent(window) else hearing.number(window) for _, _, window in own] for own in windows]
        counts = hearing.hear(batch_size)
        asked = list(dict.fromkeys(n for own in numbers for n in own if n is not None and counts[n]))
        prompts = [transcription_prompt(model, hearing.audios[number]) for number in asked]
        answers = inference.generate(model, prompts, batch_size=batch_size, hearing=hearing)
    heard = dict(zip(asked, answers, strict=True))
    nothing = Answer("", (), (), "end")
    transcripts = []
    for audio, own, own_numbers in zip(audios, windows, numbers, strict=True):
        segments = []
        for (start, end, _), number in zip(own, own_numbers, strict=True):
            answer = nothing if number is None else heard.get(number, nothing)
            segments.append(Segment(start, end, answer.text, answer.finish_reason))
        transcripts.append(_transcript(audio, tuple(segments)))
    return transcripts


def transcribe_greedily(
    model: ICLAL, audios: Sequence[Audio], *, batch_size: int = BATCH_SIZE, hearing: Hearing | None = None
) -> list[str]:
    """The text of CTC's greedy path alone, without the language model reading it (`cascade-ctc`).

    Windows and `hearing` are `transcribe`'s; what is digital silence has no text here either.

    Raises:
        ModelError: the connector is not `ctc`.
    """
    if not isinstance(model.connector, CTCConnector):
        raise ModelError(f"the connector is '{model.settings.connector.kind}'; only 'ctc' has a text of its own")
    with in_use(model):
        hearing = hearing or Hearing(model)
        windows = [[window for _, _, window in _windows(model, audio)] for audio in audios]
        numbers = [[hearing.number(window) for window in own if not is_silent(window)] for own in windows]
        hearing.hear(batch_size)
    texts = [[model.language_model.text(hearing.token_ids[number]) for number in own] for own in numbers]
    return [" ".join(text for text in own if text) for own in texts]


def transcription_prompt(model: ICLAL, audio: Audio) -> Prompt:
    """How the model was trained to be asked for a transcript of a clip that fits a window."""
    instruction = model.settings.transcription_instruction
    if instruction is None:
        return (audio,)
    example = model.settings.template.example("", instruction, [], Item(Utterance(""), ""))
    return fill(example.prompt, lambda _: audio)


def _windows(model: ICLAL, audio: Audio) -> list[tuple[float, float, Audio]]:
    """The windows (start, end, clip) of a recording."""
    windows = split_at_pauses(audio, model.settings.window_seconds)
    if len(windows) == 1:
        return [(*windows[0], audio)]
    return [(start, end, audio.cut(start, end)) for start, end in windows]


def _transcript(audio: Audio, segments: tuple[Segment, ...]) -> Transcript:
    """A recording's transcript from its windows'."""
    text = " ".join(segment.text for segment in segments if segment.text)
    reasons = {segment.finish_reason for segment in segments}
    reason: FinishReason = "repetition" if "repetition" in reasons else "length" if "length" in reasons else "end"
    return Transcript(text, audio.duration_seconds, not text, segments, reason)
