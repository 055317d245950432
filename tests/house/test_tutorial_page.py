"""How a tutorial that was run becomes a page: text, tables and files, and nothing that needs a kernel or another host."""

from __future__ import annotations

import base64
import copy
import io

import nbformat
import pytest
from PIL import Image

from docs.tutorialpage import PictureError, digest, page, rendered_from


def png(width: int, height: int) -> str:
    stream = io.BytesIO()
    Image.effect_noise((width, height), 90).save(stream, "png")
    return base64.b64encode(stream.getvalue()).decode()


def ran(*outputs: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A tutorial of a text and a cell, which showed `outputs`."""
    cells = [
        nbformat.v4.new_markdown_cell("# Lungs\n\nThen [the next](01_vnet_tutorial.ipynb)."),
        nbformat.v4.new_code_cell("look()", id="code-01", outputs=list(outputs)),
    ]
    return nbformat.v4.new_notebook(cells=cells)


def shown(**data: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_output("display_data", {kind.replace("_", "/"): content for kind, content in data.items()})


@pytest.mark.parametrize("cell", [0, 1])
def test_another_text_and_another_line_of_code_make_another_digest(cell):
    one = ran()
    other = copy.deepcopy(one)
    other.cells[cell].source += " "

    assert digest(one) != digest(other)
    assert digest(one) == digest(ran(shown(text_plain="an output")))


def test_what_cells_show_becomes_text_tables_and_files():
    inline = f'<table><tr><td>7 ml</td></tr></table>\n\n<img alt="case-1" src="data:image/png;base64,{png(8, 8)}">'
    printed = nbformat.v4.new_output("stream", name="stdout", text="a < b\n\n\x1b[31mred\x1b[0m\n")
    made = page(
        ran(printed, shown(text_html=inline, text_plain="7"), shown(image_png=png(20, 10), text_plain="picture")),
        "00_welcome", "en", {"code-01": {"en": ["Some noise"]}},
    )  # fmt: skip

    assert rendered_from(made.text) == digest(ran())
    assert "[the next](01_vnet_tutorial.en.md)" in made.text
    assert "```python\nlook()\n```" in made.text
    assert '<pre class="output">a &lt; b\n\nred</pre>' in made.text
    assert '</table>\n<img alt="case-1" src="00_welcome-en-1.webp">' in made.text
    assert "![Some noise](00_welcome-en-2.webp)" in made.text
    with Image.open(io.BytesIO(made.pictures["00_welcome-en-2.webp"])) as picture:
        assert (picture.format, picture.size) == ("WEBP", (20, 10))


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (shown(image_png=png(8, 8)), "doesn't say what the picture"),
        (nbformat.v4.new_output("display_data", {"application/vnd.jupyter.widget-view+json": {}}), "no picture"),
        (shown(text_html=f'<img src="data:image/png;base64,{png(900, 900)}">'), "more than"),
    ],
)
def test_a_picture_that_can_not_stand_on_a_page_is_refused(output, said):
    with pytest.raises(PictureError, match=said):
        page(ran(output), "00_welcome", "ja", {})
