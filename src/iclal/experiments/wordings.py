"""Other wordings of the tasks' instructions, for the language model's documents: it is to read what they say."""

from __future__ import annotations

import functools
import random
from dataclasses import dataclass
from importlib.resources import files
from types import ModuleType

import yaml

from iclal.data.tasks import labels, pattern, questions, summary, transcript, voice

_LEAST_WORDS = 4  # of one that is mixed of two: "the speech" could ask for anything
_MIXED_SHARE, _WRITTEN_SHARE = 0.2, 0.5  # of the reworded instructions; the others are phrased
_JUMBLED_WORDS = (2, 10)


def _each(phrases: str) -> tuple[str, ...]:
    """Phrases that are written in one line, with strokes between them."""
    return tuple(phrase.strip() for phrase in phrases.split("|"))


_LISTEN = _each("listen and | listen to the speech and | listen to what is said and")


@dataclass(frozen=True)
class _Phrases:
    """What instructions of a task are made of, besides the wordings that ears and demonstrations use.

    `done`, `with_what` and, by `how_share`, `how` make a request; `asked` is the same as a question. `before` may open
    either.
    """

    done: tuple[str, ...]
    with_what: tuple[str, ...]
    how: tuple[str, ...]
    asked: tuple[str, ...]
    before: tuple[str, ...] = _LISTEN
    how_share: float = 0.4


# Of words alone that are one token of the tokenizer: others would be spelt in syllables, as names are.
_PHRASES = {
    transcript: _Phrases(
        done=_each("write | write down | type | give | repeat | say | tell | transcribe"),
        with_what=_each(
            "what you hear | what is said | the speech | the exact speech | the words | the exact words |"
            "all the words | the words of the speaker | all that is said | what the speaker said | what was said |"
            "all that you hear | the words you hear | all the words of the speech | all of the speech |"
            "the words that the speaker said"
        ),
        how=_each("word for word | in the exact words | as it is said | in the same words"),
        asked=_each(
            "what is said | what do you hear | which words do you hear | which words are said | what was said |"
            "what does the speaker say | what are the exact words | what is the exact speech |"
            "which words were said | which words does the speaker say"
        ),
    ),
    questions: _Phrases(
        done=_each(
            "answer | reply to | give the answer to | give a short answer to | say the answer to |"
            "reply in short to | write the answer to | tell the answer to | give a reply to |"
            "say in a few words the answer to"
        ),
        with_what=_each(
            "the question | the question about the speech | the question about what you hear | the short question |"
            "the question about what is said | the question about the words | the question you see"
        ),
        how=_each("in a few words | in a word | in short | with what you hear | in a word or a few | from the speech"),
        asked=_each(
            "which words answer the question | what is the reply to the question | what is the short answer |"
            "what is the short answer to the question | which answer goes with the question"
        ),
    ),
    summary: _Phrases(
        done=_each(
            "sum up | summarise | give a short summary of | write a short summary of | tell the main points of |"
            "write the main points of | give short notes of | say the main points of | tell in a few words |"
            "give a summary of | write in short | give the points of | write down the main points of"
        ),
        with_what=_each(
            "the speech | what you hear | what is said | what the speaker said | the words of the speaker |"
            "all that is said | all of the speech | what the speech is about | what it is about"
        ),
        how=_each("in a few words | in short notes | in short | in a few short notes | in short words"),
        asked=_each(
            "what is the speech about | what is it about | which are the main points | what is a short summary |"
            "who and what is it about | which points does the speaker tell of"
        ),
    ),
    pattern: _Phrases(
        done=_each(
            "follow | do as in | answer as in | go on as in | do the same as in | answer in the way of |"
            "reply as in | go on in the way of | do it as in | use | see"
        ),
        with_what=_each("the examples | the examples of the speech | all the examples | the few examples"),
        how=_each(
            "and do the same | and answer in the same way | and do it in the same way | and reply in the same way |"
            "and answer as they do | and give the same | for the speech"
        ),
        asked=_each(
            "what do the examples do | what is the answer in the way of the examples |"
            "which words come in the same way | what comes in the same way"
        ),
    ),
    labels: _Phrases(
        done=_each("give | say | tell | write | use | type | repeat | answer with | reply with"),
        with_what=_each(
            "the code word | the word | the code | the code word of the examples | the word of the examples |"
            "the same code word | the short code word"
        ),
        how=_each(
            "for the {attribute} | of the {attribute} | that stands for the {attribute} |"
            "for the {attribute} you hear | for the {attribute} that is said | that the {attribute} has |"
            "that you see for the {attribute} | of the {attribute} in the speech"
        ),
        asked=_each(
            "which word stands for the {attribute} | what is the code word for the {attribute} |"
            "what stands for the {attribute} | which code word is for the {attribute} |"
            "what code word has the {attribute} | which code word does the {attribute} have |"
            "what is the {attribute} in code | which code word is the {attribute}"
        ),
        before=(*_LISTEN, "follow the examples and", "see the examples and"),
        how_share=1.0,
    ),
}
# Of the voice note: questions that its values may follow, and questions that they must.
_OF_VOICES = {
    "speaker": (
        _each("who speaks | who is it | who is the speaker | who said it | say who speaks | tell who the speaker is"),
        _each("is it | is the speaker | does it come from | is it the speech of | say is it | tell is it"),
    ),
    "pace": (
        _each("say how fast is it | tell how fast is the speech | what is the way of the speech"),
        _each("is it | is it said | is the talk | which are the words | does the speaker go | say is it"),
    ),
    "surroundings": (
        _each("what is the place | say how is the place | tell how is it there | what place is it"),
        _each(
            "is it | is it there | is what you hear | say was it | is the house | say is it there |"
            "is it a place that is"
        ),
    ),
}


