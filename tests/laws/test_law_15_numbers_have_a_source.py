"""Law 15: figures in README and docs are rendered from JSON, and a stale, homeless or typed one is found."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
ROW = {
    "model": "ctc", "task": "questions", "shots": 2, "input": "audio", "condition": "clean", "metric": "exact",
    "value": 0.9731, "low": 0.95, "high": 0.99, "n": 1408,
}  # fmt: skip
BROKEN_DOWN = ROW | {"condition": "notes/among=man/woman", "value": 0.5}
PLACE = "grid.json#ctc/questions/2/audio/clean/exact"


@pytest.fixture(scope="module")
def tool() -> Any:
    """docs/render.py as a module."""
    spec = importlib.util.spec_from_file_location("render", ROOT / "docs" / "render.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small project with one report."""
    (tmp_path / "docs" / "results").mkdir(parents=True)
    (tmp_path / "src" / "iclal").mkdir(parents=True)
    (tmp_path / "docs" / "results" / "grid.json").write_text(
        json.dumps({"rows": [ROW, BROKEN_DOWN], "meta": {"seconds": 312.4}})
    )
    return tmp_path


def figure(place: str, format: str, said: str = "") -> str:
    return f"<!-- number {place} {format} -->{said}<!-- /number -->"


def test_the_projects_documents_agree_with_their_sources(tool: Any) -> None:
    assert tool.check(ROOT) == []


@pytest.mark.parametrize(
    ("place", "format", "written"),
    [
        (PLACE, "%", "97.3 %"),
        (PLACE, "%i", "97.3 % (95.0 to 99.0)"),
        (PLACE, "n", "1,408"),
        (PLACE, ".2", "0.97"),
        (PLACE, "+.3", "+0.973"),
        ("grid.json#/meta/seconds", ",", "312"),
        ("docs/results/grid.json#/rows/0/task", "text", "questions"),
        (PLACE, "+.3i", "+0.973 (+0.950 to +0.990)"),
        (PLACE.replace("clean", "notes/among=man/woman"), "%", "50.0 %"),
        (PLACE, "%i?", "97.3 % (95.0 to 99.0)"),
        (PLACE.replace("audio", "cascade"), "%i?", "–"),
        ("grid.json#/meta/commit", "text?", "–"),
        ("absent.json#/anything", "%?", "–"),
    ],
)
def test_a_figure_is_written_as_its_format_says(tool: Any, root: Path, place: str, format: str, written: str) -> None:
    assert tool.render(figure(place, format), root) == figure(place, format, written)


def test_a_stale_figure_is_found_and_written_anew(tool: Any, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = root / "README.md"
    page.write_text(f"It reaches {figure(PLACE, '%', '99.9 %')}.\n")
    assert tool.main(["--check"], root) == 1
    assert "README.md is stale" in capsys.readouterr().out
    assert tool.main([], root) == 0
    assert "97.3 %" in page.read_text()
    assert tool.main(["--check"], root) == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (figure("grid.json#/meta/hours", ","), "nothing at /meta/hours: no 'hours'"),
        (figure("grid.json#ctc/questions/3/audio/clean/exact", "%"), "0 rows ctc/questions/3/audio/clean/exact"),
        (figure("grid.json#ctc/questions", "%"), "a row is named model/task"),
        (figure(PLACE, "percent"), "no format 'percent'"),
        (figure("grid.json#/meta/seconds", "%i"), "needs a row of a report"),
        (figure("grid.json#/rows/0/task", "%"), "'questions' cannot be written as '%'"),
        (f"<!-- number {PLACE} % -->97.3 %", "1 figures begin, 0 end, 0 are whole"),
        ("<!-- table grid.json linear -->\n<!-- /table -->", "no rows of the model 'linear'"),
    ],
)
def test_a_figure_without_its_source_is_found(tool: Any, root: Path, text: str, said: str) -> None:
    (root / "docs" / "page.md").write_text(text + "\n")
    assert any(said in problem for problem in tool.check(root)), tool.check(root)


def test_a_typed_figure_in_a_table_of_results_is_found(tool: Any, root: Path) -> None:
    table = "| what, 2 shots | target | reached |\n| --- | --- | --- |\n| words | 4 % | {} |\n"
    (root / "docs" / "results.md").write_text(table.format(figure(PLACE, "%", "97.3 %")))
    assert tool.check(root) == []
    (root / "docs" / "results.md").write_text(table.format("3.1 %"))
    assert tool.check(root) == ["results.md:3: a figure without a source in the table: 3.1 %"]


def test_a_reports_table_is_laid_out_by_task_and_shots(tool: Any, root: Path) -> None:
    text = tool.render("<!-- table grid.json ctc -->\n<!-- /table -->", root)
    assert "| task | shots | audio | parity |" in text
    assert "| questions | 2 | 97.3 |  |" in text
    assert "not measured yet" in tool.render("<!-- table absent.json ctc -->\n<!-- /table -->", root)
