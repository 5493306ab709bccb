"""What encoder and ears hear beside the spoken world: human speech, and sounds that are no speech."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from iclal.audio.augment import change_speed
from iclal.audio.reading import SAMPLE_RATE, read_audio
from iclal.audio.sounds import make_noise, non_speech
from iclal.data.manifest import Utterance
from iclal.errors import DataError
from iclal.training.recordings import UNCHANGED, Recordings, read_utterance

CORPORA = ("esc10_nonspeech", "fsdd", "speechocean762")  # folders of the project's data folder that are read here
TRAIN_DIGIT_SPEAKERS = ("george", "nicolas", "theo")  # yweweler and jackson are heard by no part but the test
_DIGIT_SPEEDS = (0.8, 1.25)


def check_data(data: Path, way_out: str) -> None:
    """Refuse a folder that is not the project's data folder, before anything long is begun.

    Args:
        way_out: what to do about it, for the message.

    Raises:
        DataError: a corpus is not there.
    """
    missing = [corpus for corpus in CORPORA if not (data / corpus / "manifest.jsonl").is_file()]
    if missing:
        raise DataError(
            f"no human speech at {data}: it lacks {', '.join(f'{corpus}/manifest.jsonl' for corpus in missing)}; the "
            f"data folder comes with a checkout of the project, not with the package: {way_out}"
        )


def human_speech(data: Path, *, digit_strings: int, sentences: bool, seed: int = 0) -> Recordings:
    """Human speech that may be trained on: digits of three speakers, speechocean762's train part.

    `digit_strings` strings of one to six digits are joined from single digits of one speaker, with pauses, and played
    slower or faster: three speakers are few. `sentences` adds speechocean762's read sentences to its digit strings.
    """
    found = Recordings(())
    for utterance in data_folder(data / "speechocean762"):
        if utterance.split == "train" and (sentences or utterance.extra.get("kind") == "digits"):
            text = (utterance.text or "").lower() + "."
            found.add(dataclasses.replace(utterance, text=text), read_utterance(utterance))
    singles = list(fsdd_digits(data, TRAIN_DIGIT_SPEAKERS))
    for utterance, samples in singles:
        found.add(utterance, samples)
    rng = random.Random(f"digit strings {seed}")
    for number in range(digit_strings):
        utterance, samples = join_digits(rng, singles, f"fsdd-string-{number}", rng.randint(1, 6))
        found.add(utterance, change_speed(samples, rng.uniform(*_DIGIT_SPEEDS)))
    return found


def fsdd_digits(data: Path, speakers: tuple[str, ...]) -> Iterable[tuple[Utterance, np.ndarray]]:
    """Single spoken digits of some speakers of the Free Spoken Digit Dataset, as words, with their samples."""
    whole: dict[Path, np.ndarray] = {}
    for utterance in data_folder(data / "fsdd"):
        if utterance.speaker not in speakers:
            continue
        path = utterance.audio_path
        assert path is not None
        if path not in whole:
            whole[path] = read_audio(path).samples
        start, count = utterance.extra["start_sample"], utterance.extra["num_samples"]
        yield dataclasses.replace(utterance, text=f"{utterance.text}."), whole[path][start : start + count]


def join_digits(
    rng: random.Random, singles: list[tuple[Utterance, np.ndarray]], id: str, count: int
) -> tuple[Utterance, np.ndarray]:
    """A digit string of one speaker, joined from single clips with 0.05 to 0.3 s between."""
    speaker = rng.choice(singles)[0].speaker
    chosen = rng.sample([single for single in singles if single[0].speaker == speaker], count)
    parts: list[np.ndarray] = []
    for _, samples in chosen:
        parts += [samples, np.zeros(int(rng.uniform(0.05, 0.3) * SAMPLE_RATE), np.float32)]
    text = " ".join((utterance.text or "").rstrip(".") for utterance, _ in chosen) + "."
    return Utterance(id, text=text, speaker=speaker), np.concatenate(parts)


def no_speech(data: Path, generated: int, seed: int) -> Recordings:
    """Sounds without words, whose transcript is empty: generated ones, and every other crying baby."""
    found = Recordings(())
    for utterance in crying_babies(data)[::2]:
        found.add(dataclasses.replace(utterance, text=""), read_utterance(utterance))
    rng = np.random.default_rng(seed)
    for number in range(generated):
        samples = non_speech(rng, float(rng.uniform(0.5, 8.0)))
        found.add(Utterance(f"no-speech-{seed}-{number}", text=""), samples)
    return found


def silence_around(recordings: Recordings, count: int, seed: int) -> Recordings:
    """`count` of the recordings once more, with up to eight seconds of silence before and behind what is said.

    Half of the silences are digital, half a faint hiss. Without such clips long silences are heard as words.
    """
    found = Recordings(max_seconds=recordings.max_seconds)
    rng = np.random.default_rng([seed, 8])
    quiet = [id for id, u in recordings.utterances.items() if u.facts.get("surroundings") != "noisy"]
    for number in rng.permutation(len(quiet))[:count]:
        utterance = recordings.utterances[quiet[number]]
        said = recordings.draw(utterance.id, seed, 0, UNCHANGED).samples
        room_left = recordings.max_seconds - len(said) / SAMPLE_RATE
        before, behind = (int(rng.uniform(0, min(8.0, room_left / 2)) * SAMPLE_RATE) for _ in range(2))
        heard = np.pad(said, (before, behind))
        if rng.random() < 0.5:
            hiss = make_noise("pink", len(heard), rng)
            heard = heard + hiss * np.float32(10 ** rng.uniform(-4, -2.5) / hiss.std())
        found.add(dataclasses.replace(utterance, id=f"{utterance.id}-in-silence"), heard)
    return found


def crying_babies(data: Path) -> list[Utterance]:
    """The babies of ESC-10, in the manifest's order; the even ones are trained on, the odd ones tested."""
    return [utterance for utterance in data_folder(data / "esc10_nonspeech") if "baby" in (utterance.label or "")]


def data_folder(folder: Path) -> Iterable[Utterance]:
    """Utterances of a corpus of the data folder; fields of its own go to `extra`. Raises DataError where it is none."""
    known = {field.name for field in dataclasses.fields(Utterance)}
    try:
        lines = (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise DataError(f"no corpus of the project's data folder at {folder}: it has no manifest.jsonl") from error
    for line in lines:
        values = json.loads(line)
        own = {name: values.pop(name) for name in list(values) if name not in known}
        label = None if values.get("label") is None else str(values["label"])
        yield Utterance.from_json(values | {"label": label, "extra": own}, folder)
