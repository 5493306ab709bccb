"""Training curves: read from a run's log, and drawn."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from iclal.errors import DataError
from iclal.evaluation.report.line_chart import Axis, Chart, Point, Series, curves_chart, loss_axis, percent_axis
from iclal.evaluation.report.names import METRIC_NAMES
from iclal.evaluation.report.words import percent

_LISTENING_NAMES = {
    "right": "right clip",
    "other": "another’s clip",
    "silence": "silence",
}
_LISTENING_STYLES = {"right clip": "s-audio", "another’s clip": "s-wrong-labels", "silence": "s-silence"}


def read_training_curve(metrics_jsonl: Path | str) -> list[dict[str, Any]]:
    """The lines of a run's `metrics.jsonl` that are drawn, for `extras.training_curves`.

    A last line that was not written whole is left out: a run may go on, or have been killed.

    Raises:
        DataError: no such file, or a line that is no JSON object with a step; names file and line.
    """
    path = Path(metrics_jsonl)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"training log {path} is not UTF-8: {error}") from error
    except OSError as error:
        raise DataError(f"cannot open training log {path}: {error.strerror}") from error
    points = []
    for number, line in enumerate(text[: text.rfind("\n") + 1].splitlines(), 1):
        try:
            point = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}:{number}: not JSON: {error}") from error
        if not isinstance(point, dict) or not isinstance(point.get("step"), int):
            raise DataError(f"{path}:{number}: a line of a training log is an object with a step, found {line[:80]}")
        if point.get("kind", "train") in ("train", "validation", "listening"):
            points.append({name: value for name, value in point.items() if name != "clock"})
    return points


def charts_by_model(extras: Mapping[str, Any], first: str) -> list[tuple[str, list[Chart]]]:
    """Training charts by model, the headline model first.

    Raises:
        DataError: a point without a step.
    """
    curves: dict[str, list[Mapping[str, Any]]] = {
        name: list(points) for name, points in extras.get("training_curves", {}).items()
    }
    for name, points in curves.items():
        for point in points:
            if not isinstance(point.get("step"), int | float):
                raise DataError(f"a point of {name}'s training curve has no step: {dict(point)}")
    ordered = sorted(curves, key=lambda name: name != first)
    return [(name, charts) for name in ordered if (charts := training_charts(curves[name]))]


def training_charts(points: Sequence[Mapping[str, Any]]) -> list[Chart]:
    """Loss, listening losses and validation of one model, from the first step logged.

    `points` are lines of a run's `metrics.jsonl`. Numbers that are none of these (rates, memory) are not drawn.
    """
    lines: dict[str, dict[str, list[Point]]] = {"Loss": {}, "Listening": {}, "Validation": {}}
    for point in sorted(points, key=lambda point: point["step"]):
        for chart, name, value in _drawn(point):
            if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
                lines[chart].setdefault(name, []).append(Point(float(point["step"]), float(value)))
    if len(lines["Loss"]) == 2 and "all parts" in lines["Loss"]:
        only = next(name for name in lines["Loss"] if name != "all parts")
        if [p.value for p in lines["Loss"][only]] == [p.value for p in lines["Loss"]["all parts"]]:
            del lines["Loss"]["all parts"]  # a single part is the whole: one line, not two
    charts = []
    for title, series in lines.items():
        if series:
            charts.append(_curve_chart(title, series))
    return charts


def _drawn(point: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """What of a log line is drawn: the chart, the name of the line in it, the value."""
    kind = point.get("kind", "train")
    if kind == "train":
        yield "Loss", "all parts", point.get("loss")
        for name, value in point.get("parts", {}).items():
            yield "Loss", name, value
    elif kind == "listening":
        for name, title in _LISTENING_NAMES.items():
            yield "Listening", title, point.get(name)
    elif kind == "validation":
        for name, value in point.items():
            if name not in ("kind", "step", "clock"):
                chart, title = ("Loss", f"validation {name}") if "loss" in name else ("Validation", name)
                yield chart, METRIC_NAMES.get(title, title).replace("_", " "), value


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
