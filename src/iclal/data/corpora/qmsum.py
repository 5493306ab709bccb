"""QMSum: queries on meetings with their answers and the turns that matter, joined to AMI's times and audio if at hand.

    data/ALL/{train,val,test}/ES2005b.json     the repository; other domains: Academic, Committee, Product
    data/ALL/jsonl/{train,val,test}.jsonl      the same without the meetings' names
    {train,val,test}.jsonl                     the data folder's form, with `id`

Two outputs: spans (a specific query with its relevant turns) and meetings (whole, with every query; general ones ask
about the whole meeting and are in these only). Transcripts come without the marks {vocalsound}, {disfmarker}, {gap}
and with punctuation attached. QMSum's split is its own, not AMI's: do not train on one and test on the other.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from iclal.data.corpora.ami import SAMPLE_RATE_HZ, read_meetings, recording
from iclal.data.corpora.ami_nxt import Meeting, Turn
from iclal.data.corpora.reader import Candidate, Place, Problem, read_json, read_jsonl
from iclal.data.manifest import Question, Utterance
from iclal.errors import DataError
from iclal.settings import Settings

SPLITS = {"train": "train", "val": "dev", "test": "test"}
ROLES = {"Project Manager": "PM", "Marketing": "ME", "User Interface": "UI", "Industrial Designer": "ID"}
LAYOUT = "data/ALL/train/*.json, data/ALL/jsonl/*.jsonl, or train.jsonl and its like"
MARK = re.compile(r"\{[^{}]*\}")
SPACE_BEFORE_PUNCTUATION = re.compile(r"\s+([.,?!;:])")
NO_LETTER = re.compile(r"[^\w\s]+")
# Below this share of matched words a stretch is not the same speech.
MIN_ALIGNED = 0.5


class Options(Settings):
    """What to make of the meetings; `ami` (annotations or meetings.jsonl.gz) gives times, `audio` AMI's recordings."""

    output: Literal["spans", "meetings"] = "spans"
    domain: Literal["ALL", "Academic", "Committee", "Product"] = "ALL"
    splits: tuple[Literal["train", "val", "test"], ...] = ()
    ami: Path | None = None
    audio: Path | None = None
    microphone: Literal["headset-mix", "array"] = "headset-mix"


@dataclass(frozen=True)
class Query:
    """A query with its answer and its relevant turns as (first, last), both inside; () for a general one."""

    id: str
    question: str
    answer: str
    spans: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Timed:
    """When a QMSum turn is said, and how many of its words were found in AMI's."""

    start_seconds: float
    end_seconds: float
    matched: int


def read(source: Path, options: Options) -> Iterator[Candidate | Problem]:
    """Queries with their turns, or whole meetings.

    Raises:
        DataError: not QMSum, none of the splits asked for, audio without AMI's times, no such folders.
    """
    if options.audio is not None and options.ami is None and options.output == "spans":
        raise DataError("audio needs times: give the AMI annotations or meetings.jsonl.gz too (ami)")
    if options.audio is not None and not options.audio.is_dir():
        raise DataError(f"no audio folder {options.audio}")
    files = _files(Path(os.path.realpath(source)), options)
    ami: dict[str, Meeting] = {}
    for meeting in read_meetings(options.ami) if options.ami else ():
        if isinstance(meeting, Problem):
            yield meeting.place.problem(meeting.reason, meeting.detail, meeting.what_to_do, dropped=False)
        else:
            ami[meeting.id] = meeting
    for name in options.splits:
        if name not in {split for split, _ in files}:
            what_to_do = "fetch it, or leave it out of --splits"
            yield Place(str(source)).problem("missing-split", f"no {name} in {source}", what_to_do)
    for split, path in files:
        for item in _lines(path):
            if isinstance(item, Problem):
                yield item
            else:
                yield from _read_meeting(path, split, *item, options, ami)


def _files(source: Path, options: Options) -> list[tuple[str, Path]]:
    """The files of the chosen splits. Raises DataError when there are none."""
    for root in (source / "data" / options.domain, source / options.domain, source):
        for pattern in ("{}/*.json", "jsonl/{}.jsonl", "{}.jsonl"):
            found = [(split, path) for split in SPLITS for path in sorted(root.glob(pattern.format(split)))]
            if chosen := [item for item in found if not options.splits or item[0] in options.splits]:
                return chosen
            if found:
                there = ", ".join(sorted({split for split, _ in found}))
                raise DataError(f"no {', '.join(options.splits)} in {root}; there are {there}")
    names = ", ".join(sorted(os.listdir(source))[:5]) if source.is_dir() else "nothing"
    raise DataError(f"{source} is not QMSum: expected {LAYOUT}; found {names or 'nothing'}")


