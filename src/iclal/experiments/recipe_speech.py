"""Which speech a recipe trains on: the user's manifests, or the spoken world with human speech beside it."""

from __future__ import annotations

from iclal.data.manifest import Utterance
from iclal.data.world import speech
from iclal.data.world.sentences import Taste
from iclal.errors import SettingsError
from iclal.experiments.human_speech import check_data, human_speech, no_speech, silence_around
from iclal.training.recipe import EarsRecipe
from iclal.training.recordings import Recordings
from iclal.training.speech import Speech, read_speech


def speech_for(recipe: EarsRecipe, *, progress: bool = True) -> Speech:
    """The recipe's recordings, synthesised first where they are the world's.

    Raises:
        SettingsError: no source of speech, or two.
        DataError: `data.human` is not the project's data folder. Else as `read_speech`.
    """
    data = recipe.data
    passages, held_out = speak_for(recipe, progress=progress)
    if data.passages is None:
        return read_speech(recipe)
    train = Recordings(passages, max_seconds=data.max_seconds)
    train.include(silence_around(train, data.silence_around, data.seed))
    if data.human is not None:
        train.include(human_speech(data.human, digit_strings=data.digit_strings, sentences=False))
        train.include(no_speech(data.human, data.no_speech, seed=data.seed))
    return Speech(train, Recordings(held_out, max_seconds=data.max_seconds))


def speak_for(recipe: EarsRecipe, *, progress: bool = True) -> tuple[list[Utterance], list[Utterance]]:
    """The world's passages that a recipe trains on and those it validates by, synthesised but not read; none of either
    where the speech is the user's own. Raises as `speech_for`.
    """
    data = recipe.data
    if (data.train is None) == (data.passages is None):
        found = "neither is" if data.train is None else "both are"
        raise SettingsError(
            f"speech to train on is a manifest (data.train=MANIFEST) or the spoken world (data.passages=1000); {found} "
            "given"
        )
    if data.passages is None:
        return [], []
    if data.human is not None:
        check_data(data.human, "give its place (data.human=FOLDER), or train without human speech (data.human=null)")
    passages = speech.speak_passages(
        "ears",
        data.passages,
        data.seed,
        names_share=data.names_share,
        drawn_share=data.drawn_share,
        progress=progress,
    )
    # Known voices, and others drawn as they were: the best checkpoint must not be chosen by the test's.
    held_out = speech.speak_passages(
        "ears", recipe.validation_clips, data.seed + 1, Taste((1, 3)), noisy_share=0.0, progress=progress
    )
    return passages, held_out
