"""Rows: what is refused, and in which words."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sample_report import CTC, row, sample_rows

from iclal.errors import DataError
from iclal.evaluation.report.rows import check_rows


def test_rows_of_a_whole_grid_pass_the_check() -> None:
    check_rows(sample_rows())


def test_repeated_key_is_refused_and_named() -> None:
    twice = [row(CTC, "questions", "exact", 0.9, seed=3), row(CTC, "questions", "exact", 0.8, seed=3)]
    with pytest.raises(DataError, match=r"row 2 repeats .*model=ctc .*task=questions .*seed=3 metric=exact"):
        check_rows(twice)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"low": 0.95}, "low 0.95, value 0.9"),
        ({"high": 0.1}, "high 0.1"),
        ({"value": float("nan")}, "value must be a finite number, found nan"),
        ({"n": 0}, "n must be a whole number of at least 1, found 0"),
        ({"shots": -1}, "shots must be a whole number of at least 0, found -1"),
        ({"shots": "two"}, "shots must be a finite number, found 'two'"),
    ],
)
def test_row_with_an_impossible_number_is_refused_with_the_value(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        check_rows([row(CTC, "questions", "exact", 0.9) | change])


def test_row_without_a_column_is_refused_with_its_name() -> None:
    lacking = row(CTC, "questions", "exact", 0.9)
    del lacking["seed"], lacking["n"]
    with pytest.raises(DataError, match="lacks seed, n"):
        check_rows([lacking])
