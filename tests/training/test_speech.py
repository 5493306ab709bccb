"""The speech that ears are trained on: divided by speaker, and what is left out is counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from iclal.data.manifest import Utterance, write_manifest
from iclal.errors import DataError
from iclal.training.recipe import read_recipe
from iclal.training.speech import hold_out, read_speech

DATA = Path(__file__).parents[2] / "data"


def manifest(folder: Path, utterances: list[Utterance]) -> Path:
    write_manifest(folder / "manifest.jsonl", utterances)
    return folder / "manifest.jsonl"


def test_own_speech_is_divided_and_what_is_left_out_is_counted(tmp_path: Path) -> None:
    clips = sorted((DATA / "librispeech").rglob("*.flac"))[:4]
    told = [Utterance(f"c{i}", audio=str(clip), text="words") for i, clip in enumerate(clips)]
    told += [Utterance("mute", audio=str(clips[0]), duration_seconds=9.0), Utterance("unheard", text="words")]
    path = manifest(tmp_path, told)
    found = read_speech(read_recipe("own", (f"data.train={path}", "data.validation_share=0.3", "data.max_seconds=12")))
    parts = (found.train, found.validation)
    assert found.train.dropped["without audio or text"] == 2
    kept, dropped = sum(len(p.utterances) for p in parts), sum(sum(p.dropped.values()) for p in parts)
    assert kept + dropped == len(told)
    assert not set(found.train.utterances) & set(found.validation.utterances)


def test_a_manifest_with_nothing_to_train_on_is_refused_with_the_account(tmp_path: Path) -> None:
    clip = sorted((DATA / "librispeech").rglob("*.flac"))[0]
    path = manifest(tmp_path, [Utterance(f"c{i}", audio=str(clip), text="words") for i in range(3)])
    with pytest.raises(DataError, match=r"no utterance with audio and text to train on .*longer than 0.1 s"):
        read_speech(read_recipe("own", (f"data.train={path}", "data.max_seconds=0.1")))


def test_speakers_are_held_out_whole_where_there_are_three() -> None:
    told = [Utterance(f"u{i}", speaker=f"s{i % 5}") for i in range(50)]
    train, held_out = hold_out(told, 0.2, seed=1)
    assert {u.speaker for u in train}.isdisjoint({u.speaker for u in held_out}) and len(held_out) == 10
    assert hold_out(told, 0.2, seed=1) == (train, held_out) != hold_out(told, 0.2, seed=2)
    train, held_out = hold_out([Utterance(f"u{i}", speaker="one") for i in range(20)], 0.1, seed=1)
    assert (len(train), len(held_out)) == (18, 2)
    sizes = {"much": 900, "some": 50, "few": 50}
    told = [Utterance(f"{name}{i}", speaker=name) for name, size in sizes.items() for i in range(size)]
    for seed in range(12):  # who says most of it is never the one held out
        train, held_out = hold_out(told, 0.1, seed)
        assert len(train) >= 900 and len(held_out) in (50, 100)
