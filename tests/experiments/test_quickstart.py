"""The quickstart: the whole of it in small, as a process that has no bundled ears; what it refuses."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from program import Done, iclal

from iclal import load
from iclal.evaluation.inputs import INPUTS
from iclal.evaluation.report.curves import read_training_curve
from iclal.evaluation.report.report import read_report
from iclal.evaluation.report.rows import check_rows
from iclal.experiments import quickstart
from iclal.experiments.quickstart import RECIPES, resume_command
from iclal.training.checkpoint import list_checkpoints
from iclal.training.recipe import EarsRecipe, read_recipe

PACKAGE = Path(quickstart.__file__).parents[1]
SMALL = (
    *("data.passages=8", "batch_seconds=12", "validation_clips=2", "train.steps=2", "train.log_every_steps=1"),
    *("train.validate_every_steps=2", "train.tensorboard=false", "--queries", "2"),
)
TASKS = ("transcript", "questions", "summary", "pattern", "labels")


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package beside the checkout, its bundled trained ears deleted."""
    folder = tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(PACKAGE, folder / "iclal", ignore=shutil.ignore_patterns("__pycache__"))
    for ears in (folder / "iclal" / "assets").glob("ears-*"):
        shutil.rmtree(ears)
    return folder


def start_elsewhere(
    elsewhere: Path, *arguments: object, program: Sequence[str] = ("-m", "iclal.cli")
) -> subprocess.Popen[str]:
    """A command line of the package in `elsewhere`, with a cache of its own; a process group, as a shell makes it."""
    environment = os.environ | {"PYTHONPATH": str(elsewhere), "ICLAL_CACHE": str(elsewhere / "cache")}
    command = [sys.executable, *program, *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=elsewhere, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    )


def run_elsewhere(elsewhere: Path, *arguments: object, timeout: float | None = None) -> Done:
    """The same, until it ends."""
    process = start_elsewhere(elsewhere, *arguments)
    try:
        stdout, stderr = process.communicate(timeout=timeout)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return Done(process.returncode, stdout, stderr)


@pytest.mark.slow
def test_from_bundled_language_model_and_encoder_alone_to_a_report_of_both_connectors(elsewhere: Path) -> None:
    assert sorted(path.name for path in (elsewhere / "iclal" / "assets").iterdir() if path.is_dir()) == [
        "encoder",
        "language-model",
    ]
    assert "bundled model" in run_elsewhere(elsewhere, "transcribe", "a.wav").error
    done = run_elsewhere(elsewhere, "quickstart", *SMALL)
    assert done.status == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if line[:4] in ("1/4 ", "2/4 ", "3/4 ", "4/4 ")]
    assert len(said) == 4

    out = elsewhere / "runs" / "quickstart"
    report = read_report(out / "report.json")
    check_rows(report.rows)
    for model in RECIPES:
        exact = {
            (row["task"], row["shots"], row["input"]): row
            for row in report.rows
            if (row["model"], row["metric"], row["condition"]) == (model, "exact", "clean")
        }
        inputs = [input for input in INPUTS if model == "ctc" or input != "cascade-ctc"]
        asked = {(task, 2, input) for task in TASKS for input in inputs}
        # two queries may bind all that there is to bind: then no other labels are left to show
        assert asked - exact.keys() <= {("labels", 2, "wrong-labels"), ("summary", 2, "wrong-labels")}
        assert all(exact[task, 0, "audio"]["n"] == 2 for task in TASKS)
        assert report.extras["training_curves"][model] == read_training_curve(out / model / "metrics.jsonl") != []
        assert EarsRecipe.read(out / model / "recipe.yaml") == read_recipe(RECIPES[model], SMALL[:-2])
        trained = load(out / model / "model", language_model=PACKAGE / "assets" / "language-model")
        assert trained.settings.connector.kind == model
    assert report.meta["quickstart_seconds"] > 0 and report.meta["quickstart_peak_mb"] > 100
    assert report.meta["command"] == shlex.join(["iclal", "quickstart", *SMALL])

    page = (out / "report.html").read_text(encoding="utf-8")
    assert "<html" in page and all(clip["id"] in page for clip in report.extras["clips"])
    assert all((out / clip["audio"]).is_file() for clip in report.extras["clips"])
    assert all(word in done.stdout for word in ("ctc", "linear", *TASKS))
    assert done.stdout.splitlines()[-1] == "report: runs/quickstart/report.html"

    # Done already: nothing is trained again, and the same is asked and answered.
    again = run_elsewhere(elsewhere, "quickstart", *SMALL, "--resume", "--json")
    assert again.status == 0, again.stderr
    assert again.json["rows"] == report.rows


ENDLESS = [
    *(word for word in SMALL[:-2] if not word.startswith(("train.steps", "train.val"))),
    "train.steps=100000",
]


@contextlib.contextmanager
def under_way(elsewhere: Path, out: str, **program: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """A quickstart that would take forever, both of its trainings begun; nothing of it is left afterwards."""
    process = start_elsewhere(elsewhere, "quickstart", *ENDLESS, *SMALL[-2:], "--out", out, **program)
    try:
        while not all(steps_of(elsewhere / out / model) for model in RECIPES):
            assert process.poll() is None, process.communicate()
            time.sleep(0.1)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def check_saved(out: Path) -> None:
    """Both trainings can be gone on with, and no report was written."""
    assert all(list((out / model / "checkpoints").glob("step-*")) for model in RECIPES)
    assert not (out / "report.json").exists()


@pytest.mark.slow
def test_ctrl_c_saves_both_trainings_and_says_the_line_that_goes_on_with_them(elsewhere: Path) -> None:
    with under_way(elsewhere, "runs/stopped") as process:
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=120)
    assert process.returncode == 130 and "Traceback" not in said, said
    assert f"go on with: {resume_command(Path('runs/stopped'), ENDLESS, 2)}" in said
    check_saved(elsewhere / "runs" / "stopped")


