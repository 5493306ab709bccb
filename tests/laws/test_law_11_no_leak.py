"""Law 11: what the test hears and reads stands in no training part of language model, encoder or ears."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from iclal.data.demonstrations import seeded
from iclal.data.manifest import Utterance
from iclal.data.prompt import Prompt, SlotText, Text, fill, read_transcript
from iclal.data.recordings import VOICES
from iclal.data.tasks import labels, pattern, questions, summary, transcript, voice
from iclal.data.world import names, sentences, speech, voices
from iclal.data.world.sentences import Taste
from iclal.evaluation.evaluate import Pools
from iclal.experiments import conditions_world, documents, encoder, language_model
from iclal.experiments.conditions_human import human_conditions
from iclal.experiments.documents import Pool, Stage, Tokenize, document
from iclal.experiments.encoder import EncoderRecipe, training_speech
from iclal.experiments.human_speech import TRAIN_DIGIT_SPEAKERS, crying_babies, data_folder
from iclal.experiments.recipe_speech import speech_for
from iclal.experiments.tokenizer import DEFAULT_TEMPLATE, world_tokenizer
from iclal.training.lessons import draw_lessons
from iclal.training.recipe import EarsRecipe, TeacherSettings
from iclal.training.recordings import Recordings
from iclal.training.speech import Speech

DATA = Path(__file__).parents[2] / "data"
TEST_VARIANTS = {*voices.TEST_MEN, *voices.TEST_WOMEN}
TASKS = (labels, pattern, questions, summary, transcript)
LEXICON = {*sentences.lexicon(), *sentences.question_words(), *voices.NOTE_WORDS}


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recordings]:
    """The recordings of a small encoder and of small ears, validation included, made as large ones are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ICLAL_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(speech, "speak_passages", _brief(speech.speak_passages))
        small = {"passages": 12, "digit_strings": 5, "no_speech": 3}
        found = {"encoder": training_speech(EncoderRecipe.build(small | {"data": str(DATA)}))}
        data = small | {"human": str(DATA)}
        recipe = EarsRecipe.build({"transcription_instruction": "write", "data": data, "validation_clips": 4})
        ears: Speech = speech_for(recipe, progress=False)
        found |= {"ears": ears.train, "ears' validation": ears.validation}
        for name, recordings in encoder.check_speech(4).items():
            found[f"encoder's validation, {name}"] = recordings
    return found


def _brief(speak: Callable[..., list[Utterance]]) -> Callable[..., list[Utterance]]:
    """Single sentences, which are spoken sooner; voices and sentences are drawn as ever."""

    def brief(part: str, count: int, seed: int, taste: Taste = sentences.ANY, **rest: object) -> list[Utterance]:
        return speak(part, count, seed, Taste((1, 1), taste.names, taste.name_part), **rest)

    return brief


def world_of(recordings: Recordings) -> list[Utterance]:
    return [utterance for utterance in recordings.utterances.values() if "voice" in utterance.extra]


def told(text: str) -> list[str]:
    """Sentences of a passage, fillers and digit strings apart: those belong to nobody."""
    return [s for s in sentences.split(text) if s not in sentences.FILLERS and " " in s and not _is_digits(s)]


def _is_digits(sentence: str) -> bool:
    return set(sentence.rstrip(".").split()) <= set(sentences.words.DIGITS)


def invented(text: str) -> set[str]:
    """Names and label words of a text."""
    return {word for word in re.findall(r"[a-z]+", text) if word not in LEXICON and names.syllables(word)}


# --- speech


@pytest.mark.slow
def test_no_test_voice_or_accent_is_heard_in_training(spoken: dict[str, Recordings]) -> None:
    for name, recordings in spoken.items():
        heard = [speech.voice_of(utterance) for utterance in world_of(recordings)]
        assert heard, name
        assert not {voice.variant for voice in heard} & TEST_VARIANTS, name
        assert voices.TEST_ACCENT not in {voice.accent for voice in heard}, name


def test_a_prepared_corpus_is_not_spoken_by_voices_of_the_test() -> None:
    assert not {accent for accent, _ in VOICES} & {voices.TEST_ACCENT}
    assert not {variant for _, variant in VOICES} & TEST_VARIANTS


