"""Documents that teach the tiny language model to use its context: the tasks in text, easy ones first.

A document is a row of solved items, written by the same template as any prompt; every answer counts in the loss. What
there is to learn grows with the share of training done (`Stage`): copying of random words, one sentence, several that
compete; label words bound to a single word, to a word among others, to a sentence.
"""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from iclal.data.demonstrations import draw, query, seeded
from iclal.data.manifest import Question, Utterance
from iclal.data.prompt import Clip, Prompt, SlotText, Template, Text, fill, read_transcript
from iclal.data.tasks import labels, pattern, questions, summary, transcript, voice
from iclal.data.tasks.episode import Episode
from iclal.data.world import names, sentences, voices, words
from iclal.evaluation.outcomes import kind_of
from iclal.experiments.wordings import jumbled, reworded

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PART = "language-model"
POOL_SIZE = 1500
STEPS_PER_POOL = 24
ROW_TOKENS = (300, 1200)  # a row may pass its length by one document
# How often which document is drawn. `several`: several questions about one clip.
_KINDS = {
    "transcript": 0.16,
    "questions": 0.2,
    "several": 0.24,
    "summary": 0.16,
    "pattern": 0.09,
    "labels": 0.12,
    "voice": 0.07,
}
_WORDED = {"copy": transcript, "transcript": transcript, "questions": questions, "summary": summary, "pattern": pattern}
_JUMBLED_SHARE = 0.2  # of the instructions of patterns and label words: the demonstrations tell what is to be done
REWORDED_SHARE = 0.6  # of those that are not jumbled
_SEVERAL = 6  # questions about one clip
# Ears write a note behind every clip, so label documents have one behind all of theirs or behind few. Without that,
# every third answer in four ways was lost where clips have several sentences (docs/log.md).
_NOTED_SHARE = 0.6
# Documents of questions about any passage, about facts that compete, and about nothing but which of several numbers
# goes with the things asked about: that is what the model got wrong most often (docs/log.md).
_ASKED_SHARES = (0.45, 0.4, 0.15)
_COUNTING = tuple(name for name, frame in sentences.FRAMES.items() if "number" in frame.attributes)
WORD_VALUES = {
    "colour": words.COLOURS,
    "place": words.PLACES,
    "day": words.DAYS,
    "thing": words.THINGS,
    "number": words.NUMBERS,
}


@dataclass(frozen=True)
class Stage:
    """What documents hold at one share of training (0 to 1)."""

    share: float

    @property
    def easy_share(self) -> float:
        """Copies of random words and single sentences, so that copying comes first."""
        return 0.9 if self.share < 0.05 else 0.25 if self.share < 0.15 else 0.04

    def sentences(self, rng: random.Random) -> tuple[int, int]:
        most = 1 if self.share < 0.03 else 2 if self.share < 0.15 else 3 if self.share < 0.25 else 4
        count = rng.choices((1, 2, 3, 4), (0.2, 0.25, 0.25, 0.3))[0]
        return min(count, most), min(count, most)

    def label_words_around(self, rng: random.Random) -> int | None:
        """How many random words stand around the class word of a label clip; None for whole sentences."""
        if rng.random() < (0.0 if self.share < 0.3 else 0.5):
            return None
        return rng.randint(0, 0 if self.share < 0.1 else 2 if self.share < 0.3 else 9)

    @property
    def filler_share(self) -> float:
        """Documents behind up to 1,000 filler tokens, dear, therefore late."""
        return 0.0 if self.share < 0.4 else 0.04

    @property
    def row_share(self) -> float:
        """Rows of several documents: each is filler to those behind it, and its own answers count."""
        return 0.0 if self.share < 0.2 else 0.08


@dataclass(frozen=True)
class HintedAnswer(Text):
    """An answer with the word that must be found before it (for the `hints` of a document).

    Of a label the value that it is bound to; of yes or no the value that the sentence tells.
    """

    hint: str = ""


