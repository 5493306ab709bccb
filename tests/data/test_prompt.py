"""Prompts and the template: worked examples, slots, refusals."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

import iclal.data.prompt
from iclal.audio.reading import Audio
from iclal.data.manifest import Utterance
from iclal.data.prompt import Clip, Item, Prompt, SlotText, Template, Text, fill, read_transcript
from iclal.errors import PromptError, SettingsError

A, B = Utterance("a", text="one.", voice="[ man ]"), Utterance("b", text="two.")


def written(prompt: Prompt) -> str:
    """A prompt as text, clips as [id]."""
    return "".join(f"[{p.utterance.id}]" if isinstance(p, Clip) else p.text for p in prompt)  # type: ignore[union-attr]


def test_examples_of_the_docstrings() -> None:
    result = doctest.testmod(iclal.data.prompt)
    assert result.attempted > 0 and result.failed == 0


def test_instruction_stands_once_in_front() -> None:
    example = Template().example("x", "write", [Item(A, "one.")], Item(B, "two."))
    assert written(example.prompt) == "write\nheard:[a]\n> one.\nheard:[b]\n>"
    assert (example.target, example.demonstration_ids, example.candidates) == ("two.", ("a",), None)


def test_instruction_stands_behind_each_clip_when_it_comes_last() -> None:
    example = Template().example("x", "write", [Item(A, "one.")], Item(B, "two."), instruction_first=False)
    assert written(example.prompt) == "heard:[a]\nwrite\n> one.\nheard:[b]\nwrite\n>"


def test_empty_instruction_and_empty_answers_leave_no_blank() -> None:
    example = Template().example("x", "", [Item(A, "")], Item(B, "two."), candidates=("two.", "one."))
    assert written(example.prompt) == "heard:[a]\n>\nheard:[b]\n>"
    assert example.candidates == ("two.", "one.")


def test_only_the_demonstrations_answers_are_marked_as_such() -> None:
    example = Template().example("x", "ask", [Item(A, "red", "which"), Item(A, "")], Item(B, "two.", "what"))
    marked = [piece.text for piece in example.prompt if isinstance(piece, Text) and piece.is_answer]
    assert marked == [" red\n", "\n"]


def test_wording_is_the_templates() -> None:
    template = Template(clip_cue="audio", question_cue="Q", answer_cue="A:", end="|")
    example = template.example("x", "", [], Item(B, "two.", "what"))
    assert written(example.prompt) == "audio[b]|Q what|A:"
    with pytest.raises(SettingsError, match="cue: unknown key"):
        Template.build({"cue": "x"})


def test_filling_replaces_clips_alone_and_each_by_its_own() -> None:
    example = Template().example("x", "write", [Item(A, "one.")], Item(B, "two."))
    sound = Audio(np.zeros(400, np.float32))
    filled = fill(example.prompt, lambda u: sound if u.id == "a" else SlotText("words"))
    assert filled[2] is sound and filled[6] == SlotText("words")
    assert [p for p in filled if isinstance(p, Text)] == [p for p in example.prompt if isinstance(p, Text)]


def test_the_ceiling_reads_the_rich_transcript() -> None:
    assert read_transcript(A) == SlotText("one. [ man ]")
    assert read_transcript(Utterance("c", text="")) == SlotText("")
    with pytest.raises(PromptError, match="utterance d has no text"):
        read_transcript(Utterance("d"))
