"""Law 12, the evaluation's half: every few-shot number has its controls, its interval, its seed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from model_builders import build_language_model, build_model

sys.path.insert(0, str(Path(__file__).parents[1] / "evaluation"))
from evaluation_world import digit_pools, grid, hear

from iclal.errors import DataError
from iclal.evaluation.evaluate import Evaluation, EvaluationSettings, evaluate
from iclal.evaluation.records import write_evaluations

CONTROLS = {"ceiling", "cascade", "shuffled-audio", "no-audio", "wrong-labels", "text-demos"}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    folder = tmp_path_factory.mktemp("law-12")
    build_language_model(folder / "lm-opt", max_position_embeddings=2048)
    settings = EvaluationSettings(queries=20, max_new_tokens=4, clips=1, seed=5)
    cells = grid(("transcript", 0), ("transcript", 1), ("transcript", 4))
    return evaluate(build_model(folder), cells, digit_pools(), hear, settings, progress=False)


def test_every_few_shot_number_has_its_controls_interval_and_seed(found: Evaluation) -> None:
    numbers = [row for row in found.rows if row["metric"] == "exact" and row["condition"] == "clean"]
    few_shot = [row for row in numbers if row["shots"] and row["input"] == "audio"]
    assert {row["shots"] for row in few_shot} == {1, 4}
    for row in few_shot:
        beside = {other["input"] for other in numbers if other["shots"] == row["shots"]}
        assert beside >= CONTROLS | {"chance", "majority"}
        assert any(other["shots"] == 0 and other["input"] == "audio" for other in numbers)
        assert row["low"] <= row["value"] <= row["high"] and row["n"] == 20 and row["seed"] == 5


def test_each_control_is_answered_by_the_same_queries_behind_the_same_demonstrations(found: Evaluation) -> None:
    for shots in (1, 4):
        asked = {
            input: [(o.asked.id, o.asked.demonstration_ids) for o in found.outcomes if o.input == input]
            for input in CONTROLS | {"audio"}
        }
        own = {
            input: [o.asked for o in found.outcomes if o.input == input and o.asked.shots == shots] for input in asked
        }
        assert all(queries == own["audio"] for queries in own.values())


@pytest.mark.parametrize("control", sorted(CONTROLS))
def test_a_report_whose_few_shot_numbers_lack_a_control_is_not_written(
    found: Evaluation, control: str, tmp_path: Path
) -> None:
    rows = [row for row in found.rows if row["input"] != control]
    bare = Evaluation(found.columns, rows, found.outcomes, found.meta, found.clips, found.recordings, {})
    with pytest.raises(DataError, match=f"lacks {control}"):
        write_evaluations(tmp_path / "report", [bare])
    assert not (tmp_path / "report" / "report.json").exists()  # the answers are kept, the report is not written


def test_what_the_ears_hear_changes_what_is_answered(found: Evaluation) -> None:
    """Through random ears too: another clip, or none, gives other scores of the same tokens or other tokens."""
    answers: dict[str, list[tuple[int, ...]]] = {}
    for outcome in found.outcomes:
        if outcome.asked.shots == 0:
            answers.setdefault(outcome.input, []).append(outcome.token_ids)
    assert answers["audio"] != answers["shuffled-audio"]
    assert answers["audio"] != answers["no-audio"]
