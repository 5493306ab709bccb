"""Outcomes to rows: worked examples."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest

from iclal.data.manifest import Question, Utterance
from iclal.data.prompt import Item
from iclal.errors import DataError
from iclal.evaluation.metrics import bootstrap_interval
from iclal.evaluation.outcomes import TOO_LONG, Asked, Outcome, describe_utterance, kind_of, references_of
from iclal.evaluation.report.rows import KEY_COLUMNS, VALUE_COLUMNS, check_rows
from iclal.evaluation.report.scores import CEILING_ABOVE_CHANCE
from iclal.evaluation.rows import (
    FEW_BLOCKS,
    MOST_VALUES,
    Columns,
    chance_of,
    check_controls,
    interval_of,
    majority_of,
    make_rows,
    minus_whole,
)

COLUMNS = Columns("ctc", "alignment", "ctc", "tiny", seed=3, condition="clean")


def asked(number: int, right: str = "yes", task: str = "questions", shots: int = 0, **changes: Any) -> Asked:
    values: dict[str, Any] = {
        "utterance": Utterance(f"u{number}", text="mira lives in paris and tolo in rome"),
        "references": (right,),
        "question": "is it",
        "instruction": "answer",
        "candidates": None,
        "grouped": False,
        "conditions": (),
        "demonstration_ids": (),
    }
    return Asked(task=task, shots=shots, number=number, **({"block": number // 4} | values | changes))


def outcome(query: Asked, answer: str, input: str = "audio") -> Outcome:
    return Outcome(query, input, "", answer, (), "end")


def cell(right: Sequence[bool], input: str = "audio", **changes: Any) -> list[Outcome]:
    return [outcome(asked(n, **changes), "yes" if good else "no", input) for n, good in enumerate(right)]


def find(rows: Sequence[dict[str, Any]], metric: str, input: str = "audio", **columns: Any) -> list[dict[str, Any]]:
    wanted = {"condition": "clean", "metric": metric, "input": input} | columns
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def test_exact_is_the_share_of_right_answers_with_an_interval_over_blocks() -> None:
    right = [True] * 4 + [False] * 4 + [True, False] * 2
    rows = make_rows(cell(right), COLUMNS)
    check_rows(rows)
    (row,) = find(rows, "exact")
    assert set(row) == {*KEY_COLUMNS, *VALUE_COLUMNS}
    assert (row["value"], row["n"], row["seed"], row["model"]) == (0.5, 12, 3, "ctc")
    by_block = bootstrap_interval([float(good) for good in right], blocks=[n // 4 for n in range(12)])
    alone = bootstrap_interval([float(good) for good in right])
    assert (row["low"], row["high"]) == by_block != alone
    assert by_block.high - by_block.low > alone.high - alone.low  # blocks that agree within say less than they seem


def test_clips_asked_about_again_do_not_narrow_the_interval() -> None:
    """Four clips, two always right, each asked about in 26 blocks: the blocks are alike, and say nothing of others."""
    several = [asked(n, utterance=Utterance(f"u{n % 4}")) for n in range(104)]
    right = [float(n % 4 < 2) for n in range(104)]
    by_block = bootstrap_interval(right, blocks=[query.block for query in several])
    assert by_block == (0.5, 0.5)
    by_clip = bootstrap_interval(right, blocks=[query.utterance.id for query in several])
    assert interval_of(right, several) == by_clip == (0.0, 1.0)


def test_few_blocks_are_widened_by_their_clips_and_many_are_left_as_they_are() -> None:
    right = [float(n % 4 < 2) for n in range(4 * FEW_BLOCKS)]
    few = [asked(n) for n in range(4 * (FEW_BLOCKS - 1))]
    assert interval_of(right[: len(few)], few) == bootstrap_interval(right[: len(few)])
    many = [asked(n) for n in range(4 * FEW_BLOCKS)]
    assert interval_of(right, many) == bootstrap_interval(right, blocks=[query.block for query in many])


@pytest.mark.parametrize(
    ("reference", "said"),
    [("one two", "one two."), ("One two.", "one two"), ("well-known", "well known")],
)
def test_an_exact_transcript_is_one_without_word_errors(reference: str, said: str) -> None:
    rows = make_rows([outcome(asked(n, reference, "transcript"), said) for n in range(2)], COLUMNS)
    assert find(rows, "wer")[0]["value"] == 0 and find(rows, "exact")[0]["value"] == 1
    assert not outcome(asked(0, reference, "questions"), said).is_right  # punctuation counts in answers
    assert not outcome(asked(0, reference, "transcript"), said + " three").is_right


def test_a_prompt_that_did_not_fit_has_no_right_answer() -> None:
    for task in ("transcript", "questions"):
        query = asked(0, "", task)
        assert outcome(query, "").is_right
        assert not Outcome(query, "cascade", "", "", (), TOO_LONG).is_right


def test_any_of_a_questions_answers_counts() -> None:
    utterance = Utterance("u", questions=(Question("u-who-0", "who is it", ("mira", "mira tolo")),))
    references = references_of(Item(utterance, "mira", "who is it"))
    assert references == ("mira", "mira tolo")
    assert outcome(asked(0, references=references), "Mira  Tolo").is_right
    assert references_of(Item(utterance, "paris", "where is it")) == ("paris",)


def test_the_kind_stands_in_the_questions_id() -> None:
    utterance = Utterance("test-1-2")
    assert kind_of(Question("test-1-2-who-0", "", ()), utterance) == "who"
    assert kind_of(Question("q17", "", ()), utterance) is None


def test_a_voice_is_told_by_variant_and_accent_or_by_the_speaker() -> None:
    made = Utterance("a", speaker="en-gb+f4", extra={"voice": {"accent": "en-gb", "variant": "f4", "pitch": 50}})
    assert describe_utterance(made) == ["voice=f4", "accent=en-gb"]
    noted = Utterance("b", speaker="1089", facts={"surroundings": "noisy", "who": "mira"})
    assert describe_utterance(noted) == ["voice=1089", "surroundings=noisy"]


def test_word_errors_are_summed_under_the_normaliser_and_by_condition() -> None:
    said = [("Mira lives here.", "mira lives here"), ("tolo", "tolo too"), ("go home now", "")]
    outcomes = [
        outcome(asked(n, right, "transcript", conditions=(f"voice={'ab'[n % 2]}",)), answer)
        for n, (right, answer) in enumerate(said)
    ]
    rows = make_rows(outcomes, COLUMNS)
    check_rows(rows)
    (row,) = find(rows, "wer")
    assert row["value"] == pytest.approx(4 / 7) and row["n"] == 3
    (first,), (second,) = find(rows, "wer", condition="voice=a"), find(rows, "wer", condition="voice=b")
    assert (first["value"], first["n"]) == (0.5, 2)
    assert (second["value"], second["n"]) == (1.0, 1)
    assert not find(rows, "share-transcribing")  # where it is the task it is no fault


def test_a_break_down_into_too_many_values_makes_no_rows() -> None:
    outcomes = [outcome(asked(n, conditions=(f"voice={n}", f"kind={n % 2}")), "yes") for n in range(MOST_VALUES + 1)]
    found = {row["condition"] for row in make_rows(outcomes, COLUMNS)}
    assert found == {"clean", "kind=0", "kind=1"}


def test_shares_of_answers_that_are_none() -> None:
    text = "mira lives in paris and tolo in rome"
    answers = ["", "no no no no no no no no", text, "yes"]
    rows = make_rows([outcome(asked(n), answer) for n, answer in enumerate(answers)], COLUMNS)
    for metric in ("share-empty", "share-looping", "share-transcribing"):
        assert find(rows, metric)[0]["value"] == 0.25, metric


def test_ears_that_transcribe_badly_transcribe_still() -> None:
    """An answer is merely a transcript where it is the model's own of the clip, however far from what was said."""
    own = "meera leaves in perris and told us in room"
    said = [own, "meera leaves in perris and told us in rooms", "mira lives in paris and tolo in rome", "in perris"]
    outcomes = [Outcome(asked(n), "audio", "", text, (), "end", own) for n, text in enumerate(said)]
    assert find(make_rows(outcomes, COLUMNS), "share-transcribing")[0]["value"] == 0.75
    unknown = [Outcome(asked(n), "audio", "", text, (), "end") for n, text in enumerate(said)]
    assert find(make_rows(unknown, COLUMNS), "share-transcribing")[0]["value"] == 0.25
    right = [Outcome(asked(0, own), "audio", "", own, (), "end", own)]
    assert find(make_rows(right, COLUMNS), "share-transcribing")[0]["value"] == 0


