"""The AMI corpus's manual annotations (NXT XML, ISO-8859-1) as meetings: links and id ranges resolved across files.

Annotations stand off: a segment or a dialogue act is a range of ids in a words file, a summary link names acts and a
sentence. `read_meeting` follows all of it. What cannot be followed is kept as problems of three kinds, since the same
fault loses a segment, a link, or nothing, depending on what is asked of the meeting.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree.ElementTree import Element

from iclal.data.corpora.reader import Place, Problem, read_xml

ID = "{http://nite.sourceforge.net/}id"
CHILD = "{http://nite.sourceforge.net/}child"
POINTER = "{http://nite.sourceforge.net/}pointer"
HREF = re.compile(r"(?P<file>[^#]+)#id\((?P<first>[^)]+)\)(?:\.\.id\((?P<last>[^)]+)\))?")
PARTS = ("abstract", "actions", "decisions", "problems")
REPAIR = "compare with the official release"


@dataclass(frozen=True)
class Word:
    """A word or a punctuation mark; some have no times."""

    text: str
    punctuation: bool
    start_seconds: float | None
    end_seconds: float | None


@dataclass(frozen=True)
class Turn:
    """A transcriber's segment: what one speaker says without a long pause."""

    start_seconds: float
    end_seconds: float
    agent: str
    text: str
    words: tuple[Word, ...] = ()
    place: Place | None = None


@dataclass(frozen=True)
class Act:
    """A dialogue act, from its first word to its last."""

    id: str
    agent: str
    kind: str
    start_seconds: float
    end_seconds: float
    text: str


@dataclass(frozen=True)
class Sentence:
    """A sentence of the abstractive summary; `part` is one of PARTS."""

    id: str
    part: str
    text: str
    place: Place


@dataclass(frozen=True)
class Speaker:
    """Who an agent's letter stands for in a meeting."""

    name: str
    role: str = ""
    channel: int | None = None  # of the headset
    sex: str = ""


@dataclass
class Meeting:
    """A meeting with everything linked."""

    id: str
    speakers: dict[str, Speaker] = field(default_factory=dict)
    turns: list[Turn] = field(default_factory=list)  # sorted by start
    sentences: list[Sentence] = field(default_factory=list)
    links: dict[str, list[Act]] = field(default_factory=dict)  # sentence id -> acts, sorted by start
    extracted: list[Act] = field(default_factory=list)  # the extractive summary
    file_problems: list[Problem] = field(default_factory=list)  # files that cannot be read
    turn_problems: list[Problem] = field(default_factory=list)  # segments lost, words without times
    link_problems: list[Problem] = field(default_factory=list)  # acts and links lost

    def summary(self) -> dict[str, list[str]]:
        """The sentences of the four parts."""
        return {part: [s.text for s in self.sentences if s.part == part] for part in PARTS}


@dataclass
class _Words:
    """An agent's words file: what stands where, non-words included."""

    positions: dict[str, int] = field(default_factory=dict)  # id -> place in `words`
    words: list[Word | None] = field(default_factory=list)  # None: a laugh, a gap, a noise


def join_words(words: tuple[Word, ...]) -> str:
    """Words as text, punctuation attached to the word before."""
    return "".join(("" if word.punctuation else " ") + word.text for word in words).strip()


def meeting_ids(root: Path) -> list[str]:
    """The meetings that have a file of words, segments or an abstractive summary, sorted."""
    found = set()
    for layer, suffix in (("words", ".words.xml"), ("segments", ".segments.xml"), ("abstractive", ".abssumm.xml")):
        if (root / layer).is_dir():
            found |= {name.partition(".")[0] for name in os.listdir(root / layer) if name.endswith(suffix)}
    return sorted(found)


def read_speakers(root: Path) -> tuple[dict[str, dict[str, Speaker]], list[Problem]]:
    """Meeting -> agent -> speaker, of corpusResources; empty where these files are not there."""
    problems: list[Problem] = []
    roots: list[Element] = []
    for name in ("participants.xml", "meetings.xml"):
        path = root / "corpusResources" / name
        element = read_xml(path) if path.is_file() else Element("none")
        if isinstance(element, Problem):
            problems.append(element)
            element = Element("none")
        roots.append(element)
    sexes = {item.get(ID, ""): item.get("sex", "") for item in roots[0].iter("participant")}
    meetings: dict[str, dict[str, Speaker]] = {}
    for meeting in roots[1].iter("meeting"):
        meetings[meeting.get("observation", "")] = {
            item.get("nxt_agent", ""): Speaker(
                name=item.get("global_name", ""),
                role=item.get("role", ""),
                channel=int(item.get("channel", "")) if item.get("channel", "").isdigit() else None,
                sex=sexes.get(item.get("global_name", ""), ""),
            )
            for item in meeting.iter("speaker")
        }
    return meetings, problems


