"""The outcome of an evaluation in words: sentences with their numbers, none of which claims more than its intervals.

"Better" and "worse" are said only of scores whose 95 % intervals have no point in common; that is stricter than a
test of the difference, so a small true difference may be left unclaimed, and a chance one is rarely claimed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from iclal.evaluation.report.rows import GUESSES
from iclal.evaluation.report.scores import CEILING_ABOVE_CHANCE, ModelId, Score, Scores

Verdict: TypeAlias = Literal["yes", "no", "open", "fact"]

# Where a parity is called "nearly all", and below which "much is lost".
PARITY_NEARLY_ALL = 0.95
PARITY_MOST = 0.80

_ASKED = {
    "transcript": "transcripts",
    "questions": "questions",
    "summary": "summaries",
    "pattern": "pattern queries",
    "labels": "label queries",
    "voice": "voice queries",
}


@dataclass(frozen=True)
class Finding:
    """A sentence of the outcome: what it is about, whether it speaks for the model, and the words."""

    title: str
    verdict: Verdict
    text: str


def percent(value: float) -> str:
    """0.961 -> "96.1 %", with a space that does not break."""
    return f"{100 * value:.1f}\u00a0%"


def signed(points: float) -> str:
    """1.04 -> "+1.0", -0.3 -> "−0.3" with a true minus; what rounds to nothing has no sign."""
    text = f"{points:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def interval(score: Score) -> str:
    """The 95 % interval: "94.0 to 97.6 %"."""
    return f"{100 * score.low:.1f} to {percent(score.high)}"


def demonstrations(shots: int) -> str:
    """ "no demonstrations", "1 demonstration", "2 demonstrations"."""
    return "no demonstrations" if shots == 0 else f"{shots} demonstration{'s' if shots > 1 else ''}"


def headline_words(scores: Scores) -> str:
    """The one sentence above everything else; it falls back to what the rows allow to say."""
    model = scores.headline()
    if model is None:
        return "Nothing was measured"
    for task in [task for task in ("questions", "summary", *scores.tasks) if task in scores.tasks]:
        shots = scores.fair_shots(model, task)
        if shots is None or not scores.ceiling_stands(model, task, shots):
            continue
        audio = scores.find(model, task, "exact", "audio", shots)
        ceiling = scores.find(model, task, "exact", "ceiling", shots)
        parity = scores.parity(model, task, shots)
        assert audio is not None and ceiling is not None and parity is not None
        return (
            f"With a prefix the frozen model {_answers(task, audio)}, with the transcript as text "
            f"{percent(ceiling.value)}: parity {parity.value:.2f}"
        )
    wer = scores.find(model, "transcript", "wer", "audio")
    if wer:
        return f"The frozen model transcribes speech with a word error rate of {percent(wer.value)}"
    for task in scores.tasks:
        for shots in scores.shots(task, model, "exact"):
            audio = scores.find(model, task, "exact", "audio", shots)
            if audio:
                return f"With a prefix the frozen model {_answers(task, audio)}"
    return f"Scores of {scores.label(model)}"


def outcome(scores: Scores) -> list[Finding]:
    """What the rows show about the headline model, in the order of interest. Empty without rows."""
    model = scores.headline()
    if model is None:
        return []
    findings = [_hearing(scores, model)]
    findings += [_parity(scores, model, task) for task in scores.tasks if task != "transcript"]
    findings += [_cascade(scores, model), _listening(scores, model)]
    findings += [_uses_demonstrations(scores, model, task) for task in scores.tasks]
    findings += [_finishing(scores, model), _paper(scores, model)]
    return [finding for finding in findings if finding is not None]


def parity_rule() -> str:
    """How parity is made, for the notes."""
    return (
        "Parity is the audio score divided by the ceiling’s, given only where the ceiling’s lower bound stands above "
        f"chance by {CEILING_ABOVE_CHANCE:.1f}."
    )


def _answers(task: str, audio: Score) -> str:
    verb = {"transcript": "writes", "summary": "writes"}.get(task, "answers")
    return f"{verb} {percent(audio.value)} of {_ASKED.get(task, task)}{' exactly' if verb == 'writes' else ''}"


def _hearing(scores: Scores, model: ModelId) -> Finding | None:
    wer = scores.find(model, "transcript", "wer", "audio")
    if wer is None:
        return None
    text = (
        f"Asked to transcribe, it makes {percent(wer.value)} word errors "
        f"(95 % interval {interval(wer)}, n = {wer.n:,}, condition “{scores.condition}”)."
    )
    ctc = scores.find(model, "transcript", "wer", "cascade-ctc")
    if ctc:
        text += f" The same ears’ own CTC output, without the language model, makes {percent(ctc.value)}."
    return Finding("Hearing words", "fact", text)


def _parity(scores: Scores, model: ModelId, task: str) -> Finding | None:
    """Prefix against text, at the demonstrations that `fair_shots` names."""
    shots = scores.fair_shots(model, task)
    if shots is None:
        return None
    title = f"What comes through: {task}"
    audio = scores.find(model, task, "exact", "audio", shots)
    ceiling = scores.find(model, task, "exact", "ceiling", shots)
    parity = scores.parity(model, task, shots)
    assert audio is not None and ceiling is not None
    if parity is None or not scores.ceiling_stands(model, task, shots):
        text = (
            f"Given text, the language model itself {_answers(task, ceiling)} at best: too near to chance to divide "
            f"by, so no parity is given. Through the prefix it is {percent(audio.value)}."
        )
        return Finding(title, "open", text)
    verdict, words = _weigh_parity(parity.value)
    if ceiling.is_above(audio):
        words += ", by more than the intervals explain" if verdict != "yes" else "; what is lost is more than chance"
    elif not audio.is_above(ceiling):
        words += "; the intervals overlap"
    text = (
        f"With {demonstrations(shots)} it {_answers(task, audio)} through the prefix ({interval(audio)}), "
        f"{percent(ceiling.value)} from text ({interval(ceiling)}): parity {parity.value:.2f}. {words}."
    )
    return Finding(title, verdict, text)


def _weigh_parity(parity: float) -> tuple[Verdict, str]:
    if parity >= PARITY_NEARLY_ALL:
        return "yes", "Nearly all comes through"
    if parity >= PARITY_MOST:
        return "open", "Most comes through, not all"
    return "no", "Much is lost on the way"


def _cascade(scores: Scores, model: ModelId) -> Finding | None:
    """Prefix against the transcript of the same ears: per task pooled over shots, and what the intervals show."""
    pooled = scores.beside_cascade(model)
    if not pooled:
        return None
    better: dict[str, list[int]] = {}
    worse: dict[str, list[int]] = {}
    cells = 0
    for task in pooled:
        for shots in scores.shots(task, model, "exact"):
            audio = scores.find(model, task, "exact", "audio", shots)
            cascade = scores.find(model, task, "exact", "cascade", shots)
            if audio is None or cascade is None:
                continue
            cells += 1
            if audio.is_above(cascade):
                better.setdefault(task, []).append(shots)
            elif cascade.is_above(audio):
                worse.setdefault(task, []).append(shots)
    words = [
        f"{name} in {_few([_at(task, shots) for task, shots in found.items()])}"
        for name, found in (("better", better), ("worse", worse))
        if found
    ]
    open_cells = cells - sum(map(len, better.values())) - sum(map(len, worse.values()))
    if open_cells:
        words.append(f"no difference shown in {open_cells} of {cells} cells of task and demonstrations")
    points = ", ".join(f"{task} {signed(100 * difference)}" for task, difference in pooled.items())
    verdict: Verdict = "no" if worse else "yes" if better else "open"
    return Finding(
        "Against its own cascade",
        verdict,
        f"Beside writing a transcript first and reading that, in points over all demonstrations: {points}. "
        f"By the intervals: {'; '.join(words)}.",
    )


def _at(task: str, shots: list[int]) -> str:
    return f"{task} at {_few([str(number) for number in shots])}"


def _listening(scores: Scores, model: ModelId) -> Finding | None:
    """Whether answers depend on the sound: audio against another clip's sound and against none."""
    heard, not_shown = [], []
    for task in scores.tasks:
        shots = scores.fair_shots(model, task) or 0
        audio = scores.find(model, task, "exact", "audio", shots)
        controls = {
            "another clip": scores.find(model, task, "exact", "shuffled-audio", shots),
            "no sound": scores.find(model, task, "exact", "no-audio", shots),
        }
        present = {name: score for name, score in controls.items() if score}
        if audio is None or not present:
            continue
        words = ", ".join(f"{name} {percent(score.value)}" for name, score in present.items())
        cell = f"{task} {percent(audio.value)} ({words})"
        (heard if all(audio.is_above(score) for score in present.values()) else not_shown).append(cell)
    if not heard and not not_shown:
        return None
    if not heard:
        text = f"Not shown: the right clip does not beat the controls: {', '.join(not_shown)}."
        return Finding("It listens", "no", text)
    text = f"The answers come from the clip: {', '.join(heard)}."
    if not_shown:
        text += f" Not shown for {', '.join(not_shown)}."
    return Finding("It listens", "open" if not_shown else "yes", text)


