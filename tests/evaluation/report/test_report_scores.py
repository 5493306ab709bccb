"""Scores found among rows, pooled over seeds, and parity."""

from __future__ import annotations

import pytest
from sample_report import CTC, LINEAR, row

from iclal.evaluation.report.scores import Scores


def test_seeds_are_pooled_by_n_with_the_widest_interval() -> None:
    rows = [
        row(CTC, "labels", "exact", 0.9, seed=0, n=100, low=0.85, high=0.93),
        row(CTC, "labels", "exact", 0.6, seed=1, n=300, low=0.5, high=0.7),
    ]
    scores = Scores(rows)
    score = scores.find(scores.models[0], "labels", "exact")
    assert score is not None
    assert (score.value, score.low, score.high, score.n, score.seeds) == (pytest.approx(0.675), 0.5, 0.93, 400, 2)


def test_ceiling_is_taken_from_another_model_with_the_same_language_model_only() -> None:
    other = LINEAR | {"model": "elsewhere", "language_model": "another"}
    rows = [row(CTC, "summary", "exact", 0.9), row(LINEAR, "summary", "exact", 0.95, input="ceiling")]
    scores = Scores([*rows, row(other, "summary", "exact", 0.5)])
    found = {m.model: scores.find(m, "summary", "exact", "ceiling") for m in scores.models}
    assert found["ctc"] is not None and found["ctc"] == found["linear"]
    assert found["elsewhere"] is None


@pytest.mark.parametrize(("ceiling", "chance", "given"), [(0.98, 0.1, True), (0.55, 0.5, False), (0.15, 0.0, False)])
def test_parity_is_given_only_where_the_ceiling_stands_above_chance(ceiling: float, chance: float, given: bool) -> None:
    rows = [
        row(CTC, "labels", "exact", value, input=i)
        for i, value in {"audio": 0.5, "ceiling": ceiling, "chance": chance}.items()
    ]
    scores = Scores(rows)
    parity = scores.parity(scores.models[0], "labels", 0)
    assert (parity is not None) == given
    if parity:
        assert parity.value == pytest.approx(0.5 / ceiling)


def test_a_parity_of_one_seed_is_not_given_where_the_ceiling_of_all_does_not_stand() -> None:
    values = {"audio": (0.8, 0.1), "ceiling": (0.9, 0.1), "chance": (0.5, 0.5)}
    rows = [
        row(CTC, "labels", "exact", value, input=i) | {"seed": seed}
        for i, both in values.items()
        for seed, value in enumerate(both)
    ]
    scores = Scores([*rows, row(CTC, "labels", "parity", 0.9)])
    assert not scores.ceiling_stands(scores.models[0], "labels", 0)
    assert scores.parity(scores.models[0], "labels", 0) is None


def test_parity_row_is_taken_before_a_computed_one() -> None:
    rows = [row(CTC, "summary", "exact", 0.9, input=i) for i in ("audio", "ceiling")]
    scores = Scores([*rows, row(CTC, "summary", "parity", 0.97)])
    parity = scores.parity(scores.models[0], "summary", 0)
    assert parity is not None and parity.value == 0.97
