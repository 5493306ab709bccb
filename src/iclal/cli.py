"""The command line: thin verbs. What is heavy is imported inside a verb, so that `--help` is quick.

Results go to stdout, talk and progress to stderr. An error is one line and a non-zero exit; `--debug` shows the trace.
"""

from __future__ import annotations

import json as jsonlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter, validators

import iclal
from iclal.cli_data import corpora, data_app, prepare, score, world
from iclal.errors import IclalError, SettingsError
from iclal.recipes import recipe_names
from iclal.terminal import (
    Flag,
    Json,
    add_verb,
    drop_output,
    in_run_folder,
    interrupted_by_sigterm,
    make_quiet,
    note,
    print_error,
    print_json,
    print_table,
    writing,
)

if TYPE_CHECKING:
    from iclal.data.prompt import Prompt
    from iclal.evaluation.report.report import Report
    from iclal.model.model import ICLAL

_CUT = {"length": "stopped at its longest, and may be cut", "repetition": "stopped, as it repeated itself"}

ModelName = Annotated[str, Parameter(help="A model folder, or a bundled model: ctc, linear.")]
LanguageModelFolder = Annotated[
    Path | None, Parameter(help="Where the model's own language model lies now, if it was moved.")
]
Device = Annotated[str, Parameter(help="auto, cpu, cuda, cuda:1 or mps.")]
_KEYS = "all keys are listed in a run's recipe.yaml; a mistyped one is answered with those that are near"
Resume = Annotated[bool, Flag, Parameter(help="Go on with the run in --out; if there is none, begin one.")]
AcceptChanges = Annotated[bool, Flag, Parameter(help="Resume although recipe or data changed.")]


@Parameter(name="*")
@dataclass(frozen=True)
class Chosen:
    """The model that a verb uses."""

    model: ModelName = "ctc"
    language_model: LanguageModelFolder = None
    device: Device = "auto"

    def load(self) -> ICLAL:
        """The model, ready. Raises as `iclal.load`."""
        from iclal.model.saving import load

        return load(self.model, language_model=self.language_model, device=self.device)


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command line and exit.

    0: fine. 1: an error, or something was dropped. 2: wrong usage, options or recipe. 130: Ctrl-C.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    make_quiet(debug)
    status = 0
    try:
        status = _app(arguments)([argument for argument in arguments if argument != "--debug"])
        sys.stdout.flush()  # a full disk shows itself here, not at exit
    except BrokenPipeError:  # `iclal ... | head`: the reader has seen enough
        drop_output()
    except (IclalError, OSError, CycloptsError, KeyboardInterrupt) as error:
        if debug:
            raise
        status = _end(error)
    sys.exit(status if isinstance(status, int) else 0)


def _end(error: BaseException) -> int:
    """Says what ended the program; its exit status."""
    if isinstance(error, KeyboardInterrupt):
        print("stopped", file=sys.stderr)
        return 130
    if isinstance(error, CycloptsError):
        verb = " ".join(["iclal", *(error.command_chain or ())])
        print_error(f"{' '.join(str(error).split())} See: {verb} --help")
        return 2
    assert isinstance(error, Exception)
    print_error(error)
    try:
        sys.stdout.flush()
    except OSError:  # it was standard output itself that failed
        drop_output()
    return 2 if isinstance(error, SettingsError) else 1


def transcribe(
    audio: Annotated[tuple[str, ...], Parameter(help="One or more recordings of any length: WAV, FLAC, Ogg, MP3 ...")],
    /,
    *,
    chosen: Chosen = Chosen(),
    json: Json = False,
) -> int:
    """Write down what is said in recordings.

    Long recordings are cut at pauses into windows that the model holds; with --json, `segments` tell where. A
    recording that cannot be heard is one line of error, and the others go on (exit status 1).

    Examples:
        iclal transcribe meeting.wav
        iclal transcribe --json a.flac b.mp3 > transcripts.jsonl
        iclal transcribe --model runs/mine/model clip.wav
    """
    from iclal.audio.reading import read_audio

    model, failed = chosen.load(), 0
    for name in audio:
        try:
            transcript = model.transcribe(read_audio(name))
        except IclalError as error:
            failed += 1
            print_error(error)
            if json:
                print_json({"audio": name, "error": str(error)})
            continue
        if transcript.no_speech and not json:
            note(f"{name}: no speech was heard")
        if json:
            segments = [vars(segment) for segment in transcript.segments]
            print_json({"audio": name} | vars(transcript) | {"segments": segments})
            continue
        print(transcript.text if len(audio) == 1 else f"{name}: {transcript.text}", flush=True)
        for segment in transcript.segments:
            if segment.finish_reason in _CUT:
                where = f"{segment.start_seconds:.1f} to {segment.end_seconds:.1f} s"
                note(f"{name}, {where}: the transcript {_CUT[segment.finish_reason]}")
    return 1 if failed else 0


