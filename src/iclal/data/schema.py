"""What a manifest line must look like (`manifest.schema.json`, published), and the check of a whole manifest.

`check_line` reads the published schema itself, so that the two cannot disagree, and needs no JSON Schema package: of
JSON Schema it knows the words that the file uses. `check_manifest` walks through a manifest once; what it keeps of a
line are a few numbers, so that memory hardly grows with its length.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from importlib import resources
from pathlib import Path
from typing import Any

from iclal.data.corpora.reader import Place, Problem, read_jsonl
from iclal.errors import AudioError, DataError

TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "array": (list,),
    "object": (dict,),
}

# Slower or faster than this is hardly speech with its own text: children reading reach 1.8 characters a second, adults
# 20, a tightly cut digit 25.
CHARACTERS_PER_SECOND = (0.8, 35.0)

# Texts that are no transcript, each with what to say of it.
ABSURD_TEXTS = (
    (re.compile(r"[\ufffd\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"), "broken or control characters"),
    (re.compile(r"</?[a-zA-Z][^<>]*>|&[a-z]+;|https?://"), "markup or an address"),
    (re.compile(r"[a-zA-Z]{41}"), "a word of more than 40 letters"),
    (re.compile(r"\b(\w+)(?:\W+\1\b){5}", re.IGNORECASE), "the same word six times on end"),
    (re.compile(r"\A[\W_]+\Z"), "neither letters nor digits"),
)


@dataclass(frozen=True)
class FieldProblem:
    """A field of a manifest line that is not as the schema says."""

    field: str  # dotted path, e.g. questions.0.answers
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.field}: expected {self.expected}, found {self.found}"


@functools.cache
def manifest_schema() -> dict[str, Any]:
    """The published JSON Schema of a manifest line."""
    return json.loads(resources.files("iclal.data").joinpath("manifest.schema.json").read_text(encoding="utf-8"))


def check_line(values: Any) -> list[FieldProblem]:
    """What is wrong with a manifest line that was read from JSON; empty if nothing is.

    >>> [str(problem) for problem in check_line({"id": "a", "duration_seconds": "1.5"})]
    ["duration_seconds: expected number above 0, found string '1.5'"]
    """
    return list(_compare(values, manifest_schema(), ""))


def _compare(value: Any, schema: dict[str, Any], path: str) -> Iterator[FieldProblem]:
    """Problems of a value against a schema, those of its parts included."""
    if not _fits(value, schema):
        yield FieldProblem(path or "(line)", _expectation(schema), _describe(value))
    elif isinstance(value, dict):
        yield from _compare_object(value, schema, f"{path}." if path else "")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _compare(item, schema["items"], f"{path}.{number}")


def _compare_object(value: dict[str, Any], schema: dict[str, Any], prefix: str) -> Iterator[FieldProblem]:
    known: dict[str, Any] = schema.get("properties", {})
    others = schema.get("additionalProperties", True)
    for name in schema.get("required", ()):
        if name not in value:
            yield FieldProblem(prefix + name, _expectation(known[name]), "nothing: the field is required")
    for name, item in value.items():
        if name in known:
            yield from _compare(item, known[name], prefix + name)
        elif others is False:
            hint = "" if prefix else ' (fields of a corpus\'s own go into "extra")'
            yield FieldProblem(prefix + name, f"one of {', '.join(known)}{hint}", "an unknown field")
        elif isinstance(others, dict):
            yield from _compare(item, others, prefix + name)


def _fits(value: Any, schema: dict[str, Any]) -> bool:
    """Whether a value has the type and the bounds of a schema; its parts are not looked at."""
    if not isinstance(value, TYPES[schema["type"]]) or isinstance(value, bool):
        return False
    if isinstance(value, str):
        return len(value) >= schema.get("minLength", 0)
    if isinstance(value, list):
        return len(value) >= schema.get("minItems", 0)
    if isinstance(value, dict):
        return True
    return (
        math.isfinite(value)
        and value >= schema.get("minimum", float("-inf"))
        and value > schema.get("exclusiveMinimum", float("-inf"))
    )


def _expectation(schema: dict[str, Any]) -> str:
    """A schema in words: `number above 0`, `non-empty string`."""
    words = schema["type"]
    if schema.get("minLength") or schema.get("minItems"):
        words = f"non-empty {words}"
    if "minimum" in schema:
        words += f" of at least {schema['minimum']}"
    if "exclusiveMinimum" in schema:
        words += f" above {schema['exclusiveMinimum']}"
    if schema["type"] == "array":
        words += f" of {schema['items']['type']}s"
    return words


def _describe(value: Any) -> str:
    """A value with its JSON type, cut to a line's length."""
    if value is None:
        return "null (leave the field out instead)"
    if isinstance(value, bool):
        return f"boolean {str(value).lower()}"
    name = next((name for name, types in TYPES.items() if isinstance(value, types)), type(value).__name__)
    text = repr(value)
    return f"{name} {text if len(text) <= 60 else text[:57] + '...'}"


