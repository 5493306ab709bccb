"""LJ Speech in the layout of its documentation, made of the two genuine recordings that are at hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import soundfile

from iclal.data.corpora.ljspeech import Options, read
from iclal.data.corpora.reader import Candidate, Problem
from iclal.data.manifest import read_manifest
from iclal.data.prepare import prepare
from iclal.errors import DataError

DATA = Path(__file__).parents[2] / "data" / "public_domain_speech"
LINES = [json.loads(line) for line in (DATA / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
GENUINE = [line for line in LINES if line["origin"] == "LJ Speech"]


def items(source: Path, **options: Any) -> tuple[list[Candidate], list[Problem]]:
    found = list(read(source, Options.build(options)))
    return [item for item in found if isinstance(item, Candidate)], [i for i in found if isinstance(i, Problem)]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    root = tmp_path / "LJSpeech-1.1"
    (root / "wavs").mkdir(parents=True)
    rows = []
    for line in GENUINE:
        id = line["id"].removeprefix("lj-")
        soundfile.write(root / "wavs" / f"{id}.wav", soundfile.read(DATA / line["audio"])[0], 22_050)
        rows.append(f'{id}|In "1813"|{line["text"].lower()}')
    (root / "metadata.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return root


def test_text_is_the_spelt_out_column_and_the_printed_one_is_kept(corpus: Path, tmp_path: Path) -> None:
    summary = prepare("ljspeech", corpus, tmp_path / "out")
    assert (summary.found, summary.kept, summary.warnings.total()) == (2, 2, 0)
    for one, line in zip(read_manifest(tmp_path / "out" / "manifest.jsonl"), GENUINE, strict=True):
        assert one.text == line["text"].lower() and one.extra == {"original_text": 'In "1813"'}
        assert one.speaker == "ljspeech" and one.split is None
    printed = items(corpus, normalized=False)[0][0].utterance
    assert printed.text == 'In "1813"' and printed.extra == {"original_text": "in eighteen thirteen"}


def test_every_line_and_wav_is_accounted_for(corpus: Path, tmp_path: Path) -> None:
    wav = next((corpus / "wavs").iterdir())
    (corpus / "wavs" / "LJ-unnamed.wav").write_bytes(wav.read_bytes())
    soundfile.write(corpus / "wavs" / "LJ-rate.wav", soundfile.read(wav)[0], 16_000)
    rows = ["LJ-gone|Gone|gone", "LJ-rate|Rate", "only an id", "LJ-x| | ", "../../x|a|b", "a|b|c|d"]
    with open(corpus / "metadata.csv", "a", encoding="utf-8") as handle:
        handle.write("\r\n".join(rows))
    with open(corpus / "metadata.csv", "ab") as handle:
        handle.write(b"\nLJ-y|caf\xe9|caf\xe9\n")
    summary = prepare("ljspeech", corpus, tmp_path / "out")
    assert (summary.found, summary.kept) == (10, 2)
    problems = [json.loads(line) for line in (tmp_path / "out" / "problems.jsonl").read_text().splitlines()]
    assert [(problem["line"], problem["reason"]) for problem in problems] == [
        (3, "missing-audio"),
        (4, "wrong-rate"),
        (5, "missing-text"),
        (6, "missing-text"),
        (7, "path-outside-source"),
        (8, "missing-text"),
        (9, "wrong-encoding"),
        (None, "missing-transcript"),
    ]


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no metadata\.csv"):
        items(tmp_path)
