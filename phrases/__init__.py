"""Every text that people see, in Japanese and English, from one gettext catalogue.

English is the source language: a message's English text is its key. `locale/ja/renkei.po` holds the Japanese; a test
finds every marked text in the code and asks for its translation.
"""

from __future__ import annotations

import gettext
import io
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

LANGUAGES = ("ja", "en")

Translate = Callable[[str], str]


def N_(text: str) -> str:  # noqa: N802  (gettext's own name for "mark, translate later")
    """Mark `text` for the catalogue where it can't be translated yet; returns it unchanged."""
    return text


@cache
def _catalogue(language: str) -> gettext.NullTranslations:
    source = Path(__file__).parent / "locale" / language / "renkei.po"
    if not source.is_file():
        return gettext.NullTranslations()
    # Not needed for English, and slow to import.
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po

    compiled = io.BytesIO()
    with source.open("rb") as stream:
        write_mo(compiled, read_po(stream, locale=language))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def translator(language: str) -> Translate:
    """The function that turns an English text into `language`; an unknown language gives English."""
    return _catalogue(language if language in LANGUAGES else "en").gettext


def process_language() -> str:
    """The language of this process: the first of LANGUAGE, LC_ALL, LANG that is set, else English."""
    for name in ("LANGUAGE", "LC_ALL", "LANG"):
        value = os.environ.get(name, "")[:2].lower()
        if value:
            return value if value in LANGUAGES else "en"
    return "en"
