"""The report of a run: `report.json` for programs, `report.html` for people, a table for the terminal.

Reads JSON and recordings, never torch: a report can be rendered anew where no model is installed.

    report.json = {"rows": [...], "meta": {...}, "extras": {...}}

`rows` are what was measured (columns in `report_rows`). `meta` says how: normaliser with version, decoding settings,
digests, versions, command, seconds, real_time_factor; whatever stands there is shown. `extras` are what a person wants
to see beside the figures, each left out where it is missing:

    training_curves   {model: [{step, loss, parts: {...}, validation: {...}, listening: {right, another, silence}}]}
    listening         [{model, step, right, another, silence}], where they are not in the curves
    clips             see `report_clips.ClipFields`
    worst             [{id, reference, hypothesis, value}], the transcripts with the most errors
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iclal.errors import DataError
from iclal.evaluation.report_rows import GUESSES, ModelId, Row, Scores, check_rows
from iclal.evaluation.report_words import Finding, headline_words, outcome, percent

if TYPE_CHECKING:
    from rich.table import Table

_TERMINAL_HEADINGS = {
    "ceiling": "text",
    "cascade": "cas-\ncade",
    "cascade-ctc": "cas.\nctc",
    "shuffled-audio": "other\nclip",
    "no-audio": "no\naudio",
    "wrong-labels": "wrong\nlabel",
    "text-demos": "text\ndemo",
}


@dataclass(frozen=True)
class Report:
    """What `report.json` holds, its rows checked."""

    rows: Sequence[Row]
    meta: Mapping[str, Any] = field(default_factory=dict)
    extras: Mapping[str, Any] = field(default_factory=dict)

    @property
    def scores(self) -> Scores:
        """The rows made searchable; `meta.condition` names the main condition where it is not "clean"."""
        return Scores(self.rows, self.meta.get("condition"))


def write_report_json(
    path: Path | str,
    rows: Sequence[Row],
    extras: Mapping[str, Any] | None = None,
    meta: Mapping[str, Any] | None = None,
) -> None:
    """Check the rows and write `report.json`, aside and renamed.

    Raises:
        DataError: rows that do not pass `check_rows`, or a value that JSON cannot hold (NaN, an array).
    """
    path = Path(path)
    check_rows(rows)
    content = {"rows": [dict(row) for row in rows], "meta": dict(meta or {}), "extras": dict(extras or {})}
    try:
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1)
    except (ValueError, TypeError) as error:
        raise DataError(f"the report for {path} holds what JSON cannot: {error}") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".partial")
    aside.write_text(text + "\n", encoding="utf-8")
    aside.replace(path)


def read_report(path: Path | str) -> Report:
    """A report from its JSON file.

    Raises:
        DataError: no such file, no JSON, no list of rows in it, or rows that do not pass `check_rows`.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"cannot open report {path}: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("rows"), list):
        raise DataError(f'{path} is not a report: it must be an object with a list of "rows"')
    for name in ("meta", "extras"):
        if not isinstance(content.get(name, {}), dict):
            raise DataError(f"{path}: {name} must be an object, found {type(content[name]).__name__}")
    if not all(isinstance(row, dict) for row in content["rows"]):
        raise DataError(f"{path}: every row must be an object")
    check_rows(content["rows"])
    return Report(content["rows"], content.get("meta", {}), content.get("extras", {}))


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
    from iclal.evaluation.report_page import render  # jinja2 and numpy, only when a page is made

    return render(report, Path(run_folder))


def outcome_words(report: Report) -> tuple[str, list[Finding]]:
    """The headline sentence and the findings under it, as the page shows them."""
    return headline_words(report.scores), outcome(report.scores)


def summary_table(rows: Sequence[Row], condition: str | None = None) -> Table:
    """A table for the terminal, 80 columns wide: tasks and shots down, inputs across, in percent; parity last.

    "guess" is the better of chance and the majority answer.
    """
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from iclal.evaluation.report_sections import main_table

    scores = Scores(rows, condition)
    tables = {model: main_table(scores, model) for model in scores.models}
    found = list(dict.fromkeys(i for table in tables.values() for i in table.inputs))
    inputs = [i for i in found if i not in GUESSES]
    has_guess = len(inputs) < len(found)
    has_parity = any(table.has_parity for table in tables.values())
    shown = Table(
        title=f"exact answers in %, condition {scores.condition}", box=box.SIMPLE_HEAD, padding=0, title_justify="left"
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


__all__ = [
    "ModelId",
    "Report",
    "check_rows",
    "outcome_words",
    "percent",
    "read_report",
    "read_training_curve",
    "render_html",
    "summary_table",
    "write_html",
    "write_report_json",
]
