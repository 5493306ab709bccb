"""Human speech that no part has heard, and sounds without speech: transcription alone."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from iclal.audio.reading import Audio
from iclal.audio.sounds import non_speech
from iclal.data.manifest import Utterance
from iclal.data.tasks import transcript
from iclal.evaluation.evaluate import Cell, Pools
from iclal.experiments.conditions import Condition
from iclal.experiments.human_speech import crying_babies, data_folder, fsdd_digits, join_digits
from iclal.training.recordings import read_utterance

TEST_DIGIT_SPEAKERS = ("yweweler", "jackson")
_CELLS = (Cell("transcript", 0, transcript.episode),)
_INPUTS = ("audio", "ceiling", "cascade")


def human_conditions(data: Path, *, strings: int = 200, generated: int = 200, seed: int = 0) -> list[Condition]:
    """Digits of two unheard speakers, single and joined to strings of four; children's digits; no speech.

    `data` is the project's data folder.
    """
    singles = list(fsdd_digits(data, TEST_DIGIT_SPEAKERS))
    rng = random.Random(f"test strings {seed}")
    joined = [join_digits(rng, singles, f"test-string-{number}", 4) for number in range(strings)]
    children = [u for u in data_folder(data / "speechocean762") if u.split == "dev" and u.extra.get("kind") == "digits"]
    spoken = [(dataclasses.replace(u, text=f"{(u.text or '').lower()}."), read_utterance(u)) for u in children]
    return [
        _condition("human-digits", singles),
        _condition("human-digit-strings", joined),
        _condition("human-children-digits", spoken),
        _condition("no-speech", no_speech_clips(data, generated, seed)),
    ]


def no_speech_clips(data: Path, generated: int, seed: int) -> list[tuple[Utterance, np.ndarray]]:
    """Generated sounds, the crying babies that training has not heard, and the dog; each with the empty transcript."""
    others = [u for u in data_folder(data / "esc10_nonspeech") if u.label == "dog"]
    heard = [*crying_babies(data)[1::2], *others]
    clips = [(dataclasses.replace(u, text=""), read_utterance(u)) for u in heard]
    rng = np.random.default_rng([seed, 762])
    for number in range(generated):
        samples = non_speech(rng, float(rng.uniform(0.5, 8.0)))
        clips.append((Utterance(f"no-speech-test-{number}", text=""), samples))
    return clips


def _condition(name: str, clips: Sequence[tuple[Utterance, np.ndarray]]) -> Condition:
    samples = {utterance.id: heard for utterance, heard in clips}
    pools = Pools([utterance for utterance, _ in clips], ())

    def hear(utterance: Utterance) -> Audio:
        return Audio(samples[utterance.id].astype(np.float32), source=utterance.id)

    return Condition(name, pools, hear, _CELLS, _INPUTS, queries=len(pools.queries))