def ask(
    audio: Annotated[str, Parameter(help="The recording that is asked about.")],
    /,
    *,
    instruction: Annotated[str, Parameter(help="What to do.")] = "",
    question: Annotated[str | None, Parameter(help="What to answer.")] = None,
    demo: Annotated[
        tuple[str, ...],
        Parameter(
            help="AUDIO=ANSWER, or AUDIO=QUESTION=ANSWER with --question; may be given again.",
            negative="",
            show_default=False,
        ),
    ] = (),
    candidate: Annotated[
        tuple[str, ...],
        Parameter(
            help="Rank these answers instead of writing one; may be given again.", negative="", show_default=False
        ),
    ] = (),
    chosen: Chosen = Chosen(),
    json: Json = False,
) -> int:
    """Follow an instruction about a recording, with spoken demonstrations if given.

    Examples:
        iclal ask --instruction "sum up what is said" clip.wav
        iclal ask --question "where does mira live" clip.wav
        iclal ask --demo a.wav=paris --demo b.wav=oslo clip.wav
        iclal ask --question "is it late" --candidate yes --candidate no clip.wav
    """
    if not instruction and not question and not demo:
        raise SettingsError("nothing is asked: give --instruction, --question or --demo")
    demonstrations = [_demonstration(text, question is not None) for text in demo]
    model = chosen.load()
    prompt = _prompt(model, audio, instruction, question, demonstrations)
    if candidate:
        scores = model.score_candidates(prompt, candidate)
        ranked = sorted(zip(candidate, scores, strict=True), key=lambda pair: -pair[1])
        if json:
            print_json({"audio": audio, "candidates": [{"text": t, "log_probability": s} for t, s in ranked]})
        else:
            print("\n".join(f"{log_probability:9.3f}  {text}" for text, log_probability in ranked))
        return 0
    answer = model.generate(prompt)
    if json:
        print_json({"audio": audio} | vars(answer))
        return 0
    print(answer.text)
    if answer.finish_reason in _CUT:
        note(f"the answer {_CUT[answer.finish_reason]}")
    return 0


def _demonstration(text: str, asked: bool) -> tuple[str, str | None, str]:
    """Path, question (if `asked`) and answer of a --demo. A path may hold "=" where such a file is there."""
    parts = text.split("=")
    paths = ("=".join(parts[:count]) for count in range(1, len(parts)))
    path = next((path for path in paths if Path(path).is_file()), parts[0])
    question, equals, answer = text[len(path) + 1 :].partition("=") if asked else (None, "=", text[len(path) + 1 :])
    if len(parts) < 2 or not equals:
        form = "AUDIO=QUESTION=ANSWER, as there is a --question" if asked else "AUDIO=ANSWER"
        raise SettingsError(f"--demo {text}: give {form}")
    return path, question, answer


def _prompt(
    model: ICLAL,
    audio: str,
    instruction: str,
    question: str | None,
    demonstrations: Sequence[tuple[str, str | None, str]],
) -> Prompt:
    """The prompt of `ask`, by the model's own template."""
    from iclal.audio.reading import read_audio
    from iclal.data.manifest import Utterance
    from iclal.data.prompt import Item, fill

    shown = [Item(Utterance(path, audio=path), answer, asked) for path, asked, answer in demonstrations]
    query = Item(Utterance(audio, audio=audio), "", question)
    heard = {item.clip.id: read_audio(item.clip.id) for item in (*shown, query)}
    example = model.settings.template.example("ask", instruction, shown, query)
    return fill(example.prompt, lambda utterance: heard[utterance.id])


