"""Other wordings of the tasks' instructions, for the language model's documents: it is to read what they say."""

from __future__ import annotations

import random
from dataclasses import dataclass
from types import ModuleType

from iclal.data.tasks import labels, pattern, questions, summary, transcript, voice

_LEAST_WORDS = 4  # of one that is mixed of two: "the speech" could ask for anything
_MIXED_SHARE = 0.3


@dataclass(frozen=True)
class _Phrases:
    """What instructions of a task are made of, besides the wordings that ears and demonstrations use.

    `before` may open any of them, `done` with `with_what` is a request, `asked` the same as a question, and `how` may
    end either.
    """

    done: tuple[str, ...] = ()
    with_what: tuple[str, ...] = ()
    how: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    before: tuple[str, ...] = (
        "listen and",
        "listen to the speech and",
        "hear the speech and",
        "listen to what is said and",
    )


_PHRASES = {
    transcript: _Phrases(
        ("write", "write down", "type", "give", "repeat", "say", "tell", "transcribe", "copy"),
        (
            *("what you hear", "what is said", "the speech", "the exact speech", "the words", "the exact words"),
            *("the words of the speaker", "all the words", "all that is said", "what the speaker said"),
            *("what the speaker says", "every word", "every word that is said", "each word", "the words you hear"),
            *("what was said", "all you hear", "the whole speech", "the words of the clip", "all of it"),
        ),
        ("word for word", "in the exact words", "as it is said", "in the same words", "and nothing else", "exact"),
        (
            *("what is said", "what do you hear", "which words do you hear", "which words are said", "what was said"),
            *("what does the speaker say", "what are the exact words", "what is the exact speech"),
            *("what has the speaker said", "which words does the speaker say", "what did the speaker say"),
        ),
    ),
    questions: _Phrases(
        (
            *(
                "answer",
                "reply to",
                "give the answer to",
                "give a short answer to",
                "say the answer to",
                "reply in short to",
            ),
            *("write the answer to", "tell the answer to", "find the answer to", "give a reply to"),
        ),
        (
            *("the question", "the question about the speech", "the question about what you hear", "what is asked"),
            *("the question about what is said", "this question", "the short question", "the question that you see"),
        ),
        ("in a few words", "in a word", "in short", "with what you hear", "in a word or a few", "from the speech"),
        (
            *("what answers the question", "which words answer the question", "what is the reply to the question"),
            *("what is the short answer to the question", "which answer goes with the question"),
        ),
    ),
    summary: _Phrases(
        (
            *("sum up", "summarise", "give a short summary of", "write a short summary of", "tell the main points of"),
            *("write the main points of", "give short notes of", "say the main points of", "tell in a few words"),
            *("give a summary of", "write in short", "give the points of", "write down the main points of"),
        ),
        (
            *("the speech", "what you hear", "what is said", "what the speaker said", "the words of the speaker"),
            *("all that is said", "the whole speech", "what the speech is about", "what it is about"),
        ),
        ("in a few words", "in short notes", "in short", "in a few short notes", "in short words"),
        (
            *("what is the speech about", "what is it about", "which are the main points", "what is a short summary"),
            *("what is the speech in a few words", "who and what is it about", "which points does the speaker tell"),
        ),
    ),
    pattern: _Phrases(
        (
            *("follow", "do as in", "answer as in", "go on as in", "do the same as in", "answer in the way of"),
            *("go on in the way of", "do it as in", "use", "see", "reply as in", "look at", "give what is given in"),
        ),
        ("the examples", "the examples of the speech", "all the examples", "these examples", "the answers"),
        (
            *(
                "and do the same",
                "and answer in the same way",
                "and do it in the same way",
                "and do so",
                "and reply so",
            ),
            *("and answer as they do", "and give the same", "for the speech"),
        ),
        (
            *("what do the examples do", "what is the answer in the way of the examples", "which words come here"),
            *("what would the examples say", "what comes in the same way"),
        ),
        ("listen and", "hear the speech and", "as you see", "once more"),
    ),
    labels: _Phrases(
        ("give", "say", "tell", "write", "use", "type", "repeat", "answer with", "reply with", "find"),
        (
            *("the code word", "the word", "the code", "the code word of the examples", "the word of the examples"),
            *("the right code word", "the same code word"),
        ),
        (
            *(
                "for the {attribute}",
                "of the {attribute}",
                "that stands for the {attribute}",
                "for the {attribute} you hear",
            ),
            *("that is used for the {attribute}", "for the {attribute} that is said", "that the {attribute} has"),
            *("that you see for the {attribute}", "of the {attribute} in the speech"),
        ),
        (
            *("which word stands for the {attribute}", "what is the code word for the {attribute}"),
            *("what stands for the {attribute}", "which code word is used for the {attribute}"),
            *("what code word has the {attribute}", "which code word does the {attribute} have"),
            *("which of the code words is for the {attribute}", "the {attribute} has which code word"),
            *("by which word do the examples call the {attribute}", "what is the {attribute} in code"),
        ),
        ("listen and", "follow the examples and", "see the examples and", "as in the examples"),
    ),
}
# Of the voice note: who or what is asked about, how, and the values, told one behind the other.
_OF_VOICES = {
    "speaker": (
        (
            "who speaks",
            "who is it",
            "who is the speaker",
            "who talks",
            "who says it",
            "what is the speaker",
            "who said it",
        ),
        ("is it", "is this", "is it the speech of", "do you hear", "does it say", "is the one who speaks"),
    ),
    "pace": (
        ("how is the speech", "how does the speaker talk", "how fast is it", "what is the pace", "how is it said"),
        ("is it", "is it said", "is the talk", "does it go", "are the words", "does the speaker speak", "is the pace"),
    ),
    "surroundings": (
        ("how is the place", "where is it said", "what is the place", "how is it there", "what is around the speaker"),
        ("is it", "is it there", "are the surroundings", "is the room", "is what you hear", "was it", "is the house"),
    ),
}
_VOICE_BEFORE = ("listen", "say", "tell", "answer", "say if", "tell if", "listen and say if", "listen and tell")


