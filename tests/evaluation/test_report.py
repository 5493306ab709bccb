"""report.json, its rows, the words, the terminal table and the page as text."""

from __future__ import annotations

import io
import itertools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from rich.console import Console
from sample_report import CTC, LINEAR, row, sample_report, sample_rows

from iclal.errors import DataError
from iclal.evaluation.report import (
    Report,
    check_rows,
    outcome_words,
    read_report,
    read_training_curve,
    render_html,
    summary_table,
    write_html,
    write_report_json,
)
from iclal.evaluation.report_clips import read_clips, view_clips
from iclal.evaluation.report_media import Recording, Token, embed, place_labels, spectrogram
from iclal.evaluation.report_plots import Point, loss_axis, thin
from iclal.evaluation.report_rows import Scores
from iclal.evaluation.report_sections import breakdowns, main_table, training_charts
from iclal.evaluation.report_words import signed


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    folder = tmp_path_factory.mktemp("run")
    return sample_report(folder), folder


def finding(rows: list[dict[str, Any]], title: str) -> tuple[str, str]:
    """(verdict, text) of the finding with this title."""
    found = {f.title: (f.verdict, f.text) for f in outcome_words(Report(rows))[1]}
    return found[title]


# Rows ---------------------------------------------------------------------------------------------------------------


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


def test_parity_row_is_taken_before_a_computed_one() -> None:
    rows = [row(CTC, "summary", "exact", 0.9, input=i) for i in ("audio", "ceiling")]
    scores = Scores([*rows, row(CTC, "summary", "parity", 0.97)])
    parity = scores.parity(scores.models[0], "summary", 0)
    assert parity is not None and parity.value == 0.97


# Files --------------------------------------------------------------------------------------------------------------


def test_report_reads_back_as_written(tmp_path: Path, sample: tuple[dict[str, Any], Path]) -> None:
    write_report_json(tmp_path / "deep" / "report.json", **sample[0])
    report = read_report(tmp_path / "deep" / "report.json")
    assert {"rows": report.rows, "meta": report.meta, "extras": report.extras} == sample[0]
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


# Words --------------------------------------------------------------------------------------------------------------


def test_headline_is_a_sentence_with_prefix_text_and_parity() -> None:
    rows = [
        row(CTC, "questions", "exact", v, input=i) for i, v in {"audio": 0.961, "ceiling": 0.98, "chance": 0.05}.items()
    ]
    assert outcome_words(Report(rows))[0].replace("\u00a0", " ") == (
        "With a prefix the frozen model answers 96.1 % of questions, with the transcript as text 98.0 %: parity 0.98"
    )


def test_bad_outcome_is_said_to_be_bad() -> None:
    values = {"audio": 0.2, "ceiling": 0.97, "cascade": 0.9, "shuffled-audio": 0.19, "no-audio": 0.2, "chance": 0.05}
    rows = [row(CTC, "questions", "exact", v, input=i) for i, v in values.items()]
    assert finding(rows, "What comes through: questions")[0] == "no"
    assert (
        "Much is lost on the way, by more than the intervals explain"
        in finding(rows, "What comes through: questions")[1]
    )
    assert finding(rows, "It listens")[0] == "no"
    verdict, text = finding(rows, "Against its own cascade")
    assert verdict == "no" and "worse in questions at 0" in text


def test_no_parity_is_claimed_where_the_language_model_itself_cannot() -> None:
    rows = [row(CTC, "labels", "exact", v, input=i) for i, v in {"audio": 0.5, "ceiling": 0.55, "chance": 0.5}.items()]
    verdict, text = finding(rows, "What comes through: labels")
    assert verdict == "open" and "no parity is given" in text


DEMONSTRATIONS = {"right": 0.9, "wrong": 0.3, "none": 0.05, "guess": 0.5}


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({}, "yes"),
        ({"wrong": 0.88}, "no"),
        ({"none": 0.89}, "no"),
        ({"right": 0.51, "wrong": 0.3}, "no"),  # only at chance: it learnt which words may be said, not which to say
    ],
)
def test_uses_demonstrations_is_said_only_when_all_controls_are_beaten(change: dict[str, float], verdict: str) -> None:
    value = DEMONSTRATIONS | change
    rows = [
        row(CTC, "labels", "exact", value["right"], shots=4),
        row(CTC, "labels", "exact", value["wrong"], shots=4, input="wrong-labels"),
        row(CTC, "labels", "exact", value["none"], shots=0),
        row(CTC, "labels", "exact", value["guess"], shots=4, input="majority"),
    ]
    found = finding(rows, "Uses demonstrations: labels")
    assert found[0] == verdict
    assert found[1].startswith("Yes with 4" if verdict == "yes" else "Not shown")


def test_without_the_wrong_label_control_nothing_is_said_of_demonstrations() -> None:
    rows = [row(CTC, "labels", "exact", 0.9, shots=4), row(CTC, "labels", "exact", 0.1)]
    assert not [f for f in outcome_words(Report(rows))[1] if "demonstrations" in f.title]


