"""Conditions: kinds of test speech, each with the tasks and inputs that are asked of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from iclal.audio.reading import Audio, read_audio
from iclal.data.manifest import Utterance, read_manifest
from iclal.data.tasks import questions, summary, transcript
from iclal.data.tasks.episode import Episode
from iclal.errors import DataError, SettingsError
from iclal.evaluation.evaluate import Cell, Evaluation, EvaluationSettings, Pools, evaluate
from iclal.evaluation.inputs import INPUTS
from iclal.model.model import ICLAL

QUERIES = {"quick": 208, "full": 400}


@dataclass(frozen=True)
class Condition:
    """A kind of test speech: its pools, how it is heard, which cells and inputs are asked of it."""

    name: str
    pools: Pools
    hear: Callable[[Utterance], Audio]
    cells: Sequence[Cell]
    inputs: tuple[str, ...] = INPUTS
    queries: int | None = None  # a cell; None: as many as the grid's others


def check_grid(grid: str) -> None:
    """Raises SettingsError for a grid that is not known."""
    if grid not in QUERIES:
        raise SettingsError(f"no grid '{grid}'; known are {', '.join(QUERIES)}")


def evaluate_all(
    models: Mapping[str, ICLAL], conditions: Sequence[Condition], queries: int, seed: int, *, progress: bool = True
) -> list[Evaluation]:
    """Every model under every condition, asked the same queries."""
    return [
        evaluate(
            model,
            condition.cells,
            condition.pools,
            condition.hear,
            EvaluationSettings(
                name=name,
                condition=condition.name,
                queries=condition.queries or queries,
                seed=seed,
                inputs=condition.inputs,
            ),
            progress=progress,
        )
        for condition in conditions
        for name, model in models.items()
    ]


def held_out(task: Any) -> Callable[[Random], Episode]:
    """Episodes in the wordings that training knows and the ones it does not, by turns."""
    return lambda rng: task.episode(rng, task.INSTRUCTIONS + task.HELD_OUT_INSTRUCTIONS)


def own_conditions(manifest: Path, grid: str) -> list[Condition]:
    """A user's manifest: every other utterance is asked about, the others are there to demonstrate.

    Raises:
        DataError: fewer than four utterances with audio and text.
    """
    found = [u for u in read_manifest(manifest) if u.audio is not None and u.text is not None]
    if len(found) < 4:
        raise DataError(f"{manifest} has {len(found)} utterances with audio and text; at least 4 are needed")
    pools = Pools(found[::2], found[1::2])
    tasks: dict[str, Any] = {"transcript": transcript}
    if min(sum(bool(u.questions) for u in pool) for pool in (pools.queries, pools.demonstrations)) >= 2:
        tasks["questions"] = questions
    if min(sum(bool(u.summary) for u in pool) for pool in (pools.queries, pools.demonstrations)) >= 2:
        tasks["summary"] = summary
    most = len(pools.demonstrations)
    shots = [k for k in {"quick": (0, 2), "full": (0, 1, 2, 4, 8)}[grid] if k <= most]
    cells = [Cell(name, k, held_out(task)) for name, task in tasks.items() for k in shots]

    def hear(utterance: Utterance) -> Audio:
        assert utterance.audio_path is not None
        return read_audio(
            utterance.audio_path, start_seconds=utterance.start_seconds, duration_seconds=utterance.duration_seconds
        )

    return [Condition("own", pools, hear, cells)]
