"""Fluent Speech Commands: three CSV files and 16 kHz wavs.

    data/{train,valid,test}_data.csv    ,path,speakerId,transcription,action,object,location
    wavs/speakers/2BqVo8kVB2Skwgyb/de9ff364-....wav

Built from the corpus's documentation; its files are for academic use and are not in the data folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Literal

from iclal.data.corpora.reader import Candidate, Place, Problem, locate, read_csv
from iclal.data.manifest import Utterance
from iclal.errors import DataError
from iclal.settings import Settings

SAMPLE_RATE_HZ = 16_000
COLUMNS = ("path", "speakerId", "transcription", "action", "object", "location")
FILES = {"train": "train_data.csv", "dev": "valid_data.csv", "test": "test_data.csv"}


class Options(Settings):
    """Which field is the label.

    `topic` is WavPrompt's: the object, or `language` where the action is to change it. `intent` is all three slots.
    """

    label: Literal["topic", "intent", "action", "object", "location"] = "topic"


def read(source: Path, options: Options) -> Iterator[Candidate | Problem]:
    """Rows of the three files.

    Raises:
        DataError: none of the CSV files in the source's data folder.
    """
    root = Path(os.path.realpath(source))
    there = {split: root / "data" / name for split, name in FILES.items() if (root / "data" / name).is_file()}
    if not there:
        raise DataError(f"no data/{', data/'.join(FILES.values())} in {root}")
    for split, name in FILES.items():
        if split not in there:
            yield Place(str(root / "data" / name)).problem("missing-split", f"no data/{name}", "fetch the corpus anew")
            continue
        for item in read_csv(there[split], COLUMNS):
            if isinstance(item, Problem):
                yield item
            else:
                yield _row(item[1], Place(str(there[split]), item[0]), split, root, options)


def _row(row: dict[str, str], place: Place, split: str, root: Path, options: Options) -> Candidate | Problem:
    """One command."""
    row = {name: value.strip() for name, value in row.items()}
    place = place.named(PurePosixPath(row["path"]).stem)
    empty = [name for name in COLUMNS if not row[name]]
    if empty:
        return place.problem("missing-text", f"nothing under {', '.join(empty)}", "repair the row")
    path = locate(root, row["path"], place)
    if isinstance(path, Problem):
        return path
    slots = {name: row[name] for name in ("action", "object", "location")}
    labels = slots | {
        "topic": "language" if row["action"] == "change language" else row["object"],
        "intent": " ".join(slots.values()),
    }
    utterance = Utterance(
        place.id or row["path"],
        speaker=row["speakerId"],
        split=split,
        text=row["transcription"],
        label=labels[options.label],
        facts=slots,
    )
    return Candidate(utterance, place, (path,), SAMPLE_RATE_HZ)
