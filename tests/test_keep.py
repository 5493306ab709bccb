"""Figures kept for the documents: rows and how they were made, without break-downs by voice."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """docs/keep.py as a module, with a folder of results of its own."""
    spec = importlib.util.spec_from_file_location("keep", ROOT / "docs" / "keep.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "RESULTS", tmp_path / "results")
    return module


def test_rows_and_meta_are_kept_without_voices_clips_and_curves(tool: Any, tmp_path: Path) -> None:
    conditions = ["clean", "voice=Annie", "snr-5db", "snr-5db/voice=Annie", "snr-5db/accent=en-us", "kind=yes-no"]
    conditions.append("notes/among=man/woman")
    rows = [{"condition": condition, "value": 0.5} for condition in conditions]
    report = {"rows": rows, "meta": {"command": "iclal evaluate", "left_out": {"é": "x"}}, "extras": {"clips": [1]}}
    (tmp_path / "report.json").write_text(json.dumps(report))
    path = tool.keep(tmp_path / "report.json", "mine")
    assert path == tmp_path / "results" / "mine.json"
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert kept == {"meta": report["meta"], "rows": [row for row in rows if "voice=" not in row["condition"]]}
    assert len(path.read_text(encoding="utf-8").splitlines()) > len(kept["rows"])  # a row a line: readable changes
