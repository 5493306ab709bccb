"""Which speech a recipe trains on: the world's, human speech beside it, or a manifest; never none, never both."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from program import DATA, digits

from iclal.audio.reading import read_audio
from iclal.data.world import speech
from iclal.errors import SettingsError
from iclal.experiments.human_speech import TRAIN_DIGIT_SPEAKERS, crying_babies, data_folder, human_speech
from iclal.experiments.recipe_speech import speak_for, speech_for
from iclal.training.recipe import EarsRecipe
from iclal.training.recordings import UNCHANGED, Recordings
from iclal.training.speech import read_speech


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICLAL_CACHE", str(tmp_path_factory.getbasetemp() / "speech-for"))


def recipe(**data: object) -> EarsRecipe:
    return EarsRecipe.build({"transcription_instruction": "write", "validation_clips": 2, "data": data})


def samples(recordings: Recordings, id: str) -> np.ndarray:
    return recordings.draw(id, 0, 0, UNCHANGED).samples


def test_the_world_is_spoken_for_training_and_other_sentences_to_validate_by() -> None:
    found = speech_for(recipe(passages=4, seed=5), progress=False)
    told = speech.speak_passages("ears", 4, 5, progress=False)
    assert list(found.train.utterances.values()) == told
    for utterance in told:
        assert utterance.audio_path is not None
        if utterance.facts["surroundings"] == "quiet":  # noise is laid under the others at each hearing
            heard = read_audio(utterance.audio_path).samples
            np.testing.assert_allclose(samples(found.train, utterance.id), heard, atol=2e-4)
    validation = found.validation.utterances.values()
    assert [u.id for u in validation] == ["ears-6-0", "ears-6-1"]
    assert {u.facts["surroundings"] for u in validation} == {"quiet"}
    assert not {u.text for u in validation} & {u.text for u in told}
    assert found.train.dropped == found.validation.dropped == {}


def test_human_digits_and_sounds_without_speech_stand_beside_the_world() -> None:
    data = {"passages": 2, "seed": 5, "digit_strings": 3, "no_speech": 2}
    alone = speech_for(recipe(**data), progress=False)
    found = speech_for(recipe(**data, human=str(DATA)), progress=False)
    assert alone.train.utterances.items() <= found.train.utterances.items()
    assert found.validation.digest() == alone.validation.digest()
    human = human_speech(DATA, digit_strings=3, sentences=False)
    assert human.utterances.items() <= found.train.utterances.items()
    silent = {id for id, utterance in found.train.utterances.items() if utterance.text == ""}
    assert silent == {"no-speech-5-0", "no-speech-5-1", *(u.id for u in crying_babies(DATA)[::2])}
    assert len(found.train.utterances) == 2 + len(human.utterances) + len(silent)
    speakers = Counter(u.speaker for u in found.train.utterances.values() if u.root.name == "fsdd")
    everyone = Counter(u.speaker for u in data_folder(DATA / "fsdd"))
    assert speakers == {name: everyone[name] for name in TRAIN_DIGIT_SPEAKERS}


def test_a_manifest_is_read_as_it_is_without_the_world(tmp_path: Path) -> None:
    own = recipe(train=str(digits(tmp_path)))
    found, read = speech_for(own), read_speech(own)
    assert found.train.digest() == read.train.digest()
    assert found.validation.digest() == read.validation.digest()
    assert not [id for id in found.train.utterances if id.startswith("ears-")]


@pytest.mark.parametrize(
    ("data", "found"), [({}, "neither is given"), ({"train": "mine.jsonl", "passages": 3}, "both are given")]
)
def test_no_source_of_speech_or_two_are_refused(data: dict[str, object], found: str) -> None:
    with pytest.raises(SettingsError, match=rf"data\.train=MANIFEST\) or the spoken world .*; {found}"):
        speech_for(recipe(**data))


def test_nothing_is_spoken_for_speech_of_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech, "speak_all", lambda *_, **__: pytest.fail("spoken"))
    assert speak_for(recipe(train="own.jsonl")) == ([], [])
