"""The run folder: asked before a run begins; and the commit that a run names is the package's own."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from program import iclal, read_only_disk

from iclal.errors import TrainingError
from iclal.training import run_folder
from iclal.training.run_folder import check_run_folder


def begun(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    return folder


def contents(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_that_is_free_is_left_as_it_was(resume: bool, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for folder in (tmp_path / "there", tmp_path / "deep" / "run"):
        check_run_folder(folder, resume)
    assert contents(tmp_path) == [tmp_path / "there"]


def test_a_run_is_refused_and_may_be_resumed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = begun(tmp_path / "run")
    with pytest.raises(TrainingError, match="run already holds a run: go on with it by --resume, or choose another"):
        check_run_folder(folder, resume=False)
    check_run_folder(folder, resume=True)
    assert not caplog.records and contents(tmp_path) == [folder, folder / "run.json"]


def test_checkpoints_that_a_run_left_behind_are_refused(tmp_path: Path) -> None:
    (tmp_path / "run" / "checkpoints" / "step-500").mkdir(parents=True)
    for resume in (False, True):
        with pytest.raises(TrainingError, match="holds checkpoints of a run that is not there any more"):
            check_run_folder(tmp_path / "run", resume)


def test_a_run_to_be_resumed_that_is_not_there_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        check_run_folder(tmp_path / "run", resume=True)
    assert [record.getMessage() for record in caplog.records] == [f"no run in {tmp_path / 'run'}: starting a new one"]


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_that_cannot_be_written_is_refused(resume: bool, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "mounted" / "there").mkdir(parents=True)
    for folder, reason in {
        tmp_path / "file": "Not a directory",
        tmp_path / "file" / "run": "Not a directory",
        tmp_path / "mounted" / "there": "Read-only file system",
        tmp_path / "mounted" / "there" / "deep" / "run": "Read-only file system",
    }.items():
        with read_only_disk(tmp_path / "mounted"), pytest.raises(TrainingError) as refused:
            check_run_folder(folder, resume)
        assert str(refused.value).startswith(f"cannot write a run to {folder}: {reason}; choose another folder")


@pytest.mark.parametrize(
    ("verb", "folder"),
    [
        (("train", "quickstart-ctc", "data.passages=2"), "out"),
        (("quickstart", "data.passages=2"), "out/linear"),
        (("pretrain", "encoder", "data={data}", "passages=2"), "out"),
        (("pretrain", "language-model", "tokens_per_batch=1024"), "out"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else "",
)
def test_a_folder_is_refused_before_anything_is_spoken(
    verb: tuple[str, ...], folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ICLAL_CACHE", str(tmp_path / "cache"))
    data = Path(__file__).parents[2] / "data"
    begun(tmp_path / folder)
    done = iclal(*(word.format(data=data) for word in verb), "--out", tmp_path / "out")
    assert done.status == 1 and not done.stdout
    assert done.error.startswith(f"{tmp_path / folder} already holds a run")
    assert not (tmp_path / "cache").exists()


# --- the commit


@pytest.fixture
def git(tmp_path: Path) -> Callable[..., str]:
    """Git in `tmp_path`, with no settings but its own."""
    (tmp_path / "gitconfig").write_text("[user]\n\tname = a\n\temail = a@example.org\n")
    settings = {"GIT_CONFIG_GLOBAL": str(tmp_path / "gitconfig"), "GIT_CONFIG_NOSYSTEM": "1"}

    def run(*arguments: str) -> str:
        command = ["git", *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=os.environ | settings, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    return run


def commit_of(copy: Path) -> str | None:
    """What the module says from where its copy lies."""
    spec = importlib.util.spec_from_file_location("copy_of_run_folder", copy)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.commit()


def test_a_commit_is_named_only_by_a_package_that_belongs_to_it(tmp_path: Path, git: Callable[..., str]) -> None:
    folder = tmp_path / ".venv" / "iclal" / "training"
    folder.mkdir(parents=True)
    (folder.parent / "model.py").write_text("")
    copy = Path(shutil.copy(run_folder.__file__, folder))
    assert commit_of(copy) is None  # outside of git
    git("init", "--quiet")
    (tmp_path / "theirs.txt").write_text("a stranger's project")
    git("add", "theirs.txt")
    git("commit", "--quiet", "-m", "theirs")
    assert commit_of(copy) is None  # installed inside a stranger's checkout
    git("add", "--force", str(folder.parent))
    git("commit", "--quiet", "-m", "ours")
    head = git("rev-parse", "HEAD")
    assert len(head) == 40 and commit_of(copy) == head
    (folder.parent / "model.py").write_text("# changed")  # in another wing
    assert commit_of(copy) == head + "+"
