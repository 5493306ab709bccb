from __future__ import annotations

import doctest
from pathlib import Path

import pytest
from model_builders import build_language_model, noise

from iclal.data.manifest import Utterance
from iclal.data.prompt import Clip, SlotText, Text
from iclal.errors import PromptError
from iclal.model import layout as layouts
from iclal.model.language_model import LanguageModel
from iclal.model.layout import Layout, check_length, lay_out, shared_rows, tokenize, tokenize_target


@pytest.fixture(scope="module")
def language_model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    return LanguageModel.load(build_language_model(tmp_path_factory.mktemp("lm")))


def ids_of(layout: Layout) -> list[int]:
    return [token for token, _, _ in layout.rows]


def test_worked_example_of_the_docstring() -> None:
    assert doctest.testmod(layouts).failed == 0


def test_adjacent_texts_are_joined_and_slots_are_breaks(language_model: LanguageModel) -> None:
    ids = language_model.ids
    joined = lay_out(tokenize((Text("where is mi"), Text("ra")), language_model), [])
    assert ids_of(joined) == [1, *ids("where is mira")]
    broken = lay_out(tokenize((Text("where is mi"), SlotText("ra"), Text("x")), language_model), [])
    assert ids_of(broken) == [1, *ids("where is mi"), *ids(" ra"), *ids("x")]
    empty = lay_out(tokenize((Text("where is mi"), SlotText(""), Text("ra")), language_model), [])
    assert ids_of(empty) == [1, *ids("where is mi"), *ids("ra")]


def test_a_clip_without_rows_leaves_no_trace(language_model: LanguageModel) -> None:
    layout = lay_out(tokenize((Text("a"), noise(0), Text("b")), language_model), [0])
    assert ids_of(layout) == [1, *language_model.ids("a"), *language_model.ids("b")]


def test_the_same_clip_twice_may_have_one_number(language_model: LanguageModel) -> None:
    sound = noise(10)
    prompt = tokenize((sound, Text("a"), sound), language_model, lambda audio: 0)
    assert [row for row in lay_out(prompt, [1]).rows if row[0] < 0] == [(-1, 0, 0), (-1, 0, 0)]


def test_target_has_a_blank_in_front_and_one_end_token(language_model: LanguageModel) -> None:
    end = language_model.ids("\n")
    assert list(tokenize_target("paris", "\n", language_model)) == language_model.ids(" paris") + end
    assert list(tokenize_target("", "\n", language_model)) == end
    with pytest.raises(PromptError, match=r"the target 'a\\nb' holds"):
        tokenize_target("a\nb", "\n", language_model)


@pytest.mark.parametrize("answer", ["paris", "café 東京", "", " two  blanks "])
def test_answer_rows_are_found_in_the_joined_text(language_model: LanguageModel, answer: str) -> None:
    marked = f" {answer}\n"
    layout = lay_out(tokenize((Text("x\n>"), Text(marked, is_answer=True), Text("heard:")), language_model), [])
    assert [layout.rows[row][0] for row in layout.answer_rows] == language_model.ids(marked)


def test_pieces_that_cannot_be_read_are_refused_by_name(language_model: LanguageModel) -> None:
    with pytest.raises(PromptError, match="clip u17 of the prompt was not filled"):
        tokenize((Clip(Utterance("u17")),), language_model)
    with pytest.raises(PromptError, match="found str: 'hello'"):
        tokenize(("hello",), language_model)  # type: ignore[arg-type]


def test_a_prompt_that_is_empty_or_too_long_is_refused_with_the_numbers() -> None:
    with pytest.raises(PromptError, match="the prompt is empty"):
        check_length(Layout((), 0), 5, 100)
    rows = tuple([(7, -1, -1)] * 60 + [(-1, 0, row) for row in range(30)])
    check_length(Layout(rows, 90), 10, 100)
    check_length(Layout(rows, 90), 10_000, None)
    message = r"90 rows \(30 of audio\) and 11 for the answer make 101, the language model has 100 positions"
    with pytest.raises(PromptError, match=message):
        check_length(Layout(rows, 90), 11, 100)


def test_text_behind_an_empty_slot_is_tokenised_as_behind_a_clip(tmp_path: Path) -> None:
    model = LanguageModel.load(build_language_model(tmp_path, "sentencepiece"))
    empty, full = (tokenize((SlotText(text), Text("\nparis")), model).parts for text in ("", "rome"))
    assert empty[-1] == full[-1]


def test_shared_rows_tell_clips_apart_and_leave_each_prompt_its_last_row() -> None:
    def layout(*rows: tuple[int, int, int]) -> Layout:
        return Layout(rows, len(rows))

    text, clip0, clip1 = (5, -1, -1), (-1, 0, 0), (-1, 1, 0)
    assert shared_rows([layout(text, clip0, text), layout(text, clip1, text)]) == 1
    assert shared_rows([layout(text, clip0, text), layout(text, clip0, clip1)]) == 2
    assert shared_rows([layout(text, clip0), layout(text, clip0)]) == 1
    assert shared_rows([layout(text), layout(text, text)]) == 0
    assert shared_rows([Layout((), 0), layout(text)]) == 0
