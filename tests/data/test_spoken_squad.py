"""Spoken-SQuAD: all 109 paragraphs at three noise levels with 310 questions, wavs joined, every fault told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from iclal.data.corpora.reader import Candidate, Problem
from iclal.data.corpora.spoken_squad import Options, read
from iclal.data.manifest import read_manifest
from iclal.data.prepare import prepare
from iclal.data.schema import check_manifest
from iclal.errors import DataError

DATA = Path(__file__).parents[2] / "data" / "spoken_squad"
FILES = {"clean": "", "WER44": "_WER44", "WER54": "_WER54"}


def items(source: Path, **options: Any) -> tuple[list[Candidate], list[Problem]]:
    found = list(read(source, Options.build(options)))
    return [item for item in found if isinstance(item, Candidate)], [i for i in found if isinstance(i, Problem)]


def test_all_paragraphs_and_questions_of_the_official_files_are_read_as_they_stand(tmp_path: Path) -> None:
    summary = prepare("spoken-squad", DATA, tmp_path)
    assert (summary.found, summary.kept, summary.dropped.total()) == (327, 327, 0)
    assert check_manifest(tmp_path / "manifest.jsonl").ok
    assert summary.warnings == {"wrong-answer-offsets": 2}
    read_back = {one.id: one for one in read_manifest(tmp_path / "manifest.jsonl")}
    for level, suffix in FILES.items():
        official = json.loads((DATA / f"spoken_test-v1.1{suffix}.subset.json").read_text())["data"]
        questions = 0
        for topic in official:
            for number, paragraph in enumerate(topic["paragraphs"]):
                one = read_back.pop(f"test-{topic['title']}-{number}" + ("" if level == "clean" else f"-{level}"))
                assert one.text == paragraph["context"].strip() and one.split == "test" and one.audio is None
                assert one.extra["noise"] == level
                for mine, theirs in zip(one.questions, paragraph["qas"], strict=True):
                    assert (mine.id, mine.question) == (theirs["id"], theirs["question"].strip())
                    assert mine.answers == tuple(answer["text"] for answer in theirs["answers"])
                questions += len(one.questions)
        assert questions == 310
    assert not read_back


def test_wrong_offsets_of_the_noisy_files_are_counted_and_drop_nothing() -> None:
    problems = items(DATA)[1]
    assert [(p.reason, p.dropped, p.detail.split(" answer")[0]) for p in problems] == [
        ("wrong-answer-offsets", False, "1009 of 1063"),
        ("wrong-answer-offsets", False, "1020 of 1063"),
    ]
    assert all("offsets are not used" in problem.what_to_do for problem in problems)


def test_noise_levels_and_single_files_can_be_chosen() -> None:
    assert {one.utterance.extra["noise"] for one in items(DATA, noise=["WER54"])[0]} == {"WER54"}
    assert len(items(DATA / "spoken_test-v1.1.subset.json")[0]) == 109
    candidates, problems = items(DATA, noise=["clean", "WER99"])
    assert len(candidates) == 109 and problems[0].reason == "missing-split" and "WER99" in problems[0].detail
    with pytest.raises(DataError, match=r"no noise level WER99 .* there are WER44, WER54, clean"):
        items(DATA, noise=["WER99"])
    with pytest.raises(DataError, match=r"no spoken_train-v1\.1\.json"):
        items(DATA.parent / "slurp")


def corpus(root: Path, paragraphs: list[list[str]], qas: Any = ()) -> Path:
    """A corpus of one topic: a paragraph is its sentences, each with a wav of as many tenths of a second as words."""
    (root / "Spoken-SQuAD_audio" / "dev_wav").mkdir(parents=True)
    data = [{"title": "T", "paragraphs": [{"context": ". ".join(p) + ".", "qas": list(qas)} for p in paragraphs]}]
    (root / "spoken_test-v1.1.json").write_text(json.dumps({"data": data}))
    for number, sentences in enumerate(paragraphs):
        for index, sentence in enumerate(sentences):
            samples = np.full(2400 * len(sentence.split()), 0.01 * (index + 1), np.float32)
            soundfile.write(root / "Spoken-SQuAD_audio" / "dev_wav" / f"0_{number}_{index}.wav", samples, 24_000)
    return root


def test_wavs_of_a_paragraph_are_joined_in_the_order_of_its_sentences(tmp_path: Path) -> None:
    sentences = ["one two", *["three"] * 9, "last four words here"]  # eleven: 10 stands after 9, not after 1
    summary = prepare("spoken-squad", corpus(tmp_path / "in", [sentences, ["b c d"]]), tmp_path / "out")
    assert (summary.kept, summary.dropped.total(), summary.warnings.total()) == (2, 0, 0)
    first, second = read_manifest(tmp_path / "out" / "manifest.jsonl")
    assert first.duration_seconds == pytest.approx(0.1 * (2 + 9 + 4)) and second.duration_seconds == pytest.approx(0.3)
    assert first.audio_path and second.audio_path
    assert second.audio_path == tmp_path / "in" / "Spoken-SQuAD_audio" / "dev_wav" / "0_1_0.wav" or second.audio
    samples, rate = soundfile.read(first.audio_path)
    assert samples[-1] == pytest.approx(0.11, abs=1e-3) and samples[0] == pytest.approx(0.01, abs=1e-3)
    assert len(samples) / rate == pytest.approx(1.5)


def test_missing_wavs_are_told_and_a_wav_without_a_paragraph_too(tmp_path: Path) -> None:
    root = corpus(tmp_path / "in", [["a", "b", "c"], ["d", "e"], ["f"], ["g", "h"]])
    wavs = root / "Spoken-SQuAD_audio" / "dev_wav"
    (wavs / "0_0_1.wav").unlink()
    (wavs / "0_1_1.wav").unlink()
    (wavs / "0_2_0.wav").unlink()
    shutil.copy(wavs / "0_3_0.wav", wavs / "7_0_0.wav")
    candidates, problems = items(root)
    assert [one.utterance.id for one in candidates] == ["test-T-1", "test-T-3"]
    assert [(p.place.id, p.reason, p.dropped, p.detail) for p in problems] == [
        ("test-T-0", "missing-audio", True, "sentences 1 of 3 have no wav"),
        ("test-T-1", "sentences-differ", False, "1 wavs, the text has 2 sentences"),
        ("test-T-2", "missing-audio", True, "no wav of this paragraph"),
        ("7_0", "missing-transcript", True, "1 wavs 7_0_*.wav and no such paragraph"),
    ]


def test_audio_may_lie_in_a_folder_of_its_own_but_not_outside_of_it(tmp_path: Path) -> None:
    root = corpus(tmp_path / "in", [["a"]])
    elsewhere = tmp_path / "소리 folder"
    (root / "Spoken-SQuAD_audio").rename(elsewhere)
    assert items(root)[0][0].recordings == ()
    assert items(root, audio=elsewhere)[0][0].recordings == (elsewhere / "dev_wav" / "0_0_0.wav",)
    (elsewhere / "dev_wav" / "0_0_1.wav").symlink_to(DATA / "ATTRIBUTION.md")
    assert items(root, audio=elsewhere)[1][0].reason == "path-outside-source"
    with pytest.raises(DataError, match=r"no folder .*gone"):
        items(root, audio=tmp_path / "gone")


def test_broken_files_paragraphs_and_questions_are_told_with_their_place(tmp_path: Path) -> None:
    path = tmp_path / "spoken_train-v1.1.json"
    path.write_text('{"data": [\n{"title": "T",\n "paragraphs": [}]}')
    problem = items(path)[1][0]
    assert (problem.reason, problem.place.line) == ("broken-json", 3)
    path.write_bytes(b'\xef\xbb\xbf{"data": "none"}')
    assert items(path)[1][0].detail == 'no list under "data"'
    good = {"id": "q", "question": "who?", "answers": [{"text": "me"}, {"text": "me", "answer_start": 0}]}
    broken = [{"id": "q"}, 3, good | {"answers": []}, good | {"answers": "me"}, good | {"question": None}]
    paragraphs = [
        {"context": "me", "qas": [good, *broken]},
        {"qas": []},
        {"context": " "},
        "text",
        {"context": "x", "qas": 3},
    ]
    path.write_text(json.dumps({"data": [{"title": "T", "paragraphs": paragraphs}, {"title": "U"}, 5]}))
    candidates, problems = items(path)
    assert [len(one.utterance.questions) for one in candidates] == [1, 0]
    assert candidates[0].utterance.questions[0].answers == ("me", "me")
    reasons = [problem.reason for problem in problems if problem.dropped]
    assert reasons == ["missing-text", "missing-text", "missing-text", "broken-json", "broken-json"]
    assert problems[0].detail == "5 of 6 questions have no id, question or answers" and not problems[0].dropped
