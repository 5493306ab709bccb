"""The spoken world written down as other corpora are: LibriSpeech, AMI, Spoken-SQuAD, each in its official layout.

So what reads these corpora can be tried whole, at any size: what comes back must be the world that was written.
"""

from __future__ import annotations

import dataclasses
import json
import random
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np

from iclal.audio.reading import SAMPLE_RATE, header, read_audio, write_wav
from iclal.audio.speaking import Speech, speak_all
from iclal.data.manifest import Utterance
from iclal.data.world import names, sentences, speech, voices
from iclal.errors import DataError, SettingsError

TEST_SHARE = 0.25  # of the passages: the test's sentences by the test's voices
SPEAKERS = {"train": ("1001", "1002", "1003", "1004"), "test": ("2001", "2002", "2003", "2004")}
SUBSETS = {"train": "train-clean-100", "test": "test-clean"}
PARAGRAPHS_A_TOPIC = 5
PASSAGES_A_MEETING = 8
PAUSE_SECONDS = 0.4  # between the turns of a meeting
TEST_SERIES = ("ES2004", "ES2014", "IS1009", "TS3003", "TS3007", "EN2002")  # of AMI's official partition
AGENTS, ROLES = "ABCD", ("PM", "ME", "UI", "ID")
NITE = 'xmlns:nite="http://nite.sourceforge.net/"'


def write_world(layout: str, out: Path, *, seed: int = 0, size: int = 20, folder: Path | None = None) -> Path:
    """Write `size` passages of the spoken world in a corpus's official layout into `out`; returns `out`.

    A quarter of them is the test's, by voices and sentences of the test. `folder` is the speech cache's.

    Raises:
        SettingsError: an unknown layout, or a size that it cannot hold.
        DataError: `out` is there and not empty.
        MissingError, AudioError: as `iclal.audio.speaking`.
    """
    if layout not in LAYOUTS:
        raise SettingsError(f"no layout '{layout}'; known are {', '.join(LAYOUTS)}")
    if size < 2:
        raise SettingsError(f"size must be 2 or more (one passage to train, one to test), found {size}")
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} is there and not empty; give a new folder")
    out.mkdir(parents=True, exist_ok=True)
    LAYOUTS[layout](tell(seed, size), out, folder)
    return out


def tell(seed: int, size: int) -> list[Utterance]:
    """The passages of a written world, not yet spoken: a function of the arguments alone.

    Each speaker has one voice (`extra.voice`) and a `extra.sex`, M or F.
    """
    told: list[Utterance] = []
    tests = max(1, round(TEST_SHARE * size))
    for split, part, count in (("train", "ears", size - tests), ("test", "test", tests)):
        rng = random.Random(f"layout {split} {seed}")
        castings = {speaker: _cast_adult(rng, part) for speaker in SPEAKERS[split]}
        for number in range(count):
            passage = sentences.passage(rng, f"{split}-{seed}-{number}", part)
            speaker = SPEAKERS[split][number % len(SPEAKERS[split])]
            casting = castings[speaker]
            sex = "M" if casting.speaker == "man" else "F"
            extra = passage.extra | {"voice": dataclasses.asdict(casting.voice), "sex": sex}
            told.append(dataclasses.replace(passage, split=split, speaker=speaker, extra=extra))
    return told


def _cast_adult(rng: random.Random, part: str) -> voices.Casting:
    while True:
        casting = voices.cast(rng, part, noisy_share=0.0)
        if casting.speaker != "child":
            return casting


def words_of(utterance: Utterance) -> list[str]:
    """The words of a passage, without full stops: what LibriSpeech would write."""
    return (utterance.text or "").replace(".", "").split()


def extractive(utterance: Utterance) -> list[Any]:
    """The questions whose answer stands in the passage, as all of Spoken-SQuAD's do (so no yes or no)."""
    return [question for question in utterance.questions if question.answers[0] in (utterance.text or "")]


def _groups(told: Sequence[Utterance], split: str, size: int) -> list[list[Utterance]]:
    """The passages of a split, `size` and `size` together; the last group may be smaller."""
    own = [utterance for utterance in told if utterance.split == split]
    return [own[first : first + size] for first in range(0, len(own), size)]


