"""WavPrompt's manifests: NAME.tsv with a root line and NAME.ltr beside it, line by line.

    train.tsv   /data/librispeech                     the folder that the paths below start from
                84-1.flac<TAB>35400                   path, samples; several paths joined by `;` are one clip
                84-2.flac;84-3.flac<TAB>8000<TAB>lights   a third column is the clip's class
    train.ltr   M I S T E R | Q U I L T E R |         training: letters, or a plain sentence
                lights<TAB>what is the topic?<TAB>turn it up[<TAB>HYPOTHESIS]     evaluation

In a hypothesis `#` stands for a tab and `*` for a line end. Audio is 16 kHz. The root line is usually a path of the
machine that wrote it: `audio` names the folder instead; with neither there, utterances come without audio. Built from
WavPrompt's code and its published manifests, which are not in the data folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from iclal.data.corpora.reader import Candidate, Place, Problem, locate, read_lines
from iclal.data.manifest import Utterance
from iclal.errors import DataError
from iclal.settings import Settings

SAMPLE_RATE_HZ = 16_000
SPLITS = {"train": "train", "dev": "dev", "valid": "dev", "test": "test"}


class Options(Settings):
    """Where the recordings are, in place of the root line."""

    audio: Path | None = None


def read(source: Path, options: Options) -> Iterator[Candidate | Problem]:
    """Rows of every .tsv in the source (or of the one .tsv that it is).

    Raises:
        DataError: no .tsv, or `audio` is no folder.
    """
    source = Path(os.path.realpath(source))
    tables = [source] if source.suffix == ".tsv" else sorted(source.glob("*.tsv"))
    if not tables:
        raise DataError(f"no NAME.tsv with a NAME.ltr in {source}")
    if options.audio is not None and not options.audio.is_dir():
        raise DataError(f"no folder {options.audio} to find recordings in")
    for table in tables:
        yield from _read_pair(table, options)
    if source.is_dir():
        for path in sorted(source.glob("*.ltr")):
            if path.with_suffix(".tsv") not in tables:
                yield Place(str(path)).problem("missing-manifest", f"no {path.stem}.tsv", "fetch the .tsv too")


def _read_pair(table: Path, options: Options) -> Iterator[Candidate | Problem]:
    """One .tsv with its .ltr. Line n of the .ltr belongs to line n + 1 of the .tsv."""
    letters = _Letters(table.with_suffix(".ltr"))
    root: Path | None = None
    for item in read_lines(table):
        number = item.place.line or 1 if isinstance(item, Problem) else item[0]
        if number == 1:
            if isinstance(item, Problem):
                yield item
                return
            root = options.audio or table.parent / item[1].strip()
            if not root.is_dir():
                detail = f"the root line says {item[1].strip()!r}, which is not here: utterances come without audio"
                yield Place(str(table), 1).problem("missing-root", detail, "name the folder by --audio", dropped=False)
                root = None
            continue
        line = letters.line(number - 1)
        yield from letters.beyond(number - 1)
        yield (item if isinstance(item, Problem) else _row(item[1], line, Place(str(table), number), root))
    yield from letters.beyond(None)


class _Letters:
    """An .ltr file, read alongside its .tsv."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._items = read_lines(path) if path.is_file() else iter(())
        self._next = next(self._items, None)
        self._skipped: list[Problem] = []

    def line(self, number: int) -> str | Problem | None:
        """The line of a number, or None where there is none or an empty one; lines before it are skipped."""
        while self._next is not None:
            found = self._next.place.line or 0 if isinstance(self._next, Problem) else self._next[0]
            if found > number:
                return None
            item, self._next = self._next, next(self._items, None)
            if found == number:
                return item if isinstance(item, Problem) else item[1]
            self._skip(found)
        return None

    def beyond(self, number: int | None) -> Iterator[Problem]:
        """Lines that no row of the .tsv belongs to; with None the rest of the file too."""
        if number is None:
            while self._next is not None:
                self._skip(self._next.place.line or 0 if isinstance(self._next, Problem) else self._next[0])
                self._next = next(self._items, None)
        yield from self._skipped
        self._skipped = []

    def _skip(self, number: int) -> None:
        place = Place(str(self.path), number)
        detail = f"line {number} has no row {number + 1} in the .tsv"
        self._skipped.append(place.problem("missing-audio", detail, "write the pair anew"))


def _row(row: str, line: str | Problem | None, place: Place, root: Path | None) -> Candidate | Problem:
    """A row of the .tsv with its line of the .ltr."""
    id = f"{Path(place.file).stem}-{(place.line or 0) - 1:06d}"
    place = place.named(id)
    cells = row.split("\t")
    if len(cells) not in (2, 3) or not cells[0].strip() or not cells[1].strip().isdigit():
        return place.problem("broken-row", f"{row[:80]!r} is not PATH<TAB>SAMPLES[<TAB>LABEL]", "repair the row")
    if isinstance(line, Problem):
        return Problem(place, line.reason, f"{Path(line.place.file).name}: {line.detail}", line.what_to_do)
    label = cells[2].strip() or None if len(cells) == 3 else None
    extra: dict[str, object] = {"num_samples": int(cells[1])}
    text: str | None = None
    if line is not None:
        parts = [part.strip() for part in line.split("\t")]
        if len(parts) not in (1, 3, 4):
            detail = f"{line[:80]!r} is neither TEXT nor LABEL<TAB>QUESTION<TAB>TEXT[<TAB>HYPOTHESIS]"
            return place.problem("broken-transcript", detail, "repair the .ltr line")
        if len(parts) > 1:
            if label not in (None, parts[0]):
                return place.problem("label-differs", f"{label!r} in .tsv, {parts[0]!r} in .ltr", "write the pair anew")
            label = parts[0] or None
            extra["question"] = parts[1]
        if len(parts) == 4:
            extra["hypothesis"] = parts[3].replace("#", "\t").replace("*", "\n")
        original = parts[min(2, len(parts) - 1)]
        text = words_of(original) or None
        if text and text != original:
            extra["original_text"] = original
    if not text and label is None:
        return place.problem(
            "missing-transcript", f"no line {(place.line or 0) - 1} in the .ltr", "write the pair anew"
        )
    utterance = Utterance(id, split=_split(place.file), text=text, label=label, extra=extra)
    paths = [locate(root, name, place) for name in cells[0].split(";") if name.strip()] if root else []
    wrong = next((path for path in paths if isinstance(path, Problem)), None)
    return wrong or Candidate(utterance, place, tuple(p for p in paths if isinstance(p, Path)), SAMPLE_RATE_HZ)


def words_of(text: str) -> str:
    """Text of a transcript: letters with `|` between words become lower-case words, a plain sentence stays.

    >>> words_of("M I S T E R | Q U I L T E R |"), words_of("A man in a black hat.")
    ('mister quilter', 'A man in a black hat.')
    """
    if "|" not in text:
        return text
    return " ".join("".join(text.split()).replace("|", " ").split()).lower()


def _split(file: str) -> str:
    """The split that a file's name begins with: test_black_white.tsv is of test."""
    head = Path(file).stem.split("_")[0]
    return SPLITS.get(head, head)