def _lines(path: Path) -> Iterator[tuple[int | None, Any] | Problem]:
    """The meetings of a file with their line numbers."""
    if path.suffix == ".jsonl":
        yield from read_jsonl(path)
        return
    values = read_json(path)
    yield values if isinstance(values, Problem) else (None, values)


def _read_meeting(
    path: Path, split: str, line: int | None, values: Any, options: Options, ami: dict[str, Meeting]
) -> Iterator[Candidate | Problem]:
    """The items of one meeting."""
    id = path.stem if line is None else f"{split}-{line:03d}"
    place = Place(str(path), line, id)
    try:
        id = str(values.get("id", id))
        place = place.named(id)
        turns = [(str(turn["speaker"]), _clean(turn["content"])) for turn in values["meeting_transcripts"]]
        general, specific = list(values["general_query_list"]), list(values["specific_query_list"])
        topics = [str(topic["topic"]) for topic in values.get("topic_list", ())]
    except (AttributeError, KeyError, TypeError) as error:
        yield place.problem("broken-meeting", f"not a QMSum meeting: {error!r}", "fetch the file anew")
        return
    scene = _Scene(id, split, turns, topics, place, options, ami.get(id))
    if options.ami and scene.meeting is None:
        yield place.problem("not-in-ami", f"no times for {id}", "nothing, if it is no AMI meeting", dropped=False)
    if options.audio and scene.meeting is not None and scene.recording is None:
        yield place.problem("no-recording", f"no recording of {id} in {options.audio}", "fetch it", dropped=False)

    queries: list[Query] = []
    for kind, entries in (("general", general), ("specific", specific)):
        for number, entry in enumerate(entries, 1):
            query = _query(f"{id}-{kind}-{number:02d}", entry, len(turns), place, kind == "specific")
            if isinstance(query, Query):
                queries.append(query)
            elif options.output == "meetings":
                yield query.place.problem(query.reason, query.detail, query.what_to_do, dropped=False)
            elif kind == "specific":
                yield query
    if options.output == "meetings":
        yield scene.whole(queries)
    else:
        yield from (scene.span(query) for query in queries if query.spans)


def _clean(content: str) -> str:
    """A turn without marks, punctuation attached."""
    return SPACE_BEFORE_PUNCTUATION.sub(r"\1", " ".join(MARK.sub(" ", content).split()))


def _query(id: str, entry: Any, turns: int, place: Place, specific: bool) -> Query | Problem:
    """A query, or what is wrong with it."""
    place = place.named(id)
    try:
        question, answer = str(entry["query"]).strip(), str(entry["answer"]).strip()
        spans = tuple((int(first), int(last)) for first, last in entry["relevant_text_span"]) if specific else ()
    except (KeyError, TypeError, ValueError) as error:
        return place.problem("broken-query", f"not a query: {error!r}", "fetch the file anew")
    if not question or not answer:
        return place.problem("missing-answer", f"query {question!r}, answer {answer!r}", "fetch the file anew")
    wrong = [span for span in spans if not 0 <= span[0] <= span[1] < turns]
    if wrong or (specific and not spans):
        detail = f"turns {wrong[0][0]} to {wrong[0][1]} of {turns}" if wrong else "no relevant turns"
        return place.problem("bad-span", detail, "compare with the official release")
    return Query(id, question, answer, spans)


