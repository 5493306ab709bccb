"""The spoken world: names that sound apart, sentences with one right answer to each question, voices, speech."""

from __future__ import annotations

import doctest
import itertools
import random
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from iclal.audio.augment import NOISY_SNR_DB
from iclal.audio.reading import read_audio
from iclal.audio.speaking import Espeak, Voice
from iclal.data.manifest import Utterance
from iclal.data.world import names, sentences, speech, voices, words

EVERY_ACCENT = (*voices.ACCENTS, voices.TEST_ACCENT)


def passages(count: int, part: str = "ears", taste: sentences.Taste = sentences.ANY) -> list[Utterance]:
    return [sentences.passage(random.Random(f"test {i}"), f"p{i}", part, taste) for i in range(count)]


PASSAGES = passages(600)


# --- names


def test_name_of_a_worked_example_is_its_syllables_and_phonemes() -> None:
    assert names.syllables("mira") == ("mi", "ra")
    assert names.phonemes("mira") == "m'i:rA:"
    assert names.spoken_form("mira lives in oslo.") == "[[m'i:rA:]] lives in oslo."
    assert names.spoken_form("the number of tolo is nine.") == "the number of [[t'oUloU]] is nine."


@pytest.mark.parametrize("word", ["paris", "mi", "miratolo", "zeroba", "fivemi", "nine", "mirax", ""])
def test_other_words_are_no_names(word: str) -> None:
    assert names.syllables(word) is None


def test_every_name_of_two_syllables_has_a_pronunciation_of_its_own() -> None:
    every = ["".join(pair) for pair in itertools.product(names.SYLLABLES, repeat=2)]
    spoken = [names.phonemes(name) for name in every if names.syllables(name)]
    assert len(set(spoken)) == len(spoken) > 4800


def test_no_spoken_word_is_a_name() -> None:
    assert [word for word in (*sentences.lexicon(), *voices.NOTE_WORDS) if names.syllables(word)] == []
    # "where does mira live" is written, never spoken; nothing else of the questions is spelt as a name may be
    assert [word for word in sentences.question_words() if names.syllables(word)] == ["live"]


def test_a_name_belongs_to_one_kind_and_part_by_its_spelling() -> None:
    lists = {key: set(names.name_list(200, *key)) for key in itertools.product(("name", "label"), ("train", "test"))}
    for (key, found), (_, other) in itertools.combinations(lists.items(), 2):
        assert not found & other
        assert {names.name_part(name) for name in found} == {key}


def test_names_are_a_function_of_the_seed() -> None:
    assert names.name_list(50, seed=1) == names.name_list(50, seed=1)
    assert names.name_list(50, seed=1) != names.name_list(50, seed=2)


def heard(espeak: Espeak, spellings: list[str], voice: Voice) -> list[str]:
    """The phonemes of each word said by itself; fewer calls than words."""
    spoken = []
    for first in range(0, len(spellings), 100):
        text = "\n\n".join(names.spoken_form(word) for word in spellings[first : first + 100])
        spoken += espeak.phonemes(voice, text).split("\n")
    return [phonemes.replace(" ", "") for phonemes in spoken]


def alike(spellings: list[str], voice: Voice, ignored: str = "") -> list[set[str]]:
    """Words whose phonemes are the same, but for the `ignored` signs."""
    with Espeak() as espeak:
        spoken = heard(espeak, spellings, voice)
    groups: dict[str, set[str]] = {}
    for word, phonemes in zip(spellings, spoken, strict=True):
        groups.setdefault(phonemes.translate(str.maketrans("", "", ignored)), set()).add(word)
    return [group for group in groups.values() if len(group) > 1]


def test_the_phoneme_test_can_fail() -> None:
    assert alike(["for", "four", "mira"], Voice()) == [{"for", "four"}]
    assert alike(["deli", "delhi"], Voice()) == []
    assert alike(["deli", "delhi"], Voice(), LENGTH_AND_STRESS) == [{"deli", "delhi"}]


def test_all_words_of_the_world_sound_apart() -> None:
    assert alike([*sentences.lexicon(), *names.name_list(40), *names.name_list(20, "label")], Voice()) == []


