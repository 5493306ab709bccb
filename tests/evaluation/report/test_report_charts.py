"""Bars over conditions, and the axes and points of line charts."""

from __future__ import annotations

import numpy as np
import pytest
from sample_report import CTC, row

from iclal.evaluation.report.charts import breakdowns
from iclal.evaluation.report.line_chart import Point, loss_axis, thin
from iclal.evaluation.report.scores import Scores


def test_bars_are_grouped_by_what_the_condition_names_best_first() -> None:
    rows = [
        row(CTC, "transcript", "wer", value, condition=condition)
        for condition, value in {"clean": 0.05, "room": 0.1, "voice=a": 0.3, "voice=b": 0.02, "voice=c": 0.1}.items()
    ]
    scores = Scores(rows)
    found = {bars.title: [bar.label for bar in bars.bars] for bars in breakdowns(scores, scores.models[0])}
    assert found == {"Word error rate by voice": ["b", "c", "a"], "Word error rate by condition": ["clean", "room"]}


def test_thinned_curve_keeps_its_first_point_and_its_mean() -> None:
    points = [Point(step, float(step % 7)) for step in range(2001)]
    thinned = thin(points)
    assert thinned[0] == points[0] and len(thinned) <= 161
    assert np.mean([p.value for p in thinned[1:]]) == pytest.approx(np.mean([p.value for p in points]), abs=0.05)


@pytest.mark.parametrize(("values", "is_log"), [([4.0, 3.0, 0.5], False), ([9.0, 0.08], True), ([0.0, 0.0], False)])
def test_loss_axis_holds_all_values_and_is_logarithmic_for_wide_ranges(values: list[float], is_log: bool) -> None:
    axis = loss_axis(values)
    assert axis.is_log == is_log
    assert axis.low <= min(values) and max(values) <= axis.high