def test_word_errors_of_the_ears_alone_stand_beside_those_of_the_transcript() -> None:
    said = [("mira lives in rome", "mira lived in rome"), ("tolo lives", "tolo lives")]
    outcomes = [
        Outcome(asked(n, "mira lives in rome" if n == 0 else "tolo lives", "transcript"), "audio", "", *texts)
        for n, texts in enumerate((answer, (), "end", None, ctc) for answer, ctc in said)
    ]
    rows = make_rows(outcomes, COLUMNS)
    assert find(rows, "wer")[0]["value"] == 0
    assert (found := find(rows, "wer-ctc")[0])["value"] == pytest.approx(1 / 6) and found["n"] == 2
    assert not find(make_rows([dataclasses.replace(o, ctc_text=None) for o in outcomes], COLUMNS), "wer-ctc")


def test_chance_is_one_of_the_candidates_or_another_querys_answer() -> None:
    closed = [asked(n, "dax", candidates=("dax", "wug", "toma")) for n in range(2)]
    assert chance_of(closed) == [1 / 3, 1 / 3]
    opened = [asked(0, "yes"), asked(1, "Yes"), asked(2, "no"), asked(3, "mira")]
    assert chance_of(opened) == [1 / 3, 1 / 3, 0, 0]
    assert chance_of([asked(0)]) == [0.0]


