"""SQuAD's metrics by its own rules, ROUGE by hand, and answers that are none."""

from __future__ import annotations

import sys

import pytest

from iclal.errors import DataError, MissingError
from iclal.evaluation import answers
from iclal.evaluation.answers import (
    answer_shares,
    is_repetition,
    is_transcription,
    majority_baseline,
    rouge,
    squad_exact,
    squad_f1,
    squad_normalize,
)


def test_squad_forgives_case_punctuation_and_articles() -> None:
    assert squad_normalize("The  Broncos' a-team, an end.") == "broncos ateam end"
    assert squad_exact("the Denver Broncos!", ["Carolina", "Denver broncos"]) == 1.0
    assert squad_exact("Denver", ["Denver Broncos"]) == 0.0


def test_squad_f1_is_the_best_over_the_answers() -> None:
    assert squad_f1("in the year 2015", ["2015", "year 2015"]) == pytest.approx(2 * 2 / (3 + 2))
    assert squad_f1("red red", ["red"]) == pytest.approx(2 / 3)
    assert squad_f1("the", ["a"]) == 1.0  # both empty once articles are gone
    assert squad_f1("", ["red"]) == 0.0
    assert squad_f1("red", []) == 0.0


def test_rouge_against_values_worked_out_by_hand() -> None:
    scores = rouge("the cat sat", ["nothing alike", "the cat was sitting"])
    # 2 of 3 and 2 of 4 words (sat and sitting have different stems); 1 of 2 and 1 of 3 pairs.
    assert scores == pytest.approx({"rouge1": 4 / 7, "rouge2": 2 / 5, "rougeL": 4 / 7})


def test_rouge_without_its_package_names_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rouge_score", None)
    answers._rouge_scorer.cache_clear()
    with pytest.raises(MissingError, match=r"pip install 'iclal\[eval\]'"):
        rouge("a", ["a"])
    answers._rouge_scorer.cache_clear()


@pytest.mark.parametrize(
    "text",
    ["no no no no no no no", "what is it what is it what is it what is it", "hahahahahahahahahahahaha", "so " * 40],
)
def test_looping_answers_are_seen(text: str) -> None:
    assert is_repetition(text) and is_repetition("He said: " + text + " and more")


@pytest.mark.parametrize("text", ["", "seven seven seven seven", "bye bye", "no no no he said no", "100000000"])
def test_honest_answers_do_not_loop(text: str) -> None:
    assert not is_repetition(text)


def test_transcribing_is_saying_nearly_what_was_said() -> None:
    said = "Maria put the red box on the table"
    assert is_transcription("maria put a red box on the table.", said)
    assert is_transcription("Maria put the red box on the cable", said)
    assert not is_transcription("the red box", said)
    assert not is_transcription("red", "red")


def test_shares_count_each_kind() -> None:
    shares = answer_shares(["", "no " * 9, "Maria put the red box here", "yes"])
    assert (shares.empty, shares.looping) == (0.25, 0.25)
    with pytest.raises(DataError, match="no answers"):
        answer_shares([])


def test_baselines() -> None:
    assert majority_baseline([["Red"], ["red", "crimson"], ["blue"]]) == ("red", pytest.approx(2 / 3))
    assert majority_baseline([["b"], ["a"]]) == ("a", 0.5)
    with pytest.raises(DataError, match="no reference answers"):
        majority_baseline([])
