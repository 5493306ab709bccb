"""The published grids: which models, under which conditions, make one report."""

from __future__ import annotations

import dataclasses
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from iclal.errors import DataError, IclalError
from iclal.evaluation.evaluate import Evaluation
from iclal.evaluation.records import check_folder, check_names, write_evaluations
from iclal.evaluation.report.curves import read_training_curve
from iclal.experiments.conditions import QUERIES, Condition, check_grid, evaluate_all
from iclal.experiments.conditions_human import human_conditions
from iclal.experiments.conditions_own import own_conditions
from iclal.experiments.conditions_world import world_conditions
from iclal.model.connector import CTCConnector
from iclal.model.model import ICLAL
from iclal.training.ears import build_model
from iclal.training.recipe import read_recipe
from iclal.training.run_folder import commit

INTERRUPTED = "an interrupt (Ctrl-C or SIGTERM)"
_ABLATED_INPUTS = ("audio", "ceiling")
_UNTRAINED = ("ctc",)  # bundled models that are asked as they were before training, too, by recipes of their names
_UNTRAINED_TASKS = ("transcript", "questions")


def run_grid(
    models: Mapping[str, ICLAL],
    out: Path,
    *,
    grid: str = "quick",
    manifest: Path | None = None,
    human: Path | None = None,
    queries: int | None = None,
    seed: int = 0,
    places: Mapping[str, str] | None = None,
    progress: bool = True,
) -> Path:
    """Evaluate models (name in the report -> model) and write it all to `out`; returns the report.json.

    Asked is the spoken world's test, or a manifest. The full grid adds the `ctc` connector's ablations and, of the
    bundled `ctc`, what it was before training; `human` is the project's data folder, whose human speech and sounds
    without speech are then asked too. `places` tells from where models were loaded: the training curve of a run's
    model is shown. Ctrl-C, or an error once something was answered, ends it with a report of what was asked until then
    (`ended_by` in its meta: the error's words, or INTERRUPTED).

    Raises:
        SettingsError: an unknown grid.
        OSError: `out` cannot be written.
        DataError: a manifest with nothing to ask, or transcripts or clips of others in `out`, before anything is
            asked; see `evaluate` and `write_evaluations`.
    """
    check_grid(grid)
    count = queries or QUERIES[grid]
    own = own_conditions(manifest, grid) if manifest else []
    check_folder(out)
    check_names(models)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=out):  # a folder that cannot be written is an error now, not after all the work
        pass
    curves = training_curves(places or {})
    conditions = own or world_conditions(grid, seed, progress=progress)
    if human is not None:
        conditions += human_conditions(human)
    evaluations = evaluate_all(models, conditions, count, seed, progress=progress)
    if grid == "full" and manifest is None:
        besides = [partial(ablations, name, model) for name, model in models.items()]
        recipes = {name: place for name, place in (places or {}).items() if place in _UNTRAINED}
        besides += [partial(untrained, name, r, device=str(models[name].device)) for name, r in recipes.items()]
        for ask in besides:
            if evaluations[-1].ended_by:
                break
            try:
                evaluations += ask(conditions[0], count, seed, progress=progress)
            except (KeyboardInterrupt, IclalError) as error:
                evaluations[-1] = dataclasses.replace(evaluations[-1], ended_by=error)
    meta = {"grid": grid, "command": shlex.join(["iclal", *sys.argv[1:]]), "commit": commit()}
    if ended_by := evaluations[-1].ended_by:
        meta["ended_by"] = INTERRUPTED if isinstance(ended_by, KeyboardInterrupt) else str(ended_by)
    return write_evaluations(out, evaluations, extras={"training_curves": curves}, meta=meta)


def training_curves(places: Mapping[str, str]) -> dict[str, list[dict[str, Any]]]:
    """The training curve of each model that lies in a run's folder, by its name in the report.

    A log that is none of a training's is noted on stderr.
    """
    curves = {}
    for name, place in places.items():
        log = Path(place).resolve().parent / "metrics.jsonl"
        if Path(place).resolve().name == "model" and log.is_file():
            try:
                curves[name] = read_training_curve(log)
            except DataError as error:
                print(f"note: no training curve of {name}: {error}", file=sys.stderr)
    return curves


def untrained(
    name: str,
    recipe_name: str,
    condition: Condition,
    queries: int,
    seed: int,
    *,
    device: str = "auto",
    progress: bool = True,
) -> list[Evaluation]:
    """A recipe's ears at step 0, as NAME-step-0: what there is to be heard before anything was learnt."""
    recipe = read_recipe(recipe_name, [f"device={device}"])
    torch.manual_seed(recipe.train.seed)  # as a training begins
    model = build_model(recipe).eval()
    cells = [cell for cell in condition.cells if cell.shots in (0, 2) and cell.task in _UNTRAINED_TASKS]
    narrow = Condition(condition.name, condition.pools, condition.hear, cells)
    return evaluate_all({f"{name}-step-0": model}, [narrow], queries, seed, progress=progress)


def ablations(
    name: str, model: ICLAL, condition: Condition, queries: int, seed: int, *, progress: bool = True
) -> Sequence[Evaluation]:
    """A `ctc` model without its residual, and with the embeddings of the best tokens as rows; nothing for others.

    A residual that is zero, as alignment alone leaves it, is not taken out: that would be the model itself, which the
    report says in its place. The model is left as it was.
    """
    connector = model.connector
    if not isinstance(connector, CTCConnector):
        return []
    cells = [cell for cell in condition.cells if cell.shots in (0, 2)]
    residual, settings = connector.residual, connector.settings
    says_nothing = residual is None or not any(weights.any() for weights in residual.widen.parameters())
    left_out = {f"ablation {name}-no-residual": f"{name} has no residual that is not zero"} if says_nothing else {}
    narrow = Condition(condition.name, condition.pools, condition.hear, cells, _ABLATED_INPUTS, repeat=condition.repeat)
    found: list[Evaluation] = []
    try:
        connector.residual = None
        if not says_nothing:
            one = {f"{name}-no-residual": model}
            found += evaluate_all(one, [narrow], queries, seed, ablation_of=name, progress=progress)
        connector.settings = settings.model_copy(update={"rows": "hard"})
        one = {f"{name}-hard-rows": model}
        narrow = dataclasses.replace(narrow, left_out=left_out)
        if not (found and found[-1].ended_by):
            found += evaluate_all(one, [narrow], queries, seed, ablation_of=name, progress=progress)
    except (KeyboardInterrupt, IclalError) as error:
        if not found:
            raise
        found[-1] = dataclasses.replace(found[-1], ended_by=error)
    finally:
        connector.residual, connector.settings = residual, settings
    return found
