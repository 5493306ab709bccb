"""LibriSpeech in its official tree: SUBSET/SPEAKER/CHAPTER/*.flac with one *.trans.txt a chapter.

    LibriSpeech/SPEAKERS.TXT                                14 | F | train-clean-360 | 25.03 | ...
    LibriSpeech/dev-clean/1272/128104/1272-128104.trans.txt  1272-128104-0000 MISTER QUILTER IS ...
    LibriSpeech/dev-clean/1272/128104/1272-128104-0000.flac

The source may be the tree, the folder above it, or one subset. Text comes in lower case; the original is kept.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from iclal.data.corpora.reader import Candidate, Place, Problem, folders, locate, read_lines
from iclal.data.manifest import Utterance
from iclal.errors import DataError
from iclal.settings import Settings

SAMPLE_RATE_HZ = 16_000
SUBSET_NAME = re.compile(r"(train|dev|test)-[\w-]+")
LAYOUT = "SUBSET/SPEAKER/CHAPTER/*.flac with *.trans.txt, e.g. LibriSpeech/dev-clean/1272/128104"
FETCH = "fetch the chapter anew"


class Options(Settings):
    """Which subsets to take (dev-clean, test-other, ...); none named means all that are there."""

    subsets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reader:
    """A line of SPEAKERS.TXT: who read, and in which subset."""

    sex: str
    subset: str


def read(source: Path, options: Options) -> Iterator[Candidate | Problem]:
    """Utterances of the chosen subsets, in the order of the tree.

    Raises:
        DataError: the source holds no subset, or none of those asked for.
    """
    root = Path(os.path.realpath(source))
    subsets = _subsets(root)
    absent = [name for name in options.subsets if name not in subsets]
    if options.subsets and len(absent) == len(options.subsets):
        raise DataError(f"no subset {', '.join(absent)} in {source}; there are {', '.join(subsets)}")
    for name in absent:
        detail = f"no subset {name}; there are {', '.join(subsets)}"
        yield Place(str(source)).problem("missing-split", detail, "fetch it, or leave it out of --subsets")

    readers: dict[str, Reader] = {}
    tree = next(iter(subsets.values())).parent
    for item in _read_speakers(tree / "SPEAKERS.TXT"):
        if isinstance(item, Problem):
            yield item
        else:
            readers[item[0]] = item[1]

    for name in options.subsets or subsets:
        if name in subsets:
            yield from _read_subset(name, subsets[name], root, readers)


def _subsets(root: Path) -> dict[str, Path]:
    """The subsets in a source by name: those of the tree, of LibriSpeech/ in it, or the source itself."""
    if not root.is_dir():
        raise DataError(f"no folder {root}; LibriSpeech is {LAYOUT}")
    for tree in (root, root / "LibriSpeech"):
        if tree.is_dir():
            found = {path.name: path for path in sorted(tree.iterdir()) if SUBSET_NAME.fullmatch(path.name)}
            if found:
                return found
    if next(root.glob("*/*/*.trans.txt"), None):
        return {root.name: root}
    names = ", ".join(sorted(path.name for path in root.iterdir())[:5]) or "nothing"
    raise DataError(f"{root} is not LibriSpeech: expected {LAYOUT}; found {names}")


def _read_speakers(path: Path) -> Iterator[tuple[str, Reader] | Problem]:
    """Speaker id and what SPEAKERS.TXT says of them; nothing where the file is not there."""
    if not path.is_file():
        return
    for item in read_lines(path):
        if isinstance(item, Problem):
            yield Place(str(path), item.place.line).problem(item.reason, item.detail, item.what_to_do, dropped=False)
            continue
        number, line = item
        if line.startswith(";"):
            continue
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) < 3 or not cells[0].isdigit():
            detail = f"{line[:60]!r} is not ID | SEX | SUBSET | ..."
            yield Place(str(path), number).problem("broken-speaker-line", detail, "repair the line", dropped=False)
        else:
            yield cells[0], Reader(cells[1], cells[2])


def _read_subset(name: str, subset: Path, root: Path, readers: dict[str, Reader]) -> Iterator[Candidate | Problem]:
    """All chapters of one subset."""
    place = Place(str(subset))
    # the subset itself may be a link; the source may also be a subset, which is inside itself
    real = subset if subset == root else locate(root, os.path.relpath(subset, root), place)
    if isinstance(real, Problem):
        yield real
        return
    unknown: set[str] = set()
    for speaker in folders(real, root):
        if isinstance(speaker, Problem):
            yield speaker
            continue
        if readers and speaker.name not in readers and speaker.name not in unknown:
            unknown.add(speaker.name)
            detail = f"speaker {speaker.name} is not in SPEAKERS.TXT"
            yield Place(str(speaker)).problem("unknown-speaker", detail, "add the line if known", dropped=False)
        for chapter in folders(speaker, root):
            if isinstance(chapter, Problem):
                yield chapter
            else:
                yield from _read_chapter(name, speaker.name, chapter, root, readers.get(speaker.name))


def _read_chapter(
    subset: str, speaker: str, chapter: Path, root: Path, reader: Reader | None
) -> Iterator[Candidate | Problem]:
    """Lines of the chapter's transcript with their recordings, then recordings that no line named."""
    recordings: dict[str, bool] = {}  # utterance id -> is a link
    transcript = f"{speaker}-{chapter.name}.trans.txt"
    transcript_there = False
    with os.scandir(chapter) as entries:
        for entry in entries:
            if entry.name.endswith(".flac"):
                recordings[entry.name.removesuffix(".flac")] = entry.is_symlink()
            transcript_there |= entry.name == transcript

    extra = {"subset": subset} | ({"sex": reader.sex} if reader and reader.sex else {})
    named = set()
    for item in read_lines(chapter / transcript) if transcript_there else ():
        if isinstance(item, Problem):
            yield item
            continue
        number, line = item
        id, _, text = line.strip().partition(" ")
        place = Place(str(chapter / transcript), number, id)
        named.add(id)
        if not text.strip():
            yield place.problem("missing-text", f"{line!r} has no words", FETCH)
            continue
        if id not in recordings:
            yield place.problem("missing-audio", f"no {id}.flac in {chapter}", FETCH)
            continue
        path = locate(root, os.path.relpath(chapter / f"{id}.flac", root), place) if recordings[id] else None
        if isinstance(path, Problem):
            yield path
            continue
        utterance = Utterance(
            id=id,
            speaker=speaker,
            split=subset.partition("-")[0],
            text=text.strip().lower(),
            extra={"original_text": text.strip()} | extra,
        )
        yield Candidate(utterance, place, (path or chapter / f"{id}.flac",), SAMPLE_RATE_HZ)
    for id in sorted(recordings.keys() - named):
        place = Place(str(chapter / f"{id}.flac"), id=id)
        missing = f"{transcript} has no line {id}" if transcript_there else f"no {transcript} in {chapter}"
        yield place.problem("missing-transcript", missing, FETCH)
