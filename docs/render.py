"""`python -m docs.render [NAME …]`: runs the tutorials in a site, in both languages, and writes them as pages of docs/tutorials.

A testbed is brought up for it (root; minutes), a person of each language logs in with a real browser and runs each tutorial, cell
by cell, on the mount of their session; what a widget shows then is the browser's own picture. The executed notebooks stay in
build/tutorials, from where `--kept` makes the pages again where only texts have changed.
"""

from __future__ import annotations

import argparse
import base64
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

import nbformat
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from docs.tutorialpage import FOLDER, WIDGET, Language, Page, alternatives, page
from testbed.site import Testbed
from tests.e2e.browser import Browser

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "build" / "tutorials"
PEOPLE: dict[Language, tuple[str, str]] = {"en": ("suzuki", "jrs0023"), "ja": ("tanaka", "jrs0017")}
"""Who runs them: name at the hub and account at the cloud, as the testbed has them."""
LONGEST_S = 1800.0
"""Of one tutorial, on a machine that does other things too."""
WINDOW = 1360, 2200
"""Pixels; so high that every widget is in sight as a whole."""
_CELLS = ".jp-Notebook .jp-Cell"
_BOX = "const { x, y, width, height } = arguments[0].getBoundingClientRect(); return { x, y, width, height };"
_WIDGETS = ".jp-Notebook .jp-OutputArea-output:has(.jupyter-widgets, .ctlab-viewer)"


class RenderError(Exception):
    """A run that is not what a page is to show; the text says why."""


def names() -> list[str]:
    """The tutorials, in their order: a later one may use what an earlier one left."""
    return sorted(path.stem for path in (ROOT / "notebooks" / "en").glob("*.ipynb"))


def source(name: str, language: Language) -> nbformat.NotebookNode:
    """The tutorial as it is given to people."""
    return nbformat.read(ROOT / "notebooks" / language / f"{name}.ipynb", as_version=4)


def run(site: Testbed, language: Language, wanted: Sequence[str]) -> Iterator[tuple[str, nbformat.NotebookNode]]:
    """Each tutorial's name, and the tutorial with what its cells showed. Raises AssertionError when one doesn't run."""
    person, account = PEOPLE[language]
    # A session brings what isn't there; an older copy would stay.
    site.run("cloud", ["rm", "-f", *(f"/srv/cloud/people/{account}/tutorials/{name}.ipynb" for name in wanted)], check=True)
    with _browser(site, language) as window:
        window.log_in(person, site.passwords[person])
        window.leave()
        window.choose(destination="cloud", gpus=1, hours=1)
        window.press_start()
        window.wait_for_lab(300)
        for name in wanted:
            path = f"people/{account}/tutorials/{name}.ipynb"
            window.open_tutorial(path)
            pictures = _run_cells(window)
            cells = window.wait_until_run(path, LONGEST_S)
            yield name, _executed(nbformat.from_dict({**source(name, language), "cells": cells}), pictures)
        window.leave()


@contextmanager
def _browser(site: Testbed, language: Language) -> Iterator[Browser]:
    window = Browser(site.url, language, KEPT)
    try:
        window.driver.set_window_size(*WINDOW)
        yield window
    finally:
        window.close()


def _executed(notebook: nbformat.NotebookNode, pictures: Sequence[bytes]) -> nbformat.NotebookNode:
    """`notebook`, as a person's server saved it, with a picture in the place of each widget."""
    left = iter(pictures)
    for cell in _code(notebook):
        for output in (each for each in cell.outputs if WIDGET in each.get("data", {})):
            output.data = {"image/png": base64.b64encode(next(left)).decode()}
    if next(left, None) is not None:
        raise RenderError("the page showed more widgets than were saved")
    return notebook


def _shown(name: str, language: Language) -> nbformat.NotebookNode:
    """The tutorial with the outputs of its last run. Raises RenderError when that was of other code; texts may have changed."""
    notebook, ran = source(name, language), nbformat.read(KEPT / f"{name}.{language}.ipynb", as_version=4)
    if [each.source for each in _code(notebook)] != [each.source for each in _code(ran)]:
        raise RenderError(f"the code of {name} ({language}) has changed since it was run: run it again")
    for cell, there in zip(_code(notebook), _code(ran), strict=True):
        cell.outputs = there.outputs
    return notebook


