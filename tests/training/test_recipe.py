"""Recipes: valid, told from what contradicts itself, and refused by the key that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from iclal.errors import SettingsError
from iclal.recipes import recipe_names
from iclal.training.recipe import EarsRecipe, read_recipe


def test_every_recipe_of_the_package_is_valid_and_says_what_it_is_for() -> None:
    assert recipe_names()
    for name in recipe_names():
        assert read_recipe(name).about, name
    changed = read_recipe(recipe_names()[0], ["train.steps=7", "data.passages=11"])
    assert (changed.train.steps, changed.data.passages) == (7, 11)


def test_a_home_is_found_and_one_that_is_not_there_is_refused() -> None:
    assert read_recipe("own", ("encoder=~/w2v", "data.train=m.jsonl")).encoder == str(Path.home() / "w2v")
    with pytest.raises(SettingsError, match="Write the path out"):
        read_recipe("own", ("encoder=~nobody-x/a", "data.train=m.jsonl"))
    with pytest.raises(SettingsError, match=r"window_seconds: .* less than or equal to 300"):
        read_recipe("own", ("window_seconds=400", "data.train=m.jsonl"))


def test_recipes_that_contradict_themselves_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"no recipe 'nought'.*one of"):
        read_recipe("nought")
    own = ("data.train=own.jsonl", "data.passages=null")
    with pytest.raises(SettingsError, match=r"names_share 0\.3 .*, silence_around 500 .*; own\.jsonl brings"):
        read_recipe("ctc", (*own, "data.names_share=0.3"))
    with pytest.raises(SettingsError, match=r"human data \(default None\): only beside the .*; own\.jsonl"):
        read_recipe("ctc-distillation", own)
    assert read_recipe("ctc-distillation", (*own, "data.human=null")).data.human is None
    with pytest.raises(
        SettingsError, match=r"validation v\.jsonl \(default None\), validation_share 0\.2 .* only beside a"
    ):
        read_recipe("ctc", ("data.validation=v.jsonl", "data.validation_share=0.2"))
    with pytest.raises(SettingsError, match="transcription_instruction is needed"):
        EarsRecipe.build({"objectives": {"alignment": 1.0}})
    with pytest.raises(SettingsError, match="trains without an instruction"):
        EarsRecipe.build({"objectives": {"transcription": 1.0}, "transcription_instruction": "write"})
    with pytest.raises(SettingsError, match="colour: unknown key"):
        read_recipe(recipe_names()[0], ["colour=red"])
