"""A user's manifest: what of it is asked, heard and demonstrated."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import soundfile
from model_builders import build_language_model, build_model
from program import digits

from iclal.errors import DataError
from iclal.evaluation.blocks import draw_blocks
from iclal.evaluation.inputs import INPUTS
from iclal.experiments.conditions import Condition, evaluate_all
from iclal.experiments.conditions_own import own_conditions
from iclal.model.connector import CTCSettings
from iclal.model.model import ICLAL


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve digits of four speakers, each with a question and a summary."""
    return digits(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="module")
def ears(tmp_path_factory: pytest.TempPathFactory) -> ICLAL:
    """Random ears, with room for demonstrations as text."""
    folder = tmp_path_factory.mktemp("roomy")
    build_language_model(folder / "lm-opt", max_position_embeddings=2048)
    return build_model(folder, connector=CTCSettings())


def changed(manifest: Path, folder: Path, change: Sequence[tuple[int, str]]) -> Path:
    """The manifest with fields removed: (line, field)."""
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    for number, field in change:
        del lines[number][field]
    for line in lines:
        if "audio" in line:
            line["audio"] = str((manifest.parent / line["audio"]).resolve())
    path = folder / "manifest.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def cells_of(condition: Condition) -> list[tuple[str, int]]:
    return [(cell.task, cell.shots) for cell in condition.cells]


def narrow(condition: Condition) -> Condition:
    cells = [cell for cell in condition.cells if (cell.task, cell.shots) in (("questions", 0), ("transcript", 0))]
    return dataclasses.replace(condition, cells=cells, inputs=("audio", "ceiling"))


def test_one_half_of_the_utterances_is_asked_about_and_the_other_demonstrates(manifest: Path) -> None:
    ids = [json.loads(line)["id"] for line in manifest.read_text().splitlines()]
    (own,) = own_conditions(manifest, "quick")
    assert (own.name, own.inputs, own.queries) == ("own", INPUTS, None)
    assert len(own.pools.queries) == len(own.pools.demonstrations) == 6
    assert {u.id for pool in (own.pools.queries, own.pools.demonstrations) for u in pool} == set(ids)
    assert cells_of(own) == [(task, shots) for task in ("transcript", "questions", "summary") for shots in (0, 2)]


def test_the_full_grid_has_as_many_demonstrations_as_there_are(manifest: Path, tmp_path: Path) -> None:
    (own,) = own_conditions(manifest, "full")
    assert [shots for task, shots in cells_of(own) if task == "transcript"] == [0, 1, 2, 4]  # six may be shown
    few = digits(tmp_path, speakers=("theo", "george"))
    assert {shots for _, shots in cells_of(own_conditions(few, "full")[0])} == {0, 1, 2}


def test_an_utterance_is_heard_as_its_samples_stand_in_the_file(manifest: Path) -> None:
    (own,) = own_conditions(manifest, "quick")
    for utterance in (*own.pools.queries[:2], own.pools.demonstrations[-1]):
        assert utterance.audio_path is not None and utterance.start_seconds and utterance.duration_seconds
        start = round(utterance.start_seconds * 16_000)
        stop = start + round(utterance.duration_seconds * 16_000)
        samples, rate = soundfile.read(utterance.audio_path, start=start, stop=stop, dtype="float32")
        assert rate == 16_000 and len(samples) > 1000
        np.testing.assert_array_equal(own.hear(utterance).samples, samples)


def test_what_has_no_audio_or_no_text_is_not_asked_and_counted(manifest: Path, tmp_path: Path) -> None:
    ids = [json.loads(line)["id"] for line in manifest.read_text().splitlines()]
    (own,) = own_conditions(changed(manifest, tmp_path, [(0, "text"), (3, "audio")]), "quick")
    asked = {u.id for pool in (own.pools.queries, own.pools.demonstrations) for u in pool}
    assert asked == set(ids) - {ids[0], ids[3]}
    assert own.left_out.keys() == {"lines without audio", "lines without text"}
    assert all(told.startswith("1 of 12 (0.") for told in own.left_out.values())
    assert own_conditions(manifest, "quick")[0].left_out == {}


