"""What a corpus reader is and what readers share: candidates, problems, lines with numbers, paths that stay inside.

A corpus is a module with two names:

    class Options(Settings)                                  # its own options, all with defaults
    def read(source: Path, options: Options) -> Iterator[Candidate | Problem]

`read` is lazy and its order is the same each time. It yields a `Candidate` for each good item and a `Problem` for
each bad one, and raises `DataError` only where the source as a whole is not such a corpus (say what was expected and
what was found). It opens no recording: the runner (`iclal.data.prepare`) checks headers, joins, copies, makes speech,
refuses ids that come twice, and counts. Each item is yielded exactly once, as a candidate or as a problem with
`dropped=True`, so that found = kept + dropped always holds; a problem with `dropped=False` is a warning and no item.
A file or folder whose items cannot be counted because it cannot be read, or is not there, counts as one dropped item.
A corpus whose recordings may lie elsewhere has the option `audio: Path | None`, a folder of its own to stay inside.
"""

from __future__ import annotations

import csv
import dataclasses
import gzip
import json
import os
import xml.etree.ElementTree as ElementTree
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

from iclal.data.manifest import Utterance

UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Place:
    """Where an item stands in its corpus: a file (absolute), a line in it (from 1), the item's id."""

    file: str
    line: int | None = None
    id: str | None = None

    def problem(
        self, reason: str, detail: str, what_to_do: str, *, dropped: bool = True, seconds: float = 0.0
    ) -> Problem:
        """A problem at this place."""
        return Problem(self, reason, detail, what_to_do, dropped, seconds)

    def named(self, id: str) -> Place:
        """The same place, once the item's id is known."""
        return dataclasses.replace(self, id=id)


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a corpus: a line of problems.jsonl.

    `reason` is a short stable slug that is counted (`missing-audio`), `detail` says what was found, with the value.
    `dropped`: an item is lost by it (else it is a warning). `seconds`: the length lost, where it is known.
    """

    place: Place
    reason: str
    detail: str
    what_to_do: str
    dropped: bool = True
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """The line of problems.jsonl."""
        return dataclasses.asdict(self.place) | {
            "reason": self.reason,
            "detail": self.detail,
            "what_to_do": self.what_to_do,
            "dropped": self.dropped,
        }


@dataclass(frozen=True)
class Candidate:
    """An utterance as a reader found it, before its recordings are looked at.

    `utterance.audio` stays None: the runner fills it from `recordings` (absolute paths from `locate` or `walk`), and
    `duration_seconds` too unless the utterance is a span of its recording (`start_seconds` and `duration_seconds` are
    given). Several recordings are joined in order into one file of OUT. `sample_rate_hz` is the rate that the corpus
    states; a recording of another rate is dropped; None takes any. No recordings: there is only text. `spoken` are the
    (speaker, text) pairs that `--synthesise` speaks one after another; left out, it is the utterance's own.
    """

    utterance: Utterance
    place: Place
    recordings: tuple[Path, ...] = ()
    sample_rate_hz: int | None = None
    spoken: tuple[tuple[str, str], ...] = ()


def locate(root: Path, name: str, place: Place) -> Path | Problem:
    """The absolute path of the file that a corpus calls `name` (relative to `root`); it need not exist.

    Paths that leave `root`, by `..`, an absolute name or a symlink, and symlink loops come back as problems.
    """
    base = os.path.realpath(root)
    path = os.path.join(base, name.strip())
    try:
        # strict finds loops; a missing file is the runner's to report, so it is resolved again without
        resolved = os.path.realpath(path, strict=True)
    except FileNotFoundError:
        resolved = os.path.realpath(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return place.problem("bad-path", f"{name!r} cannot be followed: {reason}", "repair the link or the name")
    if not name.strip() or not (resolved + os.sep).startswith(base.rstrip(os.sep) + os.sep):
        return place.problem(
            "path-outside-source",
            f"{name!r} leads to {resolved}, which is not in {base}",
            "bring the recording into the source folder, or prepare the folder that holds both",
        )
    return Path(resolved)


def read_lines(path: Path) -> Iterator[tuple[int, str] | Problem]:
    """The lines of a UTF-8 (or marked UTF-16) text file with their numbers from 1; empty lines are left out.

    A byte order mark and CRLF are taken off; a name in .gz is unpacked on the way. A line that is not UTF-8, or a file
    that cannot be opened, is a problem.
    """
    try:
        handle = gzip.open(path) if path.suffix == ".gz" else open(path, "rb")
    except OSError as error:
        yield Place(str(path)).problem("unreadable-file", f"{error.strerror}", "check that the file is there")
        return
    try:
        yield from _lines(handle, path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        yield Place(str(path)).problem("unreadable-file", f"broken gzip: {error}", "fetch the file anew")


def _lines(handle: BufferedReader | gzip.GzipFile, path: Path) -> Iterator[tuple[int, str] | Problem]:
    """`read_lines` of an open file, which is closed at the end."""
    with handle:
        if handle.peek(2)[:2] in UTF16_MARKS:
            yield from _utf16_lines(path)
            return
        for number, raw in enumerate(handle, 1):
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                detail = f"byte 0x{raw[error.start]:02x} at column {error.start + 1} is not UTF-8"
                yield Place(str(path), number).problem("wrong-encoding", detail, "save the file as UTF-8")
                continue
            if line.strip():
                yield number, line


def _utf16_lines(path: Path) -> Iterator[tuple[int, str] | Problem]:
    """The lines of a file that begins with a UTF-16 mark."""
    number = 0
    try:
        with open(path, encoding="utf-16", newline=None) as handle:
            for number, line in enumerate(handle, 1):
                if line.strip():
                    yield number, line.rstrip("\r\n")
    except UnicodeError as error:
        yield Place(str(path), number + 1).problem("wrong-encoding", f"not UTF-16: {error}", "save the file as UTF-8")


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]] | Problem]:
    """The objects of a JSONL file with their line numbers; a line that holds none is a problem."""
    for item in read_lines(path):
        if isinstance(item, Problem):
            yield item
            continue
        number, line = item
        place = Place(str(path), number)
        try:
            values = json.loads(line)
        except ValueError as error:
            yield place.problem("broken-json", str(error), "repair the line: one JSON object a line")
            continue
        if isinstance(values, dict):
            yield number, values
        else:
            yield place.problem("broken-json", f"a {type(values).__name__}, not an object", "one JSON object a line")


def read_json(path: Path) -> Any | Problem:
    """The value of a JSON file, or a problem that names the line where it breaks."""
    try:
        return json.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        return Place(str(path)).problem("unreadable-file", f"{error.strerror}", "check that the file is there")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        return Place(str(path), line).problem("wrong-encoding", str(error), "save the file as UTF-8")
    except json.JSONDecodeError as error:
        return Place(str(path), error.lineno).problem("broken-json", str(error), "repair the file")
    except RecursionError:
        return Place(str(path)).problem("broken-json", "nested too deeply", "repair the file")


def read_csv(
    path: Path, columns: Sequence[str], delimiter: str = ","
) -> Iterator[tuple[int, dict[str, str]] | Problem]:
    """The rows of a CSV or TSV file with a header, each with the number of its last line.

    `columns` must be in the header (else one problem and no rows). Rows with too few or too many cells are problems.
    Quoted cells may hold line ends.
    """
    failures: list[Problem] = []
    numbers: list[int] = []

    def lines() -> Iterator[str]:
        for item in read_lines(path):
            if isinstance(item, Problem):
                failures.append(item)
            else:
                numbers[:] = [item[0]]
                yield item[1] + "\n"

    reader = csv.reader(lines(), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            row = []
            failures.append(Place(str(path), numbers[0]).problem("broken-csv", str(error), "repair the quotes"))
        yield from failures
        failures.clear()
        if row is None:
            return
        if not row:
            continue
        if header is None:
            header = [name.strip() for name in row]
            absent = [name for name in columns if name not in header]
            if absent:
                detail = f"no column {', '.join(absent)}; the header has {', '.join(header)}"
                yield Place(str(path), numbers[0]).problem("missing-column", detail, "name the columns that are there")
                return
        elif len(row) != len(header):
            detail = f"{len(row)} cells under a header of {len(header)}"
            yield Place(str(path), numbers[0]).problem("broken-csv", detail, "repair the row's delimiters and quotes")
        else:
            yield numbers[0], dict(zip(header, row, strict=True))


def read_xml(path: Path) -> ElementTree.Element | Problem:
    """The root of an XML file, decoded as its own header says, or a problem with the line where it breaks."""
    try:
        return ElementTree.parse(path).getroot()
    except OSError as error:
        return Place(str(path)).problem("unreadable-file", f"{error.strerror}", "check that the file is there")
    except ElementTree.ParseError as error:
        return Place(str(path), error.position[0]).problem("broken-xml", str(error), "fetch the file anew")
    except (LookupError, ValueError) as error:
        return Place(str(path), 1).problem("wrong-encoding", str(error), "repair the encoding in the XML header")


def folders(parent: Path, root: Path) -> Iterator[Path | Problem]:
    """The folders in `parent`, sorted by name; links out of `root` and links back to a folder above are problems."""
    for path in _entries(str(parent), os.path.realpath(root)):
        if isinstance(path, Problem):
            yield path
        elif os.path.isdir(path):
            yield Path(path)


def walk(root: Path, suffixes: Sequence[str]) -> Iterator[Path | Problem]:
    """Files below `root` whose names end in one of `suffixes` (lower case), sorted, folder by folder.

    Symlinks are followed where they stay inside `root`; links out of it and loops are problems.
    """
    base = os.path.realpath(root)
    yield from _walk(base, base, tuple(suffixes))


def _walk(folder: str, base: str, suffixes: tuple[str, ...]) -> Iterator[Path | Problem]:
    """`walk` from one folder on."""
    for path in _entries(folder, base):
        if isinstance(path, Problem):
            yield path
        elif os.path.isdir(path):
            yield from _walk(path, base, suffixes)
        elif path.lower().endswith(suffixes):
            yield Path(path)


def _entries(folder: str, base: str) -> Iterator[str | Problem]:
    """The real paths of what is in `folder`, sorted by name, or problems for what cannot be followed."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        yield Place(folder).problem("unreadable-file", f"{error.strerror}", "check the folder's rights")
        return
    for entry in entries:
        if not entry.is_symlink():
            yield entry.path
            continue
        found = locate(Path(base), os.path.relpath(entry.path, base), Place(entry.path))
        if isinstance(found, Problem):
            yield found
        elif (folder + os.sep).startswith(str(found) + os.sep):
            # what is behind it is reached by its own path, so no item is lost
            yield Place(entry.path).problem("symlink-loop", f"leads back to {found}", "remove the link", dropped=False)
        else:
            yield str(found)
