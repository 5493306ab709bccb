"""The spoken world in other corpora's layouts: what the readers make of it is the world that was written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from iclal.audio.reading import read_audio
from iclal.data.manifest import Utterance, read_manifest
from iclal.data.prepare import prepare
from iclal.data.world import layouts, voices
from iclal.data.world.layouts import tell, write_world
from iclal.errors import DataError, SettingsError

SEED, SIZE = 4, 12


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("speech")


@pytest.fixture(scope="module")
def told() -> list[Utterance]:
    return tell(SEED, SIZE)


def read_back(corpus: str, source: Path, out: Path, **options: object) -> list[Utterance]:
    """The world through the corpus's reader; nothing may be dropped or warned of."""
    summary = prepare(corpus, source, out, options, progress=False)
    assert (summary.dropped.total(), summary.warnings.total()) == (0, 0), summary.to_json()
    return list(read_manifest(out / "manifest.jsonl"))


def spoken(told: list[Utterance], cache: Path) -> list[np.ndarray]:
    return [read_audio(path).samples for path in layouts._speak(told, cache)]


def samples(utterance: Utterance) -> np.ndarray:
    assert utterance.audio_path is not None
    return read_audio(
        utterance.audio_path, start_seconds=utterance.start_seconds, duration_seconds=utterance.duration_seconds
    ).samples


def test_what_is_told_is_a_function_of_the_seed_and_the_test_is_apart() -> None:
    assert tell(1, 8) == tell(1, 8) != tell(2, 8)
    told = tell(1, 8)
    assert [u.split for u in told] == ["train"] * 6 + ["test"] * 2
    for utterance in told:
        test_voice = utterance.extra["voice"]["variant"] in (*voices.TEST_MEN, *voices.TEST_WOMEN)
        assert test_voice == (utterance.split == "test")
    by_speaker = {(u.speaker, str(u.extra["voice"]), u.extra["sex"]) for u in told}
    assert len(by_speaker) == len({u.speaker for u in told}) == 6


def test_librispeech_comes_back_field_by_field(told: list[Utterance], cache: Path, tmp_path: Path) -> None:
    source = write_world("librispeech", tmp_path / "LibriSpeech", seed=SEED, size=SIZE, folder=cache)
    found = {(u.speaker, u.text): u for u in read_back("librispeech", source, tmp_path / "out")}
    assert len(found) == SIZE
    for utterance, said in zip(told, spoken(told, cache), strict=True):
        read = found[utterance.speaker, " ".join(layouts.words_of(utterance))]
        assert read.split == utterance.split and read.extra["sex"] == utterance.extra["sex"]
        assert read.extra["subset"] == layouts.SUBSETS[utterance.split or ""]
        assert read.extra["original_text"] == (read.text or "").upper()
        assert read.duration_seconds == pytest.approx(len(said) / 16_000, abs=1e-6)
        assert np.array_equal(samples(read), said)


def test_spoken_squad_comes_back_field_by_field(told: list[Utterance], cache: Path, tmp_path: Path) -> None:
    source = write_world("spoken-squad", tmp_path / "squad", seed=SEED, size=SIZE, folder=cache)
    found = {u.text: u for u in read_back("spoken-squad", source, tmp_path / "out")}
    assert len(found) == SIZE
    for number, utterance in enumerate(told):
        read = found[utterance.text]
        assert read.split == utterance.split
        assert read.questions == tuple(layouts.extractive(utterance))
        number -= 0 if utterance.split == "train" else 9
        assert (read.extra["topic"], read.extra["paragraph"]) == divmod(number, layouts.PARAGRAPHS_A_TOPIC)
    kept = [question for u in told for question in layouts.extractive(u)]
    assert {q.answers[0] for u in told for q in u.questions if q not in kept} <= {"yes", "no"}
    one = told[0]
    voice = layouts.speech.voice_of(one)
    parts = [layouts.Speech(layouts.names.spoken_form(s), voice) for s in layouts.sentences.split(one.text or "")]
    said = np.concatenate([read_audio(path).samples for path in layouts.speak_all(parts, cache)])
    assert np.array_equal(samples(found[one.text]), said)
    assert found[one.text].duration_seconds == pytest.approx(len(said) / 16_000, abs=1e-6)