LENGTH_AND_STRESS = "ˈˌː"
# All that sets these apart is how long the last vowel is, and no accent's other words come so near to each other.
NEAREST = [{"deli", "delhi"}, {"veri", "very"}]


@pytest.mark.slow
@pytest.mark.parametrize("accent", EVERY_ACCENT)
def test_names_labels_and_words_sound_apart_in_every_accent(accent: str) -> None:
    """All names and labels of two syllables, a thousand of three, and the lexicon."""
    two = ["".join(pair) for pair in itertools.product(names.SYLLABLES, repeat=2)]
    rng = random.Random(0)
    three = ["".join(rng.choices(names.SYLLABLES, k=3)) for _ in range(1000)]
    every = [word for word in dict.fromkeys([*two, *three]) if names.syllables(word)] + [*sentences.lexicon()]
    assert alike(every, Voice(accent)) == []
    assert all(group in NEAREST for group in alike(every, Voice(accent), LENGTH_AND_STRESS))


@pytest.mark.slow
@pytest.mark.parametrize("accent", voices.ACCENTS)
def test_no_drawn_accent_makes_two_words_of_one(accent: str) -> None:
    """The lexicon and every twentieth name of two syllables, as four drawn accents have them."""
    two = ["".join(pair) for pair in itertools.product(names.SYLLABLES, repeat=2)]
    every = [word for word in two[::20] if names.syllables(word)] + [*sentences.lexicon()]
    for number in range(4):
        exchanges = voices.draw_accent(random.Random(number))
        assert alike(every, Voice(accent, timbre=exchanges)) == [], exchanges


def test_drawn_accents_are_many_and_make_every_exchange() -> None:
    rng = random.Random(0)
    drawn = {voices.draw_accent(rng) for _ in range(200)}
    assert len(drawn) > 190
    made = {tuple(line.split()[2:]) for lines in drawn for line in lines.splitlines()}
    possible = [*voices._EXCHANGES_IN_NAMES.items(), *voices._EXCHANGES_IN_WORDS.items()]
    assert made == {(old, new) for old, choices in possible for new in choices}


@pytest.mark.parametrize("accent", voices.ACCENTS)
def test_vowels_of_names_stay_apart_whatever_is_exchanged(accent: str) -> None:
    heard: dict[str, set[str]] = {}  # what each vowel may be spoken as, however long
    with Espeak() as espeak:
        for vowel in names.VOWELS.values():
            lines = ["", *(f"replace 00 {vowel} {new}" for new in voices._EXCHANGES_IN_NAMES.get(vowel, ()))]
            said = [espeak.phonemes(Voice(accent, timbre=line), f"[[b'{vowel}d]]") for line in lines]
            heard[vowel] = {phonemes.replace("ː", "") for phonemes in said}
    for (one, own), (other, others) in itertools.combinations(heard.items(), 2):
        assert not own & others, (one, other)


# --- sentences


def test_a_sentence_belongs_to_one_part_by_its_text() -> None:
    shares = Counter(sentences.sentence_part(f"mira lives in place {i}.") for i in range(4000))
    assert shares["language-model"] == pytest.approx(2000, rel=0.1)
    assert shares["ears"] == pytest.approx(1500, rel=0.1)
    assert shares["test"] == pytest.approx(500, rel=0.2)
    assert sorted(bucket for part in sentences.PARTS.values() for bucket in part) == list(range(16))


@pytest.mark.parametrize("part", sentences.PARTS)
def test_passages_hold_sentences_of_their_part_alone(part: str) -> None:
    for utterance in passages(100, part):
        assert utterance.text is not None
        told = sentences.split(utterance.text)
        assert {sentences.sentence_part(s) for s in told if s not in sentences.FILLERS} == {part}


def test_passages_are_a_function_of_the_generator() -> None:
    assert passages(20) == passages(20)


def test_passages_hold_words_of_the_lexicon_and_names_of_the_taste() -> None:
    known = set(sentences.lexicon())
    for utterance in passages(200, taste=sentences.Taste(name_part="test")):
        strange = {word for word in re.findall(r"\w+", utterance.text or "") if word not in known}
        assert {names.name_part(word) for word in strange} <= {("name", "test")}
    people = names.name_list(3)
    for utterance in passages(50, taste=sentences.Taste(names=people, sentences=(1, 2))):
        assert {w for w in re.findall(r"\w+", utterance.text or "") if w not in known} <= set(people)


