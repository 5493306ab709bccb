"""Figures and tables of the project's documents, from the JSON that measured them (law 15).

    python docs/render.py            write them anew
    python docs/render.py --check    fail where one is stale, has no source, or was typed by hand

In a document stand, as comments that a reader does not see:

    <!-- number FILE#PLACE FORMAT -->97.3 %<!-- /number -->
    <!-- table FILE MODEL -->  a report's main table of one model  <!-- /table -->
    <!-- tree -->  the wings and rooms of the package  <!-- /tree -->

FILE is looked for in docs/results, then from the root of the project; while it is not there the figure is a dash.
PLACE is a JSON pointer (`/wall_seconds`), or a row of a report: model/task/shots/input/condition/metric, where the
condition may hold slashes. FORMAT: `%` 97.3 %, `.2` decimals, `+.2` with sign, these with `i` behind them with the
row's interval (`%i`, `+.2i`), `n` the row's count, `,` a whole number, `s` seconds, `MB` bytes as megabytes, `text`.
With `?` at its end what the file may leave out: then, too, the figure is a dash.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path("docs") / "results"
MISSING = "not measured yet"
DASH = "–"
CEILING_TOO_LOW = "none: the ceiling is too low"
ROW_COLUMNS = ("model", "task", "shots", "input", "condition", "metric")
TABLE_INPUTS = ("ceiling", "audio", "cascade", "shuffled-audio", "no-audio", "wrong-labels", "text-demos")
# A column so headed holds no measurement.
FREE_COLUMNS = re.compile(r"target|aim|shots|목표", re.IGNORECASE)
ALWAYS_MEASURED = ("results.md",)  # every table in it must have sources; elsewhere those with a figure in them
WINGS = ("audio", "data", "model", "evaluation", "training", "experiments", "recipes", "assets")  # the import order
SHOWN = {".py", ".jinja", ".css", ".js", ".json", ".yaml"}

_NUMBER = re.compile(r"(<!-- number (\S+?)#(\S+) (\S+) -->)(.*?)(<!-- /number -->)", re.DOTALL)
_TABLE = re.compile(r"(<!-- table (\S+) (\S+) -->\n)(.*?)(<!-- /table -->)", re.DOTALL)
_TREE = re.compile(r"(<!-- tree -->\n)(.*?)(<!-- /tree -->)", re.DOTALL)


class SourceError(Exception):
    """A figure whose place is not in its file, or is not what its format wants."""


class AbsentError(SourceError):
    """A figure whose place is not in its file."""


def documents(root: Path) -> list[Path]:
    """The documents that are rendered: those at the root and in docs."""
    return sorted([*root.glob("*.md"), *(root / "docs").glob("*.md")])


def render(text: str, root: Path) -> str:
    """A document with all its figures, tables and trees as their sources have them. Raises SourceError."""
    text = _NUMBER.sub(lambda m: m[1] + number(root, m[2], m[3], m[4]) + m[6], text)
    text = _TABLE.sub(lambda m: m[1] + table(root, m[2], m[3]) + m[5], text)
    return _TREE.sub(lambda m: m[1] + f"```\n{tree(root / 'src' / 'iclal')}```\n" + m[3], text)


def number(root: Path, file: str, place: str, format: str) -> str:
    """One figure, written. Raises SourceError."""
    optional, format = format.endswith("?"), format.removesuffix("?")
    content = _read(root, file)
    if content is None:
        if optional:
            return DASH
        raise AbsentError(f"{file}#{place}: there is no such file")
    row: dict[str, Any] = {}
    try:
        if place.startswith("/"):
            value = _point(content, place, file)
        else:
            wanted = _columns(place)
            if _has_no_parity(content, wanted):
                return CEILING_TOO_LOW
            row = _row(content, wanted, file)
            value = row["value"]
    except AbsentError:
        if optional:
            return DASH
        raise
    if (format == "n" or format.endswith("i")) and not row:
        raise SourceError(f"{file}#{place}: '{format}' needs a row of a report")
    try:
        return _format(value, format, row)
    except (TypeError, ValueError) as error:
        raise SourceError(f"{file}#{place}: {value!r} cannot be written as '{format}': {error}") from error


def table(root: Path, file: str, model: str) -> str:
    """Tasks and shots down, inputs across: exact answers in percent, parity last; or that it is not measured yet."""
    content = _read(root, file)
    if content is None:
        return f"{MISSING}\n"
    rows = [row for row in content["rows"] if row["model"] == model and row["condition"] == "clean"]
    if not rows:
        raise SourceError(f"{file} has no rows of the model '{model}' under the condition clean")
    values = {(row["task"], row["shots"], row["input"], row["metric"]): row["value"] for row in rows}
    inputs = [i for i in TABLE_INPUTS if any(key[2] == i for key in values)]
    lines = [" | ".join(["| task", "shots", *inputs, "parity |"]), "| --- " * (3 + len(inputs)) + "|"]
    for task, shots in dict.fromkeys((row["task"], row["shots"]) for row in rows):
        exact = [values.get((task, shots, i, "exact")) for i in inputs]
        cells = ["" if value is None else f"{100 * value:.1f}" for value in exact]
        parity = values.get((task, shots, "audio", "parity"))
        lines.append(" | ".join([f"| {task}", str(shots), *cells, "" if parity is None else f"{parity:.2f}"]) + " |")
    return "\n".join(lines) + "\n"


def tree(package: Path) -> str:
    """Wings in the order of their imports with what each is for, and the rooms in them."""
    lines = ["src/iclal/", *_wrap(_rooms(package), "  ")]
    for wing in sorted(_folders(package), key=lambda p: (WINGS.index(p.name) if p.name in WINGS else 99, p.name)):
        lines += _wing(wing, "  ")
    return "\n".join(lines) + "\n"


def typed_figures(path: Path, text: str) -> Iterator[str]:
    """Digits in measured columns of tables that stand there without a source."""
    text = _TABLE.sub("", text)
    for first_line, lines in _markdown_tables(text):
        if path.name not in ALWAYS_MEASURED and not any("<!-- number" in line for line in lines):
            continue
        header = _cells(lines[0])
        free = {0} | {index for index, cell in enumerate(header) if FREE_COLUMNS.search(cell)}
        for offset, line in enumerate(lines[2:], 2):
            for index, cell in enumerate(_cells(line)):
                if index not in free and re.search(r"\d", _NUMBER.sub("", cell)):
                    yield f"{path.name}:{first_line + offset}: a figure without a source in the table: {cell.strip()}"


def check(root: Path) -> list[str]:
    """What is wrong with the documents, one line each."""
    problems = []
    for path in documents(root):
        text = path.read_text(encoding="utf-8")
        try:
            if render(text, root) != text:
                problems.append(f"{path.name} is stale; write it anew: make docs")
        except SourceError as error:
            problems.append(f"{path.name}: {error}")
        opened, closed = (len(re.findall(p, text)) for p in (r"<!-- (?:number|table) ", r"<!-- /(?:number|table) -->"))
        whole = len(_NUMBER.findall(text)) + len(_TABLE.findall(text))
        if not opened == closed == whole:
            problems.append(f"{path.name}: {opened} figures begin, {closed} end, {whole} are whole")
        problems += typed_figures(path, text)
    return problems


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Render or check all documents; exit status 1 where something is wrong."""
    if "--check" in (sys.argv[1:] if arguments is None else arguments):
        problems = check(root)
        print("\n".join(problems) or "documents agree with their sources")
        return 1 if problems else 0
    for path in documents(root):
        text = path.read_text(encoding="utf-8")
        try:
            rendered = render(text, root)
        except SourceError as error:
            print(f"{path.name}: {error}", file=sys.stderr)
            return 1
        if rendered != text:
            path.write_text(rendered, encoding="utf-8")
            print(f"{path.relative_to(root)} written")
    return 0


