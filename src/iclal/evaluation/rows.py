"""Outcomes to report rows: scores with intervals over blocks, break-downs, guesses, parity, prefix minus cascade."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from iclal.errors import DataError
from iclal.evaluation.answers import is_repetition, is_transcription, majority_baseline
from iclal.evaluation.metrics import Interval, WordErrors, bootstrap_interval, word_errors_each
from iclal.evaluation.normalize import get_normalizer
from iclal.evaluation.outcomes import NORMALIZER, TRANSCRIPT_TASK, Asked, Outcome
from iclal.evaluation.report.scores import CEILING_ABOVE_CHANCE

FEW_BLOCKS = 8  # below, resampling blocks alone says too little: one block would give a point
MOST_VALUES = 24  # a break-down into more (hundreds of speakers) is left to `answers.jsonl`
BREAK_DOWN_INPUTS = ("audio", "ceiling", "cascade", "cascade-ctc")

# What a few-shot number must have beside it: at the same shots, and without demonstrations.
CONTROLS = ("ceiling", "cascade", "shuffled-audio", "no-audio", "wrong-labels", "text-demos")


@dataclass(frozen=True)
class Columns:
    """The columns that all rows of one evaluation share."""

    model: str
    objective: str
    connector: str
    language_model: str
    seed: int
    condition: str
    ablation_of: str | None = None  # the model whose queries and controls this altered copy of it shares

    def row(
        self,
        cell: tuple[str, int],
        input: str,
        metric: str,
        values: Sequence[float],
        asked: Sequence[Asked],
        denominators: Sequence[float] | None = None,
        condition: str | None = None,
    ) -> dict[str, Any]:
        """A row of a mean (with denominators: of a ratio of sums) with its interval."""
        total = sum(denominators) if denominators is not None else len(values)
        value = sum(values) / (total or 1)
        low, high = interval_of(values, asked, denominators)
        return {
            "model": self.model,
            "objective": self.objective,
            "connector": self.connector,
            "language_model": self.language_model,
            "task": cell[0],
            "shots": cell[1],
            "input": input,
            "condition": condition or self.condition,
            "seed": self.seed,
            "metric": metric,
            "value": value,
            "low": min(low, value),  # a few blocks may never be drawn as they are
            "high": max(high, value),
            "n": len(values),
        }


def interval_of(
    values: Sequence[float], asked: Sequence[Asked], denominators: Sequence[float] | None = None
) -> Interval:
    """The 95 % interval of a mean or ratio over queries: their blocks are resampled.

    Where an utterance is asked about more than once, or the blocks are few, the utterances are resampled too and the
    wider bounds count: asking about the same clips again must not look like knowing more.
    """
    blocks: list[Hashable] = [query.owner for query in asked]
    utterances: list[Hashable] = [query.utterance.id for query in asked]
    interval = bootstrap_interval(values, denominators, blocks=blocks)
    if len(set(blocks)) >= FEW_BLOCKS and len(set(utterances)) == len(asked):
        return interval
    other = bootstrap_interval(values, denominators, blocks=utterances)
    return Interval(min(interval.low, other.low), max(interval.high, other.high))


def make_rows(outcomes: Iterable[Outcome], columns: Columns) -> list[dict[str, Any]]:
    """All rows of an evaluation, cell by cell, then prefix minus cascade of each task."""
    cells: dict[tuple[str, int], dict[str, list[Outcome]]] = {}
    for outcome in outcomes:
        cells.setdefault(outcome.asked.cell, {}).setdefault(outcome.input, []).append(outcome)
    wide = set(wide_break_downs(o for by_input in cells.values() for own in by_input.values() for o in own))
    rows = [row for cell, by_input in cells.items() for row in _cell_rows(cell, by_input, columns, wide)]
    return rows + _minus_cascade(cells, columns)


def wide_break_downs(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """Break-downs that have too many values to be rows, by name, and how many they have."""
    found = {condition for outcome in outcomes for condition in outcome.asked.conditions}
    counts = Counter(condition.partition("=")[0] for condition in found)
    return {name: count for name, count in counts.items() if count > MOST_VALUES}


def word_errors_of(outcomes: Sequence[Outcome]) -> list[WordErrors]:
    """The counts of each transcript under the report's normaliser."""
    return _word_errors([(outcome.asked, outcome.answer) for outcome in outcomes])


def _word_errors(transcripts: Sequence[tuple[Asked, str]]) -> list[WordErrors]:
    normalize = get_normalizer(NORMALIZER).apply
    references = [normalize(asked.references[0]) for asked, _ in transcripts]
    return word_errors_each(references, [normalize(text) for _, text in transcripts])


def _cell_rows(
    cell: tuple[str, int], by_input: Mapping[str, Sequence[Outcome]], columns: Columns, wide: Container[str]
) -> list[dict[str, Any]]:
    rows = []
    for input, outcomes in by_input.items():
        rows += _scores(cell, input, outcomes, columns, wide)
        rows += _shares(cell, input, outcomes, columns)
    guesses = _guesses(cell, [outcome.asked for outcome in next(iter(by_input.values()))], columns)
    return rows + guesses + _parity(cell, by_input, guesses[0]["value"], columns)


