"""The command line's verbs for data and scores; part of `iclal.cli`."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from iclal.errors import SettingsError

data_app = App(name="data", help="Check, show, divide, sample and join manifests.")

Json = Annotated[bool, Parameter(negative="", help="Print JSON.")]
Flag = Parameter(negative="")


def prepare(
    corpus: str,
    source: Path,
    out: Path,
    *options: str,
    workers: int = 2,
    copy: Annotated[bool, Flag] = False,
    synthesise: Annotated[bool, Flag] = False,
    allow_dropped: Annotated[bool, Flag] = False,
    json: Json = False,
) -> int:
    """Read a corpus in its official layout: OUT/manifest.jsonl, summary.json and problems.jsonl are written.

    Exit status 1 when anything was dropped, unless --allow-dropped. Corpus options are given as key=value.

    Examples:
        iclal prepare librispeech ./LibriSpeech data/librispeech
        iclal prepare ami ./ami_manual data/ami output=spans
        iclal prepare folder ./recordings data/mine text=sentence audio=path
    """
    import yaml

    from iclal.data.prepare import prepare as run

    values = {}
    for option in options:
        name, equals, value = option.partition("=")
        if not equals:
            raise SettingsError(f"'{option}' is not of the form key=value")
        values[name] = yaml.safe_load(value)
    summary = run(corpus, source, out, values, workers=workers, copy=copy, synthesise=synthesise)
    if json:
        print(jsonlib.dumps(summary.to_json(), ensure_ascii=False))
    else:
        print(summary.table())
    return 1 if summary.dropped and not allow_dropped else 0


def world(out: Path, *, as_: Annotated[str, Parameter(name="--as")], seed: int = 0, size: int = 20) -> int:
    """Write a small spoken world in a corpus's official layout: librispeech, ami or spoken-squad.

    Example: iclal world --as librispeech /tmp/LibriSpeech
    """
    from iclal.data.world_layouts import write_world

    print(write_world(as_, out, seed=seed, size=size))
    return 0


@data_app.command
def check(manifest: Path, *, audio: bool = True, json: Json = False) -> int:
    """Check a manifest against the schema and its recordings' headers. Exit status 1 when something is wrong.

    Example: iclal data check data/mine/manifest.jsonl
    """
    from iclal.data.schema import check_manifest

    report = check_manifest(manifest, audio=audio)
    if json:
        counts = {"errors": dict(report.errors), "warnings": dict(report.warnings)}
        totals = {"utterances": report.utterances, "seconds": report.seconds, "speakers": report.speakers}
        print(jsonlib.dumps({"ok": report.ok, **totals, **counts, "lines": list(report.lines())}, ensure_ascii=False))
    else:
        print("\n".join(report.lines()))
    return 0 if report.ok else 1


@data_app.command
def show(manifest: Path, *, out: Path | None = None, clips: int = 6, seed: int = 0) -> int:
    """Write a page about a manifest: counts, histograms, clips to play.

    Example: iclal data show data/mine/manifest.jsonl
    """
    from iclal.data.show import show as run

    print(run(manifest, out or manifest.with_suffix(".html"), clips=clips, seed=seed))
    return 0


@data_app.command
def split(
    manifest: Path, out: Path, *fractions: str, by: Literal["speaker", "text", "id"] = "speaker", seed: int = 0
) -> int:
    """Divide a manifest into OUT/NAME.jsonl, whole speakers together.

    Example: iclal data split manifest.jsonl splits train=0.8 dev=0.1 test=0.1
    """
    from iclal.data.tools import split as run

    shares = {}
    for fraction in fractions:
        name, _, value = fraction.partition("=")
        try:
            shares[name] = float(value)
        except ValueError:
            raise SettingsError(f"'{fraction}' is not of the form NAME=SHARE, e.g. train=0.8") from None
    for name, count in run(manifest, out, shares, by=by, seed=seed).items():
        print(f"{out / name}.jsonl  {count}")
    return 0


@data_app.command
def sample(
    manifest: Path,
    out: Path,
    *,
    count: int | None = None,
    hours: float | None = None,
    per: Literal["speaker", "split", "label"] | None = None,
    seed: int = 0,
) -> int:
    """Draw utterances into a new manifest: --count of them, or --hours.

    Example: iclal data sample manifest.jsonl small.jsonl --count 100
    """
    from iclal.data.tools import sample as run

    print(f"{out}  {run(manifest, out, count=count, hours=hours, per=per, seed=seed)}")
    return 0


@data_app.command
def merge(out: Path, *manifests: Path, prefix: Annotated[bool, Flag] = False) -> int:
    """Lay manifests one after another into OUT.

    Example: iclal data merge all.jsonl one.jsonl two.jsonl
    """
    from iclal.data.tools import merge as run

    print(f"{out}  {run(list(manifests), out, prefix=prefix)}")
    return 0


def score(
    reference: Path,
    hypothesis: Path,
    *,
    normalizer: Literal["none", "librispeech", "whisper"] = "none",
    costs: Literal["unit", "sclite"] = "unit",
    task: Literal["transcript", "answers", "summary"] = "transcript",
    by_utterance: Annotated[bool, Flag] = False,
    json: Json = False,
) -> int:
    """Score hypotheses against references: Kaldi text, trn, TSV, JSONL or plain parallel lines.

    Examples:
        iclal score ref.trn hyp.trn --costs sclite
        iclal score references.jsonl hypotheses.jsonl --normalizer librispeech --json
    """
    from iclal.evaluation.score import render, score_files

    result = score_files(reference, hypothesis, normalizer=normalizer, costs=costs, task=task)
    if json:
        print(jsonlib.dumps(result.to_json(by_utterance=by_utterance), ensure_ascii=False))
    else:
        print(render(result))
        if by_utterance:
            print("\n".join(jsonlib.dumps(line, ensure_ascii=False) for line in result.by_utterance()))
    return 0
