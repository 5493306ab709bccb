"""`iclal prepare`: a corpus in its official layout becomes checked utterances, with an account of every item.

    OUT/manifest.jsonl    the utterances that were kept, audio referred to where it lies (or copied)
    OUT/problems.jsonl    everything wrong: file, line, id, reason, detail, what to do
    OUT/summary.json      found = kept + dropped by reason, hours, speakers, splits

All three are written aside (`.partial`) and renamed at the end. A run that was broken off leaves its partial manifest:
the next run takes over the recordings that it had looked at, and looks again only at what had been dropped.
"""

from __future__ import annotations

import dataclasses
import errno
import importlib
import itertools
import json
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TextIO

from iclal.data.corpora.reader import Candidate, Problem
from iclal.data.manifest import Utterance
from iclal.data.recordings import Recordings
from iclal.errors import DataError
from iclal.progress import Bar
from iclal.settings import Settings

if TYPE_CHECKING:
    from rich.console import RenderableType

# A corpus is one file with `Options` and `read` (see `iclal.data.corpora.reader`) and one line here.
CORPORA = {
    "librispeech": "iclal.data.corpora.librispeech",
    "ami": "iclal.data.corpora.ami",
    "qmsum": "iclal.data.corpora.qmsum",
    "spoken-squad": "iclal.data.corpora.spoken_squad",
    "wavprompt": "iclal.data.corpora.wavprompt",
    "slurp": "iclal.data.corpora.slurp",
    "fluent-speech-commands": "iclal.data.corpora.fluent_speech_commands",
    "digits": "iclal.data.corpora.digits",
    "ljspeech": "iclal.data.corpora.ljspeech",
    "speechocean762": "iclal.data.corpora.speechocean762",
    "folder": "iclal.data.corpora.folder",
    "lhotse": "iclal.data.corpora.lhotse",
}

CHUNK_ITEMS = 64  # handed to a worker at once: large enough that the hand-over costs little
FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass
class Split:
    """What was kept of one split."""

    utterances: int = 0
    seconds: float = 0.0
    speakers: set[str] = field(default_factory=set)


@dataclass
class Summary:
    """The account of a prepared corpus: found = kept + dropped, in items; hours of both where lengths are known."""

    corpus: str
    source: str
    options: dict[str, Any]
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)  # reason -> items
    warnings: Counter[str] = field(default_factory=Counter)  # reason -> times; no item is lost by them
    kept_seconds: float = 0.0
    dropped_seconds: float = 0.0
    splits: dict[str, Split] = field(default_factory=dict)
    taken_over: int = 0  # utterances whose recordings an earlier, broken-off run had looked at
    wall_seconds: float = 0.0

    @property
    def found(self) -> int:
        """Items in the corpus."""
        return self.kept + self.dropped.total()

    @property
    def speakers(self) -> int:
        """Speakers of the utterances kept."""
        return len(set[str]().union(*(split.speakers for split in self.splits.values())))

    def exit_status(self, allow_dropped: bool = False) -> int:
        """1 when anything was dropped and that is not allowed, else 0."""
        return int(self.dropped.total() > 0 and not allow_dropped)

    def keep(self, utterance: Utterance) -> None:
        """Count an utterance."""
        split = self.splits.setdefault(utterance.split or "(none)", Split())
        seconds = utterance.duration_seconds or 0.0
        self.kept += 1
        self.kept_seconds += seconds
        split.utterances += 1
        split.seconds += seconds
        if utterance.speaker is not None:
            split.speakers.add(utterance.speaker)

    def drop(self, problem: Problem) -> None:
        """Count a problem: a dropped item or a warning."""
        (self.dropped if problem.dropped else self.warnings)[problem.reason] += 1
        if problem.dropped:
            self.dropped_seconds += problem.seconds

    def to_json(self) -> dict[str, Any]:
        """What summary.json holds."""
        return {
            "corpus": self.corpus,
            "source": self.source,
            "options": self.options,
            "found": self.found,
            "kept": self.kept,
            "dropped": self.dropped.total(),
            "dropped_by_reason": dict(sorted(self.dropped.items())),
            "warnings_by_reason": dict(sorted(self.warnings.items())),
            "hours_kept": round(self.kept_seconds / 3600, 6),
            "hours_dropped": round(self.dropped_seconds / 3600, 6),
            "speakers": self.speakers,
            "splits": {
                name: {
                    "utterances": split.utterances,
                    "hours": round(split.seconds / 3600, 6),
                    "speakers": len(split.speakers),
                }
                for name, split in sorted(self.splits.items())
            },
            "taken_over": self.taken_over,
            "wall_seconds": round(self.wall_seconds, 3),
        }


def corpus_module(corpus: str) -> ModuleType:
    """The module of a corpus: `Options` and `read`. Raises DataError for an unknown name."""
    if corpus not in CORPORA:
        raise DataError(f"no corpus {corpus!r}; there are {', '.join(sorted(CORPORA))}")
    return importlib.import_module(CORPORA[corpus])


