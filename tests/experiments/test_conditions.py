"""Conditions: models asked the same, one by one or all."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from random import Random
from types import ModuleType

import pytest
from model_builders import build_language_model, build_model
from program import digits

from iclal.data.tasks import pattern, questions, summary, transcript
from iclal.errors import DataError, SettingsError
from iclal.evaluation.evaluate import Cell, EvaluationSettings, evaluate
from iclal.experiments.conditions import QUERIES, Condition, check_grid, evaluate_all, in_any_wording
from iclal.experiments.conditions_own import own_conditions
from iclal.model.connector import CTCSettings, LinearSettings
from iclal.model.model import ICLAL


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve digits of four speakers, each with a question and a summary."""
    return digits(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ICLAL]:
    """Random ears, with room for demonstrations as text."""
    folder = tmp_path_factory.mktemp("roomy")
    build_language_model(folder / "lm-opt", max_position_embeddings=2048)
    return {
        "one": build_model(folder, connector=CTCSettings()),
        "two": build_model(folder, connector=LinearSettings(), seed=1),
    }


# --- grids and wordings


def test_an_unknown_grid_is_refused_with_the_known_ones() -> None:
    for known in QUERIES:
        check_grid(known)
    with pytest.raises(SettingsError, match="no grid 'huge'; known are quick, full"):
        check_grid("huge")


@pytest.mark.parametrize("task", [transcript, questions, summary, pattern])
def test_half_the_published_wordings_may_be_new_and_all_are_used(task: ModuleType) -> None:
    make, rng = in_any_wording(task), Random(3)
    used = Counter(make(rng).instruction for _ in range(600))
    assert set(used) == {*task.INSTRUCTIONS, *task.HELD_OUT_INSTRUCTIONS}
    assert not {*task.INSTRUCTIONS} & {*task.HELD_OUT_INSTRUCTIONS}
    assert min(used.values()) > 600 / len(used) / 2


# --- every model under every condition


def narrow(condition: Condition, name: str, queries: int | None = None) -> Condition:
    cells = [cell for cell in condition.cells if (cell.task, cell.shots) in (("questions", 0), ("transcript", 0))]
    return dataclasses.replace(condition, name=name, cells=cells, inputs=("audio", "ceiling"), queries=queries)


def test_every_model_is_asked_the_same_under_every_condition(manifest: Path, models: dict[str, ICLAL]) -> None:
    (own,) = own_conditions(manifest, "quick")
    conditions = [narrow(own, "here"), narrow(own, "there", queries=2)]
    found = evaluate_all(models, conditions, 3, seed=4, progress=False)
    assert [(e.columns.condition, e.columns.model) for e in found] == [
        *(("here", "one"), ("here", "two")),
        *(("there", "one"), ("there", "two")),
    ]
    asked = [{(o.asked.id, o.asked.utterance.id, o.asked.instruction) for o in e.outcomes} for e in found]
    assert asked[0] == asked[1] and asked[2] == asked[3] < asked[0]
    assert [len(e.outcomes) for e in found] == [3 * 2 * 2, 3 * 2 * 2, 2 * 2 * 2, 2 * 2 * 2]
    assert {row["seed"] for e in found for row in e.rows} == {4}


def test_all_together_is_each_alone(manifest: Path, models: dict[str, ICLAL]) -> None:
    (own,) = own_conditions(manifest, "quick")
    condition = narrow(own, "here")
    together = evaluate_all(models, [condition], 3, seed=1, progress=False)
    settings = EvaluationSettings(name="two", condition="here", queries=3, seed=1, inputs=condition.inputs)
    alone = evaluate(models["two"], condition.cells, own.pools, own.hear, settings, progress=False)
    assert together[1].rows == alone.rows and together[1].outcomes == alone.outcomes


def test_a_pool_without_what_a_task_needs_is_named(manifest: Path, models: dict[str, ICLAL]) -> None:
    (own,) = own_conditions(manifest, "quick")
    cells = [Cell("pattern", 0, in_any_wording(pattern))]
    unfit = Condition("own", own.pools, own.hear, cells, ("audio",))
    with pytest.raises(DataError, match="task pattern: no fitting utterance found in a pool of 6"):
        evaluate_all(models, [unfit], 2, seed=0, progress=False)
