"""Documents: the ids that any use of the same prompt has, answers weighed, what is taught when."""

from __future__ import annotations

import difflib
import math
import random
from collections import Counter

import pytest

from iclal.data.demonstrations import draw, query, seeded
from iclal.data.manifest import Question, Utterance
from iclal.data.prompt import Clip, SlotText, Template, Text, fill, read_transcript
from iclal.data.tasks import labels, pattern, questions, summary, transcript, voice
from iclal.data.world import names, sentences, words
from iclal.evaluation.outcomes import kind_of
from iclal.experiments import documents
from iclal.experiments.documents import (
    WORD_VALUES,
    Pool,
    Stage,
    Tokenize,
    document,
    solved,
)
from iclal.experiments.tokenizer import world_tokenizer
from iclal.model.layout import lay_out, tokenize, tokenize_target

TEMPLATE = Template()
TOKENIZER = world_tokenizer()


class Tokens:
    """What layouts need of a language model."""

    prefix_ids = (2,)

    def ids(self, text: str) -> list[int]:
        return self.encode(text)[0]

    def encode(self, text: str, *, first: bool = False) -> tuple[list[int], list[int]]:
        encoded = TOKENIZER(text, add_special_tokens=False, return_offsets_mapping=True)
        return encoded["input_ids"], [end for _, end in encoded["offset_mapping"]]

    def end_id(self, end: str) -> int:
        (id,) = self.ids(end)
        return id


@pytest.fixture(scope="module")
def pool() -> Pool:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(documents, "POOL_SIZE", 500)
        return Pool(1, 0, Stage(0.6))


@pytest.mark.parametrize("shots", range(9))
@pytest.mark.parametrize("instruction_first", [True, False])
@pytest.mark.parametrize("task", [transcript, questions, summary, pattern])
def test_ids_are_those_of_the_models_layout(pool: Pool, task: object, shots: int, instruction_first: bool) -> None:
    rng = seeded("layout", shots)
    episode = task.episode(rng)  # type: ignore[attr-defined]
    last = query(episode, pool.passages, rng)
    items = draw(episode, pool.passages, shots, rng, {last.clip.id})
    example = TEMPLATE.example("x", episode.instruction, items, last, instruction_first=instruction_first)
    target = tokenize_target(example.target, TEMPLATE.end, Tokens())
    layout = lay_out(tokenize(fill(example.prompt, read_transcript), Tokens()), [], target)
    whole = (*example.prompt, Text(f" {last.answer}{TEMPLATE.end}", is_answer=True))
    found = Tokenize(TOKENIZER).document(fill(whole, read_transcript))
    assert found.ids == [token for token, _, _ in layout.rows]
    weighed = [row for row, weight in enumerate(found.weights) if weight]
    assert weighed == layout.loss_rows(loss_on_demonstrations=True)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.9])
def test_ids_of_drawn_documents_are_those_of_the_models_layout(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "POOL_SIZE", 300)
    monkeypatch.setattr(Stage, "row_share", 0.0)
    drawn, prompts = Pool(2, 0, Stage(share)), []
    memory = Tokenize(TOKENIZER)
    original = memory.document
    monkeypatch.setattr(memory, "document", lambda prompt, kind="": prompts.append(prompt) or original(prompt, kind))
    rng = random.Random(0)
    found = [document(drawn, rng, TEMPLATE, memory) for _ in range(150)]
    for each, prompt in zip(found, prompts, strict=True):
        layout = lay_out(tokenize(prompt, Tokens()), [])
        assert each.ids == [token for token, _, _ in layout.rows]
        assert [row for row, weight in enumerate(each.weights) if weight] == list(layout.answer_rows)
        assert len(each.ids) < 2048


def test_an_answer_weighs_the_root_of_its_length_by_the_number_of_answers() -> None:
    prompt = (Text("heard:"), SlotText("red"), Text("\n>"), Text(" mira red\n", True), Text(">"), Text("\n", True))
    found = Tokenize(TOKENIZER).document(prompt)
    answer = [weight for weight in found.weights if weight]
    assert answer == pytest.approx([1 / math.sqrt(4 * 2)] * 4 + [1 / math.sqrt(1 * 2)])
    assert sum(answer[:4]) == pytest.approx(math.sqrt(4 / 2))