@pytest.mark.slow
def test_a_training_that_cannot_go_on_ends_the_other_at_once(elsewhere: Path) -> None:
    out = elsewhere / "runs" / "refused"
    (out / "linear").mkdir(parents=True)
    (out / "linear" / "run.json").write_text('{"seed": 7, "digests": {}, "sessions": []}')
    (out / "linear" / "recipe.yaml").write_text("{}")
    done = run_elsewhere(elsewhere, "quickstart", *ENDLESS, *SMALL[-2:], "--out", out, "--resume", timeout=300)
    last = done.stderr.splitlines()[-1]
    assert done.status == 1 and last.startswith("error: ") and "linear was started otherwise" in last


KILLS_ONE = """
import multiprocessing, sys, threading
from iclal.cli import main

def kill_one():
    sys.stdin.readline()
    multiprocessing.active_children()[0].kill()

if __name__ == "__main__":
    threading.Thread(target=kill_one, daemon=True).start()
    main()
"""


@pytest.mark.slow
def test_a_training_that_is_killed_is_told_and_the_other_saves(elsewhere: Path) -> None:
    (elsewhere / "kills_one.py").write_text(KILLS_ONE)
    with under_way(elsewhere, "runs/killed", program=["kills_one.py"]) as process:
        _, said = process.communicate("now\n", timeout=120)
    last = said.splitlines()[-1]
    assert process.returncode == 1 and last.startswith("error: a training's process was ended from outside"), said
    assert last.endswith(resume_command(Path("runs/killed"), ENDLESS, 2))
    newest = [
        max(step for step, _ in list_checkpoints(elsewhere / f"runs/killed/{name}/checkpoints")) for name in RECIPES
    ]
    assert sorted(step > 0 for step in newest) == [False, True]  # the one that was killed has what it began with


@pytest.mark.slow
def test_trainings_save_and_end_when_their_parent_is_killed(elsewhere: Path) -> None:
    with under_way(elsewhere, "runs/orphaned") as process:
        process.kill()
        process.communicate(timeout=120)  # the pipes close when the last worker is gone
    check_saved(elsewhere / "runs" / "orphaned")


IDLE_WORKER = """
import multiprocessing, time
from iclal.experiments.quickstart import _ended_with_parent

def work():
    with _ended_with_parent():
        pass
    print("done", flush=True)
    time.sleep(600)  # as a worker of a pool waits for its next job

if __name__ == "__main__":
    multiprocessing.get_context("spawn").Process(target=work).start()
    time.sleep(600)
"""


@pytest.mark.slow
def test_a_worker_that_has_done_its_job_ends_with_its_killed_parent(tmp_path: Path) -> None:
    script = tmp_path / "idle.py"
    script.write_text(IDLE_WORKER)
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    process = subprocess.Popen(
        [sys.executable, script], env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == "done\n"
        process.kill()
        process.communicate(timeout=30)  # the pipe closes when the worker is gone
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def steps_of(run_folder: Path) -> int:
    """How many steps a run has logged."""
    metrics = run_folder / "metrics.jsonl"
    return sum('"train"' in line for line in metrics.read_text().splitlines()) if metrics.is_file() else 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("train.stpes=3", "train.stpes: unknown key; near names: train.steps"),
        ("train.steps=few", "train.steps: Input should be a valid integer"),
        ("steps", "'steps' is not of the form key=value"),
        ("--queries 0", "Must be >= 1"),
    ],
)
def test_an_override_that_no_recipe_knows_is_refused_before_anything_is_spoken(
    words: str, message: str, tmp_path: Path
) -> None:
    done = iclal("quickstart", *words.split(), "--out", tmp_path / "out")
    assert done.status == 2 and message in done.error
    assert not (tmp_path / "out").exists()


def test_the_two_recipes_differ_in_connector_objective_and_optimizer_alone() -> None:
    """Else the report would compare more than it says. Each has the optimiser that serves it better (docs/log.md)."""
    ctc, linear = (read_recipe(RECIPES[name]).model_dump() for name in ("ctc", "linear"))
    assert (ctc["connector"]["kind"], linear["connector"]["kind"]) == ("ctc", "linear")
    train = [recipe.pop("train") for recipe in (ctc, linear)]
    assert {key for key in ctc if ctc[key] != linear[key]} == {
        *("about", "connector", "objectives", "transcription_instruction")
    }
    assert {key for key in train[0] if train[0][key] != train[1][key]} == {"validate_every_steps", "optimizer"}
    shared = ("warmup_steps", "decay_share", "betas", "weight_decay", "clip_norm")
    assert [train[0]["optimizer"][key] for key in shared] == [train[1]["optimizer"][key] for key in shared]


def test_the_line_that_goes_on_repeats_what_was_asked() -> None:
    assert resume_command(Path("runs/q")) == "iclal quickstart --out runs/q --resume"
    given = resume_command(Path("my runs"), ["train.steps=5", "data.seed=3"], 16)
    assert given == "iclal quickstart train.steps=5 data.seed=3 --queries 16 --out 'my runs' --resume"
    assert shlex.split(given)[-2:] == ["my runs", "--resume"]
