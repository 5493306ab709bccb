"""The pattern task: only the demonstrations' answers tell which attribute, or which two in which order, to report.

Needs `facts`. Values of different attributes are different words, so a single demonstration identifies the pattern.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

from iclal.data.manifest import Utterance
from iclal.data.prompt import Item
from iclal.data.tasks.episode import Episode

INSTRUCTIONS = (
    "follow the examples",
    "do as in the examples",
    "answer in the way of the examples",
    "go on in the same way",
    "see what is done and do the same",
)
HELD_OUT_INSTRUCTIONS = (
    "do the same thing that was done in the examples",
    "reply as they reply in the examples",
)

ATTRIBUTES = ("who", "place", "colour", "thing", "day", "number")
_LEAST_FACTS = 4  # a clip must leave a choice, or the pattern could be guessed from it


def episode(
    rng: random.Random, instructions: tuple[str, ...] = INSTRUCTIONS, attributes: tuple[str, ...] | None = None
) -> Episode:
    """An episode whose answers report `attributes`: one, or two in an order (drawn when None)."""
    chosen = attributes or tuple(rng.sample(ATTRIBUTES, 1 if rng.random() < 0.4 else 2))

    def solve(utterance: Utterance, rng: random.Random) -> Item | None:
        known = attributes_of(utterance)
        if len(known) < _LEAST_FACTS or not known.keys() >= set(chosen):
            return None
        return Item(utterance, " ".join(known[attribute] for attribute in chosen))

    def mislead(clips: Sequence[Utterance], rng: random.Random) -> list[str] | None:
        known = [attributes_of(clip) for clip in clips]
        shared = [attribute for attribute in ATTRIBUTES if all(attribute in own for own in known)]
        others = [other for length in (1, 2) for other in itertools.permutations(shared, length) if other != chosen]
        if not others:
            return None
        other = rng.choice(others)
        return [" ".join(own[attribute] for attribute in other) for own in known]

    return Episode("pattern", rng.choice(instructions), solve, mislead=mislead)


def attributes_of(utterance: Utterance) -> dict[str, str]:
    """What a pattern may report of a clip; one thing or many things are the same attribute."""
    facts = {"thing": utterance.facts.get("things", "")} | utterance.facts
    return {attribute: facts[attribute] for attribute in ATTRIBUTES if facts.get(attribute)}