@dataclass(frozen=True)
class Document:
    """Token ids of a document and, for each, the weight of its prediction in the loss (0: none).

    `hints` names, by the place where an answer is about to be said and the place where it has just begun, the token of
    what must be found first: what the middle of the model should have there. Binding takes two steps, finding the
    clip's value and finding the value's label; the second has nothing to learn from before the first.
    """

    ids: list[int]
    weights: list[float]
    kind: str
    hints: dict[int, int] = field(default_factory=dict)


class Pool:
    """Passages for some steps' documents, by what the tasks need of them."""

    def __init__(self, seed: int, number: int, stage: Stage) -> None:
        rng = seeded("pool", seed, number)
        self.stage = stage
        self.passages = [self._passage(rng, f"{number}-{i}") for i in range(POOL_SIZE)]
        self.single = [p for p in self.passages if len(p.extra["frames"]) == 1]
        self.competing = [p for p in self.passages if _compete(p)]
        self.counting = [counts for p in self.passages if (counts := _counts_alone(p)) is not None]
        self.rich = [p for p in self.passages if len(pattern.attributes_of(p)) >= 4]
        self.voiced = [p for p in self.passages if p.voice]
        self.label_words = names.name_list(40, "label", seed=rng.randrange(10**9))
        self.values = frequent_values(self.single, WORD_VALUES, 6)
        self.voice_values = frequent_values(self.voiced, voice.CANDIDATES, 8)

    def _passage(self, rng: random.Random, id: str) -> Utterance:
        single = rng.random() < 0.35
        taste = sentences.Taste(self.stage.sentences(rng))
        if single:
            taste = dataclasses.replace(taste, sentences=(1, 1))
        elif rng.random() < 0.3:  # facts of one kind or two, which compete
            frames = _COUNTING if rng.random() < 0.5 else taste.frames
            taste = dataclasses.replace(taste, frames=tuple(rng.sample(frames, rng.choice((1, 2)))))
        utterance = sentences.passage(rng, id, PART, taste)
        return _noted(rng, utterance) if rng.random() < 0.3 else utterance


def _noted(rng: random.Random, utterance: Utterance) -> Utterance:
    """The utterance with a voice note of one to three parts, or by chance of none."""
    note = (rng.choice(values) if rng.random() < 0.8 else "" for values in voice.CANDIDATES.values())
    return voices.with_note(utterance, *note)


def _compete(passage: Utterance) -> bool:
    """Whether sentences of one frame stand in the passage more than once, so that their facts are of the same kinds."""
    frames = passage.extra["frames"]
    return len(set(frames)) < len(frames)


def _counts_alone(passage: Utterance) -> Utterance | None:
    """The passage with no questions but those of how many; None without two numbers that compete."""
    counts = tuple(question for question in passage.questions if kind_of(question, passage) == "number")
    return dataclasses.replace(passage, questions=counts) if len(counts) > 1 else None


def frequent_values(pool: list[Utterance], wanted: Mapping[str, Sequence[str]], least: int) -> dict[str, list[str]]:
    """By attribute, the values that at least `least` utterances of the pool have."""
    found: dict[str, list[str]] = {}
    for attribute, values in wanted.items():
        seen = [utterance.facts.get(attribute) for utterance in pool]
        found[attribute] = [value for value in values if seen.count(value) >= least]
    return found


def document(pool: Pool, rng: random.Random, template: Template, tokenize: Tokenize) -> Document:
    """One document of the pool's stage, or a row of several."""
    if rng.random() < pool.stage.row_share:
        return _row(pool, rng, template, tokenize)
    kind, prompt = _draw_prompt(pool, rng, template)
    if rng.random() < pool.stage.filler_share:
        prompt = (Text(_filler(pool, rng) + template.end), *prompt)
    return tokenize.document(fill(prompt, read_transcript), kind)


def _row(pool: Pool, rng: random.Random, template: Template, tokenize: Tokenize) -> Document:
    """Documents one behind the other, up to ROW_TOKENS, with a single start token."""
    length = rng.randint(*ROW_TOKENS)
    row = tokenize.document(fill(_draw_prompt(pool, rng, template)[1], read_transcript), "row")
    while len(row.ids) < length:
        more = tokenize.document(fill(_draw_prompt(pool, rng, template)[1], read_transcript))
        hints = {len(row.ids) - 1 + place: value for place, value in more.hints.items()}
        row = Document(row.ids + more.ids[1:], row.weights + more.weights[1:], "row", row.hints | hints)
    return row


