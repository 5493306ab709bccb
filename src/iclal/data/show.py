"""One HTML page that shows a manifest: counts, splits, histograms, a few clips to play. Nothing is fetched to view it.

The manifest is read once; of each utterance a few numbers are kept. The same manifest, seed and recordings give the
same page.
"""

from __future__ import annotations

import base64
import heapq
import math
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import jinja2

from iclal.data.manifest import Utterance, read_manifest
from iclal.data.tools import priority
from iclal.errors import AudioError, DataError, MissingError

CLIP_SECONDS = 30.0  # longer clips are cut on the page, and the page says so
MOST_BINS = 30
CHART = (300.0, 178.0)  # width, height in SVG units, near to the pixels of a card
PLOT = (42.0, 8.0, 292.0, 138.0)  # left, top, right, bottom of the bars
FIELDS = ("audio", "text", "speaker", "voice", "questions", "summary", "label", "facts")


def show(manifest: Path | str, out_html: Path | str, *, clips: int = 6, seed: int = 0) -> Path:
    """Write the page of a manifest with `clips` seeded-random utterances on it; returns where it is.

    Raises:
        DataError: no such manifest, a line that is none, or no utterance at all.
    """
    manifest, out_html = Path(manifest), Path(out_html)
    facts = _Facts.of(manifest, clips, seed)
    if not facts.utterances:
        raise DataError(f"{manifest} holds no utterance: there is nothing to show")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = resources.files("iclal.data").joinpath("show.html.jinja").read_text(encoding="utf-8")
    template = environment.from_string(source)
    page = template.render(
        name=manifest.resolve().parent.name,
        path=manifest.as_posix(),
        facts=facts,
        fields=[(name, facts.fields[name]) for name in FIELDS],
        labels=facts.labels.most_common(12),
        charts=facts.charts(),
        clips=[_clip(utterance) for utterance in facts.drawn()],
        chart=CHART,
        plot=PLOT,
        clip_seconds=CLIP_SECONDS,
        length=_length,
    )
    out_html.parent.mkdir(parents=True, exist_ok=True)
    aside = out_html.with_name(out_html.name + ".partial")
    aside.write_text(page, encoding="utf-8")
    aside.replace(out_html)
    return out_html


@dataclass
class SplitFacts:
    """What is known of a split."""

    utterances: int = 0
    seconds: float = 0.0
    words: int = 0
    speakers: set[str] = field(default_factory=set)


@dataclass
class _Facts:
    """What the page says of a manifest, gathered in one walk through it."""

    utterances: int = 0
    seconds: float = 0.0
    words: int = 0
    questions: int = 0
    splits: dict[str, SplitFacts] = field(default_factory=dict)
    fields: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    speakers: dict[str, float] = field(default_factory=dict)  # seconds of each
    durations: array[float] = field(default_factory=lambda: array("d"))
    rates: array[float] = field(default_factory=lambda: array("d"))
    lengths: array[float] = field(default_factory=lambda: array("d"))
    heap: list[tuple[int, int, Utterance]] = field(default_factory=list)

    @classmethod
    def of(cls, manifest: Path, clips: int, seed: int) -> _Facts:
        facts = cls()
        for utterance in read_manifest(manifest):
            facts._count(utterance)
            # the smallest priorities win; a heap of negatives holds the largest of them on top
            heapq.heappush(facts.heap, (-priority(seed, utterance.id), facts.utterances, utterance))
            if len(facts.heap) > clips:
                heapq.heappop(facts.heap)
        return facts

    def drawn(self) -> list[Utterance]:
        """The utterances to show, in the manifest's order."""
        return [utterance for _, _, utterance in sorted(self.heap, key=lambda item: item[1])]

    def _count(self, one: Utterance) -> None:
        """Add an utterance to all totals."""
        seconds = one.duration_seconds or 0.0
        words = len((one.text or "").split())
        part = self.splits.setdefault(one.split or "no split", SplitFacts())
        for totals in (self, part):
            totals.utterances += 1
            totals.seconds += seconds
            totals.words += words
        self.questions += len(one.questions)
        for name in FIELDS:
            self.fields[name] += getattr(one, name) not in (None, (), {}, "")
        if one.label is not None:
            self.labels[one.label] += 1
        if one.speaker is not None:
            self.speakers[one.speaker] = self.speakers.get(one.speaker, 0.0) + seconds
            part.speakers.add(one.speaker)
        if seconds:
            self.durations.append(seconds)
        if one.text:
            self.lengths.append(words)
            if seconds:
                self.rates.append(len(one.text) / seconds)

    def charts(self) -> list[Chart]:
        """The histograms that there are numbers for."""
        minutes = array("d", (seconds / 60 for seconds in self.speakers.values() if seconds))
        wanted = [
            ("Length of clips", "seconds", self.durations),
            ("Speaking rate", "characters a second", self.rates),
            ("Length of texts", "words", self.lengths),
            ("Speech of each speaker", "minutes", minutes if len(minutes) >= 8 else array("d")),
        ]
        return [draw(title, unit, values) for title, unit, values in wanted if values]


