"""Human speech and sounds beside the world: the right parts of the data folder, joined and labelled as they sound."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from iclal.data.manifest import Utterance
from iclal.experiments.human_speech import (
    TRAIN_DIGIT_SPEAKERS,
    crying_babies,
    fsdd_digits,
    human_speech,
    join_digits,
    no_speech,
    silence_around,
)
from iclal.training.recordings import UNCHANGED, Recordings

DATA = Path(__file__).parents[2] / "data"
DIGITS = "zero one two three four five six seven eight nine".split()


def test_single_digits_are_words_with_their_own_samples() -> None:
    lines = [json.loads(line) for line in (DATA / "fsdd" / "manifest.jsonl").read_text().splitlines()]
    own = [line for line in lines if line["speaker"] in TRAIN_DIGIT_SPEAKERS]
    found = list(fsdd_digits(DATA, TRAIN_DIGIT_SPEAKERS))
    assert [u.id for u, _ in found] == [line["id"] for line in own]
    for (utterance, samples), line in zip(found, own, strict=True):
        assert (utterance.text or "").rstrip(".") in DIGITS and len(samples) == line["num_samples"]


def test_strings_are_joined_from_one_speakers_clips_with_pauses() -> None:
    singles = list(fsdd_digits(DATA, TRAIN_DIGIT_SPEAKERS))
    utterance, samples = join_digits(random.Random(3), singles, "s", 4)
    said = (utterance.text or "").rstrip(".").split()
    assert len(said) == 4 and set(said) <= set(DIGITS) and utterance.speaker in TRAIN_DIGIT_SPEAKERS
    place = 0
    for word in said:  # each part is a whole clip of that word by that speaker, silence behind it
        own = [s for u, s in singles if u.speaker == utterance.speaker and u.text == f"{word}."]
        clip = next(s for s in own if np.array_equal(samples[place : place + len(s)], s))
        place += len(clip)
        rest = samples[place:]
        place += int(np.argmax(rest != 0)) if (rest != 0).any() else len(rest)
    assert place >= len(samples) - 1


@pytest.mark.slow
def test_human_speech_is_a_function_of_its_seed_and_sentences_come_on_request() -> None:
    digits = human_speech(DATA, digit_strings=4, sentences=False)
    whole, other = (human_speech(DATA, digit_strings=4, sentences=True, seed=seed) for seed in (0, 1))
    assert set(digits.utterances) < set(whole.utterances) == set(other.utterances)
    for id in digits.utterances:
        assert digits.utterances[id] == whole.utterances[id]
        assert np.array_equal(digits.draw(id, 0, 0, UNCHANGED).samples, whole.draw(id, 0, 0, UNCHANGED).samples)
    assert whole.digest() != other.digest()
    assert {u.extra.get("kind") for id, u in digits.utterances.items() if id.startswith("so762")} == {"digits"}


def test_no_speech_is_generated_or_cries_and_has_the_empty_transcript() -> None:
    found, again = no_speech(DATA, 3, seed=2), no_speech(DATA, 3, seed=2)
    assert found.digest() == again.digest() != no_speech(DATA, 3, seed=3).digest()
    assert all(u.text == "" and u.rich_text == "" for u in found.utterances.values())
    babies = crying_babies(DATA)
    assert set(found.utterances) == {u.id for u in babies[::2]} | {f"no-speech-2-{i}" for i in range(3)}
    assert len(babies) >= 6
    for id in found.utterances:
        assert np.abs(found.draw(id, 0, 0, UNCHANGED).samples).max() > 0.001


def test_silence_around_repeats_quiet_clips_whole_between_silences() -> None:
    rng = np.random.default_rng(1)
    spoken = Recordings()
    for number in range(6):
        noisy = {"surroundings": "noisy"} if number == 0 else {}
        utterance = Utterance(f"u{number}", text="one two.", facts=noisy)
        spoken.add(utterance, (0.5 * rng.standard_normal(16000 * (2 + number * 3))).astype(np.float32))
    around, again = (silence_around(spoken, 20, seed=3) for _ in range(2))
    assert set(around.utterances) == {f"u{number}-in-silence" for number in range(1, 6)}
    assert around.digest() == again.digest()
    for id, utterance in around.utterances.items():
        said = spoken.draw(id.removesuffix("-in-silence"), 0, 0, UNCHANGED).samples
        heard = around.draw(id, 0, 0, UNCHANGED).samples
        assert len(said) <= len(heard) <= 20 * 16000 and utterance.text == "one two."
        loud = np.flatnonzero(np.abs(heard) > 0.05)
        assert loud[-1] - loud[0] <= len(said)
        place = int(np.argmax(np.correlate(heard, said[:4000])))
        assert np.abs(heard[place : place + len(said)] - said).max() < 0.05
