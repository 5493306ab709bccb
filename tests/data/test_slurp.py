"""SLURP: the 500 official lines as text; recordings with speakers where they are; every fault told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from iclal.data.corpora.reader import Candidate, Problem
from iclal.data.corpora.slurp import Options, read
from iclal.data.manifest import read_manifest
from iclal.data.prepare import prepare
from iclal.data.schema import check_manifest
from iclal.errors import DataError

DATA = Path(__file__).parents[2] / "data"
FILES = ("devel", "test")


def items(source: Path, **options: Any) -> tuple[list[Candidate], list[Problem]]:
    found = list(read(source, Options.build(options)))
    return [item for item in found if isinstance(item, Candidate)], [i for i in found if isinstance(i, Problem)]


def official(name: str) -> list[dict[str, Any]]:
    path = DATA / "slurp" / f"{name}.subset.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_all_official_lines_are_read_as_they_stand(tmp_path: Path) -> None:
    summary = prepare("slurp", DATA / "slurp", tmp_path)
    assert (summary.found, summary.kept, summary.warnings.total()) == (500, 500, 0)
    assert check_manifest(tmp_path / "manifest.jsonl").ok
    assert {name: split.utterances for name, split in summary.splits.items()} == {"dev": 250, "test": 250}
    read_back = {one.id: one for one in read_manifest(tmp_path / "manifest.jsonl")}
    for line in official("devel") + official("test"):
        one = read_back[f"slurp-{line['slurp_id']}"]
        assert (one.text, one.label, one.audio) == (line["sentence"], line["scenario"], None)
        assert (one.extra["intent"], one.extra["action"]) == (line["intent"], line["action"])
        assert len(one.facts) == len(line["entities"])
        # an entity's words, as the annotated sentence brackets them
        for text in one.facts.values():
            assert f": {text}]" in line["sentence_annotation"].replace(" '", "'") or "'" in text


def test_label_and_entities_of_one_sentence() -> None:
    one = next(c.utterance for c in items(DATA / "slurp", label="intent")[0] if c.utterance.id == "slurp-13804")
    assert one.label == "qa_currency"
    assert one.facts == {"currency_name": "american dollar", "currency_name_2": "japanese yen"}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """The official layout: 20 sentences, each recording a copy of a clip at 16 kHz."""
    folder = tmp_path / "slurp" / "dataset" / "slurp"
    audio = tmp_path / "slurp" / "audio" / "slurp_real"
    folder.mkdir(parents=True)
    audio.mkdir(parents=True)
    lines = official("devel")[:20]
    metadata: dict[str, Any] = {}
    for line in lines:
        for recording in line["recordings"]:
            shutil.copy(DATA / "librispeech" / "audio" / "1089-134691-0000.flac", audio / recording["file"])
        known = {r["file"]: {"usrid": f"FE-{i:03d}"} for i, r in enumerate(line["recordings"])}
        metadata[str(line["slurp_id"])] = {"recordings": known}
    (folder / "devel.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    (folder / "metadata.json").write_text(json.dumps(metadata))
    return tmp_path / "slurp"


def test_each_recording_is_an_utterance_with_its_speaker(corpus: Path, tmp_path: Path) -> None:
    summary = prepare("slurp", corpus, tmp_path / "out")
    lines = official("devel")[:20]
    count = sum(len(line["recordings"]) for line in lines)
    assert (summary.found, summary.kept) == (count, count)
    first = next(read_manifest(tmp_path / "out" / "manifest.jsonl"))
    assert (first.id, first.speaker, first.text) == ("audio-1434542201-headset", "FE-000", lines[0]["sentence"])
    assert first.extra["microphone"] == "headset" and first.extra["wer"] == 0.0 and first.extra["slurp_id"] == 13804
    near = items(corpus, microphone="headset")[0]
    assert near and all(one.utterance.id.endswith("-headset") for one in near)
    assert len(near) + len(items(corpus, microphone="distant")[0]) == count


def test_audio_elsewhere_and_a_recording_that_is_not_there(corpus: Path, tmp_path: Path) -> None:
    audio = tmp_path / "far away"
    (corpus / "audio").rename(audio)
    assert len(items(corpus)[0]) == 20
    gone = audio / "slurp_real" / "audio-1434542201.flac"
    gone.unlink()
    summary = prepare("slurp", corpus, tmp_path / "out", {"audio": audio})
    assert summary.dropped == {"missing-audio": 1} and summary.found == summary.kept + 1
    problem = json.loads((tmp_path / "out" / "problems.jsonl").read_text())
    assert problem["id"] == "audio-1434542201" and problem["line"] == 1 and str(gone) in problem["detail"]
    with pytest.raises(DataError, match="no folder slurp_real or slurp_synth"):
        items(corpus, audio=corpus)


def test_faults_are_told_with_their_line(tmp_path: Path) -> None:
    good = official("test")[0]
    lines = [
        json.dumps(good),
        "{broken",
        json.dumps(good | {"sentence": ""}),
        json.dumps(good | {"slurp_id": None}),
        json.dumps(good | {"slurp_id": 1, "tokens": [1, "two"], "entities": [3, {"type": "x", "span": 4}]}),
        json.dumps([1]),
    ]
    (tmp_path / "test.jsonl").write_text("\ufeff" + "\r\n".join(lines) + "\r\n", encoding="utf-8")
    (tmp_path / "metadata.json").write_text('{"1": [}')
    candidates, problems = items(tmp_path)
    assert [one.utterance.id for one in candidates] == [f"slurp-{good['slurp_id']}", "slurp-1"]
    assert [(p.reason, p.place.line, p.dropped) for p in problems] == [
        ("broken-json", 1, False),
        ("broken-json", 2, True),
        ("missing-field", 3, True),
        ("missing-field", 4, True),
        ("broken-json", 6, True),
    ]
    (tmp_path / "metadata.json").write_text('{"1": [1]}')
    assert items(tmp_path)[1][0].detail.startswith("not SLURP's metadata")


def test_recordings_that_leave_the_source_or_are_none(corpus: Path) -> None:
    good = official("test")[0]
    files = [{"file": "../../../../etc/passwd"}, {"file": 3}, "x", {"file": "audio-1.flac"}]
    text = json.dumps(good | {"recordings": files}) + "\n" + json.dumps(good | {"recordings": []})
    (corpus / "dataset" / "slurp" / "test.jsonl").write_text(text)
    problems = items(corpus)[1]
    assert [p.reason for p in problems] == ["path-outside-source", "missing-field", "missing-field", "missing-audio"]
    with pytest.raises(DataError, match=r"no train\.jsonl"):
        items(corpus / "audio")
