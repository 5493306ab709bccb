"""docs/extending.md, run: its file and its dict entry are a corpus, in under 40 lines."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import soundfile

from iclal.data import prepare as runner
from iclal.data.manifest import read_manifest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
FILE, ENTRY = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
SPEECH = ROOT / "data" / "librispeech" / "audio" / "1089-134691-0000.flac"


@pytest.fixture
def vctk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The page's corpus, as if its file lay in the package and its entry stood in the dict."""
    name, module_name = next(iter(eval("{" + ENTRY + "}").items()))
    path = tmp_path / "vctk.py"
    path.write_text(FILE, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec and spec.loader
    module: Any = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, module_name, module)
    spec.loader.exec_module(module)
    monkeypatch.setitem(runner.CORPORA, name, module_name)
    return name


def test_the_page_adds_a_corpus_in_under_40_lines(vctk: str, tmp_path: Path) -> None:
    assert len((FILE + ENTRY).splitlines()) < 40
    assert "`src/iclal/data/corpora/vctk.py`" in PAGE
    samples = soundfile.read(SPEECH)[0]
    source = tmp_path / "VCTK-Corpus"
    for speaker, number in (("p225", 1), ("p225", 2), ("p226", 1)):
        for folder in ("txt", "wav48"):
            (source / folder / speaker).mkdir(parents=True, exist_ok=True)
        (source / "txt" / speaker / f"{speaker}_{number:03d}.txt").write_text(f"Please call Stella {number}.\n")
        soundfile.write(source / "wav48" / speaker / f"{speaker}_{number:03d}.wav", samples, 48_000)
    (source / "wav48" / "p225" / "p225_002.wav").unlink()
    (source / "txt" / "p226" / "p226_009.txt").write_bytes(b"\xff\n")
    summary = runner.prepare(vctk, source, tmp_path / "out", {"split": "test"})
    assert (summary.found, summary.kept) == (4, 2)
    assert summary.dropped == {"missing-audio": 1, "wrong-encoding": 1}
    first = next(read_manifest(tmp_path / "out" / "manifest.jsonl"))
    assert (first.id, first.speaker, first.split, first.text) == ("p225_001", "p225", "test", "Please call Stella 1.")


def test_the_pages_command_is_the_one_that_it_adds() -> None:
    assert re.search(r"`iclal prepare vctk VCTK-Corpus OUT split=test`", PAGE)
    assert eval("{" + ENTRY + "}") == {"vctk": "iclal.data.corpora.vctk"}
