"""The command line: thin verbs. What is heavy is imported inside a verb, so that `--help` is quick.

Results go to stdout, talk and progress to stderr. An error is one line and a non-zero exit; `--debug` shows the trace.
"""

from __future__ import annotations

import json as jsonlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

import iclal
from iclal.cli_data import data_app, prepare, score, world
from iclal.errors import IclalError

if TYPE_CHECKING:
    from iclal.data.prompt import Prompt
    from iclal.model.model import ICLAL

app = App(
    name="iclal",
    version=iclal.__version__,
    help="Ears for a frozen language model. `iclal VERB --help` shows examples.",
    result_action="return_value",
)
pretrain_app = App(name="pretrain", help="Train the small models that everything else here stands on.")
for command in (prepare, world, score):
    app.command(command)
app.command(data_app)
app.command(pretrain_app)

Model = Annotated[str, Parameter(help="A model folder, or a bundled model: ctc, linear.")]
Json = Annotated[bool, Parameter(negative="", help="Print JSON.")]


def main(argv: list[str] | None = None) -> None:
    """Run a command line and exit: 0, or 1 for an error, 2 for wrong usage, 130 after Ctrl-C."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        status = app(arguments)
    except (IclalError, OSError) as error:
        if debug:
            raise
        if isinstance(error, BrokenPipeError):  # `iclal ... | head`: the reader has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
    sys.exit(status if isinstance(status, int) else 0)


@app.command
def transcribe(*audio: str, model: Model = "ctc", device: str = "auto", json: Json = False) -> int:
    """Write down what is said in recordings of any length and format.

    Long recordings are cut at pauses into windows that the model holds; with --json `segments` tell where.

    Examples:
        iclal transcribe meeting.wav
        iclal transcribe --json *.flac > transcripts.jsonl
    """
    from iclal.audio.reading import read_audio

    if not audio:
        raise IclalError("no recording given: iclal transcribe AUDIO...")
    loaded, failed = _load(model, device), 0
    for name in audio:
        try:
            transcript = loaded.transcribe(read_audio(name))
        except IclalError as error:
            failed += 1
            print(f"error: {error}", file=sys.stderr)
            if json:
                _print_json({"audio": name, "error": str(error)})
            continue
        if json:
            segments = [vars(segment) for segment in transcript.segments]
            line = {name: value for name, value in vars(transcript).items() if name != "segments"}
            _print_json({"audio": name, **line, "segments": segments})
        else:
            print(transcript.text if len(audio) == 1 else f"{name}: {transcript.text}", flush=True)
    return 1 if failed else 0


@app.command
def ask(
    audio: str,
    *,
    instruction: str = "",
    question: str | None = None,
    demo: Annotated[
        tuple[str, ...], Parameter(help="AUDIO=ANSWER, or AUDIO=QUESTION=ANSWER with --question.", negative="")
    ] = (),
    candidate: Annotated[
        tuple[str, ...], Parameter(help="Rank these answers instead of generating one.", negative="")
    ] = (),
    model: Model = "ctc",
    device: str = "auto",
    json: Json = False,
) -> int:
    """Follow an instruction about a recording, with spoken demonstrations if given.

    Examples:
        iclal ask --instruction "answer the question" --question "where does mira live" clip.wav
        iclal ask --instruction "follow the examples" --demo a.wav=paris --demo b.wav=oslo clip.wav
    """
    loaded = _load(model, device)
    prompt = _prompt(loaded, audio, instruction, question, demo)
    if candidate:
        scores = loaded.score_candidates(prompt, candidate)
        ranked = sorted(zip(candidate, scores, strict=True), key=lambda pair: -pair[1])
        if json:
            _print_json({"audio": audio, "candidates": [{"text": t, "log_probability": s} for t, s in ranked]})
        else:
            print("\n".join(f"{score:9.3f}  {text}" for text, score in ranked))
        return 0
    answer = loaded.generate(prompt)
    assert not isinstance(answer, list)
    if json:
        _print_json({"audio": audio, **vars(answer)})
    else:
        print(answer.text)
    return 0


def _prompt(model: ICLAL, audio: str, instruction: str, question: str | None, demos: Sequence[str]) -> Prompt:
    """The prompt of `ask`, by the model's own template."""
    from iclal.audio.reading import read_audio
    from iclal.data.manifest import Utterance
    from iclal.data.prompt import Item, fill

    if not instruction and not question and not demos:
        raise IclalError("nothing is asked: give --instruction, --question or --demo")
    items = []
    for demo in demos:
        path, *said = demo.split("=", 1 if question is None else 2)
        if len(said) != (1 if question is None else 2):
            form = "AUDIO=ANSWER" if question is None else "AUDIO=QUESTION=ANSWER, as the query has a --question"
            raise IclalError(f"--demo {demo}: give {form}")
        items.append(Item(Utterance(path, audio=path), said[-1], said[0] if question is not None else None))
    last = Item(Utterance(audio, audio=audio), "", question)
    example = model.settings.template.example("ask", instruction, items, last)
    heard = {item.clip.id: read_audio(item.clip.id) for item in (*items, last)}
    return fill(example.prompt, lambda utterance: heard[utterance.id])