def _scores(
    cell: tuple[str, int], input: str, outcomes: Sequence[Outcome], columns: Columns, wide: Container[str]
) -> list[dict[str, Any]]:
    """Exact answers and, for transcripts, word errors; the main inputs also by condition.

    `wer-ctc` are the word errors of the ears alone: their greedy CTC text, which no language model has read.
    """
    errors: dict[str, list[WordErrors]] = {}
    if cell[0] == TRANSCRIPT_TASK:
        errors["wer"] = word_errors_of(outcomes)
        texts = [(outcome.asked, outcome.ctc_text) for outcome in outcomes if outcome.ctc_text is not None]
        if len(texts) == len(outcomes):
            errors["wer-ctc"] = _word_errors(texts)
    members: dict[str, list[int]] = {columns.condition: list(range(len(outcomes)))}
    if input in BREAK_DOWN_INPUTS:
        for index, outcome in enumerate(outcomes):
            for condition in outcome.asked.conditions:
                if condition.partition("=")[0] not in wide:
                    members.setdefault(condition, []).append(index)
    rows = []
    for condition, indices in members.items():
        asked = [outcomes[index].asked for index in indices]
        right = [float(outcomes[index].is_right) for index in indices]
        rows.append(columns.row(cell, input, "exact", right, asked, condition=condition))
        for metric, found in errors.items():
            wrong = [found[index].errors for index in indices]
            words = [found[index].num_references for index in indices]
            rows.append(columns.row(cell, input, metric, wrong, asked, words, condition))
    return rows


def _shares(cell: tuple[str, int], input: str, outcomes: Sequence[Outcome], columns: Columns) -> list[dict[str, Any]]:
    """Shares of answers that are no answers. Transcribing is no fault where it is the task."""
    asked = [outcome.asked for outcome in outcomes]
    empty = [float(not outcome.answer.strip()) for outcome in outcomes]
    looping = [float(outcome.finish_reason == "repetition" or is_repetition(outcome.answer)) for outcome in outcomes]
    rows = [
        columns.row(cell, input, "share-empty", empty, asked),
        columns.row(cell, input, "share-looping", looping, asked),
    ]
    if cell[0] != TRANSCRIPT_TASK and all(query.utterance.text is not None for query in asked):
        transcribing = [float(_merely_transcribes(outcome)) for outcome in outcomes]
        rows.append(columns.row(cell, input, "share-transcribing", transcribing, asked))
    return rows


def _merely_transcribes(outcome: Outcome) -> bool:
    """Whether a wrong answer is what was said, or what the model itself writes when asked to transcribe.

    Ears that transcribe badly are seen only by the latter. A right answer is not held against a model.
    """
    heard = (outcome.asked.utterance.text, outcome.own_transcript)
    return not outcome.is_right and any(is_transcription(outcome.answer, text) for text in heard if text)


def _guesses(cell: tuple[str, int], asked: Sequence[Asked], columns: Columns) -> list[dict[str, Any]]:
    """What needs no clip: a blind guess (first) and always the most frequent answer."""
    return [
        columns.row(cell, "chance", "exact", chance_of(asked), asked),
        columns.row(cell, "majority", "exact", majority_of(asked), asked),
    ]


def chance_of(asked: Sequence[Asked]) -> list[float]:
    """For each query, what a blind guess gets: one of its candidates, or where there are none another's answer."""
    answers = Counter(query.key(query.references[0]) for query in asked if query.candidates is None)
    others = sum(answers.values()) - 1
    values = []
    for query in asked:
        if query.candidates is not None:
            values.append(1 / len(query.candidates))
        else:
            same = sum(answers[key] for key in {query.key(reference) for reference in query.references})
            values.append((same - 1) / others if others > 0 else 0.0)
    return values


def majority_of(asked: Sequence[Asked]) -> list[float]:
    """For each query, whether the most frequent answer is right: of its closed set, or of all open answers.

    Bound words are new in each block and asked for equally often, so none is the most frequent: the first stands for
    any. (The most frequent among a block's 16 would only measure the luck of the draw.)
    """
    groups: dict[tuple[str, ...] | None, list[Asked]] = {}
    for query in asked:
        groups.setdefault(query.candidates, []).append(query)
    answers = {
        candidates: candidates[0]
        if candidates is not None and group[0].grouped
        else majority_baseline([query.references for query in group])[0]
        for candidates, group in groups.items()
    }
    return [float(query.is_right(answers[query.candidates])) for query in asked]


