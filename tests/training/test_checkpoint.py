"""Checkpoints: whole or recognised as torn, plain tensors and JSON."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch

from iclal.errors import TrainingError
from iclal.training.checkpoint import (
    Checkpoint,
    list_checkpoints,
    load_checkpoint,
    newest_checkpoint,
    prune_checkpoints,
    save_checkpoint,
    what_is_torn,
)
from iclal.training.random_state import random_state


def _checkpoint(step: int) -> Checkpoint:
    weights = {"weight": torch.arange(6.0).reshape(2, 3) + step, "steps": torch.tensor(step)}
    return Checkpoint(
        weights, {"adamw/step/weight": torch.tensor(float(step))}, random_state(), {"step": step, "x": 0.1}
    )


def test_it_comes_back_as_it_was_saved_and_holds_no_pickle(tmp_path: Path) -> None:
    saved = _checkpoint(40)
    folder = save_checkpoint(tmp_path / "checkpoints", saved)
    assert folder.name == "step-40" and {path.suffix for path in folder.iterdir()} == {".safetensors", ".json"}
    loaded = load_checkpoint(folder)
    assert loaded.step == 40 and loaded.state == saved.state
    for kind in ("weights", "optimizer", "random"):
        before, after = getattr(saved, kind), getattr(loaded, kind)
        assert before.keys() == after.keys()
        assert all(
            torch.equal(before[name], after[name]) and before[name].dtype == after[name].dtype for name in before
        )


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda folder: (folder / "complete.json").unlink(), "it has no complete.json: it was not finished"),
        (lambda folder: (folder / "weights.safetensors").write_bytes(b"12"), "weights.safetensors has 2 of"),
        (lambda folder: (folder / "state.json").unlink(), "state.json cannot be read"),
        (lambda folder: (folder / "complete.json").write_text("{"), "its complete.json cannot be read"),
    ],
)
def test_a_torn_one_is_said_and_the_one_before_is_taken(tmp_path: Path, harm: object, words: str) -> None:
    save_checkpoint(tmp_path, _checkpoint(9))
    save_checkpoint(tmp_path, _checkpoint(10))
    harm(tmp_path / "step-10")  # type: ignore[operator]
    said: list[str] = []
    assert newest_checkpoint(tmp_path, said.append) == tmp_path / "step-9"
    assert len(said) == 1 and said[0].startswith("step-10 is torn (") and words in said[0]
    with pytest.raises(TrainingError, match="step-10 cannot be used"):
        load_checkpoint(tmp_path / "step-10")
    save_checkpoint(tmp_path, _checkpoint(10))  # the resumed run comes by again and replaces it
    assert what_is_torn(tmp_path / "step-10") is None


def test_an_unfinished_one_is_said_and_later_removed(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, _checkpoint(5))
    (tmp_path / "step-6.partial").mkdir()
    said: list[str] = []
    assert newest_checkpoint(tmp_path, said.append) == tmp_path / "step-5"
    assert said == ["step-6.partial was not finished when the run ended: it is not used"]
    prune_checkpoints(tmp_path, keep=1, best_step=None)
    assert [path.name for path in tmp_path.iterdir()] == ["step-5"]
    assert newest_checkpoint(tmp_path / "nothing", said.append) is None


def test_the_newest_and_the_best_are_kept(tmp_path: Path) -> None:
    for step in (8, 9, 10, 11, 100):
        save_checkpoint(tmp_path, _checkpoint(step))
    prune_checkpoints(tmp_path, keep=2, best_step=9)
    assert [step for step, _ in list_checkpoints(tmp_path)] == [9, 11, 100]


@pytest.mark.parametrize("call", range(1, 6))
def test_a_full_disk_is_an_error_with_the_path_and_leaves_the_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    save_checkpoint(tmp_path, _checkpoint(1))
    real, calls = os.write, 0

    def write(descriptor: int, data: bytes) -> int:
        nonlocal calls
        calls += 1
        if calls >= call:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(TrainingError, match=r"save a checkpoint at .*step-2: No space left on device; make room"):
        save_checkpoint(tmp_path, _checkpoint(2))
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["step-1"]
    assert load_checkpoint(tmp_path / "step-1").step == 1


def test_a_folder_that_cannot_be_written_is_an_error_with_the_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match=r"cannot save a checkpoint at .*file/checkpoints"):
        save_checkpoint(tmp_path / "file" / "checkpoints", _checkpoint(2))
