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
