"""Two files to one score: transcripts to word errors, answers to exact match and F1, summaries to ROUGE."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from iclal.errors import DataError, SettingsError
from iclal.evaluation import sclite
from iclal.evaluation.answers import AnswerShares, answer_shares, rouge, squad_exact, squad_f1
from iclal.evaluation.metrics import (
    Aligned,
    CharacterErrors,
    Interval,
    WordErrors,
    aligned_words,
    bootstrap_interval,
    character_errors,
    exact_match,
    word_errors_each,
)
from iclal.evaluation.normalize import Normalizer, get_normalizer
from iclal.evaluation.text_files import Task, read_pairs

Costs = Literal["unit", "sclite"]
_WORST = 20
_LINE_WIDTH = 100


@dataclass(frozen=True)
class UtteranceScore:
    """One utterance as it was compared: both texts normalised, their counts."""

    id: str
    reference: str
    hypothesis: str
    errors: WordErrors
    characters: CharacterErrors

    def to_json(self) -> dict[str, Any]:
        """One object of `utterances`."""
        return {"id": self.id, "reference": self.reference, "hypothesis": self.hypothesis} | _counts(self.errors)


@dataclass(frozen=True)
class TranscriptScore:
    """Word errors summed over all utterances; `low` and `high` bound the WER with 95 % confidence."""

    utterances: tuple[UtteranceScore, ...]
    errors: WordErrors
    characters: CharacterErrors
    unnormalized_wer: float
    normalizer: Normalizer
    costs: Costs
    source: dict[str, str]

    @cached_property
    def interval(self) -> Interval:
        """Bounds of the WER, each utterance a block of its own; made when it is asked for."""
        errors = [utterance.errors for utterance in self.utterances]
        return bootstrap_interval([each.errors for each in errors], [each.num_references for each in errors])

    @property
    def wer(self) -> float:
        """Errors per reference word."""
        return self.errors.wer

    @property
    def cer(self) -> float:
        """Errors per reference character, at unit costs."""
        return self.characters.cer

    @property
    def hits(self) -> int:
        return self.errors.hits

    @property
    def substitutions(self) -> int:
        return self.errors.substitutions

    @property
    def insertions(self) -> int:
        return self.errors.insertions

    @property
    def deletions(self) -> int:
        return self.errors.deletions

    @property
    def num_references(self) -> int:
        return self.errors.num_references

    @property
    def low(self) -> float:
        return self.interval.low

    @property
    def high(self) -> float:
        return self.interval.high

    def worst(self, number: int = _WORST) -> list[UtteranceScore]:
        """The utterances with most errors, most first; those without are not among them."""
        wrong = [utterance for utterance in self.utterances if utterance.errors.errors]
        return sorted(wrong, key=lambda utterance: (-utterance.errors.errors, -utterance.errors.wer))[:number]

    def columns(self, utterance: UtteranceScore) -> list[Aligned]:
        """The alignment that an utterance's counts come from."""
        if self.costs == "sclite":
            return list(sclite.align(utterance.reference, utterance.hypothesis).columns)
        return aligned_words(utterance.reference, utterance.hypothesis)

    def counts(self) -> dict[str, Any]:
        """What was counted, as plain values: all but the interval."""
        values = {"n": len(self.utterances)} | _counts(self.errors)
        return values | {"cer": self.cer, "unnormalized_wer": self.unnormalized_wer, "costs": self.costs}

    def to_json(self, by_utterance: bool = False) -> dict[str, Any]:
        """The score as plain values, with what it was made by and, if asked, each utterance."""
        values: dict[str, Any] = {"task": "transcript"} | self.counts() | {"low": self.low, "high": self.high}
        values |= {"normalizer": _describe(self.normalizer), "source": self.source}
        if by_utterance:
            values["utterances"] = [utterance.to_json() for utterance in self.utterances]
        return values


@dataclass(frozen=True)
class AnswerScore:
    """Means of metrics over items, each with its 95 % interval; also for summaries."""

    task: Task
    ids: tuple[str, ...]
    values: dict[str, tuple[float, ...]]  # metric -> one value per item
    means: dict[str, float]
    intervals: dict[str, Interval]
    shares: AnswerShares
    normalizer: Normalizer
    source: dict[str, str]

    def to_json(self, by_utterance: bool = False) -> dict[str, Any]:
        """The score as plain values (fractions of one), with what it was made by and, if asked, each item."""
        values: dict[str, Any] = {"task": self.task, "n": len(self.ids)} | self.means
        values["intervals"] = {name: list(interval) for name, interval in self.intervals.items()}
        values |= {"empty": self.shares.empty, "looping": self.shares.looping}
        values |= {"normalizer": _describe(self.normalizer), "source": self.source}
        if by_utterance:
            values["utterances"] = [
                {"id": key} | {name: each[index] for name, each in self.values.items()}
                for index, key in enumerate(self.ids)
            ]
        return values


