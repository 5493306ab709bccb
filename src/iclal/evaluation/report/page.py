"""The page of a report: everything that the template shows, and the template filled."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from iclal.evaluation.report.charts import breakdowns, shots_charts
from iclal.evaluation.report.clips import read_clips, view_clips
from iclal.evaluation.report.curves import charts_by_model
from iclal.evaluation.report.names import INPUT_MEANINGS, INPUT_NAMES, LOWER_IS_BETTER, METRIC_NAMES, style
from iclal.evaluation.report.report import Report, read_report
from iclal.evaluation.report.rows import GUESSES, Row
from iclal.evaluation.report.scores import ModelId, Scores
from iclal.evaluation.report.tables import (
    SHARES,
    compare_models,
    main_table,
    share_lines,
    what_comes_through,
    word_error_lines,
)
from iclal.evaluation.report.words import (
    PARITY_MOST,
    PARITY_NEARLY_ALL,
    headline_words,
    interval,
    outcome,
    parity_rule,
    percent,
    signed,
)

_MAX_WORST = 20


@dataclass(frozen=True)
class Tile:
    """A figure that stands large at the top, with what it is and what it is to be compared with."""

    name: str
    value: str
    note: str


def write_html(report_json: Path | str, out_html: Path | str) -> None:
    """Render a report file as one self-contained page; recordings are looked for beside the report file."""
    report_json, out_html = Path(report_json), Path(out_html)
    page = render_html(read_report(report_json), report_json.parent)
    out_html.parent.mkdir(parents=True, exist_ok=True)
    aside = out_html.with_name(out_html.name + ".partial")
    aside.write_text(page, encoding="utf-8")
    aside.replace(out_html)


def render_html(report: Report, run_folder: Path | str) -> str:
    """The page: no file, address or program outside it is needed; parts without data are left out.

    Raises:
        DataError: a clip or a training curve is not as it should be.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "interval": interval, "style": style}
    template = environment.get_template("page.html.jinja")
    return template.render(**_context(report, Path(run_folder)))


def _context(report: Report, run_folder: Path) -> dict[str, Any]:
    scores = report.scores
    model = scores.headline()
    charts, legend = shots_charts(scores, model) if model else ([], [])
    clips = view_clips(read_clips(report.extras.get("clips", [])), run_folder)
    table = main_table(scores, model) if model else None
    paper = scores.paper()
    used_inputs = dict.fromkeys(row["input"] for row in report.rows)
    return {
        "headline": headline_words(scores),
        "findings": outcome(scores, report.extras),
        "tiles": _tiles(scores, model, report.meta) if model else [],
        "model": model,
        "model_label": scores.label(model) if model else "",
        "condition": scores.condition,
        "through": what_comes_through(scores, model) if model else [],
        "table": table,
        "word_errors": word_error_lines(report.extras.get("word_errors", [])),
        "shares": share_lines(scores, model) if model else [],
        "share_names": [METRIC_NAMES[metric] for metric in SHARES],
        "shots_charts": charts,
        "shots_legend": legend,
        "curves": charts_by_model(report.extras, scores.label(model) if model else ""),
        "breakdowns": breakdowns(scores, model) if model else [],
        "paper": compare_models(scores, [paper, model]) if paper and model else None,
        "paper_label": scores.label(paper) if paper else "",
        "models": compare_models(scores, scores.models) if len(scores.models) > 2 else None,
        "clips": clips,
        "figures": [clip for clip in clips if clip.figure],
        "answered_by_models": [clip for clip in clips if clip.by_model and clip.fields.question],
        "worst": list(report.extras.get("worst", []))[:_MAX_WORST],
        "inputs": [(name, INPUT_NAMES[name], INPUT_MEANINGS[name]) for name in INPUT_NAMES if name in used_inputs],
        "input_names": INPUT_NAMES,
        "metric_names": METRIC_NAMES,
        "lower_is_better": LOWER_IS_BETTER,
        "ended_by": report.meta.get("ended_by"),
        "notes": _notes(report.meta),
        "parity_rule": parity_rule(),
        "parity_words": (PARITY_NEARLY_ALL, PARITY_MOST),
        "seeds": list(dict.fromkeys(row["seed"] for row in report.rows)),
        "num_rows": len(report.rows),
        "num_answers": _num_answers(report.rows),
    }


def _num_answers(rows: Iterable[Row]) -> int:
    """How many answers were scored: each once, in whatever other metrics and break-downs it counts too."""
    counted = (row for row in rows if row["metric"] == "exact" and row["input"] not in GUESSES)
    return sum(int(row["n"]) for row in counted if "=" not in row["condition"])


def _tiles(scores: Scores, model: ModelId, meta: Mapping[str, Any]) -> list[Tile]:
    """Up to four figures: parity, word errors, prefix against cascade, speed."""
    tiles = []
    for task in [task for task in ("questions", "summary", *scores.tasks) if task in scores.tasks]:
        shots = scores.fair_shots(model, task)
        parity = None if shots is None else scores.parity(model, task, shots)
        if parity:
            tiles.append(Tile(f"parity, {task}", f"{parity.value:.2f}", f"{shots}-shot; 1.00 is as good as text"))
            break
    wer = scores.find(model, "transcript", "wer")
    if wer:
        tiles.append(Tile("word error rate", percent(wer.value), f"{interval(wer)}, n = {wer.n:,}"))
    differences = sorted(100 * score.value for score in scores.minus_cascade(model).values())
    if differences:
        # The median: one task that a transcript cannot serve at all would carry a mean away.
        span = f"points, median of {len(differences)} tasks ({signed(differences[0])} to {signed(differences[-1])})"
        tiles.append(Tile("prefix minus cascade", signed(statistics.median(differences)), span))
    speed = meta.get("times_real_time")
    if isinstance(speed, int | float) and speed > 0:
        tiles.append(Tile("speed", f"{speed:,.3g}×", "real time, transcribing"))
    return tiles


def _notes(meta: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """`meta` as titled lists of (name, value): plain values first, under "this run"."""
    plain = [(_spoken(name), _written(value)) for name, value in meta.items() if not isinstance(value, Mapping)]
    nested = [(_spoken(name), list(_paths(value))) for name, value in meta.items() if isinstance(value, Mapping)]
    return [entry for entry in [("this run", plain), *nested] if entry[1]]


def _paths(values: Mapping[str, Any], prefix: str = "") -> Sequence[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            found += _paths(value, f"{prefix}{name} · ")
        else:
            found.append((f"{prefix}{_spoken(name)}", _written(value)))
    return found


def _spoken(name: str) -> str:
    return str(name).replace("_", " ")


def _written(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(_written(part) for part in value)
    return str(value)
