"""Tables of the page and of the terminal."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console
from sample_report import CTC, row, sample_rows

from iclal.errors import DataError
from iclal.evaluation.report.scores import Scores
from iclal.evaluation.report.tables import main_table, share_lines, summary_table, word_error_lines


def test_terminal_table_of_the_full_grid_fits_80_columns_uncut() -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(summary_table(sample_rows()))
    text = console.export_text()
    assert "…" not in text
    assert re.search(r"word errors +0 +3\.4 +0\.4", text)
    assert re.search(r"questions +0 .* 0\.99", text)


def test_main_table_has_no_row_for_shots_that_only_a_guess_has() -> None:
    rows = [row(CTC, "labels", "exact", 0.9, shots=2), row(CTC, "labels", "exact", 0.5, input="chance")]
    scores = Scores(rows)
    table = main_table(scores, scores.models[0])
    assert [(line.task, line.shots) for line in table.rows] == [("labels", 2)]
    assert table.inputs == ["audio", "chance"]
    assert table.rows[0].cells[1] is not None  # chance stands beside it all the same


def test_word_errors_stand_with_their_counts_and_shares_by_task() -> None:
    counts = {"hits": 90, "substitutions": 6, "deletions": 4, "insertions": 2}
    value = {"model": "ctc", "condition": "clean", "shots": 0, "input": "audio", **counts}
    (line, _) = word_error_lines([value, value | {"input": "ceiling"}, value | {"input": "no-audio"}])
    assert (line.words, line.wer) == (100, 0.12)
    assert (line.substitutions, line.deletions, line.insertions) == (6, 4, 2)
    del value["hits"]
    with pytest.raises(DataError, match="hits"):
        word_error_lines([value])
    scores = Scores(sample_rows())
    model = scores.headline()
    assert model is not None
    shares = {task: cells for task, _, cells in share_lines(scores, model)}
    assert shares["transcript"][2] is None and shares["questions"][2] is not None
    assert shares["questions"][2].value == 0.004
