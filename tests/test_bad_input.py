"""Bad input, at the command line and in Python: a correct result or a typed error of one line, never a trace.

What `read_audio` and `load` refuse by themselves is tested beside them (tests/audio, tests/model).
"""

from __future__ import annotations

import json
import shutil
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from model_builders import build_encoder, build_language_model
from program import DATA, SPEECH, digits, full_disk, iclal, other_language_model, read_only_disk, run, saved_model

from iclal import load, read_audio
from iclal.audio.speaking import Espeak
from iclal.errors import AudioError, MissingError, ModelError, PromptError, SettingsError
from iclal.model.language_model import LanguageModel
from iclal.training.recipe import read_recipe

RATE = 16_000


@pytest.fixture(scope="module")
def model(parts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_model(parts, tmp_path_factory.mktemp("bad-input") / "model")


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """Real speech, float32 [S] at 16 kHz."""
    return read_audio(SPEECH).samples


def write(path: Path, samples: np.ndarray, rate: int = RATE, subtype: str = "PCM_16") -> Path:
    soundfile.write(path, samples, rate, subtype=subtype, format="WAV")
    return path


# --- recordings that are unusual


def test_all_lossless_forms_are_heard_alike(model: Path, speech: np.ndarray, tmp_path: Path) -> None:
    stereo = np.stack([speech, speech], 1)
    forms = [
        write(tmp_path / "16-bit.wav", speech),
        write(tmp_path / "24-bit.wav", speech, subtype="PCM_24"),
        write(tmp_path / "float.wav", speech, subtype="FLOAT"),
        write(tmp_path / "stereo.wav", stereo),
        write(tmp_path / "stereo-float.wav", stereo, subtype="FLOAT"),
    ]
    done = iclal("transcribe", "--json", "--model", model, *forms)
    assert (done.status, done.stderr) == (0, "")
    heard = [{name: value for name, value in line.items() if name != "audio"} for line in done.lines]
    assert heard[0]["text"] and all(line == heard[0] for line in heard)


def test_lossy_and_resampled_forms_are_heard_whole(model: Path, speech: np.ndarray, tmp_path: Path) -> None:
    forms = [
        write(tmp_path / "8-bit.wav", speech, subtype="PCM_U8"),
        write(tmp_path / "8-kHz.wav", speech[::2], 8_000),
        write(tmp_path / "48-kHz.wav", np.repeat(speech, 3), 48_000),
        write(tmp_path / "44-kHz.wav", np.repeat(speech, 3)[: int(5.21 * 44_100)], 44_100),
    ]
    done = iclal("transcribe", "--json", "--model", model, *forms)
    assert (done.status, done.stderr) == (0, "")
    assert [line["duration_seconds"] for line in done.lines] == pytest.approx([5.21] * 4, abs=1e-3)
    assert all(line["segments"][-1]["end_seconds"] == line["duration_seconds"] for line in done.lines)


@pytest.mark.parametrize("sound", [np.zeros, np.ones])  # digital silence does not come as far as the encoder
@pytest.mark.parametrize("num_samples", [0, 1, 160, 399, 400, 1600])
def test_very_short_recordings_are_transcribed_and_asked_about(
    model: Path, num_samples: int, sound: Callable[[int], np.ndarray], tmp_path: Path
) -> None:
    noise = np.random.default_rng(num_samples).normal(0, 0.1, num_samples)
    path = write(tmp_path / "short.wav", (sound(num_samples) * noise).astype(np.float32))
    line = iclal("transcribe", "--json", "--model", model, path).json
    assert line["duration_seconds"] == num_samples / RATE
    assert line["no_speech"] == (not line["text"])
    if num_samples < 400:  # not one frame of the encoder: nothing is heard, and nothing is made up
        assert (line["text"], line["no_speech"]) == ("", True)
    assert iclal("ask", "--model", model, "--instruction", "say it", path).status == 0


def test_silence_has_no_speech(parts: Path, tmp_path: Path) -> None:
    """By ears that find blanks alone where nothing is said, as trained ones do."""
    model = saved_model(parts, tmp_path / "model", hear_nothing)
    path = write(tmp_path / "silent.wav", np.zeros(3 * RATE, np.float32))
    line = iclal("transcribe", "--json", "--model", model, path).json
    assert (line["text"], line["no_speech"], line["finish_reason"]) == ("", True, "end")
    assert iclal("transcribe", "--model", model, path).stdout == "\n"


@pytest.mark.slow
def test_an_hour_is_heard_from_its_first_to_its_last_second(parts: Path, speech: np.ndarray, tmp_path: Path) -> None:
    model = saved_model(parts, tmp_path / "model", hear_nothing)
    hour = np.zeros(3600 * 8000, np.float32)
    for minute in (0, 17, 31, 59):
        hour[minute * 480_000 :][: len(speech) // 2] = speech[::2]
    line = iclal("transcribe", "--json", "--model", model, write(tmp_path / "hour.wav", hour, 8000, "PCM_U8")).json
    assert line["duration_seconds"] == 3600
    ends = [0.0]
    for segment in line["segments"]:
        assert segment["start_seconds"] == ends[-1]
        ends.append(segment["end_seconds"])
    assert ends[-1] == 3600
    window = load(model).settings.window_seconds
    assert max(np.diff(ends)) <= window + 1e-6 and len(line["segments"]) >= 3600 / window


def hear_nothing(model: Any) -> None:
    """CTC that is sure of its blank everywhere."""
    with torch.no_grad():
        model.connector.output.bias[model.connector.blank] = 1e4


# --- recordings that are none


def lying(path: Path, place: int, number: int) -> None:
    """Overwrite four bytes of a WAV header."""
    content = bytearray(path.read_bytes())
    content[place : place + 4] = struct.pack("<I", number)
    path.write_bytes(content)


def no_numbers(path: Path) -> None:
    samples = np.zeros(1000)
    samples[500] = np.nan
    write(path, samples, subtype="FLOAT")


NO_RECORDINGS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "nothing": (lambda path: path.write_bytes(b""), "empty, 0 bytes"),
    "nan": (no_numbers, r"NaN or infinite sample at 500 \(0\.031 s\)"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:3000]), "truncated"),
    "claims-more": (lambda path: lying(path, 40, 10**6), "truncated"),
    "impossible-rate": (
        lambda path: lying(path, 24, 7),
        "a rate of 7 Hz is not believed|no recording that can be read",
    ),
    "text": (lambda path: path.write_text("no sound\n" * 99), "no recording that can be read"),
    "missing": (lambda path: path.unlink(), "does not exist"),
    "folder": (lambda path: (path.unlink(), path.mkdir()), "is a directory"),
}