@dataclass
class Report:
    """What `check_manifest` found: totals, and of each reason the count and the first problems."""

    path: Path
    utterances: int = 0
    seconds: float = 0.0
    splits: Counter[str] = field(default_factory=Counter)
    speakers: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing makes the manifest unusable; warnings may be left."""
        return not self.errors

    def lines(self) -> Iterator[str]:
        """The report as text: `file:line: reason: detail; what to do`, then the counts."""
        for problem in self.problems:
            place = problem.place
            yield f"{place.file}:{place.line}: {problem.reason}: {problem.detail}; {problem.what_to_do}"
        shown = Counter(problem.reason for problem in self.problems)
        for kind, counts in (("error", self.errors), ("warning", self.warnings)):
            for reason, count in counts.most_common():
                more = f", the first {shown[reason]} above" if shown[reason] < count else ""
                yield f"{kind}: {reason}: {count}{more}"
        totals = f"{self.utterances} utterances, {self.seconds / 3600:.3f} h, {self.speakers} speakers"
        splits = ", ".join(f"{name} {count}" for name, count in self.splits.items())
        yield f"{totals}; {splits}" if splits else totals


def check_manifest(
    path: Path | str,
    *,
    audio: bool = True,
    characters_per_second: tuple[float, float] = CHARACTERS_PER_SECOND,
    tolerance_seconds: float = 0.02,
    keep: int = 100,
    tell: Callable[[Problem], None] | None = None,
) -> Report:
    """Check a manifest line by line; recordings by their headers only.

    Errors: no line at all, no JSON, against the schema, an id twice, a recording missing or unreadable, or of another
    length than the manifest says. Warnings: empty or absurd texts, speaking rates out of range, speakers or texts in
    two splits.

    Args:
        audio: look at recordings at all.
        keep: how many problems of one reason the report holds (all are counted); `tell` gets every one.

    Raises:
        DataError: the manifest cannot be opened.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"no manifest at {path}: give the .jsonl file that `iclal prepare` wrote")
    check = _Check(path, audio, characters_per_second, tolerance_seconds)
    report = Report(path)
    for item in read_jsonl(path):
        if isinstance(item, Problem):
            problems: Iterator[Problem] = iter([item])
        else:
            problems = check.problems(*item)
            report.utterances += 1
        for problem in problems:
            counts = report.errors if problem.dropped else report.warnings
            counts[problem.reason] += 1
            if counts[problem.reason] <= keep:
                report.problems.append(problem)
            if tell is not None:
                tell(problem)
        if not isinstance(item, Problem):
            _add_totals(report, item[1], check.seconds_of(item[1]))
    if not report.utterances and report.ok:
        problem = Place(str(path), 1).problem("no-utterances", "no line in it", "prepare the corpus anew")
        report.errors[problem.reason] += 1
        report.problems.append(problem)
        if tell is not None:
            tell(problem)
    report.speakers = len(check.speakers)
    return report


def _add_totals(report: Report, values: dict[str, Any], seconds: Any) -> None:
    """Count a line's length and split where they are of the right type."""
    split = values.get("split")
    if isinstance(seconds, (int, float)) and math.isfinite(seconds):
        report.seconds += seconds
    report.splits[split if isinstance(split, str) else "no split"] += 1


