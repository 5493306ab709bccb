"""Other wordings of the tasks' instructions, for the language model's documents: it is to read what they say."""

from __future__ import annotations

import random
from dataclasses import dataclass
from types import ModuleType

from iclal.data.tasks import pattern, questions, summary, transcript

_LEAST_WORDS = 4  # of one that is mixed of two: "the speech" could ask for anything


@dataclass(frozen=True)
class _Phrases:
    """What instructions of a task are made of, besides the wordings that ears and demonstrations use."""

    done: tuple[str, ...]
    with_what: tuple[str, ...]
    how: tuple[str, ...]
    asked: tuple[str, ...] = ()


_PHRASES = {
    transcript: _Phrases(
        ("write", "write down", "type", "give", "repeat", "say", "tell", "transcribe"),
        (
            *("what you hear", "what is said", "the speech", "the exact speech", "the words", "the exact words"),
            *("the words of the speaker", "all the words", "all that is said", "what the speaker said"),
        ),
        ("", "", "", "word for word", "in the exact words"),
        ("what is said", "what do you hear", "which words do you hear", "which words are said", "what was said"),
    ),
    questions: _Phrases(
        (
            *("answer", "reply to", "give the answer to", "give a short answer to", "say the answer to"),
            *("listen and answer", "listen and give the answer to", "hear the speech and answer"),
        ),
        ("the question", "the question about the speech", "the question about what you hear"),
        ("", "", "", "in a few words"),
    ),
    summary: _Phrases(
        (
            *("sum up", "summarise", "give a short summary of", "write a short summary of", "tell the main points of"),
            *("write the main points of", "give short notes of", "say the main points of", "tell in a few words"),
        ),
        ("the speech", "what you hear", "what is said", "what the speaker said"),
        ("", "", "", "in a few words", "in short notes"),
        ("what is the speech about", "what is it about", "which are the main points"),
    ),
    pattern: _Phrases(
        (
            *("follow", "do as in", "answer as in", "go on as in", "do the same as in", "answer in the way of"),
            *("go on in the way of", "do it as in", "use", "see"),
        ),
        ("the examples", "the examples of the speech"),
        ("", "", "and do the same", "and answer in the same way", "and do it in the same way"),
    ),
}


def reworded(rng: random.Random, task: ModuleType) -> str:
    """Another wording for the task's instruction, so that it is known by what it says; never one kept for the test."""
    while True:
        wording = _mixed(rng, task) if rng.random() < 0.4 else _phrased(rng, task)
        if not any(held in wording for held in task.HELD_OUT_INSTRUCTIONS):
            return wording


def _mixed(rng: random.Random, task: ModuleType) -> str:
    """The beginning of one of the task's wordings and the end of another."""
    while True:
        begun, ended = (rng.choice(task.INSTRUCTIONS).split() for _ in range(2))
        words_of_both = begun[: rng.randint(1, len(begun))] + ended[rng.randint(0, len(ended) - 1) :]
        if len(words_of_both) >= _LEAST_WORDS:
            return " ".join(words_of_both)


def _phrased(rng: random.Random, task: ModuleType) -> str:
    """What is to be done, with what, and how; or the same as a question where there is one."""
    phrases = _PHRASES[task]
    if phrases.asked and rng.random() < 0.25:
        return rng.choice(phrases.asked)
    parts = (rng.choice(phrases.done), rng.choice(phrases.with_what), rng.choice(phrases.how))
    return " ".join(part for part in parts if part)
