"""Prompts: pieces laid one after another, and the template that makes examples of items.

A prompt is a tuple of pieces. `Text` is read as it stands; `Clip` is an utterance still to be heard, and is *filled*
before use: with its `Audio`, or with text in the same slot (`SlotText`: ceiling, cascade). A slot is always a break:
its text is tokenised alone with a leading space, so that all inputs have equal token ids outside the slot.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from iclal.data.manifest import Utterance
from iclal.errors import PromptError
from iclal.settings import Settings

if TYPE_CHECKING:
    from iclal.audio.reading import Audio


@dataclass(frozen=True)
class Text:
    """Text of a prompt. `is_answer` marks a demonstration's answer and separator (for `loss_on_demonstrations`)."""

    text: str
    is_answer: bool = False


@dataclass(frozen=True)
class SlotText:
    """Text that stands where a clip would be heard; tokenised alone with a leading space, "" gives no tokens."""

    text: str


@dataclass(frozen=True)
class Clip:
    """A clip by reference: filled with its audio or with text before use."""

    utterance: Utterance


Piece: TypeAlias = "Text | SlotText | Clip | Audio"
Prompt: TypeAlias = "tuple[Piece, ...]"


@dataclass(frozen=True)
class Example:
    """A prompt with its target: the query's answer, without the leading space and the end token that scoring adds."""

    id: str
    prompt: Prompt
    target: str
    candidates: tuple[str, ...] | None = None
    demonstration_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Item:
    """One solved (or to be solved) case: a clip, perhaps a question about it, and the answer."""

    clip: Utterance
    answer: str
    question: str | None = None


class Template(Settings):
    """The wording around clips, questions and answers; saved with the ears.

    `end` must be one token of the language model: it separates demonstrations and ends the target.

    >>> from iclal.data.manifest import Utterance
    >>> demo, query = Item(Utterance("a"), "paris", "where is mira"), Item(Utterance("b"), "rome", "where is tolo")
    >>> example = Template().example("b", "answer the question", [demo], query)
    >>> "".join(p.text if isinstance(p, Text) else "[" + p.utterance.id + "]" for p in example.prompt)
    'answer the question\\nheard:[a]\\nquestion: where is mira\\n> paris\\nheard:[b]\\nquestion: where is tolo\\n>'
    >>> example.target
    'rome'
    """

    clip_cue: str = "heard:"
    question_cue: str = "question:"
    answer_cue: str = ">"
    end: str = "\n"

    def example(
        self,
        id: str,
        instruction: str,
        demonstrations: Sequence[Item],
        query: Item,
        *,
        instruction_first: bool = True,
        candidates: tuple[str, ...] | None = None,
    ) -> Example:
        """Demonstrations and query as one example.

        With `instruction_first` the instruction stands once, in front; else behind each clip, as users who upload
        a recording and then write do. An empty instruction is left out.
        """
        pieces: list[Piece] = []
        if instruction and instruction_first:
            pieces.append(Text(instruction + self.end))
        behind = "" if instruction_first else instruction
        for item in demonstrations:
            pieces += self._ask(item, behind)
            pieces.append(Text(f" {item.answer}{self.end}" if item.answer else self.end, is_answer=True))
        pieces += self._ask(query, behind)
        ids = tuple(item.clip.id for item in demonstrations)
        return Example(id, tuple(pieces), query.answer, candidates, ids)

    def _ask(self, item: Item, instruction: str) -> list[Piece]:
        """A clip and what is asked of it, up to the answer cue."""
        lines = [instruction] if instruction else []
        if item.question is not None:
            lines.append(f"{self.question_cue} {item.question}")
        asked = "".join(line + self.end for line in lines)
        return [Text(self.clip_cue), Clip(item.clip), Text(self.end + asked + self.answer_cue)]


def fill(prompt: Prompt, hear: Callable[[Utterance], SlotText | Audio]) -> Prompt:
    """The prompt with every `Clip` replaced by what `hear` makes of its utterance."""
    return tuple(hear(piece.utterance) if isinstance(piece, Clip) else piece for piece in prompt)


def read_transcript(utterance: Utterance) -> SlotText:
    """The ceiling: the rich transcript in the clip's slot. Raises PromptError for an utterance without text."""
    if utterance.text is None:
        raise PromptError(f"utterance {utterance.id} has no text to put into its slot")
    return SlotText(utterance.rich_text)
