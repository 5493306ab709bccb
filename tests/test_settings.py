"""Settings: a value laid on a section changes that value alone; text and paths are taken as they were typed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest

from iclal.errors import SettingsError
from iclal.settings import Settings
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


class Column(Settings):
    kind: Literal["column"] = "column"
    name: str = ""


class Count(Settings):
    kind: Literal["count"] = "count"
    number: int = 0


class Table(Settings):
    text: str = "text"
    note: str | None = "note"
    folder: Path = Path("folder")
    other: Path | None = Path("other")
    names: tuple[str, ...] = ()
    size: int | None = 3
    header: bool = True
    part: Column | Count = Column()
    rates: dict[str, float] | None = None


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("text=no", "no"),
        ("text=12", "12"),
        ("text=said #1", "said #1"),
        ("text=[a, b", "[a, b"),
        ("text=a=b: c", "a=b: c"),
        ("text='it'", "'it'"),
        ("text=null", "null"),
        ("text=", ""),
        ("note=1e3", "1e3"),
        ("note=null", None),
        ("note=", None),
        ("folder=no", Path("no")),
        ("folder=2024", Path("2024")),
        ("folder=~/a #1", Path.home() / "a #1"),
        ("folder=~", Path.home()),
        ("other=~/b", Path.home() / "b"),
        ("other=null", None),
        ("part.name=yes", "yes"),
    ],
)
def test_a_text_or_a_path_is_taken_as_it_was_typed(override: str, expected: object) -> None:
    found: Any = Table.build({}, [override])
    for name in override.partition("=")[0].split("."):
        found = getattr(found, name)
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
    ("override", "expected"),
    [("names=[a, b]", ("a", "b")), ("size=null", None), ("header=no", False), ("rates={a: 1.0e-3}", {"a": 1e-3})],
)
def test_other_values_are_yaml(override: str, expected: object) -> None:
    assert getattr(Table.build({}, [override]), override.partition("=")[0]) == expected


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["names=no"], r"names: .*\(found False in 'names=no'\)"),
        (["size=1", "size = few"], r"size: .*\(found 'few' in 'size = few'\)"),
        (["names=[a, 3]"], r"names.1: .*\(found 3 in 'names=\[a, 3\]'\)"),
        (["part.kind=count", "part.number=many"], r"\(found 'many' in 'part.number=many'\)"),
        (["rates.a=fast"], r"\(found 'fast' in 'rates.a=fast'\)"),
        (["folder="], "'folder=': no path is given"),
        (["folder=~nobody-of-that-name/a"], "'folder=~nobody-of-that-name/a': .*home directory.*; write the path out"),
        (["text.a=b"], "'text.a=b': text is a single value, it has no key 'a'"),
        (["header=[a"], r"'header=\[a': the value is not YAML"),
    ],
)
def test_a_wrong_value_is_told_with_the_words_that_gave_it(overrides: list[str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Table.build({"text": "text"}, overrides)


def test_a_wrong_value_of_the_file_is_told_without_words_that_gave_others() -> None:
    with pytest.raises(SettingsError, match=r"size: .*\(found 'few'\)$"):
        Table.build({"size": "few"}, ["part.kind=count", "part.number=3"])