Score = TranscriptScore | AnswerScore

_ANSWER_METRICS: dict[str, Callable[[str, Sequence[str]], float]] = {
    "exact_match": squad_exact,
    "f1": squad_f1,
    "exact": lambda said, right: float(exact_match(said, right)),
}


def score_files(
    reference: Path | str,
    hypothesis: Path | str,
    *,
    normalizer: str = "none",
    costs: Costs = "unit",
    task: Task = "transcript",
    format: str = "auto",
) -> Score:
    """Score a file of hypotheses against a file of references; `iclal.evaluation.text_files` says what files may be.

    `costs` counts for transcripts: `unit` gives jiwer's counts, of words parted at any white space, `sclite` those of
    NIST's `sclite -F -D`, with alternatives in braces, whatever the case. For `answers` the metrics are SQuAD's
    `exact_match` and `f1` under its own normalisation, and `exact`, which forgives only case and spaces; for `summary`
    ROUGE-1, 2 and L.

    Raises:
        DataError: a file or line that cannot be read, ids that do not match, braces that do not.
        SettingsError: an unknown normalizer, costs, task or format.
        MissingError: ROUGE without its package.
    """
    chosen = get_normalizer(normalizer)
    read = read_pairs(reference, hypothesis, task=task, format=format)
    source = {"reference": str(reference), "reference_format": read.formats[0], "reference_sha256": read.sha256[0]}
    source |= {"hypothesis": str(hypothesis), "hypothesis_format": read.formats[1], "hypothesis_sha256": read.sha256[1]}
    ids = [pair.id for pair in read.pairs]
    hypotheses = [pair.hypothesis for pair in read.pairs]
    if task == "transcript":
        references = [pair.references[0] for pair in read.pairs]
        return score_transcripts(ids, references, hypotheses, normalizer=chosen, costs=costs, source=source)
    answers = [pair.references for pair in read.pairs]
    return score_answers(ids, answers, hypotheses, task=task, normalizer=chosen, source=source)


def score_transcripts(
    ids: Sequence[str],
    references: Sequence[str],
    hypotheses: Sequence[str],
    *,
    normalizer: Normalizer | None = None,
    costs: Costs = "unit",
    source: dict[str, str] | None = None,
) -> TranscriptScore:
    """Score transcripts at hand. An empty reference stays, with every word against it an insertion.

    Raises:
        DataError: no utterances, or braces that do not match under `sclite`, with the utterance's id.
        SettingsError: unknown costs.
    """
    if costs not in ("unit", "sclite"):
        raise SettingsError(f"unknown costs '{costs}'; known are unit, sclite")
    if not ids:
        raise DataError("no utterances to score")
    normalizer = normalizer or get_normalizer("none")
    utterances = _compare(ids, *_normalize(references, hypotheses, normalizer, costs), costs)
    errors = sum((utterance.errors for utterance in utterances), WordErrors())
    unnormalized = errors
    if normalizer.name != "none":
        plain = _normalize(references, hypotheses, get_normalizer("none"), costs)
        unnormalized = sum((utterance.errors for utterance in _compare(ids, *plain, costs)), WordErrors())
    return TranscriptScore(
        utterances=tuple(utterances),
        errors=errors,
        characters=sum((utterance.characters for utterance in utterances), CharacterErrors()),
        unnormalized_wer=unnormalized.wer,
        normalizer=normalizer,
        costs=costs,
        source=source or {},
    )


def score_answers(
    ids: Sequence[str],
    references: Sequence[Sequence[str]],
    hypotheses: Sequence[str],
    *,
    task: Task = "answers",
    normalizer: Normalizer | None = None,
    source: dict[str, str] | None = None,
) -> AnswerScore:
    """Score answers (SQuAD's metrics and `exact`) or summaries (ROUGE), each against the best of its references.

    Raises:
        DataError: no items.
        MissingError: ROUGE without its package.
    """
    if not ids:
        raise DataError("no answers to score")
    normalizer = normalizer or get_normalizer("none")
    hypotheses = [normalizer.apply(text) for text in hypotheses]
    references = [[normalizer.apply(text) for text in texts] for texts in references]
    pairs = list(zip(hypotheses, references, strict=True))
    if task == "summary":
        each = [rouge(said, right) for said, right in pairs]
        values = {name: tuple(scores[name] for scores in each) for name in each[0]}
    else:
        values = {name: tuple(metric(*pair) for pair in pairs) for name, metric in _ANSWER_METRICS.items()}
    return AnswerScore(
        task=task,
        ids=tuple(ids),
        values=values,
        means={name: sum(column) / len(column) for name, column in values.items()},
        intervals={name: bootstrap_interval(column) for name, column in values.items()},
        shares=answer_shares(hypotheses),
        normalizer=normalizer,
        source=source or {},
    )