def read_meeting(root: Path, id: str, speakers: dict[str, Speaker]) -> Meeting:
    """One meeting of the annotations in `root`. Raises nothing: what is wrong is in the meeting's problems."""
    meeting = Meeting(id, speakers)
    acts: dict[str, dict[str, Act | None]] = {}
    kinds = _act_kinds(root)
    for agent in _agents(root, id):
        words = _read_words(meeting, root / "words" / f"{id}.{agent}.words.xml")
        _read_segments(meeting, root / "segments" / f"{id}.{agent}.segments.xml", agent, words)
        path = root / "dialogueActs" / f"{id}.{agent}.dialog-act.xml"
        acts[path.name] = _read_acts(meeting, path, agent, words, kinds)
    meeting.turns.sort(key=lambda turn: turn.start_seconds)
    _read_summary(meeting, root / "abstractive" / f"{id}.abssumm.xml")
    _read_links(meeting, root / "extractive" / f"{id}.summlink.xml", acts)
    _read_extract(meeting, root / "extractive" / f"{id}.extsumm.xml", acts)
    return meeting


def _agents(root: Path, id: str) -> list[str]:
    """The letters of a meeting's agents."""
    paths = [*root.glob(f"words/{id}.*.words.xml"), *root.glob(f"segments/{id}.*.segments.xml")]
    return sorted({path.name.split(".")[1] for path in paths})


def _act_kinds(root: Path) -> dict[str, str]:
    """The glosses of dialogue act types by id; the ids themselves do where the ontology is not there."""
    path = root / "ontologies" / "da-types.xml"
    element = read_xml(path) if path.is_file() else None
    if not isinstance(element, Element):
        return {}
    return {item.get(ID, ""): item.get("gloss", "") for item in element.iter()}


def _open(meeting: Meeting, path: Path, needed: bool) -> Element | None:
    """The root of a file, or None with a problem noted if it is broken, or not there although it is needed."""
    if not path.is_file() and not needed:
        return None
    element = read_xml(path)
    if isinstance(element, Problem):
        meeting.file_problems.append(element)
        return None
    return element


def _read_words(meeting: Meeting, path: Path) -> _Words:
    """An agent's words."""
    result = _Words()
    element = _open(meeting, path, needed=True)
    for item in element if element is not None else ():
        result.positions[item.get(ID, "")] = len(result.words)
        word = None
        if item.tag == "w" and item.text and item.text.strip():
            times = (_seconds(item.get("starttime")), _seconds(item.get("endtime")))
            word = Word(item.text.strip(), item.get("punc") == "true", *times)
        result.words.append(word)
    return result


def _seconds(text: str | None) -> float | None:
    """A time, or None where there is none (release 1.6 has words without, and NaN)."""
    try:
        seconds = float(text or "nan")
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None


def _find(href: str, positions: dict[str, int]) -> tuple[int, int] | str:
    """First and last position of what an href names, or what is wrong with it."""
    match = HREF.fullmatch(href)
    if match is None:
        return f"{href!r} is not FILE#id(X) or FILE#id(X)..id(Y)"
    first, last = match["first"], match["last"] or match["first"]
    absent = [id for id in (first, last) if id not in positions]
    if absent:
        return f"no {absent[0]} in {match['file']}"
    if positions[last] < positions[first]:
        return f"{last} stands before {first} in {match['file']}"
    return positions[first], positions[last]


def _words_of(item: Element, words: _Words, place: Place, problems: list[Problem]) -> tuple[Word, ...] | str:
    """The words that an element's children name, or what is wrong. A range across missing ids is noted."""
    result: list[Word] = []
    for child in item.iter(CHILD):
        href = child.get("href", "")
        span = _find(href, words.positions)
        if isinstance(span, str):
            return span
        numbers = [int(number) for number in re.findall(r"words(\d+)\)", href)]
        if len(numbers) == 2 and numbers[1] - numbers[0] != span[1] - span[0]:
            detail = f"{href} names {numbers[1] - numbers[0] + 1} ids, {span[1] - span[0] + 1} are there"
            problems.append(place.problem("range-with-gap", detail, REPAIR, dropped=False))
        result += [word for word in words.words[span[0] : span[1] + 1] if word is not None]
    return tuple(result)


def _read_segments(meeting: Meeting, path: Path, agent: str, words: _Words) -> None:
    """An agent's segments, into turns."""
    element = _open(meeting, path, needed=True)
    problems = meeting.turn_problems
    for item in element.iter("segment") if element is not None else ():
        place = Place(str(path), id=item.get(ID))
        start, end = _seconds(item.get("transcriber_start")), _seconds(item.get("transcriber_end"))
        if start is None or end is None or end <= start:
            times = f"from {item.get('transcriber_start')} to {item.get('transcriber_end')}"
            problems.append(place.problem("segment-without-times", f"a segment {times}", REPAIR))
            continue
        found = _words_of(item, words, place, problems)
        if isinstance(found, str):
            problems.append(place.problem("unknown-word", found, REPAIR, seconds=end - start))
        elif not found:
            what_to_do = "nothing: a laugh, a noise or a gap is no speech to transcribe"
            problems.append(place.problem("no-words", "a segment without words", what_to_do, seconds=end - start))
        else:
            if absent := [word.text for word in found if word.start_seconds is None or word.end_seconds is None]:
                detail = f"no times for {' '.join(absent)}; the segment's own are kept"
                problems.append(place.problem("words-without-times", detail, "see the read-me", dropped=False))
            meeting.turns.append(Turn(start, end, agent, join_words(found), found, place))


