"""Answers in words: SQuAD's exact match and F1, ROUGE, and the ways in which an answer is no answer."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from iclal.errors import DataError, MissingError
from iclal.evaluation.metrics import answer_key, word_errors

ROUGE_NAMES = ("rouge1", "rouge2", "rougeL")

# An answer loops when a unit of up to _LONGEST_UNIT words stands at least four times in a row and fills six words.
# Both numbers leave honest answers alone: "seven seven seven seven" is a string of digits somebody may have said.
_LONGEST_UNIT = 20
_REPEATS = 4
_REPEATED_WORDS = 6
_LOOPING_LETTERS = re.compile(r"(\S{1,4}?)\1{9,}")

# "Nearly the transcript": at most one word in five differs. Shorter transcripts may well be the right answer.
_TRANSCRIBING_WER = 0.2
_TRANSCRIBING_WORDS = 4


def squad_normalize(text: str) -> str:
    """SQuAD's normalisation: lower case, no punctuation, no articles, single spaces."""
    text = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def squad_exact(prediction: str, answers: Iterable[str]) -> float:
    """SQuAD's EM against the best of the answers: 1.0 or 0.0."""
    return float(any(squad_normalize(prediction) == squad_normalize(answer) for answer in answers))


def squad_f1(prediction: str, answers: Iterable[str]) -> float:
    """SQuAD's F1 over words against the best of the answers. Two empty texts agree (SQuAD 2's rule)."""
    return max(
        (_f1(squad_normalize(prediction).split(), squad_normalize(answer).split()) for answer in answers), default=0.0
    )


def rouge(prediction: str, references: Iterable[str]) -> dict[str, float]:
    """ROUGE-1, ROUGE-2 and ROUGE-L (F-measures, Porter stemming) against the best of the references.

    Raises:
        MissingError: `rouge-score` is not installed.
    """
    scorer = _rouge_scorer()
    scores = [scorer.score(reference, prediction) for reference in references]
    return {name: max((float(score[name].fmeasure) for score in scores), default=0.0) for name in ROUGE_NAMES}


def is_repetition(text: str) -> bool:
    """Whether the answer loops: some unit of words (or letters in a word) stands again and again in a row."""
    if _LOOPING_LETTERS.search(text):
        return True
    words = text.lower().split()
    for period in range(1, min(_LONGEST_UNIT, len(words) // _REPEATS) + 1):
        needed = max(_REPEATS * period, _REPEATED_WORDS) - period
        run = 0
        for earlier, later in zip(words, words[period:], strict=False):
            run = run + 1 if earlier == later else 0
            if run >= needed:
                return True
    return False


def is_transcription(answer: str, transcript: str) -> bool:
    """Whether the answer merely says what was said: the transcript, up to one word in five.

    A transcript of fewer than four words is never counted, since it may be the answer.
    """
    answer, transcript = squad_normalize(answer), squad_normalize(transcript)
    if len(transcript.split()) < _TRANSCRIBING_WORDS:
        return False
    return word_errors(transcript, answer).wer <= _TRANSCRIBING_WER


@dataclass(frozen=True)
class AnswerShares:
    """Shares of answers that are no answers."""

    empty: float
    looping: float


def answer_shares(answers: Sequence[str]) -> AnswerShares:
    """Shares of empty and looping answers. Raises DataError without answers."""
    if not answers:
        raise DataError("no answers: there is nothing to take a share of")
    return AnswerShares(
        empty=sum(not answer.strip() for answer in answers) / len(answers),
        looping=sum(map(is_repetition, answers)) / len(answers),
    )


def majority_baseline(references: Sequence[Sequence[str]]) -> tuple[str, float]:
    """The one answer that is right most often, and the share of items (each with all its right answers) it gets.

    Among equals the alphabetically first is given. Raises DataError without items.
    """
    if not references:
        raise DataError("no reference answers: there is no majority among none")
    counts = Counter(answer for answers in references for answer in {answer_key(answer) for answer in answers})
    if not counts:
        raise DataError(f"none of the {len(references)} items has a reference answer")
    answer, count = min(counts.items(), key=lambda item: (-item[1], item[0]))
    return answer, count / len(references)


def _f1(prediction: list[str], answer: list[str]) -> float:
    """F1 of two bags of words."""
    if not prediction or not answer:
        return float(prediction == answer)
    same = sum((Counter(prediction) & Counter(answer)).values())
    return 2.0 * same / (len(prediction) + len(answer))


@cache
def _rouge_scorer() -> Any:
    """The library's scorer, made once. Its import takes over a second, so it waits until it is needed."""
    try:
        from rouge_score import rouge_scorer
    except ImportError as error:
        raise MissingError("ROUGE needs the package rouge-score: pip install 'iclal[eval]'") from error
    return rouge_scorer.RougeScorer(list(ROUGE_NAMES), use_stemmer=True)
