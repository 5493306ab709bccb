"""The label task: demonstrations bind arbitrary words to values of an attribute (fast binding). Needs `facts`."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from iclal.data.manifest import Utterance
from iclal.data.prompt import Item
from iclal.data.tasks.episode import Episode
from iclal.errors import DataError

INSTRUCTIONS = (
    "give the code word for the {attribute}",
    "which code word stands for the {attribute}",
    "use the code words of the examples for the {attribute}",
    "say the code word of the {attribute}",
)
HELD_OUT_INSTRUCTIONS = (
    "tell which of the code words goes with the {attribute}",
    "listen for the {attribute} and reply with the code word",
)

ATTRIBUTES = ("colour", "place", "day", "thing", "number")


def episode(
    rng: random.Random,
    label_words: Sequence[str],
    values: Mapping[str, Sequence[str]],
    ways: int,
    instructions: tuple[str, ...] = INSTRUCTIONS,
    attributes: Sequence[str] = ATTRIBUTES,
    task: str = "labels",
) -> Episode:
    """An episode of `ways` bindings: value of an attribute -> one of `label_words`.

    `values` lists, by attribute, the values that clips with enough demonstrations have.

    Raises:
        DataError: no attribute has `ways` values.
    """
    possible = [name for name in attributes if len(values.get(name, ())) >= ways]
    if not possible:
        counts = ", ".join(f"{name} {len(values.get(name, ()))}" for name in attributes)
        raise DataError(f"task {task}: no attribute has the {ways} values to be bound ({counts}); give a larger pool")
    attribute = rng.choice(possible)
    bound = dict(zip(rng.sample(list(values[attribute]), ways), rng.sample(list(label_words), ways), strict=True))

    def group(utterance: Utterance) -> str | None:
        return bound.get(utterance.facts.get(attribute, ""))

    def solve(utterance: Utterance, rng: random.Random) -> Item | None:
        label = group(utterance)
        return None if label is None else Item(utterance, label)

    labels = tuple(bound.values())
    instruction = rng.choice(instructions).format(attribute=attribute)
    return Episode(task, instruction, solve, groups=labels, group=group, attribute=attribute, candidates=labels)