def test_no_drawn_speaker_is_a_voice_of_the_test() -> None:
    espeakng_loader = pytest.importorskip("espeakng_loader", reason="eSpeak NG is an optional package")
    files = Path(espeakng_loader.get_data_path()) / "voices" / "!v"
    tested = [frequencies((files / name).read_text(encoding="utf-8")) for name in sorted(TEST_VARIANTS)]
    assert all(len(own) >= 5 for own in tested)
    rng = Random(0)
    for number in range(6000):
        drawn = frequencies(voices.draw_timbre(rng, sentences.words.SPEAKERS[number % 3]))
        for own in tested:
            farthest = max(abs(drawn[formant] / percent - 1) for formant, percent in own.items())
            assert farthest > 0.01, (number, drawn, own)


def frequencies(variant: str) -> dict[int, int]:
    """Percent of eSpeak NG's own, by formant."""
    return {int(formant): int(percent) for formant, percent in re.findall(r"^formant +(\d) +(\d+)", variant, re.M)}


@pytest.mark.slow
def test_no_test_sentence_or_name_is_heard_in_training(spoken: dict[str, Recordings]) -> None:
    for name, recordings in spoken.items():
        texts = [utterance.text or "" for utterance in world_of(recordings)]
        assert {sentences.sentence_part(s) for text in texts for s in told(text)} == {"ears"}, name
        parts = {names.name_part(word) for text in texts for word in invented(text)}
        assert parts == {("name", "train")}, name


@pytest.mark.slow
def test_no_test_speaker_baby_or_dev_child_is_heard_in_training(spoken: dict[str, Recordings]) -> None:
    tested_babies = {utterance.id for utterance in crying_babies(DATA)[1::2]}
    assert tested_babies
    for name, recordings in spoken.items():
        utterances = list(recordings.utterances.values())
        assert not {u.speaker for u in utterances} & {"yweweler", "jackson"}, name
        assert not {u.id for u in utterances} & tested_babies, name
        digits = [u for u in utterances if u.id.startswith("fsdd") or u.root.name == "fsdd"]
        assert {u.speaker for u in digits} <= set(TRAIN_DIGIT_SPEAKERS), name
        assert {u.split for u in utterances if u.root.name == "speechocean762"} <= {"train"}, name
    train = [u for r in spoken.values() for u in r.utterances.values() if u.root.name == "speechocean762"]
    dev = {u.speaker for u in data_folder(DATA / "speechocean762") if u.split != "train"}
    assert train and dev and not {u.speaker for u in train} & dev
    assert any(u.root.name == "fsdd" for u in spoken["ears"].utterances.values())


@pytest.mark.slow
def test_human_speech_and_sounds_of_the_test_are_none_of_the_trainings(spoken: dict[str, Recordings]) -> None:
    trained = {u.id for recordings in spoken.values() for u in recordings.utterances.values()}
    speakers = {u.speaker for recordings in spoken.values() for u in recordings.utterances.values()}
    for condition in human_conditions(DATA, strings=6, generated=4):
        asked = [*condition.pools.queries, *condition.pools.demonstrations]
        assert asked and not {u.id for u in asked} & trained, condition.name
        assert not {u.speaker for u in asked if u.speaker} & speakers, condition.name


@pytest.mark.slow
def test_clips_of_the_test_are_none_of_the_trainings(spoken: dict[str, Recordings]) -> None:
    tested = {u.text for u in (sentences.passage(_rng(i), f"t{i}", "test") for i in range(300))}
    for name, recordings in spoken.items():
        assert not {u.text for u in world_of(recordings)} & tested, name


def _rng(seed: int) -> Random:
    return seeded("test passages", seed)


# --- text


