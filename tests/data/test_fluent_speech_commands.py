"""Fluent Speech Commands in the layout of its documentation."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from iclal.data.corpora.fluent_speech_commands import Options, read
from iclal.data.corpora.reader import Candidate, Problem
from iclal.data.manifest import read_manifest
from iclal.data.prepare import prepare
from iclal.errors import DataError

CLIP = Path(__file__).parents[2] / "data" / "librispeech" / "audio" / "1089-134691-0000.flac"
HEADER = ",path,speakerId,transcription,action,object,location"
ROWS = {
    "train": [
        "0,wavs/speakers/2Bq/a-1.wav,2Bq,Change language,change language,none,none",
        "1,wavs/speakers/2Bq/a-2.wav,2Bq,Turn on the lights,activate,lights,none",
    ],
    "valid": ['0,wavs/speakers/5o9/b-1.wav,5o9,"Heat up, please",increase,heat,kitchen'],
    "test": ["0,wavs/speakers/김민준/c 1.wav,김민준,Get me my newspaper,bring,newspaper,none"],
}


def items(source: Path, **options: Any) -> tuple[list[Candidate], list[Problem]]:
    found = list(read(source, Options.build(options)))
    return [item for item in found if isinstance(item, Candidate)], [i for i in found if isinstance(i, Problem)]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    root = tmp_path / "fluent"
    (root / "data").mkdir(parents=True)
    for split, rows in ROWS.items():
        (root / "data" / f"{split}_data.csv").write_text("\r\n".join([HEADER, *rows]) + "\r\n", encoding="utf-8-sig")
        for row in rows:
            path = root / row.split(",")[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CLIP, path)
    return root


def test_three_files_become_three_splits_with_slots_as_facts(corpus: Path, tmp_path: Path) -> None:
    summary = prepare("fluent-speech-commands", corpus, tmp_path / "out")
    assert (summary.found, summary.kept, summary.warnings.total()) == (4, 4, 0)
    found = list(read_manifest(tmp_path / "out" / "manifest.jsonl"))
    assert [(one.id, one.split, one.speaker, one.text, one.label) for one in found] == [
        ("a-1", "train", "2Bq", "Change language", "language"),
        ("a-2", "train", "2Bq", "Turn on the lights", "lights"),
        ("b-1", "dev", "5o9", "Heat up, please", "heat"),
        ("c 1", "test", "김민준", "Get me my newspaper", "newspaper"),
    ]
    assert found[2].facts == {"action": "increase", "object": "heat", "location": "kitchen"}
    assert [one.utterance.label for one in items(corpus, label="intent")[0]][1] == "activate lights none"


def test_faults_are_told_with_their_line(corpus: Path) -> None:
    rows = [
        HEADER,
        ROWS["train"][0],
        "1,wavs/x.wav,2Bq,,activate,lights,none",
        "2,wavs/x.wav,2Bq",
        "3,../../x.wav,2Bq,Turn it up,increase,volume,none",
        '4,wavs/x.wav,2Bq,"Turn,increase,volume,none',
    ]
    (corpus / "data" / "train_data.csv").write_text("\n".join(rows) + "\n")
    (corpus / "data" / "test_data.csv").write_text("path,transcription\nwavs/x.wav,hello\n")
    (corpus / "data" / "valid_data.csv").unlink()
    candidates, problems = items(corpus)
    assert [one.utterance.id for one in candidates] == ["a-1"]
    assert [(Path(p.place.file).name, p.place.line, p.reason) for p in problems] == [
        ("train_data.csv", 3, "missing-text"),
        ("train_data.csv", 4, "broken-csv"),
        ("train_data.csv", 5, "path-outside-source"),
        ("train_data.csv", 6, "broken-csv"),
        ("valid_data.csv", None, "missing-split"),
        ("test_data.csv", 1, "missing-column"),
    ]
    assert "speakerId, action, object, location" in problems[-1].detail


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no data/train_data\.csv, data/valid_data\.csv, data/test_data\.csv"):
        items(tmp_path)
