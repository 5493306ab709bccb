"""The page as text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from sample_report import CTC, LINEAR, row, sample_report, sample_rows

from iclal.evaluation.report.page import render_html, write_html
from iclal.evaluation.report.report import Report, write_report_json


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    folder = tmp_path_factory.mktemp("run")
    return sample_report(folder), folder


def test_page_of_a_whole_report_holds_every_section_and_nothing_from_outside(
    tmp_path: Path, sample: tuple[dict[str, Any], Path]
) -> None:
    report, folder = sample
    write_report_json(folder / "report.json", **report)
    write_html(folder / "report.json", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for section in (
        "outcome",
        "table",
        "errors",
        "demonstrations",
        "training",
        "voices",
        "prefix",
        "clips",
        "paper",
        "method",
    ):
        assert f'id="{section}"' in page
    assert "400 queries about 180 clips" in page and "5,800" not in page and "6,000" in page
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:|#)""", page)
    assert "http:" not in page and "https:" not in page and "@import" not in page
    assert page.count("data:audio/flac") == 2 and len(page) < 6_000_000


def test_report_with_rows_only_renders_without_the_rest() -> None:
    page = render_html(Report(sample_rows()), "nowhere")
    assert 'id="table"' in page and 'id="training"' not in page and 'id="clips"' not in page


@pytest.mark.parametrize("rows", [[], [row(LINEAR, "transcript", "wer", 1.4, high=1.9)]])
def test_nearly_empty_report_renders(rows: list[dict[str, Any]]) -> None:
    assert "How this was measured" in render_html(Report(rows), "nowhere")


def test_answers_are_counted_once_and_neither_guesses_nor_parts_nor_other_metrics_count() -> None:
    rows = [row(CTC, "transcript", metric, 0.5, n=100) for metric in ("exact", "wer", "wer-ctc", "share-empty")]
    rows += [row(CTC, "transcript", "exact", 0.5, n=100, input=input) for input in ("ceiling", "chance", "majority")]
    rows += [row(CTC, "transcript", "exact", 0.5, n=40, condition=name) for name in ("voice=a", "snr-5db/voice=a")]
    rows += [row(CTC, "transcript", "exact", 0.5, n=1_000, condition="snr-5db")]
    page = render_html(Report(rows), "nowhere")
    assert "1,200 scored answers make 10 rows" in page
    assert "the rows stand in <code>report.json</code>, the answers in <code>answers.jsonl</code>" in page


def test_the_page_says_by_which_rule_scores_and_differences_are_weighed() -> None:
    page = render_html(Report(sample_rows()), "nowhere")
    assert (
        "scores only where their 95 % intervals lie apart, paired differences only where the interval leaves out 0"
        in page
    )
    assert "do not touch" not in page


def test_the_tile_of_prefix_and_cascade_is_the_median_of_the_paired_differences() -> None:
    rows = [row(CTC, "questions", "exact", 0.9), row(CTC, "questions", "exact", 0.4, input="cascade")]
    for task, points in (("transcript", 0.5), ("questions", 0.01), ("summary", 0.02), ("labels", -0.03)):
        rows.append(row(CTC, task, "minus-cascade", points, low=points - 0.01, high=points + 0.01))
    page = render_html(Report(rows), "nowhere")
    assert '<div class="value">+1.0</div><div class="note">points, median of 3 tasks (−3.0 to +2.0)</div>' in page


def test_text_of_a_report_cannot_become_markup() -> None:
    hostile = '"><script>alert(1)</script>'
    rows = [
        row(CTC | {"model": hostile}, "questions", "exact", 0.9, condition=c)
        for c in ("clean", f"voice={hostile}", "voice=b")
    ]
    clip = {"id": hostile, "reference": hostile, "cascade": hostile, "question": hostile, "answers": {hostile: hostile}}
    points = [{"step": 0, "loss": 1.0, "parts": {hostile: 1.0, "b": 2.0}}]
    extras = {"clips": [clip], "training_curves": {hostile: points}}
    page = render_html(Report(rows, {"command": hostile}, extras), "nowhere")
    assert "<script>alert" not in page and page.count("<script>") == 1


def test_missing_recording_leaves_its_words_and_says_so(tmp_path: Path) -> None:
    clip = {"id": "a", "audio": "gone.wav", "reference": "words that were said"}
    page = render_html(Report([], {}, {"clips": [clip]}), tmp_path)
    assert "no recording at gone.wav" in page and "words that were said" in page


def test_same_report_gives_the_same_bytes(sample: tuple[dict[str, Any], Path]) -> None:
    report = Report(**sample[0])
    assert render_html(report, sample[1]) == render_html(report, sample[1])


def test_two_lanes_of_tokens_are_drawn_with_their_models_names(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.1, 16000), 16000)
    lane = [{"token": "Ġmira", "start_seconds": 0.1, "end_seconds": 0.2}]
    clip = {"id": "a", "audio": "a.wav", "nearest_tokens": {"ctc": lane, "linear": lane}}
    page = render_html(Report([], {}, {"clips": [clip]}), tmp_path)
    assert page.count('class="lane" x="0"') == 2 and page.count("·mira</text>") == 2
