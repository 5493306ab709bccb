"""Typed settings: YAML in, `key=value` on top, every mistake reported at once with its dotted path.

The value of a `key=value` is YAML, but where the key takes a text or a path it is the text itself: a shell has quoted
it already, and a column may be called `no`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Self, Union, get_args, get_origin

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
            path, value = _parse(override, cls)
            values = _laid(_with_section(values, path, cls), path, value, override)
        try:
            return cls.model_validate(values)
        except pydantic.ValidationError as error:
            raise SettingsError(_explain(error, source, cls, overrides)) from error

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
    head, *rest = path
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


def _parse(override: str, kind: type[Settings]) -> tuple[list[str], Any]:
    """The parts of a `key=value`'s dotted key, and its value as the key takes it. Raises SettingsError."""
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise SettingsError(f"'{override}' is not of the form key=value, e.g. optimizer.learning_rate=1.0e-3")
    path = [part.strip() for part in key.split(".")]
    types = {member for annotation in _annotations(path, kind) for member in _members(annotation)}
    if types and types <= {str, Path, NoneType}:
        return path, _text(text, types, override)
    try:
        return path, yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError(f"'{override}': the value is not YAML; put it in quotes") from error


def _text(text: str, types: set[Any], override: str) -> str | None:
    """A text or path as it was typed; None where the key takes that and the text is `null` or empty."""
    if NoneType in types and text in ("", "null"):
        return None
    if Path not in types:
        return text
    if not text:
        raise SettingsError(f"'{override}': no path is given")
    try:
        return str(Path(text).expanduser())  # a shell leaves the ~ behind an equals sign alone
    except RuntimeError as error:
        raise SettingsError(f"'{override}': {error}; write the path out") from error


def _annotations(path: Sequence[str], kind: type[Settings]) -> Iterator[Any]:
    """The types of the key at a dotted path: none if it is unknown, several below a union of settings."""
    head, *rest = path
    if head not in kind.model_fields:
        return
    annotation = kind.model_fields[head].annotation
    if not rest:
        yield annotation
        return
    for inner in _settings_in(annotation):
        yield from _annotations(rest, inner)


def _members(annotation: Any) -> Iterator[Any]:
    """The types that a union is made of, else the type itself."""
    if get_origin(annotation) is Annotated:
        yield from _members(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, UnionType):
        for member in get_args(annotation):
            yield from _members(member)
    else:
        yield annotation


def _laid(values: dict[str, Any], path: Sequence[str], value: Any, override: str) -> dict[str, Any]:
    """`values` with one value laid on top at a dotted path. Raises SettingsError where no section leads there."""
    head, *rest = path
    if rest:
        inner = values.get(head, {})
        if not isinstance(inner, dict):
            raise SettingsError(f"'{override}': {head} is a single value, it has no key '{'.'.join(rest)}'")
        value = _laid(inner, rest, value, override)
    return values | {head: value}


def _explain(error: pydantic.ValidationError, source: str, kind: type[Settings], overrides: Sequence[str] = ()) -> str:
    """One line per mistake: dotted path, what is wrong, the value found and the `key=value` that gave it."""
    lines = []
    for item in error.errors():
        path = ".".join(str(part) for part in item["loc"]) or "(whole)"
        if item["type"] == "extra_forbidden":
            lines.append(f"{path}: unknown key; {_near(item['loc'], kind)}")
        else:
            lines.append(f"{path}: {item['msg']} (found {item.get('input')!r}{_given(item['loc'], overrides)})")
    return f"{source}: " + "; ".join(lines)


def _given(path: Sequence[int | str], overrides: Sequence[str]) -> str:
    """The last `key=value` that set what stands at a path of pydantic's, in words; nothing where none did."""
    for override in reversed(overrides):
        keys = [part.strip() for part in override.partition("=")[0].split(".")]
        rest = map(str, path)  # a path names the members of unions too, and what lies inside the value
        if path[:1] == (keys[0],) and all(key in rest for key in keys):
            return f" in '{override}'"
    return ""


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
