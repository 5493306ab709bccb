"""A manifest line read back: what cannot be an utterance is refused where it stands, with its value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from iclal.data.manifest import Question, Utterance, read_manifest, write_manifest
from iclal.errors import DataError


def asked(**values: Any) -> dict[str, Any]:
    return {"id": "a", "questions": [{"id": "q", "question": "is it", "answers": ["yes", "aye"]} | values]}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"id": None}, "id is None"),
        ({"id": 7}, "id is 7, which is no text"),
        ({"text": "no id"}, "missing .* 'id'"),
        ({"id": "a", "facts": None}, "facts is None, which is no object"),
        ({"id": "a", "facts": {"city": 3}}, "facts is {'city': 3}, which does not hold texts alone"),
        ({"id": "a", "extra": None}, "extra is None, which is no object"),
        ({"id": "a", "extra": ["x"]}, r"extra is \['x'\], which is no object"),
        ({"id": "a", "questions": None}, "questions is None, which is no list"),
        ({"id": "a", "questions": {"q": 1}}, "questions is {'q': 1}, which is no list"),
        ({"id": "a", "questions": ["who"]}, "questions.0 is 'who', which is no object"),
        (asked(answers="yes"), "questions.0.answers is 'yes', which is no list of texts with at least one"),
        (asked(answers=[]), r"questions.0.answers is \[\], which is no list of texts with at least one"),
        (asked(answers=["yes", 1]), r"questions.0.answers is \['yes', 1\]"),
        (asked(answers=None), "questions.0.answers is None"),
        (asked(id=None), "questions.0.id is None, which is no text"),
        (asked(question=3), "questions.0.question is 3, which is no text"),
    ],
)
def test_a_line_that_is_no_utterance_is_refused_with_file_line_and_value(
    line: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text('{"id": "first"}\n' + json.dumps(line) + "\n")
    with pytest.raises(DataError, match=f"m.jsonl:2: not a manifest line: .*{message}"):
        list(read_manifest(path))


def test_line_breaks_in_texts_are_read_as_blanks() -> None:
    question = {"id": "q", "question": "is\r\n it", "answers": ["yes\n", "a\nb"]}
    values = {"id": "a", "text": "three \n four", "summary": "one\ntwo", "facts": {"city": "new\nyork"}, "label": " l "}
    found = Utterance.from_json(values | {"questions": [question]})
    assert (found.text, found.summary, found.facts, found.label) == (
        "three four",
        "one two",
        {"city": "new york"},
        " l ",
    )
    assert found.questions == (Question("q", "is it", ("yes", "a b")),)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    questions = (Question("q", "is it", ("yes", "aye")),)
    full = Utterance("a", "a.wav", 0.5, 1.5, "s", "dev", "t", "v", questions, "sum", "l", {"city": "rome"}, {"take": 3})
    assert write_manifest(tmp_path / "m.jsonl", [full, Utterance("b")]) == 2
    assert list(read_manifest(tmp_path / "m.jsonl")) == [full, Utterance("b")]
    assert Utterance.from_json(asked()).questions == questions