def _speak(told: Sequence[Utterance], folder: Path | None) -> list[Path]:
    """The recording of each passage."""
    return speak_all([Speech(names.spoken_form(u.text or ""), speech.voice_of(u)) for u in told], folder)


# --- LibriSpeech


def _librispeech(told: Sequence[Utterance], out: Path, folder: Path | None) -> None:
    """SUBSET/SPEAKER/CHAPTER/*.flac with one transcript a chapter; SPEAKERS.TXT."""
    lines: dict[Path, list[str]] = {}
    minutes: dict[str, float] = {}
    readers = {u.speaker or "": u for u in told}
    for utterance, recording in zip(told, _speak(told, folder), strict=True):
        speaker = utterance.speaker or ""
        chapter = f"{speaker}0"
        place = out / SUBSETS[utterance.split or ""] / speaker / chapter
        place.mkdir(parents=True, exist_ok=True)
        transcript = lines.setdefault(place / f"{speaker}-{chapter}.trans.txt", [])
        id = f"{speaker}-{chapter}-{len(transcript):04d}"
        transcript.append(f"{id} {' '.join(words_of(utterance)).upper()}")
        shutil.copyfile(recording, place / f"{id}.flac")
        minutes[speaker] = minutes.get(speaker, 0.0) + header(recording).duration_seconds / 60
    for path, transcript in lines.items():
        path.write_text("\n".join(transcript) + "\n", encoding="utf-8")
    table = [";ID  |SEX| SUBSET           |MINUTES| NAME"]
    for speaker, one in sorted(readers.items()):
        subset = SUBSETS[one.split or ""]
        table.append(f"{speaker:5s}| {one.extra['sex']} | {subset:17s}| {minutes[speaker]:5.2f} | Speaker {speaker}")
    (out / "SPEAKERS.TXT").write_text("\n".join(table) + "\n", encoding="utf-8")


# --- Spoken-SQuAD


def _spoken_squad(told: Sequence[Utterance], out: Path, folder: Path | None) -> None:
    """SQuAD's JSON by split; wavs named by topic, paragraph and sentence."""
    for split, wavs in (("train", "train_wav"), ("test", "dev_wav")):
        topics = []
        for topic, paragraphs in enumerate(_groups(told, split, PARAGRAPHS_A_TOPIC)):
            for number, utterance in enumerate(paragraphs):
                voice = speech.voice_of(utterance)
                spoken = speak_all(
                    [Speech(names.spoken_form(s), voice) for s in sentences.split(utterance.text or "")], folder
                )
                for sentence, recording in enumerate(spoken):
                    path = out / wavs / f"{topic}_{number}_{sentence}.wav"
                    path.parent.mkdir(exist_ok=True)
                    write_wav(path, read_audio(recording).samples)
            topics.append({"title": f"World_{topic}", "paragraphs": [_paragraph(u) for u in paragraphs]})
        values = {"data": topics, "version": "1.1"}
        (out / f"spoken_{split}-v1.1.json").write_text(json.dumps(values), encoding="utf-8")


def _paragraph(utterance: Utterance) -> dict[str, Any]:
    """A passage with its questions; answers with their place in the text."""
    text = utterance.text or ""
    questions = [
        {
            "id": question.id,
            "question": question.question,
            "answers": [{"text": answer, "answer_start": text.index(answer)} for answer in question.answers],
        }
        for question in extractive(utterance)
    ]
    return {"context": text, "qas": questions}


# --- AMI


@dataclass(frozen=True)
class _Turn:
    """A passage in a meeting: who says it, when, and where its words stand in the agent's file."""

    utterance: Utterance
    agent: str
    start_seconds: float
    end_seconds: float
    first_word: int
    acts: tuple[tuple[int, int], ...]  # of each sentence: its first and its last word, full stop included

    @property
    def last_word(self) -> int:
        return self.acts[-1][1]


@dataclass
class _Meeting:
    """A meeting of four speakers, one headset each, who take turns."""

    id: str
    turns: list[_Turn]
    samples: dict[str, np.ndarray]  # by agent, all as long as the meeting