def spoil(folder: Path) -> dict[str, Path]:
    """One file of each kind."""
    paths = {name: write(folder / f"{name}.wav", np.zeros(4000, np.float32)) for name in NO_RECORDINGS}
    for name, (damage, _) in NO_RECORDINGS.items():
        damage(paths[name])
    return paths


def test_each_bad_recording_is_one_line_and_the_good_one_is_heard(model: Path, tmp_path: Path) -> None:
    paths = spoil(tmp_path)
    done = iclal("transcribe", "--json", "--model", model, *paths.values(), SPEECH)
    assert done.status == 1
    errors = done.stderr.splitlines()
    assert len(errors) == len(paths)
    for (name, path), error, line in zip(paths.items(), errors, done.lines, strict=False):
        assert error.startswith("error: ") and str(path) in error
        with pytest.raises(AudioError, match=NO_RECORDINGS[name][1]) as caught:
            read_audio(path)
        assert error == f"error: {caught.value}" and line == {"audio": str(path), "error": str(caught.value)}
    assert done.lines[-1]["duration_seconds"] == 5.21


@pytest.mark.parametrize("name", NO_RECORDINGS)
def test_a_bad_query_or_demonstration_is_one_line(name: str, model: Path, tmp_path: Path) -> None:
    path = spoil(tmp_path)[name]
    query = iclal("ask", "--model", model, "--instruction", "say it", path)
    shown = iclal("ask", "--model", model, "--demo", f"{path}=yes", SPEECH)
    assert (query.status, query.stdout, shown.status, shown.stdout) == (1, "", 1, "")
    assert query.error == shown.error and str(path) in query.error


