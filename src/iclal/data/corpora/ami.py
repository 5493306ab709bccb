"""The AMI Meeting Corpus: official manual annotations with headset mix, single headsets or array audio, or no audio.

    ROOT/{words,segments,dialogueActs,abstractive,extractive,corpusResources}/*.xml
    AUDIO/ES2002a/audio/ES2002a.{Mix-Headset,Headset-0,Array1-01}.wav      (or directly in AUDIO)

Three outputs:

- segments: what one speaker says between pauses, with words and times (transcription).
- spans: for a sentence of the abstractive summary, the stretch of at most `max_seconds` that holds most of the dialogue
  acts that the sentence links to, with up to `context_seconds` around it. Linked acts may lie minutes apart; `extra`
  says how many there are, how many are inside, and what share of their seconds.
- meetings: whole, with the four parts of the summary.

The data folder's `meetings.jsonl.gz` (turns and summaries of 142 meetings) is read too: no words, no acts, no spans.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import pydantic

from iclal.data.corpora.ami_nxt import (
    PARTS,
    Act,
    Meeting,
    Sentence,
    Speaker,
    Turn,
    Word,
    join_words,
    meeting_ids,
    read_meeting,
    read_speakers,
)
from iclal.data.corpora.reader import Candidate, Place, Problem, locate, read_jsonl
from iclal.data.manifest import Utterance
from iclal.errors import DataError
from iclal.settings import Settings

SAMPLE_RATE_HZ = 16_000
LAYOUT = "the manual annotations (folders words, segments, abstractive, ...) or meetings.jsonl.gz"
NOT_APPLICABLE = re.compile(r"\W*N\.?A\W*", re.IGNORECASE)

# The official partitions by series of meetings; what is in neither list is training. The official lists leave IB4005
# out; it stands with its kind, as in the data folder.
PARTITIONS = {
    "full-corpus": {
        "dev": "ES2003 ES2011 IS1008 TS3004 TS3006 IB4001 IB4002 IB4003 IB4004 IB4005 IB4010 IB4011".split(),
        "test": "ES2004 ES2014 IS1009 TS3003 TS3007 EN2002".split(),
    },
    "full-corpus-asr": {
        "dev": "ES2011 IS1008 TS3004 IB4001 IB4002 IB4003 IB4004 IB4005 IB4010 IB4011".split(),
        "test": "ES2004 IS1009 TS3003 EN2002".split(),
    },
}
MICROPHONES = {"headset-mix": "Mix-Headset", "headset": "Headset-{channel}", "array": "Array1-01"}


class Options(Settings):
    """What to make of the meetings.

    `microphone` auto takes what is there: single headsets (segments only), else the mix, else no audio. `meetings` are
    names or series (ES2002a, ES2002); none named means all. `audio` is the folder of the recordings, if it is not
    signals, amicorpus or wav_db in the source.
    """

    output: Literal["segments", "spans", "meetings"] = "segments"
    audio: Path | None = None
    microphone: Literal["auto", "none", "headset-mix", "headset", "array"] = "auto"
    partition: Literal["full-corpus", "full-corpus-asr"] = "full-corpus"
    splits: tuple[Literal["train", "dev", "test"], ...] = ()
    meetings: tuple[str, ...] = ()
    max_seconds: float = pydantic.Field(default=60.0, gt=0)
    context_seconds: float = pydantic.Field(default=5.0, ge=0)

    @pydantic.model_validator(mode="after")
    def _one_headset_hears_one_speaker(self) -> Options:
        if self.microphone == "headset" and self.output != "segments":
            raise ValueError(f"{self.output} have several speakers: take headset-mix or array, not headset")
        return self


def read(source: Path, options: Options) -> Iterator[Candidate | Problem]:
    """Segments, spans or meetings, meeting by meeting.

    Raises:
        DataError: no annotations in the source, spans asked of meetings.jsonl.gz, no such audio folder.
    """
    audio = _audio_folder(Path(source), options)
    wanted = set(options.meetings)
    found_any = False
    for item in read_meetings(source, options.output == "spans"):
        if isinstance(item, Problem):
            yield item
            continue
        names = {item.id, item.id[:6]}
        split = split_of(item.id, options.partition)
        if (options.meetings and not names & set(options.meetings)) or (options.splits and split not in options.splits):
            continue
        wanted -= names
        found_any = True
        microphone = _microphone(item, audio, options)
        if microphone == "none" and options.microphone == "auto" and options.audio:
            detail = f"no recording of {item.id} in {audio}"
            yield Place(str(audio), id=item.id).problem("no-recording", detail, "fetch it", dropped=False)
        scene = _Scene(item, split, audio, microphone)
        yield from {"segments": _segments, "spans": _spans, "meetings": _whole}[options.output](scene, options)
    if not found_any:
        raise DataError(f"no meeting of {source} is in {', '.join(options.meetings or options.splits)}")
    for name in sorted(wanted):
        yield Place(str(source), id=name).problem("missing-split", f"no meeting {name}", "fetch it, or do not name it")


def split_of(meeting: str, partition: str = "full-corpus") -> str:
    """train, dev or test by AMI's official partition."""
    series = meeting[:6]
    return next((split for split, all_series in PARTITIONS[partition].items() if series in all_series), "train")