def meeting_names(split: str, count: int) -> list[str]:
    """Names of meetings that AMI's official partition puts into the split. Raises SettingsError for too many."""
    if split == "train":
        return [f"ES{5000 + number}a" for number in range(count)]
    every = [series + letter for letter, series in product("abcdefghijklmnopqrstuvwxyz", TEST_SERIES)]
    if count > len(every):
        most = round(len(every) * PASSAGES_A_MEETING / TEST_SHARE)
        raise SettingsError(f"AMI's test has room for {len(every)} meetings, {count} are needed; size {most} at most")
    return every[:count]


def _ami(told: Sequence[Utterance], out: Path, folder: Path | None) -> None:
    """Manual annotations (NXT XML) with headsets and their mix."""
    meetings = []
    for split in SPEAKERS:
        groups = _groups(told, split, PASSAGES_A_MEETING)
        for id, group in zip(meeting_names(split, len(groups)), groups, strict=True):
            meetings.append(_meet(id, group, split, folder))
    for meeting in meetings:
        _write_recordings(meeting, out / "amicorpus" / meeting.id / "audio")
        for agent in meeting.samples:
            _write_agent(meeting, agent, out)
        _write_summary(meeting, out)
    _write_people(told, meetings, out)


def _meet(id: str, group: Sequence[Utterance], split: str, folder: Path | None) -> _Meeting:
    """Passages one after another, with pauses."""
    turns: list[_Turn] = []
    parts: list[tuple[str, int, np.ndarray]] = []
    counts = dict.fromkeys(AGENTS, 0)
    at = round(PAUSE_SECONDS * SAMPLE_RATE)
    for utterance, recording in zip(group, _speak(group, folder), strict=True):
        agent = AGENTS[SPEAKERS[split].index(utterance.speaker or "")]
        samples = read_audio(recording).samples
        acts = []
        for sentence in sentences.split(utterance.text or ""):
            words = len(_tokens(sentence))
            acts.append((counts[agent], counts[agent] + words - 1))
            counts[agent] += words
        times = (at / SAMPLE_RATE, (at + len(samples)) / SAMPLE_RATE)
        turns.append(_Turn(utterance, agent, *times, acts[0][0], tuple(acts)))
        parts.append((agent, at, samples))
        at += len(samples) + round(PAUSE_SECONDS * SAMPLE_RATE)
    tracks = {agent: np.zeros(at, np.float32) for agent in AGENTS}
    for agent, start, samples in parts:
        tracks[agent][start : start + len(samples)] = samples
    return _Meeting(id, turns, tracks)


def _tokens(text: str) -> list[str]:
    """Words and full stops."""
    return re.findall(r"\w+|\.", text)


def _write_recordings(meeting: _Meeting, place: Path) -> None:
    place.mkdir(parents=True)
    for channel, samples in enumerate(meeting.samples.values()):
        write_wav(place / f"{meeting.id}.Headset-{channel}.wav", samples)
    write_wav(place / f"{meeting.id}.Mix-Headset.wav", np.sum(list(meeting.samples.values()), axis=0))


def _write_agent(meeting: _Meeting, agent: str, out: Path) -> None:
    """An agent's words, segments and dialogue acts. Words share a turn's time evenly."""
    name = f"{meeting.id}.{agent}"
    words, segments, acts = [], [], []
    for turn in (turn for turn in meeting.turns if turn.agent == agent):
        tokens = _tokens(turn.utterance.text or "")
        times = np.linspace(turn.start_seconds, turn.end_seconds, 1 + sum(token != "." for token in tokens))
        said = 0
        for number, token in enumerate(tokens, turn.first_word):
            start, said = times[said], said + (token != ".")
            mark = ' punc="true"' if token == "." else ""
            words.append(f"<w {_id(name, 'words', number)} {_span('', start, times[said])}{mark}>{token}</w>")
        segments.append(
            f'<segment {_id(name, "sync", len(segments))} channel="{AGENTS.index(agent)}" '
            f"{_span('transcriber_', turn.start_seconds, turn.end_seconds)}>"
            f"{_child(name, turn.first_word, turn.last_word)}</segment>"
        )
        for first, last in turn.acts:
            kind = '<nite:pointer role="da-aspect" href="da-types.xml#id(ami_da_4)"/>'
            acts.append(f"<dact nite:id={quoteattr(_act(name, first))}>{kind}{_child(name, first, last)}</dact>")
    _write_xml(out / "words" / f"{name}.words.xml", words)
    _write_xml(out / "segments" / f"{name}.segments.xml", segments)
    _write_xml(out / "dialogueActs" / f"{name}.dialog-act.xml", acts)