def test_the_majority_is_of_all_open_answers_of_each_closed_set_and_any_of_bound_words() -> None:
    assert majority_of([asked(0, "yes"), asked(1, "yes"), asked(2, "no")]) == [1, 1, 0]
    men, pace = ("man", "woman"), ("slow", "fast")
    mixed = [asked(0, "man", candidates=men), asked(1, "man", candidates=men), asked(2, "fast", candidates=pace)]
    assert majority_of(mixed) == [1, 1, 1]
    bound = [asked(n, "wug", candidates=("dax", "wug"), grouped=True) for n in range(3)]
    assert majority_of(bound) == [0, 0, 0]  # not 100 %: nobody knows beforehand which of new words it will be


def test_parity_is_given_only_where_the_ceiling_stands_above_chance() -> None:
    queries = [asked(n, right) for n, right in enumerate(["yes", "no"] * 8)]
    heard, read = [True, True, True, False] * 4, [True] * 16

    def said(input: str, right: Sequence[bool]) -> list[Outcome]:
        pairs = zip(queries, right, strict=True)
        return [outcome(query, query.references[0] if good else "never", input) for query, good in pairs]

    rows = make_rows([*said("audio", heard), *said("ceiling", read)], COLUMNS)
    (parity,) = find(rows, "parity")
    assert parity["value"] == pytest.approx(12 / 16) and parity["n"] == 16
    (chance,) = find(rows, "exact", "chance")
    assert chance["value"] == pytest.approx(7 / 15)

    rows = make_rows([*said("audio", heard), *said("ceiling", [n % 8 < 4 for n in range(16)])], COLUMNS)
    assert find(rows, "exact", "ceiling")[0]["low"] <= chance["value"] + CEILING_ABOVE_CHANCE
    assert not find(rows, "parity")


def test_paritys_interval_resamples_audio_and_ceiling_together() -> None:
    right = [True, True, True, False] * 8
    several = [asked(n, str(n)) for n in range(32)]
    outcomes = [
        outcome(q, q.references[0] if good else "", input)
        for input in ("audio", "ceiling")
        for q, good in zip(several, right, strict=True)
    ]
    (parity,) = find(make_rows(outcomes, COLUMNS), "parity")
    assert (parity["value"], parity["low"], parity["high"]) == (1, 1, 1)  # the same answers: no doubt about the ratio


