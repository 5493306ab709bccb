"""Spoken digits: the 1000 clips of the data folder, and the official folder of wavs made of them, say the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from iclal.audio.reading import read_audio
from iclal.data.corpora.digits import Options, read
from iclal.data.corpora.reader import Candidate, Problem
from iclal.data.manifest import read_manifest
from iclal.data.prepare import prepare
from iclal.data.schema import check_manifest
from iclal.errors import DataError

DATA = Path(__file__).parents[2] / "data" / "fsdd"
LINES = [json.loads(line) for line in (DATA / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]


def items(source: Path, **options: Any) -> tuple[list[Candidate], list[Problem]]:
    found = list(read(source, Options.build(options)))
    return [item for item in found if isinstance(item, Candidate)], [i for i in found if isinstance(i, Problem)]


def test_all_clips_of_the_data_folder_are_read_as_its_manifest_has_them(tmp_path: Path) -> None:
    summary = prepare("digits", DATA, tmp_path)
    assert (summary.found, summary.kept, summary.warnings.total()) == (1000, 1000, 0)
    assert check_manifest(tmp_path / "manifest.jsonl").ok
    for one, line in zip(read_manifest(tmp_path / "manifest.jsonl"), LINES, strict=True):
        assert (one.id, one.text, one.label) == (line["id"], line["text"], line["text"])
        assert (one.speaker, one.split, one.extra["take"]) == (line["speaker"], line["split"], line["take"])
        assert one.start_seconds == pytest.approx(line["start_sample"] / 16_000, abs=1e-9)
        assert one.duration_seconds == pytest.approx(line["num_samples"] / 16_000, abs=1e-6)
    for one, line in zip(items(DATA, split="by-speaker")[0], LINES, strict=True):
        assert one.utterance.split == line["split_by_speaker"]


def test_a_clip_of_a_joined_file_is_the_samples_that_the_manifest_names(tmp_path: Path) -> None:
    prepare("digits", DATA, tmp_path)
    for one, line in list(zip(read_manifest(tmp_path / "manifest.jsonl"), LINES, strict=True))[::199]:
        assert one.audio_path
        heard = read_audio(one.audio_path, start_seconds=one.start_seconds, duration_seconds=one.duration_seconds)
        start = line["start_sample"]
        samples = soundfile.read(DATA / line["audio"], start=start, stop=start + line["num_samples"], dtype="float32")[
            0
        ]
        assert np.array_equal(heard.samples, samples)


def test_the_official_folder_gives_the_same_utterances(tmp_path: Path) -> None:
    chosen = LINES[::25]
    for line in chosen:
        wav = tmp_path / "fsdd" / line["source"]
        wav.parent.mkdir(parents=True, exist_ok=True)
        start = line["start_sample"]
        soundfile.write(
            wav, soundfile.read(DATA / line["audio"], start=start, frames=line["num_samples"])[0][::2], 8_000
        )
    summary = prepare("digits", tmp_path / "fsdd", tmp_path / "out")
    assert (summary.found, summary.kept) == (len(chosen), len(chosen))
    found = {one.id: one for one in read_manifest(tmp_path / "out" / "manifest.jsonl")}
    expected = {one.utterance.id: one.utterance for one in items(DATA)[0]}
    for id, one in found.items():
        like = expected[id]
        assert (one.text, one.label, one.speaker, one.split) == (like.text, like.label, like.speaker, like.split)
        assert one.duration_seconds == pytest.approx(like.duration_seconds, abs=1e-3)
    assert items(tmp_path / "fsdd" / "recordings")[0][0].utterance.id in found


def test_faults_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    clip = np.zeros(800, np.float32)
    soundfile.write(folder / "7_jackson_32.wav", clip, 8_000)
    soundfile.write(folder / "7_jackson_33.wav", clip, 16_000)
    soundfile.write(folder / "seven.wav", clip, 8_000)
    (folder / "1_theo_1.wav").write_bytes(b"")
    (folder / "loop").symlink_to(folder)
    summary = prepare("digits", tmp_path, tmp_path / "out")
    assert summary.dropped == {"empty-audio": 1, "wrong-rate": 1, "bad-name": 1} and summary.kept == 1
    assert summary.warnings == {"symlink-loop": 1} and summary.found == 4


def test_faults_of_the_joined_form_are_told_with_their_line(tmp_path: Path) -> None:
    shutil.copytree(DATA / "audio", tmp_path / "audio")
    good = LINES[0]
    lines = [
        json.dumps(good),
        json.dumps({name: value for name, value in good.items() if name != "take"}),
        "{",
        json.dumps(good | {"take": 1, "audio": "../audio/george.ogg"}),
        json.dumps(good | {"take": 2, "label": 10}),
        json.dumps(good | {"take": 3, "start_sample": 10**9}),
    ]
    (tmp_path / "manifest.jsonl").write_text("\n".join(lines))
    summary = prepare("digits", tmp_path, tmp_path / "out")
    problems = [json.loads(line) for line in (tmp_path / "out" / "problems.jsonl").read_text().splitlines()]
    assert [(problem["line"], problem["reason"]) for problem in problems] == [
        (2, "missing-field"),
        (3, "broken-json"),
        (4, "path-outside-source"),
        (5, "missing-field"),
        (6, "span-outside-audio"),
    ]
    assert (summary.found, summary.kept) == (6, 1)


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no wavs named DIGIT_SPEAKER_TAKE\.wav"):
        items(tmp_path)
