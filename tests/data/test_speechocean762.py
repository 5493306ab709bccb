"""speechocean762: the 498 clips of the data folder, and the published layout made of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from iclal.data.corpora.reader import Candidate, Problem
from iclal.data.corpora.speechocean762 import Options, read
from iclal.data.manifest import read_manifest
from iclal.data.prepare import prepare
from iclal.data.schema import check_manifest
from iclal.errors import DataError

DATA = Path(__file__).parents[2] / "data" / "speechocean762"
LINES = [json.loads(line) for line in (DATA / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]


def items(source: Path) -> tuple[list[Candidate], list[Problem]]:
    found = list(read(source, Options()))
    return [item for item in found if isinstance(item, Candidate)], [i for i in found if isinstance(i, Problem)]


def test_all_clips_of_the_data_folder_are_read_as_its_manifest_has_them(tmp_path: Path) -> None:
    summary = prepare("speechocean762", DATA, tmp_path)
    assert (summary.found, summary.kept, summary.speakers, summary.warnings.total()) == (498, 498, 188, 0)
    assert check_manifest(tmp_path / "manifest.jsonl").ok
    assert {name: split.utterances for name, split in summary.splits.items()} == {"train": 377, "dev": 121}
    for one, line in zip(read_manifest(tmp_path / "manifest.jsonl"), LINES, strict=True):
        assert (one.id, one.text, one.speaker, one.split) == (
            line["id"],
            line["text"].lower(),
            line["speaker"],
            line["split"],
        )
        assert one.extra["original_text"] == line["text"] and one.extra["age"] == line["age"]
        assert one.duration_seconds == pytest.approx(line["duration_seconds"], abs=1e-3)


def publish(root: Path, lines: list[dict[str, Any]]) -> Path:
    """Clips in the published layout."""
    scores = {}
    for line in lines:
        key = line["id"].removeprefix("so762-")
        folder = root / line["corpus_split"]
        folder.mkdir(parents=True, exist_ok=True)
        wav = root / line["source"]
        wav.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(DATA / line["audio"], wav)
        rows = {
            "wav.scp": f"{key}\t{line['source']}",
            "text": f"{key}\t{line['text']}",
            "utt2spk": f"{key} {line['speaker']}",
            "spk2age": f"{line['speaker']} {line['age']}",
            "spk2gender": f"{line['speaker']} {line['gender']}",
        }
        for name, row in rows.items():
            with open(folder / name, "a", encoding="utf-8") as handle:
                handle.write(row + "\n")
        scores[key] = {"text": line["text"], "accuracy": 8, "fluency": 9, "total": 8, "words": []}
    (root / "scores.json").write_text(json.dumps(scores))
    return root


def test_the_published_layout_says_the_same(tmp_path: Path) -> None:
    chosen = LINES[::12]
    summary = prepare("speechocean762", publish(tmp_path / "in", chosen), tmp_path / "out")
    assert (summary.found, summary.kept, summary.warnings.total()) == (len(chosen), len(chosen), 0)
    found = {one.id: one for one in read_manifest(tmp_path / "out" / "manifest.jsonl")}
    for line in chosen:
        one = found[line["id"]]
        assert (one.text, one.speaker, one.split) == (line["text"].lower(), line["speaker"], line["corpus_split"])
        about = {name: line[name] for name in ("age", "age_group", "gender")}
        assert one.extra == about | {
            "original_text": line["text"],
            "scores": {"accuracy": 8, "fluency": 9, "total": 8},
        }


def test_faults_of_the_published_layout_are_told(tmp_path: Path) -> None:
    lines = [line for line in LINES if line["corpus_split"] == "train"][:5]
    root = publish(tmp_path / "in", lines)
    keys = [line["id"].removeprefix("so762-") for line in lines]
    text = (root / "train" / "text").read_text().splitlines()
    scp = (root / "train" / "wav.scp").read_text().splitlines()
    (root / "train" / "text").write_bytes("\n".join(text[1:]).encode() + b"\nlost WORDS\nbad \xff\n")
    (root / "train" / "wav.scp").write_text("\n".join([*scp[:3], f"{keys[3]} /etc/passwd", f"{keys[4]}"]) + "\n")
    (root / "scores.json").write_text("{broken")
    (root / lines[2]["source"]).unlink()
    summary = prepare("speechocean762", root, tmp_path / "out")
    problems = [json.loads(line) for line in (tmp_path / "out" / "problems.jsonl").read_text().splitlines()]
    assert [(problem["id"], problem["reason"], problem["dropped"]) for problem in problems] == [
        (None, "broken-json", False),
        (None, "wrong-encoding", False),
        (keys[0], "missing-transcript", True),
        (f"so762-{keys[2]}", "missing-audio", True),
        (keys[3], "path-outside-source", True),
        (keys[4], "path-outside-source", True),
        ("lost", "missing-audio", True),
        (None, "missing-split", True),
    ]
    assert (summary.found, summary.kept) == (7, 1)


def test_faults_of_the_manifest_form_are_told_with_their_line(tmp_path: Path) -> None:
    lines = [LINES[0] | {"audio": "../x.ogg"}, LINES[1] | {"text": " "}, {"id": "x"}]
    (tmp_path / "manifest.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n[]\n")
    candidates, problems = items(tmp_path)
    assert not candidates and [(p.place.line, p.reason) for p in problems] == [
        (1, "path-outside-source"),
        (2, "missing-field"),
        (3, "missing-field"),
        (4, "broken-json"),
    ]


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no train/wav\.scp or test/wav\.scp"):
        items(tmp_path)
