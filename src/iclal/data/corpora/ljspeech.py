"""LJ Speech: one reader, 22,050 Hz wavs, a table without a header.

    metadata.csv         LJ001-0001|Printing, in the only sense ...|Printing, in the only sense ...
    wavs/LJ001-0001.wav

Columns: id, text as printed, text with numbers and abbreviations spelt out; quotes are plain characters. The corpus has
no splits. Built from the corpus's documentation (two of its recordings are in the data folder, the table is not).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from iclal.data.corpora.reader import Candidate, Place, Problem, locate, read_lines, walk
from iclal.data.manifest import Utterance
from iclal.errors import DataError
from iclal.settings import Settings

SAMPLE_RATE_HZ = 22_050


class Options(Settings):
    """Whether the text is the spelt-out one (else the printed one; the other stays in extra.original_text)."""

    normalized: bool = True


def read(source: Path, options: Options) -> Iterator[Candidate | Problem]:
    """Lines of metadata.csv, then wavs that it does not name.

    Raises:
        DataError: no metadata.csv in the source.
    """
    root = Path(os.path.realpath(source))
    table = root / "metadata.csv"
    if not table.is_file():
        raise DataError(f"no metadata.csv in {root}: LJ Speech is metadata.csv with a folder wavs")
    named: set[str] = set()
    for item in read_lines(table):
        if isinstance(item, Problem):
            yield item
            continue
        number, line = item
        cells = [cell.strip() for cell in line.split("|")]
        place = Place(str(table), number, cells[0])
        named.add(cells[0])
        printed, spelt = (cells + ["", ""])[1:3]
        text = (spelt or printed) if options.normalized else printed
        if len(cells) not in (2, 3) or not cells[0] or not text:
            yield place.problem("missing-text", f"{line[:80]!r} is not ID|TEXT|TEXT SPELT OUT", "repair the line")
            continue
        path = locate(root, f"wavs/{cells[0]}.wav", place)
        if isinstance(path, Problem):
            yield path
            continue
        other = printed if options.normalized else spelt
        extra = {"original_text": other} if other and other != text else {}
        yield Candidate(Utterance(cells[0], speaker="ljspeech", text=text, extra=extra), place, (path,), SAMPLE_RATE_HZ)
    for path in walk(root / "wavs", (".wav",)) if (root / "wavs").is_dir() else ():
        if isinstance(path, Problem):
            yield path
        elif path.stem not in named:
            place = Place(str(path), id=path.stem)
            yield place.problem("missing-transcript", f"metadata.csv has no line {path.stem}", "fetch the table anew")
