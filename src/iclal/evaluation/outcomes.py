"""What was asked and what was answered: one query with everything that scores and break-downs need of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from iclal.data.manifest import Question, Utterance
from iclal.data.prompt import Item
from iclal.data.tasks.episode import Episode
from iclal.evaluation.metrics import answer_key
from iclal.evaluation.normalize import get_normalizer

TRANSCRIPT_TASK = "transcript"
NORMALIZER = "librispeech"  # of transcripts: their word errors and exact answers
TOO_LONG = "too long"  # the finish reason where the prompt did not fit and nothing was generated


@dataclass(frozen=True)
class Asked:
    """A query of a cell. Queries of one block share their episode and their demonstrations."""

    task: str
    shots: int
    block: int
    number: int  # its place in the cell
    utterance: Utterance
    references: tuple[str, ...]  # every answer that counts as right
    question: str | None
    instruction: str
    candidates: tuple[str, ...] | None
    grouped: bool  # whether demonstrations bind the candidates, a new set of them in each block
    conditions: tuple[str, ...]  # break-downs it counts in, "name=value"
    demonstration_ids: tuple[str, ...]

    @property
    def id(self) -> str:
        """Unique in an evaluation: the same utterance may be asked in many cells."""
        return f"{self.task}-{self.shots}shot-{self.number:04}-{self.utterance.id}"

    @property
    def cell(self) -> tuple[str, int]:
        """Task and number of demonstrations."""
        return self.task, self.shots

    def is_right(self, answer: str) -> bool:
        """Metric `exact`: the answer is one of the references.

        Transcripts are compared under the report's normaliser, as their word errors are, so that a manifest written
        without full stops is not held against a model that writes them; other answers case and white space aside.
        """
        return self.key(answer) in map(self.key, self.references)

    def key(self, answer: str) -> str:
        """What `is_right` compares."""
        return get_normalizer(NORMALIZER).apply(answer) if self.task == TRANSCRIPT_TASK else answer_key(answer)

    @property
    def owner(self) -> tuple[str, int, int]:
        """What intervals draw together."""
        return self.task, self.shots, self.block


@dataclass(frozen=True)
class Outcome:
    """One answer to a query through one input."""

    asked: Asked
    input: str
    prompt: str  # as text, a clip as "[id]"
    answer: str
    token_ids: tuple[int, ...]
    finish_reason: str  # of `Answer`, or TOO_LONG
    own_transcript: str | None = None  # what the model writes when asked to transcribe the clip, where that was asked
    ctc_text: str | None = None  # the clip's greedy CTC text, of transcripts without demonstrations by `ctc` ears

    @cached_property
    def is_right(self) -> bool:
        """Metric `exact`. A prompt that did not fit has no right answer, not even an empty one."""
        return self.finish_reason != TOO_LONG and self.asked.is_right(self.answer)

    def to_json(self) -> dict[str, Any]:
        """One line of `answers.jsonl`."""
        asked = self.asked
        return {
            "id": asked.id,
            "utterance": asked.utterance.id,
            "task": asked.task,
            "shots": asked.shots,
            "block": asked.block,
            "input": self.input,
            "prompt": self.prompt,
            "answers": list(asked.references),
            "answer": self.answer,
            **({} if self.ctc_text is None else {"ctc_text": self.ctc_text}),
            "right": self.is_right,
            "token_ids": list(self.token_ids),
            "finish_reason": self.finish_reason,
            "demonstration_ids": list(asked.demonstration_ids),
            "conditions": list(asked.conditions),
        }


def describe_utterance(utterance: Utterance) -> list[str]:
    """The break-downs of how an utterance sounds: who speaks (for synthesised speech variant and accent), its note."""
    made = utterance.extra.get("voice")
    if isinstance(made, Mapping) and {"accent", "variant"} <= made.keys():
        found = [f"voice={made['variant']}", f"accent={made['accent']}"]
    else:
        found = [] if utterance.speaker is None else [f"voice={utterance.speaker}"]
    noted = ("speaker", "pace", "surroundings")
    return found + [f"{name}={utterance.facts[name]}" for name in noted if utterance.facts.get(name)]


def describe_item(episode: Episode, item: Item) -> list[str]:
    """The break-downs that follow from what is asked: kind of question, ways, closed set of answers, wording."""
    question = asked_question(item)
    kind = None if question is None else kind_of(question, item.clip)
    found = [] if kind is None else [f"kind={kind}"]
    if episode.groups:
        found.append(f"ways={len(episode.groups)}")
    elif episode.candidates:
        found.append(f"among={'/'.join(episode.candidates)}")
    if episode.wording:
        found.append(f"wording={episode.wording}")
    return found


def references_of(item: Item) -> tuple[str, ...]:
    """Every answer that counts as right, the item's own first."""
    question = asked_question(item)
    others: Sequence[str] = () if question is None else question.answers
    return tuple(dict.fromkeys((item.answer, *others)))


def asked_question(item: Item) -> Question | None:
    """The utterance's question that the item asks."""
    if item.question is None:
        return None
    return next((q for q in item.clip.questions if q.question == item.question and item.answer in q.answers), None)


def kind_of(question: Question, utterance: Utterance) -> str | None:
    """The kind in a question id of the form `utterance-kind-number`; None for ids of another form.

    >>> kind_of(Question("u-7-yes-no-3", "is it red", ("yes",)), Utterance("u-7"))
    'yes-no'
    """
    rest = question.id.removeprefix(utterance.id + "-")
    kind, dash, number = rest.rpartition("-")
    return kind if rest != question.id and dash and number.isdigit() and kind else None
