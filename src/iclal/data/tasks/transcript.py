"""The transcript task: the words that were said. Needs `text`; a clip without speech has the empty answer."""

from __future__ import annotations

import random

from iclal.data.manifest import Utterance
from iclal.data.prompt import Item
from iclal.data.tasks.episode import Episode

INSTRUCTIONS = (
    "write down what you hear",
    "transcribe the speech",
    "type the words that are said",
    "give the exact words of the speaker",
    "repeat the speech word for word",
)
HELD_OUT_INSTRUCTIONS = (
    "listen and write all the words you hear",
    "type up all that was said",
)


def episode(rng: random.Random, instructions: tuple[str, ...] = INSTRUCTIONS) -> Episode:
    """An episode of transcripts."""
    return Episode("transcript", rng.choice(instructions), _solve)


def _solve(utterance: Utterance, rng: random.Random) -> Item | None:
    return None if utterance.text is None else Item(utterance, utterance.text)