def test_an_empty_slot_has_no_token() -> None:
    spoken = Tokenize(TOKENIZER)
    with_text = spoken.document((Text("heard:"), SlotText("red"), Text("\n")))
    without = spoken.document((Text("heard:"), SlotText(""), Text("\n")))
    assert len(with_text.ids) == len(without.ids) + 1


def test_documents_are_a_function_of_the_generator(pool: Pool) -> None:
    def drawn(seed: int) -> list[documents.Document]:
        rng = random.Random(seed)
        return [document(pool, rng, TEMPLATE, Tokenize(TOKENIZER)) for _ in range(20)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_pool_holds_its_part_and_its_stage(pool: Pool) -> None:
    for passage in pool.passages:
        told = sentences.split(passage.text or "")
        assert {sentences.sentence_part(s) for s in told if s not in sentences.FILLERS} == {"language-model"}
    assert all(len(p.extra["frames"]) == 1 for p in pool.single)
    assert all(len(pattern.attributes_of(p)) >= 4 for p in pool.rich)
    assert all(p.voice for p in pool.voiced) and 0.2 < len(pool.voiced) / len(pool.passages) < 0.4
    assert {names.name_part(word) for word in pool.label_words} == {("label", "train")}


def test_most_questions_are_about_facts_that_compete(pool: Pool) -> None:
    rng = random.Random(0)
    assert all(len(p.questions) > 1 and {kind_of(q, p) for q in p.questions} == {"number"} for p in pool.counting)
    assert 0.15 < len(pool.competing) / len(pool.passages) < 0.4
    assert all("." in (passage.text or "").rstrip(".") for passage in pool.competing)
    competing = {passage.id for passage in pool.competing}
    asked: list[Utterance] = []
    while len(asked) < 300:
        kind, prompt = documents._draw_prompt(pool, rng, TEMPLATE)
        if kind in ("questions", "several"):
            asked += [piece.utterance for piece in prompt if isinstance(piece, Clip)][-1:]
    assert 0.08 < sum(passage in pool.counting for passage in asked) / len(asked) < 0.22
    assert 0.5 < sum(passage.id in competing for passage in asked) / len(asked) < 0.75
    assert not Pool(1, 0, Stage(0.0)).competing


def test_every_kind_is_drawn_late_and_easy_ones_come_first(pool: Pool) -> None:
    rng, memory = random.Random(0), Tokenize(TOKENIZER)
    late = Counter(document(pool, rng, TEMPLATE, memory).kind for _ in range(400))
    assert set(documents._KINDS) <= set(late)
    assert late["several"] > late["voice"]
    assert (Stage(0).easy_share, Stage(0.1).easy_share, Stage(0.5).easy_share) == (0.9, 0.25, 0.04)
    most = [max(Stage(share).sentences(random.Random(i))[1] for i in range(60)) for share in (0, 0.1, 0.2, 0.5)]
    assert most == [1, 2, 3, 4]
    around = [[Stage(share).label_words_around(random.Random(i)) for i in range(80)] for share in (0.05, 0.2, 0.9)]
    assert set(around[0]) == {0} and set(around[1]) == {0, 1, 2} and None in around[2]
    assert Stage(0.3).filler_share == 0 < Stage(0.6).filler_share
    assert Stage(0.1).row_share == 0 < Stage(0.6).row_share


def test_solved_asks_a_clip_that_no_demonstration_shows(pool: Pool) -> None:
    rng = random.Random(0)
    for _ in range(40):
        prompt = solved(questions.episode(rng), pool.passages[:12], 8, rng, TEMPLATE)
        clips = [piece.utterance.id for piece in prompt if hasattr(piece, "utterance")]
        assert len(set(clips)) == 9


def test_a_garbled_passage_is_its_words_with_some_lost_doubled_or_mistaken(pool: Pool) -> None:
    rng = random.Random(2)
    kept = total = 0
    for passage in pool.passages[:200]:
        said, heard = (passage.text or "").split(), (documents._garbled(rng, passage).text or "").split()
        kept += sum(block.size for block in difflib.SequenceMatcher(None, said, heard, False).get_matching_blocks())
        total += len(said)
    assert 0.8 < kept / total < 0.97
    solved_row = solved(
        transcript.episode(rng), [documents._garbled(rng, p) for p in pool.passages[:8]], 2, rng, TEMPLATE
    )
    answers = [piece.text.strip() for piece in solved_row if isinstance(piece, Text) and piece.is_answer]
    shown = [piece.utterance.text for piece in solved_row if hasattr(piece, "utterance")]
    assert answers == shown  # copied as they are


def test_a_repeating_passage_says_a_phrase_of_it_again(pool: Pool) -> None:
    rng = random.Random(4)
    for passage in pool.passages[:100]:
        said, heard = (passage.text or "").split(), (documents._repeating(rng, passage).text or "").split()
        assert 1 <= len(heard) - len(said) <= 2 * 6 and set(heard) == set(said)


def test_the_hint_of_a_yes_or_no_is_what_the_sentence_tells(pool: Pool) -> None:
    checked = 0
    for passage in pool.passages[:200]:
        told = documents._told_values(passage)
        for question in passage.questions:
            if question.id not in told:
                continue
            value = told[question.id]
            assert value in (passage.text or "").replace(".", "").split()
            assert (value in question.question.split()) is (question.answers[0] == "yes"), (question, value)
            checked += 1
    assert checked > 200


def test_several_questions_are_asked_about_one_clip() -> None:
    asked = tuple(Question(f"q{i}", f"which is {i}", (f"answer {i}",)) for i in range(9))
    prompt = documents._several_questions(random.Random(0), Utterance("a", text="x.", questions=asked), TEMPLATE)
    answers = [piece.text.strip() for piece in prompt if isinstance(piece, Text) and piece.is_answer]
    assert len(answers) == 6 and len(set(answers)) == 6


def test_questions_of_each_kind_come_before_a_second_of_any(pool: Pool) -> None:
    rng = random.Random(0)
    passage = max(pool.passages, key=lambda p: len(p.questions))
    kinds = Counter(kind_of(question, passage) for question in passage.questions)
    assert max(kinds.values()) > 1
    for _ in range(20):
        asked = documents._of_each_kind(rng, passage)
        assert sorted(question.id for question in asked) == sorted(question.id for question in passage.questions)
        assert {kind_of(question, passage) for question in asked[: len(kinds)]} == set(kinds)


def test_label_documents_have_voice_notes_on_all_of_their_clips_or_on_few(pool: Pool) -> None:
    """As ears write them: between a class word and its label."""
    rng = random.Random(0)
    noted: list[float] = []
    for _ in range(100):
        passages = documents._labels(pool, rng)[1]
        noted.append(sum(passage.voice is not None for passage in passages) / len(passages))
    assert all(share < 0.5 or share > 0.75 for share in noted)
    assert 0.45 < sum(share > 0.75 for share in noted) / len(noted) < 0.75


def test_label_documents_are_of_one_sentence_or_of_any_number_or_of_words_alone(pool: Pool) -> None:
    rng = random.Random(0)
    drawn = [documents._labels(pool, rng)[1] for _ in range(60)]
    sentences_of = [{len(passage.extra.get("frames", ())) for passage in passages} for passages in drawn]
    assert {0} in sentences_of and {1} in sentences_of and {1, 2, 3, 4} in sentences_of


@pytest.mark.parametrize("kind", ["labels", "voice"])
def test_labels_and_voices_are_asked_for_in_other_words_too(
    pool: Pool, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "_KINDS", {kind: 1.0})
    rng = random.Random(0)
    known = {w.format(attribute=a) for w in labels.INSTRUCTIONS for a in (*labels.ATTRIBUTES, *voice.CANDIDATES)}
    known |= {wording for own in voice.INSTRUCTIONS.values() for wording in own}
    said = []
    while len(said) < 200:
        prompt = documents._draw_prompt(pool, rng, TEMPLATE)[1]
        first = prompt[0].text if isinstance(prompt[0], Text) else ""
        if not first.startswith(TEMPLATE.clip_cue):
            said.append(first.removesuffix(TEMPLATE.end))
    assert 0.2 < sum(wording in known for wording in said) / len(said) < 0.5


def test_what_the_sentence_tells_is_the_hint_of_a_yes_or_no_among_several_questions(pool: Pool) -> None:
    passage = next(p for p in pool.single if p.extra["frames"] == ["lives"])
    prompt = documents._several_questions(random.Random(0), passage, TEMPLATE)
    hinted = [(piece.text.split()[0], piece.hint) for piece in prompt if isinstance(piece, documents.HintedAnswer)]
    answer = next(question.answers[0] for question in passage.questions if "-yes-no-" in question.id)
    assert [(word.partition("<")[0], hint) for word, hint in hinted] == [(answer, passage.facts["place"])]


def test_a_row_is_documents_behind_one_start_token_with_all_their_answers(pool: Pool) -> None:
    memory = Tokenize(TOKENIZER)
    row = documents._row(pool, random.Random(3), TEMPLATE, memory)
    assert row.ids.count(row.ids[0]) == 1 and len(row.ids) >= documents.ROW_TOKENS[0]
    first = memory.document(
        documents.fill(documents._draw_prompt(pool, _after_length(3), TEMPLATE)[1], documents.read_transcript)
    )
    assert row.ids[: len(first.ids)] == first.ids and row.weights[: len(first.ids)] == first.weights
    assert any(row.weights[len(first.ids) :])


def _after_length(seed: int) -> random.Random:
    """The generator of a row after its length is drawn."""
    rng = random.Random(seed)
    rng.randint(*documents.ROW_TOKENS)
    return rng


def test_the_first_answer_of_each_label_does_not_count() -> None:
    bound = documents._bound(_said(("red", "mige"), ("blue", "diso"), ("red", "mige"), ("blue", "diso")), "colour")
    counted = [piece.is_answer for piece in bound if isinstance(piece, documents.HintedAnswer)]
    assert counted == [False, False, True, True]


def test_the_value_of_a_label_is_the_hint_where_it_is_foretold_and_where_it_begins() -> None:
    bound = documents._bound(_said(("red", "mige"), ("blue", "diso")), "colour")
    found = Tokenize(TOKENIZER).document(fill(bound, read_transcript))
    red, blue = (TOKENIZER.encode(f" {value}", add_special_tokens=False)[0] for value in ("red", "blue"))
    told = [(TOKENIZER.decode(found.ids[place]), value) for place, value in found.hints.items()]
    first = {
        label: TOKENIZER.decode(TOKENIZER.encode(f" {label}", add_special_tokens=False)[:1])
        for label in ("mige", "diso")
    }
    assert told == [(">", red), (first["mige"], red), (">", blue), (first["diso"], blue)]


def test_hints_of_a_row_are_those_of_its_documents(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "_KINDS", {"labels": 1.0})
    row = documents._row(pool, random.Random(5), TEMPLATE, Tokenize(TOKENIZER))
    values = {TOKENIZER.encode(f" {v}", add_special_tokens=False)[0] for found in WORD_VALUES.values() for v in found}
    said = [place for place in row.hints if TOKENIZER.decode(row.ids[place]) == ">"]
    assert len(said) > 8 and sorted(row.hints) == sorted(p for place in said for p in (place, place + 1))
    for place in said:
        assert row.hints[place] == row.hints[place + 1] and row.hints[place] in values


def _said(*bindings: tuple[str, str]) -> tuple:
    """Clips of one colour each, and their labels."""
    pieces: list = []
    for colour, label in bindings:
        clip = Utterance(colour, text=f"a {colour} hat.", facts={"colour": colour})
        pieces += [Text("heard:"), Clip(clip), Text("\n>"), Text(f" {label}\n", is_answer=True)]
    return tuple(pieces)


def test_a_word_clip_holds_one_value_of_its_attribute() -> None:
    rng = random.Random(0)
    episode = labels.episode(rng, ("mige", "diso"), WORD_VALUES, 2, attributes=("thing",))
    for clip in documents._word_clips(rng, episode, 9):
        assert [word for word in (clip.text or "").split() if word in words.THINGS] == [clip.facts["thing"]]


def test_instructions_that_tell_nothing_stand_where_demonstrations_tell_what_to_do(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "jumbled", lambda rng, attribute=None: "points listen word")
    rng, asked, jumbled = seeded("jumbled"), Counter(), Counter()
    for _ in range(1500):
        kind, prompt = documents._draw_prompt(pool, rng, TEMPLATE)
        asked[kind] += 1
        if any("points listen word" in piece.text for piece in prompt if isinstance(piece, Text)):
            jumbled[kind] += 1
            assert sum(isinstance(piece, Clip) for piece in prompt) >= 2
    assert {kind for kind, count in jumbled.items() if count} <= {"pattern", "labels", "voice"}
    for kind in ("pattern", "labels"):
        assert 0.1 < jumbled[kind] / asked[kind] < 0.35
