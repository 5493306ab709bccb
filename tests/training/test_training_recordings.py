"""Recordings to train on: kept whole or dropped and counted, heard the same at the same draw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from iclal.audio.augment import NOISY_SNR_DB, Augment
from iclal.audio.reading import read_audio
from iclal.data.manifest import Utterance
from iclal.errors import DataError
from iclal.training.recordings import QUIET, UNCHANGED, Recordings, read_utterance

CLIP = Path(__file__).parents[2] / "data" / "librispeech"


def tone(seconds: float, level: float = 0.3) -> np.ndarray:
    return (level * np.sin(np.arange(int(seconds * 16_000)) / 7)).astype(np.float32)


def holding(**facts: str) -> Recordings:
    recordings = Recordings()
    recordings.add(Utterance("a", text="one.", facts=facts), tone(1.0))
    return recordings


def test_a_real_clip_is_kept_to_a_step_of_sixteen_bits() -> None:
    path = sorted(CLIP.rglob("*.flac"))[0]
    utterance = Utterance("real", audio=str(path), start_seconds=0.5, duration_seconds=1.25)
    recordings = Recordings([utterance])
    heard = recordings.draw("real", 0, 0, UNCHANGED).samples
    expected = read_audio(path, start_seconds=0.5, duration_seconds=1.25).samples
    assert recordings.num_samples("real") == 20_000 and recordings.seconds == 1.25
    assert np.array_equal(read_utterance(utterance), expected)
    assert np.abs(heard - expected).max() <= 2 / 32768


def test_what_is_offered_is_kept_or_dropped_in_recordings_and_seconds() -> None:
    recordings, lengths = Recordings(max_seconds=2.0), [0.5, 2.0, 2.1, 7.0, 1.0]
    for number, seconds in enumerate(lengths):
        recordings.add(Utterance(str(number)), tone(seconds))
    recordings.drop("without text", 3.5, 2)
    assert recordings.dropped == {"longer than 2 s": 2, "without text": 2}
    assert len(recordings.utterances) + sum(recordings.dropped.values()) == len(lengths) + 2
    assert recordings.seconds + recordings.dropped_seconds == pytest.approx(sum(lengths) + 3.5)


def test_including_another_set_takes_its_recordings_and_its_account() -> None:
    one, other = holding(), Recordings(max_seconds=2.0)
    other.add(Utterance("b"), tone(1.5))
    other.add(Utterance("long"), tone(3.0))
    one.include(other)
    assert list(one.utterances) == ["a", "b"] and one.seconds == 2.5
    assert (one.dropped, one.dropped_seconds) == ({"longer than 2 s": 1}, 3.0)


def test_what_is_longer_than_the_including_sets_limit_is_counted() -> None:
    one, other = Recordings(max_seconds=1.0), holding()
    other.add(Utterance("long"), tone(1.5))
    one.include(other)
    assert list(one.utterances) == ["a"] and (one.dropped, one.dropped_seconds) == ({"longer than 1 s": 1}, 1.5)


def test_an_id_that_comes_twice_is_refused() -> None:
    recordings = holding()
    with pytest.raises(DataError, match="two recordings have the id 'a'"):
        recordings.add(Utterance("a"), tone(1.0))
    with pytest.raises(DataError, match="two recordings have the id 'a'"):
        recordings.include(holding())


def test_an_utterance_without_audio_is_refused() -> None:
    with pytest.raises(DataError, match="utterance x has no audio"):
        Recordings([Utterance("x", text="one.")])


def test_samples_beyond_full_scale_are_not_wrapped_around() -> None:
    recordings = Recordings()
    recordings.add(Utterance("loud"), tone(0.1, level=1.8))
    heard = recordings.draw("loud", 0, 0, UNCHANGED).samples
    assert np.abs(heard - np.clip(tone(0.1, level=1.8), -1, 1)).max() < 1e-3


def test_a_draw_is_a_function_of_seed_number_and_id() -> None:
    recordings = holding()
    first = recordings.draw("a", 1, 2, Augment()).samples
    assert np.array_equal(first, recordings.draw("a", 1, 2, Augment()).samples)
    others = [recordings.draw("a", *key, Augment()).samples for key in ((1, 3), (2, 2))]
    assert not any(len(o) == len(first) and np.array_equal(o, first) for o in others)
    assert np.abs(first).max() <= 1


def test_noise_is_laid_under_noisy_utterances_alone() -> None:
    clean = holding().draw("a", 0, 0, UNCHANGED).samples
    assert np.array_equal(holding(surroundings="quiet").draw("a", 0, 5, UNCHANGED).samples, clean)
    noisy = holding(surroundings="noisy")
    for number in range(8):
        noise = noisy.draw("a", 0, number, UNCHANGED).samples - clean
        snr_db = 10 * np.log10(np.mean(clean**2) / np.mean(noise**2))
        assert NOISY_SNR_DB[0] - 0.5 < snr_db < NOISY_SNR_DB[1] + 0.5
    assert QUIET.noise_snr_db[0] >= 2 * NOISY_SNR_DB[1]


def test_digest_sees_all_that_is_known_and_samples_but_not_where_they_lie() -> None:
    base = holding().digest()
    assert holding().digest() == base != holding(surroundings="noisy").digest()
    moved = Recordings()
    moved.add(Utterance("a", audio="elsewhere.wav", text="one."), tone(1.0))
    assert moved.digest() == base
    for utterance, samples in (
        (Utterance("b", text="one."), tone(1.0)),
        (Utterance("a", text="two."), tone(1.0)),
        (Utterance("a", text="one.", voice="[ man ]"), tone(1.0)),
        (Utterance("a", text="one.", summary="one"), tone(1.0)),
        (Utterance("a", text="one."), tone(1.0, level=0.31)),
    ):
        changed = Recordings()
        changed.add(utterance, samples)
        assert changed.digest() != base


def test_forgotten_samples_leave_lengths_and_can_no_longer_be_heard() -> None:
    recordings = holding()
    seconds = recordings.seconds
    recordings.forget_samples()
    assert (recordings.num_samples("a"), recordings.seconds) == (16_000, seconds)
    assert recordings._samples["a"].strides == (0,)  # one zero for all
    for ask in (recordings.digest, lambda: recordings.draw("a", 0, 0), lambda: Recordings().include(recordings)):
        with pytest.raises(AssertionError, match="no samples any more"):
            ask()
