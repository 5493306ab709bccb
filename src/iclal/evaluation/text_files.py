"""Files of texts, as scorers exchange them, to pairs of reference and hypothesis.

How a file is read, in this order; `format` overrules it for both files:

1. By its name: `.jsonl`, `.trn`, `.tsv`.
2. `jsonl` if its first line is a JSON object: `id` and `text`; for answers `answers` (or the `questions` of a
   manifest), for summaries `summary`. A line without `id` goes by the name of its `audio` file, without folder and
   ending, and so do then the lines of the other file that have `audio`.
3. `trn` if each line ends in `(id)`: NIST's form. Lines that begin with `;;` are comments; ids have no case.
4. `tsv` if its first line has a tab: id and text, or any columns under a header that names `id` and the field.
   Without a header, further columns are further right answers.
5. `kaldi` (id, space, text) if the other file has ids, or if in both files each line begins with a word of its own
   that looks like an id: it has a digit and is no number of up to four digits.
6. `lines` else: line by line, as many in both files; an empty line is an empty text.

Texts are UTF-8, or UTF-16 with its mark; a byte order mark and CRLF are no part of them.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from iclal.errors import DataError, SettingsError

Task = Literal["transcript", "answers", "summary"]
TASKS: tuple[Task, ...] = ("transcript", "answers", "summary")

# The fields that may hold a text, best first.
_REFERENCE_FIELDS: dict[Task, tuple[str, ...]] = {
    "transcript": ("text",),
    "answers": ("answers", "answer", "text"),
    "summary": ("summary", "text"),
}
_HYPOTHESIS_FIELDS: dict[Task, tuple[str, ...]] = {
    "transcript": ("text",),
    "answers": ("answer", "text"),
    "summary": ("summary", "text"),
}

_LISTED = 10  # problems and ids named in a message; the rest are counted
_TRN_LINE = re.compile(r"(.*)\(([^()\s]+)\)\s*")
_ID_LIKE = re.compile(r"(?!\d{1,4}\W*$)(?=.*\d).+")


@dataclass(frozen=True)
class Pair:
    """A hypothesis with every text that would have been right."""

    id: str
    references: tuple[str, ...]
    hypothesis: str


@dataclass(frozen=True)
class Pairs:
    """All pairs of two files in the reference's order, and what was read: formats and digests."""

    pairs: tuple[Pair, ...]
    formats: tuple[str, str]
    sha256: tuple[str, str]


@dataclass(frozen=True)
class _Entry:
    """One text (or several right ones) as a file has it."""

    id: str
    texts: tuple[str, ...]
    line: int
    audio: str | None = None  # the name of the audio file, where the line has one


@dataclass
class _File:
    """A file while it is read: numbered lines in, entries and problems out."""

    path: Path
    lines: list[str]
    sha256: str
    fields: tuple[str, ...]
    many: bool  # whether an entry may have several right texts
    format: str = ""
    by_audio: bool = False  # whether there are lines without an id, known by their audio file
    entries: list[_Entry] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def numbered(self) -> Iterator[tuple[int, str]]:
        """Lines that are not blank, with their numbers."""
        return ((number, line) for number, line in enumerate(self.lines, 1) if line.strip())

    def problem(self, line: int, what: str) -> None:
        """Take down a line that cannot be read."""
        self.problems.append(f"{self.path}:{line}: {what}")


def read_pairs(
    reference: Path | str, hypothesis: Path | str, *, task: Task = "transcript", format: str = "auto"
) -> Pairs:
    """Read two files and put their texts together by id.

    Raises:
        DataError: a file that cannot be read; lines that cannot, all named; ids that stand twice or in one file only.
        SettingsError: an unknown format or task.
    """
    if format != "auto" and format not in _READERS:
        raise SettingsError(f"unknown format '{format}'; known are auto, {', '.join(_READERS)}")
    if task not in TASKS:
        raise SettingsError(f"unknown task '{task}'; known are {', '.join(TASKS)}")
    files = (
        _open(Path(reference), _REFERENCE_FIELDS[task], many=task != "transcript"),
        _open(Path(hypothesis), _HYPOTHESIS_FIELDS[task], many=False),
    )
    _settle_formats(files, format)
    for file in files:
        _READERS[file.format](file)
    if files[0].format == "lines" and len(files[0].lines) != len(files[1].lines):
        reference_lines, hypothesis_lines = (f"{file.path} has {len(file.lines)} lines" for file in files)
        raise DataError(
            f"{reference_lines} and {hypothesis_lines}: texts without ids must stand line by line; "
            "if the lines begin with ids, say so with --format kaldi"
        )
    by_id = _by_id(files)
    problems = files[0].problems + files[1].problems
    if problems:
        raise DataError(f"{len(problems)} lines cannot be scored:\n" + _listed(problems, "\n"))
    _check_ids(files, by_id)
    pairs = [Pair(entry.id, entry.texts, by_id[1][key].texts[0]) for key, entry in by_id[0].items()]
    return Pairs(tuple(pairs), (files[0].format, files[1].format), (files[0].sha256, files[1].sha256))


