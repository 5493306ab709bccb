"""Typed settings: YAML in, `key=value` on top, every mistake reported at once with its dotted path."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self, get_args

import pydantic
import yaml

from iclal.errors import SettingsError


class Settings(pydantic.BaseModel):
    """Base of every room's settings: frozen, and an unknown key is an error."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def build(cls, values: dict[str, Any], overrides: Sequence[str] = (), source: str = "settings") -> Self:
        """Settings from a nested dict with dotted `key=value` overrides laid on top.

        Raises:
            SettingsError: unknown keys, wrong types, failed checks; all of them in one message.
        """
        for override in overrides:
            values = _override(_with_section(values, override.partition("=")[0].split("."), cls), override)
        try:
            return cls.model_validate(values)
        except pydantic.ValidationError as error:
            raise SettingsError(_explain(error, source, cls)) from error

    @classmethod
    def read(cls, path: Path, overrides: Sequence[str] = ()) -> Self:
        """Settings from a YAML file. Raises SettingsError when it is missing, no YAML, or does not validate."""
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except FileNotFoundError as error:
            raise SettingsError(f"no settings file at {path}") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise SettingsError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
        if not isinstance(values, dict):
            raise SettingsError(f"{path} must hold keys and values, found {type(values).__name__}")
        return cls.build(values, overrides, source=str(path))

    def to_yaml(self) -> str:
        """The settings as YAML that `read` takes back."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _with_section(values: dict[str, Any], path: Sequence[str], kind: type[Settings]) -> dict[str, Any]:
    """`values` with the default of the section that `path` leads into, if it is not given: one key changes alone."""
    head, *rest = (part.strip() for part in path)
    field = kind.model_fields.get(head)
    if (
        not rest
        or field is None
        or not isinstance(field.annotation, type)
        or not issubclass(field.annotation, Settings)
    ):
        return values
    inner = values.get(head)
    if inner is None and isinstance(field.default, Settings):
        inner = field.default.model_dump(mode="json")
    return values | {head: _with_section(inner, rest, field.annotation)} if isinstance(inner, dict) else values


def _override(values: dict[str, Any], override: str) -> dict[str, Any]:
    """`values` with one dotted `key=value` laid on top; the value is read as YAML."""
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise SettingsError(f"'{override}' is not of the form key=value, e.g. optimizer.learning_rate=1.0e-3")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError(f"'{override}': the value is not YAML; put it in quotes") from error
    head, *rest = key.strip().split(".")
    result = dict(values)
    if rest:
        inner = result.get(head, {})
        if not isinstance(inner, dict):
            raise SettingsError(f"'{override}': {head} is a single value, it has no key '{'.'.join(rest)}'")
        value = _override(inner, ".".join(rest) + "=" + text)
    result[head] = value
    return result


def _explain(error: pydantic.ValidationError, source: str, kind: type[Settings]) -> str:
    """One line per mistake: dotted path, what is wrong, the value found."""
    lines = []
    for item in error.errors():
        path = ".".join(str(part) for part in item["loc"]) or "(whole)"
        if item["type"] == "extra_forbidden":
            lines.append(f"{path}: unknown key; {_near(item['loc'], kind)}")
        else:
            lines.append(f"{path}: {item['msg']} (found {item.get('input')!r})")
    return f"{source}: " + "; ".join(lines)


def _near(path: Sequence[int | str], kind: type[Settings]) -> str:
    """The keys that may have been meant: of the same name elsewhere, else spelt alike, else all that stand there."""
    known = list(dict.fromkeys(_keys(kind)))
    parent = ""
    for part in path[:-1]:  # names of a union's members stand in the path too
        parent = f"{parent}{part}." if f"{parent}{part}" in known else parent
    name = str(path[-1])
    here = [key.removeprefix(parent) for key in known if key.startswith(parent)]
    here = [key for key in here if "." not in key]
    elsewhere = [key for key in known if key.rpartition(".")[2] == name]
    near = elsewhere or [parent + key for key in difflib.get_close_matches(name, here, cutoff=0.6)]
    return f"near names: {', '.join(near)}" if near else f"known are {', '.join(here)}"


def _keys(kind: type[Settings], prefix: str = "") -> Iterator[str]:
    """Dotted keys of a settings class and of those inside it."""
    for name, field in kind.model_fields.items():
        yield prefix + name
        for inner in _settings_in(field.annotation):
            yield from _keys(inner, f"{prefix}{name}.")


def _settings_in(annotation: Any) -> Iterator[type[Settings]]:
    """The settings classes that a field's type mentions: itself, or a union's members."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        yield annotation
    for argument in get_args(annotation):
        yield from _settings_in(argument)
