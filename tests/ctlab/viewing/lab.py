"""A session's Lab, behind its doorway and under its policy, and a person with the viewer in its browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
from ctlab.viewing.planes import PLANES, enlargement
from PIL import Image
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select

from tests.ctlab.viewing.samples import grid
from tests.e2e.browser import Browser
from tests.enclave.lab import BASE, OWN, Lab

NOTEBOOK = f"{OWN}/tutorials/viewer.ipynb"
SCRIPT = "run.py"
"""What the last cell runs."""
START_S = 90
"""A Lab and a kernel on a machine that does other things too."""


def lab_with(folder: Path, *cells: str, language: str = "en") -> Lab:
    """A Lab whose cloud area holds a notebook of `cells`."""
    lab = Lab(folder, language=language)
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in (*cells, f"exec(open({SCRIPT!r}).read())")],
        metadata={"kernelspec": {"name": "ct", "display_name": "CT", "language": "python"}},
    )
    nbformat.write(notebook, folder / "cloud" / NOTEBOOK)
    (folder / "cloud" / OWN / "tutorials" / SCRIPT).write_text("")
    return lab


class Reader:
    """Somebody who looks at a CT: what they see, and what mouse and keys do."""

    def __init__(self, page: Browser, folder: Path) -> None:
        """`folder` is the person's own area of the cloud."""
        self.page, self.folder = page, folder

    @property
    def driver(self) -> Any:
        return self.page.driver

    def open(self, seconds: float = START_S) -> None:
        """Opens the notebook, runs all of it and waits for the first pictures of the viewer."""
        self.page.open(f"{BASE}lab/tree/{NOTEBOOK}")
        self.page.wait(seconds, "notebook", lambda: self.page.find(".jp-Notebook .jp-CodeCell"))
        self.page.wait(seconds, "kernel", lambda: self.page.kernel_state() in {"idle", "busy", "starting"} or None)
        self.page.run_all()
        self.page.wait(seconds, "viewer", lambda: self.page.find(".ctlab-pane canvas"))
        self.driver.execute_script(
            """
            window.seen = [];
            document.addEventListener("ctlab-seen", (event) => window.seen.push(event.detail));
            document.querySelector(".ctlab-viewer").scrollIntoView({ block: "start" });
            """
        )
        self.rest(seconds)

    def viewer(self) -> Any:
        """What the browser's half knows, by name."""
        return self._call("told")

    def rest(self, seconds: float = 30) -> Any:
        """Waits until every pane shows exactly what is wanted, and tells the state."""
        return self.page.wait(seconds, "exact pictures", lambda: told if (told := self.viewer())["exact"] else None)

    def pane(self, number: int) -> WebElement:
        """The `number`-th pane."""
        return self.driver.find_elements(By.CSS_SELECTOR, ".ctlab-pane")[number]

    def keys(self, pane: int, *keys: str) -> None:
        """Keys with the focus on a pane."""
        node = self.pane(pane)
        self.driver.execute_script("arguments[0].focus({ preventScroll: true })", node)
        node.send_keys(*keys)

    def wheel(self, pane: int, notches: int) -> None:
        """The mouse wheel over the middle of a pane, downwards for a positive number."""
        origin = ScrollOrigin.from_element(self.pane(pane))
        for _ in range(abs(notches)):
            ActionChains(self.driver, duration=0).scroll_from_origin(origin, 0, 120 if notches > 0 else -120).perform()

    def screen(self, pane: int, column: float, row: float) -> tuple[float, float]:
        """Where a place of the slice is, in pixels from the pane's middle."""
        x, y = self._call("middleTo", pane, [column, row])
        return x, y

    def place(self, pane: int) -> tuple[float, float]:
        """The crosshair's place (column, row) in a pane."""
        column, row = self.driver.execute_script(
            "return document.querySelector('.ctlab-viewer').ctlab.panes[arguments[0]].crosshair()", pane
        )
        return column, row

    def drag(self, pane: int, *places: tuple[float, float]) -> None:
        """The left button down at the first place (column, row) and up at the last."""
        points = [self.screen(pane, *place) for place in places]
        chain = (
            ActionChains(self.driver, duration=30)
            .move_to_element_with_offset(self.pane(pane), *map(round, points[0]))
            .click_and_hold()
        )
        for point in points[1:]:
            chain.move_to_element_with_offset(self.pane(pane), *map(round, point))
        chain.release().perform()

    def click(self, pane: int, place: tuple[float, float]) -> None:
        """A click at a place (column, row)."""
        x, y = self.screen(pane, *place)
        ActionChains(self.driver, duration=0).move_to_element_with_offset(self.pane(pane), round(x), round(y)).click().perform()

    def touch(self, pane: int, *fingers: list[tuple[float, float]]) -> None:
        """Fingers on a pane, each along its own way; places in pixels from the pane's middle, as many for each finger."""
        script = "const { x, y, width, height } = arguments[0].getBoundingClientRect(); return [x + width / 2, y + height / 2]"
        left, top = self.driver.execute_script(script, self.pane(pane))
        for step, places in enumerate(zip(*fingers, strict=True)):
            points = [{"x": left + x, "y": top + y, "id": finger} for finger, (x, y) in enumerate(places)]
            kind = "touchMove" if step else "touchStart"
            self.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        self.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    def hover(self, pane: int, place: tuple[float, float]) -> None:
        """The mouse over a place (column, row)."""
        x, y = self.screen(pane, *place)
        ActionChains(self.driver, duration=0).move_to_element_with_offset(self.pane(pane), round(x), round(y)).perform()

    def picture(self, pane: int) -> np.ndarray:
        """What the kernel sent for a pane, (rows, columns, 3), when it is at rest; without the lines over it."""
        self.rest()
        found = self._call("picture", pane)
        return np.array(found["pixels"], np.uint8).reshape(found["rows"], found["columns"], 4)[..., :3]

    def pixels(self, pane: int, *places: tuple[int, int]) -> list[list[int]]:
        """Its red, green and blue at places (column, row) of the slice."""
        pixels, plane = self.picture(pane), list(PLANES.values())[pane]
        times = enlargement(grid(), plane)
        return [pixels[row * times[1], column * times[0]].tolist() for column, row in places]

    def begin(self, **state: object) -> None:
        """Everything as it is at first, and `state`."""
        self._call("restart")
        self.set(**state)

    def set(self, **state: object) -> None:
        """State changed as the controls change it, and the pictures of it waited for."""
        self._call("change", state)
        self.rest()

    def choose_tool(self, name: str) -> None:
        """What the left button does."""
        self.select("Mouse", name)

    def select(self, label: str, option: str) -> None:
        """An option of the control that is labelled so."""
        found = [each for each in self.driver.find_elements(By.CSS_SELECTOR, ".ctlab-bar label") if each.text.startswith(label)]
        Select(found[0].find_element(By.TAG_NAME, "select")).select_by_visible_text(option)

    def press(self, text: str) -> None:
        """A button of a section, which is opened for it."""
        self.unfold()
        buttons = self.driver.find_elements(By.XPATH, f"//*[contains(@class, 'ctlab-viewer')]//button[normalize-space()='{text}']")
        buttons[0].click()

    def shoot(self, name: str, selector: str = ".ctlab-viewer") -> Path:
        """A picture of the viewer as `NAME-LANGUAGE.png`, as far as the window shows it from the top of what `selector` names."""
        script = """
            const [viewer, top] = [".ctlab-viewer", arguments[0]].map((each) => document.querySelector(each));
            top.scrollIntoView({ block: "start" });
            const shown = [viewer, top, viewer.closest(".jp-WindowedPanel-outer, .jp-Notebook")];
            const [whole, part, notebook] = shown.map((each) => each.getBoundingClientRect());
            return [whole.left, Math.max(part.top, notebook.top), whole.right, Math.min(whole.bottom, notebook.bottom)];
        """
        box = [round(each) for each in self.driver.execute_script(script, selector)]
        path = self.page.picture(name)
        with Image.open(path) as window:
            shown = window.convert("RGB").crop(box)
        shown.save(path, optimize=True)
        return path

    def theme(self, name: str) -> None:
        """The Lab in another theme, by its menu."""
        for selector, text in ((".lm-MenuBar-item", "Settings"), ("li[data-type='submenu']", "Theme"), ("li", name)):
            self.page.wait(20, f"entry {text}", lambda selector=selector, text=text: self._press_entry(selector, text) or None)
        wanted = "return document.body.dataset.jpThemeName === arguments[0]"
        self.page.wait(20, f"theme {name}", lambda: self.driver.execute_script(wanted, name) or None)

    def _press_entry(self, selector: str, text: str) -> bool:
        shown = [each for each in self.driver.find_elements(By.CSS_SELECTOR, selector) if each.text.splitlines()[:1] == [text]]
        for each in shown[:1]:
            each.click()
        return bool(shown)

    def section(self, text: str) -> None:
        """Opens a section by a click on its title."""
        self.driver.find_element(By.XPATH, f"//*[contains(@class, 'ctlab-viewer')]//summary[normalize-space()='{text}']").click()

    def focus(self) -> str:
        """What the control with the focus is called; empty where the focus is on none of the viewer's."""
        script = """
            const at = document.activeElement.closest(".ctlab-viewer :is(button, summary, input, select, .ctlab-pane)");
            return at === null ? "" : (at.ariaLabel ?? at.innerText).trim();
        """
        return str(self.driver.execute_script(script))

    def tab_to(self, pattern: str, *, backwards: bool = False) -> None:
        """The Tab key until what has the focus is called by what `pattern`, a regular expression, fits."""
        passed = []
        for _ in range(80):
            self.type(*((Keys.SHIFT, Keys.TAB, Keys.NULL) if backwards else (Keys.TAB,)))
            passed.append(self.focus())
            if re.fullmatch(pattern, passed[-1]):
                return
        raise AssertionError(f"the Tab key leads to {passed}, and to nothing called {pattern!r}")

    def type(self, *keys: str) -> None:
        """Keys, to whatever has the focus, seen or not; a key that is held is let go by `Keys.NULL`, or at the end."""
        actions, held = ActionChains(self.driver, duration=0), list[str]()
        for key in (*keys, Keys.NULL):
            if key in (Keys.SHIFT, Keys.CONTROL, Keys.ALT):
                actions.key_down(key)
                held.append(key)
            elif key == Keys.NULL:
                while held:
                    actions.key_up(held.pop())
            else:
                actions.send_keys(key)
        actions.perform()

    def unfold(self) -> None:
        """Every section open."""
        self._call("unfold")

    def measured(self) -> list[str]:
        """What all measurements say, once each says something."""
        told = self.page.wait(20, "measurement", lambda: all(self._texts()) and self._texts())
        return list(told)

    def _texts(self) -> list[str]:
        return [each["text"] for each in self.viewer()["measures"]]

    def bookmarks(self) -> list[dict[str, Any]]:
        """What the kernel keeps of this case."""
        path = self.folder / "bookmarks" / "body.json"
        return list(json.loads(path.read_text())["places"]) if path.exists() else []

    def labels_changed(self) -> bool:
        """Whether there is a correction that could be taken back."""
        return int(self.viewer()["corrections"]) > 0

    def run(self, code: str) -> None:
        """Runs `code` by the notebook's last cell."""
        (self.folder / "tutorials" / SCRIPT).write_text(code)
        self.page.scroll_to(".jp-CodeCell .cm-content", -1).click()
        ActionChains(self.driver).key_down(Keys.CONTROL).send_keys(Keys.ENTER).key_up(Keys.CONTROL).perform()

    def _call(self, name: str, *values: object) -> Any:
        script = "const { ctlab } = document.querySelector('.ctlab-viewer'); return ctlab[arguments[0]](...arguments[1]);"
        return self.driver.execute_script(script, name, list(values))

    def said(self) -> str:
        """The line below the pictures."""
        return str(self.driver.find_element(By.CSS_SELECTOR, ".ctlab-said").text)


@contextmanager
def reading(folder: Path, cell: str, pictures: Path, language: str = "en") -> Iterator[Reader]:
    """A notebook of `cell` open in Chromium, its cell run; screenshots go to `pictures`."""
    lab = lab_with(folder, cell, language=language)
    try:
        page = Browser(lab.url, language, pictures)
        try:
            reader = Reader(page, folder / "cloud" / OWN)
            reader.open()
            yield reader
        finally:
            page.close()
    finally:
        lab.close()