def _read(root: Path, file: str) -> Any:
    """The JSON of a source; None where it is not there yet."""
    for path in (root / RESULTS / file, root / file):
        if path.is_file():
            return json.loads(path.read_text(encoding="utf-8"))
    return None


def _point(content: Any, pointer: str, file: str) -> Any:
    """What a JSON pointer points at (RFC 6901)."""
    for part in pointer.split("/")[1:]:
        part = part.replace("~1", "/").replace("~0", "~")
        try:
            content = content[int(part)] if isinstance(content, list) else content[part]
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise AbsentError(f"{file} has nothing at {pointer}: no '{part}'") from error
    return content


def _columns(place: str) -> list[str]:
    """The columns of a row's place. Of them the condition alone may hold slashes ("notes/among=man/woman")."""
    *others, rest = place.split("/", 4)
    condition, slash, metric = rest.rpartition("/")
    return [*others, condition, metric] if slash else [*others, rest]


def _row(content: Any, wanted: list[str], file: str) -> dict[str, Any]:
    """The one row of a report with these columns."""
    if len(wanted) != len(ROW_COLUMNS):
        raise SourceError(f"{file}#{'/'.join(wanted)}: a row is named {'/'.join(ROW_COLUMNS)}")
    found = [row for row in content["rows"] if [str(row[column]) for column in ROW_COLUMNS] == wanted]
    if len(found) != 1:
        kind = SourceError if found else AbsentError
        raise kind(f"{file} has {len(found)} rows {'/'.join(wanted)}; there must be one")
    return found[0]


