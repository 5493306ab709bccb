"""README, held to the project: its tree, its commands, the files it names."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from iclal.audio.reading import read_audio, write_wav

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted(str(path.relative_to(ROOT)) for path in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
PACKAGE = ROOT / "src" / "iclal"
SPEECH = ROOT / "data" / "public_domain_speech" / "audio" / "lj-LJ002-0020.flac"
(TREE,) = re.findall(r"<!-- tree -->\n```\nsrc/iclal/\n(.*?)```", README, re.DOTALL)


def rooms_in_tree() -> set[str]:
    """Paths that the tree names, relative to the package: folders end in a slash."""
    folders: list[tuple[int, str]] = []
    found = set()
    for line in TREE.splitlines():
        indent = len(line) - len(line.lstrip())
        while folders and indent <= folders[-1][0]:
            folders.pop()
        above = "".join(name for _, name in folders)
        first, _, _ = line.strip().partition(" ")
        if first.endswith("/"):
            folders.append((indent, first))
            found.add(above + first)
        else:
            found |= {above + name for name in line.split()}
    return found


def rooms_on_disk() -> set[str]:
    """The package's folders and rooms; of the assets (bundled weights) the folders alone."""
    found = set()
    for path in PACKAGE.rglob("*"):
        inside = path.relative_to(PACKAGE)
        if "__pycache__" in inside.parts or (path.is_dir() and not any(path.iterdir())):
            continue
        if path.is_dir():
            found.add(f"{inside}/")
        elif inside.parts[0] != "assets" and path.name not in ("__init__.py", "py.typed"):
            found.add(str(inside))
    return found


def test_the_tree_names_every_wing_and_room_and_nothing_else() -> None:
    assert rooms_in_tree() - rooms_on_disk() == set(), "in README alone; write it anew: make docs"
    assert rooms_on_disk() - rooms_in_tree() == set(), "on disk alone; write it anew: make docs"


def test_every_wing_says_what_it_is_for() -> None:
    lines = [line.split(maxsplit=1) for line in TREE.splitlines() if re.match(r"\s+\w+/", line)]
    silent = [words[0] for words in lines if len(words) == 1]
    assert [name for name in silent if (PACKAGE / name / "__init__.py").exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_links_to_is_there(page: str) -> None:
    text = re.sub(r"<!--.*?-->", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    missing = [link for link in links if link and not ((ROOT / page).parent / link).exists()]
    assert missing == []


def test_the_commands_of_readme_are_targets_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"make ([a-z][a-z-]*)", README))
    assert {"quickstart", "test"} <= named <= targets
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


SHELL = "".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL))
COMMANDS = re.findall(r"^(iclal .*?)(?:\s+#.*)?$", SHELL, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_line_that_readme_shows_is_understood(command: str) -> None:
    from iclal.cli import _app

    words = shlex.split(command)[1:]
    verb, _, not_understood, *_ = _app(words).parse_known_args(words)
    assert verb.__name__ == words[0] and not not_understood


def test_readme_shows_the_verbs_that_a_newcomer_needs() -> None:
    assert {"transcribe", "ask", "train", "evaluate"} <= {command.split()[1] for command in COMMANDS}


def test_the_python_of_readme_runs_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    write_wav(tmp_path / "clip.wav", read_audio(SPEECH).samples)
    exec(compile(block, "README.md", "exec"), {})
    said, _, scores = capsys.readouterr().out.splitlines()
    assert said and scores.startswith("[")


def test_no_document_names_a_folder_of_someones_machine() -> None:
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "Makefile"]:
        found = re.findall(r"(?<![\w.])/(?:home|root|work|Users|opt)/\S*", path.read_text(encoding="utf-8"))
        assert found == [], path