@functools.cache
def _written() -> dict[str, list[str]]:
    """Whole instructions by task, from someone who knew neither the phrases above nor what the test keeps."""
    return yaml.safe_load((files("iclal.experiments") / "wordings.yaml").read_text(encoding="utf-8"))


def reworded(rng: random.Random, task: ModuleType, attribute: str | None = None) -> str:
    """Another wording for the task's instruction, so that it is known by what it says; never one kept for the test.

    `attribute` is what labels are bound to, or what is asked of a voice.
    """
    while True:
        if task is voice:
            assert attribute is not None, "a voice is asked about by an attribute"
            wording, kept = _of_voice(rng, attribute), voice.HELD_OUT_INSTRUCTIONS[attribute]
        else:
            made = rng.random()
            if made < _MIXED_SHARE:
                wording = _mixed(rng, task)
            elif made < _MIXED_SHARE + _WRITTEN_SHARE:
                wording = rng.choice(_written()[task.__name__.rpartition(".")[2]])
            else:
                wording = _phrased(rng, _PHRASES[task])
            kept = task.HELD_OUT_INSTRUCTIONS
        if not any(held in wording for held in kept):
            return wording.format(attribute=attribute)


def jumbled(rng: random.Random, attribute: str | None = None) -> str:
    """Words of many instructions in no order, which say nothing: what to do must be seen in the demonstrations.

    `attribute` stands where labels' wordings have it.
    """
    known = [wording for task in _PHRASES for wording in task.INSTRUCTIONS]
    first = rng.choice(known).split()[0]
    others = [rng.choice(rng.choice(known).split()) for _ in range(rng.randint(*_JUMBLED_WORDS))]
    return " ".join([first, *others]).format(attribute=attribute or "speech")


def _mixed(rng: random.Random, task: ModuleType) -> str:
    """The beginning of one of the task's wordings and the end of another."""
    while True:
        begun, ended = (rng.choice(task.INSTRUCTIONS).split() for _ in range(2))
        words_of_both = begun[: rng.randint(1, len(begun))] + ended[rng.randint(0, len(ended) - 1) :]
        if len(words_of_both) >= _LEAST_WORDS:
            return " ".join(words_of_both)


def _phrased(rng: random.Random, phrases: _Phrases) -> str:
    """A request, or the same as a question."""
    if rng.random() < 0.3:
        parts = [rng.choice(phrases.asked)]
    else:
        parts = [rng.choice(phrases.done), rng.choice(phrases.with_what)]
        if rng.random() < phrases.how_share:
            parts.append(rng.choice(phrases.how))
    if rng.random() < 0.2:
        parts.insert(0, rng.choice(phrases.before))
    return " ".join(parts)


def _of_voice(rng: random.Random, attribute: str) -> str:
    """A question about a voice, most often with the values that it may have."""
    about, is_it = _OF_VOICES[attribute]
    values = rng.sample(voice.CANDIDATES[attribute], len(voice.CANDIDATES[attribute]))
    article = rng.choice(("a ", "a ", "")) if attribute == "speaker" else ""
    choice = " or ".join(article + value for value in values)
    asked, alone = rng.choice(((about, 0.5), (is_it, 0.0)))
    parts = [rng.choice(asked)] if rng.random() < alone else [rng.choice(asked), choice]
    if rng.random() < 0.2:
        parts.insert(0, rng.choice(_LISTEN))
    return " ".join(parts)
