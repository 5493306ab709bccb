"""The user's own recordings: the same corpus as CSV, TSV, JSONL, JSON and audio with .txt gives the same utterances."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from iclal.data.corpora.folder import Options, read
from iclal.data.corpora.reader import Candidate, Problem
from iclal.data.manifest import Utterance, read_manifest
from iclal.data.prepare import prepare
from iclal.errors import DataError

DATA = Path(__file__).parents[2] / "data" / "librispeech"
LINES = [json.loads(line) for line in (DATA / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
COLUMNS = {"text": "sentence", "audio": "file name", "speaker": "who", "split": "set", "id": "nr"}
NAMES = ("nr", "file name", "sentence", "who", "set", "rate, Hz")


def items(source: Path, **options: Any) -> tuple[list[Candidate], list[Problem]]:
    found = list(read(source, Options.build(options)))
    return [item for item in found if isinstance(item, Candidate)], [i for i in found if isinstance(i, Problem)]


def rows() -> list[dict[str, str]]:
    values = ((x["id"], x["audio"], x["text"] + ', "so"; 안녕', x["speaker"], x["split"], "16000") for x in LINES)
    return [dict(zip(NAMES, row, strict=True)) for row in values]


def write_table(path: Path, kind: str) -> Path:
    path.mkdir(parents=True)
    shutil.copytree(DATA / "audio", path / "audio")
    table = path / f"my table.{kind.split('-')[0]}"
    if kind == "jsonl":
        text = "\n".join(map(json.dumps, rows()))
    elif kind == "json":
        text = json.dumps(rows(), indent=1)
    elif kind == "json-by-id":
        text = json.dumps({row["nr"]: {name: row[name] for name in NAMES[1:]} for row in rows()})
    else:
        mark = {"csv": ",", "csv-semicolon": ";", "tsv": "\t"}[kind]
        lines = [NAMES, *(tuple(row.values()) for row in rows())]
        text = "\r\n".join(mark.join('"' + cell.replace('"', '""') + '"' for cell in line) for line in lines)
    table.write_text(text, encoding="utf-8-sig" if kind.startswith("csv") else "utf-8")
    return path


@pytest.mark.parametrize("kind", ["csv", "csv-semicolon", "tsv", "jsonl", "json", "json-by-id"])
def test_tables_of_every_kind_give_the_same_utterances(kind: str, tmp_path: Path) -> None:
    columns = COLUMNS | ({"id": "id"} if kind == "json-by-id" else {})
    candidates, problems = items(write_table(tmp_path / "my data", kind), **columns)
    assert not problems
    assert [one.utterance for one in candidates] == [
        Utterance(
            row["nr"], speaker=row["who"], split=row["set"], text=row["sentence"], extra={"rate, Hz": row["rate, Hz"]}
        )
        for row in rows()
    ]
    assert [one.recordings for one in candidates] == [(tmp_path / "my data" / row["file name"],) for row in rows()]


def test_a_table_is_prepared_with_recordings_from_another_folder(tmp_path: Path) -> None:
    write_table(tmp_path / "in", "csv")
    (tmp_path / "in" / "audio").rename(tmp_path / "소리")
    table = tmp_path / "in" / "my table.csv"
    table.write_text(table.read_text(encoding="utf-8-sig").replace("audio/", ""), encoding="utf-8")
    summary = prepare("folder", table, tmp_path / "out", COLUMNS | {"root": tmp_path / "소리"})
    assert (summary.found, summary.kept) == (8, 8)
    for one, line in zip(read_manifest(tmp_path / "out" / "manifest.jsonl"), LINES, strict=True):
        assert one.duration_seconds == pytest.approx(line["duration_seconds"]) and one.id == line["id"]


def test_audio_with_text_beside_it(tmp_path: Path) -> None:
    for number, line in enumerate(LINES):
        folder = tmp_path / "in" / ("가 나" if number % 2 else "b")
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(DATA / line["audio"], folder / f"take {number}.flac")
        half = len(line["text"]) // 2
        (folder / f"take {number}.txt").write_bytes(
            b"\xef\xbb\xbf" + f"{line['text'][:half]}\r\n\r\n{line['text'][half:]}\r\n".encode()
        )
    (tmp_path / "in" / "b" / "loop").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "b" / "alone.wav").write_bytes((tmp_path / "in" / "b" / "take 0.flac").read_bytes())
    (tmp_path / "in" / "b" / "empty.txt").write_text(" \n")
    shutil.copy(tmp_path / "in" / "b" / "take 0.flac", tmp_path / "in" / "b" / "empty.ogg")
    (tmp_path / "in" / "b" / "latin.txt").write_bytes(b"caf\xe9")
    shutil.copy(tmp_path / "in" / "b" / "take 0.flac", tmp_path / "in" / "b" / "latin.mp3")
    (tmp_path / "in" / "text only.txt").write_text("nobody says this")
    summary = prepare("folder", tmp_path / "in", tmp_path / "out", {"default_split": "mine"})
    assert (summary.found, summary.kept) == (12, 8) and summary.splits["mine"].utterances == 8
    assert summary.dropped == {"missing-transcript": 1, "missing-text": 1, "wrong-encoding": 1, "missing-audio": 1}
    assert summary.warnings == {"symlink-loop": 1}
    found = {one.id: one for one in read_manifest(tmp_path / "out" / "manifest.jsonl")}
    assert "가 나/take 1" in found and found["b/take 0"].text
    assert found["b/take 0"].text.replace(" ", "") == LINES[0]["text"].replace(" ", "")


def test_rows_that_are_wrong_are_told_with_their_line(tmp_path: Path) -> None:
    lines: list[Any] = [
        {"text": "good", "take": 3, "audio": "a.wav"},
        {"text": ["list"]},
        {"audio": "b.wav"},
        {"text": "x", "audio": "../b.wav"},
        {"text": "x", "start_seconds": "soon"},
        {"text": "x", "duration_seconds": True},
        {"id": 7, "text": 12, "start_seconds": "1.5", "duration_seconds": 2},
        {"label": "dog", "questions": [{"id": "q", "question": "who", "answers": ["me", "I"]}]},
        {"text": "x", "questions": ["who"]},
        {"text": "x", "questions": [{"id": "q", "question": "who", "answers": "me"}]},
        {"text": "x", "questions": [{"id": "q", "question": "who", "answers": []}]},
        {"text": "x", "facts": {"colour": "red"}, "mood": "calm"},
        {"text": "x", "facts": ["red"]},
        {"text": "x", "facts": {"count": 3}},
        3,
    ]
    table = tmp_path / "t.jsonl"
    table.write_text("\n".join(map(json.dumps, lines)) + "\n{no")
    candidates, problems = items(tmp_path)
    assert [(p.place.line, p.reason) for p in problems] == [
        (2, "wrong-type"),
        (3, "missing-text"),
        (4, "path-outside-source"),
        (5, "wrong-type"),
        (6, "wrong-type"),
        (9, "wrong-type"),
        (10, "wrong-type"),
        (11, "wrong-type"),
        (13, "wrong-type"),
        (14, "wrong-type"),
        (15, "broken-json"),
        (16, "broken-json"),
    ]
    good, span, asked, noted = (one.utterance for one in candidates)
    assert (good.id, good.extra) == ("a", {"take": 3}) and good.audio is None
    assert (span.id, span.text, span.start_seconds, span.duration_seconds) == ("7", "12", 1.5, 2.0)
    assert (asked.id, asked.label, asked.questions[0].answers) == ("t-000008", "dog", ("me", "I"))
    assert (noted.facts, noted.extra) == ({"colour": "red"}, {"mood": "calm"})


def test_columns_that_are_not_there_are_refused_with_those_that_are(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("path,sentence\na.wav,hello\n")
    with pytest.raises(DataError, match="has no column words; it has path, sentence"):
        items(table, text="words")
    with pytest.raises(DataError, match=r"has no column text, audio; it has path, sentence\. Say e\.g\. text=path"):
        items(table)
    assert items(table, text="sentence")[0][0].recordings == ()
    assert items(table, text="sentence", audio="path")[0][0].utterance.id == "a"


def test_sources_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no table .* and no recordings"):
        items(tmp_path)
    with pytest.raises(DataError, match=r"no folder or table .* at .*gone\.csv"):
        items(tmp_path / "gone.csv")
    (tmp_path / "a.json").write_text('"text"')
    with pytest.raises(DataError, match="list of objects, or an object of objects, found str"):
        items(tmp_path)
    (tmp_path / "b.csv").write_text("text\nx\n")
    with pytest.raises(DataError, match=r"several tables \(a\.json, b\.csv\)"):
        items(tmp_path)
    with pytest.raises(DataError, match=r"no folder .*gone for audio paths"):
        items(tmp_path / "b.csv", root=tmp_path / "gone")
    (tmp_path / "c.json").write_text('[\n{"text": "x"},\n{"text": "y"]')
    assert [(p.reason, p.place.line) for p in items(tmp_path / "c.json")[1]] == [("broken-json", 3)]
    (tmp_path / "d.json").write_text('[{"text": "x"}, 4]')
    assert [p.detail for p in items(tmp_path / "d.json")[1]] == ["item 2 is a int, not an object"]