def _write_summary(meeting: _Meeting, out: Path) -> None:
    """Each passage's summary as a sentence of the abstract, linked to its acts; its first act is the extract's."""
    abstract, links, extract = [], [], []
    for number, turn in enumerate(meeting.turns, 1):
        sentence = f"{meeting.id}.s.{number}"
        abstract.append(f"<sentence nite:id={quoteattr(sentence)}>{turn.utterance.summary}</sentence>")
        name = f"{meeting.id}.{turn.agent}"
        hrefs = [f"{name}.dialog-act.xml#id({_act(name, first)})" for first, _ in turn.acts]
        extract.append(f"<nite:child href={quoteattr(hrefs[0])}/>")
        for href in hrefs:
            links.append(
                f'<summlink {_id(meeting.id, "summlink", len(links))}><nite:pointer role="extractive" href="{href}"/>'
                f'<nite:pointer role="abstractive" href="{meeting.id}.abssumm.xml#id({sentence})"/></summlink>'
            )
    parts = [f"<abstract>{''.join(abstract)}</abstract>", "<actions/>", "<decisions/>", "<problems/>"]
    _write_xml(out / "abstractive" / f"{meeting.id}.abssumm.xml", parts)
    _write_xml(out / "extractive" / f"{meeting.id}.summlink.xml", links)
    _write_xml(out / "extractive" / f"{meeting.id}.extsumm.xml", ["<extsumm>", *extract, "</extsumm>"])


def _write_people(told: Sequence[Utterance], meetings: Sequence[_Meeting], out: Path) -> None:
    """Who speaks in which meeting by which headset, and the types of dialogue acts."""
    sexes = {u.speaker or "": u.extra["sex"] for u in told}
    _write_xml(
        out / "corpusResources" / "participants.xml",
        [f'<participant nite:id="{speaker}" sex="{sex}"/>' for speaker, sex in sorted(sexes.items())],
    )
    items = []
    for number, meeting in enumerate(meetings):
        split = meeting.turns[0].utterance.split or ""
        people = "".join(
            f'<speaker nite:id="{meeting.id}_{channel}" channel="{channel}" nxt_agent="{AGENTS[channel]}" '
            f'global_name="{name}" role="{ROLES[channel]}"/>'
            for channel, name in enumerate(SPEAKERS[split])
        )
        items.append(f'<meeting nite:id="meet_{number}" observation="{meeting.id}">{people}</meeting>')
    _write_xml(out / "corpusResources" / "meetings.xml", items)
    _write_xml(out / "ontologies" / "da-types.xml", ['<da-type nite:id="ami_da_4" name="inf" gloss="Inform"/>'])


def _id(name: str, layer: str, number: int) -> str:
    return f'nite:id="{name}.{layer}{number}"'


def _act(name: str, first_word: int) -> str:
    """A dialogue act's id: named after its first word."""
    return f"{name}.dialog-act.world.{first_word}"


def _span(prefix: str, start_seconds: float, end_seconds: float) -> str:
    """Times to a fraction of a sample."""
    start, end = ("start", "end") if prefix else ("starttime", "endtime")
    return f'{prefix}{start}="{start_seconds:.7f}" {prefix}{end}="{end_seconds:.7f}"'


def _child(name: str, first_word: int, last_word: int) -> str:
    return f'<nite:child href="{name}.words.xml#id({name}.words{first_word})..id({name}.words{last_word})"/>'


def _write_xml(path: Path, items: Sequence[str]) -> None:
    """An NXT file in its own encoding."""
    path.parent.mkdir(parents=True, exist_ok=True)
    head = '<?xml version="1.0" encoding="ISO-8859-1" standalone="yes"?>'
    text = "\n".join([head, f'<nite:root nite:id="{path.stem}" {NITE}>', *items, "</nite:root>", ""])
    path.write_text(text, encoding="iso-8859-1")


LAYOUTS: dict[str, Callable[[Sequence[Utterance], Path, Path | None], None]] = {
    "librispeech": _librispeech,
    "ami": _ami,
    "spoken-squad": _spoken_squad,
}
