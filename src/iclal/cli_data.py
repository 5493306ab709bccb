"""The command line's verbs for data and scores; part of `iclal.cli`."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter, validators

from iclal.errors import SettingsError
from iclal.terminal import Flag, Json, add_verb, note, print_json, print_table, writing

AtLeastOne = Parameter(validator=validators.Number(gte=1))
Overwrite = Annotated[bool, Flag, Parameter(help="Replace a file that is there already.")]
Seed = Annotated[int, Parameter(help="Same seed, same draw.")]


def prepare(
    corpus: Annotated[str, Parameter(help="The name of a corpus, one of those below.")],
    source: Annotated[Path, Parameter(help="The corpus as it was fetched.")],
    out: Annotated[Path, Parameter(help="Folder for what is written.")],
    /,
    *options: Annotated[str, Parameter(help="Options of the corpus, key=value; an unknown one names those near.")],
    workers: Annotated[int, AtLeastOne, Parameter(help="Threads that look at recordings.")] = 2,
    copy: Annotated[bool, Flag, Parameter(help="Bring the recordings along into OUT/audio.")] = False,
    synthesise: Annotated[bool, Flag, Parameter(help="Make speech where there is only text.")] = False,
    allow_dropped: Annotated[bool, Flag, Parameter(help="Exit with 0 though items were dropped.")] = False,
    json: Json = False,
    **named: Annotated[str, Parameter(help="An option of the corpus, as OPTIONS: --text sentence.")],
) -> int:
    """Read a corpus in its official layout into OUT/manifest.jsonl, with an account of every item.

    OUT/summary.json says what was found, kept and dropped; OUT/problems.jsonl lists everything wrong. A run that was
    broken off goes on when it is started again. Options of the corpus are given as key=value or --key value. Exit
    status 1 when anything was dropped, unless --allow-dropped.

    Examples:
        iclal prepare librispeech ./LibriSpeech data/librispeech
        iclal prepare librispeech ./LibriSpeech data/clean "subsets=[dev-clean]"
        iclal prepare ami ./ami_manual data/ami output=spans --allow-dropped
        iclal prepare folder ./recordings data/mine --text sentence --audio path
    """
    from iclal.data.prepare import corpus_module, table
    from iclal.data.prepare import prepare as run

    overrides = [*options, *(f"{name.replace('-', '_')}={value}" for name, value in named.items())]
    wanted = corpus_module(corpus).Options.build({}, overrides, source=f"options of {corpus}")
    summary = run(corpus, source, out, wanted, workers=workers, copy=copy, synthesise=synthesise)
    if json:
        print_json(summary.to_json())
    else:
        print_table(table(summary))
        if summary.dropped or summary.warnings:
            print(f"problems: {out / 'problems.jsonl'}")
    return summary.exit_status(allow_dropped)


def corpora() -> str:
    """What `prepare --help` says of the corpora."""
    from iclal.data.prepare import CORPORA

    return f"Corpora: {', '.join(sorted(CORPORA))}."


def world(
    out: Path,
    /,
    *,
    as_: Annotated[str, Parameter(name="--as", help="librispeech, ami or spoken-squad.")],
    seed: Seed = 0,
    size: Annotated[int, AtLeastOne, Parameter(help="Passages; a quarter of them is the test's.")] = 20,
    json: Json = False,
) -> int:
    """Write a small spoken world in a corpus's official layout, recordings included.

    `iclal prepare` reads it back as it reads the corpus itself. OUT must be empty or not there yet.

    Examples:
        iclal world --as librispeech ./small/LibriSpeech
        iclal world --as ami ./small/ami --seed 3
    """
    from iclal.data.world.layouts import write_world

    with writing(out):
        found = write_world(as_, out, seed=seed, size=size)
    if json:
        print_json({"layout": as_, "folder": str(out), "seed": seed, "size": size})
    else:
        print(found)
    return 0


def score(
    reference: Annotated[Path, Parameter(help="What is right.")],
    hypothesis: Annotated[Path, Parameter(help="What was recognised, of the same ids or line by line.")],
    /,
    *,
    normalizer: Annotated[
        Literal["none", "librispeech", "whisper"],
        Parameter(help="What is done to both texts first, as papers on LibriSpeech or Whisper do it."),
    ] = "none",
    costs: Annotated[
        Literal["unit", "sclite"], Parameter(help="Of transcripts. unit: jiwer's counts; sclite: NIST's.")
    ] = "unit",
    task: Annotated[Literal["transcript", "answers", "summary"], Parameter(help="What the texts are.")] = "transcript",
    format: Annotated[
        Literal["auto", "kaldi", "trn", "tsv", "jsonl", "lines"], Parameter(help="How both files are read.")
    ] = "auto",
    by_utterance: Annotated[bool, Flag, Parameter(help="Each utterance too.")] = False,
    json: Json = False,
) -> int:
    """Score hypotheses against references: Kaldi text, trn, TSV, JSONL or plain parallel lines.

    Transcripts get word and character error rates with an interval and an aligned listing of the worst, answers
    SQuAD's exact match and F1, summaries ROUGE.

    Examples:
        iclal score reference.trn hypothesis.trn --costs sclite
        iclal score ref.jsonl hyp.jsonl --normalizer librispeech --json
        iclal score answers.jsonl said.jsonl --task answers
    """
    from iclal.evaluation.score import render, score_files

    if costs != "unit" and task != "transcript":
        raise SettingsError(f"--costs {costs} counts the words of transcripts: leave it out with --task {task}")
    result = score_files(reference, hypothesis, normalizer=normalizer, costs=costs, task=task, format=format)
    if json:
        print_json(result.to_json(by_utterance=by_utterance))
        return 0
    print(render(result))
    if by_utterance:
        for line in result.to_json(by_utterance=True)["utterances"]:
            print(jsonlib.dumps(line, ensure_ascii=False))
    return 0


def check(
    manifest: Path,
    /,
    *,
    audio: Annotated[bool, Parameter(help="Look at the recordings' headers.")] = True,
    json: Json = False,
) -> int:
    """Check a manifest against the schema and its recordings' headers. Exit status 1 when something is wrong.

    Every problem is listed with file, line, what was expected and what to do; warnings (empty texts, unlikely
    speaking rates, speakers in two splits) leave the exit status at 0.

    Examples:
        iclal data check data/mine/manifest.jsonl
        iclal data check data/mine/manifest.jsonl --no-audio --json
    """
    from iclal.data.schema import check_manifest

    report = check_manifest(manifest, audio=audio)
    if json:
        counts = {"errors": dict(report.errors), "warnings": dict(report.warnings)}
        totals = {"utterances": report.utterances, "seconds": report.seconds, "speakers": report.speakers}
        problems = [problem.to_json() for problem in report.problems]
        print_json({"ok": report.ok, **totals, "splits": dict(report.splits), **counts, "problems": problems})
    else:
        print("\n".join(report.lines()))
    return 0 if report.ok else 1


def show(
    manifest: Path,
    /,
    *,
    out: Annotated[Path | None, Parameter(help="Default: the manifest's name with .html.")] = None,
    clips: Annotated[int, Parameter(validator=validators.Number(gte=0), help="Recordings to play on the page.")] = 6,
    seed: Seed = 0,
    json: Json = False,
) -> int:
    """Write a page about a manifest: counts, histograms, a few clips to play.

    Examples:
        iclal data show data/mine/manifest.jsonl
        iclal data show data/mine/manifest.jsonl --out mine.html --clips 12
    """
    from iclal.data.show import show as run

    page = out or manifest.with_suffix(".html")
    with writing(page):
        run(manifest, page, clips=clips, seed=seed)
    if json:
        print_json({"page": str(page)})
    else:
        print(page)
    return 0


def split(
    manifest: Path,
    out: Path,
    /,
    *shares: Annotated[str, Parameter(help="NAME=SHARE, which sum to 1.")],
    by: Annotated[Literal["speaker", "text", "id"], Parameter(help="What stays together.")] = "speaker",
    seed: Seed = 0,
    overwrite: Overwrite = False,
    json: Json = False,
) -> int:
    """Divide a manifest into OUT/NAME.jsonl for each NAME=SHARE, whole speakers together.

    Examples:
        iclal data split manifest.jsonl splits train=0.8 dev=0.1 test=0.1
        iclal data split manifest.jsonl splits train=0.9 test=0.1 --by text
    """
    from iclal.data.tools import split as run

    fractions = _shares(shares)
    _refuse_to_overwrite([out / f"{name}.jsonl" for name in fractions], [manifest], overwrite)
    with writing(out):
        counts = run(manifest, out, fractions, by=by, seed=seed)
    _print_written({out / f"{name}.jsonl": count for name, count in counts.items()}, json)
    return 0


def sample(
    manifest: Path,
    out: Path,
    /,
    *,
    count: Annotated[int | None, AtLeastOne, Parameter(help="So many utterances.")] = None,
    hours: Annotated[float | None, Parameter(help="So many hours.", validator=validators.Number(gt=0))] = None,
    per: Annotated[Literal["speaker", "split", "label"] | None, Parameter(help="That much of each.")] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    json: Json = False,
) -> int:
    """Draw utterances into a new manifest OUT: --count of them, or --hours.

    Examples:
        iclal data sample manifest.jsonl small.jsonl --count 100
        iclal data sample manifest.jsonl even.jsonl --hours 0.5 --per speaker
    """
    from iclal.data.tools import sample as run

    _refuse_to_overwrite([out], [manifest], overwrite)
    with writing(out):
        written = run(manifest, out, count=count, hours=hours, per=per, seed=seed)
    if count is not None and per is None and written < count:
        note(f"{manifest} has no more than {written} of the {count} utterances asked for")
    _print_written({out: written}, json)
    return 0


def merge(
    out: Path,
    manifests: Annotated[tuple[Path, ...], Parameter(help="One or more manifests, in order.", negative="")],
    /,
    *,
    prefix: Annotated[bool, Flag, Parameter(help="Put each manifest's folder in front of its ids.")] = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> int:
    """Join manifests, one after another, into OUT.

    Examples:
        iclal data merge all.jsonl one.jsonl two.jsonl
        iclal data merge all.jsonl data/*/manifest.jsonl --prefix
    """
    from iclal.data.tools import merge as run

    _refuse_to_overwrite([out], manifests, overwrite, "; the new one comes first: iclal data merge OUT MANIFEST...")
    with writing(out):
        _print_written({out: run(list(manifests), out, prefix=prefix)}, json)
    return 0


def _shares(texts: Sequence[str]) -> dict[str, float]:
    """NAME=SHARE, several times, as a dict. Raises SettingsError."""
    shares: dict[str, float] = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            share = float(value)
        except ValueError:
            raise SettingsError(f"'{text}' is not of the form NAME=SHARE, e.g. train=0.8") from None
        if not name or name in shares or Path(name).name != name:
            raise SettingsError(f"'{text}': a split needs a name of its own that can be a file's, e.g. train=0.8")
        shares[name] = share
    if not shares:
        raise SettingsError("no split is named: give NAME=SHARE for each, e.g. train=0.8 test=0.2")
    return shares


def _refuse_to_overwrite(outs: Sequence[Path], sources: Sequence[Path], overwrite: bool, hint: str = "") -> None:
    """A manifest is not written over another unless that is asked for, and never over one that it is made of.

    Raises:
        SettingsError: which file is there; with the `hint` behind it.
    """
    for out in filter(Path.exists, outs):
        if any(source.exists() and out.samefile(source) for source in sources):
            raise SettingsError(f"{out} would replace a manifest that it is made of: choose another name{hint}")
        if not overwrite:
            raise SettingsError(f"{out} is there already: choose another name, or replace it by --overwrite{hint}")


def _print_written(counts: dict[Path, int], json: bool) -> None:
    """Manifests that were written and how many utterances each has."""
    if json:
        print_json([{"manifest": str(path), "utterances": count} for path, count in counts.items()])
    else:
        print("\n".join(f"{path}  {count}" for path, count in counts.items()))


def data_app() -> App:
    """`iclal data VERB`."""
    app = App(name="data", help="Check, show, divide, sample and join manifests.")
    for verb in (check, show, split, sample, merge):
        add_verb(app, verb)
    return app
