"""The tiny language model's own byte-level BPE, built from the world's lexicon instead of counted from a corpus.

Merges come in two stages: first the syllables of the name grammar, then every word of the lexicon up to one token. So
a word is one token and a name is its syllables, one token each, also a name never seen: with counted merges, pieces
of unseen names were tokens that training had hardly met, and neither ears nor language model could spell them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING

from iclal.data.prompt import Template
from iclal.data.tasks import labels, pattern, questions, summary, transcript, voice
from iclal.data.world import names, sentences, voices, words

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SPECIAL_TOKENS = ("<s>", "<pad>", "</s>", "<unk>")  # ids 0 to 3, as OPT's
SPACE = "Ġ"  # the byte-level alphabet's sign for a space
DEFAULT_TEMPLATE = Template()


def build_merges(
    words: Iterable[str], syllables: Iterable[str], pairs_allowed: Iterable[str] = ()
) -> list[tuple[str, str]]:
    """The merges, in order of rank, that make one token of each syllable and of each word (its leading space written).

    A word is merged at the first place that does not join two syllables, since that merge would also change names;
    a word of syllables alone stays as they are, unless it is in `pairs_allowed` (and then no name may begin with it).
    """
    syllables = tuple(syllables)
    merges = [(s[0], s[1]) for s in syllables] + [(SPACE, s) for s in syllables]
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    pure = set(syllables) | {SPACE + s for s in syllables}
    for word in words:
        parts = apply_merges([SPACE if letter == " " else letter for letter in word], ranks)
        while len(parts) > 1:
            free = [i for i in range(len(parts) - 1) if not (parts[i] in pure and parts[i + 1] in pure)]
            if not free:
                if word.strip() not in pairs_allowed:
                    break
                free = [0]
            pair = (parts[free[0]], parts[free[0] + 1])
            ranks[pair] = len(merges)
            merges.append(pair)
            parts = apply_merges(parts, ranks)
    return merges


def apply_merges(parts: list[str], ranks: dict[tuple[str, str], int]) -> list[str]:
    """BPE on one word: the pair of lowest rank is merged until none is left."""
    while len(parts) > 1:
        rank, i = min((ranks.get(pair, len(ranks)), i) for i, pair in enumerate(itertools.pairwise(parts)))
        if rank == len(ranks):
            break
        parts = parts[:i] + [parts[i] + parts[i + 1]] + parts[i + 2 :]
    return parts


def build_tokenizer(
    words: Iterable[str], syllables: Iterable[str], pairs_allowed: Iterable[str] = ()
) -> PreTrainedTokenizerFast:
    """A Hugging Face tokenizer of those merges over all 256 bytes; one `</s>` in front, as OPT's."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    merges = build_merges(words, syllables, pairs_allowed)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = dict.fromkeys([*SPECIAL_TOKENS, *alphabet, *(a + b for a, b in merges)])
    vocabulary = {token: id for id, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(single="</s> $A", special_tokens=[("</s>", 2)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="</s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    )


def world_tokenizer(template: Template = DEFAULT_TEMPLATE) -> PreTrainedTokenizerFast:
    """The tokenizer of the world's spoken and written words."""
    wordings = [w for task in (transcript, questions, summary, pattern, labels) for w in task.INSTRUCTIONS]
    wordings += [w for task in (transcript, questions, summary, pattern, labels) for w in task.HELD_OUT_INSTRUCTIONS]
    wordings += [w for asked in voice.INSTRUCTIONS.values() for w in asked]
    written = [w for wording in wordings for w in wording.split() if w[0] != "{"]
    written += [*labels.ATTRIBUTES, *voices.NOTE_WORDS, "yes", "no", "[", "]"]
    lexicon = dict.fromkeys([*sentences.lexicon(), *sentences.question_words(), *written])
    cues = (template.clip_cue.strip(":"), template.question_cue.strip(":"))
    first_words = dict.fromkeys([*cues, *(wording.split()[0] for wording in wordings)])
    tokenizer = build_tokenizer([*first_words, *(" " + w for w in lexicon)], names.SYLLABLES, names.NAME_LIKE_WORDS)
    assert len(tokenizer.encode(template.end, add_special_tokens=False)) == 1
    return tokenizer


def kinds_of_words(tokenizer: PreTrainedTokenizerFast) -> list[list[int]]:
    """Token ids of the kinds of words that the world's tasks tell apart, each with the words that ask for it."""
    plurals = [words.plural(thing) for thing in words.THINGS]
    kinds = {
        "name": [*names.SYLLABLES, "who"],
        "colour": [*words.COLOURS, "colour"],
        "place": [*words.PLACES, "place", "where"],
        "day": [*words.DAYS, "day"],
        "thing": [*words.THINGS, *plurals, "thing", "things"],
        "things": [*plurals, "things"],
        "number": [*words.NUMBERS, "number", "many"],
        "digit": [*words.DIGITS, "number"],
        "speaker": words.SPEAKERS,
        "pace": words.PACES,
        "surroundings": words.SURROUNDINGS,
        "yes-no": ["yes", "no", "is", "does", "was", "are"],
    }
    found = [[tokenizer.encode(" " + word, add_special_tokens=False) for word in kind] for kind in kinds.values()]
    found.append([tokenizer.encode(syllable, add_special_tokens=False) for syllable in names.SYLLABLES])
    assert all(len(ids) == 1 for kind in found for ids in kind), "every word of the lexicon is one token"
    return [[ids[0] for ids in kind] for kind in found]
