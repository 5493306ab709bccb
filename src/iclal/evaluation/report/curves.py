"""Training curves: read from a run's log, and drawn."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from iclal.errors import DataError
from iclal.evaluation.report.line_chart import Axis, Chart, Point, Series, curves_chart, loss_axis, percent_axis
from iclal.evaluation.report.names import METRIC_NAMES
from iclal.evaluation.report.words import percent

_LISTENING_NAMES = {
    "right": "right clip",
    "another": "another’s clip",
    "other": "another’s clip",
    "shuffled": "another’s clip",
    "silence": "silence",
}
_LISTENING_STYLES = {"right clip": "s-audio", "another’s clip": "s-wrong-labels", "silence": "s-silence"}


def read_training_curve(metrics_jsonl: Path | str) -> list[dict[str, Any]]:
    """The lines of a run's `metrics.jsonl` that are drawn, for `extras.training_curves`.

    Raises:
        DataError: no such file, or a line that is no JSON object with a step; names file and line.
    """
    path = Path(metrics_jsonl)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(f"cannot open training log {path}: {error.strerror}") from error
    points = []
    for number, line in enumerate(lines, 1):
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
    """Training charts by model, the headline model first; listening losses kept apart are laid in.

    Raises:
        DataError: a point without a step.
    """
    curves: dict[str, list[Mapping[str, Any]]] = {
        name: list(points) for name, points in extras.get("training_curves", {}).items()
    }
    for point in extras.get("listening", []):
        losses = {name: value for name, value in point.items() if name not in ("model", "step")}
        curves.setdefault(point.get("model", first), []).append({"step": point.get("step"), "listening": losses})
    for name, points in curves.items():
        for point in points:
            if not isinstance(point.get("step"), int | float):
                raise DataError(f"a point of {name}'s training curve has no step: {dict(point)}")
    ordered = sorted(curves, key=lambda name: name != first)
    return [(name, charts) for name in ordered if (charts := training_charts(curves[name]))]


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
