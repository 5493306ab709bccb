"""The command line's verbs for models: what they print, where, and how they exit."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import re
import shutil
import signal
import sys
import time
import tomllib
from pathlib import Path

import pytest
from model_builders import build_encoder, build_language_model
from program import DATA, SPEECH, Done, digits, iclal, run, saved_model, start

from iclal import __version__, cli, cli_data, load, read_audio, terminal
from iclal.data.manifest import read_manifest
from iclal.errors import DataError
from iclal.model.encoder import Encoder
from iclal.recipes import recipe_names

VERBS = {
    "transcribe": cli.transcribe,
    "ask": cli.ask,
    "train": cli.train,
    "evaluate": cli.evaluate,
    "score": cli_data.score,
    "prepare": cli_data.prepare,
    "world": cli_data.world,
    "quickstart": cli.quickstart,
    "doctor": cli.doctor,
    "data check": cli_data.check,
    "data show": cli_data.show,
    "data split": cli_data.split,
    "data sample": cli_data.sample,
    "data merge": cli_data.merge,
    "pretrain language-model": cli.pretrain_language_model,
    "pretrain encoder": cli.pretrain_encoder,
}
OTHER_SPEECH = DATA / "librispeech" / "audio" / "1089-134691-0000.flac"
TRIAL = ("train.steps=2", "train.validate_every_steps=2", "validation_clips=2", "train.threads=1")


@pytest.fixture(scope="module")
def model(parts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_model(parts, tmp_path_factory.mktemp("cli") / "model")


@pytest.fixture(scope="module")
def encoder(parts: Path) -> Path:
    folder = parts / "encoder-layer"
    return folder if folder.exists() else build_encoder(folder)


# --- help and usage


@pytest.mark.parametrize("verb", VERBS)
def test_help_shows_each_example_on_a_line_of_its_own(verb: str) -> None:
    done = iclal(*verb.split(), "--help")
    assert done.status == 0 and not done.stderr
    shown = [line.strip() for line in done.stdout.splitlines()]
    lines = terminal.examples(VERBS[verb]).splitlines()
    assert all(line in shown for line in lines)
    assert all(line.startswith(f"iclal {verb}") for line in lines)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_takes_json(verb: str) -> None:
    parameters = inspect.signature(VERBS[verb], eval_str=True).parameters
    assert "json" in parameters
    assert "--json" in iclal(*verb.split(), "--help").stdout


@pytest.mark.parametrize("verb", ["transcribe", "ask", "evaluate"])
def test_a_verb_that_uses_a_model_takes_one(verb: str) -> None:
    said = iclal(verb, "--help").stdout
    assert "--model" in said and "--language-model" in said and "--device" in said


def test_without_a_verb_all_verbs_are_listed() -> None:
    said = iclal().stdout
    assert all(verb.split()[0] in said for verb in VERBS)
    assert iclal("--version").stdout.strip() == __version__


@pytest.mark.parametrize(
    ("line", "message", "verb"),
    [
        ("transcribe --modle x a.wav", "Unknown option: --modle. Did you mean --model?", "transcribe"),
        ("transcribe", "requires an argument", "transcribe"),
        ("transcrib a.wav", 'Unknown command "transcrib". Did you mean "transcribe"?', ""),
        ("data chek a.jsonl", 'Unknown command "chek". Did you mean "check"?', "data"),
        ("score a b --costs free", 'Invalid value "free" for --costs', "score"),
        ("evaluate --queries 0", "Must be >= 1", "evaluate"),
        ("evaluate --grid huge", 'Invalid value "huge" for --grid', "evaluate"),
        ("data sample a b --count many", 'unable to convert "many" into int', "data sample"),
        ("pretrain encoder --out", "requires an argument", "pretrain encoder"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(line: str, message: str, verb: str) -> None:
    done = iclal(*line.split())
    assert done.status == 2 and not done.stdout
    assert message in done.error
    assert done.error.endswith(f"See: {' '.join(['iclal', *verb.split()])} --help")


def test_the_help_of_train_names_the_recipes_and_where_the_keys_stand() -> None:
    said = " ".join(iclal("train", "--help").stdout.replace("│", " ").split())
    assert f"({', '.join(recipe_names())})" in said
    for verb in ("train", "quickstart", "pretrain encoder", "pretrain language-model"):
        said = " ".join(iclal(*verb.split(), "--help").stdout.replace("│", " ").split())
        assert "all keys are listed in a run's recipe.yaml" in said


# --- transcribe


def test_one_recording_gives_its_text_alone(model: Path) -> None:
    done = iclal("transcribe", "--model", model, SPEECH)
    assert done.status == 0
    assert done.stdout == load(model).transcribe(read_audio(SPEECH)).text + "\n"


def test_several_recordings_give_one_json_object_a_line(model: Path) -> None:
    done = iclal("transcribe", "--json", "--model", model, SPEECH, OTHER_SPEECH)
    assert (done.status, done.stderr) == (0, "")
    expected = load(model).transcribe([read_audio(SPEECH), read_audio(OTHER_SPEECH)])
    for line, name, transcript in zip(done.lines, (SPEECH, OTHER_SPEECH), expected, strict=True):
        assert (line["audio"], line["text"]) == (str(name), transcript.text)
        assert line["duration_seconds"] == transcript.duration_seconds
        assert (line["no_speech"], line["finish_reason"]) == (transcript.no_speech, transcript.finish_reason)
        assert line["segments"] == [vars(segment) for segment in transcript.segments]


def test_a_bad_recording_is_one_line_and_the_others_go_on(model: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.wav"
    text.write_text("no sound\n" * 100)
    done = iclal("transcribe", "--json", "--model", model, SPEECH, text, tmp_path / "none.wav", OTHER_SPEECH)
    assert done.status == 1
    assert [line.get("duration_seconds", "error") for line in done.lines] == [5.21, "error", "error", 2.085]
    errors = done.stderr.splitlines()
    assert len(errors) == 2 and all(line.startswith("error: ") for line in errors)
    assert "text.wav" in errors[0] and "none.wav does not exist" in errors[1]
    assert done.lines[1]["error"] in errors[0]


def test_what_was_not_finished_is_said(parts: Path, tmp_path: Path) -> None:
    """A random model hardly ever ends by itself; its text is no whole transcript, and nothing is cut in silence."""
    model = saved_model(parts, tmp_path / "model", window_seconds=3.0)
    lines = iclal("transcribe", "--json", "--model", model, SPEECH).json["segments"]
    cut = [line for line in lines if line["finish_reason"] != "end"]
    assert len(lines) > 1 and cut
    notes = iclal("transcribe", "--model", model, SPEECH).stderr.splitlines()
    assert len(notes) == len(cut)
    assert all(line.startswith(f"note: {SPEECH}") and " s: the transcript stopped" in line for line in notes)


def test_a_language_model_that_was_moved_can_be_named(model: Path, parts: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(parts / "lm-opt", tmp_path / "moved")
    alone = shutil.copytree(model, tmp_path / "far" / "away" / "model")
    assert "no language model at" in iclal("transcribe", "--model", alone, SPEECH).error
    done = iclal("transcribe", "--model", alone, "--language-model", moved, SPEECH)
    assert done.stdout == iclal("transcribe", "--model", model, SPEECH).stdout


def test_a_device_that_is_not_there_is_named(model: Path) -> None:
    done = iclal("transcribe", "--model", model, "--device", "cuda:7", SPEECH)
    assert done.status == 2
    assert "device 'cuda:7' is not available here; use auto or one of cpu" in done.error


# --- ask


def test_an_answer_is_printed_or_given_as_json(model: Path) -> None:
    asked = ("ask", "--model", model, "--instruction", "say it", SPEECH)
    said, given = iclal(*asked), iclal(*asked, "--json").json
    assert said.stdout == given["text"] + "\n"
    assert given["audio"] == str(SPEECH)
    assert len(given["token_ids"]) == len(given["log_probabilities"])
    assert given["finish_reason"] in ("end", "length", "repetition")


def test_candidates_are_ranked_with_their_log_probabilities(model: Path) -> None:
    asked = ("ask", "--model", model, "--question", "is it", "--candidate", "yes", "--candidate", "no", SPEECH)
    ranked = iclal(*asked, "--json").json["candidates"]
    assert {one["text"] for one in ranked} == {"yes", "no"}
    assert ranked[0]["log_probability"] >= ranked[1]["log_probability"]
    lines = iclal(*asked).stdout.splitlines()
    assert [line.split()[1] for line in lines] == [one["text"] for one in ranked]


def test_demonstrations_stand_before_the_query(model: Path, tmp_path: Path) -> None:
    """The prompt is the one that the template makes: the same answer by the Python interface."""
    from iclal.data.manifest import Utterance
    from iclal.data.prompt import Item, fill

    odd = shutil.copy(OTHER_SPEECH, tmp_path / "a=b.flac")
    done = iclal("ask", "--model", model, "--question", "who", "--demo", f"{odd}=who=me=you", "--json", SPEECH)
    loaded = load(model)
    shown = Item(Utterance("shown"), "me=you", "who")
    example = loaded.settings.template.example("", "", [shown], Item(Utterance("asked"), "", "who"))
    audio = {"shown": read_audio(odd), "asked": read_audio(SPEECH)}
    answer = loaded.generate(fill(example.prompt, lambda utterance: audio[utterance.id]))
    assert (done.json["text"], done.json["token_ids"]) == (answer.text, list(answer.token_ids))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.wav", "nothing is asked: give --instruction, --question or --demo"),
        ("--demo a.wav a.wav", "--demo a.wav: give AUDIO=ANSWER"),
        ("--question who --demo b.wav=me a.wav", "give AUDIO=QUESTION=ANSWER, as there is a --question"),
    ],
)
def test_a_question_that_is_none_is_refused_before_anything_is_loaded(line: str, message: str) -> None:
    done = iclal("ask", "--model", "nowhere", *line.split())
    assert done.status == 2 and message in done.error


# --- train, evaluate, pretrain


def trained(tmp_path: Path, encoder: Path, *more: object) -> Done:
    manifest = digits(tmp_path / "digits")
    if not (tmp_path / "lm").exists():
        build_language_model(tmp_path / "lm")
    return iclal(
        *("train", "own", f"language_model={tmp_path / 'lm'}", f"encoder={encoder}", f"data.train={manifest}"),
        *(*TRIAL, "--out", tmp_path / "run", *more),
    )


def test_training_writes_a_model_that_the_other_verbs_take(encoder: Path, tmp_path: Path) -> None:
    done = trained(tmp_path, encoder, "--json")
    assert done.status == 0
    assert done.json["model"] == str(tmp_path / "run" / "model")
    assert (done.json["step"], done.json["finish_reason"]) == (2, "finished")
    assert done.json["wer"] >= 0
    heard = iclal("transcribe", "--json", "--model", done.json["model"], SPEECH)
    assert heard.status == 0 and heard.json["duration_seconds"] == 5.21
    again = trained(tmp_path, encoder)
    assert again.status == 1
    assert f"error: {tmp_path / 'run'} already holds a run: go on with it by --resume" in again.stderr
    resumed = trained(tmp_path, encoder, "--resume")
    assert resumed.stdout.splitlines() == [str(tmp_path / "run" / "model")]
    assert "no run in" not in resumed.stderr


def test_a_run_to_be_resumed_that_is_not_there_is_begun_and_that_is_said(encoder: Path, tmp_path: Path) -> None:
    done = trained(tmp_path, encoder, "--resume")
    assert (done.status, done.stdout) == (0, f"{tmp_path / 'run' / 'model'}\n")
    assert done.stderr.splitlines()[0] == f"note: no run in {tmp_path / 'run'}: starting a new one"


def test_a_dry_run_estimates_and_writes_nothing(encoder: Path, tmp_path: Path) -> None:
    done = trained(tmp_path, encoder, "--dry-run", "--json")
    assert done.json["memory_mib"] > 0 and done.json["steps"] == 2
    assert not (tmp_path / "run").exists()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")  # a run that is there is none of an estimate's business
    assert trained(tmp_path, encoder, "--dry-run").status == 0


def test_recordings_that_are_too_long_are_counted(encoder: Path, tmp_path: Path) -> None:
    done = trained(tmp_path, encoder, "data.max_seconds=0.5", "--dry-run")
    seconds = [u.duration_seconds or 0 for u in read_manifest(tmp_path / "digits/manifest.jsonl")]
    count = sum(each > 0.5 for each in seconds)
    assert 0 < count < len(seconds)
    assert f"note: recordings not trained on: {count}, longer than 0.5 s" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("ctc steps=3", "steps: unknown key; near names: train.steps"),
        ("ctc train.step=3", "train.step: unknown key; near names: train.steps"),
        ("ctc connector.outptu=tied", "connector.ctc.outptu: unknown key; near names: connector.output"),
        ("ctc objectives.hearing=1", "known are transcription, alignment, distillation"),
        ("ctc train.steps=many", "train.steps: Input should be a valid integer"),
        ("ctc steps", "'steps' is not of the form key=value"),
        ("own", "data.train=MANIFEST) or the spoken world (data.passages=1000); neither is given"),
        ("ctc data.train=mine.jsonl", "both are given"),
        ("ctx", "no recipe 'ctx': give a YAML file or one of ctc,"),
    ],
)
def test_an_unknown_recipe_or_key_names_what_is_known(words: str, message: str, tmp_path: Path) -> None:
    done = iclal("train", *words.split(), "--out", tmp_path / "run")
    assert done.status == 2 and message in done.error
    assert not (tmp_path / "run").exists()


def test_two_models_of_one_name_are_refused(model: Path, tmp_path: Path) -> None:
    for name in "ab":
        shutil.copytree(model, tmp_path / name / "ears" / "model")
    done = iclal("evaluate", "--model", tmp_path / "a/ears/model", "--model", tmp_path / "b/ears/model")
    assert done.status == 2 and "would both be 'ears' in the report" in done.error


@pytest.mark.slow
def test_an_evaluation_prints_its_table_or_its_rows(parts: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        saved_model(parts, tmp_path / name / "model", seed=len(name))
    manifest = digits(tmp_path / "digits")
    models = ("--model", tmp_path / "one/model", "--model", tmp_path / "two/model")
    asked = ("evaluate", *models, "--manifest", manifest, "--queries", 4, "--out", tmp_path / "out")
    done = iclal(*asked, "--json")
    assert done.status == 0
    assert {row["model"] for row in done.json["rows"]} == {"one", "two"}
    assert {row["task"] for row in done.json["rows"]} == {"transcript", "questions", "summary"}
    assert json.loads((tmp_path / "out/report.json").read_text())["rows"] == done.json["rows"]
    said = iclal(*asked)
    assert "transcript" in said.stdout and f"report: {tmp_path / 'out' / 'report.html'}" in said.stdout


@pytest.mark.parametrize("what", ["language-model", "encoder"])
def test_pretraining_refuses_what_its_recipe_does_not_know(what: str, tmp_path: Path) -> None:
    done = iclal("pretrain", what, "train.step=3", "--out", tmp_path / "run")
    assert done.status == 2 and "train.step: unknown key; near names: train.steps" in done.error
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_an_encoder_is_pretrained_by_command(tmp_path: Path) -> None:
    small = "passages=6 digit_strings=2 no_speech=1 width=32 channels=32 layers=1 train.steps=1".split()
    done = iclal("pretrain", "encoder", f"data={DATA}", *small, "--out", tmp_path / "encoder", "--json")
    assert done.status == 0
    assert done.json["model"] == str(tmp_path / "encoder/model")
    assert done.json["finish_reason"] == "finished"
    assert Encoder.load(tmp_path / "encoder/model").width == 32
    longer = ("pretrain", "encoder", "train.steps=2", "passages=7", "--out", tmp_path / "encoder", "--resume", "--json")
    refused = iclal(*longer)
    assert refused.status == 1 and "passages: 6 in the run, 7 now" in refused.stderr
    assert "go on all the same by --accept-changes" in refused.stderr
    gone_on = iclal(*longer, "--accept-changes")
    assert (gone_on.status, gone_on.json["finish_reason"]) == (0, "finished")


def test_the_doctor_names_everything_and_fails_where_something_needed_is_missing() -> None:
    done = iclal("doctor", "--json")
    findings = done.json
    assert findings["iclal"] == __version__
    assert {"torch", "espeakng-loader", "devices", "bundled ears-ctc", "cache"} <= findings.keys()
    assert done.status == any("MISSING" in value or ", needs " in value for value in findings.values())
    assert len(iclal("doctor").stdout.splitlines()) == len(findings)
    project = tomllib.loads((DATA.parent / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(optional[name][0] for name in ("synth", "eval", "media", "data", "track"))]
    assert {re.split("[<>=]", each)[0].lower().replace("_", "-") for each in wanted} <= findings.keys()


# --- the program, as a process


def test_the_trace_of_an_error_is_shown_by_debug_alone(tmp_path: Path) -> None:
    asked = ("data", "check", tmp_path / "none.jsonl")
    assert iclal(*asked).error.startswith("no manifest at")
    with pytest.raises(DataError, match="no manifest at"):
        cli.main([str(word) for word in (*asked, "--debug")])
    done = run(*asked, "--debug")
    assert done.status == 1 and "Traceback" in done.stderr


def test_an_unforeseen_error_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    terminal.make_quiet(debug=False)
    sys.excepthook(ZeroDivisionError, ZeroDivisionError("by\nzero"), None)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ZeroDivisionError: by zero; this should not happen")


def test_ctrl_c_ends_with_130(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "never")  # whoever reads it waits for what we never write
    # a suite that was started in the background ignores Ctrl-C, and its children would too
    process = start("score", tmp_path / "never", tmp_path / "never", preexec_fn=restore_interrupt)
    writer = None
    while writer is None:
        assert process.poll() is None
        with contextlib.suppress(OSError):  # nobody reads yet
            writer = os.open(tmp_path / "never", os.O_WRONLY | os.O_NONBLOCK)
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    try:
        stdout, stderr = process.communicate(timeout=60)
    finally:
        os.close(writer)
        process.kill()
    assert (process.returncode, stdout, stderr) == (130, "", "stopped\n")


def test_sigterm_interrupts_where_a_report_is_due_and_the_handler_of_before_is_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), terminal.interrupted_by_sigterm():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)  # it comes between two instructions, not at once
    assert signal.getsignal(signal.SIGTERM) is before


def restore_interrupt() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text("".join(f'{{"id": "{number}", "colour": 1}}\n' for number in range(100)))
    process = start("data", "check", "--json", manifest)
    assert process.stdout and process.stderr
    process.stdout.close()
    assert (process.wait(), process.stderr.read()) == (0, "")


def test_a_full_disk_under_standard_output_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one two\n")
    with open("/dev/full", "w") as full:
        done = run("score", tmp_path / "a.txt", tmp_path / "a.txt", stdout=full)
    assert done.status == 1
    assert done.error == "cannot write: No space left on device; free space or choose another disk"


@pytest.mark.slow
def test_the_whole_program_prints_results_alone(model: Path, tmp_path: Path) -> None:
    done = run("transcribe", "--json", "--model", model, SPEECH, tmp_path / "없는 파일.wav")
    assert done.status == 1
    assert [line["audio"] for line in done.lines] == [str(SPEECH), str(tmp_path / "없는 파일.wav")]
    assert done.error == f"{tmp_path / '없는 파일.wav'} does not exist"