def test_a_clip_is_asked_about_once_a_cell_however_many_queries_are_wanted(
    manifest: Path, ears: ICLAL, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (own,) = own_conditions(changed(manifest, tmp_path, [(0, "text")]), "quick")
    (found,) = evaluate_all({"one": ears}, [narrow(own)], 208, seed=0, progress=False)
    assert {(row["task"], row["n"]) for row in found.rows if row["condition"] == "own"} == {
        ("questions", 6),
        ("transcript", 6),
    }
    assert found.meta["queries"]["repeated"] == 0
    assert found.meta["left_out"]["lines without text"] == own.left_out["lines without text"]
    assert "note: left out are lines without text: 1 of 12" in capsys.readouterr().err


def test_words_are_bound_to_facts_and_labels_that_both_pools_have_often_enough(tmp_path: Path) -> None:
    lines = [
        {"id": f"u{n}", "audio": "a.wav", "text": "one", "label": ("on", "off")[n // 2 % 2], "facts": {"name": f"n{n}"}}
        for n in range(24)
    ]
    path = tmp_path / "manifest.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (own,) = own_conditions(path, "full")
    assert [shots for task, shots in cells_of(own) if task == "labels"] == [0, 2, 4, 8]
    cell = next(cell for cell in own.cells if (cell.task, cell.shots) == ("labels", 4))
    blocks = list(draw_blocks(cell, own.pools, 100, seed=0, repeat=False))
    assert "label" in blocks[0].episode.instruction and len(blocks[0].episode.groups) == 2
    shown = {(item.clip.label, item.answer) for item in blocks[0].demonstrations}
    assert len(shown) == 2 and {answer for _, answer in shown} == set(blocks[0].episode.groups)
    path.write_text("".join(json.dumps(line | {"label": "on"}) + "\n" for line in lines))
    assert {task for task, _ in cells_of(own_conditions(path, "full")[0])} == {"transcript"}


def written(folder: Path, lines: Sequence[dict[str, Any]]) -> Path:
    path = folder / "manifest.jsonl"
    path.write_text("".join(json.dumps({"audio": "a.wav", "text": "one"} | line) + "\n" for line in lines))
    return path


QUESTIONS = [{"id": "q", "question": "what", "answers": ["one"]}]


def test_lines_that_alternate_lose_no_task(tmp_path: Path) -> None:
    lines = [
        {"id": f"u{n:02}", "label": ("yes", "no")[n % 2]}
        | ({"summary": "one"} if n % 2 else {})
        | ({"questions": QUESTIONS} if n % 4 == 0 else {})
        for n in range(40)
    ]
    (own,) = own_conditions(written(tmp_path, lines), "quick")
    assert {task for task, _ in cells_of(own)} == {"transcript", "questions", "summary", "labels"}
    assert own.left_out == {}
    for pool in (own.pools.queries, own.pools.demonstrations):
        assert Counter(u.label for u in pool) == {"yes": 10, "no": 10}
        assert (sum(bool(u.questions) for u in pool), sum(u.summary is not None for u in pool)) == (5, 10)


@pytest.mark.parametrize("seed", range(8))
def test_both_halves_hold_each_kind_whatever_the_manifest_is_like(tmp_path: Path, seed: int) -> None:
    rng = Random(seed)
    labels = [f"label {n}" for n in range(rng.choice((1, 3, 60)))]
    lines = [
        {"id": f"u{n}", "label": rng.choice(labels)}
        | ({"summary": "one"} if rng.random() < 0.2 else {})
        | ({"questions": QUESTIONS} if rng.random() < 0.2 else {})
        for n in range(61)
    ]
    (own,) = own_conditions(written(tmp_path, lines), "quick")
    asked, shown = own.pools.queries, own.pools.demonstrations
    assert abs(len(asked) - len(shown)) <= 1
    assert abs(sum(bool(u.questions) for u in asked) - sum(bool(u.questions) for u in shown)) <= 1
    assert abs(sum(u.summary is not None for u in asked) - sum(u.summary is not None for u in shown)) <= 1
    counts, others = (Counter(u.label for u in pool) for pool in (asked, shown))
    assert all(abs(counts[label] - others[label]) <= 4 for label in labels)


def test_halves_do_not_depend_on_the_order_of_lines(tmp_path: Path) -> None:
    lines = [{"id": f"u{n}", "label": ("yes", "no")[n % 2]} for n in range(21)]
    (own,) = own_conditions(written(tmp_path, lines), "quick")
    (other,) = own_conditions(written(tmp_path, lines[::-1]), "quick")
    assert own.pools == other.pools
    assert [u.id for u in own.pools.queries] not in ([line["id"] for line in lines[i::2]] for i in (0, 1))


def test_what_is_there_and_too_rare_to_be_asked_for_is_told(
    tmp_path: Path, ears: ICLAL, manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [
        {"id": f"u{n}", "label": f"l{n}", "facts": {"who": f"w{n}", "mood": ("sad", "gay")[n % 2]}} for n in range(24)
    ]
    lines[3] |= {"questions": QUESTIONS}
    for n in range(3):
        lines[n] |= {"summary": "one"}
    (own,) = own_conditions(written(tmp_path, lines), "quick")
    assert {task for task, _ in cells_of(own)} == {"transcript", "labels"}  # of moods
    assert own.left_out == {
        "questions": "1 of 24 utterances have one; 4 are needed",
        "summaries": "3 of 24 utterances have one; 4 are needed",
        "words bound to label, who": "fewer than two values of each that both halves hold 5 times",
    }
    many = [line | {"facts": {f"fact {n}": str(n) for n in range(9)}} for line in lines]
    (own,) = own_conditions(written(tmp_path, many), "quick")
    assert "words bound to label, fact 0, fact 1, fact 2, fact 3, fact 4 and 4 more" in own.left_out
    rare = changed(manifest, tmp_path, [(number, "summary") for number in range(3, 12)])
    (own,) = own_conditions(rare, "quick")
    (found,) = evaluate_all({"one": ears}, [narrow(own)], 2, seed=0, progress=False)
    assert found.meta["left_out"]["summaries"] == "3 of 12 utterances have one; 4 are needed"
    assert "note: left out are summaries: 3 of 12 utterances have one" in capsys.readouterr().err


@pytest.mark.parametrize(("left", "asked"), [(4, True), (3, False)])
def test_a_task_is_asked_where_each_pool_has_two_utterances_for_it(
    left: int, asked: bool, manifest: Path, tmp_path: Path
) -> None:
    path = changed(manifest, tmp_path, [(number, "summary") for number in range(left, 12)])
    (own,) = own_conditions(path, "quick")
    expected = {"transcript", "questions"} | ({"summary"} if asked else set())
    assert {task for task, _ in cells_of(own)} == expected


def test_no_task_has_more_demonstrations_than_fit_it(manifest: Path, tmp_path: Path) -> None:
    path = changed(manifest, tmp_path, [(number, "questions") for number in range(6, 12)])  # three of six remain
    shots = [shots for task, shots in cells_of(own_conditions(path, "full")[0]) if task == "questions"]
    assert shots == [0, 1, 2]


def test_three_utterances_that_can_be_asked_are_too_few(manifest: Path, tmp_path: Path) -> None:
    path = changed(manifest, tmp_path, [(number, "text") for number in range(9)])
    with pytest.raises(DataError, match=f"{path} has 3 utterances with audio and text; at least 4 are needed"):
        own_conditions(path, "quick")
    path = changed(manifest, tmp_path, [(number, "text") for number in range(8)])
    pools = own_conditions(path, "quick")[0].pools
    assert (len(pools.queries), len(pools.demonstrations)) == (2, 2)
