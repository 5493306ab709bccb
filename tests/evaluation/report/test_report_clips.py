"""Clips: which answers are right, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from iclal.errors import DataError
from iclal.evaluation.report.clips import read_clips, view_clips


def test_answer_is_marked_as_the_metric_says_before_a_comparison_of_letters(tmp_path: Path) -> None:
    clip = {
        "id": "a",
        "answer": "Two",
        "answers": {"audio": "2", "ceiling": "two.", "cascade": "ten"},
        "right": {"audio": True},
    }
    (view,) = view_clips(read_clips([clip]), tmp_path)
    assert [answer.is_right for answer in view.answers] == [True, True, False]


def test_clip_of_a_wrong_type_is_refused_with_its_field() -> None:
    with pytest.raises(DataError, match=r"clip 1 of the report: nearest_tokens.*start_seconds"):
        read_clips([{"id": "a", "nearest_tokens": [{"token": "x"}]}])
