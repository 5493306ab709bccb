"""The quickstart: from the bundled language model and encoder to a report, in minutes, on two cores.

Two connectors are trained side by side, each in a process of its own with one thread: `linear` by the paper's
objective, and `ctc`. Both are asked the same questions about voices and sentences that neither has heard.
"""

from __future__ import annotations

import _thread
import contextlib
import multiprocessing
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import torch

from iclal.errors import TrainingError
from iclal.evaluation.evaluate import Evaluation
from iclal.evaluation.records import check_folder, write_evaluations
from iclal.evaluation.report.curves import read_training_curve
from iclal.experiments.conditions import QUERIES, evaluate_all
from iclal.experiments.conditions_world import world_conditions
from iclal.experiments.recipe_speech import speak_for, speech_for
from iclal.training.ears import train_ears
from iclal.training.progress import memory_mib
from iclal.training.recipe import EarsRecipe, read_recipe
from iclal.training.run_folder import check_run_folder, commit

RECIPES = {"ctc": "quickstart-ctc", "linear": "quickstart-linear"}


def run_quickstart(
    out: Path,
    overrides: Sequence[str] = (),
    *,
    resume: bool = False,
    accept_changes: bool = False,
    queries: int | None = None,
) -> Path:
    """Synthesise, train, evaluate, report; returns the report.json in `out`.

    `overrides` (`key=value`) are laid on both recipes; `queries` are asked a cell, by default the grid's number.

    Raises:
        SettingsError: an override that the recipes do not know, or that changes a run to be resumed.
        DataError: transcripts or clips of others in `out`.
        MissingError: no espeak-ng.
        TrainingError: a run folder that cannot be begun or gone on with; a training was interrupted, and `resume`
            goes on with it.
    """
    started = time.monotonic()
    begun_before = any((out / name / "run.json").is_file() for name in RECIPES)
    recipes = {name: read_recipe(recipe, tuple(overrides)) for name, recipe in RECIPES.items()}
    for name in recipes:
        check_run_folder(out / name, resume)
    count = queries or QUERIES["quick"]
    check_folder(out)
    _say("1/4 speech: passages of the spoken world, by many voices")
    speak_for(recipes["ctc"])
    world_conditions("quick", seed=0)
    _say("2/4 training: two connectors side by side, the language model frozen")
    workers = multiprocessing.get_context("spawn")  # a forked torch would share its thread pool
    with contextlib.ExitStack() as pools:  # one each: a pool stops all its workers when one is killed
        jobs = [
            pools.enter_context(ProcessPoolExecutor(1, mp_context=workers)).submit(
                _train_and_ask, name, recipe, out, resume, accept_changes, count
            )
            for name, recipe in recipes.items()
        ]
        errors = (job.exception() for job in as_completed(jobs))
        if failure := next((error for error in errors if isinstance(error, Exception)), None):  # no interrupt
            for worker in multiprocessing.active_children():
                worker.terminate()  # the other training saves and stops, too
            if isinstance(failure, BrokenProcessPool):
                raise TrainingError(
                    "a training's process was ended from outside, perhaps for want of memory; go on with: "
                    + resume_command(out, overrides, queries)
                ) from failure
            raise failure
        results = [found for job in jobs if (found := job.result()) is not None]
    if len(results) < len(recipes):
        raise TrainingError(f"training was interrupted; go on with: {resume_command(out, overrides, queries)}")
    evaluations = [evaluation for own, _ in results for evaluation in own]
    for ended_by in (evaluation.ended_by for evaluation in evaluations if evaluation.ended_by):
        why = "was interrupted" if isinstance(ended_by, KeyboardInterrupt) else f"failed: {ended_by}"
        raise TrainingError(f"the evaluation {why}; go on with: {resume_command(out, overrides, queries)}")
    _say("4/4 report")
    extras: dict[str, Any] = {
        "training_curves": {name: read_training_curve(out / name / "metrics.jsonl") for name in recipes}
    }
    meta = {
        "grid": "quick",
        "command": shlex.join(["iclal", *sys.argv[1:]]),
        "commit": commit(),
        "quickstart_seconds": None if begun_before else round(time.monotonic() - started, 1),  # of the whole of it
        "quickstart_peak_mb": round(_peak_mb() + sum(peak_mb for _, peak_mb in results)),
        "machine": {"cores": os.cpu_count(), "processes": len(recipes), "threads of each": 1},
    }
    return write_evaluations(out, evaluations, extras=extras, meta=meta)


def resume_command(out: Path, overrides: Sequence[str] = (), queries: int | None = None) -> str:
    """The command line that goes on with an interrupted quickstart."""
    asked = [] if queries is None else ["--queries", str(queries)]
    return shlex.join(["iclal", "quickstart", *overrides, *asked, "--out", str(out), "--resume"])


def _train_and_ask(
    name: str, recipe: EarsRecipe, out: Path, resume: bool, accept_changes: bool, queries: int
) -> tuple[list[Evaluation], float] | None:
    """Train one connector and evaluate it, in a process of its own; with the process's largest memory in MB.

    None: the training was interrupted.
    """
    torch.set_num_threads(1)
    with _ended_with_parent():
        trained = train_ears(
            recipe,
            out / name,
            speech_for(recipe, progress=False),
            resume=resume,
            accept_changes=accept_changes,
            progress=name == "ctc",
        )
        if trained.fit.finish_reason == "interrupted":
            return None
        if name == "ctc":
            _say("3/4 evaluation: unseen voices and sentences, with controls")
        conditions = world_conditions("quick", seed=0, progress=False)
        # One bar is enough, and the slower of the two is worth watching.
        evaluations = evaluate_all({name: trained.model}, conditions, queries, seed=0, progress=name == "ctc")
        return evaluations, _peak_mb()


@contextlib.contextmanager
def _ended_with_parent() -> Iterator[None]:
    """End this process when its parent is gone (killed, out of memory); a training saves first, as at Ctrl-C."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        if signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, signal.SIG_DFL, signal.default_int_handler):
            os._exit(130)  # no training is going on (`fit` listens itself), or none any more: nothing to save
        _thread.interrupt_main()

    threading.Thread(target=wait, daemon=True).start()
    try:
        yield
    finally:
        if not parent.is_alive():
            os._exit(130)  # nobody is there to take the result, nor to say that there is no more to do


def _peak_mb() -> float:
    """The most memory that this process has held."""
    return memory_mib(torch.device("cpu")) * 2**20 / 1e6


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
