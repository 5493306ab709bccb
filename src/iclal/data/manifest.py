"""Utterances: a clip with what is known of it, one JSON object a line in a manifest."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from iclal.errors import DataError


@dataclass(frozen=True)
class Question:
    """A question about a clip with every answer that counts as right."""

    id: str
    question: str
    answers: tuple[str, ...]


_TEXTS = ("id", "audio", "speaker", "split", "text", "voice", "summary", "label")
_NUMBERS = ("start_seconds", "duration_seconds")
_SAID = ("text", "voice", "summary", "label")  # what stands in prompts and answers, where a line break ends a line
_BREAK = re.compile(r"\s*[\r\n]\s*")


@dataclass(frozen=True)
class Utterance:
    """A clip with what is known of it: one line of a manifest.

    `audio` is a path as the manifest writes it (relative to the manifest's folder) or None where there is only text;
    `audio_path` is where it lies. Texts are of one line: a line break in a manifest's is read as a blank. `voice` is
    the note that the rich transcript adds. Fields of a corpus's own are in `extra`.
    """

    id: str
    audio: str | None = None
    start_seconds: float | None = None
    duration_seconds: float | None = None
    speaker: str | None = None
    split: str | None = None
    text: str | None = None
    voice: str | None = None
    questions: tuple[Question, ...] = ()
    summary: str | None = None
    label: str | None = None
    facts: dict[str, str] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    root: Path = field(default=Path(), compare=False, repr=False)  # the manifest's folder; never written

    @property
    def audio_path(self) -> Path | None:
        """Where the recording lies, or None where there is only text."""
        return None if self.audio is None else self.root / self.audio

    @property
    def rich_text(self) -> str:
        """The transcript with the voice note behind it: what the teacher reads. Empty for a clip without speech."""
        return " ".join(part for part in (self.text, self.voice) if part)

    def to_json(self) -> dict[str, Any]:
        """The manifest line as a dict; empty fields are left out."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "root"}
        values["questions"] = [dataclasses.asdict(q) | {"answers": list(q.answers)} for q in self.questions]
        return {name: value for name, value in values.items() if value not in (None, [], {})}

    @classmethod
    def from_json(cls, values: dict[str, Any], root: Path = Path()) -> Utterance:
        """An utterance from a manifest line (`iclal.data.schema` checks more).

        Raises:
            TypeError: a field of a wrong type, with its value; no id, or an unknown field.
        """
        if unknown := sorted(values.keys() - {f.name for f in dataclasses.fields(cls)} | values.keys() & {"root"}):
            raise TypeError(f'unknown field {", ".join(unknown)}: fields of a corpus\'s own go into "extra"')
        if values.get("id", "") is None:
            raise TypeError("id is None: every line needs one of its own")
        for names, type in ((_TEXTS, str), (_NUMBERS, (int, float))):
            for name in names:
                if name in values and not (values[name] is None or isinstance(values[name], type)):
                    raise TypeError(f"{name} is {values[name]!r}, which is no {'text' if type is str else 'number'}")
        for name in ("facts", "extra"):
            if not isinstance(values.get(name, {}), dict):
                raise TypeError(f"{name} is {values[name]!r}, which is no object")
        if not all(isinstance(value, str) for value in values.get("facts", {}).values()):
            raise TypeError(f"facts is {values['facts']!r}, which does not hold texts alone")
        values = values | {name: without_breaks(values[name]) for name in _SAID if values.get(name)}
        values |= {"facts": {name: without_breaks(value) for name, value in values.get("facts", {}).items()}}
        questions = values.get("questions", [])
        if not isinstance(questions, list):
            raise TypeError(f"questions is {questions!r}, which is no list")
        asked = tuple(read_question(question, f"questions.{number}") for number, question in enumerate(questions))
        return cls(**(values | {"questions": asked, "root": root}))


def read_question(values: Any, place: str = "question") -> Question:
    """A question as a manifest writes it. Raises TypeError, with place and value, for none that can be answered."""
    if not isinstance(values, dict):
        raise TypeError(f"{place} is {values!r}, which is no object")
    for name in ("id", "question"):
        if not isinstance(values.get(name), str):
            raise TypeError(f"{place}.{name} is {values.get(name)!r}, which is no text")
    answers = values.get("answers")
    if not (isinstance(answers, list) and answers and all(isinstance(answer, str) for answer in answers)):
        raise TypeError(f"{place}.answers is {answers!r}, which is no list of texts with at least one")
    return Question(values["id"], without_breaks(values["question"]), tuple(map(without_breaks, answers)))


def without_breaks(text: str) -> str:
    """A text whose line breaks, with the white space around them, are blanks."""
    return _BREAK.sub(" ", text).strip() if _BREAK.search(text) else text


def write_manifest(path: Path, utterances: Iterable[Utterance]) -> int:
    """Write utterances as JSONL, aside and renamed; returns how many."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".partial")
    count = 0
    with open(aside, "w", encoding="utf-8") as handle:
        for utterance in utterances:
            handle.write(json.dumps(utterance.to_json(), ensure_ascii=False) + "\n")
            count += 1
    aside.replace(path)
    return count


def read_manifest(path: Path | str) -> Iterator[Utterance]:
    """Utterances of a manifest, one after another.

    Raises:
        DataError: no such file, or a line that is no JSON object with the schema's fields; names file and line.
    """
    path = Path(path)
    try:
        handle = open(path, "rb")
    except OSError as error:
        raise DataError(f"cannot open manifest {path}: {error.strerror}") from error
    with handle:
        for number, line in enumerate(handle, 1):
            if not line.strip():
                continue
            try:
                # decoded line by line, so that what is no UTF-8 has a line number too
                yield Utterance.from_json(json.loads(line.decode("utf-8-sig")), path.parent)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise DataError(f"{path}:{number}: not a manifest line: {error}; see `iclal data check`") from error
