"""QMSum's official meetings, joined to AMI's turns; its repository's layouts; what can be wrong."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from iclal.data.corpora.qmsum import Options, read
from iclal.data.corpora.reader import Candidate, Problem
from iclal.data.manifest import read_manifest
from iclal.data.prepare import prepare
from iclal.errors import DataError

DATA = Path(__file__).parents[2] / "data"
QMSUM = DATA / "qmsum"
LINES = [
    json.loads(line)
    for name in ("train", "val")
    for line in (QMSUM / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
]


def items(source: Path, **options: Any) -> tuple[list[Candidate], list[Problem]]:
    found = list(read(source, Options.build(options)))
    return [item for item in found if isinstance(item, Candidate)], [i for i in found if isinstance(i, Problem)]


def one_meeting(tmp_path: Path, **changes: Any) -> Path:
    """The shortest meeting alone, with fields changed."""
    line = min(LINES, key=lambda line: len(line["meeting_transcripts"])) | changes
    (tmp_path / "train.jsonl").write_text(json.dumps(line), encoding="utf-8")
    return tmp_path


@pytest.fixture(scope="module")
def ami_of_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """AMI's turns of two of the meetings, with the file of all."""
    lines = gzip.decompress((DATA / "ami" / "meetings.jsonl.gz").read_bytes()).decode().splitlines()
    path = tmp_path_factory.mktemp("ami") / "meetings.jsonl"
    path.write_text("\n".join(line for line in lines if json.loads(line)["id"] in ("ES2016a", "IS1000a")))
    return path


def test_every_specific_query_of_the_16_meetings_becomes_a_span(tmp_path: Path) -> None:
    summary = prepare("qmsum", QMSUM, tmp_path / "out")
    specific = sum(len(line["specific_query_list"]) for line in LINES)
    assert (summary.found, summary.kept, specific) == (94, 94, 94)
    by_id = {item.id: item for item in read_manifest(tmp_path / "out" / "manifest.jsonl")}
    for line in LINES:
        for number, query in enumerate(line["specific_query_list"], 1):
            found = by_id[f"{line['id']}-specific-{number:02d}"]
            assert found.questions[0].question == query["query"] and found.questions[0].answers == (query["answer"],)
            assert found.split == {"train": "train", "val": "dev"}[line["split"]]
            spans = [[int(first), int(last)] for first, last in query["relevant_text_span"]]
            assert found.extra["relevant_turns"] == spans
            turns = [turn for first, last in spans for turn in line["meeting_transcripts"][first : last + 1]]
            wanted = "".join(turn["content"] for turn in turns)
            for mark in ("{vocalsound}", "{disfmarker}", "{gap}"):
                wanted = wanted.replace(mark, "")
            # marks and spaces before punctuation are all that changes
            assert (found.text or "").replace(" ", "") == wanted.replace(" ", "")
            assert not any(" ." in turn[2] or "{" in turn[2] for turn in found.extra["turns"])


def test_meetings_hold_all_turns_and_all_queries(tmp_path: Path) -> None:
    whole, problems = items(QMSUM, output="meetings")
    assert len(whole) == 16 and not problems
    for item, line in zip(whole, LINES, strict=True):
        assert item.utterance.id == line["id"]
        assert len(item.utterance.extra["turns"]) == len(line["meeting_transcripts"])
        queries = line["general_query_list"] + line["specific_query_list"]
        assert [question.question for question in item.utterance.questions] == [query["query"] for query in queries]
        assert item.utterance.summary == line["general_query_list"][0]["answer"]


def test_spans_get_amis_times_and_nearly_all_words_are_found_there(ami_of_two: Path) -> None:
    spans, problems = items(QMSUM, ami=ami_of_two)
    assert sum(problem.reason == "not-in-ami" for problem in problems) == 14
    assert not any(problem.dropped for problem in problems)
    ami = {line["id"]: line for line in map(json.loads, ami_of_two.read_text(encoding="utf-8").splitlines())}
    timed = [item.utterance for item in spans if item.utterance.start_seconds is not None]
    assert len(timed) == sum(len(line["specific_query_list"]) for line in LINES if line["id"] in ami) > 5
    for utterance in timed:
        assert utterance.duration_seconds is not None and utterance.start_seconds is not None
        assert utterance.extra["aligned"] > 0.95
        end = utterance.start_seconds + utterance.duration_seconds
        turns = ami[utterance.extra["meeting"]]["turns"]
        said = " ".join(turn[3] for turn in turns if turn[1] > utterance.start_seconds and turn[0] < end)
        # the first and the last words of the span are said inside it, in AMI's own words
        longest = max(utterance.extra["turns"], key=lambda turn: len(turn[2]))[2].split()
        assert sum(word in said.split() for word in longest) > 0.9 * len(longest)