def _read_acts(meeting: Meeting, path: Path, agent: str, words: _Words, kinds: dict[str, str]) -> dict[str, Act | None]:
    """An agent's dialogue acts by id, in the file's order; None for one without words or times."""
    acts: dict[str, Act | None] = {}
    element = _open(meeting, path, needed=False)
    for item in element.iter("dact") if element is not None else ():
        id = item.get(ID, "")
        place = Place(str(path), id=id)
        acts[id] = None
        found = _words_of(item, words, place, meeting.link_problems)
        if isinstance(found, str):
            meeting.link_problems.append(place.problem("unknown-word", found, REPAIR, dropped=False))
            continue
        starts = [word.start_seconds for word in found if word.start_seconds is not None]
        ends = [word.end_seconds for word in found if word.end_seconds is not None]
        if not starts or not ends or max(ends) <= min(starts):
            if found:
                detail = f"no times for {join_words(found)!r}"
                problem = place.problem("act-without-times", detail, "see the read-me", dropped=False)
                meeting.link_problems.append(problem)
            continue
        hrefs = [pointer.get("href", "") for pointer in item.iter(POINTER) if pointer.get("role") == "da-aspect"]
        match = HREF.fullmatch(hrefs[0]) if hrefs else None  # 28 acts of the corpus have no type
        kind = kinds.get(match["first"], match["first"]) if match else ""
        acts[id] = Act(id, agent, kind, min(starts), max(ends), join_words(found))
    return acts


def _read_summary(meeting: Meeting, path: Path) -> None:
    """The sentences of the abstractive summary."""
    element = _open(meeting, path, needed=False)
    for part in element if element is not None else ():
        for item in part.iter("sentence"):
            id = item.get(ID, "")
            text = " ".join("".join(item.itertext()).split())
            meeting.sentences.append(Sentence(id, part.tag, text, Place(str(path), id=id)))


def _acts_of(href: str, acts: dict[str, dict[str, Act | None]]) -> list[Act] | str:
    """The acts that an href names, or what is wrong with it."""
    of_file = acts.get(href.partition("#")[0])
    if of_file is None:
        return f"no file {href.partition('#')[0]!r} of this meeting"
    span = _find(href, {id: position for position, id in enumerate(of_file)})
    if isinstance(span, str):
        return span
    return [act for act in list(of_file.values())[span[0] : span[1] + 1] if act is not None]


def _read_links(meeting: Meeting, path: Path, acts: dict[str, dict[str, Act | None]]) -> None:
    """The links from sentences to dialogue acts."""
    sentences = {sentence.id for sentence in meeting.sentences}
    element = _open(meeting, path, needed=False)
    linked: dict[str, dict[str, Act]] = {}
    for item in element.iter("summlink") if element is not None else ():
        place = Place(str(path), id=item.get(ID))
        hrefs = {pointer.get("role", ""): pointer.get("href", "") for pointer in item.iter(POINTER)}
        match = HREF.fullmatch(hrefs.get("abstractive", ""))
        if match is None or match["first"] not in sentences:
            detail = f"no sentence {hrefs.get('abstractive', '')!r}"
            meeting.link_problems.append(place.problem("unknown-sentence", detail, REPAIR, dropped=False))
            continue
        found = _acts_of(hrefs.get("extractive", ""), acts)
        if isinstance(found, str):
            meeting.link_problems.append(place.problem("unknown-act", found, REPAIR, dropped=False))
        else:
            linked.setdefault(match["first"], {}).update((act.id, act) for act in found)
    for id, of_sentence in linked.items():
        meeting.links[id] = _by_start(of_sentence.values())


def _read_extract(meeting: Meeting, path: Path, acts: dict[str, dict[str, Act | None]]) -> None:
    """The acts of the extractive summary."""
    element = _open(meeting, path, needed=False)
    extracted: dict[str, Act] = {}
    for child in element.iter(CHILD) if element is not None else ():
        found = _acts_of(child.get("href", ""), acts)
        if isinstance(found, str):
            place = Place(str(path), id=meeting.id)
            meeting.link_problems.append(place.problem("unknown-act", found, REPAIR, dropped=False))
        else:
            extracted.update((act.id, act) for act in found)
    meeting.extracted = _by_start(extracted.values())


def _by_start(acts: Iterable[Act]) -> list[Act]:
    """Acts sorted by their start."""
    return sorted(acts, key=lambda act: (act.start_seconds, act.end_seconds, act.id))
