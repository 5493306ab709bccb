"""Tables of the page and of the terminal."""

from __future__ import annotations

import io
import re

from rich.console import Console
from sample_report import CTC, row, sample_rows

from iclal.evaluation.report.scores import Scores
from iclal.evaluation.report.tables import main_table, summary_table


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
