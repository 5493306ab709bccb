"""A small copy of the project's data folder, for tests that hear all of a corpus."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from program import DATA


def few_of_the_data(folder: Path, counts: Mapping[str, tuple[str, Mapping[str, int]]], **without: Any) -> Path:
    """`folder`/data with the first clips of each corpus: corpus -> (field, {value: how many}).

    Lines with a field as in `without` are passed over.
    """
    for corpus, (field, wanted) in counts.items():
        lines = [json.loads(line) for line in (DATA / corpus / "manifest.jsonl").read_text().splitlines()]
        lines = [line for line in lines if not any(line.get(name) == value for name, value in without.items())]
        kept = [line for value, count in wanted.items() for line in [x for x in lines if x[field] == value][:count]]
        place = folder / "data" / corpus
        place.mkdir(parents=True)
        (place / "audio").symlink_to(DATA / corpus / "audio")
        (place / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in kept))
    return folder / "data"
