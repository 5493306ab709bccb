"""Fixtures for every test; this file also makes `tests/` importable (`import model_builders`)."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `model_builders.build_model` keeps its language models and encoders over the whole run."""
    return tmp_path_factory.mktemp("parts")