def test_lengths_and_frames_follow_the_taste() -> None:
    for utterance in passages(60, taste=sentences.Taste((2, 2), frames=("lives", "comes"), filler_share=0.0)):
        assert (utterance.text or "").count(".") == 2
        assert set(utterance.extra["frames"]) <= {"lives", "comes"}
    counts = Counter((u.text or "").count(".") for u in PASSAGES)
    assert set(counts) == {1, 2, 3, 4}


def test_facts_are_values_that_occur_once_in_the_text() -> None:
    for utterance in PASSAGES:
        for attribute, value in utterance.facts.items():
            assert f" {utterance.text}".count(f" {value}") >= 1
            if attribute != "code" and attribute != "number":  # digits of codes are number words too
                assert len(re.findall(rf"\b{value}\b", utterance.text or "")) == 1, (attribute, value, utterance.text)
        if utterance.extra["frames"].count("lives") == 2:
            assert "place" not in utterance.facts and "who" not in utterance.facts


def test_a_question_asked_twice_would_have_one_answer() -> None:
    for utterance in PASSAGES:
        answers: dict[str, set[str]] = {}
        for question in utterance.questions:
            assert len(question.answers) == 1
            answers.setdefault(question.question, set()).update(question.answers)
        assert all(len(found) == 1 for found in answers.values())
        assert len({question.id for question in utterance.questions}) == len(utterance.questions)


def test_every_wording_of_every_question_has_one_answer_in_its_passage() -> None:
    """All wordings over all sentences of a passage: the same question never stands for two answers."""
    for utterance in PASSAGES[:300]:
        told = [parse(sentence) for sentence in sentences.split(utterance.text or "")]
        answers: dict[str, str] = {}
        for frame, values in filter(None, told):
            for attribute, wordings in frame.questions:
                for wording in wordings:
                    question = wording.format(**values)
                    assert answers.setdefault(question, values[attribute]) == values[attribute], utterance.text


def parse(sentence: str) -> tuple[sentences.Frame, dict[str, str]] | None:
    """A sentence's frame and values, read back from its wording."""
    kinds = {
        "who": r"[a-z]{4,6}",
        "code": rf"(?:{'|'.join(words.DIGITS)})(?: (?:{'|'.join(words.DIGITS)}))+",
        "place": "|".join(words.PLACES),
        "colour": "|".join(words.COLOURS),
        "thing": "|".join(words.THINGS),
        "things": "|".join(map(words.plural, words.THINGS)),
        "day": "|".join(words.DAYS),
        "number": "|".join(words.NUMBERS),
    }
    for frame in sentences.FRAMES.values():
        for wording in frame.wordings:
            pattern = re.sub(r"\\{(\w+)\\}", lambda m: f"(?P<{m[1]}>{kinds[m[1]]})", re.escape(wording))
            if match := re.fullmatch(pattern, sentence):
                return frame, match.groupdict()
    assert sentence in sentences.FILLERS, sentence
    return None


def test_answers_follow_from_the_sentences() -> None:
    for utterance in PASSAGES[:200]:
        told = [parse(sentence) for sentence in sentences.split(utterance.text or "")]
        summary = ", ".join(frame.summary.format(**values) for frame, values in filter(None, told))
        assert utterance.summary == summary
        for question in utterance.questions:
            (answer,) = question.answers
            if answer not in ("yes", "no"):
                assert any(answer in values.values() for _, values in filter(None, told))
                continue
            true = {frame.yes_no[1].format(**values) for frame, values in filter(None, told)}
            assert (question.question in true) == (answer == "yes"), (question, utterance.text)


def test_yes_and_no_are_balanced() -> None:
    answers = Counter(q.answers[0] for u in PASSAGES for q in u.questions if "-yes-no-" in q.id)
    assert 0.45 < answers["yes"] / answers.total() < 0.55
    assert answers.total() > 1000