class _Scene:
    """A meeting with its turns, times and recording: what both outputs need."""

    def __init__(
        self,
        id: str,
        split: str,
        turns: list[tuple[str, str]],
        topics: list[str],
        place: Place,
        options: Options,
        meeting: Meeting | None,
    ) -> None:
        self.id = id
        self.split = SPLITS[split]
        self.turns = turns
        self.topics = topics
        self.place = place
        self.meeting = meeting
        self.times = _align(turns, meeting) if meeting and options.output == "spans" else {}
        path = recording(options.audio, id, options.microphone, None, place) if options.audio else None
        self.recording = path if isinstance(path, Path) and path.is_file() else None

    def span(self, query: Query) -> Candidate | Problem:
        """A specific query with its relevant turns."""
        numbers = [number for first, last in query.spans for number in range(first, last + 1)]
        texts = [(number, *self.turns[number]) for number in numbers if self.turns[number][1]]
        place = self.place.named(query.id)
        if not texts:
            return place.problem("no-words", f"turns {query.spans} are empty", "nothing: there is no speech in them")
        extra: dict[str, Any] = {
            "meeting": self.id,
            "relevant_turns": [list(span) for span in query.spans],
            "turns": [list(text) for text in texts],
        }
        utterance = Utterance(
            id=query.id,
            split=self.split,
            text=" ".join(text for _, _, text in texts),
            questions=(Question(query.id, query.question, (query.answer,)),),
            extra=extra,
        )
        spoken = tuple((f"{self.id}-{speaker}", text) for _, speaker, text in texts)
        if self.meeting is None:
            return Candidate(utterance, place, spoken=spoken)
        timed = [self.times[number] for number in numbers if number in self.times]
        share = sum(time.matched for time in timed) / sum(len(_words(text)) or 1 for _, _, text in texts)
        if share < MIN_ALIGNED:
            return place.problem("not-aligned", f"{share:.0%} of its words are in AMI's", "check that ami is whole")
        start, end = min(time.start_seconds for time in timed), max(time.end_seconds for time in timed)
        extra["aligned"] = round(share, 4)
        utterance = Utterance(
            **{name: getattr(utterance, name) for name in ("id", "split", "text", "questions", "extra")},
            start_seconds=round(start, 3),
            duration_seconds=round(end - start, 3),
        )
        if self.recording is None:
            return Candidate(utterance, place, spoken=spoken)
        return Candidate(utterance, place, (self.recording,), SAMPLE_RATE_HZ, spoken)

    def whole(self, queries: list[Query]) -> Candidate | Problem:
        """The meeting with all its queries."""
        if not queries or not any(text for _, text in self.turns):
            return self.place.problem("no-queries", f"{len(queries)} queries, {len(self.turns)} turns", "fetch it anew")
        summaries = [query.answer for query in queries if not query.spans]
        utterance = Utterance(
            id=self.id,
            split=self.split,
            text=" ".join(text for _, text in self.turns if text),
            questions=tuple(Question(query.id, query.question, (query.answer,)) for query in queries),
            summary=summaries[0] if summaries else None,
            extra={
                "topics": self.topics,
                "turns": [list(turn) for turn in self.turns],
                "relevant_turns": {query.id: [list(span) for span in query.spans] for query in queries if query.spans},
            },
        )
        spoken = tuple((f"{self.id}-{speaker}", text) for speaker, text in self.turns if text)
        recordings = (self.recording,) if self.recording else ()
        return Candidate(utterance, self.place, recordings, SAMPLE_RATE_HZ, spoken)


def _words(text: str) -> list[str]:
    """The words of a text, to compare: lower case, letters and digits."""
    return NO_LETTER.sub("", text.lower()).split()


def _align(turns: list[tuple[str, str]], meeting: Meeting) -> dict[int, Timed]:
    """When each turn is said: speaker by speaker, QMSum's words are matched to AMI's, which have times.

    Both come from the same annotation, cut into turns differently, so long runs of words are equal.
    """
    agents = {speaker.role: agent for agent, speaker in meeting.speakers.items()}
    result: dict[int, Timed] = {}
    for name in {speaker for speaker, _ in turns}:
        agent = agents.get(ROLES.get(name, ""))
        ours = [(word, number) for number, turn in enumerate(turns) if turn[0] == name for word in _words(turn[1])]
        theirs = [timed for turn in meeting.turns if turn.agent == agent for timed in _timed_words(turn)]
        pairs: dict[int, int] = {}
        keys, other_keys = _threes([word for word, _ in ours]), _threes([timed[0] for timed in theirs])
        for block in difflib.SequenceMatcher(None, keys, other_keys, autojunk=False).get_matching_blocks():
            for offset in range(block.size + 2 if block.size else 0):
                pairs.setdefault(block.a + offset, block.b + offset)
        for index, other in pairs.items():
            if index < len(ours) and other < len(theirs):
                number = ours[index][1]
                _, start, end = theirs[other]
                known = result.get(number, Timed(start, end, 0))
                earliest, latest = min(known.start_seconds, start), max(known.end_seconds, end)
                result[number] = Timed(earliest, latest, known.matched + 1)
    return result


def _threes(words: list[str]) -> list[tuple[str, ...]]:
    """Each word with the two behind it: these hardly repeat, which makes matching fast and sure."""
    padded = [*words, "", ""]
    return [tuple(padded[index : index + 3]) for index in range(len(words))]


def _timed_words(turn: Turn) -> list[tuple[str, float, float]]:
    """An AMI turn's words with times: their own, else spread evenly over the turn."""
    words = _words(turn.text)
    if turn.words:
        own = [(_words(word.text), word.start_seconds, word.end_seconds) for word in turn.words]
        timed = [(texts[0], start, end) for texts, start, end in own if texts and start is not None and end is not None]
        if [word for word, _, _ in timed] == words:
            return timed
    step = (turn.end_seconds - turn.start_seconds) / max(1, len(words))
    return [
        (word, turn.start_seconds + index * step, turn.start_seconds + (index + 1) * step)
        for index, word in enumerate(words)
    ]
