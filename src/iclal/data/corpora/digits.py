"""Free Spoken Digit Dataset, as its repository lays it out or as the project's data folder does.

    recordings/7_jackson_32.wav     digit, speaker, take; 8 kHz
    manifest.jsonl, audio/*.ogg     the data folder's form: one file a speaker at 16 kHz, clips by start_sample

The corpus's own rule for splits: takes 0-4 are test, the rest train, all speakers in both. `by-speaker` keeps speakers
apart: yweweler is dev, the others train. The manifest form is read from the data folder; the official form is built
from the corpus's documentation.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from iclal.data.corpora.reader import Candidate, Place, Problem, locate, read_jsonl, walk
from iclal.data.manifest import Utterance
from iclal.errors import DataError
from iclal.settings import Settings

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
WAV_NAME = re.compile(r"(\d)_([a-zA-Z]+)_(\d+)\.wav")
OFFICIAL_RATE_HZ = 8_000
JOINED_RATE_HZ = 16_000
TEST_TAKES = 5
DEV_SPEAKERS = ("yweweler",)


class Options(Settings):
    """The corpus's own split, or one that keeps speakers apart."""

    split: Literal["official", "by-speaker"] = "official"


def read(source: Path, options: Options) -> Iterator[Candidate | Problem]:
    """Clips in either form.

    Raises:
        DataError: neither a manifest.jsonl nor wavs named DIGIT_SPEAKER_TAKE.wav.
    """
    root = Path(os.path.realpath(source))
    if (root / "manifest.jsonl").is_file():
        for item in read_jsonl(root / "manifest.jsonl"):
            yield item if isinstance(item, Problem) else _joined(item[1], root, item[0], options)
        return
    folder = root / "recordings" if (root / "recordings").is_dir() else root
    if not any(WAV_NAME.fullmatch(path.name) for path in folder.glob("*.wav")):
        raise DataError(f"no wavs named DIGIT_SPEAKER_TAKE.wav, e.g. recordings/7_jackson_32.wav, in {root}")
    for path in walk(folder, (".wav",)):
        yield path if isinstance(path, Problem) else _official(path, options)


def _official(path: Path, options: Options) -> Candidate | Problem:
    """A wav whose name says all."""
    place = Place(str(path), id=path.stem)
    match = WAV_NAME.fullmatch(path.name)
    if match is None:
        return place.problem("bad-name", f"{path.name} is not DIGIT_SPEAKER_TAKE.wav", "rename it")
    digit, speaker, take = int(match[1]), match[2], int(match[3])
    return Candidate(_utterance(digit, speaker, take, options), place, (path,), OFFICIAL_RATE_HZ)


def _joined(values: dict[str, Any], root: Path, line: int, options: Options) -> Candidate | Problem:
    """A line of the data folder's manifest."""
    place = Place(str(root / "manifest.jsonl"), line, str(values.get("id")))
    try:
        digit, take, start, count = (int(values[name]) for name in ("label", "take", "start_sample", "num_samples"))
        speaker, audio = str(values["speaker"]), str(values["audio"])
    except (KeyError, TypeError, ValueError) as error:
        return place.problem("missing-field", f"no clip of the data folder's form: {error!r}", "fetch the file anew")
    if not 0 <= digit <= 9 or start < 0 or count <= 0:
        return place.problem("missing-field", f"label {digit}, samples {start} to {start + count}", "fetch anew")
    path = locate(root, audio, place)
    if isinstance(path, Problem):
        return path
    utterance = _utterance(digit, speaker, take, options, start / JOINED_RATE_HZ, count / JOINED_RATE_HZ)
    return Candidate(utterance, place, (path,), JOINED_RATE_HZ)


def _utterance(
    digit: int,
    speaker: str,
    take: int,
    options: Options,
    start_seconds: float | None = None,
    duration_seconds: float | None = None,
) -> Utterance:
    """A spoken digit; the same id in both forms."""
    if options.split == "official":
        split = "test" if take < TEST_TAKES else "train"
    else:
        split = "dev" if speaker in DEV_SPEAKERS else "train"
    return Utterance(
        f"fsdd-{speaker}-{digit}-{take:02d}",
        start_seconds=start_seconds,
        duration_seconds=duration_seconds,
        speaker=speaker,
        split=split,
        text=WORDS[digit],
        label=WORDS[digit],
        extra={"take": take},
    )
