"""The table of every key of a site file, made from the typed settings themselves: docs/site-file.*.md holds where it goes.

A key's meaning is the docstring below its field in spawner/site.py; the Japanese ones are in docs/site-file.ja.toml.
"""

from __future__ import annotations

import ast
import enum
import json
import tomllib
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import NODEFAULT

from spawner import site

JAPANESE = Path(__file__).with_name("site-file.ja.toml")
WORDS = {
    "en": {
        "text": "text", "int": "whole number", "float": "number", "list": "list of", "or": "or", "from": "from",
        "to": "to", "above": "above", "label": 'text as `{ ja = "…", en = "…" }`', "needed": "needed", "none": "–",
        "head": "| key | what it is | left out | meaning |",
    },
    "ja": {
        "a path that begins with /": "/ で始まるパス",
        "an IP address": "IP アドレス",
        "an address that begins with http:// or https://": "http:// または https:// で始まるアドレス",
        "http:// or https://, a host name and perhaps a port": "http:// または https://、ホスト名、必要ならポート",
        "a lower-case letter, then at most 30 letters, digits or hyphens": "英小文字と、続く 30 字までの英小文字・数字・ハイフン",
        "a time zone like Asia/Tokyo": "Asia/Tokyo のようなタイムゾーン",
        "sqlite:////PATH or postgresql://…": "sqlite:////パス または postgresql://…",
        "the name of a Unix account": "Unix アカウントの名前",
        "NAME=VALUE, VALUE a word or one of {gpus}, {cpus}, {memory_mb}": "名前=値(値は語、または {gpus}、{cpus}、{memory_mb})",
        '"ja" or "en"': '`"ja"` または `"en"`',
        "text": "文字列", "int": "整数", "float": "数", "list": "リスト:", "or": "または", "from": "最小",
        "to": "最大", "above": "より大きい:", "label": '文字列(`{ ja = "…", en = "…" }`)', "needed": "必須", "none": "–",
        "head": "| キー | 値 | 省略時 | 意味 |",
    },
}  # fmt: skip


@dataclass(frozen=True)
class Key:
    """One key: its path below the file (`hub.bind_url`), its annotation, its default (NODEFAULT: needed), its meaning."""

    path: str
    kind: Any
    default: object
    meaning: str


@dataclass(frozen=True)
class Table:
    """One table of the file, with the heading by which TOML begins it."""

    heading: str
    meaning: str
    keys: tuple[Key, ...]


def meanings() -> dict[str, dict[str, str]]:
    """Class of spawner/site.py → field → the docstring below it, in one line."""
    found: dict[str, dict[str, str]] = {}
    for node in ast.parse(Path(site.__file__).read_text()).body:
        if isinstance(node, ast.ClassDef):
            fields = found.setdefault(node.name, {})
            for one, other in zip(node.body, node.body[1:], strict=False):
                if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name) and isinstance(other, ast.Expr):
                    fields[one.target.id] = " ".join(str(ast.literal_eval(other.value)).split())
    return found


def tables() -> tuple[Table, ...]:
    """Every table in the order of the model, the tables within a table right after it."""
    return tuple(_tables(site.Site, "", ""))


def _tables(kind: type[msgspec.Struct], path: str, heading: str) -> Iterator[Table]:
    said = meanings()[kind.__name__]
    inner, keys = [], []
    for each in msgspec.structs.fields(kind):
        here = f"{path}.{each.encode_name}".removeprefix(".")
        bare, _ = _bare(each.type)
        several = typing.get_origin(bare) is tuple
        inside = _bare(typing.get_args(bare)[0])[0] if several else bare
        if isinstance(inside, type) and issubclass(inside, msgspec.Struct) and inside is not site.Label:
            inner.append((inside, here, f"[[{here}]]" if several else f"[{here}]"))
        else:
            keys.append(Key(here, each.type, each.default, said.get(each.name, "")))
    if keys:
        yield Table(heading, (kind.__doc__ or "").splitlines()[0], tuple(keys))
    for inside, here, begins in inner:
        yield from _tables(inside, here, begins)


def _bare(kind: Any) -> tuple[Any, list[msgspec.Meta]]:  # noqa: ANN401  (annotations are of many kinds)
    """`kind` without `Annotated` and `| None`, and the notes of the annotation."""
    notes: list[msgspec.Meta] = []
    while True:
        if typing.get_origin(kind) is Annotated:
            kind, *more = typing.get_args(kind)
            notes += more
        elif typing.get_origin(kind) in {types.UnionType, typing.Union}:
            kind = next(each for each in typing.get_args(kind) if each is not type(None))
        else:
            return kind, notes


def described(kind: Any, language: str) -> str:  # noqa: ANN401
    """What a value of the annotation `kind` is, for a person."""
    words = WORDS[language]
    kind, notes = _bare(kind)
    if typing.get_origin(kind) is tuple:
        return f"{words['list']} {described(typing.get_args(kind)[0], language)}"
    if kind is site.Label:
        return words["label"]
    if kind is bool:
        return f"`true` {words['or']} `false`"
    if issubclass(kind, enum.Enum):
        return f" {words['or']} ".join(f'`"{member.value}"`' for member in kind)
    pattern = next((note for note in notes if note.pattern), None)
    if pattern is not None:
        said = next(note.description for note in reversed(notes) if note.description)
        return words.get(said, said)
    bounds = [
        f"{words[word]} {value:,}".replace(",", " ")
        for word, value in (
            ("above", next((note.gt for note in notes if note.gt is not None), None)),
            ("from", next((note.ge for note in notes if note.ge is not None), None)),
            ("to", next((note.le for note in notes if note.le is not None), None)),
        )
        if value is not None
    ]
    return " ".join([words["text" if kind is str else kind.__name__], *bounds])


def left_out(default: object, language: str) -> str:
    """What a key that the file does not name is taken to be."""
    if default is NODEFAULT:
        return WORDS[language]["needed"]
    if default is None:
        return WORDS[language]["none"]
    return f"`{json.dumps(list(default) if isinstance(default, tuple) else default)}`"


def japanese() -> dict[str, str]:
    """Path of a key, or heading of a table, → its meaning in Japanese."""
    return typing.cast("dict[str, str]", tomllib.loads(JAPANESE.read_text()))


def page(language: str) -> str:
    """All tables as Markdown."""
    said = japanese() if language == "ja" else {}
    parts = []
    for table in tables():
        rows = [
            f"| `{key.path.rpartition('.')[2]}` | {_cell(described(key.kind, language))} "
            f"| {_cell(left_out(key.default, language))} | {_cell(said.get(key.path, key.meaning))} |"
            for key in table.keys
        ]
        head = WORDS[language]["head"]
        parts += [f"### `{table.heading}`", said.get(table.heading, table.meaning), "\n".join([head, "|---|---|---|---|", *rows])]
    return "\n\n".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
