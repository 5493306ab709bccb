"""The user's own recordings: a table with any column names, or audio with a .txt of the same name beside it.

A table is CSV, TSV, JSONL or JSON (a list of objects, or an object of them by id); the source is the table, or a folder
that holds one. Columns have the names of a manifest's fields unless told otherwise (`text=sentence audio=path`);
`questions` and `facts` are read from JSON, as a manifest writes them; columns not used are kept in `extra`. Audio paths
start from the table's folder, or from `root`.

Without a table each recording below the source is an utterance, its text is NAME.txt beside NAME.wav.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from iclal.data.corpora.reader import (
    Candidate,
    Place,
    Problem,
    locate,
    read_csv,
    read_json,
    read_jsonl,
    read_lines,
    walk,
)
from iclal.data.manifest import Question, Utterance, read_question, without_breaks
from iclal.errors import DataError
from iclal.settings import Settings

TABLES = (".csv", ".tsv", ".jsonl", ".json")
RECORDINGS = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".m4a", ".mp4", ".webm")
NUMBERS = ("start_seconds", "duration_seconds")


class Options(Settings):
    """Which column holds what; None: the column of the field's own name, if there is one.

    `root` is the folder that audio paths start from, `delimiter` what stands between cells (found in the header line
    if not given), `default_split` the split of rows that name none.
    """

    id: str | None = None
    audio: str | None = None
    text: str | None = None
    speaker: str | None = None
    split: str | None = None
    label: str | None = None
    voice: str | None = None
    summary: str | None = None
    start_seconds: str | None = None
    duration_seconds: str | None = None
    root: Path | None = None
    delimiter: str | None = None
    default_split: str | None = None


FIELDS = tuple(name for name in Options.model_fields if name not in ("root", "delimiter", "default_split"))


def read(source: Path, options: Options) -> Iterator[Candidate | Problem]:
    """Rows of the table, or recordings with their texts.

    Raises:
        DataError: several tables, neither a table nor recordings, or a table without the columns.
    """
    source = Path(os.path.realpath(source))
    if options.root is not None and not options.root.is_dir():
        raise DataError(f"no folder {options.root} for audio paths to start from")
    if source.is_dir():
        tables = sorted(path for path in source.iterdir() if path.suffix.lower() in TABLES and path.is_file())
        if len(tables) > 1:
            names = ", ".join(path.name for path in tables)
            raise DataError(f"{source} has several tables ({names}): name the one that you mean as the source")
        if not tables:
            yield from _read_tree(source, options)
            return
        source = tables[0]
    elif source.suffix.lower() not in TABLES or not source.is_file():
        raise DataError(f"no folder or table ({', '.join(TABLES)}) at {source}")
    yield from _read_table(source, options)


def _read_table(table: Path, options: Options) -> Iterator[Candidate | Problem]:
    """All rows of a table; the columns are looked for in the first good one."""
    root = options.root or table.parent
    columns: dict[str, str] | None = None
    for item in _rows(table, options):
        if isinstance(item, Problem):
            yield item
            continue
        number, row = item
        if columns is None:
            columns = _columns(row, options, table)
        yield _row(row, columns, Place(str(table), number), root, options)


def _rows(table: Path, options: Options) -> Iterator[tuple[int, dict[str, Any]] | Problem]:
    """Rows of any kind of table with their line (in JSON: their number)."""
    kind = table.suffix.lower()
    if kind == ".jsonl":
        yield from read_jsonl(table)
    elif kind == ".json":
        yield from _json_rows(table)
    else:
        named = [name for field in FIELDS if (name := getattr(options, field)) is not None]
        for item in read_csv(table, [], options.delimiter or _delimiter(table)):
            if not isinstance(item, Problem) and (absent := [name for name in named if name not in item[1]]):
                raise _no_columns(table, absent, item[1])
            yield item


def _json_rows(table: Path) -> Iterator[tuple[int, dict[str, Any]] | Problem]:
    """Objects of a JSON list, or of an object by id."""
    values = read_json(table)
    if isinstance(values, Problem):
        yield values
        return
    if isinstance(values, dict):
        values = [{"id": key} | value if isinstance(value, dict) else value for key, value in values.items()]
    if not isinstance(values, list):
        raise DataError(f"{table} must hold a list of objects, or an object of objects, found {type(values).__name__}")
    for number, value in enumerate(values, 1):
        if isinstance(value, dict):
            yield number, value
        else:
            detail = f"item {number} is a {type(value).__name__}, not an object"
            yield Place(str(table), number).problem("broken-json", detail, "make every item an object")


def _delimiter(table: Path) -> str:
    """What stands between the cells of the header: tab in a .tsv, else the commonest of comma, semicolon, tab."""
    if table.suffix.lower() == ".tsv":
        return "\t"
    header = next((item[1] for item in read_lines(table) if not isinstance(item, Problem)), "")
    return max(",;\t|", key=lambda mark: len(next(csv.reader([header], delimiter=mark), [])))


def _columns(row: dict[str, Any], options: Options, table: Path) -> dict[str, str]:
    """Field -> column. Raises DataError where a column that was named, or both text and audio, are not there."""
    wanted = {field: getattr(options, field) or field for field in FIELDS}
    absent = [name for field, name in wanted.items() if getattr(options, field) and name not in row]
    # objects of JSON may leave fields out, so there a column that was named need not be in the first
    if absent and table.suffix.lower() in (".csv", ".tsv"):
        raise _no_columns(table, absent, row)
    if wanted["text"] not in row and wanted["audio"] not in row and not absent:
        raise _no_columns(table, [wanted["text"], wanted["audio"]], row)
    return wanted


def _no_columns(table: Path, absent: list[str], row: dict[str, Any]) -> DataError:
    found = ", ".join(row)
    return DataError(
        f"{table} has no column {', '.join(absent)}; it has {found}. Say e.g. text={next(iter(row), 'TEXT')}"
    )


def _row(
    row: dict[str, Any], columns: dict[str, str], place: Place, root: Path, options: Options
) -> Candidate | Problem:
    """One row as an utterance."""
    cells = {field: row[column] for field, column in columns.items() if row.get(column) not in (None, "")}
    for field, value in cells.items():
        if isinstance(value, (dict, list, bool)) or (field in NUMBERS and _number(value) is None):
            wanted = "a number" if field in NUMBERS else "text"
            return place.problem(
                "wrong-type", f"{columns[field]} is {value!r:.60}, expected {wanted}", "repair the row"
            )
    texts = {field: without_breaks(str(value)).strip() for field, value in cells.items() if field not in NUMBERS}
    audio = texts.pop("audio", None)
    stem = PurePosixPath(audio.replace(os.sep, "/")).with_suffix("").as_posix() if audio else None
    id = texts.pop("id", None) or stem or f"{Path(place.file).stem}-{place.line:06d}"
    place = place.named(id)
    if "text" not in texts and "label" not in texts and "summary" not in texts:
        return place.problem("missing-text", f"nothing under {columns['text']}", "give the text, or a label or summary")
    questions = _questions(row.get("questions"))
    if questions is None:
        return place.problem("wrong-type", "questions are not a list of {id, question, answers}", "repair the row")
    facts = row.get("facts") or {}
    if not isinstance(facts, dict) or not all(isinstance(value, str) for value in facts.values()):
        return place.problem("wrong-type", "facts are not an object of texts", "repair the row")
    used = {*columns.values(), "questions", "facts"}
    utterance = Utterance(
        id,
        start_seconds=_number(cells.get("start_seconds")),
        duration_seconds=_number(cells.get("duration_seconds")),
        questions=questions,
        facts=facts,
        extra={name: value for name, value in row.items() if name not in used and value not in (None, "")},
        speaker=texts.get("speaker"),
        split=texts.get("split", options.default_split),
        text=texts.get("text"),
        label=texts.get("label"),
        voice=texts.get("voice"),
        summary=texts.get("summary"),
    )
    path = locate(root, audio, place) if audio else None
    if isinstance(path, Problem):
        return path
    return Candidate(utterance, place, (path,) if path else ())


def _number(value: Any) -> float | None:
    """A finite number, or None."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if abs(number) < float("inf") else None


