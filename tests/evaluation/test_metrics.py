"""Error counts against jiwer and by hand; intervals against theory, themselves and degenerate data."""

from __future__ import annotations

import jiwer
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iclal.errors import DataError
from iclal.evaluation.metrics import (
    CharacterErrors,
    WordErrors,
    aligned_words,
    bootstrap_interval,
    character_errors,
    exact_match,
    total_word_errors,
    word_errors,
    word_errors_each,
)

texts = st.lists(st.sampled_from("a b c d".split()), max_size=8).map(" ".join)


@settings(max_examples=60, deadline=None)
@given(pairs=st.lists(st.tuples(texts, texts), min_size=1, max_size=6))
def test_counts_and_rates_are_jiwers_own(pairs: list[tuple[str, str]]) -> None:
    references, hypotheses = map(list, zip(*pairs, strict=True))
    ours, theirs = total_word_errors(references, hypotheses), jiwer.process_words(references, hypotheses)
    assert (ours.hits, ours.substitutions) == (theirs.hits, theirs.substitutions)
    assert (ours.deletions, ours.insertions) == (theirs.deletions, theirs.insertions)
    assert ours.wer == pytest.approx(theirs.wer)
    characters = sum(map(character_errors, references, hypotheses), CharacterErrors())
    assert characters.cer == pytest.approx(jiwer.cer(references, hypotheses))


def test_an_empty_reference_counts_its_insertions_and_keeps_its_place() -> None:
    each = word_errors_each(["", "a b", ""], ["x y", "a b", ""])
    assert each == [WordErrors(insertions=2), WordErrors(hits=2), WordErrors()]
    total = sum(each, WordErrors())
    assert total.wer == 1.0 and total.num_references == 2


def test_no_reference_word_at_all_gives_the_number_of_insertions() -> None:
    assert word_errors("", "x y z").wer == jiwer.wer("", "x y z") == 3
    assert word_errors("", "").wer == 0
    assert character_errors("", "ab").cer == 2
    assert word_errors_each([], []) == []


def test_alignment_shows_what_is_counted() -> None:
    columns = aligned_words("the cat sat down", "a cat sat on down")
    assert [column.mark for column in columns] == ["S", "=", "=", "I", "="]
    assert [column.hypothesis for column in columns] == ["a", "cat", "sat", "on", "down"]
    assert [column.mark for column in aligned_words("", "x y")] == ["I", "I"]


@pytest.mark.parametrize("space", ["\t", "\u00a0", "\u2009", "\n", " \t "])
def test_words_are_parted_at_any_white_space(space: str) -> None:
    counts = WordErrors(hits=2, substitutions=1)
    assert word_errors(f"a{space}b c{space}", f"a b{space}d") == counts
    assert [column.mark for column in aligned_words(f"a{space}b c{space}", f"a b{space}d")] == ["=", "=", "S"]


def test_exact_match_forgives_case_and_spaces_only() -> None:
    assert exact_match(" Red  apple", "red apple")
    assert exact_match("blue", ["red", "Blue"])
    assert not exact_match("red apple.", "red apple")
    assert not exact_match("red", [])


def test_interval_of_a_mean_is_the_normal_one_for_many_values() -> None:
    values = np.random.default_rng(1).normal(5.0, 2.0, 1000)
    low, high = bootstrap_interval(values)
    half = 1.96 * values.std() / np.sqrt(1000)
    assert low == pytest.approx(values.mean() - half, abs=0.02)
    assert high == pytest.approx(values.mean() + half, abs=0.02)


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(2)
    inside = 0
    for trial in range(200):
        low, high = bootstrap_interval(generator.random(100) < 0.7, samples=300, seed=trial)
        inside += low <= 0.7 <= high
    assert 180 <= inside <= 199


def test_interval_of_a_ratio_weighs_long_utterances_more() -> None:
    errors, words = [1, 0, 50], [10, 10, 100]
    low, high = bootstrap_interval(errors, words)
    assert low == 0.0 and high == pytest.approx(0.5)
    assert low <= 51 / 120 <= high


def test_blocks_are_drawn_whole_so_that_copies_add_no_certainty() -> None:
    values = np.random.default_rng(3).random(40)
    repeated = np.repeat(values, 16)
    blocks = np.repeat(np.arange(40), 16).tolist()
    assert bootstrap_interval(repeated, blocks=blocks) == pytest.approx(bootstrap_interval(values))
    low, high = bootstrap_interval(repeated)
    wide_low, wide_high = bootstrap_interval(values)
    assert high - low < (wide_high - wide_low) / 3


def test_interval_depends_on_the_seed_alone_and_not_on_names_or_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    values, blocks = np.random.default_rng(5).random(80), [index // 4 for index in range(80)]
    first = bootstrap_interval(values, blocks=blocks, seed=7)
    assert bootstrap_interval(values, blocks=[f"block {name}" for name in blocks], seed=7) == first
    assert bootstrap_interval(values, blocks=blocks, seed=8) != first
    monkeypatch.setattr("iclal.evaluation.metrics._DRAWS_AT_ONCE", 70)
    assert bootstrap_interval(values, blocks=blocks, seed=7) == first


@pytest.mark.parametrize(
    ("values", "denominators", "expected"),
    [([1.0] * 5, None, (1, 1)), ([0.25], None, (0.25, 0.25)), ([0, 0], [0, 0], (0, 0)), ([2, 2], [0, 0], (4, 4))],
)
def test_degenerate_data_gives_a_point(values: list[float], denominators: list[float] | None, expected: tuple) -> None:
    assert bootstrap_interval(values, denominators) == expected


def test_intervals_refuse_what_they_cannot_use() -> None:
    with pytest.raises(DataError, match="found none"):
        bootstrap_interval([])
    with pytest.raises(DataError, match="value 1 is nan"):
        bootstrap_interval([1.0, float("nan")])
    with pytest.raises(DataError, match="3 values but 2 blocks"):
        bootstrap_interval([1, 2, 3], blocks=[0, 1])
