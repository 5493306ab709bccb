"""Fixtures for every test; this file also makes `tests/` importable (`import model_builders`)."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

# A suite that a shell started in the background ignores Ctrl-C, and so would the programs whose Ctrl-C is tested.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `model_builders.build_model` keeps its language models and encoders over the whole run."""
    return tmp_path_factory.mktemp("parts")


@pytest.fixture(scope="session")
def roomy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parts of models with room for demonstrations as text, of which the tiny tokenizer makes many tokens."""
    from model_builders import build_language_model

    folder = tmp_path_factory.mktemp("roomy")
    build_language_model(folder / "lm-opt", max_position_embeddings=2048)
    return folder
