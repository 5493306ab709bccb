"""Tables: all scores of a model, models beside each other, a task in one line; for the page and the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from iclal.errors import DataError
from iclal.evaluation.report.names import INPUT_NAMES, LOWER_IS_BETTER, METRIC_NAMES
from iclal.evaluation.report.rows import GUESSES, Row
from iclal.evaluation.report.scores import ModelId, Score, Scores

if TYPE_CHECKING:
    from rich.table import Table

SHARES = ("share-empty", "share-looping", "share-transcribing")

_TERMINAL_HEADINGS = {
    "ceiling": "text",
    "cascade": "cas-\ncade",
    "cascade-ctc": "cas.\nctc",
    "shuffled-audio": "other\nclip",
    "no-audio": "no\naudio",
    "wrong-labels": "wrong\nlabel",
    "text-demos": "text\ndemo",
}
_TERMINAL_LEGEND = (
    "text: the transcript in place of the audio. cascade: what the ears themselves wrote, as text. other clip, no "
    "audio: another recording is heard, or none. wrong label: demonstrations with wrong answers. text demo: "
    "demonstrations as text. guess: the best blind answer. parity: audio over text."
)


@dataclass(frozen=True)
class TableRow:
    """One task at one number of demonstrations: a score (or None) per column, and its parity."""

    task: str
    is_first_of_task: bool
    metric: str
    shots: int
    cells: Sequence[Score | None]
    parity: Score | None


@dataclass(frozen=True)
class MainTable:
    """The main table: inputs as columns."""

    inputs: Sequence[str]
    rows: Sequence[TableRow]
    has_parity: bool


@dataclass(frozen=True)
class Comparison:
    """Models beside each other: a column per model, a row per measure as (task, what is measured, scores)."""

    models: Sequence[tuple[str, ModelId]]
    rows: Sequence[tuple[str, str, Sequence[Score | None]]]


@dataclass(frozen=True)
class Through:
    """A task in one line: what was heard, read and transcribed first, at the same number of demonstrations."""

    task: str
    shots: int
    audio: Score
    ceiling: Score
    cascade: Score | None
    guess: float | None
    parity: Score | None


@dataclass(frozen=True)
class WordErrorLine:
    """The counts behind a word error rate."""

    model: str
    condition: str
    shots: int
    input: str
    wer: float
    words: int
    substitutions: int
    deletions: int
    insertions: int


def main_table(scores: Scores, model: ModelId) -> MainTable:
    """Tasks and shots down, inputs across; for the transcript word error rate and exact answers."""
    rows, used = [], []
    for task in scores.tasks:
        first = True
        for metric in ("wer", "exact"):
            inputs = scores.inputs(model, task, metric)
            for shots in scores.shots(task, model, metric):
                if not any(scores.find(model, task, metric, i, shots) for i in inputs if i not in GUESSES):
                    continue
                used += inputs
                rows.append((task, first, metric, shots))
                first = False
    columns = [input for input in scores.inputs(model) if input in used]
    table = [
        TableRow(
            task,
            first,
            metric,
            shots,
            [scores.find(model, task, metric, input, shots) for input in columns],
            scores.parity(model, task, shots) if metric == "exact" else None,
        )
        for task, first, metric, shots in rows
    ]
    return MainTable(columns, table, any(row.parity for row in table))


def compare_models(scores: Scores, models: Sequence[ModelId]) -> Comparison:
    """Models beside each other, audio input; measures that none has are left out.

    Exact answers stand at the demonstrations that `fair_shots` names for the headline model, all else zero-shot.
    """
    headline = scores.headline()
    assert headline is not None
    measures = [("transcript", "wer", 0)]
    for task in scores.tasks:
        measures.append((task, "exact", scores.fair_shots(headline, task) or 0))
        measures += [(task, "share-transcribing", 0)] if task != "transcript" else []
    rows = []
    for task, metric, shots in measures:
        cells = [scores.find(model, task, metric, "audio", shots) for model in models]
        if any(cells):
            better = "lower" if metric in LOWER_IS_BETTER else "higher"
            rows.append((task, f"{METRIC_NAMES.get(metric, metric)}, {shots}-shot, {better} is better", cells))
    return Comparison([(scores.label(model), model) for model in models], rows)


def word_error_lines(values: Sequence[Mapping[str, Any]]) -> list[WordErrorLine]:
    """The counts behind the word error rates of audio, CTC's own text, and the ceiling.

    Raises:
        DataError: a line that lacks a count.
    """
    lines = []
    for value in values:
        try:
            if value["input"] in ("audio", "cascade-ctc", "ceiling"):
                counts = [int(value[name]) for name in ("substitutions", "deletions", "insertions")]
                words = int(value["hits"]) + counts[0] + counts[1]
                named = (str(value["model"]), str(value["condition"]), int(value["shots"]))
                input = INPUT_NAMES[value["input"]]
                lines.append(WordErrorLine(*named, input, sum(counts) / max(1, words), words, *counts))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"word errors in the report are not as they should be: {error!r} in {value}") from error
    return lines


def share_lines(scores: Scores, model: ModelId) -> list[tuple[str, int, Sequence[Score | None]]]:
    """Per task and number of demonstrations, through audio: the shares of answers that are none (`SHARES`)."""
    lines = []
    for task in scores.tasks:
        for shots in scores.shots(task, model, SHARES[0]):
            cells = [scores.find(model, task, metric, "audio", shots) for metric in SHARES]
            if any(cells):
                lines.append((task, shots, cells))
    return lines


def what_comes_through(scores: Scores, model: ModelId) -> list[Through]:
    """A line per task with audio and ceiling, at the number of demonstrations that `Scores.fair_shots` names."""
    lines = []
    for task in scores.tasks:
        shots = scores.fair_shots(model, task)
        if shots is None:
            continue
        found = {i: scores.find(model, task, "exact", i, shots) for i in ("audio", "ceiling", "cascade")}
        guesses = [s.value for i in GUESSES if (s := scores.find(model, task, "exact", i, shots))]
        audio, ceiling = found["audio"], found["ceiling"]
        assert audio is not None and ceiling is not None
        guess = max(guesses, default=None)
        lines.append(Through(task, shots, audio, ceiling, found["cascade"], guess, scores.parity(model, task, shots)))
    return lines


def summary_table(rows: Sequence[Row], condition: str | None = None) -> Table:
    """A table for the terminal, 80 columns wide: tasks and shots down, inputs across, in percent; parity last.

    "guess" is the better of chance and the majority answer.
    """
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    scores = Scores(rows, condition)
    tables = {model: main_table(scores, model) for model in scores.models}
    found = list(dict.fromkeys(i for table in tables.values() for i in table.inputs))
    inputs = [i for i in found if i not in GUESSES]
    has_guess = len(inputs) < len(found)
    has_parity = any(table.has_parity for table in tables.values())
    shown = Table(
        title=f"in %, condition {scores.condition}: exact answers, or word errors where a row says so",
        caption=_TERMINAL_LEGEND,
        box=box.SIMPLE_HEAD,
        padding=0,
        title_justify="left",
        caption_justify="left",
    )
    shown.add_column("task", no_wrap=True)
    headings = [_TERMINAL_HEADINGS.get(i, i) for i in inputs] + ["guess"] * has_guess + ["parity"] * has_parity
    for heading in ("shots", *headings):
        shown.add_column(heading, justify="right", no_wrap=True)
    for model, table in tables.items():
        shown.add_row(f"[bold]{escape(scores.label(model))}")
        for row in table.rows:
            scored = dict(zip(table.inputs, row.cells, strict=True))
            guesses = [score.value for i in GUESSES if (score := scored.get(i))]
            cells = [f"{100 * score.value:.1f}" if (score := scored.get(i)) else "" for i in inputs]
            cells += [f"{100 * max(guesses):.1f}" if guesses else ""] * has_guess
            cells += [f"{row.parity.value:.2f}" if row.parity else ""] * has_parity
            shown.add_row("word errors" if row.metric == "wer" else escape(row.task), str(row.shots), *cells)
        shown.add_section()
    return shown