def test_paper_finding_is_not_claimed_when_both_transcribe_alike() -> None:
    rows = [row(m, "questions", "share-transcribing", v) for m, v in ((CTC, 0.40), (LINEAR, 0.42))]
    assert finding(rows, "The paper’s finding, and the remedy")[0] == "no"
    rows = [row(m, "questions", "share-transcribing", v) for m, v in ((CTC, 0.01), (LINEAR, 0.83))]
    assert finding(rows, "The paper’s finding, and the remedy")[0] == "yes"


@pytest.mark.parametrize(("points", "text"), [(1.04, "+1.0"), (-0.3, "−0.3"), (-0.01, "0.0")])
def test_signed_points(points: float, text: str) -> None:
    assert signed(points) == text


# Tables and charts --------------------------------------------------------------------------------------------------


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


def test_bars_are_grouped_by_what_the_condition_names_best_first() -> None:
    rows = [
        row(CTC, "transcript", "wer", value, condition=condition)
        for condition, value in {"clean": 0.05, "room": 0.1, "voice=a": 0.3, "voice=b": 0.02, "voice=c": 0.1}.items()
    ]
    scores = Scores(rows)
    found = {bars.title: [bar.label for bar in bars.bars] for bars in breakdowns(scores, scores.models[0])}
    assert found == {"Word error rate by voice": ["b", "c", "a"], "Word error rate by condition": ["clean", "room"]}


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


def test_torn_training_log_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"kind": "train", "step": 1, "loss": 2}\n{"kind": "tr')
    with pytest.raises(DataError, match=r"metrics\.jsonl:2: not JSON"):
        read_training_curve(tmp_path / "metrics.jsonl")


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


# Sound --------------------------------------------------------------------------------------------------------------


def test_spectrogram_shows_a_tone_in_its_band() -> None:
    seconds = np.arange(16000) / 16000
    shades = spectrogram(Recording(np.sin(2 * np.pi * 1000 * seconds).astype(np.float32), 16000), bands=96)
    top_mel = 2595 * np.log10(1 + 8000 / 700)
    expected = 96 - 97 * 2595 * np.log10(1 + 1000 / 700) / top_mel  # rows count from the top, bands from the bottom
    assert shades.shape == (96, 100)
    assert abs(int(shades[:, 50].argmax()) - expected) < 1.5


def test_silent_and_tiny_recordings_are_drawn_too() -> None:
    for samples in (np.zeros(8000, np.float32), np.ones(1, np.float32)):
        assert spectrogram(Recording(samples, 16000)).shape[1] >= 1


def test_recordings_are_flac_within_the_budget_then_opus_then_left_out() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    clips = [Recording(noise, 16000)] * 3
    lossless = embed(clips, 10**7)
    assert all(uri is not None and uri.startswith("data:audio/flac;base64,") for uri in lossless)
    small = embed(clips, 60_000)
    assert all(uri is not None and uri.startswith("data:audio/ogg;base64,") for uri in small)
    first = small[0]
    assert first is not None
    assert [uri is None for uri in embed(clips, len(first) * 2)] == [False, False, True]


def test_labels_of_neighbouring_tokens_never_touch() -> None:
    tokens = [Token(f" word{i}", 0.04 * i, 0.04 * i + 0.04) for i in range(30)]
    rows = place_labels(tokens, 200.0)
    for row_number in set(rows):
        places = [
            (t.start_seconds * 200, len(t.token) * 7.3) for t, r in zip(tokens, rows, strict=True) if r == row_number
        ]
        assert all(start + width < after for (start, width), (after, _) in itertools.pairwise(places))


# The page -----------------------------------------------------------------------------------------------------------


def test_page_of_a_whole_report_holds_every_section_and_nothing_from_outside(
    tmp_path: Path, sample: tuple[dict[str, Any], Path]
) -> None:
    report, folder = sample
    write_report_json(folder / "report.json", **report)
    write_html(folder / "report.json", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for section in ("outcome", "table", "demonstrations", "training", "voices", "prefix", "clips", "paper", "method"):
        assert f'id="{section}"' in page
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
        render_html(Report([], {}, {"clips": [{"id": "a", "nearest_tokens": [{"token": "x"}]}]}), "nowhere")


def test_training_point_without_a_step_is_refused() -> None:
    with pytest.raises(DataError, match="has no step"):
        render_html(Report([], {}, {"training_curves": {"ctc": [{"loss": 1.0}]}}), "nowhere")


def test_same_report_gives_the_same_bytes(sample: tuple[dict[str, Any], Path]) -> None:
    report = Report(**sample[0])
    assert render_html(report, sample[1]) == render_html(report, sample[1])


def test_two_lanes_of_tokens_are_drawn_with_their_models_names(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.1, 16000), 16000)
    lane = [{"token": "Ġmira", "start_seconds": 0.1, "end_seconds": 0.2}]
    clip = {"id": "a", "audio": "a.wav", "nearest_tokens": {"ctc": lane, "linear": lane}}
    page = render_html(Report([], {}, {"clips": [clip]}), tmp_path)
    assert page.count('class="lane" x="0"') == 2 and page.count("·mira</text>") == 2