def train(
    recipe: Annotated[str, Parameter(help=f"A recipe of the package ({', '.join(recipe_names())}), or a YAML file.")],
    /,
    *overrides: Annotated[str, Parameter(help=f"key=value, laid on top of the recipe; {_KEYS}.")],
    out: Annotated[Path, Parameter(help="The run folder.")] = Path("runs/train"),
    resume: Resume = False,
    accept_changes: AcceptChanges = False,
    dry_run: Annotated[bool, Flag, Parameter(help="Only estimate memory and time.")] = False,
    json: Json = False,
) -> int:
    """Train ears by a recipe; the language model stays as it is. The chosen model is in OUT/model.

    Ctrl-C saves (exit status 130); the same command with --resume goes on.

    Examples:
        iclal train own language_model=./opt data.train=mine.jsonl --out runs/mine
        iclal train own language_model=./opt data.train=mine.jsonl --dry-run
        iclal train own data.train=mine.jsonl train.steps=900 --out runs/own --resume
    """
    from iclal.experiments.recipe_speech import speech_for
    from iclal.training.ears import estimate_ears, train_ears
    from iclal.training.recipe import read_recipe
    from iclal.training.run_folder import check_run_folder

    settings = read_recipe(recipe, overrides)
    if not dry_run:
        check_run_folder(out, resume)
    speech = speech_for(settings)
    if dry_run:
        estimate = estimate_ears(settings, speech)
        for text in speech.notes():
            note(text)
        if json:
            print_json(vars(estimate))
        else:
            print(estimate)
        return 0
    with in_run_folder(out):
        trained = train_ears(settings, out, speech, resume=resume, accept_changes=accept_changes)
    result = {"model": str(trained.folder), "step": trained.fit.step, **trained.fit.best_metrics}
    if json:
        print_json(result | {"finish_reason": trained.fit.finish_reason})
    else:
        print(trained.folder)
    return 130 if trained.fit.finish_reason == "interrupted" else 0


def evaluate(
    *,
    model: Annotated[
        tuple[str, ...], Parameter(help="A model folder, or ctc or linear; may be given again.", negative="")
    ] = ("ctc",),
    language_model: LanguageModelFolder = None,
    device: Device = "auto",
    manifest: Annotated[Path | None, Parameter(help="Your recordings; default: the spoken world's test.")] = None,
    grid: Annotated[
        Literal["quick", "full"], Parameter(help="quick: 0 and 2 shots; full: 0 to 8, more conditions.")
    ] = "quick",
    out: Annotated[Path, Parameter(help="Folder of the report.")] = Path("runs/evaluate"),
    human: Annotated[
        Path | None, Parameter(help="The project's data folder: human speech and sounds without speech, too.")
    ] = None,
    queries: Annotated[
        int | None,
        Parameter(
            help="Queries a cell; default: 208 (quick), 400 (full). Human speech: each clip once.",
            validator=validators.Number(gte=1),
        ),
    ] = None,
    seed: Annotated[int, Parameter(help="Of the draw of queries and demonstrations.")] = 0,
    json: Json = False,
) -> int:
    """Ask models the tasks, with controls, and write OUT/report.json and OUT/report.html.

    Ctrl-C, or SIGTERM, ends it with a report of what was asked until then (exit status 130).

    Examples:
        iclal evaluate
        iclal evaluate --model ctc --grid full --human data --out runs/full
        iclal evaluate --model runs/mine/model --manifest test.jsonl --out runs/test
    """
    from iclal.experiments.grid import run_grid
    from iclal.experiments.human_speech import check_data
    from iclal.model.saving import load_several

    names = _report_names(model)
    if human is not None:
        check_data(human, "give its place (--human FOLDER), or leave --human out")
    models = load_several(names, language_model=language_model, device=device)
    with writing(out), interrupted_by_sigterm():
        path = run_grid(
            models, out, grid=grid, manifest=manifest, human=human, queries=queries, seed=seed, places=names
        )
    return _print_report(path, json)


def _report_names(models: Sequence[str]) -> dict[str, str]:
    """What the report calls each model -> the model. A run's `model` folder goes by the run's name.

    Raises:
        SettingsError: two models that would have one name.
    """
    names: dict[str, str] = {}
    for given in models:
        folder = Path(given).resolve()
        name = folder.parent.name if folder.name == "model" else folder.name
        if name in names:
            raise SettingsError(f"{names[name]} and {given} would both be '{name}' in the report; rename a folder")
        names[name] = given
    return names


def quickstart(
    *overrides: Annotated[str, Parameter(help=f"key=value, laid on top of both recipes; {_KEYS}.")],
    out: Annotated[Path, Parameter(help="Where everything is written.")] = Path("runs/quickstart"),
    queries: Annotated[
        int | None, Parameter(help="Queries a cell; default: 208.", validator=validators.Number(gte=1))
    ] = None,
    resume: Resume = False,
    accept_changes: AcceptChanges = False,
    json: Json = False,
) -> int:
    """Watch a frozen language model get ears: speech is made, two connectors are trained, evaluated, reported.

    Takes a few minutes on two cores.

    Examples:
        iclal quickstart
        iclal quickstart train.steps=2000 data.passages=3000 --out runs/longer
        iclal quickstart --out /tmp/quickstart --resume
    """
    from iclal.experiments.quickstart import resume_command, run_quickstart

    try:
        with writing(out):
            path = run_quickstart(out, overrides, resume=resume, accept_changes=accept_changes, queries=queries)
    except KeyboardInterrupt:
        note(f"go on with: {resume_command(out, overrides, queries)}")
        raise
    return _print_report(path, json)


