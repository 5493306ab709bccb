"""The question task: one question about the clip, answered in a word or a few. Needs `questions`."""

from __future__ import annotations

import random

from iclal.data.manifest import Utterance
from iclal.data.prompt import Item
from iclal.data.tasks.episode import Episode

INSTRUCTIONS = (
    "answer the question",
    "listen and answer the question",
    "give a short answer to the question",
    "reply to the question about the speech",
    "what is the answer to the question",
)
HELD_OUT_INSTRUCTIONS = (
    "use what you hear to answer the question",
    "question about what was said give a short answer",
)


def episode(rng: random.Random, instructions: tuple[str, ...] = INSTRUCTIONS) -> Episode:
    """An episode of questions."""
    return Episode("questions", rng.choice(instructions), _solve)


def _solve(utterance: Utterance, rng: random.Random) -> Item | None:
    if not utterance.questions:
        return None
    question = rng.choice(utterance.questions)
    return Item(utterance, question.answers[0], question.question)
