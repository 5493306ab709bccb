"""Inputs: what stands in a prompt's slots. The clip itself, its transcripts (ceiling, cascades), and the controls."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable, Sequence
from random import Random

import torch

from iclal.audio.reading import Audio
from iclal.data.demonstrations import query, seeded
from iclal.data.manifest import Utterance
from iclal.data.prompt import Clip, Item, Prompt, SlotText, Text, fill, read_transcript
from iclal.data.tasks.episode import Episode
from iclal.data.world.voices import NOTE_WORDS
from iclal.errors import DataError
from iclal.evaluation.blocks import BLOCK_SIZE, Block, Pools
from iclal.evaluation.metrics import exact_match
from iclal.evaluation.report.rows import ANSWERED_INPUTS
from iclal.model import transcribing
from iclal.model.connector import CTCConnector
from iclal.model.hearing import Hearing
from iclal.model.model import ICLAL

INPUTS = ANSWERED_INPUTS
FEW_SHOT_INPUTS = ("wrong-labels", "text-demos")  # they change the demonstrations
TRANSCRIPT_INPUTS = ("ceiling", "text-demos")  # they need the transcript of every clip
SELF_WRITTEN_INPUTS = ("cascade", "cascade-ctc")  # the text in the slots is the model's own, of any length

_TRIES = 200  # for one answer that differs
_NOTE = rf"(?<!\S)\[(?:\s*\b(?:{'|'.join(NOTE_WORDS)})\b)+\s*\]\s*"


class Clips:
    """Recordings, prefixes and transcripts of utterances, each made once."""

    def __init__(self, model: ICLAL, hear: Callable[[Utterance], Audio]) -> None:
        self._model = model
        self._hear = hear
        self._audios: dict[str, Audio] = {}
        self._ids: dict[int, str] = {}
        self._transcripts: dict[str, str] = {}
        self._greedy_texts: dict[str, str] = {}
        self.hearing = Hearing(model)
        self.transcribed_seconds = 0.0  # of speech, in the timed transcription
        self.transcription_seconds = 0.0  # that it took

    def audio(self, utterance: Utterance) -> Audio:
        """The recording, the same object whenever it is asked for."""
        if utterance.id not in self._audios:
            audio = self._hear(utterance)
            if id(audio) in self._ids:  # prefixes are told apart by the object: two utterances must not share one
                audio = Audio(audio.samples, audio.source)
            self._audios[utterance.id] = audio
            self._ids[id(audio)] = utterance.id
        return self._audios[utterance.id]

    def id_of(self, audio: Audio) -> str:
        """The utterance whose recording this is."""
        return self._ids[id(audio)]

    def time_transcription(self, utterances: Sequence[Utterance]) -> None:
        """Transcribe from the waveform on, hearing and all, and measure how long it takes; the texts are kept."""
        audios = [self.audio(utterance) for utterance in utterances]
        transcribing.transcribe(self._model, audios[:1])  # the first call of anything is slow: not timed
        start = time.monotonic()
        transcripts = transcribing.transcribe(self._model, audios)
        self.transcription_seconds += time.monotonic() - start
        self.transcribed_seconds += sum(audio.duration_seconds for audio in audios)
        self._transcripts |= {u.id: t.text for u, t in zip(utterances, transcripts, strict=True)}

    def transcribe(self, utterances: Sequence[Utterance]) -> None:
        """Make the transcripts that are still missing; what other inputs heard whole is not heard again."""
        missing = {u.id: u for u in utterances if u.id not in self._transcripts}.values()
        for long, hearing in ((False, self.hearing), (True, None)):
            own = [utterance for utterance in missing if self._is_long(utterance) is long]
            transcripts = transcribing.transcribe(self._model, [self.audio(u) for u in own], hearing=hearing)
            self._transcripts |= {u.id: t.text for u, t in zip(own, transcripts, strict=True)}

    def transcript(self, utterance: Utterance) -> str:
        """The model's own transcript, made before by `transcribe`."""
        return self._transcripts[utterance.id]

    def greedy_text(self, utterance: Utterance) -> str:
        """The words of CTC's greedy path, without the voice note. Raises ModelError for other connectors."""
        if utterance.id not in self._greedy_texts:
            hearing = None if self._is_long(utterance) else self.hearing
            (text,) = transcribing.transcribe_greedily(self._model, [self.audio(utterance)], hearing=hearing)
            self._greedy_texts[utterance.id] = without_notes(text) if hearing is None else without_note(text)
        return self._greedy_texts[utterance.id]

    def _is_long(self, utterance: Utterance) -> bool:
        """Whether it is heard in windows, which no other input hears: they are not kept."""
        return self.audio(utterance).duration_seconds > self._model.settings.window_seconds

    def listen(self, audios: Sequence[Audio]) -> None:
        """Make the prefixes that are still missing, few clips at a time: the encoder needs most memory."""
        for audio in audios:
            self.hearing.number(audio)
        with torch.no_grad():
            self.hearing.hear(BLOCK_SIZE)