def test_copying_any_sentence_as_a_summary_scores_below_a_tenth() -> None:
    exact = [
        any(sentence == utterance.summary for sentence in re.split(r"\. ?", utterance.text or ""))
        for utterance in PASSAGES
    ]
    assert sum(exact) < 0.1 * len(exact)


# --- voices


@pytest.mark.parametrize("part", ["ears", "test"])
def test_voices_of_test_and_training_are_disjoint(part: str) -> None:
    rng = random.Random(0)
    cast = [voices.cast(rng, part) for _ in range(1600)]
    variants = {casting.voice.variant for casting in cast}
    test_variants = {*voices.TEST_MEN, *voices.TEST_WOMEN}
    assert variants == test_variants if part == "test" else variants == {*voices.MEN, *voices.WOMEN, ""}
    assert (voices.TEST_ACCENT in {casting.voice.accent for casting in cast}) == (part == "test")


def test_all_voices_are_known_to_espeak() -> None:
    with Espeak() as espeak:
        assert {*EVERY_ACCENT} <= set(espeak.accents())
        known = espeak.variants()
    assert {*voices.MEN, *voices.WOMEN, *voices.TEST_MEN, *voices.TEST_WOMEN} <= known.keys()
    assert {known[v] for v in (*voices.WOMEN, *voices.TEST_WOMEN)} <= {"female", ""}
    assert {known[v] for v in (*voices.MEN, *voices.TEST_MEN)} <= {"male", ""}


def test_the_cast_says_what_is_heard() -> None:
    rng = random.Random(1)
    for casting in (voices.cast(rng, "ears") for _ in range(300)):
        rate = casting.voice.rate_wpm
        low, high = {"slow": voices.SLOW_WPM, "fast": voices.FAST_WPM, "": voices.EVEN_WPM}[casting.pace]
        assert low <= rate <= high
        if casting.voice.timbre:
            low, high = voices._THROATS[casting.speaker][1]
            assert low <= int(casting.voice.timbre.split()[1]) <= high
        else:
            assert (casting.voice.variant in voices.MEN) == (casting.speaker == "man")
        assert (casting.voice.pitch >= 90) == (casting.speaker == "child")


def test_half_of_the_speakers_are_drawn_or_what_share_one_says() -> None:
    def drawn(part: str, *shares: float) -> float:
        rng = random.Random(2)
        return sum(bool(voices.cast(rng, part, 0.3, *shares).voice.timbre) for _ in range(400)) / 400

    assert 0.4 < drawn("ears") < 0.6
    assert (drawn("ears", 0.0), drawn("ears", 1.0), drawn("test", 1.0)) == (0, 1, 0)


def test_most_drawn_speakers_have_a_drawn_accent_and_no_voice_of_the_test_has() -> None:
    rng = random.Random(3)
    drawn = [voices.cast(rng, "ears", 0.3, 1.0).voice.timbre for _ in range(400)]
    assert 0.6 < sum("replace" in timbre for timbre in drawn) / 400 < 0.8
    assert not any(voices.cast(rng, "test", 0.3, 1.0).voice.timbre for _ in range(100))


def test_drawn_speakers_all_differ_and_have_the_pitch_of_their_kind() -> None:
    pitches = {"man": range(60, 101), "woman": range(120, 181), "child": range(125, 191)}
    with Espeak() as espeak:
        for speaker, pitch in pitches.items():
            drawn = [voices.draw_timbre(random.Random(seed), speaker) for seed in range(50)]
            assert len(set(drawn)) == 50
            assert {int(timbre.split()[1]) for timbre in drawn} <= set(pitch)
            said = [espeak.speak(Voice(timbre=timbre), "mira has a green mirror") for timbre in drawn[:8]]
            assert len({audio.samples.tobytes() for audio in said}) == 8
            assert all(audio.duration_seconds > 1 and np.abs(audio.samples).max() > 0.03 for audio in said)


def test_note_is_text_and_facts() -> None:
    utterance = Utterance("a", text="mira lives in oslo.", facts={"who": "mira"})
    noted = voices.with_note(utterance, "woman", "", "noisy")
    assert noted.rich_text == "mira lives in oslo. [ woman noisy ]"
    assert noted.facts == {"who": "mira", "speaker": "woman", "surroundings": "noisy"}
    assert voices.with_note(utterance).voice is None