def prepare(
    corpus: str,
    source: Path,
    out: Path,
    options: Settings | dict[str, Any] | None = None,
    *,
    workers: int = 2,
    copy: bool = False,
    synthesise: bool = False,
    progress: bool = True,
) -> Summary:
    """Read a corpus and write OUT/manifest.jsonl, OUT/problems.jsonl and OUT/summary.json.

    Args:
        corpus: a name of `CORPORA`.
        source: the corpus as it was fetched.
        out: folder for what is written; made if it is not there.
        options: the corpus's `Options`, or a dict for them.
        workers: threads that look at recordings.
        copy: bring recordings along into OUT/audio.
        synthesise: make speech where there is only text.
        progress: a bar with the time left on stderr, where that is a terminal.

    Raises:
        DataError: the source is not such a corpus or has no items; OUT cannot be written; the disk is full.
        SettingsError: options that the corpus does not have.
    """
    started = time.monotonic()
    module = corpus_module(corpus)
    source, out = Path(source), Path(out)
    if not isinstance(options, Settings):
        options = module.Options.build(options or {}, source=f"options of {corpus}")
    assert isinstance(options, Settings)
    if workers < 1:
        raise DataError(f"--workers must be 1 or more, found {workers}")

    items = iter(module.read(source, options))
    first = next(items, None)  # a source that is not such a corpus raises here, before anything is written
    if first is None:
        raise DataError(f"no items of {corpus} in {source}")
    items = itertools.chain([first], items)
    summary = Summary(corpus, os.path.realpath(source), options.model_dump(mode="json"))
    recordings = Recordings(out, source, copy, synthesise)
    try:
        with Bar(f"prepare {corpus}", None, wanted=progress) as bar, _counting(bar, module.read, source, options):
            _run(_unique(items), recordings, workers, summary, bar)
        summary.wall_seconds = time.monotonic() - started
        _publish(recordings.out, summary)
    except OSError as error:
        raise _explain(error, out, summary) from error
    finally:
        recordings.close()
    return summary


def _run(
    items: Iterable[Candidate | Problem], recordings: Recordings, workers: int, summary: Summary, bar: Bar
) -> None:
    """Look at all items and write the partial files."""
    out = recordings.out
    out.mkdir(parents=True, exist_ok=True)
    partial, interrupted = out / "manifest.jsonl.partial", out / "manifest.jsonl.interrupted"
    # the longer of the two is further on, if the run that took over was broken off as well
    if partial.is_file() and not (interrupted.is_file() and interrupted.stat().st_size > partial.stat().st_size):
        partial.replace(interrupted)
    with ExitStack() as stack:
        earlier = _Earlier(stack.enter_context(open(interrupted, encoding="utf-8")) if interrupted.is_file() else None)
        manifest = stack.enter_context(open(partial, "w", encoding="utf-8"))
        problems = stack.enter_context(open(out / "problems.jsonl.partial", "w", encoding="utf-8"))
        for result in _results(items, recordings, workers, earlier, summary):
            if isinstance(result, Utterance):
                summary.keep(result)
                manifest.write(json.dumps(result.to_json(), ensure_ascii=False) + "\n")
            else:
                summary.drop(result)
                problems.write(json.dumps(result.to_json(), ensure_ascii=False) + "\n")
            if bar.shown:
                dropped = f", {summary.dropped.total()} dropped" if summary.dropped else ""
                bar.show(summary.found, what=f"prepare {summary.corpus}{dropped}")


@contextmanager
def _counting(bar: Bar, read: Callable[..., Iterable[Any]], source: Path, options: Settings) -> Iterator[None]:
    """Tell the bar its total, from a second, quick reading in the background: readers open no recordings."""
    stopped = threading.Event()

    def count() -> None:
        total = 0
        for item in read(source, options):
            if stopped.is_set():
                return
            total += isinstance(item, Candidate) or item.dropped
        bar.show(total=total)

    if bar.shown:
        threading.Thread(target=count, daemon=True).start()
    try:
        yield
    finally:
        stopped.set()


def _unique(items: Iterable[Candidate | Problem]) -> Iterator[Candidate | Problem]:
    """The items, with a problem in place of each candidate whose id came before."""
    seen: set[str] = set()
    for item in items:
        if isinstance(item, Candidate):
            id = item.utterance.id
            if id in seen:
                place = item.place.named(id)
                yield place.problem("duplicate-id", f"id {id!r} came before; the first is kept", "make ids unique")
                continue
            seen.add(id)
        yield item


