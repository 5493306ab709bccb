"""The recipe of ears: one settings class that composes those of the rooms. `iclal train RECIPE [key=value]...`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from iclal.audio.augment import Augment
from iclal.data.prompt import Template
from iclal.data.world.voices import DRAWN_SHARE
from iclal.errors import SettingsError
from iclal.model.connector import ConnectorSettings, CTCSettings
from iclal.model.hearing import MOST_SECONDS
from iclal.model.saving import BUNDLED
from iclal.recipes import recipe_names
from iclal.settings import Settings
from iclal.training.objectives import Objectives
from iclal.training.optimizer import OptimizerSettings
from iclal.training.recordings import QUIET
from iclal.training.train_settings import TrainSettings

_OF_WORLD = ("names_share", "drawn_share", "silence_around", "human", "digit_strings", "no_speech")
_OF_MANIFEST = ("validation", "validation_share")


class DataSettings(Settings):
    """What the ears are trained on: a manifest, or the spoken world."""

    train: Path | None = None  # a manifest
    validation: Path | None = None  # a manifest; None: part of the above, held out by speaker where possible
    validation_share: float = Field(default=0.1, gt=0, lt=1)
    passages: int | None = Field(default=None, gt=0)  # of the spoken world, in place of a manifest
    names_share: float = Field(default=0.0, ge=0, le=0.9)  # of these, names alone (a tenth is digits alone)
    drawn_share: float = Field(default=DRAWN_SHARE, ge=0, le=1)  # of the world's voices, drawn for a passage alone
    human: Path | None = None  # the project's `data` folder: human digits and sounds without speech beside the world
    digit_strings: int = 300
    no_speech: int = 150
    silence_around: int = 0  # of the world's clips, heard once more with seconds of silence around
    max_seconds: float = Field(default=20.0, gt=0)  # longer clips are dropped and counted
    seed: int = 10

    @model_validator(mode="after")
    def _each_source_stands_alone(self) -> DataSettings:
        if self.train is not None and self.passages is None and (told := self._set_among(_OF_WORLD)):
            raise ValueError(
                f"{told}: only beside the spoken world's passages; {self.train} brings its own clips: set what "
                "is named to its default"
            )
        if self.train is None and self.passages is not None and (told := self._set_among(_OF_MANIFEST)):
            raise ValueError(
                f"{told}: only beside a manifest (data.train); the spoken world brings its own clips to validate by: "
                "set what is named to its default"
            )
        return self

    def _set_among(self, keys: Sequence[str]) -> str:
        """Those of the keys that are not at their default, in words; empty where all are."""
        defaults = {key: type(self).model_fields[key].default for key in keys}
        asked = {key: getattr(self, key) for key in keys if getattr(self, key) != defaults[key]}
        return ", ".join(f"{key} {value} (default {defaults[key]})" for key, value in asked.items())


class TeacherSettings(Settings):
    """The prompts that the frozen model answers for `distillation`."""

    examples: int = Field(default=1500, gt=0)
    shots: tuple[int, ...] = Field(default=(0, 0, 0, 1, 2), min_length=1)  # drawn from evenly
    tasks: tuple[str, ...] = ("transcript", "questions", "summary", "pattern", "labels", "voice")


class EarsRecipe(Settings):
    """Everything that makes a training of ears what it is."""

    about: str = ""  # what it is for, what it needs, what it reached
    language_model: str = BUNDLED  # or a folder
    language_model_dtype: Literal["auto", "float32", "bfloat16"] = "auto"  # as stored; the bundled one float32
    encoder: str = BUNDLED  # or a folder of one, or of trained ears, or a bundled model's name
    encoder_layers: int | None = Field(default=None, gt=0)  # of which it lacks, come last and change nothing yet
    encoder_filters: int | None = Field(default=None, gt=0)  # of its first convolution; the new ones as in `widened`
    encoder_dropout: float | None = Field(default=None, ge=0, lt=1)  # hidden states, attention; None: as it was
    stored_dtype: Literal["float32", "bfloat16"] = "float32"  # of the ears' file; they are trained and used in float32
    start: str | None = None  # a folder of trained ears, or a bundled model's name; `context` they lack begins at zero
    freeze_encoder: bool = False
    connector: ConnectorSettings = CTCSettings()
    objectives: Objectives = Objectives(alignment=1.0)
    template: Template = Template()
    transcription_instruction: str | None = None  # None: [audio; transcript], as the paper trains
    window_seconds: float = Field(default=20.0, ge=0.5, le=MOST_SECONDS)
    data: DataSettings = DataSettings()
    teacher: TeacherSettings = TeacherSettings()
    augment: Augment = QUIET
    batch_seconds: float = Field(default=40.0, gt=0)  # of audio, padded
    batch_rows: int = Field(default=8000, gt=0)  # of the language model where it is run, padded
    activation_checkpointing: bool = False  # recompute the language model's layers backwards: less memory, more time
    validation_clips: int = Field(default=48, gt=0)
    device: str = "auto"
    train: TrainSettings = TrainSettings(
        steps=1000, optimizer=OptimizerSettings(learning_rate={"encoder": 3e-4, "connector": 3e-3})
    )

    @field_validator("language_model", "encoder", "start")
    @classmethod
    def _at_home(cls, place: str | None) -> str | None:
        try:
            return str(Path(place).expanduser()) if place and place.startswith("~") else place
        except RuntimeError as error:
            raise ValueError(f"{error} Write the path out") from error

    @model_validator(mode="after")
    def _instructed(self) -> EarsRecipe:
        objectives = self.objectives
        if objectives.transcription and not (objectives.alignment or objectives.distillation):
            if self.transcription_instruction is not None:
                raise ValueError("the transcription objective trains without an instruction: leave it out")
        elif self.transcription_instruction is None:
            raise ValueError(
                "transcription_instruction is needed: without the transcription objective alone, the language model "
                "has to be told to transcribe, e.g. 'write down what you hear'"
            )
        return self

    @model_validator(mode="after")
    def _one_encoder(self) -> EarsRecipe:
        self.train.check_start(self.start)
        if self.start is not None and self.encoder != BUNDLED:
            raise ValueError(f"encoder={self.encoder} beside start={self.start}, which has its own: leave one out")
        if self.freeze_encoder and (self.encoder_layers or self.encoder_filters or self.encoder_dropout is not None):
            raise ValueError(
                "encoder_layers, encoder_filters and encoder_dropout are for an encoder that is trained: "
                "freeze_encoder is on"
            )
        return self

    @property
    def hears_once(self) -> bool:
        """Whether every epoch hears the same of a clip, so that once is enough: nothing is changed or trained there.

        A clip whose note says "noisy" keeps the noise of its first draw.
        """
        return self.freeze_encoder and not self.augment.changes


def read_recipe(name: str, overrides: list[str] | tuple[str, ...] = ()) -> EarsRecipe:
    """A recipe by name, or from a YAML file, with `key=value` on top.

    Raises:
        SettingsError: no such recipe (the known are listed), unknown keys, wrong values.
    """
    path = Path(name)
    if name in recipe_names():
        path = Path(str(files("iclal.recipes") / f"{name}.yaml"))
    elif not path.is_file():
        raise SettingsError(f"no recipe '{name}': give a YAML file or one of {', '.join(recipe_names())}")
    return EarsRecipe.read(path, overrides)
