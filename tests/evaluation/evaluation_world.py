"""A small world for the evaluation's tests: real spoken digits and told passages, with a grid over them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from functools import cache
from pathlib import Path
from random import Random

from model_builders import noise

from iclal.audio.reading import Audio, read_audio
from iclal.data.manifest import Utterance
from iclal.data.tasks import labels, pattern, questions, transcript, voice
from iclal.data.tasks.episode import Episode
from iclal.data.world import sentences, voices, words
from iclal.evaluation.evaluate import Cell, EvaluationSettings, Pools

DATA = Path(__file__).parents[2] / "data"


def digits(speaker: str, count: int) -> list[Utterance]:
    """Real spoken digits of one speaker, zero to nine by turns."""
    return [utterance for utterance in _fsdd() if utterance.speaker == speaker][:count]


@cache
def _fsdd() -> list[Utterance]:
    found = []
    for line in (DATA / "fsdd" / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        values = json.loads(line)
        kept = ("id", "audio", "start_seconds", "duration_seconds", "text", "speaker")
        found.append(Utterance(**{name: values[name] for name in kept}, root=DATA / "fsdd"))
    return found


def passages(name: str, count: int, seed: int = 0) -> list[Utterance]:
    """Told passages with questions, facts and notes; `hear` gives each a short noise of its own."""
    rng = Random(f"{name} {seed}")
    taste = sentences.Taste(sentences=(1, 2), frames=("comes", "found"), filler_share=0)
    told = [sentences.passage(rng, f"{name}-{number}", "test", taste) for number in range(count)]
    noted = [
        voices.with_note(u, rng.choice(("man", "woman")), surroundings=rng.choice(("quiet", "noisy"))) for u in told
    ]
    return [dataclasses.replace(u, speaker=rng.choice(("f4", "m3"))) for u in noted]


def hear(utterance: Utterance) -> Audio:
    """The recording: the real one, or noise that is a function of the id."""
    if utterance.audio_path is not None:
        return read_audio(
            utterance.audio_path, start_seconds=utterance.start_seconds, duration_seconds=utterance.duration_seconds
        )
    seed = int.from_bytes(hashlib.sha256(utterance.id.encode()).digest()[:4], "big")
    return noise(3_000 + seed % 4_000, seed)


@cache
def pools() -> Pools:
    """Passages that ask and passages that demonstrate."""
    return Pools(passages("asked", 60), passages("shown", 60))


@cache
def common_days() -> list[str]:
    """The days that both pools tell of often enough to be bound."""
    told = [[utterance.facts.get("day") for utterance in pool] for pool in (pools().queries, pools().demonstrations)]
    return [day for day in words.DAYS if min(days.count(day) for days in told) >= 4]


def digit_pools() -> Pools:
    """Real digits: one speaker asks, another demonstrates."""
    return Pools(digits("jackson", 24), digits("theo", 24))


def label_episode(rng: Random, ways: int = 2) -> Episode:
    """Two or more days bound to invented words."""
    return labels.episode(rng, ("dax", "wug", "toma", "blick"), {"day": common_days()}, ways, attributes=("day",))


CELLS = {
    "transcript": transcript.episode,
    "questions": questions.episode,
    "pattern": lambda rng: pattern.episode(rng, attributes=("who",)),
    "labels": label_episode,
    "voice": lambda rng: voice.episode(rng, "speaker"),
}


def grid(*wanted: tuple[str, int]) -> list[Cell]:
    """Cells by task and shots."""
    return [Cell(task, shots, CELLS[task]) for task, shots in wanted]


GRID = grid(("transcript", 0), ("transcript", 1), ("questions", 0), ("questions", 2), ("labels", 0), ("labels", 4))
SMALL = EvaluationSettings(queries=20, max_new_tokens=5, clips=3)
