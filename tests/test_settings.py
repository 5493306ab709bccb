"""Settings: a value laid on a section changes that value alone."""

from __future__ import annotations

from iclal.training.recipe import EarsRecipe
from iclal.training.recordings import QUIET

WRITTEN = {"transcription_instruction": "write"}


def test_a_value_of_a_section_that_is_not_given_leaves_the_sections_other_defaults() -> None:
    recipe = EarsRecipe.build(WRITTEN, ["augment.speed_probability=0", "train.optimizer.warmup_steps=7"])
    assert recipe.augment == QUIET.model_copy(update={"speed_probability": 0.0})
    default = EarsRecipe.build(WRITTEN).train
    optimizer = default.optimizer.model_copy(update={"warmup_steps": 7})
    assert recipe.train == default.model_copy(update={"optimizer": optimizer})


def test_a_connector_of_another_kind_takes_nothing_from_the_default_one() -> None:
    recipe = EarsRecipe.build({"objectives": {"transcription": 1}}, ["connector.kind=linear"])
    assert recipe.connector.kind == "linear"
