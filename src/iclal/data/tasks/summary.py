"""The summary task: who and what, sentence by sentence, which no sentence of the clip says so. Needs `summary`."""

from __future__ import annotations

import random

from iclal.data.manifest import Utterance
from iclal.data.prompt import Item
from iclal.data.tasks.episode import Episode

INSTRUCTIONS = (
    "sum up the speech",
    "give a short summary of what you hear",
    "tell the main points",
    "summarise what is said in a few words",
    "write short notes of the speech",
)
HELD_OUT_INSTRUCTIONS = (
    "use very few words to tell what was said",
    "listen and write a summary in a few words",
)


def episode(rng: random.Random, instructions: tuple[str, ...] = INSTRUCTIONS) -> Episode:
    """An episode of summaries."""
    return Episode("summary", rng.choice(instructions), _solve)


def _solve(utterance: Utterance, rng: random.Random) -> Item | None:
    return None if utterance.summary is None else Item(utterance, utterance.summary)
