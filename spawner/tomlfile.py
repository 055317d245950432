"""One TOML file read into one typed value, with complaints that say where, what, and what is expected there."""

from __future__ import annotations

import enum
import re
import types
import typing
from collections.abc import Iterator
from typing import Annotated, Any, TypeVar

import msgspec

_T = TypeVar("_T")


class BadFileError(Exception):
    """The text is no TOML, or not what was asked for; a sentence without its full stop."""


def decode(raw: bytes, kind: type[_T]) -> _T:
    """The `kind` (a msgspec Struct) that `raw` holds. Raises BadFileError."""
    try:
        return msgspec.toml.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        raise BadFileError(_explained(str(error), kind)) from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadFileError(str(error)) from error


def beginning_with(raw: bytes, mark: str) -> tuple[str, ...]:
    """Where a text begins with `mark`, as paths like `$.hub.address`, with what follows the mark. Raises BadFileError."""
    try:
        return tuple(_marked(msgspec.toml.decode(raw), mark, "$"))
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadFileError(str(error)) from error


def _marked(here: object, mark: str, path: str) -> Iterator[str]:
    if isinstance(here, str) and here.startswith(mark):
        asked = here.removeprefix(mark).strip()
        yield f"{path} ({asked})" if asked else path
    elif isinstance(here, dict):
        for name, value in here.items():
            yield from _marked(value, mark, f"{path}.{name}")
    elif isinstance(here, list):
        for index, value in enumerate(here):
            yield from _marked(value, mark, f"{path}[{index}]")


def _explained(complaint: str, kind: type) -> str:
    """`complaint` of msgspec with what is expected at its place, where it does not say so itself."""
    match = re.search(r" - at `\$(.*)`\Z", complaint)
    here, description = _at(kind, match[1] if match else "")
    if "matching regex" in complaint and description and match:
        return f"Expected {description}{match[0]}"
    if "enum value" in complaint and isinstance(here, type) and issubclass(here, enum.Enum):
        return f"{complaint}; expected " + " or ".join(f'"{member.value}"' for member in here)
    if "unknown field" in complaint and _is_struct(here):
        return f"{complaint}; expected one of " + ", ".join(field.encode_name for field in msgspec.structs.fields(here))
    return complaint


def _at(kind: Any, path: str) -> tuple[Any, str]:  # noqa: ANN401  (annotations are of many kinds)
    """The type that stands at msgspec's `path` (`.hub.api_port`, `.destination[0]`) below `kind`, and its description."""
    here, description = _bare(kind)
    for name, index in re.findall(r"\.([^.\[]+)|(\[[^\]]*\])", path):
        if index:
            inside = typing.get_args(here)
            here, description = _bare(inside[0]) if inside else (None, "")
        else:
            fields = {each.encode_name: each for each in msgspec.structs.fields(here)} if _is_struct(here) else {}
            here, description = _bare(fields[name].type) if name in fields else (None, "")
    return here, description


def _is_struct(kind: Any) -> bool:  # noqa: ANN401
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _bare(kind: Any) -> tuple[Any, str]:  # noqa: ANN401
    """`kind` without `Annotated` and `| None`, and the description that the annotation carries."""
    description = ""
    while True:
        if typing.get_origin(kind) is Annotated:
            kind, *notes = typing.get_args(kind)
            described = (note.description for note in notes if isinstance(note, msgspec.Meta))
            description = next(filter(None, described), description)
        elif typing.get_origin(kind) in {types.UnionType, typing.Union}:  # which of the two depends on what is joined
            kind = next(each for each in typing.get_args(kind) if each is not type(None))
        else:
            return kind, description
