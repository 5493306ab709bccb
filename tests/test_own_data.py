"""docs/own-data.md, run as it stands: 20 recordings and a JSONL, an OPT and a Llama folder on disk."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import soundfile
from model_builders import build_encoder, build_language_model

from iclal.cli import main
from iclal.data.manifest import Question, Utterance, write_manifest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "own-data.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
(TRIAL,) = re.findall(r"```\n(train\.steps=.*?)\n```", PAGE)
(SCRIPT,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
SPEAKERS = {"ann": "george", "bob": "jackson", "cem": "nicolas", "dan": "theo", "eve": "yweweler"}
DIGITS = "3141 2718 1618 5772".split()
WORDS = "zero one two three four five six seven eight nine".split()


def record(folder: Path) -> Path:
    """Twenty recordings of four spoken digits, joined from real ones, and their manifest as the page describes it."""
    clips: dict[tuple[str, str], list[Utterance]] = {}
    for utterance in digits():
        clips.setdefault((utterance.speaker or "", utterance.text or ""), []).append(utterance)
    folder.mkdir()
    written = []
    for name, speaker in SPEAKERS.items():
        for number, string in enumerate(DIGITS, 1):
            words = [WORDS[int(digit)] for digit in string]
            pieces = [samples_of(clips[speaker, word][number]) for word in words]
            id = f"{name}-{number:02}"
            soundfile.write(folder / f"{id}.wav", np.concatenate(pieces), 16_000)
            question = Question("first", "which digit comes first", (words[0],))
            written.append(Utterance(id, audio=f"{id}.wav", speaker=name, text=" ".join(words), questions=(question,)))
    assert write_manifest(folder / "manifest.jsonl", written) == 20
    return folder


def digits() -> list[Utterance]:
    """The digits of the data folder, whose lines have fields of their own."""
    root = ROOT / "data" / "fsdd"
    lines = [json.loads(line) for line in (root / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    kept = ("id", "audio", "text", "speaker", "start_seconds", "duration_seconds")
    return [Utterance(**{name: line[name] for name in kept}, root=root) for line in lines]


def samples_of(clip: Utterance) -> np.ndarray:
    assert clip.audio_path and clip.start_seconds is not None and clip.duration_seconds
    start = round(clip.start_seconds * 16_000)
    return soundfile.read(clip.audio_path, start=start, stop=start + round(clip.duration_seconds * 16_000))[0]


def run(command: str) -> str:
    """A command of the page, in this process; what it printed."""
    program, *words = shlex.split(command)
    assert program == "iclal"
    said = io.StringIO()
    with contextlib.redirect_stdout(said), pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 0, command
    return said.getvalue()


@pytest.mark.slow
def test_every_command_of_the_page_works_in_its_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ICLAL_CACHE", str(tmp_path / "cache"))
    record(tmp_path / "recordings")
    for family in ("opt", "llama"):
        build_language_model(tmp_path / "models" / family, family, max_position_embeddings=2048)
    build_encoder(tmp_path / "models" / "wav2vec2")
    printed = {}
    for command in COMMANDS:
        trial = f" {TRIAL}" if command.startswith("iclal train") else ""
        printed[command] = run(command + trial)
    said = list(printed.values())
    assert "20" in said[0]
    assert "MiB at the peak" in said[2]
    rows = json.loads((tmp_path / "runs/opt/evaluation/report.json").read_text())["rows"]
    assert {"transcript", "questions"} == {row["task"] for row in rows}
    assert {0, 2} == {row["shots"] for row in rows}
    assert (tmp_path / "runs/opt/evaluation/report.html").stat().st_size > 10_000
    assert set(json.loads(said[-1])) >= {"audio", "text", "duration_seconds", "no_speech"}
    exec(compile(SCRIPT, "docs/own-data.md", "exec"), {})


def test_the_pages_manifest_line_is_one_that_the_test_writes(tmp_path: Path) -> None:
    record(tmp_path / "recordings")
    line = re.findall(r"```json\n(.*?)\n```", PAGE, re.DOTALL)[0]
    written = (tmp_path / "recordings" / "manifest.jsonl").read_text(encoding="utf-8").splitlines()[0]
    assert json.loads(line) == json.loads(written)
    assert Utterance.from_json(json.loads(line)).questions[0].answers == ("three",)


def test_the_page_covers_the_whole_way() -> None:
    verbs = [command.split()[1] for command in COMMANDS]
    assert list(dict.fromkeys(verbs)) == ["data", "train", "evaluate", "score", "transcribe", "ask"]
    assert sum("--dry-run" in command for command in COMMANDS) == 1
    assert {"models/opt", "models/llama"} == set(re.findall(r"language_model=(\S+)", " ".join(COMMANDS)))
    assert all("train.steps" not in command for command in COMMANDS)