def _uses_demonstrations(scores: Scores, model: ModelId, task: str) -> Finding | None:
    """ "Uses demonstrations" only where right labels beat wrong labels, no demonstrations and a blind guess.

    A guess counts too: whoever only learns from demonstrations which words may be said is at chance with them and at
    zero without, and has not used what they say.
    """
    few_shot = [
        (shots, audio)
        for shots in scores.shots(task, model, "exact")
        if shots > 0 and (audio := scores.find(model, task, "exact", "audio", shots))
    ]
    none = scores.find(model, task, "exact", "audio", 0)
    wrong = {shots: scores.find(model, task, "exact", "wrong-labels", shots) for shots, _ in few_shot}
    if not few_shot or not any(wrong.values()):
        return None  # without the wrong-label control nothing can be said, so nothing is
    title = f"Uses demonstrations: {task}"
    if none is None:
        return Finding(title, "open", "Nothing can be said: the control without demonstrations was not run.")
    shown, unshown = [], []
    for shots, audio in few_shot:
        control = wrong[shots]
        if control is None:
            continue
        cell = f"{shots} ({percent(audio.value)}, wrong {percent(control.value)})"
        guesses = [s for i in GUESSES if (s := scores.find(model, task, "exact", i, shots))]
        beats_all = audio.is_above(control) and audio.is_above(none) and all(audio.low > g.value for g in guesses)
        (shown if beats_all else unshown).append(cell)
    without = f"{percent(none.value)} with no demonstrations"
    if not shown:
        return Finding(
            title,
            "no",
            f"Not shown: right labels do not beat wrong labels, {without} and a blind guess at {_few(unshown)}.",
        )
    text = f"Yes with {_few(shown)} demonstrations, against {without}."
    if unshown:
        text += f" Not shown with {_few(unshown)}."
    return Finding(title, "open" if unshown else "yes", text)


