"""Where computed things are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from iclal.audio.cache import cache_folder, cache_size_bytes, write_aside
from iclal.errors import AudioError


def test_cache_folder_is_the_chosen_one_else_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("ICLAL_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.delenv("ICLAL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "iclal"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "iclal"


def test_size_counts_all_files_and_is_zero_without_a_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ICLAL_CACHE", str(tmp_path / "cache"))
    assert cache_size_bytes() == 0
    write_aside(tmp_path / "cache" / "a" / "one", b"12345")
    write_aside(tmp_path / "cache" / "two", b"123")
    assert cache_size_bytes() == 8
    assert sorted(path.name for path in (tmp_path / "cache").rglob("*")) == ["a", "one", "two"]


def test_a_place_that_cannot_be_written_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(AudioError, match=r"cannot write .*clip\.flac: File exists"):
        write_aside(tmp_path / "file" / "clip.flac", b"123")


def test_a_full_disk_is_a_typed_error_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(path: Path, content: bytes) -> int:
        open(path, "wb").close()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(AudioError, match="No space left on device; free space or choose another folder"):
        write_aside(tmp_path / "clip.flac", b"123")
    assert not list(tmp_path.iterdir())