# --- speech


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> list[Utterance]:
    folder = tmp_path_factory.mktemp("speech")
    taste = sentences.Taste((1, 1))
    return speech.speak_passages("ears", 8, 5, taste, noisy_share=0.5, digits_share=0.3, folder=folder, progress=False)


def test_spoken_passages_have_audio_notes_and_facts(spoken: list[Utterance]) -> None:
    assert [u.id for u in spoken] == [f"ears-5-{i}" for i in range(8)]
    for utterance in spoken:
        voice = speech.voice_of(utterance)
        assert utterance.speaker is not None
        assert utterance.speaker.startswith(f"{voice.accent}+{voice.variant or 'drawn-'}")
        assert bool(voice.variant) != bool(voice.timbre)
        assert utterance.audio_path is not None and read_audio(utterance.audio_path).duration_seconds > 0.5
        assert utterance.voice is not None and utterance.facts["surroundings"] in utterance.voice
    assert len({u.speaker for u in spoken}) >= len({speech.voice_of(u).timbre for u in spoken})
    strings = [u for u in spoken if u.extra["frames"] == ["digits"]]
    assert strings and all(set((u.text or "").rstrip(".").split()) <= set(words.DIGITS) for u in strings)


def test_names_alone_take_the_place_of_passages_and_are_names_of_the_ears(tmp_path: Path) -> None:
    strings = speech.speak_passages("ears", 6, 5, digits_share=0.1, names_share=0.9, folder=tmp_path, progress=False)
    said = [(u.text or "").rstrip(".").split() for u in strings if u.extra["frames"] == ["names"]]
    assert len(said) >= 4 and all(2 <= len(each) <= 6 for each in said)
    assert {names.name_part(name) for each in said for name in each} == {("name", "train")}


def test_noise_is_heard_where_the_note_says_so_and_the_same_for_a_draw(spoken: list[Utterance]) -> None:
    kinds = {u.facts["surroundings"]: u for u in spoken}
    assert set(kinds) == {"quiet", "noisy"}
    quiet, noisy = kinds["quiet"], kinds["noisy"]
    assert quiet.audio_path and noisy.audio_path
    assert np.array_equal(speech.hear(quiet).samples, read_audio(quiet.audio_path).samples)
    clean = read_audio(noisy.audio_path).samples
    first, again, other = speech.hear(noisy), speech.hear(noisy), speech.hear(noisy, draw=1)
    assert np.array_equal(first.samples, again.samples)
    assert not np.array_equal(first.samples, other.samples)
    noise = first.samples - clean
    snr_db = 10 * np.log10(np.mean(clean**2) / np.mean(noise**2))
    assert NOISY_SNR_DB[0] - 0.1 < snr_db < NOISY_SNR_DB[1] + 0.1 or np.abs(first.samples).max() == 1.0


def test_noise_of_a_stated_level_is_laid_under_any_utterance(spoken: list[Utterance]) -> None:
    quiet = next(u for u in spoken if u.facts["surroundings"] == "quiet")
    clean = speech.hear(quiet).samples
    noisy = speech.hear(quiet, snr_db=20.0).samples
    scale = float(noisy @ clean / (clean @ clean))  # 1, but where the peak was scaled down to full scale
    snr_db = 10 * np.log10(np.mean((scale * clean) ** 2) / np.mean((noisy - scale * clean) ** 2))
    assert snr_db == pytest.approx(20.0, abs=0.3)


def test_speech_is_made_once(spoken: list[Utterance]) -> None:
    path = spoken[0].audio_path
    assert path is not None
    folder, stamp = path.parents[1], path.stat().st_mtime_ns
    taste = sentences.Taste((1, 1))
    again = speech.speak_passages("ears", 8, 5, taste, noisy_share=0.5, digits_share=0.3, folder=Path(folder))
    assert again == spoken and path.stat().st_mtime_ns == stamp


def test_worked_examples_of_the_docstrings() -> None:
    assert doctest.testmod(sentences).failed == 0
