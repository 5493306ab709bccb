"""report.json, written and read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sample_report import sample_report, sample_rows

from iclal.errors import DataError
from iclal.evaluation.report.report import read_report, write_report_json


def test_report_reads_back_as_written(tmp_path: Path) -> None:
    content = sample_report(tmp_path / "run")
    write_report_json(tmp_path / "deep" / "report.json", **content)
    report = read_report(tmp_path / "deep" / "report.json")
    assert {"rows": report.rows, "meta": report.meta, "extras": report.extras} == content
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["report.json"]


def test_report_that_json_cannot_hold_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="what JSON cannot"):
        write_report_json(tmp_path / "report.json", sample_rows(), {"clips": [np.zeros(3)]})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[]", 'list of "rows"'),
        ('{"rows": [3]}', "every row must be an object"),
        ('{"rows": [], "extras": []}', "extras must be an object, found list"),
    ],
)
def test_file_that_is_no_report_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "report.json").write_text(content)
    with pytest.raises(DataError, match=message):
        read_report(tmp_path / "report.json")


def test_missing_report_is_refused_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot open report .*none\.json"):
        read_report(tmp_path / "none.json")