def _filler(pool: Pool, rng: random.Random) -> str:
    """Some hundred words of passages that no answer needs."""
    passages = [rng.choice(pool.passages).text or "" for _ in range(rng.randint(10, 60))]
    return " ".join(passages)


def _draw_prompt(pool: Pool, rng: random.Random, template: Template) -> tuple[str, Prompt]:
    easy = rng.random() < pool.stage.easy_share
    kind = rng.choices(list(_KINDS), list(_KINDS.values()))[0]
    if easy and kind != "labels":
        kind = rng.choice(("copy", "copy", "several", "transcript", "summary"))
    passages = pool.single if easy else pool.passages
    enough = len(pool.competing) >= len(pool.passages) / 15  # early passages are single sentences
    if kind in ("questions", "several") and not easy and enough:
        passages = rng.choices((pool.passages, pool.competing, pool.counting), _ASKED_SHARES)[0]
    shots = rng.choices((0, 1, 2, 3, 4, 6, 8), (0.3, 0.15, 0.15, 0.1, 0.15, 0.05, 0.1))[0]
    if kind == "several":
        return kind, _several_questions(rng, rng.choice(passages), template)
    task, attribute = _WORDED.get(kind, labels), None
    if kind == "copy":
        passages = [_random_words(rng, i) for i in range(5)]
        episode, shots = transcript.episode(rng), rng.randint(0, 3)
    elif kind == "transcript":
        episode, shots = transcript.episode(rng), rng.choice((0, 0, 1, 2, 4))
        heard_as = rng.random()
        if heard_as < 0.1:  # clips without speech, among others that are not
            passages = [Utterance(f"silence-{i}", text="") for i in range(4)] + rng.sample(passages, 4)
        elif heard_as < 0.4:  # what ears make of speech is not always a sentence
            passages = [_garbled(rng, passage) for passage in rng.sample(passages, 6)]
        elif heard_as < 0.7:
            passages = [_repeating(rng, passage) for passage in rng.sample(passages, 6)]
    elif kind == "questions":
        episode = questions.episode(rng)
    elif kind == "summary":
        episode, shots = summary.episode(rng), rng.choice((0, 0, 1, 1, 2, 2, 4))
    elif kind == "pattern":
        episode, passages, shots = pattern.episode(rng), pool.rich, rng.choice((1, 1, 2, 2, 3, 4, 8))
    elif kind == "labels":
        episode, passages, shots = _labels(pool, rng)
    elif rng.random() < 0.5 and shots >= 2:
        passages = pool.voiced
        episode, shots = voice.bound_episode(rng, pool.label_words, pool.voice_values), rng.choice((4, 6, 8))
    else:
        passages, task, attribute = pool.voiced, voice, rng.choice(list(voice.CANDIDATES))
        episode = voice.episode(rng, attribute)
    if task in (pattern, labels) and rng.random() < _JUMBLED_SHARE:
        episode = dataclasses.replace(episode, instruction=jumbled(rng, episode.attribute))
    elif rng.random() < REWORDED_SHARE:
        wording = reworded(rng, task, attribute or episode.attribute)
        episode = dataclasses.replace(episode, instruction=wording)
    prompt = solved(episode, passages, shots, rng, template)
    return kind, prompt if episode.attribute is None else _bound(prompt, episode.attribute)


def _bound(prompt: Prompt, attribute: str) -> Prompt:
    """The prompt with what its labels are bound to. The first of each is no answer: nothing foretells it."""
    seen: set[str] = set()
    value, pieces = "", []
    for piece in prompt:
        if isinstance(piece, Clip):
            value = piece.utterance.facts[attribute]
        elif isinstance(piece, Text) and piece.is_answer:
            piece = HintedAnswer(piece.text, is_answer=piece.text in seen, hint=value)
            seen.add(piece.text)
        pieces.append(piece)
    return tuple(pieces)