def _finishing(scores: Scores, model: ModelId) -> Finding | None:
    """How often an answer is empty or loops, over the tasks, zero-shot."""
    words = []
    for metric, name in (("share-empty", "empty"), ("share-looping", "looping")):
        found = [s for task in scores.tasks if (s := scores.find(model, task, metric, "audio", 0)) is not None]
        if found:
            share = sum(score.value * score.n for score in found) / sum(score.n for score in found)
            words.append(f"{percent(share)} {name}")
    return Finding("Answers that end well", "fact", f"Of all zero-shot answers, {_few(words)}.") if words else None


def _paper(scores: Scores, model: ModelId) -> Finding | None:
    """The paper's finding beside the remedy: what share of answers is a transcript instead of an answer."""
    paper = scores.paper()
    if paper is None:
        return None
    for task in [task for task in ("questions", *scores.tasks) if task in scores.tasks and task != "transcript"]:
        theirs = scores.find(paper, task, "share-transcribing", "audio", 0)
        ours = scores.find(model, task, "share-transcribing", "audio", 0)
        if theirs is None or ours is None:
            continue
        text = (
            f"Trained on transcription alone, {scores.label(paper)} writes a transcript instead of an answer to "
            f"{percent(theirs.value)} of {_ASKED.get(task, task)} ({interval(theirs)}); {scores.label(model)} to "
            f"{percent(ours.value)} ({interval(ours)})."
        )
        if theirs.is_above(ours):
            return Finding("The paper’s finding, and the remedy", "yes", text)
        return Finding("The paper’s finding, and the remedy", "no", text + " The remedy is not shown to help here.")
    return None


def _few(items: list[str]) -> str:
    """ "a", "a and b", "a, b and c"; a long list is cut after six, and the rest counted."""
    if len(items) > 6:
        items = [*items[:6], f"{len(items) - 6} more"]
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