def without_note(text: str) -> str:
    """The words in front of a voice note, which stands at the end and holds words of `NOTE_WORDS` alone.

    >>> without_note("mira lives in paris. [ woman slow ]"), without_note("[ noisy ]")
    ('mira lives in paris.', '')
    >>> without_note("[laughter] hello there [noise]")
    '[laughter] hello there [noise]'
    """
    return re.sub(rf"{_NOTE}$", "", text).strip()


def without_notes(text: str) -> str:
    """The words of windows one after another, each of which may end in a voice note.

    >>> without_notes("mira lives [ woman ] in paris. [ woman slow ]")
    'mira lives in paris.'
    """
    return re.sub(_NOTE, "", text).strip()


def applicable(asked: Sequence[str], model: ICLAL, pools: Pools) -> tuple[tuple[str, ...], dict[str, str]]:
    """The inputs that can be made, in order, and why which others of `asked` are left out."""
    left_out: dict[str, str] = {}
    silent = sum(utterance.text is None for pool in (pools.queries, pools.demonstrations) for utterance in pool)
    total = len(pools.queries) + len(pools.demonstrations)
    for input in asked:
        if input in TRANSCRIPT_INPUTS and silent:
            left_out[input] = f"{silent} of {total} utterances have no text"
        elif input == "cascade-ctc" and not isinstance(model.connector, CTCConnector):
            left_out[input] = f"the connector '{model.settings.connector.kind}' has no text of its own"
    return tuple(input for input in INPUTS if input in asked and input not in left_out), left_out


