"""Scores drawn: lines over the number of demonstrations, bars over conditions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from iclal.evaluation.report.line_chart import Chart, Point, Series, shots_chart
from iclal.evaluation.report.names import INPUT_NAMES, LOWER_IS_BETTER, METRIC_NAMES, style
from iclal.evaluation.report.rows import GUESSES
from iclal.evaluation.report.scores import ModelId, Score, Scores
from iclal.evaluation.report.words import percent


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