@dataclass(frozen=True)
class Chart:
    """A histogram laid out for an SVG of size CHART."""

    title: str
    unit: str
    count: int
    median: float
    low: float  # 5th percentile
    high: float  # 95th
    largest: float
    bars: list[tuple[float, float, float, float, str]]  # x, y, width, height, words
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    beyond: int  # values right of the axis, counted in the last bar


def draw(title: str, unit: str, values: Sequence[float]) -> Chart:
    """A histogram of non-negative numbers: round bin edges from 0; the rare long tail (0.5 %) joins the last bar."""
    ordered = sorted(values)
    top = ordered[min(len(ordered) - 1, math.ceil(0.995 * len(ordered)))]
    step = round_step(max(top, 1e-9) / min(MOST_BINS, max(8, 2 * math.isqrt(len(ordered)))))
    least = 1.0 if unit == "words" else 0.0  # there are no half words
    step = max(least, step)
    bins = max(1, math.floor(top / step) + 1)
    counts = [0] * bins
    for value in ordered:
        counts[min(bins - 1, int(value / step))] += 1
    beyond = sum(1 for value in ordered if value >= bins * step)
    left, upper, right, lower = PLOT
    width, highest = (right - left) / bins, max(counts)
    bars = []
    for index, count in enumerate(counts):
        if count:
            height = max(1.0, (lower - upper) * count / highest)
            edge = f"{_number(index * step)} to {_number((index + 1) * step)}"
            words = f"{count:,} of {edge} {unit}" + (" and more" if beyond and index == bins - 1 else "")
            bars.append((left + index * width, lower - height, max(1.0, width - 1.5), height, words))
    tick = max(least, round_step(bins * step / 5))
    x_ticks = [(left + tick * i / step * width, _number(tick * i)) for i in range(int(bins * step / tick + 1e-9) + 1)]
    tall = max(1.0, round_step(highest / 3))
    y_ticks = [(lower - (lower - upper) * tall * i / highest, _short(tall * i)) for i in range(int(highest / tall) + 1)]
    low, median, high = (ordered[round(share * (len(ordered) - 1))] for share in (0.05, 0.5, 0.95))
    return Chart(title, unit, len(ordered), median, low, high, ordered[-1], bars, x_ticks, y_ticks, beyond)


def round_step(least: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is at least `least`.

    >>> [round_step(least) for least in (0.03, 1.0, 2.1, 70.0)]
    [0.05, 1.0, 5.0, 100.0]
    """
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= least * (1 - 1e-9))


def _number(value: float) -> str:
    """A number for an axis: 0.5, 12, 1,500."""
    return f"{value:,.6g}"


def _short(value: float) -> str:
    """A count for a narrow axis: 800, 1.5k, 20k."""
    return f"{value / 1000:.6g}k" if value >= 1000 else f"{value:.6g}"


def _length(seconds: float) -> str:
    """A length of time in the unit that suits it: 5.9 s, 12.4 min, 360.0 h."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


@dataclass(frozen=True)
class ShownClip:
    """An utterance on the page: its recording as a data address, or why there is none."""

    utterance: Utterance
    address: str | None
    missing: str | None
    is_cut: bool


def _clip(utterance: Utterance) -> ShownClip:
    """An utterance with its recording as FLAC inside the page; one that cannot be read is shown with the reason."""
    if utterance.audio_path is None:
        return ShownClip(utterance, None, None, False)
    from iclal.audio.reading import encode, read_audio

    try:
        audio = read_audio(
            utterance.audio_path, start_seconds=utterance.start_seconds, duration_seconds=utterance.duration_seconds
        )
    except (AudioError, MissingError) as error:
        return ShownClip(utterance, None, str(error), False)
    shown = audio.cut(0.0, min(audio.duration_seconds, CLIP_SECONDS))
    flac = encode(shown.samples.clip(-1.0, 1.0), "FLAC")  # lossy codecs overshoot a little
    address = "data:audio/flac;base64," + base64.b64encode(flac).decode("ascii")
    return ShownClip(utterance, address, None, shown.num_samples < audio.num_samples)