def _questions(values: Any) -> tuple[Question, ...] | None:
    """Questions as a manifest writes them, or None where they are something else."""
    try:
        return tuple(map(read_question, values or ()))
    except TypeError:
        return None


def _read_tree(root: Path, options: Options) -> Iterator[Candidate | Problem]:
    """Recordings with a .txt beside each, then texts without a recording."""
    is_empty = True
    texts: set[Path] = set()
    heard: set[Path] = set()
    for path in walk(root, (*RECORDINGS, ".txt")):
        if isinstance(path, Problem):
            yield path
        elif path.suffix.lower() == ".txt":
            texts.add(path)
        else:
            is_empty = False
            heard.add(path.with_suffix(".txt"))
            yield _beside(path, root, options)
    if is_empty:
        raise DataError(f"no table ({', '.join(TABLES)}) and no recordings ({', '.join(RECORDINGS)}) in {root}")
    for path in sorted(texts - heard):
        yield Place(str(path), id=path.stem).problem("missing-audio", f"no recording {path.stem}.* beside it", "add it")


def _beside(path: Path, root: Path, options: Options) -> Candidate | Problem:
    """A recording with its text, whose lines are joined by spaces."""
    id = path.relative_to(root).with_suffix("").as_posix()
    place = Place(str(path.with_suffix(".txt")), id=id)
    if not path.with_suffix(".txt").is_file():
        return place.problem("missing-transcript", f"no {path.stem}.txt beside {path.name}", "write the text")
    lines = []
    for item in read_lines(path.with_suffix(".txt")):
        if isinstance(item, Problem):
            return Problem(place, item.reason, item.detail, item.what_to_do)
        lines.append(item[1].strip())
    if not lines:
        return place.problem("missing-text", f"{path.stem}.txt is empty", "write the text")
    return Candidate(Utterance(id, split=options.default_split, text=" ".join(lines)), place, (path,))