def _labels(pool: Pool, rng: random.Random) -> tuple[Episode, list[Utterance], int]:
    around = pool.stage.label_words_around(rng)
    ways = rng.choice((2, 2, 3, 4))
    values = pool.values if around is None else WORD_VALUES
    label_words = pool.label_words
    if rng.random() < 0.5:  # words of one token: binding without spelling
        label_words = rng.sample(_plain_words(), 20)
    episode = labels.episode(rng, label_words, values, ways)
    passages = rng.choice((pool.single, pool.passages)) if around is None else _word_clips(rng, episode, around)
    if rng.random() < _NOTED_SHARE:
        passages = [_noted(rng, passage) for passage in passages]
    return episode, passages, min(ways * rng.choice((2, 2, 3, 4)), 12)


def _word_clips(rng: random.Random, episode: Episode, around: int) -> list[Utterance]:
    """Clips of a class word among `around` random words, enough for an episode's demonstrations and query."""
    all_words = _plain_words()
    clips: list[Utterance] = []
    for attribute, values in WORD_VALUES.items():
        others = [word for word in all_words if word not in values]  # one value a clip, or its label would be a guess
        for value in values:
            probe = Utterance("", facts={attribute: value})
            if episode.group is None or episode.group(probe) is None:
                continue
            for i in range(5):
                said = [rng.choice(others) for _ in range(around)]
                said.insert(rng.randint(0, around), value)
                clips.append(Utterance(f"{value}-{i}", text=" ".join(said), facts={attribute: value}))
    return clips


def solved(episode: Episode, passages: list[Utterance], shots: int, rng: random.Random, template: Template) -> Prompt:
    """Demonstrations and query, the query's answer too, as one run of pieces."""
    last = query(episode, passages, rng)
    items = draw(episode, passages, shots, rng, exclude={last.clip.id})
    example = template.example("", episode.instruction, items, last, instruction_first=rng.random() < 0.75)
    return (*example.prompt, _answer(last.answer, template))


def _several_questions(rng: random.Random, passage: Utterance, template: Template) -> Prompt:
    """Several questions about one clip: more answers for the same tokens of context."""
    asked = _of_each_kind(rng, passage)
    wording = reworded(rng, questions) if rng.random() < REWORDED_SHARE else rng.choice(questions.INSTRUCTIONS)
    pieces: list = [Text(wording + template.end)] if rng.random() < 0.75 else []
    pieces += [Text(template.clip_cue), Clip(passage), Text(template.end)]
    hints = _told_values(passage)
    for question in asked[:_SEVERAL]:
        pieces += [Text(f"{template.question_cue} {question.question}{template.end}{template.answer_cue}")]
        answer = _answer(question.answers[0], template)
        hint = hints.get(question.id)
        pieces += [answer if hint is None else HintedAnswer(answer.text, is_answer=True, hint=hint)]
    return tuple(pieces)


def _of_each_kind(rng: random.Random, passage: Utterance) -> list[Question]:
    """The passage's questions in a random order, one of each kind before a second of any: every third asks who."""
    by_kind: dict[str | None, list[Question]] = {}
    for question in rng.sample(passage.questions, len(passage.questions)):
        by_kind.setdefault(kind_of(question, passage), []).append(question)
    rounds = itertools.zip_longest(*rng.sample(list(by_kind.values()), len(by_kind)))
    return [question for row in rounds for question in row if question is not None]


def _told_values(passage: Utterance) -> dict[str, str]:
    """What the sentence tells, by id of the yes/no question that puts it to the test; digit strings apart.

    The passage's questions stand sentence by sentence, the yes/no question last of each (`sentences.passage`).
    """
    told: dict[str, str] = {}
    kinds = iter(passage.extra.get("frames", ()))
    answers: dict[str | None, str] = {}
    for question in passage.questions:
        kind = kind_of(question, passage)
        if kind != "yes-no":
            answers[kind] = question.answers[0]
            continue
        attribute = sentences.FRAMES[next(kinds)].yes_no[0]
        if attribute != "code":
            told[question.id] = answers[attribute]
        answers = {}
    return told