def _open(path: Path, fields: tuple[str, ...], many: bool) -> _File:
    """The file's lines without their ends."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path}:{line}: byte 0x{data[error.start]:02x} is no {encoding.removesuffix('-sig').upper()}; "
            "convert the file, e.g. iconv -f ISO-8859-1 -t UTF-8"
        ) from error
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if not lines[-1]:
        lines.pop()
    return _File(path, lines, hashlib.sha256(data).hexdigest(), fields, many)


def _settle_formats(files: Sequence[_File], format: str) -> None:
    """Decide how each file is read; see the rules on top."""
    for file in files:
        file.format = format if format != "auto" else _own_format(file)
    unsettled = [file for file in files if not file.format]
    if len(unsettled) == 1:
        unsettled[0].format = "kaldi"
    elif len(unsettled) == 2:
        like_kaldi = [_looks_like_kaldi(file) for file in files]
        if like_kaldi[0] != like_kaldi[1]:
            one, other = files if like_kaldi[0] else files[::-1]
            raise DataError(
                f"the lines of {one.path} begin with what looks like ids, those of {other.path} do not; "
                "say which it is with format kaldi or format lines"
            )
        for file in files:
            file.format = "kaldi" if like_kaldi[0] else "lines"
    if {file.format for file in files} & {"lines"} and len({file.format for file in files}) == 2:
        raise DataError(f"{files[0].path} is read as {files[0].format} and {files[1].path} as {files[1].format}")


def _own_format(file: _File) -> str:
    """The format that the file alone tells (rules 1 to 4), or nothing."""
    if file.path.suffix in (".jsonl", ".trn", ".tsv"):
        return file.path.suffix[1:]
    lines = [line for _, line in file.numbered()]
    if not lines:
        return ""
    if lines[0].lstrip().startswith("{") and _json_object(lines[0]) is not None:
        return "jsonl"
    lines = [line for line in lines if not line.startswith(";;")]
    if lines and all(_TRN_LINE.fullmatch(line) for line in lines):
        return "trn"
    return "tsv" if lines and "\t" in lines[0] else ""


def _looks_like_kaldi(file: _File) -> bool:
    """Whether each line begins with a word of its own that looks like an id."""
    words = [line.split(maxsplit=1)[0] for _, line in file.numbered()]
    return bool(words) and len(set(words)) == len(words) and all(_ID_LIKE.fullmatch(word) for word in words)


def _read_lines(file: _File) -> None:
    file.entries = [_Entry(str(number), (line,), number) for number, line in enumerate(file.lines, 1)]


def _read_kaldi(file: _File) -> None:
    for number, line in file.numbered():
        key, *text = line.split(maxsplit=1)
        file.entries.append(_Entry(key, (text[0].strip() if text else "",), number))


def _read_trn(file: _File) -> None:
    for number, line in file.numbered():
        if line.startswith(";;"):
            continue
        match = _TRN_LINE.fullmatch(line)
        if match:
            file.entries.append(_Entry(match[2], (match[1].strip(),), number))
        else:
            file.problem(number, f"no (id) at its end: '{_short(line)}'")


def _read_tsv(file: _File) -> None:
    rows = [(number, line.split("\t")) for number, line in file.numbered()]
    header = [name.strip().lower() for name in rows[0][1]] if rows else []
    columns: list[int] = []
    if "id" in header:
        named = [header.index(name) for name in file.fields if name in header]
        if not named:
            return file.problem(rows[0][0], f"the header has no column {' or '.join(file.fields)}")
        columns, rows = [header.index("id"), named[0]], rows[1:]
    for number, row in rows:
        if len(row) <= max(columns, default=1) or (not columns and len(row) > 2 and not file.many):
            wanted = len(header) if columns else 2
            file.problem(number, f"{len(row)} columns where there should be {wanted}: '{_short(' | '.join(row))}'")
            continue
        key, *texts = (text.strip() for text in [row[column] for column in columns] or row)
        said = tuple(filter(None, texts)) or ("",)  # a spreadsheet fills short rows up with empty columns
        file.entries.append(_Entry(key, said, number))


def _read_jsonl(file: _File) -> None:
    for number, line in file.numbered():
        values = _json_object(line)
        if values is None:
            file.problem(number, f"no JSON object: '{_short(line)}'")
            continue
        questions = values.get("questions")
        if "answers" in file.fields and "answers" not in values and isinstance(questions, list):
            for question in questions:
                _read_object(file, number, question if isinstance(question, dict) else {})
        else:
            audio = values.get("audio")
            _read_object(file, number, values, PurePosixPath(audio).stem if isinstance(audio, str) else None)


def _read_object(file: _File, number: int, values: dict[str, Any], audio: str | None = None) -> None:
    """Take down the entry that one JSON object is; `audio` is what it goes by without an id."""
    if "id" not in values and audio is not None:
        file.by_audio = True
    key = values.get("id", audio)
    if not isinstance(key, str | int):
        return file.problem(number, "no 'id' and no 'audio' to know it by")
    name = next((name for name in file.fields if name in values), None)
    if name is None:
        return file.problem(number, f"id '{key}' has no {' or '.join(file.fields)}")
    texts = values[name] if isinstance(values[name], list) else [values[name]]
    if not texts or not all(isinstance(text, str) for text in texts) or (len(texts) > 1 and not file.many):
        wanted = "a string or a list of strings" if file.many else "a string"
        return file.problem(number, f"id '{key}': {name} must be {wanted}, found {_short(json.dumps(values[name]))}")
    file.entries.append(_Entry(str(key), tuple(texts), number, audio))


_READERS: dict[str, Callable[[_File], None]] = {
    "jsonl": _read_jsonl,
    "trn": _read_trn,
    "tsv": _read_tsv,
    "kaldi": _read_kaldi,
    "lines": _read_lines,
}


def _by_id(files: Sequence[_File]) -> list[dict[str, _Entry]]:
    """Each file's entries by the key that both go by; ids that stand twice are noted as problems."""
    # NIST's scorer reads ids without case, and its own files differ in it.
    fold = any(file.format == "trn" for file in files)
    by_audio = any(file.by_audio for file in files)
    result = []
    for file in files:
        entries: dict[str, _Entry] = {}
        for entry in file.entries:
            key = entry.audio if by_audio and entry.audio is not None else entry.id
            key = key.casefold() if fold else key
            if key in entries:
                file.problem(entry.line, f"id '{key}' stands in line {entries[key].line} already")
            entries.setdefault(key, entry)
        result.append(entries)
    return result


