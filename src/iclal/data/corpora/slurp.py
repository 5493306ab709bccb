"""SLURP: one JSON object a sentence, with its scenario, action, entities and the names of its recordings.

    dataset/slurp/{train,train_synthetic,devel,test}.jsonl    dataset/slurp/metadata.json (who spoke, where it is there)
    audio/slurp_real/audio-1502099775-headset.flac            audio/slurp_synth/

Where recordings are (in the source, or the folder `audio`), each is an utterance; else each sentence is one, text only.
The JSONL is read from official files; audio and metadata.json follow the corpus's documentation.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from iclal.data.corpora.reader import Candidate, Place, Problem, locate, read_json, read_jsonl
from iclal.data.manifest import Utterance
from iclal.errors import DataError
from iclal.settings import Settings

FILE_NAME = re.compile(r"(train|devel|test)(_synthetic)?(\.subset)?\.jsonl")
SPLITS = {"train": "train", "devel": "dev", "test": "test"}
AUDIO_FOLDERS = ("slurp_real", "slurp_synth")
SAMPLE_RATE_HZ = 16_000


class Options(Settings):
    """Which microphone, which field is the label, and where slurp_real lies if not in the source."""

    microphone: Literal["all", "headset", "distant"] = "all"
    label: Literal["scenario", "action", "intent"] = "scenario"
    audio: Path | None = None


def read(source: Path, options: Options) -> Iterator[Candidate | Problem]:
    """Sentences or their recordings, file by file.

    Raises:
        DataError: none of the corpus's JSONL files in the source, or `audio` holds no slurp_real or slurp_synth.
    """
    source = Path(os.path.realpath(source))
    folder = source / "dataset" / "slurp" if (source / "dataset" / "slurp").is_dir() else source
    files = [source] if source.is_file() else sorted(folder.glob("*.jsonl"))
    files = [path for path in files if FILE_NAME.fullmatch(path.name)]
    if not files:
        raise DataError(f"no train.jsonl, devel.jsonl or test.jsonl of SLURP in {source} or its dataset/slurp")
    root = Path(os.path.realpath(options.audio or (source if source.is_dir() else source.parent)))
    folders = [f"{above}{name}" for above in ("", "audio/") for name in AUDIO_FOLDERS if (root / above / name).is_dir()]
    if options.audio is not None and not folders:
        raise DataError(f"no folder slurp_real or slurp_synth in {options.audio}")
    speakers: dict[str, str] = {}
    metadata = files[0].parent / "metadata.json"
    if metadata.is_file():
        found = _speakers(metadata)
        if isinstance(found, Problem):
            yield found
        else:
            speakers = found
    for path in files:
        for item in read_jsonl(path):
            if isinstance(item, Problem):
                yield item
            else:
                yield from _entry(item[1], Place(str(path), item[0]), root, folders, speakers, options)


def _speakers(path: Path) -> dict[str, str] | Problem:
    """Recording -> speaker, from metadata.json; a broken one is a warning."""
    values = read_json(path)
    if isinstance(values, Problem):
        return values.place.problem(values.reason, values.detail, values.what_to_do, dropped=False)
    try:
        return {
            file: known["usrid"]
            for entry in values.values()
            for file, known in entry.get("recordings", {}).items()
            if known.get("usrid")
        }
    except (AttributeError, TypeError, KeyError) as error:
        return Place(str(path)).problem("broken-json", f"not SLURP's metadata: {error!r}", "fetch anew", dropped=False)


def _entry(
    values: dict[str, Any], place: Place, root: Path, folders: list[str], speakers: dict[str, str], options: Options
) -> Iterator[Candidate | Problem]:
    """One sentence: itself where no recordings are at hand, else each of its recordings."""
    number, text, label = values.get("slurp_id"), values.get("sentence"), values.get(options.label)
    id = f"slurp-synthetic-{number}" if "_synthetic" in Path(place.file).name else f"slurp-{number}"
    place = place.named(id)
    if number is None or not isinstance(text, str) or not text.strip() or not isinstance(label, str):
        missing = [n for n in ("slurp_id", "sentence", options.label) if not values.get(n)]
        yield place.problem("missing-field", f"no {', '.join(missing) or 'text'} in the line", "fetch the file anew")
        return
    split = SPLITS[Path(place.file).name.split(".")[0].split("_")[0]]
    names = ("slurp_id", "scenario", "action", "intent", "sentence_annotation")
    extra = {name: values[name] for name in names if name in values}
    utterance = Utterance(id, split=split, text=text.strip(), label=label, facts=_facts(values), extra=extra)
    if not folders:
        yield Candidate(utterance, place)
        return
    recordings = values.get("recordings")
    if not isinstance(recordings, list) or not recordings:
        yield place.problem("missing-audio", "the sentence has no recordings", "nothing, or leave --audio out")
        return
    for recording in recordings:
        file = recording.get("file") if isinstance(recording, dict) else None
        if not isinstance(file, str) or not file:
            yield place.problem("missing-field", f"a recording without a file: {recording!r:.60}", "fetch anew")
            continue
        is_headset = Path(file).stem.endswith("-headset")
        if options.microphone != "all" and (options.microphone == "headset") != is_headset:
            continue
        own = place.named(Path(file).stem)
        home = next((name for name in folders if (root / name / file).is_file()), folders[0])
        path = locate(root, f"{home}/{file}", own)
        if isinstance(path, Problem):
            yield path
            continue
        extra_of_recording = extra | {
            name: recording[name] for name in ("wer", "ent_wer", "status") if name in recording
        }
        spoken = Utterance(
            Path(file).stem,
            speaker=speakers.get(file),
            split=split,
            text=utterance.text,
            label=label,
            facts=utterance.facts,
            extra=extra_of_recording | {"microphone": "headset" if is_headset else "distant"},
        )
        yield Candidate(spoken, own, (path,), SAMPLE_RATE_HZ)


def _facts(values: dict[str, Any]) -> dict[str, str]:
    """Entity type -> its words; a second entity of a type is named type_2."""
    words: dict[Any, str] = {}
    for token in values.get("tokens") or ():
        if isinstance(token, dict) and isinstance(token.get("surface"), str):
            words[token.get("id")] = token["surface"]
    facts: dict[str, str] = {}
    for entity in values.get("entities") or ():
        if not isinstance(entity, dict) or not isinstance(entity.get("span"), list):
            continue
        name = str(entity.get("type"))
        free = next(key for n in range(1, len(facts) + 2) if (key := name if n == 1 else f"{name}_{n}") not in facts)
        facts[free] = " ".join(words[index] for index in entity["span"] if index in words)
    return {name: text for name, text in facts.items() if text}
