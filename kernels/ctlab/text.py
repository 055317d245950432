"""Sentences in the language of this process."""

from __future__ import annotations

from phrases import process_language, translator


def say(text: str, /, **values: object) -> str:
    """`text` (marked with `phrases.N_`) in the process's language, its `{names}` filled from `values`."""
    return translator(process_language())(text).format(**values)


def plain_cell(text: str) -> str:
    """`text` as a cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