class Slots:
    """Makes the prompts of a block for an input."""

    def __init__(self, clips: Clips, model: ICLAL, pools: Pools, seed: int) -> None:
        self._clips = clips
        self._model = model
        self._pools = pools
        self._seed = seed
        self._query_ids = {utterance.id for utterance in pools.queries}

    def prompts(self, block: Block, input: str) -> list[Prompt] | None:
        """One filled prompt a query; None where the block has no wrong labels to show (all answers are the same)."""
        demonstrations: Sequence[Item] | None = None
        if input == "wrong-labels":
            cell = block.cell
            rng = seeded("wrong-labels", self._seed, cell.task, cell.shots, block.number)
            demonstrations = wrong_labels(block.episode, block.demonstrations, self._pools.demonstrations, rng)
            if demonstrations is None:
                return None
        if input == "cascade":
            self._clips.transcribe([item.clip for item in (*block.demonstrations, *block.queries)])
        examples = block.examples(self._model.settings.template, demonstrations)
        return [fill(example.prompt, self._filling(input, example.id)) for example in examples]

    def _filling(self, input: str, query_id: str) -> Callable[[Utterance], SlotText | Audio]:
        """What stands in the slot of an utterance."""
        clips = self._clips
        fillings: dict[str, Callable[[Utterance], SlotText | Audio]] = {
            "audio": clips.audio,
            "wrong-labels": clips.audio,
            "ceiling": read_transcript,
            "cascade": lambda utterance: SlotText(clips.transcript(utterance)),
            "cascade-ctc": lambda utterance: SlotText(clips.greedy_text(utterance)),
            "shuffled-audio": lambda utterance: clips.audio(self.other(utterance)),
            "no-audio": lambda _: SlotText(""),
            "text-demos": lambda u: clips.audio(u) if u.id == query_id else read_transcript(u),
        }
        return fillings[input]

    def other(self, utterance: Utterance) -> Utterance:
        """The utterance of the same pool that is heard in its place under `shuffled-audio`, never itself."""
        pool = self._pools.queries if utterance.id in self._query_ids else self._pools.demonstrations
        rng = seeded("shuffled-audio", self._seed, utterance.id)
        while True:
            other = rng.choice(pool)
            if other.id != utterance.id:
                return other

    def written(self, prompt: Prompt) -> str:
        """A filled prompt as text, a clip as the id of the utterance that is heard, in brackets."""
        parts = []
        for piece in prompt:
            if isinstance(piece, Text):
                parts.append(piece.text)
            elif isinstance(piece, SlotText):
                parts.append(f" {piece.text}" if piece.text else "")
            else:
                assert not isinstance(piece, Clip), "the prompt is filled"
                parts.append(f"[{self._clips.id_of(piece)}]")
        return "".join(parts)


def wrong_labels(episode: Episode, items: Sequence[Item], pool: Sequence[Utterance], rng: Random) -> list[Item] | None:
    """Demonstrations with wrong answers, none of them its own.

    Where answers come from a closed set, its members are exchanged in the same way in every demonstration; where the
    task can be done in another way, e.g. by another pattern, all are answered so. Else the answers go round among the
    demonstrations, and where that leaves one right (one shot, or too many alike) it gets the answer of another item of
    the pool. None where no other answer can be found.
    """
    closed = episode.groups or episode.candidates or ()
    if len(closed) > 1 and all(item.answer in closed for item in items):
        order = rng.sample(closed, len(closed))
        wrong = dict(zip(order, order[1:] + order[:1], strict=True))
        return [dataclasses.replace(item, answer=wrong[item.answer]) for item in items]
    if episode.mislead is not None:
        answers = episode.mislead([item.clip for item in items], rng)
        if answers is None:
            return None
        return [dataclasses.replace(item, answer=answer) for item, answer in zip(items, answers, strict=True)]
    changed = []
    for item, answer in zip(items, _go_round([item.answer for item in items], rng), strict=True):
        other = answer if not exact_match(answer, item.answer) else _another_answer(episode, item, pool, rng)
        if other is None:
            return None
        changed.append(dataclasses.replace(item, answer=other))
    return changed


def _go_round(answers: Sequence[str], rng: Random) -> list[str]:
    """The answers exchanged; each gets another one unless more than half are alike.

    Like ones stand together and all move on by as many places as the largest group has.
    """
    groups: dict[str, list[int]] = {}
    for index in rng.sample(range(len(answers)), len(answers)):
        groups.setdefault(" ".join(answers[index].split()).casefold(), []).append(index)
    order = [index for group in groups.values() for index in group]
    step = max(len(group) for group in groups.values())
    moved = list(answers)
    for place, index in enumerate(order):
        moved[index] = answers[order[(place + step) % len(order)]]
    return moved


def _another_answer(episode: Episode, item: Item, pool: Sequence[Utterance], rng: Random) -> str | None:
    """The answer of another item of the pool that differs from this one's."""
    for _ in range(_TRIES):
        try:
            other = query(episode, pool, rng, exclude={item.clip.id})
        except DataError:
            return None
        if not exact_match(other.answer, item.answer):
            return other.answer
    return None