class _Check:
    """What has been seen of a manifest so far. Ids and texts are kept as 8-byte digests: 10^5 lines take some 20 MB."""

    def __init__(self, path: Path, audio: bool, rates: tuple[float, float], tolerance_seconds: float) -> None:
        self.path, self.root = path, path.parent
        self.audio, self.rates, self.tolerance_seconds = audio, rates, tolerance_seconds
        self.ids: dict[int, int] = {}  # digest -> line
        self.texts: dict[int, tuple[str, int]] = {}  # digest -> first split, line
        self.speakers: dict[str, tuple[str | None, int]] = {}  # -> first split, line
        self.told: set[tuple[str, str]] = set()  # speakers with a second split, already said
        self.durations: dict[str, float | Problem] = {}

    def seconds_of(self, values: dict[str, Any]) -> Any:
        """A line's length as it says, or as the header of its recording does, which was looked at before."""
        if "duration_seconds" in values or "start_seconds" in values:
            return values.get("duration_seconds")
        audio = values.get("audio")
        return self.durations.get(audio) if isinstance(audio, str) else None

    def problems(self, line: int, values: dict[str, Any]) -> Iterator[Problem]:
        """What is wrong with one line, alone and beside those before it."""
        place = Place(str(self.path), line)
        wrong = check_line(values)
        for problem in wrong:
            yield place.problem("schema", str(problem), "write the field as the schema says")
        if wrong:
            return
        place = place.named(values["id"])
        first = self.ids.setdefault(_digest(values["id"]), line)
        if first != line:
            yield place.problem("duplicate-id", f"id {values['id']!r} stands in line {first} too", "rename one of them")
        if self.audio and "audio" in values:
            yield from self._audio_problems(place, values)
        if "text" in values:
            yield from self._text_problems(place, values)
        yield from self._split_problems(place, line, values)

    def _audio_problems(self, place: Place, values: dict[str, Any]) -> Iterator[Problem]:
        """The recording against its header."""
        found = self._file_seconds(place, values["audio"])
        if isinstance(found, Problem):
            yield Problem(place, found.reason, found.detail, found.what_to_do)
            return
        start, length = values.get("start_seconds"), values.get("duration_seconds")
        if start is None and length is None:
            return
        end = (start or 0.0) + (length or 0.0)
        whole = start is None
        if end > found + self.tolerance_seconds or (whole and end < found - self.tolerance_seconds):
            what = f"duration_seconds is {length}" if whole else f"the clip ends at {end:.3f} s"
            detail = f"{what}, the header of {values['audio']} says {found:.3f} s"
            yield place.problem("duration-differs", detail, "prepare the corpus anew, or fetch the recording anew")

    def _file_seconds(self, place: Place, audio: str) -> float | Problem:
        """Length of a recording by its header. The last few are remembered, for clips that share one."""
        from iclal.audio.reading import header

        if audio not in self.durations:
            if len(self.durations) >= 64:
                del self.durations[next(iter(self.durations))]
            path = self.root / audio
            if not path.is_file():
                found = place.problem("missing-audio", f"no recording at {path}", "bring it there or drop the line")
            else:
                try:
                    found = header(path).duration_seconds
                except AudioError as error:
                    found = place.problem("unreadable-audio", str(error), "fetch the recording anew")
            self.durations[audio] = found
        return self.durations[audio]

    def _text_problems(self, place: Place, values: dict[str, Any]) -> Iterator[Problem]:
        """Texts that are empty, no transcript, or too long or short for their clip; all of them warnings."""
        text: str = values["text"]
        if not text.strip():
            if text or "label" not in values:
                detail = f"text is {text!r}" + ("" if "label" in values else " and there is no label")
                yield place.problem("empty-text", detail, "give the text, or a label if nobody speaks", dropped=False)
            return
        for pattern, words in ABSURD_TEXTS:
            if pattern.search(text):
                shown = text if len(text) <= 60 else text[:57] + "..."
                yield place.problem("absurd-text", f"text has {words}: {shown!r}", "clean the text", dropped=False)
                break
        seconds = self.seconds_of(values)
        if isinstance(seconds, (int, float)) and seconds > 0:
            rate = len(text) / seconds
            if not self.rates[0] <= rate <= self.rates[1]:
                detail = f"{len(text)} characters in {seconds:g} s are {rate:.1f} a second, outside {self.rates}"
                yield place.problem(
                    "speaking-rate", detail, "listen: text and clip may not belong together", dropped=False
                )

    def _split_problems(self, place: Place, line: int, values: dict[str, Any]) -> Iterator[Problem]:
        """Speakers and texts that another split has too; warnings."""
        split, speaker, text = values.get("split"), values.get("speaker"), values.get("text")
        advice = "fine where the corpus is made so; else split by speaker or text"
        if speaker is not None:
            first, where = self.speakers.setdefault(speaker, (split, line))
            if split and first and first != split and (speaker, split) not in self.told:
                self.told.add((speaker, split))
                detail = f"speaker {speaker!r} is in {split!r} here and in {first!r} in line {where}"
                yield place.problem("speaker-in-two-splits", detail, advice, dropped=False)
        words = re.findall(r"\w+", text.casefold()) if text else []
        if words and split:
            first, where = self.texts.setdefault(_digest(" ".join(words)), (split, line))
            if first != split:
                detail = f"the text is in {split!r} here and in {first!r} in line {where}"
                yield place.problem("text-in-two-splits", detail, advice, dropped=False)


def _digest(text: str) -> int:
    """Eight bytes that stand for a text: two of 10^5 lines are the same by chance once in 10^9 manifests."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
