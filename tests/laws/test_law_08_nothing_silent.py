"""Law 8: whatever is dropped is counted by reason; in = kept + dropped, in items and hours; too long is an error."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import pytest
import soundfile
from model_builders import build_model, noise

from iclal.audio.reading import header, write_wav
from iclal.data.manifest import Utterance, read_manifest, write_manifest
from iclal.data.prepare import prepare
from iclal.data.prompt import Text
from iclal.errors import DataError, PromptError
from iclal.experiments.conditions_own import own_conditions
from iclal.model.inference import generate, score_targets
from iclal.model.transcribing import transcribe
from iclal.training.batches import BatchBudget, Plan, Size
from iclal.training.recipe import EarsRecipe
from iclal.training.recordings import Recordings
from iclal.training.speech import read_speech

LIBRISPEECH = Path(__file__).parents[2] / "data" / "librispeech"


def tree(folder: Path) -> tuple[Path, list[Path]]:
    """Eight real recordings as a LibriSpeech tree."""
    chapter = folder / "LibriSpeech" / "dev-clean" / "1" / "2"
    chapter.mkdir(parents=True)
    clips, lines = sorted(LIBRISPEECH.rglob("*.flac"))[:8], []
    paths = [chapter / f"1-2-{number:04d}.flac" for number in range(len(clips))]
    for path, clip in zip(paths, clips, strict=True):
        shutil.copyfile(clip, path)
        lines.append(f"{path.stem} SOME WORDS")
    (chapter / "1-2.trans.txt").write_text("\n".join(lines) + "\n")
    return folder / "LibriSpeech", paths


def test_a_prepared_corpus_accounts_for_every_item_and_hour(tmp_path: Path) -> None:
    source, paths = tree(tmp_path)
    paths[1].write_bytes(b"")
    soundfile.write(paths[2], soundfile.read(paths[2])[0], 8_000, "PCM_16")
    lost_seconds = header(paths[2]).duration_seconds
    transcript = paths[0].parent / "1-2.trans.txt"
    transcript.write_text(transcript.read_text().replace("1-2-0003 SOME WORDS\n", ""))
    summary = prepare("librispeech", source, tmp_path / "out", progress=False)
    values = json.loads((tmp_path / "out" / "summary.json").read_text())
    problems = [json.loads(line) for line in (tmp_path / "out" / "problems.jsonl").read_text().splitlines()]
    kept = list(read_manifest(tmp_path / "out" / "manifest.jsonl"))
    assert values["found"] == 8 == len(kept) + len([p for p in problems if p["dropped"]]) == summary.found
    assert values["kept"] == len(kept) == 5
    assert values["dropped_by_reason"] == {"empty-audio": 1, "missing-transcript": 1, "wrong-rate": 1}
    seconds = sum(header(path).duration_seconds for path in (paths[0], *paths[4:]))
    assert values["hours_kept"] == pytest.approx(seconds / 3600, abs=2e-6)
    assert values["hours_dropped"] == pytest.approx(lost_seconds / 3600, abs=2e-6)
    assert summary.exit_status() == 1 and summary.exit_status(allow_dropped=True) == 0


def test_recordings_to_train_on_account_for_every_clip_and_second(tmp_path: Path) -> None:
    lengths = (0.5, 3.0, 1.0, 9.0, 2.0)
    utterances = []
    for number, seconds in enumerate(lengths):
        write_wav(tmp_path / f"{number}.wav", noise(int(16_000 * seconds), number).samples)
        utterances.append(Utterance(str(number), audio=str(tmp_path / f"{number}.wav"), text="words"))
    found = Recordings(utterances, max_seconds=2.0)
    assert found.dropped == {"longer than 2 s": 2}
    assert len(found.utterances) + sum(found.dropped.values()) == len(lengths)
    assert found.seconds + found.dropped_seconds == pytest.approx(sum(lengths))
    assert found.num_samples("4") == 32_000  # whole, not cut


def test_a_users_manifest_is_kept_or_counted_with_validation_apart(tmp_path: Path) -> None:
    told = []
    for number, seconds in enumerate((1.0, 1.5, 30.0, 2.0, 2.5, 1.0)):
        write_wav(tmp_path / f"{number}.wav", noise(int(16_000 * seconds), number).samples)
        told.append(Utterance(str(number), audio=f"{number}.wav", duration_seconds=seconds, text="words"))
    told.append(Utterance("no text", audio="0.wav", duration_seconds=1.0))
    told.append(Utterance("no audio", text="words", duration_seconds=4.0))
    write_manifest(tmp_path / "manifest.jsonl", told)
    data = {"train": str(tmp_path / "manifest.jsonl"), "validation_share": 0.3}
    speech = read_speech(EarsRecipe.build({"transcription_instruction": "write", "data": data}))
    parts = (speech.train, speech.validation)
    assert sum(len(p.utterances) + sum(p.dropped.values()) for p in parts) == len(told)
    seconds = sum(p.seconds + p.dropped_seconds for p in parts)
    assert seconds == pytest.approx(sum(u.duration_seconds or 0 for u in told))


def test_a_users_manifest_to_evaluate_by_accounts_for_every_line_and_second(tmp_path: Path) -> None:
    told = [Utterance(str(n), audio="0.wav", duration_seconds=1.0, text="words") for n in range(5)]
    told += [Utterance(f"no text {n}", audio="0.wav", duration_seconds=1.5) for n in range(2)]
    told.append(Utterance("no audio", text="words", duration_seconds=4.0))
    told.append(Utterance("neither", duration_seconds=0.5))
    write_manifest(tmp_path / "manifest.jsonl", told)
    (condition,) = own_conditions(tmp_path / "manifest.jsonl", "quick")
    assert condition.left_out == {"lines without audio": "2 of 9 (4.5 s)", "lines without text": "2 of 9 (3.0 s)"}
    asked = [*condition.pools.queries, *condition.pools.demonstrations]
    assert len(asked) + 2 + 2 == len(told)
    assert sum(u.duration_seconds or 0 for u in asked) + 4.5 + 3.0 == sum(u.duration_seconds or 0 for u in told)
    write_manifest(tmp_path / "few.jsonl", told[3:])
    with pytest.raises(DataError, match=r"2 utterances with audio and text; .*lines without text: 2 of 6 \(3\.0 s\)"):
        own_conditions(tmp_path / "few.jsonl", "quick")


def test_a_clip_longer_than_any_batch_is_an_error_with_the_numbers() -> None:
    with pytest.raises(DataError, match=r"1 of 2 items .*\(100 samples.*: long \(250 samples"):
        Plan({"long": Size(samples=250), "short": Size(samples=50)}, BatchBudget(max_samples=100), seed=0)


@pytest.mark.parametrize("ask", ["generate", "score"])
def test_a_prompt_that_is_too_long_is_an_error_with_the_numbers(parts: Path, ask: str) -> None:
    model = build_model(parts)
    prompt = (Text("where is mira " * 300), noise(16_000), Text(">"))
    with pytest.raises(PromptError, match=r"too long: \d+ rows \(\d+ of audio\).*has 512 positions") as caught:
        if ask == "generate":
            generate(model, [prompt], max_new_tokens=5)
        else:
            score_targets(model, [prompt], ["paris"])
    assert "fewer demonstrations" in str(caught.value)


def test_a_long_recording_is_heard_in_windows_that_cover_it_and_say_so(parts: Path) -> None:
    model = build_model(parts, window_seconds=2.0)
    audio = noise(16_000 * 7)
    transcript = transcribe(model, [audio])[0]
    assert transcript.duration_seconds == 7.0
    segments = transcript.segments
    assert len(segments) >= 4 and segments[0].start_seconds == 0.0 and segments[-1].end_seconds == 7.0
    for one, following in itertools.pairwise(segments):
        assert one.end_seconds == following.start_seconds
    assert all(segment.end_seconds - segment.start_seconds <= 2.0 for segment in segments)