def reworded(rng: random.Random, task: ModuleType, attribute: str | None = None) -> str:
    """Another wording for the task's instruction, so that it is known by what it says; never one kept for the test.

    `attribute` is what labels are bound to, or what is asked of a voice.
    """
    held_out = task.HELD_OUT_INSTRUCTIONS
    while True:
        if task is voice:
            assert attribute is not None
            wording, kept = _of_voice(rng, attribute), held_out[attribute]
        else:
            wording = _mixed(rng, task) if rng.random() < _MIXED_SHARE else _phrased(rng, _PHRASES[task])
            kept = held_out
        if not any(held in wording for held in kept):
            return wording.format(attribute=attribute)


def _mixed(rng: random.Random, task: ModuleType) -> str:
    """The beginning of one of the task's wordings and the end of another."""
    while True:
        begun, ended = (rng.choice(task.INSTRUCTIONS).split() for _ in range(2))
        words_of_both = begun[: rng.randint(1, len(begun))] + ended[rng.randint(0, len(ended) - 1) :]
        if len(words_of_both) >= _LEAST_WORDS:
            return " ".join(words_of_both)


def _phrased(rng: random.Random, phrases: _Phrases) -> str:
    """What is to be done, with what, and how; or the same as a question."""
    if rng.random() < 0.3:
        parts = [rng.choice(phrases.asked)]
    else:
        parts = [rng.choice(phrases.done), rng.choice(phrases.with_what)]
        if "{attribute}" in phrases.how[0] or rng.random() < 0.4:
            parts.append(rng.choice(phrases.how))
    if rng.random() < 0.2:
        parts.insert(0, rng.choice(phrases.before))
    return " ".join(parts)


def _of_voice(rng: random.Random, attribute: str) -> str:
    """A question about a voice: by what is asked, by its values, or both."""
    about, is_it = _OF_VOICES[attribute]
    values = list(voice.CANDIDATES[attribute])
    rng.shuffle(values)
    article = rng.choice(("a ", "a ", "")) if attribute == "speaker" else ""
    choice = " or ".join(article + value for value in values)
    parts = rng.choice(([rng.choice(about)], [rng.choice(about), choice], [rng.choice(is_it), choice], [choice]))
    if rng.random() < 0.3:
        parts.insert(0, rng.choice(_VOICE_BEFORE))
    return " ".join(parts)