def pretrain_language_model(
    *overrides: Annotated[str, Parameter(help=f"key=value, laid on top of the recipe; {_KEYS}.")],
    out: Annotated[Path, Parameter(help="The run folder; the model is in OUT/model.")] = Path("runs/language-model"),
    resume: Resume = False,
    accept_changes: AcceptChanges = False,
    json: Json = False,
) -> int:
    """Train the tiny OPT on the world's text, from scratch; may go on over days.

    Examples:
        iclal pretrain language-model train.max_minutes=60
        iclal pretrain language-model train.max_minutes=60 --resume
        iclal pretrain language-model train.steps=20000 --resume --accept-changes
    """
    from iclal.experiments.pretrain import pretrain_language_model as run

    with in_run_folder(out):
        folder = run(out, overrides, resume=resume, accept_changes=accept_changes)
    return _print_pretrained(folder, json)


def pretrain_encoder(
    *overrides: Annotated[str, Parameter(help=f"key=value, laid on top of the recipe; {_KEYS}.")],
    out: Annotated[Path, Parameter(help="The run folder; the model is in OUT/model.")] = Path("runs/encoder"),
    resume: Resume = False,
    accept_changes: AcceptChanges = False,
    json: Json = False,
) -> int:
    """Train the tiny wav2vec 2.0 encoder on characters, without any language model.

    `data` is the project's folder of human speech.

    Examples:
        iclal pretrain encoder data=data
        iclal pretrain encoder data=data train.steps=100 --out /tmp/encoder
    """
    from iclal.experiments.pretrain import pretrain_encoder as run

    with in_run_folder(out):
        folder = run(out, overrides, resume=resume, accept_changes=accept_changes)
    return _print_pretrained(folder, json)


def doctor(*, json: Json = False) -> int:
    """Say what is installed and what is missing, with the line that installs it; devices; the size of the cache.

    Exit status 1 when something needed is missing, or there in a version that the package does not take.

    Examples:
        iclal doctor
        iclal doctor --json
    """
    from iclal.experiments.doctor import examine

    findings, whole = examine()
    if json:
        print_json(findings)
    else:
        width = max(map(len, findings))
        print("\n".join(f"{name:<{width}}  {value}" for name, value in findings.items()))
    return 0 if whole else 1


def _print_report(path: Path, json: bool) -> int:
    """A report's rows, or its table and where the page is."""
    from iclal.evaluation.report.report import read_report
    from iclal.evaluation.report.tables import summary_table
    from iclal.experiments.grid import INTERRUPTED

    report: Report = read_report(path)
    if json:
        print_json({"report": str(path), "page": str(path.with_suffix(".html")), "rows": report.rows})
    else:
        print_table(summary_table(report.rows, report.meta.get("condition")))
        print(f"report: {path.with_suffix('.html')}")
    if ended_by := report.meta.get("ended_by"):
        note("not finished: the report holds what was asked until then; the same command asks all anew")
        if ended_by == INTERRUPTED:
            return 130
        print_error(ended_by)
        return 1
    return 0


def _print_pretrained(folder: Path, json: bool) -> int:
    """Where a pretrained model is and what it reached."""
    reached: dict[str, Any] = jsonlib.loads((folder / "reached.json").read_text(encoding="utf-8"))
    if json:
        print_json({"model": str(folder)} | reached)
    else:
        print(folder)
    return 130 if reached.get("finish_reason") == "interrupted" else 0


def _app(arguments: Sequence[str]) -> App:
    """`iclal` with its verbs, for a command line. Errors are raised, for `main` to say them."""
    app = App(
        name="iclal",
        version=iclal.__version__,
        help="Ears for a frozen language model. Each VERB --help has examples; --debug shows where an error came from.",
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
        suppress_keyboard_interrupt=False,
    )
    for verb in (transcribe, ask, train, evaluate, score, prepare, world, quickstart, doctor):
        add_verb(app, verb)
    if "prepare" in arguments:  # whose corpora take too long to be named in every help
        app["prepare"].help_epilogue = f"{corpora()}\n\n{app['prepare'].help_epilogue}"
    app.command(data_app())
    pretrain = App(name="pretrain", help="Train the small models that everything else here stands on.")
    add_verb(pretrain, pretrain_language_model, "language-model")
    add_verb(pretrain, pretrain_encoder, "encoder")
    app.command(pretrain)
    return app


if __name__ == "__main__":
    main()