def _results(
    items: Iterable[Candidate | Problem],
    recordings: Recordings,
    workers: int,
    earlier: _Earlier,
    summary: Summary,
) -> Iterator[Utterance | Problem]:
    """Finished utterances and problems in the corpus's order; recordings are looked at in threads."""

    def finish(chunk: list[Candidate | Problem | Utterance]) -> list[Utterance | Problem]:
        return [_finish(item, recordings) if isinstance(item, Candidate) else item for item in chunk]

    def hand_over(chunk: list[Candidate | Problem | Utterance]) -> Future[list[Utterance | Problem]]:
        if recordings.synthesise or any(isinstance(item, Candidate) and item.recordings for item in chunk):
            return pool.submit(finish, chunk)
        done: Future[list[Utterance | Problem]] = Future()  # text alone: the way to a thread costs more than the work
        done.set_result(finish(chunk))
        return done

    waiting: deque[Future[list[Utterance | Problem]]] = deque()
    chunk: list[Candidate | Problem | Utterance] = []
    with ThreadPoolExecutor(workers, thread_name_prefix="prepare") as pool:
        try:
            for item in items:
                known = earlier.match(item, recordings) if isinstance(item, Candidate) else None
                summary.taken_over += known is not None
                chunk.append(known or item)
                if len(chunk) == CHUNK_ITEMS:
                    waiting.append(hand_over(chunk))
                    chunk = []
                if len(waiting) > 2 * workers:
                    yield from waiting.popleft().result()
            waiting.append(hand_over(chunk))
            while waiting:
                yield from waiting.popleft().result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _finish(candidate: Candidate, recordings: Recordings) -> Utterance | Problem:
    """`recordings.finish`, whose unforeseen errors name the item."""
    with _At(candidate):
        return recordings.finish(candidate)


class _At:
    """Notes the item on an error that passes through."""

    def __init__(self, candidate: Candidate) -> None:
        self._candidate = candidate

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            error.add_note(f"at {self._candidate.utterance.id} of {self._candidate.place.file}")


class _Earlier:
    """The partial manifest of a run that was broken off, read alongside: its lines stand in the corpus's order."""

    def __init__(self, handle: TextIO | None) -> None:
        self._handle = handle
        self._next: dict[str, Any] | None = None
        self._advance()

    def _advance(self) -> None:
        line = self._handle.readline() if self._handle else ""
        try:
            # the last line may be torn
            self._next = json.loads(line) if line.endswith("\n") else None
        except ValueError:
            self._next = None

    def match(self, candidate: Candidate, recordings: Recordings) -> Utterance | None:
        """The candidate as the earlier run finished it, if this is what its next line holds and its audio is there."""
        line = self._next
        if line is None or line.get("id") != candidate.utterance.id:
            return None
        self._advance()
        found = Utterance.from_json(line)
        wanted = candidate.utterance
        if found.extra.get("synthesised"):
            wanted = dataclasses.replace(wanted, start_seconds=None, extra=wanted.extra | {"synthesised": True})
        same = dataclasses.replace(
            wanted, audio=found.audio, start_seconds=found.start_seconds, duration_seconds=found.duration_seconds
        )
        # through JSON, for tuples in `extra` come back as lists
        if json.loads(json.dumps(same.to_json())) != line:
            return None
        return found if recordings.agrees(candidate, found) else None


def _publish(out: Path, summary: Summary) -> None:
    """Give the partial files their names; the summary last, as the mark that all is there."""
    (out / "summary.json").unlink(missing_ok=True)
    aside = out / "summary.json.partial"
    aside.write_text(json.dumps(summary.to_json(), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    (out / "problems.jsonl.partial").replace(out / "problems.jsonl")
    (out / "manifest.jsonl.partial").replace(out / "manifest.jsonl")
    (out / "manifest.jsonl.interrupted").unlink(missing_ok=True)
    aside.replace(out / "summary.json")


def _explain(error: OSError, out: Path, summary: Summary) -> DataError:
    """What to do about a file that could not be read or written."""
    if error.errno in FULL_DISK:
        return DataError(
            f"the disk is full ({error.strerror}) after {summary.kept} utterances; what is done is in {out}: "
            "free space and give the same command again, it goes on from there"
        )
    return DataError(
        f"cannot go on: {error.strerror or error}: {error.filename or out}; mend that or choose another OUT, then give "
        "the command again"
    )


def table(summary: Summary) -> RenderableType:
    """The summary as a table for a console."""
    from rich.table import Table

    view = Table(title=f"{summary.corpus}: {summary.source}", title_justify="left")
    for name in ("", "items", "hours", "speakers"):
        view.add_column(name, justify="left" if not name else "right")
    hours = f"{(summary.kept_seconds + summary.dropped_seconds) / 3600:.2f}"
    view.add_row("found", f"{summary.found}", hours, "")
    view.add_row("kept", f"{summary.kept}", f"{summary.kept_seconds / 3600:.2f}", f"{summary.speakers}")
    for name, split in sorted(summary.splits.items()):
        view.add_row(f"  {name}", f"{split.utterances}", f"{split.seconds / 3600:.2f}", f"{len(split.speakers)}")
    view.add_row("dropped", f"{summary.dropped.total()}", f"{summary.dropped_seconds / 3600:.2f}", "")
    for reason, count in sorted(summary.dropped.items()):
        view.add_row(f"  {reason}", f"{count}", "", "")
    if summary.warnings:
        view.add_row("warnings", f"{summary.warnings.total()}", "", "")
        for reason, count in sorted(summary.warnings.items()):
            view.add_row(f"  {reason}", f"{count}", "", "")
    return view
