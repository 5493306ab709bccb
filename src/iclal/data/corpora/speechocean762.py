"""speechocean762: English read by Mandarin speakers, children and adults, as published or as in the data folder.

    {train,test}/{wav.scp,text,utt2spk,spk2age,spk2gender}   Kaldi tables: KEY VALUE
    scores.json                                              {"000010011": {"accuracy": 8, "fluency": 9, ...}}
    WAVE/SPEAKER0001/000010011.WAV                           16 kHz
    manifest.jsonl, audio/*.ogg                              the data folder's form, 498 of the 5000 recordings

The text is the prompt in lower case (the original, in capitals, is kept), not always what was said. The manifest form
is read from the data folder; the official form is built from the corpus's documentation.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from iclal.data.corpora.reader import Candidate, Place, Problem, locate, read_json, read_jsonl, read_lines
from iclal.data.manifest import Utterance
from iclal.errors import DataError
from iclal.settings import Settings

SAMPLE_RATE_HZ = 16_000
SPLITS = ("train", "test")
SCORES = ("accuracy", "completeness", "fluency", "prosodic", "total")


class Options(Settings):
    """The corpus needs none."""


def read(source: Path, options: Options) -> Iterator[Candidate | Problem]:
    """Recordings in either form.

    Raises:
        DataError: neither train/wav.scp, test/wav.scp nor manifest.jsonl.
    """
    root = Path(os.path.realpath(source))
    if (root / "manifest.jsonl").is_file():
        for item in read_jsonl(root / "manifest.jsonl"):
            yield item if isinstance(item, Problem) else _line(item[1], root, item[0])
        return
    there = [split for split in SPLITS if (root / split / "wav.scp").is_file()]
    if not there:
        raise DataError(f"no train/wav.scp or test/wav.scp (official form), nor manifest.jsonl, in {root}")
    scores = read_json(root / "scores.json") if (root / "scores.json").is_file() else {}
    if isinstance(scores, Problem) or not isinstance(scores, dict):
        found = (
            scores if isinstance(scores, Problem) else Place(str(root / "scores.json")).problem("broken-json", "", "")
        )
        yield found.place.problem(found.reason, found.detail or "no object", "fetch scores.json anew", dropped=False)
        scores = {}
    for split in SPLITS:
        if split in there:
            yield from _read_split(root, split, scores)
        else:
            place = Place(str(root / split))
            yield place.problem("missing-split", f"no {split}/wav.scp", "fetch the corpus anew")


def _line(values: dict[str, Any], root: Path, number: int) -> Candidate | Problem:
    """A line of the data folder's manifest."""
    place = Place(str(root / "manifest.jsonl"), number, str(values.get("id")))
    wanted = ("id", "audio", "text", "speaker", "split")
    missing = [name for name in wanted if not isinstance(values.get(name), str) or not values[name].strip()]
    if missing:
        return place.problem("missing-field", f"no {', '.join(missing)} in the line", "fetch the file anew")
    path = locate(root, values["audio"], place)
    if isinstance(path, Problem):
        return path
    extra = {name: values[name] for name in ("kind", "age", "age_group", "gender", "corpus_split") if name in values}
    return Candidate(
        _utterance(values["id"], values["speaker"], values["split"], values["text"], extra),
        place,
        (path,),
        SAMPLE_RATE_HZ,
    )


def _read_split(root: Path, split: str, scores: dict[str, Any]) -> Iterator[Candidate | Problem]:
    """The recordings that a split's wav.scp names, then texts that it does not."""
    tables: dict[str, dict[str, tuple[int, str]]] = {}
    for name in ("text", "utt2spk", "spk2age", "spk2gender"):
        tables[name] = {}
        for item in read_lines(root / split / name) if (root / split / name).is_file() else ():
            if isinstance(item, Problem):
                # the recording that lacks it is dropped below, or goes without age or gender
                yield item.place.problem(item.reason, item.detail, item.what_to_do, dropped=False)
            else:
                key, value = _pair(item[1])
                tables[name][key] = (item[0], value)
    for item in read_lines(root / split / "wav.scp"):
        if isinstance(item, Problem):
            yield item
            continue
        key, name = _pair(item[1])
        place = Place(str(root / split / "wav.scp"), item[0], key)
        text = tables["text"].pop(key, (0, ""))[1]
        if not text:
            yield place.problem("missing-transcript", f"{split}/text has no line {key}", "fetch the corpus anew")
            continue
        path = locate(root, name, place)
        if isinstance(path, Problem):
            yield path
            continue
        speaker = tables["utt2spk"].get(key, (0, None))[1]
        extra = _about(speaker, tables) if speaker else {}
        known = scores.get(key)
        if isinstance(known, dict):
            extra["scores"] = {score: known[score] for score in SCORES if score in known}
        utterance = _utterance(f"so762-{key}", speaker, split, text, extra)
        yield Candidate(utterance, place.named(utterance.id), (path,), SAMPLE_RATE_HZ)
    for key, (number, _) in tables["text"].items():
        place = Place(str(root / split / "text"), number, key)
        yield place.problem("missing-audio", f"{split}/wav.scp has no line {key}", "fetch the corpus anew")


def _pair(line: str) -> tuple[str, str]:
    """Key and value of a line of a Kaldi table."""
    key, *value = line.split(None, 1)
    return key, value[0].strip() if value else ""


def _about(speaker: str, tables: dict[str, dict[str, tuple[int, str]]]) -> dict[str, Any]:
    """Age and gender of a speaker, where known."""
    age, gender = (tables[name].get(speaker, (0, ""))[1] for name in ("spk2age", "spk2gender"))
    about: dict[str, Any] = (
        {"age": int(age), "age_group": "child" if int(age) < 16 else "adult"} if age.isdigit() else {}
    )
    return about | ({"gender": gender} if gender else {})


def _utterance(id: str, speaker: str | None, split: str, text: str, extra: dict[str, Any]) -> Utterance:
    return Utterance(
        id, speaker=speaker, split=split, text=text.strip().lower(), extra={"original_text": text.strip()} | extra
    )
