"""What ICLAL raises: one base class, whose message is meant for the person at the keyboard.

    IclalError
    +-- AudioError         a recording that cannot be read, or lies about itself
    +-- DataError          a manifest, corpus, example or text that is not as it should be
    +-- SettingsError      a recipe or option that is unknown, of the wrong type, or contradicts another
    +-- ModelError         a model folder, language model or encoder that does not fit
    +-- PromptError        a prompt that is empty or longer than the language model's positions
    +-- TrainingError      a run that cannot start, go on or be resumed
    +-- MissingError       an optional package or program that is not installed, with the install line

A message says what happened, which value, and what to do.
"""


class IclalError(Exception):
    """Base of every error that a user or a file can cause."""


class AudioError(IclalError):
    """A recording that cannot be read, is out of limits, or whose header lies."""


class DataError(IclalError):
    """A manifest, corpus, example or text that is not as it should be."""


class SettingsError(IclalError):
    """A recipe or option that is unknown, of the wrong type, or contradicts another."""


class ModelError(IclalError):
    """A model folder, language model or encoder that does not fit."""


class PromptError(IclalError):
    """A prompt that is empty, or longer than the language model's positions."""


class TrainingError(IclalError):
    """A run that cannot start, go on or be resumed."""


class MissingError(IclalError):
    """An optional package or program that is not installed; the message has the install line."""
