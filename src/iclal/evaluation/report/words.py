"""The outcome of an evaluation in words: sentences with their numbers, none of which claims more than its intervals.

Of two scores one is said to beat the other only where their 95 % intervals have no point in common; that is stricter
than a test of the difference, so a small true difference may be left unclaimed, and a chance one is rarely claimed. Of
differences that are paired by query, "better" and "worse" are said where the interval of the difference leaves out 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from iclal.evaluation.report.rows import GUESSES
from iclal.evaluation.report.scores import CEILING_ABOVE_CHANCE, ModelId, Score, Scores

Verdict: TypeAlias = Literal["yes", "no", "open", "fact"]

# Where a parity is called "nearly all", and below which "much is lost".
PARITY_NEARLY_ALL = 0.95
PARITY_MOST = 0.80

# Who does not hear the clip may be so much above the most frequent answer, by chance and habit.
NEAR_MAJORITY = 0.03

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


def outcome(scores: Scores, extras: Mapping[str, Any] | None = None) -> list[Finding]:
    """What the rows show about the headline model, in the order of interest. Empty without rows.

    `extras` are the report's; of them `cells` and `ablations` are told.
    """
    model = scores.headline()
    if model is None:
        return []
    findings = [_hearing(scores, model)]
    findings += [_parity(scores, model, task) for task in scores.tasks if task != "transcript"]
    findings += _cascade(scores, model)
    findings += [_listening(scores, model), _guessing(scores, model)]
    findings += [_uses_demonstrations(scores, model, task) for task in scores.tasks]
    findings += [*_ablations(scores), _finishing(scores, model), _paper(scores, model)]
    findings += _cautions(extras or {}, model)
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
    alone = scores.find(model, "transcript", "wer-ctc", "audio")
    if alone:
        text += (
            f" Its ears’ own greedy CTC text, which no language model has read, has {percent(alone.value)} "
            f"({interval(alone)})."
        )
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


def _cascade(scores: Scores, model: ModelId) -> list[Finding]:
    """Prefix against the transcript of the same ears, under each condition: paired by query, pooled over shots."""
    others = [name for name in scores.conditions if name != scores.condition and "=" not in name]
    findings = []
    for condition in (scores.condition, *others):
        found = scores.minus_cascade(model, condition)
        if not found:
            continue
        elsewhere = condition != scores.condition
        title = "Against its own cascade" + (f": {condition}" if elsewhere else "")
        rival = f"The same under “{condition}”" if elsewhere else "Beside writing a transcript first and reading that"
        verdict, words = _weigh_differences(found)
        text = (
            f"{rival}, paired by query, in points with 95 % intervals: {_differences(found)}. "
            f"By the intervals: {words}."
        )
        findings.append(Finding(title, verdict, text))
    return findings


def _differences(found: Mapping[str, Score]) -> str:
    """ "questions +1.0 (−0.5 to +2.5), summary 0.0 (0.0 to 0.0)"."""
    return ", ".join(
        f"{task} {signed(100 * score.value)} ({signed(100 * score.low)} to {signed(100 * score.high)})"
        for task, score in found.items()
    )


def _weigh_differences(found: Mapping[str, Score]) -> tuple[Verdict, str]:
    """What paired differences show: better or worse only where the interval leaves zero out."""
    better = [task for task, score in found.items() if score.low > 0]
    worse = [task for task, score in found.items() if score.high < 0]
    even = [task for task in found if task not in (*better, *worse)]
    words = [
        f"{name} {_few(tasks)}"
        for name, tasks in (("better in", better), ("worse in", worse), ("no difference shown in", even))
        if tasks
    ]
    return "no" if worse else "yes" if better else "open", "; ".join(words)


def _ablations(scores: Scores) -> list[Finding]:
    """Altered copies of a model beside it, paired by query, pooled over shots."""
    findings = []
    for altered in scores.models:
        found = scores.by_task(altered, "minus-whole")
        errors = scores.by_task(altered, "wer-minus-whole")
        if not found:
            continue
        title = f"What a part is worth: {scores.label(altered)}"
        if all(score.low == score.high == 0 for score in (*found.values(), *errors.values())):
            text = f"Equal to the whole model: not one score of {_few(list(found))} differs."
            findings.append(Finding(title, "fact", text))
            continue
        text = f"Beside the whole model, in points of exact answers, paired by query: {_differences(found)}."
        if errors:
            text += f" Word errors, in points, lower is better: {_differences(errors)}."
        findings.append(Finding(title, "fact", f"{text} By the intervals: {_weigh_differences(found)[1]}."))
    return findings


def _guessing(scores: Scores, model: ModelId) -> Finding | None:
    """Whether who hears another clip, or none, does no better than always giving the most frequent answer."""
    near, above = [], []
    shown = False
    for task in scores.tasks:
        for shots in scores.shots(task, model, "exact"):
            majority = scores.find(model, task, "exact", "majority", shots)
            for input, name in (("shuffled-audio", "another clip"), ("no-audio", "no sound")):
                score = scores.find(model, task, "exact", input, shots)
                if majority is None or score is None or task == "transcript":
                    continue
                points = 100 * (score.value - majority.value)
                if score.value <= majority.value + NEAR_MAJORITY:
                    near.append(points)
                    continue
                above.append(f"{task} at {shots}, {name} ({signed(points)})")
                shown |= score.low > majority.value + NEAR_MAJORITY
    if not near and not above:
        return None
    title = "Without the clip it only guesses"
    limit = f"{100 * NEAR_MAJORITY:.0f} points"
    if not above:
        text = f"With another clip or none it is never more than {limit} above the most frequent answer "
        return Finding(title, "yes", f"{text}({len(near)} scores, at most {signed(max(near))}).")
    text = f"More than {limit} above the most frequent answer, in points: {_few(above)}."
    if near:
        text += f" Not so in {len(near)} of {len(near) + len(above)} scores."
    if not shown:
        text += " By the intervals none of it is shown."
    return Finding(title, "no" if shown else "open", text)


def _cautions(extras: Mapping[str, Any], model: ModelId) -> list[Finding]:
    """What a reader must know of how the headline model was asked, where it is not the usual."""
    repeated, too_long, left_out = [], [], []
    for cell in extras.get("cells", []):
        if cell["model"] != model.model:
            continue
        name = f"{cell['task']} at {cell['shots']}, {cell['condition']}"
        if cell["clips"] < cell["queries"]:
            repeated.append(f"{name} ({cell['queries']} queries about {cell['clips']} clips)")
        too_long += [f"{name}, {input} ({count} of {cell['queries']})" for input, count in cell["too_long"].items()]
        left_out += [f"{name}, {input}" for input in cell["left_out"]]
    findings = []
    if repeated:
        text = f"More queries than clips that fit: {_few(repeated)}. Their intervals are as wide as the clips allow."
        findings.append(Finding("Clips asked about again", "fact", text))
    if too_long:
        text = f"The model’s own transcripts made prompts longer than its positions; counted wrong: {_few(too_long)}."
        findings.append(Finding("Transcripts without end", "fact", text))
    if left_out:
        text = f"All demonstrations have the same answer, so there are no wrong ones to show: {_few(left_out)}."
        findings.append(Finding("Controls that could not be made", "fact", text))
    return findings


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
