"""Spoken-SQuAD: SQuAD-form JSON whose contexts are a recogniser's output, with the wavs that it heard or without.

    spoken_train-v1.1.json                         {"data": [{"title", "paragraphs": [{"context", "qas": [...]}]}]}
    spoken_test-v1.1.json, spoken_test-v1.1_WER44.json, spoken_test-v1.1_WER54.json
    train_wav/0_0_0.wav, dev_wav/12_3_0.wav        topic, paragraph, sentence, counted from 0; dev is the test set's

An utterance is a paragraph; its wavs, one a sentence, are joined. The wavs are the speech without noise, so the noisy
levels come as text. In the noisy files `answer_start` was taken over from the clean one and points nowhere: answers are
text, all of them, and the number of wrong offsets is said. The JSON is read from official files; names and layout of
the wavs follow the corpus's documentation.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from iclal.data.corpora.reader import Candidate, Place, Problem, locate, read_json, walk
from iclal.data.manifest import Question, Utterance
from iclal.errors import DataError
from iclal.settings import Settings

JSON_NAME = re.compile(r"spoken_(train|dev|test)-v1\.1(?:_(WER\d+))?(?:\.subset)?\.json")
WAV_NAME = re.compile(r"(\d+)_(\d+)_(\d+)\.wav", re.IGNORECASE)
WAV_FOLDERS = {
    "train": ("train_wav", "train"),
    "test": ("dev_wav", "dev", "test_wav", "test"),
    "dev": ("dev_wav", "dev"),
}
SPEAKER = "google-tts"


class Options(Settings):
    """Noise levels to take (clean, WER44, WER54; none named: all), and where the wavs are if not in the source."""

    noise: tuple[str, ...] = ()
    audio: Path | None = None


def read(source: Path, options: Options) -> Iterator[Candidate | Problem]:
    """Paragraphs of every file, in the order of the files' names.

    Raises:
        DataError: no spoken_*-v1.1*.json in the source, or none of the noise levels asked for.
    """
    source = Path(os.path.realpath(source))
    files = [source] if source.is_file() else sorted(source.glob("spoken_*.json"))
    found = [(path, match) for path in files if (match := JSON_NAME.fullmatch(path.name))]
    if not found:
        raise DataError(f"no spoken_train-v1.1.json, spoken_test-v1.1.json or noisy ones (_WER44, _WER54) in {source}")
    levels = {match[2] or "clean" for _, match in found}
    absent = [level for level in options.noise if level not in levels]
    if absent and len(absent) == len(options.noise):
        raise DataError(f"no noise level {', '.join(absent)} in {source}; there are {', '.join(sorted(levels))}")
    for level in absent:
        detail = f"no file of noise level {level}; there are {', '.join(sorted(levels))}"
        yield Place(str(source)).problem("missing-split", detail, "fetch it, or leave it out of --noise")
    folder = source if source.is_dir() else source.parent
    for path, match in found:
        level = match[2] or "clean"
        if not options.noise or level in options.noise:
            wavs = _Wavs(Path(options.audio or folder), match[1]) if level == "clean" else None
            yield from _read_file(path, match[1], level, wavs)


class _Wavs:
    """The wavs of a split by topic and paragraph."""

    def __init__(self, root: Path, split: str) -> None:
        self.root = Path(os.path.realpath(root))
        self.problems: list[Problem] = []
        self._sentences: dict[tuple[int, int], dict[int, Path]] = {}
        names = WAV_FOLDERS[split]
        roots = [self.root / "Spoken-SQuAD_audio", self.root]
        folders = [parent / name for parent in roots for name in names if (parent / name).is_dir()]
        folder = folders[0] if folders else self.root
        if not folder.is_dir():
            raise DataError(f"no folder {folder} with wavs named TOPIC_PARAGRAPH_SENTENCE.wav")
        base = locate(self.root, os.path.relpath(folder, self.root), Place(str(folder)))
        for item in [base] if isinstance(base, Problem) else walk(base, (".wav",)):
            if isinstance(item, Problem):
                self.problems.append(item)
            elif match := WAV_NAME.fullmatch(item.name):
                topic, paragraph, sentence = map(int, match.groups())
                self._sentences.setdefault((topic, paragraph), {})[sentence] = item

    def __bool__(self) -> bool:
        return bool(self._sentences)

    def take(self, topic: int, paragraph: int) -> dict[int, Path]:
        """Sentence number -> wav of a paragraph; taken ones are not left over."""
        return self._sentences.pop((topic, paragraph), {})

    def left_over(self) -> Iterator[Problem]:
        """Wavs of paragraphs that the JSON does not have."""
        for key, wavs in sorted(self._sentences.items()):
            name = "{}_{}".format(*key)
            detail = f"{len(wavs)} wavs {name}_*.wav and no such paragraph"
            yield Place(str(wavs[min(wavs)]), id=name).problem("missing-transcript", detail, "fetch the JSON anew")


def _read_file(path: Path, split: str, level: str, wavs: _Wavs | None) -> Iterator[Candidate | Problem]:
    """Paragraphs of one JSON file, then what is left of its wavs, then the count of wrong offsets."""
    values = read_json(path)
    if isinstance(values, Problem):
        yield values
        return
    topics = values.get("data") if isinstance(values, dict) else None
    if not isinstance(topics, list):
        yield Place(str(path)).problem("broken-json", 'no list under "data"', "fetch the file anew")
        return
    yield from wavs.problems if wavs is not None else ()
    offsets = [0, 0]  # that point at their answer, that do not
    for topic, entry in enumerate(topics):
        paragraphs = entry.get("paragraphs") if isinstance(entry, dict) else None
        if not isinstance(paragraphs, list):
            yield Place(str(path), id=str(topic)).problem(
                "broken-json", f"topic {topic} has no paragraphs", "fetch anew"
            )
            continue
        title = str(entry.get("title") or f"topic_{topic}")
        for number, paragraph in enumerate(paragraphs):
            id = f"{split}-{title}-{number}" + ("" if level == "clean" else f"-{level}")
            place = Place(str(path), id=id)
            text = paragraph.get("context") if isinstance(paragraph, dict) else None
            if not isinstance(text, str) or not text.strip():
                yield place.problem("missing-text", f"topic {topic}, paragraph {number} has no context", "fetch anew")
                continue
            asked = paragraph.get("qas")
            questions = [_question(qa, text, offsets) for qa in (asked if isinstance(asked, list) else [asked])]
            if None in questions:
                detail = f"{questions.count(None)} of {len(questions)} questions have no id, question or answers"
                yield place.problem("broken-question", detail, "fetch the file anew", dropped=False)
            recordings = _recordings(wavs.take(topic, number), text, place) if wavs else []
            yield from (item for item in recordings if isinstance(item, Problem))
            if any(isinstance(item, Problem) and item.dropped for item in recordings):
                continue
            utterance = Utterance(
                id,
                text=text.strip(),
                speaker=SPEAKER,
                split=split,
                questions=tuple(question for question in questions if question),
                extra={"title": title, "topic": topic, "paragraph": number, "noise": level},
            )
            yield Candidate(utterance, place, tuple(item for item in recordings if isinstance(item, Path)))
    if wavs:
        yield from wavs.left_over()
    if offsets[1]:
        detail = f"{offsets[1]} of {sum(offsets)} answer_start offsets do not point at their answer"
        yield Place(str(path)).problem(
            "wrong-answer-offsets", detail, "nothing: answers are kept as text, offsets are not used", dropped=False
        )


def _question(values: Any, context: str, offsets: list[int]) -> Question | None:
    """A question with all its answers, or None; counts offsets that point at their answer and those that do not."""
    try:
        id, question = values["id"], values["question"]
        answers = tuple(answer["text"] for answer in values["answers"])
        starts = [answer.get("answer_start") for answer in values["answers"]]
    except (KeyError, TypeError, AttributeError):
        return None
    if not (answers and id and question and all(isinstance(text, str) for text in (id, question, *answers))):
        return None
    for start, text in zip(starts, answers, strict=True):
        if isinstance(start, int):
            offsets[context[max(start, 0) : start + len(text)] != text] += 1
    return Question(id, question.strip(), answers)


def _recordings(wavs: dict[int, Path], text: str, place: Place) -> list[Path | Problem]:
    """The wavs of a paragraph in order, or what is missing of them."""
    if not wavs:
        return [place.problem("missing-audio", "no wav of this paragraph", "fetch the audio anew")]
    gaps = sorted(set(range(max(wavs) + 1)) - set(wavs))
    if gaps:
        detail = f"sentences {', '.join(map(str, gaps))} of {max(wavs) + 1} have no wav"
        return [place.problem("missing-audio", detail, "fetch the audio anew")]
    ordered: list[Path | Problem] = [wavs[number] for number in sorted(wavs)]
    sentences = text.strip().count(". ") + 1
    if sentences != len(wavs):
        detail = f"{len(wavs)} wavs, the text has {sentences} sentences"
        ordered.append(place.problem("sentences-differ", detail, "listen whether all is there", dropped=False))
    return ordered
