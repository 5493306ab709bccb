"""The tables, charts and bars of the report page, made of rows and training curves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from iclal.evaluation.report_plots import Axis, Point, Series, curves_chart, loss_axis, percent_axis, shots_chart
from iclal.evaluation.report_rows import CEILING_ABOVE_CHANCE, GUESSES, ModelId, Score, Scores
from iclal.evaluation.report_words import percent

INPUT_NAMES = {
    "audio": "audio prefix",
    "ceiling": "transcript as text",
    "cascade": "cascade",
    "cascade-ctc": "cascade, CTC",
    "shuffled-audio": "another clip",
    "no-audio": "no audio",
    "wrong-labels": "wrong labels",
    "text-demos": "text demos",
    "chance": "chance",
    "majority": "majority",
}
INPUT_MEANINGS = {
    "audio": "The clip is heard: its audio prefix stands in the prompt. Every other input changes one thing.",
    "ceiling": "The (rich) transcript stands as text where the audio would: what the language model can do at best.",
    "cascade": "The same ears transcribe first, and the text they wrote stands in the slot: the honest rival.",
    "cascade-ctc": "As cascade, with the text of the ears’ own CTC output, which the language model never touched.",
    "shuffled-audio": "The prefix of another clip: what can be answered without hearing the right one.",
    "no-audio": "The slot is empty: what the question alone gives away.",
    "wrong-labels": "The demonstrations carry wrong answers: who follows demonstrations must fall.",
    "text-demos": "The demonstrations are transcripts as text, only the query is heard.",
    "chance": "A blind guess among the possible answers.",
    "majority": "Always the most frequent answer.",
}
METRIC_NAMES = {
    "wer": "word error rate",
    "exact": "exact answers",
    "share-empty": "empty answers",
    "share-looping": "looping answers",
    "share-transcribing": "a transcript instead of an answer",
}
LOWER_IS_BETTER = ("wer", "share-empty", "share-looping", "share-transcribing")

_LISTENING_NAMES = {
    "right": "right clip",
    "another": "another’s clip",
    "other": "another’s clip",
    "shuffled": "another’s clip",
    "silence": "silence",
}
_LISTENING_STYLES = {"right clip": "s-audio", "another’s clip": "s-wrong-labels", "silence": "s-silence"}


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
class Table:
    """The main table: inputs as columns."""

    inputs: Sequence[str]
    rows: Sequence[TableRow]
    has_parity: bool


@dataclass(frozen=True)
class Chart:
    """A drawn chart with its title and, where it is not shared, its legend as (name, style)."""

    title: str
    svg: Markup
    legend: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Bar:
    """A bar with its interval; the shares are of the widest bar of its group, 0 to 1."""

    label: str
    score: Score
    width: float
    low: float
    high: float
    is_main: bool


@dataclass(frozen=True)
class Bars:
    """Bars of one metric over the values of one condition, sorted, the best first."""

    title: str
    note: str
    bars: Sequence[Bar]


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


def style(input: str) -> str:
    """The CSS class that colours an input."""
    return f"s-{input}" if input in INPUT_NAMES else "s-other"


def main_table(scores: Scores, model: ModelId) -> Table:
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
    return Table(columns, table, any(row.parity for row in table))


def shots_charts(scores: Scores, model: ModelId) -> tuple[list[Chart], list[tuple[str, str]]]:
    """A chart per task that has more than one number of demonstrations, and the legend that they share."""
    charts, legend = [], []
    for task in scores.tasks:
        shots = [
            number
            for number in scores.shots(task, model, "exact")
            if any(
                scores.find(model, task, "exact", input, number)
                for input in scores.inputs(model, task, "exact")
                if input not in GUESSES
            )
        ]
        if len(shots) < 2:
            continue
        series = []
        for input in scores.inputs(model, task, "exact"):
            points = [
                _flat_point(number, score) if input in GUESSES else _point(number, score)
                for number in shots
                if (score := scores.find(model, task, "exact", input, number))
            ]
            if points:
                series.append(Series(INPUT_NAMES.get(input, input), style(input), points))
        legend += [(line.name, line.style) for line in series]
        title = f"{task}: exact answers over the number of demonstrations"
        charts.append(Chart(task, shots_chart(series, shots, title, percent)))
    names = list(INPUT_NAMES.values())
    ordered = sorted(set(legend), key=lambda entry: names.index(entry[0]) if entry[0] in names else len(names))
    return charts, ordered


def _point(x: float, score: Score) -> Point:
    return Point(x, score.value, score.low, score.high)


def _flat_point(x: float, score: Score) -> Point:
    return Point(x, score.value)


def breakdowns(scores: Scores, model: ModelId, metrics: Iterable[str] = ("wer", "exact")) -> list[Bars]:
    """Bars by voice, by condition and by whatever else conditions name, audio input, zero-shot or the fewest shots.

    Conditions written `name=value` are grouped by name; those without form the group "condition".
    """
    groups: dict[str, list[str]] = {}
    for condition in scores.conditions:
        groups.setdefault(condition.partition("=")[0] if "=" in condition else "condition", []).append(condition)
    ordered = sorted(
        groups.items(),
        key=lambda entry: ["voice", "condition"].index(entry[0]) if entry[0] in ("voice", "condition") else 2,
    )
    found = []
    for metric in metrics:
        for task in scores.tasks:
            for group, conditions in ordered:
                shots = min((int(row["shots"]) for row in scores.rows if row["task"] == task), default=0)
                values = {
                    condition: score
                    for condition in conditions
                    if (score := scores.find(model, task, metric, "audio", shots, condition))
                }
                if len(values) > 1:
                    found.append(_bars(task, metric, group, shots, values, scores.condition))
    return found


def _bars(task: str, metric: str, group: str, shots: int, values: Mapping[str, Score], main: str) -> Bars:
    lower = metric in LOWER_IS_BETTER
    widest = max(score.high for score in values.values()) or 1.0
    ordered = sorted(values.items(), key=lambda entry: entry[1].value, reverse=not lower)
    bars = [
        Bar(
            condition.partition("=")[2] or condition,
            score,
            score.value / widest,
            score.low / widest,
            score.high / widest,
            condition == main,
        )
        for condition, score in ordered
    ]
    name = METRIC_NAMES.get(metric, metric)
    subject = name if task == "transcript" else f"{task}, {name},"
    note = f"{'lower' if lower else 'higher'} is better" + (f"; {shots} demonstrations" if shots else "")
    return Bars(f"{subject[0].upper()}{subject[1:]} by {group}", note, bars)


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


def training_charts(points: Sequence[Mapping[str, Any]]) -> list[Chart]:
    """Loss, listening losses and validation of one model, from the first step logged.

    `points` are dicts with `step`, `loss`, and what else was logged: parts of the loss (`parts` or `loss_...`),
    `validation` and `listening` (nested, or spelled `validation_wer`, `listening/silence`). The lines of a run's
    `metrics.jsonl` will do as they are. Other numbers (rates, memory) are not drawn.
    """
    lines: dict[str, dict[str, list[Point]]] = {"Loss": {}, "Listening": {}, "Validation": {}}
    for point in sorted(points, key=lambda point: point["step"]):
        for key, value in _flatten(_nested(point)):
            place = _place_curve(key)
            if place is not None:
                lines[place[0]].setdefault(place[1], []).append(Point(float(point["step"]), value))
    if len(lines["Loss"]) == 2 and "all parts" in lines["Loss"]:
        only = next(name for name in lines["Loss"] if name != "all parts")
        if [p.value for p in lines["Loss"][only]] == [p.value for p in lines["Loss"]["all parts"]]:
            del lines["Loss"]["all parts"]  # a single part is the whole: one line, not two
    charts = []
    for title, series in lines.items():
        if series:
            charts.append(_curve_chart(title, series))
    return charts


def _nested(point: Mapping[str, Any]) -> Mapping[str, Any]:
    """A line of `metrics.jsonl` (`kind`, `step`, values) as a point; other points as they are."""
    kind = point.get("kind", "train")
    if kind == "train":
        return point
    values = {name: value for name, value in point.items() if name not in ("kind", "step", "clock")}
    return {"step": point["step"], kind: values} if kind in ("validation", "listening") else {"step": point["step"]}


def _curve_chart(title: str, named: Mapping[str, Sequence[Point]]) -> Chart:
    if title == "Listening":
        styles = {name: _LISTENING_STYLES.get(name, "s-other") for name in named}
    else:
        styles = {name: f"s-{number}" for number, name in enumerate(named, 1)}
    series = [Series(name, styles[name], points) for name, points in named.items()]
    values = [point.value for line in series for point in line.points]
    axis: Axis = percent_axis(max(values)) if title == "Validation" else loss_axis(values)
    write = percent if title == "Validation" else lambda value: f"{value:.3g}"
    heading = {
        "Loss": "Training loss",
        "Listening": "Listening losses",
        "Validation": "Validation, generated freely",
    }[title]
    return Chart(heading, curves_chart(series, axis, heading, write), list(styles.items()))


def _place_curve(key: str) -> tuple[str, str] | None:
    """The chart and the line's name for a flattened key, or None where it is not drawn."""
    normal = key.replace("/", ".").replace("_", ".")
    head, _, rest = normal.partition(".")
    rest = rest.replace(".", " ")
    if head in ("listening", "listen"):
        return "Listening", _LISTENING_NAMES.get(rest.split(" ")[0], rest)
    if head in ("validation", "valid", "val"):
        if "loss" in rest:
            return "Loss", f"validation {rest}"
        return "Validation", METRIC_NAMES.get(rest, rest)
    if head in ("loss", "losses", "parts", "part"):
        return "Loss", rest or "all parts"
    return None


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, float]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            yield f"{prefix}{key}", float(value)


def parity_rule() -> str:
    """How parity is made, for the notes."""
    return (
        "Parity is the audio score divided by the ceiling’s, given only where the ceiling’s lower bound stands above "
        f"chance by {CEILING_ABOVE_CHANCE:.1f}."
    )