def _check_ids(files: Sequence[_File], by_id: Sequence[dict[str, _Entry]]) -> None:
    """Raise DataError with the ids that stand in one file only, or when there is nothing at all."""
    reference, hypothesis = by_id
    if not reference and not hypothesis:
        raise DataError(f"{files[0].path} and {files[1].path} hold no texts")
    missing = [key for key in reference if key not in hypothesis]
    extra = [key for key in hypothesis if key not in reference]
    if missing or extra:
        parts = []
        for where, keys in ((files[1].path, missing), (files[0].path, extra)):
            if keys:
                parts.append(f"{len(keys)} ids are not in {where}: {_listed(keys, ', ')}")
        raise DataError("; ".join(parts) + ". Nothing is scored until the ids match")


def _json_object(line: str) -> dict[str, Any] | None:
    """The JSON object of a line, or None."""
    try:
        values = json.loads(line)
    except ValueError:
        return None
    return values if isinstance(values, dict) else None


def _listed(items: Sequence[str], joint: str) -> str:
    """The first few items, and how many more."""
    more = len(items) - _LISTED
    return joint.join(items[:_LISTED]) + (f"{joint}... and {more} more" if more > 0 else "")


def _short(text: str) -> str:
    """At most 60 letters of a line."""
    return text if len(text) <= 60 else text[:57] + "..."