def test_a_manifest_of_bad_recordings_is_told_line_by_line(tmp_path: Path) -> None:
    lines = [{"id": name, "audio": path.name, "text": "a"} for name, path in spoil(tmp_path).items()]
    (tmp_path / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = iclal("data", "check", tmp_path / "manifest.jsonl", "--json")
    assert done.status == 1
    found = {problem["id"]: problem["reason"] for problem in done.json["problems"] if problem["dropped"]}
    by_header = {name: "unreadable-audio" for name in NO_RECORDINGS} | dict.fromkeys(
        ("missing", "folder"), "missing-audio"
    )
    del by_header["nan"]  # samples are not looked at
    assert found == by_header


def test_an_array_needs_its_rate_and_an_utterance_in_training_its_recording(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="an array needs its rate"):
        read_audio(np.zeros(100, np.float32))
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text('{"id": "a", "audio": "none.wav", "text": "one"}\n{"id": "b", "text": "two"}\n')
    done = iclal("train", "own", f"data.train={manifest}", "--out", tmp_path / "run")
    assert done.status == 1 and "none.wav does not exist" in done.error


def test_a_place_without_the_human_speech_is_told_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outside of a checkout `data` is not there: the recipes of the bundled ears name it."""
    monkeypatch.setenv("ICLAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for verb, way_out in {
        ("train", "linear"): "data.human=null",
        ("train", "ctc-distillation", "--dry-run"): "data.human=null",
        ("train", "ctc", "data.human=elsewhere"): "data.human=null",
        ("pretrain", "encoder"): "data=FOLDER",
        ("evaluate", "--human", "elsewhere"): "--human FOLDER",
    }.items():
        done = iclal(*verb)
        assert done.status == 1
        assert "no human speech at " in done.error and "speechocean762/manifest.jsonl" in done.error
        assert way_out in done.error
    assert not list(tmp_path.iterdir())


# --- prompts and models


def test_a_prompt_longer_than_the_positions_is_refused_with_the_numbers(model: Path) -> None:
    done = iclal("ask", "--model", model, "--instruction", "word " * 600, SPEECH)
    assert done.status == 1 and not done.stdout
    assert "512" in done.error
    loaded = load(model)
    with pytest.raises(PromptError, match="512"):
        loaded.generate((read_audio(SPEECH), *[read_audio(SPEECH)] * 9))
    with pytest.raises(PromptError, match="512"):
        loaded.score_candidates((read_audio(SPEECH),), ["a " * 600])


def test_a_wrong_model_folder_is_one_line(model: Path, parts: Path, tmp_path: Path) -> None:
    without_weights = shutil.copytree(model, tmp_path / "without")
    (without_weights / "model.safetensors").unlink()
    (tmp_path / "file").write_text("no model")
    for folder, reason in {
        tmp_path / "nowhere": "no model at",
        tmp_path: "it has no config.json",
        tmp_path / "file": "it has no config.json",
        parts / "lm-opt": "no model folder of ICLAL",
        parts / "encoder-layer": "no model folder of ICLAL",
        without_weights: "weights are missing",
    }.items():
        for verb in (("transcribe",), ("ask", "--instruction", "say it")):
            done = iclal(*verb, "--model", folder, SPEECH)
            assert done.status == 1 and reason in done.error and str(folder) in done.error
        evaluated = iclal("evaluate", "--model", folder, "--out", tmp_path / "out")
        assert evaluated.status == 1 and reason in evaluated.error
        with pytest.raises(ModelError, match=reason):
            load(folder)


def test_another_language_model_is_refused_with_both_digests(model: Path, tmp_path: Path) -> None:
    other = other_language_model(tmp_path / "other")
    digests = load(model).language_model.embedding_digest, LanguageModel.load(other).embedding_digest
    for verb in (
        ("transcribe", SPEECH),
        ("ask", "--instruction", "x", SPEECH),
        ("evaluate", "--out", tmp_path / "out"),
    ):
        done = iclal(*verb, "--model", model, "--language-model", other)
        assert done.status == 1
        assert all(digest in done.error for digest in digests)


def test_training_on_what_is_no_model_is_one_line(parts: Path, tmp_path: Path) -> None:
    manifest = digits(tmp_path / "digits")
    lm, encoder = build_language_model(tmp_path / "lm"), build_encoder(tmp_path / "encoder")
    for language_model, ears, reason in (
        (tmp_path / "none", encoder, "no language model at"),
        (encoder, encoder, "cannot load the"),
        (lm, tmp_path / "none", "no encoder at"),
        (lm, lm, "must be wav2vec2"),
    ):
        wanted = (f"language_model={language_model}", f"encoder={ears}", f"data.train={manifest}")
        done = iclal("train", "own", *wanted, "--out", tmp_path / "run")
        assert done.status == 1 and reason in done.error
        assert not (tmp_path / "run").exists()


def test_a_half_precision_opt_is_widened_and_says_so(tmp_path: Path) -> None:
    build_language_model(tmp_path / "parts" / "lm-opt", dtype=torch.float16)
    model = saved_model(tmp_path / "parts", tmp_path / "model")
    done = iclal("transcribe", "--json", "--model", model, SPEECH)
    assert done.status == 0 and done.json["duration_seconds"] == 5.21
    (said,) = done.stderr.splitlines()
    assert said.startswith("note: ") and "stored in float16, held in float32" in said
    assert load(model).language_model.dtype == torch.float32


def test_an_unknown_recipe_key_names_what_is_near() -> None:
    with pytest.raises(SettingsError, match=r"train\.stepz: unknown key; near names: train\.steps"):
        read_recipe("own", ["train.stepz=3"])
    assert "near names: train.steps" in iclal("train", "own", "train.stepz=3").error


# --- what the machine lacks


def test_without_espeak_the_line_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    monkeypatch.setenv("ICLAL_CACHE", str(tmp_path / "cache"))
    with pytest.raises(MissingError, match=r"pip install 'iclal\[synth\]'"):
        Espeak()
    (tmp_path / "table.jsonl").write_text('{"id": "a", "text": "one two"}\n')
    for verb in (
        ("prepare", "folder", tmp_path / "table.jsonl", tmp_path / "out", "--synthesise"),
        ("world", "--as", "librispeech", tmp_path / "world"),
        ("train", "ctc", "data.passages=5", "--out", tmp_path / "run"),
        ("quickstart", "--out", tmp_path / "quickstart"),
        ("pretrain", "encoder", "passages=5", "--out", tmp_path / "encoder"),
    ):
        done = iclal(*verb)
        assert done.status == 1
        assert "pip install 'iclal[synth]'" in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr


def test_a_file_where_a_folder_is_needed_is_one_line_with_its_path(tmp_path: Path) -> None:
    manifest = digits(tmp_path / "digits")
    other = digits(tmp_path / "other", speakers=("yweweler",))
    lm, encoder = build_language_model(tmp_path / "lm"), build_encoder(tmp_path / "encoder")
    (tmp_path / "file").write_text("in the way")
    place = tmp_path / "file" / "out"
    own = (f"language_model={lm}", f"encoder={encoder}", f"data.train={manifest}", "train.steps=1")
    for verb in (
        ("prepare", "digits", SPEECH.parents[2] / "fsdd", place),
        ("data", "split", manifest, place, "train=0.5", "test=0.5"),
        ("data", "sample", manifest, place, "--count", 1),
        ("data", "merge", place, manifest, other),
        ("data", "show", manifest, "--out", place),
        ("train", "own", *own, "--out", place),
    ):
        done = iclal(*verb)
        assert done.status == 1, verb
        last = done.stderr.splitlines()[-1]
        assert last.startswith("error: ") and str(tmp_path / "file") in last
        assert "Traceback" not in done.stderr
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_full_disk_is_one_line_with_the_path_and_leaves_no_half_file(tmp_path: Path) -> None:
    manifest = digits(tmp_path / "digits")
    out = tmp_path / "out"
    (tmp_path / "out").mkdir()
    for verb in (
        ("prepare", "digits", SPEECH.parents[2] / "fsdd", out / "corpus"),
        ("data", "split", manifest, out / "splits", "train=0.5", "test=0.5"),
        ("data", "sample", manifest, out / "sample.jsonl", "--count", 12),
        ("data", "merge", out / "merged.jsonl", manifest),
        ("data", "show", manifest, "--out", out / "page.html"),
    ):
        with full_disk():
            done = iclal(*verb)
        assert done.status == 1, verb
        assert "File too large" in done.error and "free space" in done.error and str(out) in done.error
    assert not [path for path in out.rglob("*") if path.is_file() and not path.name.endswith(".partial")]


def test_a_read_only_disk_is_one_line_with_the_path(tmp_path: Path) -> None:
    manifest = digits(tmp_path / "digits")
    lm, encoder = build_language_model(tmp_path / "lm"), build_encoder(tmp_path / "encoder")
    own = (f"language_model={lm}", f"encoder={encoder}", f"data.train={manifest}", "validation_clips=1")
    out = tmp_path / "mounted" / "out"
    out.mkdir(parents=True)
    for verb in (
        ("prepare", "digits", SPEECH.parents[2] / "fsdd", out / "corpus"),
        ("world", "--as", "librispeech", out / "world", "--size", 4),
        ("data", "split", manifest, out / "splits", "train=0.5", "test=0.5"),
        ("data", "sample", manifest, out / "sample.jsonl", "--count", 12),
        ("data", "merge", out / "merged.jsonl", manifest),
        ("data", "show", manifest, "--out", out / "page.html"),
        ("train", "own", *own, "train.steps=1", "--out", out / "run"),
        ("evaluate", "--manifest", manifest, "--out", out / "evaluation"),
    ):
        with read_only_disk(tmp_path / "mounted"):
            done = iclal(*verb)
        assert done.status == 1 and "Traceback" not in done.stderr, verb
        last = done.stderr.splitlines()[-1]
        assert last.startswith("error: ") and str(out) in last and "Read-only file system" in last
        assert "choose a" in last or "give the command again" in last
    assert not list(out.iterdir())


def test_a_full_disk_under_the_cache_is_one_line_for_all_that_speak(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Speech is made first: what cannot be kept is told before anything is trained."""
    monkeypatch.setenv("ICLAL_CACHE", str(tmp_path / "cache"))
    for verb in (
        ("quickstart", "data.passages=2", "--out", tmp_path / "quickstart"),
        ("pretrain", "encoder", f"data={DATA}", "passages=2", "--out", tmp_path / "encoder"),
        ("world", "--as", "librispeech", tmp_path / "world", "--size", 4),
    ):
        with full_disk():
            done = iclal(*verb)
        assert done.status == 1 and "Traceback" not in done.stderr, verb
        last = done.stderr.splitlines()[-1]
        assert last.startswith("error: ") and str(tmp_path) in last and "File too large" in last
        assert "free space" in last


@pytest.mark.slow
def test_a_disk_that_fills_up_under_a_report_is_one_line(model: Path, tmp_path: Path) -> None:
    manifest = digits(tmp_path / "digits")
    with full_disk(2000):
        done = iclal("evaluate", "--model", model, "--manifest", manifest, "--queries", 1, "--out", tmp_path / "out")
    assert done.status == 1 and "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: ") and str(tmp_path / "out") in last and "File too large" in last


def test_a_disk_that_fills_up_in_training_is_one_line_and_the_run_can_go_on(tmp_path: Path) -> None:
    lm, encoder = build_language_model(tmp_path / "lm"), build_encoder(tmp_path / "encoder")
    wanted = (f"language_model={lm}", f"encoder={encoder}", f"data.train={digits(tmp_path / 'digits')}")
    few = ("train.steps=1", "validation_clips=1", "train.tensorboard=false", "--out", tmp_path / "run")
    with full_disk(20_000):
        done = iclal("train", "own", *wanted, *few)
    assert done.status == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: ") and str(tmp_path / "run") in last and "Traceback" not in done.stderr
    assert iclal("train", "own", *wanted, *few, "--resume").stdout == f"{tmp_path / 'run' / 'model'}\n"


@pytest.mark.slow
def test_results_that_cannot_be_written_are_one_line(model: Path) -> None:
    with open("/dev/full", "w") as full:
        done = run("transcribe", "--json", "--model", model, SPEECH, stdout=full)
    assert done.status == 1
    assert done.error == "cannot write: No space left on device; free space or choose another disk"
