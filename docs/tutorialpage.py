"""A tutorial that was run, as a page of Markdown with its pictures beside it.

What goes in is the notebook with the outputs of a run, in which a widget has the picture that a browser showed of it
(`docs/render.py`); what comes out needs no kernel, no script and no other host.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import nbformat
from nbconvert import MarkdownExporter
from nbconvert.filters import strip_ansi
from PIL import Image

Language = Literal["en", "ja"]

DOCS = Path(__file__).parent
FOLDER = DOCS / "tutorials"
COMMAND = "python -m docs.render"
LARGEST = 100_000
"""Bytes of a picture."""
EXACT = 40_000
"""Bytes up to which a picture is kept pixel by pixel; a larger one, as a CT is, loses what nobody sees."""
QUALITY = 80
"""Of WebP, 0 to 100."""
WIDGET = "application/vnd.jupyter.widget-view+json"

_MARK = re.compile(r"<!-- notebooks/(\w+)/(\w+)\.ipynb, sha256 ([0-9a-f]{64}): .* -->\n")
_LINK = re.compile(r"\]\((\w+)\.ipynb\)")
_INLINE = re.compile(r'src="data:image/png;base64,([A-Za-z0-9+/=\s]+)"')
_NOTE = {
    "en": (
        "> What a session shows when the cells are run: here in the demonstration, which has no GPU and a link of 6 ms, so times "
        "are others at your site. In a session you run and change your own copy "
        "([your first session](../clinician.en.md#the-tutorials)). [日本語]({name}.ja.md)"
    ),
    "ja": (
        "> セッションでセルを実行した結果です。このページはデモ環境（GPUなし、往復時間6 ms）で実行したもので、"
        "所要時間は施設により異なります。"
        "実際のセッションでは、ご自分用のコピーを実行し、自由に書き換えられます（[最初のセッション](../clinician.ja.md)）。[English]({name}.en.md)"
    ),
}


Texts = Mapping[str, Mapping[Language, list[str]]]
"""Cell → language → what each of its pictures shows, as in `tutorials.toml`."""


class PictureError(Exception):
    """A picture that can't stand on a page; the text says why."""


@dataclass
class Page:
    """A page and its pictures by their names, as they lie in `FOLDER`."""

    text: str
    pictures: dict[str, bytes] = field(default_factory=dict)


def alternatives() -> Mapping[str, Texts]:
    """What the pictures of each tutorial show, for who doesn't see them."""
    return tomllib.loads((DOCS / "tutorials.toml").read_text("utf-8"))


def digest(notebook: nbformat.NotebookNode) -> str:
    """SHA-256 of what a tutorial says and runs: kind and source of each cell, in their order."""
    cells = [(cell.cell_type, cell.source) for cell in notebook.cells]
    return hashlib.sha256(json.dumps(cells, ensure_ascii=False).encode()).hexdigest()


def rendered_from(text: str) -> str:
    """The digest of the tutorial that the page `text` was made from; empty where it names none."""
    found = _MARK.match(text)
    return found[3] if found else ""


def page(notebook: nbformat.NotebookNode, name: str, language: Language, texts: Texts) -> Page:
    """The tutorial `name` as a page with its pictures, of which `texts` says what they show.

    Raises PictureError for a picture of which nobody said what it shows, and for one that is too large.
    """
    made = Page("")
    shown = nbformat.from_dict({**notebook, "metadata": {"language_info": {"name": "python"}}})
    for cell in shown.cells:
        if cell.cell_type == "markdown":
            cell.source = _LINK.sub(rf"](\1.{language}.md)", cell.source)
        else:
            said = iter(texts.get(cell.id, {}).get(language, ()))
            cell.outputs = [_output(each, made, f"{name}-{language}", cell.id, said) for each in cell.outputs]
    body, _ = MarkdownExporter().from_notebook_node(shown)
    title, _, rest = body.strip().partition("\n")
    mark = f"<!-- notebooks/{language}/{name}.ipynb, sha256 {digest(notebook)}: made by {COMMAND}, as are its pictures -->"
    made.text = f"{mark}\n{title}\n\n{_NOTE[language].format(name=name)}\n{rest}\n"
    return made


def _output(output: nbformat.NotebookNode, made: Page, stem: str, cell: str, texts: Iterator[str]) -> nbformat.NotebookNode:
    """An output as the page has it: what is a picture lies beside the page."""

    def kept(content: bytes) -> str:
        name = f"{stem}-{len(made.pictures) + 1}.webp"
        made.pictures[name] = webp(content)
        return name

    data = output.get("data", {})
    if "text/html" in data:
        # One block of HTML has no empty line, in Markdown.
        found = _INLINE.sub(lambda inline: f'src="{kept(base64.b64decode(inline[1]))}"', data["text/html"])
        whole = re.sub(r"\n\s*\n", "\n", found)
        return nbformat.v4.new_output("display_data", {"text/html": f'<div class="output">{whole}</div>'})
    if "image/png" in data:
        if not (text := next(texts, "")):
            raise PictureError(f"docs/tutorials.toml doesn't say what the picture of {stem} shows after {cell}")
        content = base64.b64decode(data["image/png"])
        return nbformat.v4.new_output("display_data", {"text/markdown": f"![{html.escape(text, quote=False)}]({kept(content)})"})
    if WIDGET in data:
        raise PictureError(f"{stem} has a widget after {cell} of which there is no picture")
    said = strip_ansi(output["text"] if output.output_type == "stream" else data["text/plain"]).rstrip()
    return nbformat.v4.new_output("display_data", {"text/html": f'<pre class="output">{html.escape(said, quote=False)}</pre>'})


def webp(content: bytes) -> bytes:
    """A PNG as WebP. Raises PictureError when it is larger than a page can carry."""
    with Image.open(io.BytesIO(content)) as opened:
        shown = opened.convert("RGB")
    stream = io.BytesIO()
    shown.save(stream, "webp", lossless=True, method=6)
    if stream.tell() > EXACT:
        stream = io.BytesIO()
        shown.save(stream, "webp", quality=QUALITY, method=6)
    if stream.tell() > LARGEST:
        raise PictureError(f"a picture of {shown.width} × {shown.height} pixels takes {stream.tell()} bytes, more than {LARGEST}")
    return stream.getvalue()
