"""Lhotse cut sets: cuts as JSONL, read a line at a time, gzipped or not; or Shar folders.

    cuts.jsonl.gz                                 {"id", "start", "duration", "supervisions": [...], "recording": {...}}
    cuts.000000.jsonl.gz, recording.000000.tar    Shar: the recordings lie in tar files

Cuts of one recording are utterances: text of the supervisions, joined; `language`, `gender` and `custom` in `extra`.
Mixed, padded or augmented cuts are not recordings that lie somewhere: have lhotse write them out first. Audio paths
must lie in the source or in the folder `audio`. Shar recordings are unpacked into `unpack`. The format is read
directly, so lhotse need not be installed; it is the format that lhotse 1.33 writes.
"""

from __future__ import annotations

import gzip
import json
import math
import os
import re
import tarfile
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from iclal.data.corpora.reader import Candidate, Place, Problem, locate
from iclal.data.manifest import Utterance
from iclal.errors import DataError
from iclal.settings import Settings

SHARD_NAME = re.compile(r"cuts\.(\d{6,})\.jsonl(\.gz)?")
TOLERANCE_SECONDS = 0.01
WRITE_OUT = "have lhotse write it out: cuts.save_audios(FOLDER)"


class Options(Settings):
    """The folder that recordings lie in, if not the source's; where to unpack Shar; the split of all cuts."""

    audio: Path | None = None
    unpack: Path | None = None
    split: str | None = None


def read(source: Path, options: Options) -> Iterator[Candidate | Problem]:
    """Cuts of a JSONL file, or of all shards of a folder.

    Raises:
        DataError: no cuts in the source, or Shar without a folder to unpack it into.
    """
    source = Path(os.path.realpath(source))
    if source.is_file():
        yield from _read_cuts(source, Path(options.audio or source.parent), options)
        return
    shards = sorted(path for path in source.glob("cuts.*.jsonl*") if SHARD_NAME.fullmatch(path.name))
    if not shards:
        files = sorted([*source.glob("*cuts*.jsonl"), *source.glob("*cuts*.jsonl.gz")])
        if not files:
            raise DataError(f"no cuts.jsonl, cuts.jsonl.gz or Shar shards (cuts.000000.jsonl.gz) in {source}")
        for path in files:
            yield from _read_cuts(path, Path(options.audio or source), options)
        return
    if options.unpack is None:
        raise DataError(
            f"{source} is Shar, whose recordings lie in tar files: name a folder to unpack into, unpack=FOLDER"
        )
    for path in shards:
        yield from _read_shard(path, options.unpack, options)


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]] | Problem]:
    """Objects of a JSONL file, gzipped or not, one at a time."""
    number = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as handle:
            for number, line in enumerate(handle, 1):
                if not line.strip():
                    continue
                try:
                    values = json.loads(line)
                except ValueError as error:
                    yield Place(str(path), number).problem("broken-json", str(error), "write the cuts anew")
                    continue
                if isinstance(values, dict):
                    yield number, values
                else:
                    yield Place(str(path), number).problem("broken-json", "not an object", "write the cuts anew")
    except (OSError, EOFError, zlib.error) as error:
        detail = f"{error} after line {number}"
        yield Place(str(path), number + 1).problem("unreadable-file", detail, "fetch the file anew")


def _read_cuts(path: Path, root: Path, options: Options) -> Iterator[Candidate | Problem]:
    """Cuts whose recordings are files."""
    for item in _lines(path):
        if isinstance(item, Problem):
            yield item
            continue
        number, cut = item
        found = _cut(cut, Place(str(path), number), options)
        if isinstance(found, Problem):
            yield found
            continue
        utterance, place, recording = found
        sources = recording.get("sources")
        first = sources[0] if isinstance(sources, list) and sources and isinstance(sources[0], dict) else {}
        if not isinstance(sources, list) or len(sources) != 1 or first.get("type") != "file":
            kinds = ", ".join(str(one.get("type")) for one in sources) if isinstance(sources, list) else "none"
            yield place.problem("unsupported-cut", f"sources of the recording: {kinds}, not one file", WRITE_OUT)
            continue
        audio = locate(root, str(first.get("source")), place)
        yield (
            audio
            if isinstance(audio, Problem)
            else Candidate(utterance, place, (audio,), recording.get("sampling_rate"))
        )