def test_audio_is_joined_where_it_is_at_hand(tmp_path: Path, ami_of_two: Path) -> None:
    recording = tmp_path / "audio" / "ES2016a" / "audio" / "ES2016a.Mix-Headset.flac"
    recording.parent.mkdir(parents=True)
    soundfile.write(recording, np.zeros(30 * 60 * 16_000, dtype=np.int16), 16_000)
    options = {"ami": ami_of_two, "audio": tmp_path / "audio"}
    summary = prepare("qmsum", QMSUM, tmp_path / "out", options)
    assert summary.warnings == {"not-in-ami": 14, "no-recording": 1} and not summary.dropped
    kept = list(read_manifest(tmp_path / "out" / "manifest.jsonl"))
    with_audio = {item.extra["meeting"] for item in kept if item.audio}
    assert with_audio == {"ES2016a"} and len(kept) == 94
    assert all(item.audio_path == tmp_path / "out" / ".." / "audio/ES2016a/audio" / recording.name
               for item in kept if item.audio)  # fmt: skip


def test_wrong_ami_meeting_is_not_taken_for_the_right_one(tmp_path: Path, ami_of_two: Path) -> None:
    lines = [json.loads(line) for line in ami_of_two.read_text(encoding="utf-8").splitlines()]
    lines[0]["turns"] = [[0.0, 1.0, agent, "quite other words"] for agent in "ABCD"]
    path = tmp_path / "meetings.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    _, problems = items(QMSUM, ami=path)
    wrong = [problem for problem in problems if problem.reason == "not-aligned"]
    assert wrong and all(problem.dropped and problem.place.id.startswith(lines[0]["id"]) for problem in wrong)  # type: ignore[union-attr]


def test_layouts_of_the_repository_give_the_same_queries(tmp_path: Path) -> None:
    named, unnamed = tmp_path / "named", tmp_path / "unnamed"
    for line in LINES:
        values = {name: value for name, value in line.items() if name not in ("id", "split")}
        folder = named / "data" / "ALL" / line["split"]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{line['id']}.json").write_text(json.dumps(values, indent=1), encoding="utf-8")
        (unnamed / "data" / "Product" / "jsonl").mkdir(parents=True, exist_ok=True)
        with open(unnamed / "data" / "Product" / "jsonl" / f"{line['split']}.jsonl", "a", encoding="utf-8") as handle:
            handle.write(json.dumps(values) + "\n")
    wanted = {item.utterance.id: item.utterance for item in items(QMSUM)[0]}
    assert {item.utterance.id: item.utterance for item in items(named)[0]} == wanted
    of_unnamed = [item.utterance for item in items(unnamed, domain="Product")[0]]
    assert [item.text for item in of_unnamed] == [item.text for item in wanted.values()]
    assert of_unnamed[0].id == "train-001-specific-01"


def test_bad_queries_are_dropped_with_their_numbers_and_the_others_kept(tmp_path: Path) -> None:
    good = {"query": "Why?", "answer": "Because.", "relevant_text_span": [["0", "20"]]}
    bad = [
        good | {"relevant_text_span": [["3", "99999"]]},
        good | {"relevant_text_span": [["5", "2"]]},
        good | {"relevant_text_span": []},
        good | {"relevant_text_span": [["a", "b"]]},
        good | {"answer": " "},
        {"query": "Why?"},
        "no query",
    ]
    source = one_meeting(tmp_path, specific_query_list=[good, *bad])
    spans, problems = items(source)
    reasons = [problem.reason for problem in problems]
    assert reasons == ["bad-span"] * 3 + ["broken-query", "missing-answer", "broken-query", "broken-query"]
    assert "turns 3 to 99999 of" in problems[0].detail and problems[0].place.line == 1
    assert len(spans) == 1 and all(problem.dropped for problem in problems)
    whole, problems = items(source, output="meetings")
    assert len(whole) == 1 and len(problems) == len(bad) and not any(problem.dropped for problem in problems)


def test_broken_lines_and_files_are_told_with_the_line(tmp_path: Path) -> None:
    one_meeting(tmp_path)
    with open(tmp_path / "train.jsonl", "a", encoding="utf-8") as handle:
        handle.write('\n{"meeting_transcripts": []}\n{"id": "ES20\n')
    spans, problems = items(tmp_path)
    assert spans and [(p.reason, p.place.line) for p in problems] == [("broken-meeting", 2), ("broken-json", 3)]
    folder = tmp_path / "other" / "train"
    folder.mkdir(parents=True)
    (folder / "ES2016a.json").write_text('{\n"meeting_transcripts": [,]}', encoding="utf-8")
    (folder / "ES2016b.json").write_text("[1, 2]", encoding="utf-8")
    spans, problems = items(tmp_path / "other")
    assert not spans and [(p.reason, p.place.line) for p in problems] == [("broken-json", 2), ("broken-meeting", None)]


def test_choices_that_cannot_be_are_refused_with_the_value(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is not QMSum: expected data/ALL/train/\*\.json.*; found nothing"):
        items(tmp_path)
    with pytest.raises(DataError, match=r"no test in .*; there are train, val"):
        items(QMSUM, splits=["test"])
    with pytest.raises(DataError, match="audio needs times"):
        items(QMSUM, audio=tmp_path)
    with pytest.raises(DataError, match="no audio folder"):
        items(QMSUM, ami=tmp_path, audio=tmp_path / "nowhere")
    found, problems = items(QMSUM, splits=["val", "test"])
    assert len(found) == 24 and [(p.reason, p.dropped) for p in problems] == [("missing-split", True)]