@app.command
def train(
    recipe: str,
    *overrides: str,
    out: Path = Path("runs/train"),
    resume: Annotated[bool, Parameter(negative="", help="Go on with the run in --out.")] = False,
    dry_run: Annotated[bool, Parameter(negative="", help="Only estimate memory and time.")] = False,
    json: Json = False,
) -> int:
    """Train ears by a recipe (a name or a YAML file), with key=value on top.

    Examples:
        iclal train own language_model=./opt-125m data.train=manifest.jsonl --out runs/mine
        iclal train ctc train.steps=2000 --dry-run
        iclal train own data.train=manifest.jsonl --out runs/mine --resume
    """
    from iclal.experiments.training import speech_for
    from iclal.training.ears import estimate_ears, train_ears
    from iclal.training.recipe import read_recipe

    settings = read_recipe(recipe, overrides)
    speech = speech_for(settings)
    if dry_run:
        estimate = estimate_ears(settings, speech)
        _print_json(vars(estimate)) if json else print(estimate)
        return 0
    trained = train_ears(settings, out, speech, resume=resume)
    result = {"model": str(trained.folder), "step": trained.fit.step, **trained.fit.best_metrics}
    result["finish_reason"] = trained.fit.finish_reason
    _print_json(result) if json else print(trained.folder)
    return 130 if trained.fit.finish_reason == "interrupted" else 0


@app.command
def evaluate(
    *,
    model: Annotated[
        tuple[str, ...], Parameter(help="A model folder or a bundled model; may be given again.", negative="")
    ] = ("ctc",),
    manifest: Annotated[Path | None, Parameter(help="Your recordings; by default the spoken world's test.")] = None,
    grid: Annotated[str, Parameter(help="quick (0 and 2 shots) or full (0 to 8 shots, more conditions).")] = "quick",
    out: Path = Path("runs/evaluate"),
    queries: Annotated[int | None, Parameter(help="Queries a cell; default 208 (quick), 400 (full).")] = None,
    seed: int = 0,
    device: str = "auto",
    json: Json = False,
) -> int:
    """Ask a model the tasks, with controls, and write report.json and report.html.

    Examples:
        iclal evaluate
        iclal evaluate --model runs/mine/model --manifest test.jsonl --out runs/mine/evaluation
    """
    from iclal.evaluation.report import read_report, summary_table
    from iclal.experiments.grid import run_grid

    models = {Path(name).name if name not in ("ctc", "linear") else name: _load(name, device) for name in model}
    path = run_grid(models, out, grid=grid, manifest=manifest, queries=queries, seed=seed)
    report = read_report(path)
    if json:
        _print_json({"report": str(path), "rows": report.rows})
        return 0
    _print_table(summary_table(report.rows))
    print(f"report: {path.with_suffix('.html')}")
    return 0


@app.command
def quickstart(*, out: Path = Path("runs/quickstart"), resume: Annotated[bool, Parameter(negative="")] = False) -> int:
    """Watch a frozen language model get ears: speech is made, two connectors are trained, evaluated, reported.

    Takes a few minutes on two cores. Example: iclal quickstart --out runs/quickstart
    """
    from iclal.evaluation.report import read_report, summary_table
    from iclal.experiments.quickstart import run_quickstart

    path = run_quickstart(out, resume=resume)
    _print_table(summary_table(read_report(path).rows))
    print(f"report: {path.with_suffix('.html')}")
    return 0


@pretrain_app.command(name="language-model")
def pretrain_language_model(
    *overrides: str, out: Path = Path("runs/language-model"), resume: Annotated[bool, Parameter(negative="")] = False
) -> int:
    """Train the tiny OPT on the world's text, from scratch; may go on over days.

    Examples:
        iclal pretrain language-model --out runs/language-model
        iclal pretrain language-model train.max_minutes=60 --out runs/language-model --resume
    """
    from iclal.experiments.pretrain import pretrain_language_model

    print(pretrain_language_model(out, overrides, resume=resume))
    return 0


@pretrain_app.command(name="encoder")
def pretrain_encoder(
    *overrides: str, out: Path = Path("runs/encoder"), resume: Annotated[bool, Parameter(negative="")] = False
) -> int:
    """Train the tiny wav2vec 2.0 encoder on characters, without any language model.

    Example: iclal pretrain encoder data=data --out runs/encoder
    """
    from iclal.experiments.pretrain import pretrain_encoder

    print(pretrain_encoder(out, overrides, resume=resume))
    return 0


@app.command
def doctor(*, json: Json = False) -> int:
    """Say what is installed, what is missing with the line that installs it, devices, and the size of the cache."""
    from iclal.experiments.doctor import examine

    findings = examine()
    if json:
        _print_json(findings)
    else:
        width = max(map(len, findings))
        print("\n".join(f"{name:<{width}}  {value}" for name, value in findings.items()))
    return 0


def _load(name: str, device: str) -> ICLAL:
    from iclal.model.device import choose_device
    from iclal.model.saving import load

    return load(name, device=choose_device(device))


def _print_json(value: Any) -> None:
    print(jsonlib.dumps(value, ensure_ascii=False, default=str), flush=True)


def _print_table(table: Any) -> None:
    from rich.console import Console

    Console().print(table)


if __name__ == "__main__":
    main()
