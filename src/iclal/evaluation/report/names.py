"""What inputs and metrics are called where people read of them."""

from __future__ import annotations

INPUT_NAMES = {
    "audio": "audio prefix",
    "ceiling": "transcript as text",
    "cascade": "cascade",
    "cascade-ctc": "cascade, CTC",
    "shuffled-audio": "another clip",
    "no-audio": "no audio",
    "wrong-labels": "wrong labels",
    "text-demos": "text demos",
    "chance": "chance",
    "majority": "majority",
}

INPUT_MEANINGS = {
    "audio": "The clip is heard: its audio prefix stands in the prompt. Every other input changes one thing.",
    "ceiling": "The (rich) transcript stands as text where the audio would: what the language model can do at best.",
    "cascade": "The same ears transcribe first, and the text they wrote stands in the slot: the honest rival.",
    "cascade-ctc": "As cascade, with the text of the ears’ own CTC output, which the language model never touched.",
    "shuffled-audio": "The prefix of another clip: what can be answered without hearing the right one.",
    "no-audio": "The slot is empty: what the question alone gives away.",
    "wrong-labels": "The demonstrations carry wrong answers: who follows demonstrations must fall.",
    "text-demos": "The demonstrations are transcripts as text, only the query is heard.",
    "chance": "A blind guess among the possible answers.",
    "majority": "Always the most frequent answer.",
}

METRIC_NAMES = {
    "wer": "word error rate",
    "exact": "exact answers",
    "share-empty": "empty answers",
    "share-looping": "looping answers",
    "share-transcribing": "a transcript instead of an answer",
}
LOWER_IS_BETTER = ("wer", "share-empty", "share-looping", "share-transcribing")


def style(input: str) -> str:
    """The CSS class that colours an input."""
    return f"s-{input}" if input in INPUT_NAMES else "s-other"