def _code(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _run_cells(window: Browser) -> list[bytes]:
    """Runs one cell after the other; a picture of each widget as it is then, which later cells may change."""
    pictures: list[bytes] = []
    window.scroll_to(f"{_CELLS} .jp-InputPrompt", 0).click()
    for number in range(_count(window, _CELLS)):
        ActionChains(window.driver).key_down(Keys.CONTROL).send_keys(Keys.ENTER).key_up(Keys.CONTROL).perform()
        window.wait(LONGEST_S, f"end of cell {number}", lambda number=number: _has_run(window, number) or None, every=0.5)
        pictures += [_picture(window, each) for each in range(len(pictures), _count(window, _WIDGETS))]
        ActionChains(window.driver).send_keys(Keys.ARROW_DOWN).perform()
    return pictures


def _has_run(window: Browser, number: int) -> bool:
    cell = window.driver.find_elements(By.CSS_SELECTOR, _CELLS)[number]
    if "jp-CodeCell" not in cell.get_attribute("class"):
        return True
    return cell.find_element(By.CSS_SELECTOR, ".jp-InputPrompt").text.strip("[]: ").isdecimal() and window.kernel_state() == "idle"


def _count(window: Browser, selector: str) -> int:
    return len(window.driver.find_elements(By.CSS_SELECTOR, selector))


def _picture(window: Browser, number: int) -> bytes:
    """The `number`-th widget as the browser shows it, a viewer at rest, as PNG."""
    widget = window.scroll_to(_WIDGETS, number)
    for viewer in widget.find_elements(By.CSS_SELECTOR, ".ctlab-viewer"):
        window.wait(60, "pictures at rest", lambda viewer=viewer: window.shown(viewer))
    # What was scrolled is drawn again.
    time.sleep(0.5)
    box = window.driver.execute_script(_BOX, widget)
    taken = window.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png", "clip": {**box, "scale": 1}})
    return base64.b64decode(taken["data"])


def write(name: str, language: Language, made: Page) -> None:
    """The page and its pictures, in place of what was there of them."""
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob(f"{name}-{language}-*.webp"):
        old.unlink()
    for picture, content in made.pictures.items():
        (FOLDER / picture).write_bytes(content)
    (FOLDER / f"{name}.{language}.md").write_text(made.text, "utf-8")


@contextmanager
def _site(name: str) -> Iterator[Testbed]:
    """A testbed; one that is up stays so."""
    site = Testbed(name)
    there = site.complete
    try:
        site.up()
        yield site
    finally:
        if not there:
            site.down()


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def main() -> int:
    """Run what is asked for, and write it."""
    parser = argparse.ArgumentParser(prog="python -m docs.render", description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="*", help=f"only these: {', '.join(names())}")
    parser.add_argument("--language", choices=get_args(Language), action="append", help="only in this one")
    parser.add_argument("--testbed", default=f"pages{os.getpid()}", help="in this testbed; one that is up stays up")
    parser.add_argument("--kept", action="store_true", help="from the last run's notebooks in build/tutorials")
    asked = parser.parse_args()
    wanted = asked.name or names()
    if unknown := set(wanted) - set(names()):
        parser.error(f"there is no tutorial {', '.join(sorted(unknown))}")
    languages: list[Language] = asked.language or list(get_args(Language))
    if not asked.kept:
        KEPT.mkdir(parents=True, exist_ok=True)
        with _site(asked.testbed) as site:
            for language in languages:
                for name, executed in run(site, language, wanted):
                    nbformat.write(executed, KEPT / f"{name}.{language}.ipynb")
                    _say(f"{name} ran ({language})")
    texts = alternatives()
    for language in languages:
        for name in wanted:
            write(name, language, page(_shown(name, language), name, language, texts.get(name, {})))
    return 0


if __name__ == "__main__":
    sys.exit(main())