def _parity(
    cell: tuple[str, int], by_input: Mapping[str, Sequence[Outcome]], chance: float, columns: Columns
) -> list[dict[str, Any]]:
    """Audio over ceiling, queries resampled together, where the ceiling's lower bound stands above chance."""
    pairs = _paired(by_input, "audio", "ceiling")
    if not pairs:
        return []
    asked = [audio.asked for audio, _ in pairs]
    right = [float(ceiling.is_right) for _, ceiling in pairs]
    if columns.row(cell, "ceiling", "exact", right, asked)["low"] <= chance + CEILING_ABOVE_CHANCE:
        return []
    heard = [float(audio.is_right) for audio, _ in pairs]
    return [columns.row(cell, "audio", "parity", heard, asked, right)]


def _minus_cascade(
    cells: Mapping[tuple[str, int], Mapping[str, Sequence[Outcome]]], columns: Columns
) -> list[dict[str, Any]]:
    """Prefix minus cascade of each task, paired, pooled over its shots; the row stands at the fewest of them."""
    rows = []
    for task in dict.fromkeys(task for task, _ in cells):
        own = {shots: by_input for (name, shots), by_input in cells.items() if name == task}
        pairs = [pair for by_input in own.values() for pair in _paired(by_input, "audio", "cascade")]
        if pairs:
            differences = [float(audio.is_right) - float(cascade.is_right) for audio, cascade in pairs]
            asked = [audio.asked for audio, _ in pairs]
            rows.append(columns.row((task, min(own)), "audio", "minus-cascade", differences, asked))
    return rows


def _paired(by_input: Mapping[str, Sequence[Outcome]], one: str, other: str) -> list[tuple[Outcome, Outcome]]:
    """The outcomes of the queries that both inputs answered."""
    answered = {outcome.asked.id: outcome for outcome in by_input.get(other, ())}
    return [(outcome, answered[outcome.asked.id]) for outcome in by_input.get(one, ()) if outcome.asked.id in answered]


def minus_whole(outcomes: Iterable[Outcome], whole: Iterable[Outcome], columns: Columns) -> list[dict[str, Any]]:
    """An ablation minus the model it is made of, through audio, paired by query and pooled over the shots of a task.

    Metric "minus-whole" for exact answers, "wer-minus-whole" for the word errors of transcripts; a row stands at the
    fewest shots.
    """
    known = {outcome.asked.id: outcome for outcome in whole if outcome.input == "audio"}
    pairs: dict[str, list[tuple[Outcome, Outcome]]] = {}
    for outcome in outcomes:
        if outcome.input == "audio" and outcome.asked.id in known:
            pairs.setdefault(outcome.asked.task, []).append((outcome, known[outcome.asked.id]))
    rows = []
    for task, own in pairs.items():
        asked = [outcome.asked for outcome, _ in own]
        cell = (task, min(query.shots for query in asked))
        differences = [float(outcome.is_right) - float(other.is_right) for outcome, other in own]
        rows.append(columns.row(cell, "audio", "minus-whole", differences, asked))
        if task == TRANSCRIPT_TASK:
            errors = word_errors_of([outcome for outcome, _ in own])
            others = word_errors_of([other for _, other in own])
            more = [float(one.errors - other.errors) for one, other in zip(errors, others, strict=True)]
            words = [float(one.num_references) for one in errors]
            rows.append(columns.row(cell, "audio", "wer-minus-whole", more, asked, words))
    return rows


def check_controls(
    rows: Iterable[Mapping[str, Any]],
    beside: Iterable[Mapping[str, Any]] = (),
    left_out: Iterable[str] = (),
    *,
    ablation_of: str | None = None,
    left_out_cells: Container[tuple[str, int, str]] = (),
) -> None:
    """Refuse few-shot numbers without their controls: no demonstrations, and every input of `CONTROLS`.

    Args:
        beside: the report's other rows, where an ablation's controls are those of the model `ablation_of`.
        left_out: inputs that could not be made, as the report says.
        left_out_cells: the same for one (task, shots, input).

    Raises:
        DataError: naming the number and what it lacks.
    """
    rows, beside = list(rows), list(beside)
    found = {_control_key(row) for row in (*rows, *beside) if row["metric"] == "exact"}
    wanted = [input for input in CONTROLS if input not in set(left_out)]
    for row in rows:
        if row["metric"] != "exact" or row["input"] != "audio" or not row["shots"] or "=" in row["condition"]:
            continue
        wholes = [row["model"], *([ablation_of] if ablation_of else [])]
        needed: list[tuple[str, dict[str, Any]]] = [("no demonstrations", {"shots": 0})]
        needed += [(i, {"input": i}) for i in wanted if (row["task"], row["shots"], i) not in left_out_cells]
        lacking = [
            name
            for name, change in needed
            if not any(_control_key({**row, **change, "model": whole}) in found for whole in wholes)
        ]
        if lacking:
            raise DataError(
                f"the {row['shots']}-shot score of {row['model']} on {row['task']} has no control: it lacks "
                f"{', '.join(lacking)}; evaluate with all inputs, and with 0 shots too"
            )


def _control_key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a score and its control have in common, then shots and input."""
    same = ("model", "objective", "connector", "language_model", "task", "condition", "seed", "shots", "input")
    return tuple(row[column] for column in same)