@pytest.fixture(scope="module")
def ami(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world("ami", tmp_path_factory.mktemp("ami") / "ami", seed=SEED, size=SIZE, folder=cache)


def test_ami_segments_come_back_field_by_field(told: list[Utterance], cache: Path, ami: Path, tmp_path: Path) -> None:
    found = {(u.speaker, u.text): u for u in read_back("ami", ami, tmp_path / "out")}
    assert len(found) == SIZE
    for utterance, said in zip(told, spoken(told, cache), strict=True):
        read = found[utterance.speaker, utterance.text]
        assert read.split == utterance.split and read.extra["sex"] == utterance.extra["sex"]
        assert read.extra["microphone"] == "headset"
        assert read.duration_seconds == pytest.approx(len(said) / 16_000, abs=1e-6)
        assert np.array_equal(samples(read), said)
        timed = read.extra["words"]
        assert [word.rstrip(".") for _, _, word in timed] == layouts.words_of(utterance)
        starts, ends = [start for start, _, _ in timed], [end for _, end, _ in timed]
        assert starts[1:] == ends[:-1] and starts == sorted(starts)
        assert starts[0] == pytest.approx(read.start_seconds)
        assert ends[-1] - starts[0] == pytest.approx(len(said) / 16_000, abs=1e-6)


def test_ami_spans_are_the_passages_with_their_summaries(
    told: list[Utterance], cache: Path, ami: Path, tmp_path: Path
) -> None:
    options = {"output": "spans", "context_seconds": 0.0}
    found = {u.text: u for u in read_back("ami", ami, tmp_path / "out", **options)}
    assert len(found) == SIZE
    for utterance, said in zip(told, spoken(told, cache), strict=True):
        read = found[utterance.text]
        assert (read.summary, read.split) == (utterance.summary, utterance.split)
        assert read.extra["covered"] == 1.0
        assert [act[4] for act in read.extra["acts"]] == layouts.sentences.split(utterance.text or "")
        assert {act[3] for act in read.extra["acts"]} == {"Inform"}
        assert read.duration_seconds == pytest.approx(len(said) / 16_000, abs=2e-3)


def test_ami_meetings_hold_all_turns_and_summaries_in_order(told: list[Utterance], ami: Path, tmp_path: Path) -> None:
    found = read_back("ami", ami, tmp_path / "out", output="meetings")
    assert [(u.id, u.split) for u in found] == [("ES2004a", "test"), ("ES5000a", "train"), ("ES5001a", "train")]
    meetings = [told[9:], told[:8], told[8:9]]
    for read, passages in zip(found, meetings, strict=True):
        assert read.summary == " ".join(u.summary or "" for u in passages)
        assert read.text == " ".join(u.text or "" for u in passages)
        assert [read.extra["speakers"][turn[2]][0] for turn in read.extra["turns"]] == [u.speaker for u in passages]
        assert [act[3] for act in read.extra["extracted"]] == [
            layouts.sentences.split(u.text or "")[0] for u in passages
        ]
        assert read.extra["microphone"] == "headset-mix" and read.duration_seconds is not None
        assert read.duration_seconds > read.extra["turns"][-1][1]


def test_the_mix_is_the_sum_of_the_headsets(ami: Path) -> None:
    folder = ami / "amicorpus" / "ES5000a" / "audio"
    headsets = [read_audio(folder / f"ES5000a.Headset-{channel}.wav").samples for channel in range(4)]
    assert np.allclose(read_audio(folder / "ES5000a.Mix-Headset.wav").samples, sum(headsets), atol=1e-4)


def test_meetings_have_names_of_their_split() -> None:
    assert layouts.meeting_names("train", 2) == ["ES5000a", "ES5001a"]
    assert layouts.meeting_names("test", 7)[-2:] == ["EN2002a", "ES2004b"]
    with pytest.raises(SettingsError, match="156 meetings, 157 are needed; size 4992 at most"):
        layouts.meeting_names("test", 157)


def test_unknown_layouts_and_sizes_and_full_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no layout 'timit'; known are librispeech, ami, spoken-squad"):
        write_world("timit", tmp_path)
    with pytest.raises(SettingsError, match=r"size must be 2 or more .*found 1"):
        write_world("ami", tmp_path, size=1)
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(DataError, match="is there and not empty"):
        write_world("ami", tmp_path)
