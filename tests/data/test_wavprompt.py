"""WavPrompt's manifests in their training and evaluation forms, several wavs a clip, every fault told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from iclal.data.corpora.reader import Candidate, Problem
from iclal.data.corpora.wavprompt import Options, read, words_of
from iclal.data.manifest import read_manifest
from iclal.data.prepare import prepare
from iclal.errors import DataError

DATA = Path(__file__).parents[2] / "data" / "librispeech"
LINES = [json.loads(line) for line in (DATA / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]


def items(source: Path, **options: Any) -> tuple[list[Candidate], list[Problem]]:
    found = list(read(source, Options.build(options)))
    return [item for item in found if isinstance(item, Candidate)], [i for i in found if isinstance(i, Problem)]


def pair(folder: Path, name: str, tsv: list[str], ltr: list[str], end: str = "\n") -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.tsv").write_bytes("".join(line + end for line in tsv).encode())
    (folder / f"{name}.ltr").write_bytes("".join(line + end for line in ltr).encode())


def letters(text: str) -> str:
    return " ".join(text.replace(" ", "|")) + " |"


def test_training_form_of_genuine_speech_is_prepared_word_for_word(tmp_path: Path) -> None:
    rows = [f"{Path(line['audio']).name}\t{line['num_samples']}" for line in LINES]
    joined = f"{Path(LINES[1]['audio']).name};{Path(LINES[2]['audio']).name}\t0"
    text = letters(LINES[1]["text"] + " " + LINES[2]["text"])
    pair(tmp_path / "in", "train", [str(DATA / "audio"), *rows, joined], [*(letters(x["text"]) for x in LINES), text])
    summary = prepare("wavprompt", tmp_path / "in", tmp_path / "out")
    assert (summary.found, summary.kept) == (9, 9)
    *single, both = read_manifest(tmp_path / "out" / "manifest.jsonl")
    for one, line in zip(single, LINES, strict=True):
        assert one.text == line["text"].lower() and one.split == "train"
        assert one.duration_seconds == pytest.approx(line["duration_seconds"])
    assert single[0].id == "train-000001" and single[0].audio_path
    assert single[0].audio_path.resolve() == (DATA / LINES[0]["audio"]).resolve()
    assert both.text == f"{single[1].text} {single[2].text}"
    assert single[1].duration_seconds and single[2].duration_seconds
    assert both.duration_seconds == pytest.approx(single[1].duration_seconds + single[2].duration_seconds)


def test_evaluation_form_gives_label_question_text_and_hypothesis(tmp_path: Path) -> None:
    tsv = ["/nowhere/wavs", "a.wav\t51883\tblack", "b c.wav\t36409\twhite", "d.wav\t10\twhite"]
    ltr = [
        "black\twhat is the speaker describing?\tA woman in black.",
        "white\twhat is the speaker describing?\t흰 개\tone#two*three",
        "white\twhat is it?\t",
    ]
    pair(tmp_path / "m", "test_black_white", tsv, ltr, end="\r\n")
    candidates, problems = items(tmp_path / "m")
    assert [one.utterance.text for one in candidates] == ["A woman in black.", "흰 개", None]
    assert [one.utterance.label for one in candidates] == ["black", "white", "white"]
    assert candidates[0].utterance.split == "test" and candidates[0].recordings == ()
    assert candidates[0].utterance.extra == {"num_samples": 51883, "question": "what is the speaker describing?"}
    assert candidates[1].utterance.extra["hypothesis"] == "one\ttwo\nthree"
    assert [(p.reason, p.dropped, p.place.line) for p in problems] == [("missing-root", False, 1)]
    (tmp_path / "wavs").mkdir()
    candidates, problems = items(tmp_path / "m" / "test_black_white.tsv", audio=tmp_path / "wavs")
    assert not problems and candidates[1].recordings == (tmp_path / "wavs" / "b c.wav",)
    assert candidates[0].sample_rate_hz == 16_000


def test_every_row_and_line_is_accounted_for(tmp_path: Path) -> None:
    (tmp_path / "wavs").mkdir()
    tsv = [
        str(tmp_path / "wavs"),
        "good.wav\t5",
        "nolabel",
        "../out.wav\t5",
        "/etc/passwd\t5",
        "differs.wav\t5\tcat",
        "lost.wav\t5",
        "onlylabel.wav\t5\tdog",
        "cells.wav\t5",
    ]
    ltr = ["A |", "B |", "C |", "D |", "dog\twhat?\tx", "", "", "a\tb", "EXTRA |"]
    pair(tmp_path / "m", "dev", tsv, ltr)
    (tmp_path / "m" / "alone.ltr").write_text("x\n")
    candidates, problems = items(tmp_path / "m")
    assert [one.utterance.id for one in candidates] == ["dev-000001", "dev-000007"]
    assert candidates[1].utterance.text is None and candidates[1].utterance.label == "dog"
    assert [(Path(p.place.file).name, p.place.line, p.reason) for p in problems] == [
        ("dev.tsv", 3, "broken-row"),
        ("dev.tsv", 4, "path-outside-source"),
        ("dev.tsv", 5, "path-outside-source"),
        ("dev.tsv", 6, "label-differs"),
        ("dev.tsv", 7, "missing-transcript"),
        ("dev.tsv", 9, "broken-transcript"),
        ("dev.ltr", 9, "missing-audio"),
        ("alone.ltr", None, "missing-manifest"),
    ]


def test_wrong_encoding_costs_its_row_and_no_other(tmp_path: Path) -> None:
    pair(tmp_path, "train", ["wavs", "a.wav\t5", "b.wav\t5", "c.wav\t5", "d.wav\t5"], ["A |", "B |", "C |", "D |"])
    (tmp_path / "wavs").mkdir()
    (tmp_path / "train.ltr").write_bytes(b"\xef\xbb\xbfA |\nB \xff |\nC |\nD |\n")
    tsv = (tmp_path / "train.tsv").read_bytes().replace(b"c.wav", b"\xff.wav")
    (tmp_path / "train.tsv").write_bytes(tsv)
    candidates, problems = items(tmp_path)
    assert [(one.utterance.id, one.utterance.text) for one in candidates] == [
        ("train-000001", "a"),
        ("train-000004", "d"),
    ]
    assert [(p.place.line, p.reason) for p in problems] == [(3, "wrong-encoding"), (4, "wrong-encoding")]


def test_words_of_letters_and_of_sentences() -> None:
    assert words_of(letters("HE COULD WAIT")) == "he could wait" == words_of("HE | COULD | WAIT|")
    assert words_of("He could, wait.") == "He could, wait."


def test_a_folder_without_manifests_and_audio_that_is_no_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no NAME\.tsv"):
        items(tmp_path)
    shutil.copy(DATA / "manifest.jsonl", tmp_path / "x.tsv")
    with pytest.raises(DataError, match=r"no folder .*gone"):
        items(tmp_path, audio=tmp_path / "gone")
