"""Sentences of the spoken world: frames over attributes, the questions each answers, and passages of them.

A passage is one to four sentences. Every sentence tells of one person; no value of an attribute occurs twice in a
passage, so each question has one answer, though other sentences may compete with values of the same kind.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from iclal.data.manifest import Question, Utterance
from iclal.data.world import names, words

# Which share of all sentences each part of the project may see (in 16ths, by the sentence's own digest): a sentence
# belongs to exactly one part, whoever generates it.
PARTS = {"language-model": range(8), "ears": range(8, 14), "test": range(14, 16)}


@dataclass(frozen=True)
class Frame:
    """Wordings of one kind of sentence, the questions it answers (asked attribute, wordings) and its summary."""

    wordings: tuple[str, ...]
    questions: tuple[tuple[str, tuple[str, ...]], ...]
    summary: str
    yes_no: tuple[str, str]  # the attribute put to the test, and the question's wording

    @property
    def attributes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(re.findall(r"{(\w+)}", self.wordings[0])))


FRAMES = {
    "lives": Frame(
        ("{who} lives in {place}.", "{who} has a house in {place}."),
        (
            ("place", ("where does {who} live", "where is the house of {who}")),
            ("who", ("who lives in {place}", "who has a house in {place}")),
        ),
        "{who} {place}",
        ("place", "does {who} live in {place}"),
    ),
    "has": Frame(
        ("{who} has a {colour} {thing}.", "{who} got a {colour} {thing}."),
        (
            ("colour", ("which colour is the {thing}", "which colour is the {thing} of {who}")),
            ("thing", ("what does {who} have",)),
            ("who", ("who has the {thing}", "who has the {colour} {thing}")),
        ),
        "{who} {thing}",
        ("colour", "is the {thing} {colour}"),
    ),
    "comes": Frame(
        ("{who} comes on {day}.", "{who} will arrive on {day}."),
        (
            ("day", ("which day does {who} come", "which day will {who} arrive")),
            ("who", ("who comes on {day}", "who will arrive on {day}")),
        ),
        "{who} {day}",
        ("day", "does {who} come on {day}"),
    ),
    "bought": Frame(
        ("{who} bought {number} {things}.", "{who} sold {number} {things}."),
        (
            ("number", ("how many {things} were there", "how many {things} does {who} tell of")),
            ("who", ("who tells of {things}",)),
            ("things", ("which things go with {who}",)),
        ),
        "{who} {things}",
        ("number", "are there {number} {things}"),
    ),
    "code": Frame(
        ("the number of {who} is {code}.", "{who} has the number {code}."),
        (("code", ("what is the number of {who}", "what number does {who} have")),),
        "{who} number",
        ("code", "is {code} the number of {who}"),
    ),
    "found": Frame(
        (
            "on {day} {who} found a {colour} {thing} in {place}.",
            "{who} lost a {colour} {thing} in {place} on {day}.",
        ),
        (
            ("day", ("which day goes with the {thing}", "which day goes with {who}")),
            ("colour", ("which colour is the {thing}", "which colour goes with {who}")),
            ("thing", ("which thing goes with {who}", "what is in {place}")),
            ("place", ("where is the {thing}", "where was {who}")),
            ("who", ("who goes with the {thing}", "who was in {place}")),
        ),
        "{who} {thing} {day}",
        ("place", "was {who} in {place}"),
    ),
    "brought": Frame(
        (
            "{who} brought {number} {colour} {things} from {place}.",
            "in {place} {who} saw {number} {colour} {things}.",
        ),
        (
            ("number", ("how many {things} were there", "how many {things} does {who} tell of")),
            ("colour", ("which colour are the {things}", "which colour goes with {who}")),
            ("place", ("where are the {things} from", "where was {who}")),
            ("who", ("who tells of {things}", "who was in {place}")),
            ("things", ("which things go with {who}",)),
        ),
        "{who} {things} {place}",
        ("colour", "are the {things} {colour}"),
    ),
    "event": Frame(
        (
            "on {day} {who} took {number} {colour} {things} from {place}.",
            "{who} left {number} {colour} {things} in {place} on {day}.",
        ),
        (
            ("day", ("which day goes with the {things}", "which day goes with {who}")),
            ("number", ("how many {things} were there",)),
            ("colour", ("which colour are the {things}", "which colour goes with {who}")),
            ("place", ("where are the {things} from", "where was {who}")),
            ("who", ("who tells of {things}", "who was in {place}")),
        ),
        "{who} {number} {things}",
        ("day", "was {who} there on {day}"),
    ),
}
FILLERS = ("nobody said a word.", "the rain fell all night.", "it was a long winter.", "they laughed very loudly.")

ATTRIBUTES = ("who", "place", "colour", "thing", "things", "day", "number", "code")
_VALUES = {
    "place": words.PLACES,
    "colour": words.COLOURS,
    "thing": words.THINGS,
    "things": tuple(words.plural(thing) for thing in words.THINGS),
    "day": words.DAYS,
    "number": words.NUMBERS,
}
_WEIGHTS = {"lives": 2, "has": 3, "comes": 2, "bought": 2, "code": 1.5, "found": 1.5, "brought": 1.5, "event": 1.5}


@lru_cache(maxsize=1)
def sentence_words() -> tuple[str, ...]:
    """The words of all frames and fillers, attribute values apart."""
    texts = [wording for frame in FRAMES.values() for wording in frame.wordings] + list(FILLERS)
    plain = re.sub(r"{\w+}|[.,]", " ", " ".join(texts))
    return tuple(dict.fromkeys(plain.split()))


def lexicon() -> tuple[str, ...]:
    """Every word that a passage may hold, names apart."""
    values = tuple(value for values in _VALUES.values() for value in values)
    return tuple(dict.fromkeys(values + words.DIGITS + sentence_words()))


def question_words() -> tuple[str, ...]:
    """The words of all questions: written, never spoken."""
    asked = [w for frame in FRAMES.values() for _, wordings in frame.questions for w in wordings]
    asked += [frame.yes_no[1] for frame in FRAMES.values()]
    return tuple(dict.fromkeys(re.sub(r"{\w+}", " ", " ".join(asked)).split()))


def sentence_part(sentence: str) -> str:
    """The part of the project (a key of PARTS) that a sentence belongs to: a function of its text alone."""
    bucket = hashlib.sha256(sentence.encode()).digest()[0] % 16
    return next(part for part, buckets in PARTS.items() if bucket in buckets)


def split(text: str) -> list[str]:
    """The sentences of a passage, each with its full stop.

    >>> split("mira lives in oslo. she left.")
    ['mira lives in oslo.', 'she left.']
    """
    return [sentence + "." for sentence in text.rstrip(".").split(". ") if sentence]


@dataclass(frozen=True)
class Taste:
    """What passages are made of: the range of sentences, who they may tell of, which frames, how often fillers."""

    sentences: tuple[int, int] = (1, 4)
    names: Sequence[str] | None = None  # None: any name of `name_part`
    name_part: str = "train"
    frames: tuple[str, ...] = tuple(FRAMES)
    filler_share: float = 0.05


ANY = Taste()


def passage(rng: random.Random, id: str, part: str, taste: Taste = ANY) -> Utterance:
    """A passage of the part, with its questions, summary and the facts that occur once in it.

    The text is lower case with a full stop after each sentence. `questions` hold every question the passage answers:
    a wording drawn for each, and one yes/no question a sentence. `extra.frames` names the frames, for reports by kind.
    """
    count = rng.randint(*taste.sentences)
    told: list[tuple[Frame, dict[str, str]]] = []
    sentences: list[str] = []
    kinds: list[str] = []
    used: set[str] = set()
    for _ in range(count):
        if count > 1 and rng.random() < taste.filler_share:
            filler = rng.choice(FILLERS)
            if filler not in sentences:
                sentences.append(filler)
                continue
        kind = rng.choices(taste.frames, [_WEIGHTS[f] for f in taste.frames])[0]
        values, sentence = _sentence(rng, FRAMES[kind], part, taste, used)
        used.update(values.values())
        told.append((FRAMES[kind], values))
        sentences.append(sentence)
        kinds.append(kind)
    if not told:
        return passage(rng, id, part, taste)
    facts: dict[str, list[str]] = {}
    for _, values in told:
        for attribute, value in values.items():
            facts.setdefault(attribute, []).append(value)
    return Utterance(
        id=id,
        text=" ".join(sentences),
        split=part,
        questions=_questions(rng, id, told),
        summary=", ".join(frame.summary.format(**values) for frame, values in told),
        facts={attribute: found[0] for attribute, found in facts.items() if len(found) == 1},
        extra={"frames": kinds},
    )


def _sentence(rng: random.Random, frame: Frame, part: str, taste: Taste, used: set[str]) -> tuple[dict[str, str], str]:
    """Values for a frame, none of them used before, and a sentence that belongs to the part."""
    while True:
        values = {attribute: _value(rng, attribute, taste) for attribute in frame.attributes}
        sentence = rng.choice(frame.wordings).format(**values)
        thing = values.get("thing") or values.get("things", "")
        clash = used.intersection(values.values()) or {words.plural(thing), thing.removesuffix("s")} & used
        if not clash and sentence_part(sentence) == part:
            return values, sentence


def _value(rng: random.Random, attribute: str, taste: Taste) -> str:
    if attribute == "who":
        return rng.choice(taste.names) if taste.names else names.draw_name(rng, "name", taste.name_part)
    if attribute == "code":
        return " ".join(rng.choices(words.DIGITS, k=rng.randint(3, 6)))
    return rng.choice(_VALUES[attribute])


def _questions(rng: random.Random, id: str, told: list[tuple[Frame, dict[str, str]]]) -> tuple[Question, ...]:
    """One wording of every question the sentences answer; yes/no questions are true every other time."""
    asked: list[tuple[str, str, str]] = []  # kind, question, answer
    for frame, values in told:
        asked += [(a, rng.choice(wordings).format(**values), values[a]) for a, wordings in frame.questions]
        attribute, wording = frame.yes_no
        if rng.random() < 0.5:
            asked.append(("yes-no", wording.format(**values), "yes"))
        else:
            other = [v[attribute] for _, v in told if attribute in v and v[attribute] != values[attribute]]
            wrong = rng.choice(other) if other and rng.random() < 0.5 else _other_value(rng, attribute, values)
            asked.append(("yes-no", wording.format(**(values | {attribute: wrong})), "no"))
    return tuple(Question(f"{id}-{kind}-{i}", question, (answer,)) for i, (kind, question, answer) in enumerate(asked))


def _other_value(rng: random.Random, attribute: str, values: dict[str, str]) -> str:
    while True:
        value = _value(rng, attribute, Taste())
        if value != values[attribute]:
            return value
