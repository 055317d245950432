"""What the site of these pages has beyond Markdown: the table of the site file's keys, and links to files that are no pages.

properdocs.yml names this file; `python -m properdocs build --strict` runs it.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
ROOT = DOCS.parent
KEYS = "<!-- every key -->"
_OUTSIDE = re.compile(r"\[([^\]]*)\]\(\.\./([^)\s]+)\)")


def on_config(config: Any) -> Any:  # noqa: ANN401  (properdocs' own)
    """Let the checkout's own modules be found, wherever the command was started."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    return config


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:  # noqa: ANN401
    """The page's text with the table in its place, and files of the checkout named instead of linked."""
    if KEYS in markdown:
        from docs import sitekeys  # only on this page

        markdown = markdown.replace(KEYS, sitekeys.page(language(page.file.src_uri)))
    return _OUTSIDE.sub(lambda match: _named(page.file.src_uri, match), markdown)


def on_page_context(context: dict[str, Any], *, page: Any, **_: Any) -> dict[str, Any]:  # noqa: ANN401
    """The template's further words: the page's language, and its twin in the other one."""
    here = language(page.file.src_uri)
    context["language"] = here
    return context


def language(name: str) -> str:
    """The language of the page `name`: pages without a mark are English."""
    return "ja" if name.endswith(".ja.md") else "en"


def _named(page: str, link: re.Match[str]) -> str:
    """What stands on the site where `page` links a file beside `docs`; a link to another page stays. Raises FileNotFoundError where
    it links none.
    """
    text, path = link[1], link[2]
    target = (DOCS / page).parent.parent / path.partition("#")[0]
    if not target.exists():
        raise FileNotFoundError(target)
    if target.is_relative_to(DOCS):
        return link[0]
    return f"`{path}`" if text.strip("`") == path else f"{text} (`{path}`)"