def test_prefix_minus_cascade_is_paired_and_pooled_over_shots() -> None:
    outcomes = [
        *cell([True] * 8, shots=0),
        *cell([True] * 6 + [False] * 2, "cascade", shots=0),
        *cell([True] * 8, shots=2),
        *cell([True] * 8, "cascade", shots=2),
        *cell([False] * 8, "audio", shots=4),  # no cascade there: not counted
    ]
    rows = make_rows(outcomes, COLUMNS)
    check_rows(rows)
    (row,) = find(rows, "minus-cascade")
    assert (row["value"], row["n"], row["shots"]) == (0.125, 16, 0)
    assert 0 <= row["low"] < row["value"] < row["high"]


def few_shot_rows(*inputs: str, shots: Sequence[int] = (0, 2), columns: Columns = COLUMNS) -> list[dict[str, Any]]:
    outcomes = [o for k in shots for input in inputs for o in cell([True] * 4, input, shots=k)]
    return make_rows(outcomes, columns)


ALL = ("audio", "ceiling", "cascade", "shuffled-audio", "no-audio", "wrong-labels", "text-demos")


@pytest.mark.parametrize("missing", ALL[1:])
def test_a_few_shot_score_without_one_of_its_controls_is_refused(missing: str) -> None:
    check_controls(few_shot_rows(*ALL))
    rows = few_shot_rows(*(input for input in ALL if input != missing))
    with pytest.raises(DataError, match=f"2-shot score of ctc on questions has no control: it lacks {missing}"):
        check_controls(rows)
    check_controls(rows, left_out=[missing])  # could not be made, and the report says so
    check_controls(rows, left_out_cells={("questions", 2, missing)})
    with pytest.raises(DataError, match=f"it lacks {missing}"):
        check_controls(rows, left_out_cells={("questions", 4, missing), ("labels", 2, missing)})


def test_a_few_shot_score_without_zero_shot_is_refused_and_a_zero_shot_one_needs_no_controls() -> None:
    with pytest.raises(DataError, match="lacks no demonstrations"):
        check_controls(few_shot_rows(*ALL, shots=(2,)))
    check_controls(few_shot_rows("audio", shots=(0,)))


def test_an_ablation_may_have_the_controls_of_its_model_and_no_others() -> None:
    whole = few_shot_rows(*ALL)
    named = Columns("ctc-hard-rows", "alignment", "ctc", "tiny", 3, "clean", ablation_of="ctc")
    rows = few_shot_rows("audio", "ceiling", columns=named)
    check_controls(rows, whole, ablation_of=named.ablation_of)
    with pytest.raises(DataError, match="2-shot score of ctc-hard-rows"):
        check_controls(rows, whole)  # a model of its own, whatever its name begins with
    with pytest.raises(DataError, match="2-shot score of ctc-hard-rows"):
        check_controls(rows, whole, ablation_of="linear")


def test_an_ablation_is_compared_with_its_model_query_by_query() -> None:
    columns = Columns("ctc-hard-rows", "alignment", "ctc", "tiny", 3, "clean", ablation_of="ctc")
    whole = [*cell([True] * 8), *cell([True] * 8, "ceiling"), *cell([True] * 4, shots=2)]
    altered = [*cell([True] * 6 + [False] * 2), *cell([True] * 8, "ceiling"), *cell([True] * 4, shots=4)]
    rows = minus_whole(altered, whole, columns)
    check_rows(rows)
    ((row),) = rows
    assert (row["model"], row["metric"], row["value"], row["n"]) == ("ctc-hard-rows", "minus-whole", -0.25, 8)
    assert row["low"] < -0.25 < row["high"] <= 0

    def transcripts(said: str) -> list[Outcome]:
        return [outcome(asked(n, "one two", "transcript"), said) for n in range(4)]

    same = minus_whole(transcripts("one"), transcripts("one two"), columns)
    assert [(row["metric"], row["value"], row["low"]) for row in same] == [
        ("minus-whole", -1, -1),
        ("wer-minus-whole", 0.5, 0.5),
    ]