def _has_no_parity(content: Any, wanted: list[str]) -> bool:
    """Whether a parity is wanted of a cell that was measured but whose ceiling is too low to divide by."""
    cell = [[str(row[column]) for column in ROW_COLUMNS] for row in content["rows"]]
    return wanted[-1] == "parity" and wanted not in cell and [*wanted[:3], "ceiling", wanted[4], "exact"] in cell


def _format(value: Any, format: str, row: dict[str, Any]) -> str:
    formats: dict[str, Callable[[], str]] = {
        "%": lambda: f"{100 * value:.1f} %",
        "%i": lambda: f"{100 * value:.1f} % ({100 * row['low']:.1f} to {100 * row['high']:.1f})",
        "n": lambda: f"{row['n']:,}",
        ",": lambda: f"{value:,.0f}",
        "s": lambda: f"{value:.2f} s",
        "MB": lambda: f"{value / 1e6:.1f} MB",
        "text": lambda: str(value),
    }
    if decimals := re.fullmatch(r"(\+?)\.(\d)(i?)", format):
        written = [
            f"{v:{decimals[1]}.{decimals[2]}f}" for v in (value, *((row["low"], row["high"]) if decimals[3] else ()))
        ]
        return f"{written[0]} ({written[1]} to {written[2]})" if decimals[3] else written[0]
    if format not in formats:
        raise SourceError(f"no format '{format}'; known are {', '.join(formats)}, .2, +.2, +.2i")
    return formats[format]()


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and p.name != "__pycache__" and any(p.iterdir()))


def _rooms(folder: Path) -> list[str]:
    files = (p.name for p in folder.iterdir() if p.is_file() and p.suffix in SHOWN)
    return sorted(name for name in files if name != "__init__.py")


def _wing(folder: Path, indent: str) -> list[str]:
    """A wing's line, its rooms, and the wings in it; folders without code (bundled models) are names alone."""
    init = folder / "__init__.py"
    said = ""
    if init.is_file():
        first = init.read_text(encoding="utf-8").strip().strip('"').partition("\n")[0].rstrip('."')
        said = first.partition(": ")[2]
    lines = [f"{indent}{folder.name + '/':<14}{said}".rstrip()]
    if not init.is_file():
        return lines + [f"{indent}  {inner.name}/" for inner in _folders(folder)]
    lines += _wrap(_rooms(folder), indent + "  ")
    for inner in _folders(folder):
        lines += _wing(inner, indent + "  ")
    return lines


def _wrap(names: list[str], indent: str, width: int = 100) -> list[str]:
    lines: list[str] = []
    for name in names:
        if lines and len(lines[-1]) + 2 + len(name) <= width:
            lines[-1] += f"  {name}"
        else:
            lines.append(indent + name)
    return lines


def _markdown_tables(text: str) -> Iterator[tuple[int, list[str]]]:
    """Tables with the number of their first line; what stands between code fences is none."""
    block: list[str] = []
    fenced = False
    for number, line in enumerate([*text.splitlines(), ""], 1):
        fenced ^= line.startswith("```")
        if line.startswith("|") and not fenced:
            block.append(line)
        elif block:
            yield number - len(block), block
            block = []


def _cells(line: str) -> list[str]:
    return line.strip().strip("|").split("|")


if __name__ == "__main__":
    sys.exit(main())
