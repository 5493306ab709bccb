"""Hearing clips with a model: each once, however often it stands in prompts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor

from iclal.audio.reading import Audio
from iclal.errors import AudioError, ModelError, PromptError
from iclal.model.model import ICLAL

BATCH_SIZE = 16
MOST_SECONDS = 300  # of one clip: the encoder's attention grows with the square of it


def check_seconds(audio: Audio) -> None:
    """Raises AudioError for a clip that is too long to be heard at once."""
    if audio.duration_seconds > MOST_SECONDS:
        raise AudioError(
            f"{audio.source or 'a clip'}: {audio.duration_seconds:.0f} s, at most {MOST_SECONDS} s are heard at once "
            "in a prompt; cut it, or transcribe it first"
        )


class Hearing:
    """Clips with their prefixes, each computed once; give the same one to several calls to keep them.

    Clips are told apart by being the same object, and are held so that this stays true.
    """

    def __init__(self, model: ICLAL) -> None:
        self._model = model
        self._numbers: dict[int, int] = {}
        self.audios: list[Audio] = []
        self.prefixes: list[Tensor] = []  # [A_i, D], as far as heard
        self.token_ids: list[list[int]] = []  # CTC's greedy path, empty for other connectors

    def number(self, audio: Audio) -> int:
        """The clip's number, a new one for a new clip. Raises AudioError for one too long to be heard at once."""
        check_seconds(audio)
        number = self._numbers.setdefault(id(audio), len(self.audios))
        if number == len(self.audios):
            self.audios.append(audio)
        return number

    def hear(self, batch_size: int = BATCH_SIZE) -> list[int]:
        """Hear what is new; how many rows each clip has. Raises PromptError for a batch of less than one."""
        if batch_size < 1:
            raise PromptError(f"batch_size must be 1 or more, found {batch_size}")
        first = len(self.prefixes)
        new = sorted(range(first, len(self.audios)), key=lambda number: len(self.audios[number].samples))
        rows: dict[int, tuple[Tensor, list[int]]] = {}
        for start in range(0, len(new), batch_size):
            numbers = new[start : start + batch_size]
            heard = self._model.hear([self.audios[number] for number in numbers])
            token_ids = heard.token_ids or [[]] * len(numbers)
            rows.update(zip(numbers, zip(heard.rows, token_ids, strict=True), strict=True))
        for number in range(first, len(self.audios)):
            prefix, token_ids = rows[number]
            self.prefixes.append(prefix)
            self.token_ids.append(token_ids)
        return [len(prefix) for prefix in self.prefixes]


@contextlib.contextmanager
def in_use(model: ICLAL) -> Iterator[None]:
    """Evaluation mode without gradients, and back to what was. Raises ModelError under activation checkpointing."""
    if model.language_model.is_checkpointing:
        raise ModelError("activation checkpointing is on, which drops the cache: turn it off before using the model")
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)
