"""A clinician at a browser: what they see and press, by the ids and words of the pages."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

_SWITCHES = (
    "--headless=new",
    "--no-sandbox",  # the tests run as root, where Chromium has none
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
    "--window-size=1360,900",
)
_REMEMBER = """
    document.addEventListener("DOMContentLoaded", () => {
      const line = document.getElementById("progress-message");
      if (!line) return;
      new MutationObserver((changes) => {
        const shown = JSON.parse(sessionStorage.getItem("shown") || "[]");
        for (const { addedNodes } of changes) for (const entry of addedNodes) shown.push(entry.textContent);
        sessionStorage.setItem("shown", JSON.stringify(shown));
      }).observe(line, { childList: true });
    });
    addEventListener("click", ({ isTrusted }) => {
      if (isTrusted) sessionStorage.setItem("clicks", Number(sessionStorage.getItem("clicks")) + 1);
    }, true);
"""
"""Remembers each sentence of the waiting page, however soon the next page replaces it, and how often somebody clicked."""
RUN_MENU = {"en": "Run", "ja": "実行"}
_T = TypeVar("_T")


class Browser:
    """One window of Chromium with its own profile, at one site."""

    def __init__(self, url: str, language: str, pictures: Path, switches: tuple[str, ...] = ()) -> None:
        """`language` is what the browser asks for (Accept-Language); screenshots go to the folder `pictures`."""
        options = webdriver.ChromeOptions()
        # Profile and whatever else the browser writes: chromedriver leaves some of it behind.
        self._scratch = tempfile.TemporaryDirectory(prefix="renkei-browser-", ignore_cleanup_errors=True)
        self.profile = f"{self._scratch.name}/profile"
        for switch in (*_SWITCHES, *switches, f"--lang={language}", f"--user-data-dir={self.profile}"):
            options.add_argument(switch)
        options.add_experimental_option("prefs", {"intl.accept_languages": language})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        service = Service("/usr/bin/chromedriver", env={**os.environ, "TMPDIR": self._scratch.name})
        self.driver = webdriver.Chrome(options=options, service=service)
        self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": _REMEMBER})
        self.url, self.language, self._pictures = url, language, pictures

    def close(self) -> None:
        """Close the window."""
        self.driver.quit()
        self._scratch.cleanup()

    # Looking

    def wait(self, seconds: float, what: str, condition: Callable[[], _T | None], every: float = 0.1) -> _T:
        """The first true value of `condition`, tried `every` so many seconds; AssertionError with the page's text at the end."""
        # A page that is just being replaced answers with one exception or another; the next look is at the new one.
        wait = WebDriverWait(self.driver, seconds, poll_frequency=every, ignored_exceptions=(WebDriverException,))
        try:
            return wait.until(lambda _: condition())
        except WebDriverException as error:
            raise AssertionError(f"no {what} within {seconds} s at {self.driver.current_url}:\n{self.text()[:3000]}") from error

    def text(self) -> str:
        """All text of the page that can be seen."""
        return self.driver.find_element(By.TAG_NAME, "body").text

    def find(self, selector: str) -> WebElement | None:
        """The first element for a CSS selector that can be seen, or None."""
        return next((each for each in self.driver.find_elements(By.CSS_SELECTOR, selector) if each.is_displayed()), None)

    def get(self, selector: str, seconds: float = 20) -> WebElement:
        """The same, waited for."""
        return self.wait(seconds, selector, lambda: self.find(selector))

    def press(self, selector: str, seconds: float = 20) -> None:
        """Click it, once it can be seen; a page that reloads itself just then is looked at again."""

        def pressed() -> bool | None:
            found = self.find(selector)
            if found is not None:
                found.click()
            return found is not None or None

        self.wait(seconds, selector, pressed)

    def picture(self, name: str) -> Path:
        """Save what can be seen as `NAME-LANGUAGE.png`."""
        self._pictures.mkdir(parents=True, exist_ok=True)
        path = self._pictures / f"{name}-{self.language}.png"
        self.driver.save_screenshot(str(path))
        return path

    def hosts(self) -> set[str]:
        """Every `HOST:PORT` that the window has asked for something since it was opened or this was last called."""
        found = set()
        for entry in self.driver.get_log("performance"):
            told = json.loads(entry["message"])["message"]
            if told["method"] == "Network.requestWillBeSent":
                found.add(told["params"]["request"]["url"])
            elif told["method"] == "Network.webSocketCreated":
                found.add(told["params"]["url"])
        return {place.netloc for place in map(urlsplit, found) if place.scheme not in {"data", "blob", "chrome", "about"}}

    # The hub's pages

    def open(self, path: str = "/") -> None:
        """Go to a path of the site."""
        self.driver.get(f"{self.url}{path}")

    def log_in(self, person: str, password: str) -> None:
        """Fill the login form and send it."""
        self.open("/hub/login")
        self.get("#username_input").send_keys(person)
        self.get("#password_input").send_keys(password)
        self.get("#login_submit").click()
        self.wait(20, "page after the login", lambda: "/login" not in self.driver.current_url or None)

    def choose(self, **choices: object) -> None:
        """Open the form, unless it is open, and set its fields by their values."""
        if not self.driver.current_url.endswith("/hub/spawn"):
            self.open("/hub/spawn")
        self.get("#spawn_form")
        for name, value in choices.items():
            option = self.get(f"#{name} option[value='{value}']")
            if not option.is_selected():
                option.click()

    def press_start(self) -> None:
        """Send the form."""
        self.get("#spawn_form button[type=submit]").click()

    def wait_for_lab(self, seconds: float = 60) -> list[str]:
        """Stay on the waiting page until JupyterLab is there; the sentences that the page showed meanwhile."""
        pictured = 0

        def arrived() -> bool:
            nonlocal pictured
            shown = len(self.driver.find_elements(By.CSS_SELECTOR, "#steps li[data-state]"))
            if shown > pictured:
                pictured = shown
                self.picture("waiting")
            return self.find("#jp-main-dock-panel") is not None

        self.wait(seconds, "JupyterLab", lambda: arrived() or None)
        return list(json.loads(self.driver.execute_script("return sessionStorage.getItem('shown')") or "[]"))

    def wait_for_complaint(self, seconds: float = 30) -> str:
        """What the page says once the wish has failed."""
        return self.get(".note.error:not([hidden]), .alert", seconds).text

    def leave(self) -> None:
        """End the session, if there is one: what failed before must not stand in the next visitor's way."""
        self.open("/hub/home")
        self.get("#start, #stop")
        stop = ".session:not([data-state=ended]) .stop:enabled"
        if self.find(stop) is not None:
            self.press(stop)
            self.wait(60, "home page without a session", lambda: self.find(".session:not([data-state=ended])") is None or None)

    def stop(self) -> None:
        """End the session on the home page and wait until it is ended."""
        self.open("/hub/home")
        self.press("#stop:enabled")
        self.wait(60, "home page without a session", lambda: self.find("#stop") is None and self.find("#start"))

    # JupyterLab

    def stop_by_control_panel(self) -> None:
        """File → Hub Control Panel, and end the session on the page that opens in a window of its own."""
        before = set(self.driver.window_handles)
        self.driver.find_elements(By.CSS_SELECTOR, ".lm-MenuBar-item")[0].click()
        self.get("li[data-command='hub:control-panel']").click()
        opened = self.wait(20, "window of the hub", lambda: set(self.driver.window_handles) - before or None)
        self.driver.switch_to.window(opened.pop())
        self.press("#stop:enabled")
        self.wait(60, "home page without a session", lambda: self.find("#stop") is None and self.find("#start"))

    def open_notebook(self, path: str) -> None:
        """Open a notebook by its path below the Lab's root; returns when its kernel is there."""
        self.driver.get(urljoin(self.driver.current_url, f"{self._home()}lab/tree/{path}"))
        self.get(".jp-Notebook .jp-CodeCell", 60)
        self.wait(60, "kernel", lambda: self.kernel_state() == "idle" or None)

    def open_tutorial(self, path: str) -> None:
        """The same, with nothing left of what was open before: no other notebook, no kernel."""
        for kernel in self.ask("api/kernels"):
            self.ask(f"api/kernels/{kernel['id']}", "DELETE")
        self.open_notebook(f"{path}?reset")

    def cards(self, section: str) -> list[str]:
        """The titles of the launcher's cards in a section, in their order."""
        self.get(f".jp-LauncherCard[data-category='{section}']", 60)
        return [each.text for each in self.driver.find_elements(By.CSS_SELECTOR, f".jp-LauncherCard[data-category='{section}']")]

    def press_card(self, title: str) -> None:
        """Choose a card of the launcher that opens a notebook; returns when its kernel is there."""
        cards = self.driver.find_elements(By.CSS_SELECTOR, ".jp-LauncherCard")
        next(each for each in cards if each.text == title).click()
        self.get(".jp-Notebook .jp-CodeCell", 60)
        self.wait(60, "kernel", lambda: self.kernel_state() == "idle" or None)

    def clicks(self) -> int:
        """How often a person has clicked since the window was opened."""
        return int(self.driver.execute_script("return sessionStorage.getItem('clicks')") or 0)

    def run_all(self) -> None:
        """Run → Run All Cells, by the menu."""
        self.wait(20, f"menu {RUN_MENU[self.language]}", self._run_menu).click()
        self.get("li[data-command='runmenu:run-all']").click()

    def _run_menu(self) -> WebElement | None:
        menus = self.driver.find_elements(By.CSS_SELECTOR, ".lm-MenuBar-item")
        return next((each for each in menus if each.text == RUN_MENU[self.language]), None)

    def save(self) -> None:
        """Save the notebook that has the focus."""
        self.driver.find_element(By.TAG_NAME, "body").send_keys(Keys.CONTROL, "s")

    def wait_until_run(self, path: str, seconds: float) -> list[dict[str, Any]]:
        """Wait until every code cell of the notebook `path` has run, saving as it goes; its cells as the server has them."""
        end = time.monotonic() + seconds
        while True:
            # Rarely: what is asked here is taken from the training's time.
            self.wait(max(1.0, end - time.monotonic()), "idle kernel", lambda: self.kernel_state() == "idle" or None, every=1.0)
            self.save()
            time.sleep(1)
            cells = self.ask(f"api/contents/{path}")["content"]["cells"]
            code = [cell for cell in cells if cell["cell_type"] == "code"]
            failed = [output for cell in code for output in cell["outputs"] if output["output_type"] == "error"]
            assert not failed, "\n".join("\n".join(each["traceback"]) for each in failed)
            if all(cell["execution_count"] for cell in code) and self.kernel_state() == "idle":
                return list(cells)
            assert time.monotonic() < end, f"{path} has not run within {seconds} s"

    def scroll_to(self, selector: str, number: int) -> WebElement:
        """Bring the `number`-th element for a CSS selector (-1: the last) into sight, wherever in the notebook it is."""

        def there() -> WebElement | None:
            found = self.driver.find_elements(By.CSS_SELECTOR, selector)
            if not found:
                return None
            self.driver.execute_script("arguments[0].scrollIntoView({ block: 'center' })", found[number])
            return found[number] if found[number].is_displayed() else None

        return self.wait(20, selector, there)

    def slice_view(self, number: int) -> WebElement:
        """The notebook's `number`-th CT viewer (-1: the last), in sight."""
        return self.scroll_to(".jp-OutputArea-output .ctlab-viewer:has(.ctlab-pane)", number)

    def shown(self, view: WebElement) -> str:
        """A digest of the pictures that a viewer shows, when it is at rest."""
        script = """
            const { ctlab } = arguments[0];
            if (!ctlab.told().exact) return null;
            return [...arguments[0].querySelectorAll("canvas")].map((canvas) => canvas.toDataURL()).join();
        """
        pictures = self.wait(20, "pictures at rest", lambda: self.driver.execute_script(script, view))
        return hashlib.sha256(pictures.encode()).hexdigest()

    def move(self, view: WebElement) -> str:
        """Press the arrow key on a viewer's first pane some times; a digest of the pictures that it shows then."""
        before = self.shown(view)
        view.find_element(By.CSS_SELECTOR, ".ctlab-pane").send_keys(*[Keys.ARROW_DOWN] * 3)
        return self.wait(20, "another slice", lambda: now if (now := self.shown(view)) != before else None)

    def kernel_state(self) -> str:
        """`idle`, `busy`, `starting`, …, or nothing while there is no kernel."""
        kernels = self.ask("api/kernels")
        return str(kernels[0]["execution_state"]) if kernels else ""

    def ask(self, path: str, method: str = "GET") -> Any:
        """What the person's server answers to their browser; None where it has nothing to say."""
        script = """
            const done = arguments[arguments.length - 1];
            const token = (document.cookie.match(/(?:^|; )_xsrf=([^;]*)/) || [])[1] || "";
            const asked = fetch(arguments[0], { method: arguments[1], headers: { "X-XSRFToken": token } });
            asked.then(a => a.status === 204 ? null : a.json()).then(done, e => done({ failed: String(e) }));
        """
        return self.driver.execute_async_script(script, f"{self._home()}{path}", method)

    def _home(self) -> str:
        return f"/user/{urlsplit(self.driver.current_url).path.split('/')[2]}/"