def read_meetings(source: Path, spans: bool = False) -> Iterator[Meeting | Problem]:
    """Meetings of the annotations or of meetings.jsonl.gz, sorted as they stand there. Raises DataError if neither."""
    source = Path(os.path.realpath(source))
    root = next((path for path in (source, source / "nxt") if (path / "words").is_dir()), None)
    if root is None and source.is_dir():
        root = next((path.parent for path in sorted(source.glob("*/words"))), None)
    if root is not None:
        speakers, problems = read_speakers(root)
        yield from problems
        for id in meeting_ids(root):
            yield read_meeting(root, id, speakers.get(id, {}))
        return
    path = source / "meetings.jsonl.gz" if source.is_dir() else source
    if not path.is_file():
        names = ", ".join(sorted(os.listdir(source))[:5]) if source.is_dir() else "nothing"
        raise DataError(f"{source} is not AMI: expected {LAYOUT}; found {names or 'nothing'}")
    if spans:
        raise DataError(f"{path} has no dialogue acts, so no spans: give the manual annotations")
    for item in read_jsonl(path):
        yield item if isinstance(item, Problem) else _meeting_of_line(path, *item)


def _meeting_of_line(path: Path, number: int, values: dict[str, Any]) -> Meeting | Problem:
    """A meeting of meetings.jsonl.gz."""
    place = Place(str(path), number, str(values.get("id")))
    try:
        return Meeting(
            id=values["id"],
            speakers={agent: Speaker(item["name"], item["role"]) for agent, item in values["speakers"].items()},
            turns=[Turn(float(start), float(end), agent, text) for start, end, agent, text in values["turns"]],
            sentences=[
                Sentence(f"{values['id']}.{part}.{index}", part, text, place)
                for part in PARTS
                for index, text in enumerate(values["summary"][part], 1)
            ],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return place.problem("broken-meeting", f"not a meeting: {error!r}", "repair the line")


class _Scene:
    """A meeting with its split and recordings: what every output of it needs."""

    def __init__(self, meeting: Meeting, split: str, audio: Path, microphone: str) -> None:
        self.meeting = meeting
        self.split = split
        self.audio = audio
        self.microphone = microphone

    def name(self, agent: str) -> str:
        """The speaker's name in the corpus; the meeting and letter where it is not told."""
        speaker = self.meeting.speakers.get(agent)
        return speaker.name if speaker and speaker.name else f"{self.meeting.id}-{agent}"

    def candidate(self, utterance: Utterance, place: Place, spoken: Sequence[Turn]) -> Candidate | Problem:
        """The utterance with the recording of the chosen microphone."""
        pairs = tuple((self.name(turn.agent), turn.text) for turn in spoken)
        if self.microphone == "none":
            return Candidate(utterance, place, spoken=pairs)
        channel = None
        if self.microphone == "headset":
            speaker = self.meeting.speakers.get(spoken[0].agent)
            if speaker is None or speaker.channel is None:
                what_to_do = "fetch corpusResources/meetings.xml, or take headset-mix"
                return place.problem("unknown-channel", f"no headset of {spoken[0].agent} is told", what_to_do)
            channel = speaker.channel
        path = recording(self.audio, self.meeting.id, self.microphone, channel, place)
        return path if isinstance(path, Problem) else Candidate(utterance, place, (path,), SAMPLE_RATE_HZ, pairs)


def _audio_folder(source: Path, options: Options) -> Path:
    """Where recordings lie. Raises DataError for a folder that was named and is not there."""
    if options.audio is not None:
        if not options.audio.is_dir():
            raise DataError(f"no audio folder {options.audio}")
        return options.audio
    return next((path for name in ("signals", "amicorpus", "wav_db") if (path := source / name).is_dir()), source)


def recording(audio: Path, meeting: str, microphone: str, channel: int | None, place: Place) -> Path | Problem:
    """The path of a recording, as WAV or FLAC, in AMI's folders or directly; the official one where none is there."""
    file = f"{meeting}.{MICROPHONES[microphone].format(channel=channel)}"
    names = [
        f"{folder}{file}.{kind}" for folder in (f"{meeting}/audio/", "", f"{meeting}/") for kind in ("wav", "flac")
    ]
    name = next((name for name in names if os.path.lexists(audio / name)), names[0])
    return locate(audio, name, place)


def _microphone(meeting: Meeting, audio: Path, options: Options) -> str:
    """The microphone to take for a meeting."""
    if options.microphone != "auto":
        return options.microphone
    channels = [speaker.channel for speaker in meeting.speakers.values() if speaker.channel is not None]
    choices = [("headset", channels[0])] if channels and options.output == "segments" else []
    for microphone, channel in (*choices, ("headset-mix", None), ("array", None)):
        path = recording(audio, meeting.id, microphone, channel, Place(str(audio)))
        if isinstance(path, Path) and path.is_file():
            return microphone
    return "none"


def _warnings(problems: Sequence[Problem]) -> Iterator[Problem]:
    """Problems that lose no item of the output at hand."""
    return (dataclasses.replace(problem, dropped=False) for problem in problems)


def _segments(scene: _Scene, options: Options) -> Iterator[Candidate | Problem]:
    """One utterance a transcriber's segment."""
    meeting = scene.meeting
    yield from meeting.file_problems
    yield from meeting.turn_problems
    for turn in meeting.turns:
        speaker = meeting.speakers.get(turn.agent, Speaker(""))
        id = f"{meeting.id}-{turn.agent}-{round(turn.start_seconds * 1000):07d}-{round(turn.end_seconds * 1000):07d}"
        extra: dict[str, Any] = {"meeting": meeting.id, "agent": turn.agent, "microphone": scene.microphone}
        extra |= {name: value for name, value in (("role", speaker.role), ("sex", speaker.sex)) if value}
        if turn.words:
            extra["words"] = [[start, end, text] for start, end, text in _timed(turn.words)]
        utterance = Utterance(
            id=id,
            start_seconds=turn.start_seconds,
            duration_seconds=round(turn.end_seconds - turn.start_seconds, 6),
            speaker=scene.name(turn.agent),
            split=scene.split,
            text=turn.text,
            extra=extra,
        )
        yield scene.candidate(utterance, (turn.place or Place(meeting.id)).named(id), [turn])


def _timed(words: Sequence[Word]) -> list[tuple[float | None, float | None, str]]:
    """Words with their times, punctuation attached to the word before."""
    result: list[tuple[float | None, float | None, str]] = []
    for word in words:
        if word.punctuation and result:
            start, end, text = result[-1]
            result[-1] = (start, end, text + word.text)
        else:
            result.append((word.start_seconds, word.end_seconds, word.text))
    return result


def _spans(scene: _Scene, options: Options) -> Iterator[Candidate | Problem]:
    """One utterance a sentence of the abstractive summary."""
    meeting = scene.meeting
    yield from meeting.file_problems
    yield from _warnings(meeting.turn_problems)
    yield from meeting.link_problems
    for sentence in meeting.sentences:
        place = sentence.place
        acts = meeting.links.get(sentence.id, [])
        inside = _densest(acts, options.max_seconds)
        if meeting.file_problems:
            yield place.problem("incomplete-meeting", f"{meeting.id} has files that cannot be read", "see those files")
        elif NOT_APPLICABLE.fullmatch(sentence.text) or not sentence.text:
            yield place.problem("not-applicable", f"the annotator wrote {sentence.text!r}", "nothing")
        elif not acts:
            yield place.problem("no-links", f"no dialogue act is linked to {sentence.text!r}", "nothing")
        elif not inside:
            longest = max(act.end_seconds - act.start_seconds for act in acts)
            detail = f"acts of up to {longest:.1f} s, max_seconds is {options.max_seconds:g}"
            yield place.problem("span-too-long", detail, "raise max_seconds")
        else:
            yield _span(scene, sentence, acts, inside, options)


def _densest(acts: Sequence[Act], max_seconds: float) -> list[Act]:
    """Of acts sorted by start, those that fit into `max_seconds` and last longest together; the first if equal."""
    best: list[Act] = []
    for first in range(len(acts)):
        start = acts[first].start_seconds
        fitting = [act for act in acts[first:] if act.end_seconds - start <= max_seconds]
        if _seconds(fitting) > _seconds(best) + 1e-9:
            best = fitting
    return best


def _seconds(acts: Sequence[Act]) -> float:
    """What acts last together."""
    return sum(act.end_seconds - act.start_seconds for act in acts)


def _span(
    scene: _Scene, sentence: Sentence, acts: list[Act], inside: list[Act], options: Options
) -> Candidate | Problem:
    """The stretch around the acts that are inside, with context, and the sentence."""
    meeting = scene.meeting
    start, end = inside[0].start_seconds, max(act.end_seconds for act in inside)
    context = min(options.context_seconds, (options.max_seconds - (end - start)) / 2)
    last = max((turn.end_seconds for turn in meeting.turns), default=end)
    start, end = max(0.0, start - context), min(max(last, end), end + context)
    turns = [cut for turn in meeting.turns if (cut := _cut(turn, start, end))]
    number = [other.id for other in meeting.sentences].index(sentence.id) + 1
    utterance = Utterance(
        id=f"{meeting.id}-{sentence.part}-{number:02d}",
        start_seconds=round(start, 3),
        duration_seconds=round(end - start, 3),
        split=scene.split,
        text=" ".join(turn.text for turn in turns),
        summary=sentence.text,
        extra={
            "meeting": meeting.id,
            "microphone": scene.microphone,
            "part": sentence.part,
            "sentence": sentence.id,
            "turns": [[turn.start_seconds, turn.end_seconds, turn.agent, turn.text] for turn in turns],
            "acts": [[act.start_seconds, act.end_seconds, act.agent, act.kind, act.text] for act in inside],
            "linked_acts": len(acts),
            "covered": round(_seconds(inside) / _seconds(acts), 4),
        },
    )
    return scene.candidate(utterance, sentence.place.named(utterance.id), turns)


def _cut(turn: Turn, start: float, end: float) -> Turn | None:
    """The words of a turn between two times, None if there are none; words without times go with the word before."""
    if start <= turn.start_seconds and turn.end_seconds <= end:
        return turn
    words: list[Word] = []
    taken = False
    for word in turn.words:
        if not word.punctuation and word.start_seconds is not None and word.end_seconds is not None:
            taken = start <= word.start_seconds and word.end_seconds <= end
        if taken:
            words.append(word)
    if not words:
        return None
    begin, stop = max(start, turn.start_seconds), min(end, turn.end_seconds)
    return Turn(round(begin, 3), round(stop, 3), turn.agent, join_words(tuple(words)), tuple(words))


def _whole(scene: _Scene, options: Options) -> Iterator[Candidate | Problem]:
    """The meeting as one utterance."""
    meeting = scene.meeting
    yield from _warnings([*meeting.file_problems, *meeting.turn_problems, *meeting.link_problems])
    place = (meeting.sentences[0].place if meeting.sentences else Place(meeting.id)).named(meeting.id)
    summary = {
        part: [text for text in texts if text and not NOT_APPLICABLE.fullmatch(text)]
        for part, texts in meeting.summary().items()
    }
    if meeting.file_problems:
        yield place.problem("incomplete-meeting", f"{meeting.id} has files that cannot be read", "see those files")
        return
    if not summary["abstract"]:
        yield place.problem("no-summary", f"{meeting.id} has no abstract", "nothing: not every meeting has one")
        return
    if not meeting.turns:
        yield place.problem("no-words", f"{meeting.id} has no turns", "fetch its segments")
        return
    has_audio = scene.microphone != "none"
    utterance = Utterance(
        id=meeting.id,
        duration_seconds=None if has_audio else max(turn.end_seconds for turn in meeting.turns),
        split=scene.split,
        text=" ".join(turn.text for turn in meeting.turns),
        summary=" ".join(summary["abstract"]),
        extra={
            "microphone": scene.microphone,
            "summary": summary,
            "speakers": {agent: [scene.name(agent), item.role] for agent, item in sorted(meeting.speakers.items())},
            "turns": [[turn.start_seconds, turn.end_seconds, turn.agent, turn.text] for turn in meeting.turns],
            "extracted": [[act.start_seconds, act.end_seconds, act.agent, act.text] for act in meeting.extracted],
        },
    )
    yield scene.candidate(utterance, place, meeting.turns)
