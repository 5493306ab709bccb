"""What stands in the slots: clips, transcripts, controls."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from random import Random

import pytest
from evaluation_world import digit_pools, digits, grid, hear, label_episode, pools
from model_builders import build_model

from iclal.audio.reading import Audio
from iclal.data.demonstrations import draw
from iclal.data.manifest import Utterance
from iclal.data.prompt import Item, SlotText, Text
from iclal.data.tasks import pattern, transcript, voice
from iclal.data.tasks.episode import Episode
from iclal.evaluation.blocks import Block, Pools, draw_blocks
from iclal.evaluation.inputs import INPUTS, Clips, Slots, applicable, without_note, without_notes, wrong_labels
from iclal.model import transcribing
from iclal.model.connector import LinearSettings
from iclal.model.model import ICLAL


@pytest.fixture
def model(parts: Path) -> ICLAL:
    return build_model(parts)


def one_block(task: str = "transcript", shots: int = 2) -> Block:
    (cell,) = grid((task, shots))
    return next(draw_blocks(cell, digit_pools(), 4, seed=0))


def slots_of(prompt: tuple) -> list:
    return [piece for piece in prompt if isinstance(piece, SlotText | Audio)]


def test_bound_words_are_exchanged_alike_in_all_demonstrations_and_none_keeps_its_own() -> None:
    given = pools()
    for seed in range(20):
        rng = Random(seed)
        episode = label_episode(rng, ways=3)
        shown = draw(episode, given.demonstrations, 6, rng)
        wrong = wrong_labels(episode, shown, given.demonstrations, rng)
        assert wrong is not None
        exchanged = {(right.answer, other.answer) for right, other in zip(shown, wrong, strict=True)}
        assert len(exchanged) == 3 and all(right != other for right, other in exchanged)
        assert {other for _, other in exchanged} == set(episode.groups)
        assert [item.clip for item in wrong] == [item.clip for item in shown]


def test_a_closed_set_of_answers_is_exchanged_too_even_if_all_demonstrations_have_the_same() -> None:
    men = [u for u in pools().demonstrations if u.facts["speaker"] == "man"]
    episode = voice.episode(Random(0), "speaker")
    wrong = wrong_labels(episode, [Item(u, "man") for u in men[:3]], men, Random(0))
    assert wrong is not None
    assert len({item.answer for item in wrong}) == 1 and wrong[0].answer in ("woman", "child")


@pytest.mark.parametrize("shots", [1, 2, 3, 5, 8])
def test_open_answers_go_round_and_a_single_one_comes_from_the_pool(shots: int) -> None:
    given = pools()
    for seed in range(10):
        rng = Random(seed)
        episode = Episode("who", "say who it is", pattern.episode(rng, attributes=("who",)).solve)
        shown = draw(episode, given.demonstrations, shots, rng)
        wrong = wrong_labels(episode, shown, given.demonstrations, rng)
        assert wrong is not None and len(wrong) == shots
        assert all(other.answer != right.answer for right, other in zip(shown, wrong, strict=True))
        if shots > 1 and len({item.answer for item in shown}) == shots:
            assert sorted(item.answer for item in wrong) == sorted(item.answer for item in shown)


def test_demonstrations_of_a_pattern_are_answered_by_another_one() -> None:
    given = pools()
    for seed in range(20):
        rng = Random(seed)
        episode = pattern.episode(rng, attributes=("who",))
        shown = draw(episode, given.demonstrations, 2, rng)
        wrong = wrong_labels(episode, shown, given.demonstrations, rng)
        assert wrong is not None and [item.clip for item in wrong] == [item.clip for item in shown]
        for right, other in zip(shown, wrong, strict=True):
            assert set(other.answer.split()) <= set(pattern.attributes_of(right.clip).values())
            assert other.answer != right.answer


def test_too_many_like_answers_are_filled_up_from_the_pool() -> None:
    found = digits("theo", 20)
    zeros = [Item(Utterance(f"extra-{number}", text="zero"), "zero") for number in range(4)]
    shown = [*zeros, Item(found[-1], found[-1].text or "")]
    wrong = wrong_labels(transcript.episode(Random(0)), shown, found, Random(0))
    assert wrong is not None
    assert all(other.answer != right.answer for right, other in zip(shown, wrong, strict=True))


def test_where_all_answers_are_the_same_there_are_no_wrong_labels() -> None:
    def solve(utterance: Utterance, rng: Random) -> Item | None:
        return Item(utterance, "yes")

    found = digits("theo", 5)
    episode = Episode("same", "say yes", solve)
    assert wrong_labels(episode, [Item(found[0], "yes")], found[1:], Random(0)) is None


def test_every_input_differs_from_audio_only_in_its_slots_or_answers(model: ICLAL) -> None:
    block, slots = one_block(), Slots(Clips(model, hear), model, digit_pools(), seed=0)
    prompts = {input: slots.prompts(block, input) for input in INPUTS}
    texts = {
        input: [[piece.text for piece in prompt if isinstance(piece, Text)] for prompt in own or ()]
        for input, own in prompts.items()
    }
    for input in set(INPUTS) - {"wrong-labels"}:
        assert texts[input] == texts["audio"], input
    for right, wrong in zip(texts["audio"], texts["wrong-labels"], strict=True):
        assert [a == b for a, b in zip(right, wrong, strict=True)].count(False) == block.cell.shots
    audio = slots_of((prompts["audio"] or [])[0])
    assert all(isinstance(piece, Audio) for piece in audio) and len(audio) == 3
    assert slots_of((prompts["wrong-labels"] or [])[0]) == audio
    assert [piece.text for piece in slots_of((prompts["no-audio"] or [])[0])] == ["", "", ""]
    said = [item.clip.text for item in (*block.demonstrations, block.queries[0])]
    assert [piece.text for piece in slots_of((prompts["ceiling"] or [])[0])] == said
    mixed = slots_of((prompts["text-demos"] or [])[0])
    assert [piece.text for piece in mixed[:-1]] == said[:-1] and mixed[-1] is audio[-1]


def test_shuffled_audio_hears_another_clip_of_the_same_pool_and_always_the_same_one(model: ICLAL) -> None:
    given = digit_pools()
    slots, again = (Slots(Clips(model, hear), model, given, seed=0) for _ in range(2))
    for pool in (given.queries, given.demonstrations):
        others = {utterance.id: slots.other(utterance).id for utterance in pool}
        assert all(other != own for own, other in others.items())
        assert set(others.values()) <= {utterance.id for utterance in pool}
        assert others == {utterance.id: again.other(utterance).id for utterance in pool}
    block = one_block()
    written = slots.written((slots.prompts(block, "shuffled-audio") or [])[0])
    for item in (*block.demonstrations, block.queries[0]):
        assert f"[{slots.other(item.clip).id}]" in written and f"[{item.clip.id}]" not in written


def test_written_prompts_name_the_clips_and_show_the_texts(model: ICLAL) -> None:
    block, slots = one_block(shots=1), Slots(Clips(model, hear), model, digit_pools(), seed=0)
    shown, asked = block.demonstrations[0], block.queries[0]
    heard = slots.written((slots.prompts(block, "audio") or [])[0])
    assert heard.endswith(f"heard:[{shown.clip.id}]\n> {shown.answer}\nheard:[{asked.clip.id}]\n>")
    read = slots.written((slots.prompts(block, "ceiling") or [])[0])
    assert read.endswith(f"heard: {shown.clip.text}\n> {shown.answer}\nheard: {asked.clip.text}\n>")


def test_the_cascades_texts_are_those_of_the_models_own_calls(model: ICLAL) -> None:
    found = digits("jackson", 5)
    clips = Clips(model, hear)
    clips.transcribe(found)
    audios = [hear(utterance) for utterance in found]
    assert [clips.transcript(u) for u in found] == [t.text for t in transcribing.transcribe(model, audios)]
    greedy = [without_note(text) for text in transcribing.transcribe_greedily(model, audios)]
    assert [clips.greedy_text(u) for u in found] == greedy and any(greedy)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mira sings. [ woman slow noisy ]", "mira sings."),
        ("mira sings. [man]", "mira sings."),
        ("[ quiet ]", ""),
        ("[laughter] hello there", "[laughter] hello there"),
        ("hello [noise] there [ man ]", "hello [noise] there"),
        ("hello there [laughter]", "hello there [laughter]"),
        ("hello [ man ] there", "hello [ man ] there"),
        ("hello [ man ] [ quiet ]", "hello [ man ]"),
        ("hello [ man laughing ]", "hello [ man laughing ]"),
        ("hello [ womanly ]", "hello [ womanly ]"),
        ("hello [ ]", "hello [ ]"),
    ],
)
def test_only_a_note_of_the_words_of_voice_notes_at_the_end_is_no_speech(text: str, words: str) -> None:
    assert without_note(text) == words


def test_the_notes_of_all_windows_are_no_speech_and_what_stands_behind_them_is() -> None:
    assert without_notes("[ man ] one [laughter] two [ man ] three [ man noisy ]") == "one [laughter] two three"
    assert without_notes("one two") == "one two"


def test_clips_longer_than_a_window_are_transcribed_in_windows(parts: Path) -> None:
    model = build_model(parts, window_seconds=0.5)
    found = [u for u in digits("jackson", 10) if (u.duration_seconds or 0) > 0.5][:2]
    assert found
    clips, audios = Clips(model, hear), [hear(utterance) for utterance in found]
    clips.transcribe(found)
    assert [clips.transcript(u) for u in found] == [t.text for t in transcribing.transcribe(model, audios)]
    greedy = [without_notes(text) for text in transcribing.transcribe_greedily(model, audios)]
    assert [clips.greedy_text(u) for u in found] == greedy


def test_a_transcription_with_an_instruction_is_asked_as_the_model_asks(parts: Path) -> None:
    model = build_model(parts, transcription_instruction="repeat the speech word for word")
    found = digits("jackson", 2)
    clips = Clips(model, hear)
    clips.transcribe(found)
    expected = transcribing.transcribe(model, [hear(utterance) for utterance in found])
    assert [clips.transcript(u) for u in found] == [t.text for t in expected]


def test_two_utterances_with_one_recording_are_told_apart(model: ICLAL) -> None:
    audio = hear(digits("jackson", 1)[0])
    clips = Clips(model, lambda _: audio)
    one, other = clips.audio(Utterance("one")), clips.audio(Utterance("other"))
    assert (clips.id_of(one), clips.id_of(other)) == ("one", "other")
    assert clips.audio(Utterance("one")) is one


def test_inputs_that_cannot_be_made_are_left_out_with_the_reason(parts: Path) -> None:
    told = digit_pools()
    given = Pools([dataclasses.replace(told.queries[0], text=None), *told.queries[1:]], told.demonstrations)
    inputs, left_out = applicable(INPUTS, build_model(parts, connector=LinearSettings()), given)
    assert inputs == ("audio", "cascade", "shuffled-audio", "no-audio", "wrong-labels")
    assert left_out["ceiling"] == left_out["text-demos"] == "1 of 48 utterances have no text"
    assert "linear" in left_out["cascade-ctc"]
