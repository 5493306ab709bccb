"""Rows of a report: their columns, the names that stand in them, and their check."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from iclal.errors import DataError

Row: TypeAlias = Mapping[str, Any]

KEY_COLUMNS = (
    "model",
    "objective",
    "connector",
    "language_model",
    "task",
    "shots",
    "input",
    "condition",
    "seed",
    "metric",
)
VALUE_COLUMNS = ("value", "low", "high", "n")

# In the order in which tables and charts show them; whatever else occurs comes behind, in order of appearance.
ANSWERED_INPUTS = (
    "audio",
    "ceiling",
    "cascade",
    "cascade-ctc",
    "shuffled-audio",
    "no-audio",
    "wrong-labels",
    "text-demos",
)
GUESSES = ("chance", "majority")  # they need neither model nor clip
INPUTS = (*ANSWERED_INPUTS, *GUESSES)
TASKS = ("transcript", "questions", "summary", "pattern", "labels", "voice")

# What no connector has a part in: one figure stands for every model with the same language model.
MODEL_FREE_INPUTS = ("ceiling", *GUESSES)


def check_rows(rows: Iterable[Row]) -> None:
    """Check rows as `report.json` holds them.

    Raises:
        DataError: a column is missing, a number is none or not finite, `low <= value <= high` does not hold, or two
            rows share a key; names the row by its key.
    """
    seen: set[tuple[Any, ...]] = set()
    for number, row in enumerate(rows, 1):
        missing = [column for column in KEY_COLUMNS + VALUE_COLUMNS if column not in row]
        if missing:
            raise DataError(f"report row {number} ({describe_key(row)}) lacks {', '.join(missing)}")
        _check_numbers(row, number)
        key = tuple(row[column] for column in KEY_COLUMNS)
        if key in seen:
            raise DataError(
                f"report row {number} repeats the key of an earlier one: {describe_key(row)}; "
                "one of the key columns must differ, or the scores belong into one row"
            )
        seen.add(key)


def describe_key(row: Row) -> str:
    """A row's key as `column=value ...`, for messages."""
    return " ".join(f"{column}={row[column]}" for column in KEY_COLUMNS if column in row)


def _check_numbers(row: Row, number: int) -> None:
    where = f"report row {number} ({describe_key(row)})"
    for column in VALUE_COLUMNS + ("shots",):
        value = row[column]
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise DataError(f"{where}: {column} must be a finite number, found {value!r}")
    for column, least in (("n", 1), ("shots", 0)):
        if row[column] != int(row[column]) or row[column] < least:
            raise DataError(f"{where}: {column} must be a whole number of at least {least}, found {row[column]!r}")
    if not row["low"] <= row["value"] <= row["high"]:
        raise DataError(
            f"{where}: the interval must hold the value, found low {row['low']}, value {row['value']}, "
            f"high {row['high']}"
        )