def render(score: Score, worst: int = _WORST) -> str:
    """The score as text for a person; transcripts with an aligned listing of the `worst` utterances."""
    made_by = f"normalizer {score.normalizer.name} {score.normalizer.version}"
    if isinstance(score, AnswerScore):
        lines = [f"{score.task}: {len(score.ids)} items, {made_by}"]
        for name, mean in score.means.items():
            low, high = score.intervals[name]
            lines.append(f"  {name:<12} {mean:7.2%}   95 % interval {low:.2%} to {high:.2%}")
        lines.append(f"  {'empty':<12} {score.shares.empty:7.2%}   looping {score.shares.looping:.2%}")
        return "\n".join(lines)
    lines = [
        f"transcript: {len(score.utterances)} utterances, {score.num_references} words, {made_by}, {score.costs} costs",
        f"  WER {score.wer:.2%}   95 % interval {score.low:.2%} to {score.high:.2%}   CER {score.cer:.2%}"
        + ("" if score.normalizer.name == "none" else f"   WER as written {score.unnormalized_wer:.2%}"),
        f"  hits {score.hits}   substitutions {score.substitutions}   deletions {score.deletions}"
        f"   insertions {score.insertions}",
    ]
    shown = score.worst(worst)
    if shown:
        wrong = sum(1 for utterance in score.utterances if utterance.errors.errors)
        lines += ["", f"the worst {len(shown)} of {wrong} utterances with errors:"]
    for utterance in shown:
        counts = utterance.errors
        lines += ["", f"{utterance.id}   S {counts.substitutions}  D {counts.deletions}  I {counts.insertions}"]
        lines += _aligned_lines(score.columns(utterance))
    return "\n".join(lines)


def _normalize(
    references: Sequence[str], hypotheses: Sequence[str], normalizer: Normalizer, costs: Costs
) -> tuple[list[str], list[str]]:
    """Both sides through the same normaliser; under `sclite` the marks between the words stay."""
    if costs == "unit":
        return [normalizer.apply(text) for text in references], [normalizer.apply(text) for text in hypotheses]
    if normalizer.name == "none":
        return list(references), list(hypotheses)
    changed = [[sclite.map_words(text, normalizer.apply) for text in texts] for texts in (references, hypotheses)]
    return changed[0], changed[1]


def _compare(
    ids: Sequence[str], references: Sequence[str], hypotheses: Sequence[str], costs: Costs
) -> list[UtteranceScore]:
    """Count each pair's errors. Under `sclite`, characters are counted on the alternatives that were taken."""
    triples = list(zip(ids, references, hypotheses, strict=True))
    if costs == "unit":
        counts = word_errors_each(references, hypotheses)
        return [
            UtteranceScore(key, said, heard, errors, character_errors(said, heard))
            for (key, said, heard), errors in zip(triples, counts, strict=True)
        ]
    scores = []
    for key, said, heard in triples:
        try:
            alignment = sclite.align(said, heard)
        except DataError as error:
            raise DataError(f"utterance '{key}': {error}") from error
        scores.append(UtteranceScore(key, said, heard, alignment.errors, character_errors(*alignment.bare())))
    return scores


def _aligned_lines(columns: Sequence[Aligned]) -> list[str]:
    """REF, HYP and Eval lines as sclite prints them, wrapped; wrong words in capitals, stars where there is none."""
    rows = (["REF: "], ["HYP: "], ["Eval:"])
    lines: list[str] = []
    width = 0
    for mark, said, heard in columns:
        if mark != "=":
            said, heard = said.upper() or "*" * max(1, _width(heard)), heard.upper() or "*" * max(1, _width(said))
        cell = max(_width(said), _width(heard), 1)
        if width and width + cell + 1 > _LINE_WIDTH:
            lines += _joined(rows)
            rows, width = (["     "], ["     "], ["     "]), 0
        for row, text in zip(rows, (said, heard, "" if mark == "=" else mark), strict=True):
            row.append(text + " " * (cell - _width(text)))
        width += cell + 1
    return lines + _joined(rows)


def _joined(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows as lines, without one that has nothing to say."""
    return [line for line in (" ".join(row).rstrip() for row in rows) if line.strip()]


def _width(text: str) -> int:
    """Columns that a text takes on a terminal: two for East Asian letters, none for marks above others."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(unicodedata.combining(letter) > 0 for letter in text)


def _counts(errors: WordErrors) -> dict[str, Any]:
    """The counts under their published names."""
    return {
        "wer": errors.wer,
        "hits": errors.hits,
        "substitutions": errors.substitutions,
        "insertions": errors.insertions,
        "deletions": errors.deletions,
        "num_references": errors.num_references,
    }


def _describe(normalizer: Normalizer) -> dict[str, str]:
    """What tells one normaliser from another."""
    return {"name": normalizer.name, "version": normalizer.version, "fingerprint": normalizer.fingerprint}
