"""What `report.json` holds, written and read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from iclal.errors import DataError
from iclal.evaluation.report.rows import Row, check_rows
from iclal.evaluation.report.scores import Scores


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
