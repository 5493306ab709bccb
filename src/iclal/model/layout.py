"""Layouts: which row of a prompt is which token, or which row of which clip. Integers only, one way for every use.

Text is tokenised by `tokenize`, clips are heard elsewhere; `lay_out` joins the two when the clips' rows are counted.
The same functions serve training, scoring and generation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from iclal.audio.reading import Audio
from iclal.data.prompt import Clip, Prompt, SlotText, Text
from iclal.errors import PromptError


class Tokens(Protocol):
    """What layouts need of a language model."""

    prefix_ids: tuple[int, ...]

    def ids(self, text: str) -> list[int]: ...

    def encode(self, text: str, *, first: bool) -> tuple[list[int], list[int]]: ...

    def end_id(self, end: str) -> int: ...


@dataclass(frozen=True)
class Run:
    """Tokens in a row; `answers` says for each whether it belongs to a demonstration's answer."""

    ids: tuple[int, ...]
    answers: tuple[bool, ...]


@dataclass(frozen=True)
class Slot:
    """The place of a clip, by its number."""

    clip: int


@dataclass(frozen=True)
class TokenizedPrompt:
    """A prompt after the tokenizer: runs and slots, with the clips that the slots number."""

    parts: tuple[Run | Slot, ...]
    clips: tuple[Audio, ...] = ()


Row: TypeAlias = tuple[int, int, int]  # token id, clip, row in the clip; -1 where it is not that


@dataclass(frozen=True)
class Layout:
    """Where every row of a prompt with its target comes from.

    `rows[t]` is (token, -1, -1) or (-1, clip, row in the clip); row t has position t. The target's tokens stand behind
    the first `num_prompt_rows`. `answer_rows` are the rows of the demonstrations' answers. The token of row t is
    predicted at row t - 1.
    """

    rows: tuple[Row, ...]
    num_prompt_rows: int
    answer_rows: tuple[int, ...] = ()

    @property
    def target_rows(self) -> range:
        """The rows that hold the target and its end token."""
        return range(self.num_prompt_rows, len(self.rows))

    def loss_rows(self, loss_on_demonstrations: bool = False) -> list[int]:
        """The rows whose tokens the loss sees: the target's, and on request the demonstrations' answers'."""
        asked = [row for row in self.answer_rows if row > 0] if loss_on_demonstrations else []
        return asked + list(self.target_rows)


def tokenize(prompt: Prompt, model: Tokens, clip_number: Callable[[Audio], int] | None = None) -> TokenizedPrompt:
    """Tokens and slots of a filled prompt.

    Adjacent texts are joined, then tokenised; a slot is a break, and its text is tokenised alone behind a blank. The
    tokenizer's own special tokens stand once, first. `clip_number` numbers the clips over several prompts (default:
    in order of appearance).

    Raises:
        PromptError: a clip that was not filled, or a piece that is neither text nor audio.
    """
    parts: list[Run | Slot] = []
    clips: list[Audio] = []
    if model.prefix_ids:
        parts.append(Run(model.prefix_ids, (False,) * len(model.prefix_ids)))
    waiting: list[Text] = []
    first = True  # no slot yet, be it empty

    def flush() -> None:
        if run := _run(waiting, model, first):
            parts.append(run)
        waiting.clear()

    for piece in prompt:
        if isinstance(piece, Text):
            waiting.append(piece)
            continue
        flush()
        first = False
        if isinstance(piece, SlotText):
            if piece.text:
                ids = model.ids(" " + piece.text)
                parts.append(Run(tuple(ids), (False,) * len(ids)))
        elif isinstance(piece, Clip):
            raise PromptError(f"clip {piece.utterance.id} of the prompt was not filled with audio or text")
        elif isinstance(piece, Audio):
            clips.append(piece)
            parts.append(Slot(len(clips) - 1 if clip_number is None else clip_number(piece)))
        else:
            raise PromptError(f"a prompt's pieces are Text, SlotText or Audio, found {type(piece).__name__}: {piece!r}")
    flush()
    return TokenizedPrompt(tuple(parts), tuple(clips))