def _answer(answer: str, template: Template) -> Text:
    return Text(f" {answer}{template.end}" if answer else template.end, is_answer=True)


def _random_words(rng: random.Random, number: int) -> Utterance:
    """A clip of random words, a third of them invented: copying by position, not by likelihood."""
    plain = _plain_words()
    said = [
        names.draw_name(rng, "name") if rng.random() < 0.35 else rng.choice(plain) for _ in range(rng.randint(2, 9))
    ]
    return Utterance(f"words-{number}", text=" ".join(said) + ".")


def _garbled(rng: random.Random, passage: Utterance) -> Utterance:
    """The passage with some words lost, doubled or mistaken for others: a transcript is copied as it is."""
    rate = rng.choice((0.05, 0.1, 0.2))

    def misheard() -> list[str]:
        said: list[str] = []
        for word in (passage.text or "").split():
            change = rng.random() / rate
            if change > 1:
                said.append(word)
            elif change > 0.75:
                said += [word, word]
            elif change > 0.5:
                said.append(names.draw_name(rng, "name"))
            elif change > 0.25:
                said.append(rng.choice(_plain_words()) + "." * word.endswith("."))
        return said

    return _changed(passage, misheard)


def _repeating(rng: random.Random, passage: Utterance) -> Utterance:
    """The passage with a phrase or two of it said again elsewhere: what comes next depends on which of them it is."""

    def said_again() -> list[str]:
        said = (passage.text or "").split()
        for _ in range(rng.randint(1, 2)):
            first, place = rng.randrange(len(said)), rng.randint(0, len(said))
            said[place:place] = said[first : first + rng.randint(2, 6)]
        return said

    return _changed(passage, said_again)


def _changed(passage: Utterance, change: Callable[[], list[str]]) -> Utterance:
    """The passage with a change of its words that makes no sentence of another part of the project (law 11)."""
    own = {*sentences.split(passage.text or "")}
    while True:
        text = " ".join(change())
        if all(sentences.sentence_part(sentence) == PART for sentence in {*sentences.split(text)} - own):
            return dataclasses.replace(passage, text=text)


_PLAIN_WORDS: list[str] = []


def _plain_words() -> list[str]:
    if not _PLAIN_WORDS:
        _PLAIN_WORDS.extend(sentences.lexicon())
    return _PLAIN_WORDS


class Tokenize:
    """Pieces to ids with a memory: wordings recur thousands of times."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._encode = tokenizer.backend_tokenizer.encode
        self._start = cast(int, tokenizer.bos_token_id)
        self._known: dict[str, list[int]] = {}

    def ids(self, text: str) -> list[int]:
        known = self._known.get(text)
        if known is None:
            known = self._encode(text, add_special_tokens=False).ids
            if len(self._known) < 200_000:
                self._known[text] = known
        return known

    def document(self, prompt: Prompt, kind: str = "") -> Document:
        """Ids with one start token in front, and what each weighs in the loss.

        An answer of n tokens (end token included) among a document's m answers weighs sqrt(n / m): else documents of
        many bindings, whose first answers nobody can know, would outweigh all others.
        """
        ids, weights = [self._start], [0.0]
        hints: dict[int, int] = {}
        answers = sum(isinstance(piece, Text) and piece.is_answer for piece in prompt)
        for piece in prompt:
            assert isinstance(piece, Text | SlotText), "documents are text"
            answer = isinstance(piece, Text) and piece.is_answer
            text = piece.text if isinstance(piece, Text) or not piece.text else " " + piece.text
            new = self.ids(text)
            if isinstance(piece, HintedAnswer):
                (hint,) = self.ids(" " + piece.hint)
                hints |= {len(ids) - 1: hint, len(ids): hint}
            ids += new
            weights += [(len(new) * answers) ** -0.5 if answer else 0.0] * len(new)
        return Document(ids, weights, kind, hints)
