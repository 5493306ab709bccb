"""The published grids: which models, under which conditions, make one report."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from iclal.evaluation.evaluate import Evaluation
from iclal.evaluation.records import write_evaluations
from iclal.experiments.conditions import QUERIES, Condition, check_grid, evaluate_all, own_conditions
from iclal.experiments.human_test import human_conditions
from iclal.experiments.world_test import world_conditions
from iclal.model.connector import CTCConnector
from iclal.model.model import ICLAL

_ABLATED_INPUTS = ("audio", "ceiling")


def run_grid(
    models: Mapping[str, ICLAL],
    out: Path,
    *,
    grid: str = "quick",
    manifest: Path | None = None,
    human: Path | None = None,
    queries: int | None = None,
    seed: int = 0,
    extras: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> Path:
    """Evaluate models (name in the report -> model) and write it all to `out`; returns the report.json.

    Asked is the spoken world's test, or a manifest. The full grid adds the `ctc` connector's ablations;
    `human` is the project's data folder, whose human speech and sounds without speech are then asked too.

    Raises:
        SettingsError: an unknown grid.
        DataError: a manifest with nothing to ask; see `evaluate` and `write_evaluations`.
    """
    check_grid(grid)
    count = queries or QUERIES[grid]
    conditions = own_conditions(manifest, grid) if manifest else world_conditions(grid, seed, progress=progress)
    if human is not None:
        conditions += human_conditions(human)
    evaluations = evaluate_all(models, conditions, count, seed, progress=progress)
    if grid == "full" and manifest is None:
        for name, model in models.items():
            evaluations += ablations(name, model, conditions[0], count, seed, progress=progress)
    meta = {"grid": grid, "command": " ".join(["iclal", *sys.argv[1:]])}
    return write_evaluations(out, evaluations, extras=extras, meta=meta)


def ablations(
    name: str, model: ICLAL, condition: Condition, queries: int, seed: int, *, progress: bool = True
) -> Sequence[Evaluation]:
    """A `ctc` model without its residual, and with the embeddings of the best tokens as rows; nothing for others.

    The model is left as it was.
    """
    connector = model.connector
    if not isinstance(connector, CTCConnector):
        return []
    cells = [cell for cell in condition.cells if cell.shots in (0, 2)]
    narrow = Condition(condition.name, condition.pools, condition.hear, cells, _ABLATED_INPUTS)
    residual, settings = connector.residual, connector.settings
    found: list[Evaluation] = []
    try:
        connector.residual = None
        one = {f"{name}-no-residual": model}
        found += evaluate_all(one, [narrow], queries, seed, ablation_of=name, progress=progress)
        connector.settings = settings.model_copy(update={"rows": "hard"})
        one = {f"{name}-hard-rows": model}
        found += evaluate_all(one, [narrow], queries, seed, ablation_of=name, progress=progress)
    finally:
        connector.residual, connector.settings = residual, settings
    return found
