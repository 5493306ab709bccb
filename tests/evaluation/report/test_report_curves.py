"""Training curves, from a run's log to charts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from iclal.errors import DataError
from iclal.evaluation.report.curves import charts_by_model, read_training_curve, training_charts


def test_training_log_is_drawn_as_it_is(tmp_path: Path) -> None:
    lines = [
        {"kind": "validation", "step": 0, "wer": 1.0, "clock": {"elapsed_seconds": 3}},
        {"kind": "listening", "step": 0, "right": 4.0, "other": 4.0, "silence": 4.1},
        {"kind": "train", "step": 50, "loss": 3.0, "parts": {"ctc": 2.0, "kl": 1.0}, "learning_rate": {"ears": 0.1}},
        {"kind": "skipped", "step": 51, "why": "loss", "ids": ["a"]},
        {"kind": "validation", "step": 100, "wer": 0.3},
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    charts = {chart.title: chart for chart in training_charts(read_training_curve(tmp_path / "metrics.jsonl"))}
    assert [name for name, _ in charts["Training loss"].legend] == ["all parts", "ctc", "kl"]
    assert [name for name, _ in charts["Listening losses"].legend] == ["right clip", "another’s clip", "silence"]
    assert "step 100\nword error rate: 30.0\u00a0%" in charts["Validation, generated freely"].svg


def test_a_last_line_that_was_not_written_whole_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"kind": "train", "step": 1, "loss": 2}\n{"kind": "tr')
    assert read_training_curve(tmp_path / "metrics.jsonl") == [{"kind": "train", "step": 1, "loss": 2}]


def test_a_damaged_training_log_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"kind": "train", "step": 1, "loss": 2}\n{"kind": "tr\n')
    with pytest.raises(DataError, match=r"metrics\.jsonl:2: not JSON"):
        read_training_curve(tmp_path / "metrics.jsonl")


def test_training_point_without_a_step_is_refused() -> None:
    with pytest.raises(DataError, match="has no step"):
        charts_by_model({"training_curves": {"ctc": [{"loss": 1.0}]}}, "ctc")
