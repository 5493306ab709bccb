"""The outcome in words: nothing is claimed that the intervals do not show."""

from __future__ import annotations

from typing import Any

import pytest
from sample_report import CTC, LINEAR, row

from iclal.evaluation.report.scores import Scores
from iclal.evaluation.report.words import headline_words, outcome, signed


def finding(rows: list[dict[str, Any]], title: str, **extras: Any) -> tuple[str, str]:
    """(verdict, text) of the finding with this title."""
    found = {f.title: (f.verdict, f.text) for f in outcome(Scores(rows), extras)}
    return found[title]


DEMONSTRATIONS = {"right": 0.9, "wrong": 0.3, "none": 0.05, "guess": 0.5}


def test_headline_is_a_sentence_with_prefix_text_and_parity() -> None:
    rows = [
        row(CTC, "questions", "exact", v, input=i) for i, v in {"audio": 0.961, "ceiling": 0.98, "chance": 0.05}.items()
    ]
    assert headline_words(Scores(rows)).replace("\u00a0", " ") == (
        "With a prefix the frozen model answers 96.1 % of questions, with the transcript as text 98.0 %: parity 0.98"
    )


def test_bad_outcome_is_said_to_be_bad() -> None:
    values = {"audio": 0.2, "ceiling": 0.97, "cascade": 0.9, "shuffled-audio": 0.19, "no-audio": 0.2, "chance": 0.05}
    rows = [row(CTC, "questions", "exact", v, input=i) for i, v in values.items()]
    rows.append(row(CTC, "questions", "minus-cascade", -0.7, low=-0.75, high=-0.65))
    assert finding(rows, "What comes through: questions")[0] == "no"
    assert (
        "Much is lost on the way, by more than the intervals explain"
        in finding(rows, "What comes through: questions")[1]
    )
    assert finding(rows, "It listens")[0] == "no"
    verdict, text = finding(rows, "Against its own cascade")
    assert verdict == "no" and "worse in questions." in text


def test_no_parity_is_claimed_where_the_language_model_itself_cannot() -> None:
    rows = [row(CTC, "labels", "exact", v, input=i) for i, v in {"audio": 0.5, "ceiling": 0.55, "chance": 0.5}.items()]
    verdict, text = finding(rows, "What comes through: labels")
    assert verdict == "open" and "no parity is given" in text


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
    assert not [f for f in outcome(Scores(rows)) if "demonstrations" in f.title]


def test_paper_finding_is_not_claimed_when_both_transcribe_alike() -> None:
    rows = [row(m, "questions", "share-transcribing", v) for m, v in ((CTC, 0.40), (LINEAR, 0.42))]
    assert finding(rows, "The paper’s finding, and the remedy")[0] == "no"
    rows = [row(m, "questions", "share-transcribing", v) for m, v in ((CTC, 0.01), (LINEAR, 0.83))]
    assert finding(rows, "The paper’s finding, and the remedy")[0] == "yes"


@pytest.mark.parametrize(
    ("condition", "title"),
    [("clean", "Against its own cascade"), ("snr-5db", "Against its own cascade: snr-5db")],
)
@pytest.mark.parametrize(("low", "high", "verdict"), [(0.01, 0.09, "yes"), (-0.01, 0.09, "open"), (-0.2, -0.1, "no")])
def test_prefix_against_cascade_is_told_by_its_paired_interval_under_every_condition(
    condition: str, title: str, low: float, high: float, verdict: str
) -> None:
    there = {"condition": condition, "low": low, "high": high}
    middle = (low + high) / 2
    # By the scores alone, whose intervals overlap, no difference would be shown.
    rows = [row(CTC, "questions", "exact", value, input=i) for i, value in {"audio": 0.9, "cascade": 0.89}.items()]
    rows += [row(CTC, "questions", "minus-cascade", middle, **there)]
    rows += [row(CTC, "transcript", "minus-cascade", 0.5, **there | {"low": 0.5, "high": 0.5})]
    found, text = finding(rows, title)
    assert found == verdict and f"questions {signed(100 * middle)} (" in text and "+50.0" not in text


@pytest.mark.parametrize(
    ("blind", "verdict", "words"),
    [(0.32, "yes", "at most +2.0"), (0.2, "yes", "at most −10.0"), (0.34, "open", "none of it"), (0.6, "no", "+30.0")],
)
def test_who_does_not_hear_the_clip_is_held_against_the_most_frequent_answer(
    blind: float, verdict: str, words: str
) -> None:
    values = {"audio": 0.9, "majority": 0.3, "no-audio": blind}
    rows = [row(CTC, "labels", "exact", value, input=i, shots=4) for i, value in values.items()]
    found, text = finding(rows, "Without the clip it only guesses")
    assert found == verdict and words in text


def test_an_ablation_that_changes_no_score_is_said_to_be_equal() -> None:
    altered = CTC | {"model": "ctc-no-residual"}
    whole = [row(CTC, "questions", "exact", 0.9)]
    same = row(altered, "questions", "minus-whole", 0.0, low=0.0, high=0.0)
    title = "What a part is worth: ctc-no-residual"
    assert finding([*whole, same], title) == ("fact", "Equal to the whole model: not one score of questions differs.")
    worse = row(altered, "questions", "minus-whole", -0.1, low=-0.15, high=-0.05)
    errors = row(altered, "transcript", "wer-minus-whole", 0.02, low=-0.01, high=0.05)
    exact = row(altered, "transcript", "minus-whole", 0.0, low=-0.01, high=0.01)
    text = finding([*whole, worse, errors, exact], title)[1]
    assert "questions −10.0 (−15.0 to −5.0)" in text and "Word errors" in text and "transcript +2.0" in text
    assert "worse in questions; no difference shown in transcript" in text


def test_how_cells_were_asked_is_told_where_it_is_not_the_usual() -> None:
    rows = [row(CTC, "labels", "exact", 0.9, shots=2)]
    cell = {"model": "ctc", "condition": "own", "seed": 0, "task": "labels", "shots": 2, "queries": 208, "clips": 208}
    usual = cell | {"too_long": {}, "left_out": []}
    titles = {"Clips asked about again", "Transcripts without end", "Controls that could not be made"}
    assert not titles & {f.title for f in outcome(Scores(rows), {"cells": [usual]})}
    odd = cell | {"clips": 6, "too_long": {"cascade": 3}, "left_out": ["wrong-labels"]}
    cells = [odd, odd | {"model": "linear", "task": "voice"}]
    assert finding(rows, "Clips asked about again", cells=cells)[1].startswith(
        "More queries than clips that fit: labels at 2, own (208 queries about 6 clips)."
    )
    assert "labels at 2, own, cascade (3 of 208)." in finding(rows, "Transcripts without end", cells=cells)[1]
    assert "labels at 2, own, wrong-labels." in finding(rows, "Controls that could not be made", cells=cells)[1]


@pytest.mark.parametrize(("points", "text"), [(1.04, "+1.0"), (-0.3, "−0.3"), (-0.01, "0.0")])
def test_signed_points(points: float, text: str) -> None:
    assert signed(points) == text