@pytest.mark.parametrize("share", [0.0, 0.2, 0.6, 1.0])
def test_documents_of_the_language_model_hold_nothing_of_the_test(
    share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "POOL_SIZE", 300)
    pool, rng = Pool(5, 3, Stage(share)), _rng(0)
    texts, prompts, memory = [], [], Tokenize(world_tokenizer())
    heard: set[str] = set()
    keep = memory.document

    def kept(prompt: Prompt, kind: str = "") -> documents.Document:
        prompts.append(prompt)
        if kind not in ("copy", "labels", "row", ""):  # random words, and the parts of rows, which may be such
            said = [piece.text.partition(" [")[0] for piece in prompt if isinstance(piece, SlotText)]
            heard.update(sentence for text in said for sentence in told(text))
        return keep(prompt, kind)

    monkeypatch.setattr(memory, "document", kept)
    for _ in range(150):
        document(pool, rng, DEFAULT_TEMPLATE, memory)
    for prompt in prompts:
        texts += [piece.text for piece in fill(prompt, read_transcript) if hasattr(piece, "text")]  # type: ignore[union-attr]
    words = {word for text in texts for word in invented(text)}
    assert {names.name_part(word)[1] for word in words if not _is_written(word)} == {"train"}
    assert {sentences.sentence_part(s) for p in pool.passages for s in told(p.text or "")} == {"language-model"}
    assert {sentences.sentence_part(s) for s in heard} == {"language-model"}
    assert {names.name_part(word) for word in pool.label_words} == {("label", "train")}
    assert not any(wording in text for wording in held_out_wordings() for text in texts)


def held_out_wordings() -> list[str]:
    """The instructions that only the test gives, for every attribute."""
    attributes = (*labels.ATTRIBUTES, *voice.CANDIDATES)
    wordings = [wording for task in TASKS for wording in task.HELD_OUT_INSTRUCTIONS]
    wordings += [wording for own in voice.HELD_OUT_INSTRUCTIONS.values() for wording in own]
    return [*dict.fromkeys(wording.format(attribute=name) for wording in wordings for name in attributes)]


def _is_written(word: str) -> bool:
    """Words of instructions and questions that are spelt as a name might be: "live", "give", "same", "done"."""
    wordings = [w for task in TASKS for w in (*task.INSTRUCTIONS, *task.HELD_OUT_INSTRUCTIONS)]
    return word in " ".join(wordings).split() or word in sentences.question_words()


def test_lessons_of_the_teacher_bind_no_test_label_and_no_held_out_wording() -> None:
    pool = [sentences.passage(_rng(i), f"p{i}", "ears", Taste((1, 2))) for i in range(300)]
    lessons = draw_lessons(pool, TeacherSettings(examples=120), DEFAULT_TEMPLATE, 0, 1e9)
    for lesson in lessons:
        written = "".join(piece.text for piece in lesson.prompt if isinstance(piece, Text)) + " " + lesson.target
        words = {word for word in invented(written) if not _is_written(word)}
        assert {names.name_part(word)[1] for word in words} <= {"train"}
        assert not any(wording in written for wording in held_out_wordings())


def test_the_language_model_is_validated_on_sentences_apart() -> None:
    for part in ("train", "test"):
        passages = language_model._check_passages(part)
        assert {sentences.sentence_part(s) for p in passages for s in told(p.text or "")} == {"ears"}
        assert {names.name_part(word)[1] for p in passages for word in invented(p.text or "")} == {part}


# --- the test itself


@pytest.mark.slow
def test_the_published_test_hears_unseen_voices_sentences_labels_and_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ICLAL_CACHE", str(tmp_path))
    monkeypatch.setattr(speech, "speak_passages", _brief(speech.speak_passages))
    for taste, part in ((Taste((1, 4)), "train"), (Taste((1, 4), name_part="test"), "test")):
        pools = conditions_world._world_pools(12, 0, taste, progress=False)
        for pool in (pools.queries, pools.demonstrations):
            assert {speech.voice_of(u).variant for u in pool} <= TEST_VARIANTS
            assert {sentences.sentence_part(s) for u in pool for s in told(u.text or "")} == {"test"}
            assert {names.name_part(word)[1] for u in pool for word in invented(u.text or "")} == {part}
        ids = [{u.id for u in pool} for pool in (pools.queries, pools.demonstrations)]
        texts = [{u.text for u in pool} for pool in (pools.queries, pools.demonstrations)]
        assert not ids[0] & ids[1] and not texts[0] & texts[1]
    rich = [sentences.passage(_rng(i), f"q{i}", "test", Taste((1, 1), frames=("has",))) for i in range(400)]
    episode = conditions_world.bind(Pools(rich[::2], rich[1::2]), 2)(_rng(1))
    assert {names.name_part(label) for label in episode.groups} == {("label", "test")}
