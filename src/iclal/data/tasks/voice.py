"""The voice task: what the words do not say. Asked outright, or bound to arbitrary words by demonstrations.

Needs the facts `speaker`, `pace` or `surroundings` of the voice note.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from iclal.data.manifest import Utterance
from iclal.data.prompt import Item
from iclal.data.tasks import labels
from iclal.data.tasks.episode import Episode

INSTRUCTIONS = {
    "speaker": ("is it a man or a woman or a child", "who speaks a man or a woman or a child"),
    "pace": ("is the speech slow or fast", "does the speaker talk slow or fast"),
    "surroundings": ("is the place quiet or noisy", "is it a quiet or a noisy place"),
}
HELD_OUT_INSTRUCTIONS = {
    "speaker": ("who do you hear a child a woman or a man", "which is the speaker a man a woman or a child"),
    "pace": ("say how fast or slow the words are said", "is it a fast speaker or a slow speaker"),
    "surroundings": (
        "does the speaker talk in a noisy place or a quiet place",
        "tell how quiet or noisy it is where the speaker is",
    ),
}
CANDIDATES = {"speaker": ("man", "woman", "child"), "pace": ("slow", "fast"), "surroundings": ("quiet", "noisy")}


def episode(
    rng: random.Random,
    attribute: str | None = None,
    instructions: Mapping[str, Sequence[str]] = INSTRUCTIONS,
    candidates: Sequence[str] | None = None,
) -> Episode:
    """An episode that asks for one part of the voice note (drawn when None).

    `candidates` limits it to clips with these values; by default all of the attribute's.
    """
    asked = attribute or rng.choice(list(instructions))
    possible = tuple(CANDIDATES[asked] if candidates is None else candidates)

    def solve(utterance: Utterance, rng: random.Random) -> Item | None:
        value = utterance.facts.get(asked)
        return Item(utterance, value) if value in possible else None

    return Episode("voice", rng.choice(instructions[asked]), solve, candidates=possible)


def bound_episode(
    rng: random.Random, label_words: Sequence[str], values: Mapping[str, Sequence[str]], attribute: str | None = None
) -> Episode:
    """An episode that binds two values of the voice note to arbitrary words."""
    attributes = (attribute,) if attribute else tuple(CANDIDATES)
    return labels.episode(rng, label_words, values, 2, attributes=attributes, task="voice")
