"""The page holds what the manifest holds, its bars add up, its clips play back as they are, and nothing is fetched."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from iclal.audio.reading import read_audio
from iclal.data.manifest import Question, Utterance, write_manifest
from iclal.data.show import PLOT, draw, show
from iclal.errors import DataError

DATA = Path(__file__).parents[2] / "data"


class Page(HTMLParser):
    """Tags with their attributes, and the text; complains of tags that are not closed in order."""

    VOID = ("meta",)

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += " " + data


def manifest_of(folder: Path, name: str, root: Path) -> Path:
    lines = [json.loads(line) for line in open(DATA / name / "manifest.jsonl", encoding="utf-8")]
    fields = ("id", "start_seconds", "duration_seconds", "speaker", "split", "text")
    utterances = [
        Utterance(audio=str(DATA / name / line["audio"]), **{f: line[f] for f in fields if f in line}) for line in lines
    ]
    path = folder / root / "manifest.jsonl"
    write_manifest(path, utterances)
    return path


def test_page_shows_the_corpus_and_plays_its_clips_bit_for_bit(tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path, "librispeech", Path("libri"))
    html = show(manifest, tmp_path / "page.html", clips=8).read_text(encoding="utf-8")
    page = Page(html)
    assert not page.open
    text = " ".join(page.text.split())
    for total in ("8 utterances", "82.9 s of audio", "5 speakers", "211 words"):
        assert total in text
    assert {"train 1 6.4 s 1 19", "dev 4 60.2 s 2 152", "test 3 16.2 s 2 40"} == set(
        re.findall(r"(?:train|dev|test) \d [\d.]+ s \d \d+", text)
    )
    sources = [attrs["src"] or "" for tag, attrs in page.tags if tag == "audio"]
    originals = [json.loads(line) for line in open(DATA / "librispeech" / "manifest.jsonl", encoding="utf-8")]
    assert len(sources) == 8
    for source, line in zip(sources, originals, strict=True):
        played = read_audio(base64.b64decode(source.removeprefix("data:audio/flac;base64,")))
        original = read_audio(DATA / "librispeech" / line["audio"])
        assert np.array_equal(played.samples, original.samples[: 30 * 16_000])


def test_nothing_is_fetched_and_the_page_is_the_same_twice(tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path, "fsdd", Path("digits"))
    first = show(manifest, tmp_path / "a.html").read_bytes()
    assert (
        first
        == show(manifest, tmp_path / "b.html").read_bytes()
        != show(manifest, tmp_path / "c.html", seed=1).read_bytes()
    )
    page = Page(first.decode())
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in page.tags}
    for _, attrs in page.tags:
        assert all(str(attrs.get(name, "data:")).startswith("data:") for name in ("src", "href"))
    assert "url(" not in first.decode() and "@import" not in first.decode()


def test_text_is_escaped_and_a_clip_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    write_manifest(
        tmp_path / "m.jsonl",
        [
            Utterance("<b>", audio="gone.wav", text="<script>alert(1)</script>", duration_seconds=1.0, label="a&b"),
            Utterance("q", text="x", questions=tuple(Question(str(i), "who", ("me", "me", "I")) for i in range(5))),
        ],
    )
    html = show(tmp_path / "m.jsonl", tmp_path / "deep" / "page.html").read_text(encoding="utf-8")
    assert "<script>" not in html and "&lt;script&gt;" in html and "a&amp;b" in html
    assert "cannot be played" in html and "gone.wav does not exist" in html
    assert "me / I" in html and "and 2 more questions" in html


def test_no_utterance_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text("\n")
    with pytest.raises(DataError, match=r"m\.jsonl holds no utterance"):
        show(tmp_path / "m.jsonl", tmp_path / "page.html")


@pytest.mark.parametrize("unit", ["seconds", "words"])
@pytest.mark.parametrize(
    "values", [[0.0], [1.0] * 50, [0.1, 0.2, 35.0], [x * x for x in range(1, 3000)], [5.0] * 999 + [9e3]]
)
def test_every_value_is_in_a_bar_inside_the_chart(unit: str, values: list[float]) -> None:
    chart = draw("t", unit, values)
    counts = [int(words.split(" ")[0].replace(",", "")) for *_, words in chart.bars]
    assert sum(counts) == chart.count == len(values)
    left, top, right, bottom = PLOT
    for x, y, width, height, _ in chart.bars:
        assert x >= left and x + width <= right + 0.01 and y >= top - 0.01 and y + height <= bottom + 0.01
    assert all(left <= x <= right + 0.01 for x, _ in chart.x_ticks)
    assert all(top - 0.01 <= y <= bottom + 0.01 for y, _ in chart.y_ticks)
    assert len(chart.x_ticks) <= 7 and len(chart.y_ticks) <= 5
    assert chart.largest == max(values)