def tokenize_target(target: str, end: str, model: Tokens) -> tuple[int, ...]:
    """The target's ids: a blank, the target, one end token; an empty target is the end token alone.

    Raises:
        PromptError: a target that holds the end token, at which generation would stop.
    """
    end_id = model.end_id(end)
    ids = model.ids(f" {target}") if target else []
    if end_id in ids:
        raise PromptError(f"the target {target!r} holds the template's end {end!r}; it may only stand behind it")
    return (*ids, end_id)


def lay_out(prompt: TokenizedPrompt, rows_per_clip: Sequence[int], target_ids: Sequence[int] = ()) -> Layout:
    """The rows of a prompt and its target, given how many rows each clip was heard as (0 allowed).

    >>> heard = Run((2, 40, 41), (False, False, False))           # <s> heard:
    >>> answer = Run((7, 8, 50, 9), (False, False, True, True))   # \\n > paris \\n
    >>> layout = lay_out(TokenizedPrompt((heard, Slot(0), answer, Slot(1))), rows_per_clip=[2, 0], target_ids=[51, 9])
    >>> [token for token, _, _ in layout.rows]
    [2, 40, 41, -1, -1, 7, 8, 50, 9, 51, 9]
    >>> layout.rows[3], layout.rows[4]
    ((-1, 0, 0), (-1, 0, 1))
    >>> list(layout.target_rows), layout.loss_rows(loss_on_demonstrations=True)
    ([9, 10], [7, 8, 9, 10])
    """
    rows: list[Row] = []
    answer_rows: list[int] = []
    for part in prompt.parts:
        if isinstance(part, Slot):
            rows += [(-1, part.clip, row) for row in range(rows_per_clip[part.clip])]
            continue
        answer_rows += [len(rows) + offset for offset, is_answer in enumerate(part.answers) if is_answer]
        rows += [(token, -1, -1) for token in part.ids]
    num_prompt_rows = len(rows)
    rows += [(token, -1, -1) for token in target_ids]
    return Layout(tuple(rows), num_prompt_rows, tuple(answer_rows))


def check_length(layout: Layout, budget_tokens: int, max_positions: int | None) -> None:
    """Refuse a prompt that is empty, or that leaves no room for `budget_tokens` more tokens.

    Raises:
        PromptError: with the numbers.
    """
    if layout.num_prompt_rows == 0:
        raise PromptError("the prompt is empty: no text, no special token, and no row of audio")
    needed = len(layout.rows) + budget_tokens
    if max_positions is not None and needed > max_positions:
        num_audio = sum(1 for token, _, _ in layout.rows if token < 0)
        answer = needed - layout.num_prompt_rows
        more = f" and {answer} for the answer make {needed}" if answer else ""
        raise PromptError(
            f"the prompt is too long: {layout.num_prompt_rows} rows ({num_audio} of audio){more}, the language model "
            f"has {max_positions} positions; use fewer demonstrations, shorter audio or a smaller answer budget"
        )


def shared_rows(layouts: Sequence[Layout]) -> int:
    """How many rows all layouts begin with alike; every prompt keeps at least its last row to itself."""
    limit = min(layout.num_prompt_rows for layout in layouts) - 1
    first = layouts[0].rows
    for count in range(limit):
        if any(layout.rows[count] != first[count] for layout in layouts):
            return count
    return max(limit, 0)


def _run(texts: Sequence[Text], model: Tokens, first: bool) -> Run | None:
    """The tokens of adjacent texts, joined first; a token is an answer's where its last character is."""
    joined = "".join(text.text for text in texts)
    if not joined:
        return None
    ids, ends = model.encode(joined, first=first)
    spans, start = [], 0
    for text in texts:
        if text.is_answer:
            spans.append((start, start + len(text.text)))
        start += len(text.text)
    # Only the end of a token counts: tokenizers trim the blank in front of it out of its span.
    return Run(tuple(ids), tuple(any(a < end <= b for a, b in spans) for end in ends))
