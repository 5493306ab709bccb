"""Pretraining by command: the run, and the chosen checkpoint written as a model folder of the hub's layout."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from iclal.experiments import encoder, language_model
from iclal.experiments.human_speech import check_data
from iclal.settings import Settings
from iclal.training.run_folder import check_run_folder
from iclal.training.train import FitResult

AnySettings = TypeVar("AnySettings", bound=Settings)


def pretrain_language_model(
    out: Path, overrides: Sequence[str] = (), *, resume: bool = False, accept_changes: bool = False
) -> Path:
    """Train the tiny language model in run folder `out`; returns its model folder, `out`/model.

    Raises:
        SettingsError, TrainingError: as `iclal.training.train.fit`; `accept_changes` goes on with a changed recipe.
    """
    recipe = _recipe(language_model.LanguageModelRecipe, out, overrides, resume)
    check_run_folder(out, resume)
    result = language_model.pretrain(recipe, out, resume=resume, accept_changes=accept_changes)
    language_model.export(recipe, result.checkpoint, out / "model")
    whole = result.finish_reason != "interrupted"  # whoever pressed Ctrl-C does not wait for minutes of measuring
    reached = language_model.measure(recipe, result.checkpoint) if whole else result.best_metrics
    _write_reached(out, result, reached)
    return out / "model"


def pretrain_encoder(
    out: Path, overrides: Sequence[str] = (), *, resume: bool = False, accept_changes: bool = False
) -> Path:
    """Train the tiny encoder in run folder `out`; returns its model folder, `out`/model.

    Raises:
        DataError: the recipe's `data` is not the project's data folder.
        SettingsError, TrainingError: as `iclal.training.train.fit`; `accept_changes` goes on with a changed recipe.
    """
    recipe = _recipe(encoder.EncoderRecipe, out, overrides, resume)
    check_run_folder(out, resume)
    check_data(recipe.data, "give its place (data=FOLDER)")
    result = encoder.pretrain(recipe, out, resume=resume, accept_changes=accept_changes)
    encoder.export(recipe, result.checkpoint, out / "model")
    reached = result.best_metrics
    if recipe.train.kept_share and result.finish_reason != "interrupted":  # a mean of two that nobody has measured
        reached = encoder.measure(recipe, result.checkpoint)
    _write_reached(out, result, reached)
    return out / "model"


def _recipe(kind: type[AnySettings], out: Path, overrides: Sequence[str], resume: bool) -> AnySettings:
    """The run's own recipe when it is gone on with, else the default; `key=value` on top."""
    written = out / "recipe.yaml"
    if resume and written.is_file():
        return kind.read(written, overrides)
    return kind.build({}, overrides)


def _write_reached(out: Path, result: FitResult, reached: Mapping[str, Any]) -> None:
    """What the chosen checkpoint reached, beside its weights: the source of the numbers in its card."""
    step = result.step if result.best_step is None else result.best_step
    values = {"step": step, "finish_reason": result.finish_reason, "reached": reached}
    (out / "model" / "reached.json").write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