def _read_shard(path: Path, unpack: Path, options: Options) -> Iterator[Candidate | Problem]:
    """Cuts of a shard with the recordings of its tar, which stand in the same order."""
    match = SHARD_NAME.fullmatch(path.name)
    assert match is not None
    tar = path.with_name(f"recording.{match[1]}.tar")
    audio = _unpack(tar, unpack / tar.stem) if tar.is_file() else {}
    if isinstance(audio, Problem):
        yield audio
        audio = {}
    for item in _lines(path):
        if isinstance(item, Problem):
            yield item
            continue
        number, cut = item
        found = _cut(cut, Place(str(path), number), options)
        if isinstance(found, Problem):
            yield found
            continue
        utterance, place, recording = found
        if utterance.id not in audio:
            yield place.problem(
                "missing-audio", f"{tar.name} has no recording of {utterance.id}", "fetch the shard anew"
            )
            continue
        yield Candidate(utterance, place, (audio[utterance.id],), recording.get("sampling_rate"))


def _unpack(tar: Path, folder: Path) -> dict[str, Path] | Problem:
    """Cut id -> recording in `folder`; what is already there in full size is left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Path] = {}
    try:
        with tarfile.open(tar) as archive:
            for number, member in enumerate(archive):
                stem, suffix = os.path.splitext(member.name)
                if not member.isfile() or suffix in (".json", ".nometa", ".nodata"):
                    continue
                # named by number: a member's name may hold anything, `..` included
                path = folder / f"{number:06d}{suffix if suffix[1:].isalnum() else ''}"
                found[stem] = path
                if not path.is_file() or path.stat().st_size != member.size:
                    data = archive.extractfile(member)
                    assert data is not None  # a file has data
                    aside = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.partial")
                    aside.write_bytes(data.read())
                    aside.replace(path)
    except tarfile.TarError as error:
        return Place(str(tar)).problem("unreadable-file", str(error), "fetch the shard anew", dropped=False)
    return found


def _cut(cut: dict[str, Any], place: Place, options: Options) -> tuple[Utterance, Place, dict[str, Any]] | Problem:
    """An utterance of a cut, and its recording; a problem for cuts that are more than a part of one recording."""
    id, recording, kind = cut.get("id"), cut.get("recording"), cut.get("type")
    place = place.named(str(id))
    if kind != "MonoCut" or not isinstance(id, str) or not isinstance(recording, dict):
        detail = f"{kind or 'a line without a type'}, not a MonoCut with id and recording"
        return place.problem("unsupported-cut", detail, WRITE_OUT)
    if recording.get("transforms"):
        names = ", ".join(
            str(one.get("name")) if isinstance(one, dict) else str(one) for one in recording["transforms"]
        )
        return place.problem("unsupported-cut", f"the recording is to be changed first: {names}", WRITE_OUT)
    if len(recording.get("channel_ids") or [0]) > 1:
        return place.problem("unsupported-cut", f"channel {cut.get('channel')} of several", WRITE_OUT)
    spans = [cut.get("start"), cut.get("duration"), recording.get("duration")]
    if not all(isinstance(value, (int, float)) and math.isfinite(value) for value in spans):
        return place.problem("missing-field", f"start, duration and the recording's duration are {spans}", "write anew")
    start, duration, whole = (float(value) for value in spans if value is not None)
    supervisions = [one for one in cut.get("supervisions") or () if isinstance(one, dict)]
    supervisions.sort(key=lambda one: one.get("start") or 0)
    for one in supervisions:
        begin, end = one.get("start") or 0, (one.get("start") or 0) + (one.get("duration") or 0)
        if begin < -TOLERANCE_SECONDS or end > duration + TOLERANCE_SECONDS:
            detail = f"the text is of seconds {begin:.2f} to {end:.2f} of a cut of {duration:.2f} s"
            return place.problem("text-outside-clip", detail, "cut at the ends of supervisions", seconds=duration)
    texts = [text.strip() for one in supervisions if isinstance(text := one.get("text"), str) and text.strip()]
    if not texts:
        return place.problem("missing-text", "no supervision has a text", "add the text", seconds=duration)
    speakers = {str(one["speaker"]) if one.get("speaker") else None for one in supervisions}
    extra = {
        name: supervisions[0][name]
        for name in ("language", "gender", "custom")
        if supervisions[0].get(name) is not None
    }
    is_part = start > 0 or duration < whole - TOLERANCE_SECONDS
    utterance = Utterance(
        id,
        start_seconds=start if is_part else None,
        duration_seconds=duration if is_part else None,
        speaker=next(iter(speakers)) if len(speakers) == 1 else None,
        split=options.split,
        text=" ".join(texts),
        extra=extra,
    )
    return utterance, place, recording
