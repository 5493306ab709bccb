"""Conditions: kinds of test speech, each with the tasks and inputs that are asked of it."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from iclal.audio.reading import Audio
from iclal.data.manifest import Utterance
from iclal.data.tasks.episode import Episode
from iclal.errors import IclalError, SettingsError
from iclal.evaluation.evaluate import Cell, Evaluation, EvaluationSettings, Pools, evaluate
from iclal.evaluation.inputs import INPUTS
from iclal.model.model import ICLAL

QUERIES = {"quick": 208, "full": 400}
SHOTS = {"quick": (0, 2), "full": (0, 1, 2, 4, 8)}
LEAST_OF_A_VALUE = 5  # clips in each pool, for a value that demonstrations bind to a word


@dataclass(frozen=True)
class Condition:
    """A kind of test speech: its pools, how it is heard, which cells and inputs are asked of it."""

    name: str
    pools: Pools
    hear: Callable[[Utterance], Audio]
    cells: Sequence[Cell]
    inputs: tuple[str, ...] = INPUTS
    queries: int | None = None  # a cell; None: as many as the grid's others
    repeat: bool = True  # whether clips are asked about again where a cell has fewer that fit
    left_out: Mapping[str, str] = field(default_factory=dict)  # what of the data is not asked, and why


def check_grid(grid: str) -> None:
    """Raises SettingsError for a grid that is not known."""
    if grid not in QUERIES:
        raise SettingsError(f"no grid '{grid}'; known are {', '.join(QUERIES)}")


def evaluate_all(
    models: Mapping[str, ICLAL],
    conditions: Sequence[Condition],
    queries: int,
    seed: int,
    *,
    ablation_of: str | None = None,
    progress: bool = True,
) -> list[Evaluation]:
    """Every model under every condition, asked the same queries. What a condition leaves out is noted on stderr.

    What Ctrl-C or an error ended, or the evaluation before it, is the last, and says so (`Evaluation.ended_by`).

    `ablation_of` is the name of the model of which the models are altered copies.
    """
    found = []
    for condition in conditions:
        for what, why in condition.left_out.items():
            print(f"note: left out are {what}: {why}", file=sys.stderr)
        for name, model in models.items():
            settings = EvaluationSettings(
                name=name,
                condition=condition.name,
                ablation_of=ablation_of,
                queries=condition.queries or queries,
                repeat=condition.repeat,
                seed=seed,
                inputs=condition.inputs,
            )
            try:
                evaluation = evaluate(
                    model, condition.cells, condition.pools, condition.hear, settings, progress=progress
                )
            except (KeyboardInterrupt, IclalError) as error:
                if not found:
                    raise
                return [*found[:-1], dataclasses.replace(found[-1], ended_by=error)]
            evaluation.meta["left_out"] |= condition.left_out
            found.append(evaluation)
            if evaluation.ended_by:
                return found
    return found


def in_any_wording(task: Any) -> Callable[[Random], Episode]:
    """Episodes in the wordings that the project's own training knows and those it does not, at random."""
    return lambda rng: task.episode(rng, task.INSTRUCTIONS + task.HELD_OUT_INSTRUCTIONS)
