"""A JupyterLab on this machine alone, under the policy of a session's pages, with Chromium before it: to measure the viewer."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from bench.report import say
from enclave.server_config import SAYS_NOTHING_OF_CELLS
from enclave.wire import CONTENT_SECURITY_POLICY

ROOT = Path(__file__).parents[1]
NOTEBOOK = "viewer.ipynb"
WAIT_S = 240.0
_SWITCHES = (
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--window-size=1360,900",
)
_WITHOUT_GL = ("--disable-gpu",)
_GL = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader")
"""WebGL where there is no GPU: computed by the processor."""
_ENDLESS = 10**12
"""Bytes a second: no limit."""


@dataclass(frozen=True)
class Guest:
    """A program that is none of ours, in the same page: it may do whatever it needs."""

    packages: Path | None
    """A folder with its packages; None for ours, shown as the guest is."""
    script: str
    """Runs in the page before all else."""
    policy: str = ""
    """Of the pages, in place of a session's."""


class Page:
    """The notebook in the browser."""

    def __init__(self, driver: webdriver.Chrome, server: int) -> None:
        """`server`: the process number of the notebook server."""
        self.driver = driver
        self._roots = {server: "server", driver.service.process.pid: "browser"}

    def spent(self) -> Counter[str]:
        """Processor seconds so far: `kernel`, `server`, `page` (the browser's process for it), `browser` (its others)."""
        found: Counter[str] = Counter()
        parts = dict(self._roots)
        # A child has the higher number as long as numbers don't begin anew.
        for pid in sorted(int(each.name) for each in Path("/proc").iterdir() if each.name.isdecimal()):
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                argv = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            part = parts.get(pid) or parts.get(int(fields[1]))
            if part is None:
                continue
            parts[pid] = "kernel" if b"startup.py" in argv else "page" if b"--type=renderer" in argv else part
            seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            found[parts[pid]] += seconds  # type: ignore[assignment]  # a Counter may count fractions
        return found

    def run(self, script: str, *values: object) -> Any:  # noqa: ANN401  (whatever the script says)
        """What `script` returns in the page."""
        return self.driver.execute_script(script, *values)

    def until(
        self, what: str, condition: Callable[[], Any], seconds: float = WAIT_S, every: float = 0.05
    ) -> Any:  # noqa: ANN401  (whatever the condition says)
        """The first true value of `condition`, tried `every` so many seconds. Raises TimeoutError."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := condition():
                return found
            time.sleep(every)
        raise TimeoutError(f"no {what} within {seconds:.0f} s")

    def mouse(self, kind: str, x: float, y: float, **more: object) -> None:
        """A mouse event as the browser gets it from the system."""
        self.driver.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": kind, "x": x, "y": y, **more})


@contextmanager
def page(cells: Sequence[str], guest: Guest | None = None) -> Iterator[Page]:
    """A notebook of `cells`, all of them running. Raises OSError or TimeoutError when it can't be opened."""
    with tempfile.TemporaryDirectory(prefix="renkei-viewer-") as name:
        folder = Path(name)
        url, server = _serve(folder, cells, guest)
        try:
            with _browser(folder, _GL if guest else _WITHOUT_GL) as driver:
                if guest:
                    driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": guest.script})
                found = Page(driver, server.pid)
                found.until("server", lambda: _answers(f"{url}api"))
                driver.get(f"{url}lab/tree/{NOTEBOOK}")
                found.until("notebook", lambda: found.run("return document.querySelector('.jp-Notebook .jp-CodeCell') !== null"))
                say("the notebook is open")
                _run_all(found)
                yield found
        finally:
            server.terminate()
            server.wait(30)


def _serve(folder: Path, cells: Sequence[str], guest: Guest | None) -> tuple[str, subprocess.Popen[bytes]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    served, config = folder / "served", folder / "config"
    (config / "labconfig").mkdir(parents=True)
    served.mkdir()
    code: list[dict[str, object]] = [
        {"cell_type": "code", "execution_count": None, "id": f"c{number}", "metadata": {}, "outputs": [], "source": cell}
        for number, cell in enumerate(cells)
    ]
    metadata = {"kernelspec": {"name": "ct", "display_name": "CT", "language": "python"}}
    notebook = {"cells": code, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    (served / NOTEBOOK).write_text(json.dumps(notebook))
    extensions, paths = [ROOT / "kernels" / "ctlab" / "labextension"], os.environ.get("PYTHONPATH", "")
    if guest and guest.packages:
        extensions.append(guest.packages / "share" / "jupyter" / "labextensions")
        paths = f"{paths}:{guest.packages}"
    traits = {
        "ServerApp": {
            "ip": "127.0.0.1", "port": port, "port_retries": 0, "root_dir": str(served), "allow_root": True, "open_browser": False,
            "tornado_settings": {"headers": {"Content-Security-Policy": guest.policy if guest else CONTENT_SECURITY_POLICY}},
            "kernel_websocket_connection_class": "bench.prompt.PromptConnection",
        },
        "IdentityProvider": {"token": ""},
        "MappingKernelManager": {"untracked_message_types": [*SAYS_NOTHING_OF_CELLS]},
        "PromptConnection": {"iopub_data_rate_limit": _ENDLESS if guest else 20_000_000},
        "LabApp": {"extra_labextensions_path": [str(each) for each in extensions], "news_url": None},
    }  # fmt: skip
    (config / "jupyter_server_config.json").write_text(json.dumps(traits))
    off = {"@jupyterlab/apputils-extension:announcements": True}
    (config / "labconfig" / "page_config.json").write_text(json.dumps({"disabledExtensions": off}))
    environment = {
        **os.environ,
        "HOME": str(folder), "JUPYTER_PATH": str(ROOT), "JUPYTER_CONFIG_DIR": str(config), "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"), "IPYTHONDIR": str(folder / "ipython"), "LANGUAGE": "en",
        "PYTHONPATH": paths, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "CTLAB_WORK": str(folder / "work"),
    }  # fmt: skip
    with (folder / "lab.log").open("wb") as log:
        server = subprocess.Popen([sys.executable, "-m", "jupyterlab"], env=environment, cwd=served, stdout=log, stderr=log)
    return f"http://127.0.0.1:{port}/", server


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310  (this machine's own address)
            return True
    except (OSError, urllib.error.URLError):
        return False


@contextmanager
def _browser(folder: Path, more: Sequence[str]) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    for switch in (*_SWITCHES, *more, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(switch)
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver", env={**os.environ, "TMPDIR": str(folder)}))
    try:
        yield driver
    finally:
        driver.quit()


def _run_all(found: Page) -> None:
    def press(selector: str, text: str) -> bool:
        shown = [each for each in found.driver.find_elements(By.CSS_SELECTOR, selector) if each.text.startswith(text)]
        for each in shown[:1]:
            each.click()
        return bool(shown)

    def running() -> bool:
        return bool(found.run("return document.querySelector('.jp-InputPrompt').textContent !== '[ ]:'"))

    def ran() -> bool:
        # A Lab that is not through with opening may not do it at the first time.
        if press(".lm-MenuBar-item", "Run"):
            found.until("entry of the menu", lambda: press("li[data-command='runmenu:run-all']", "Run All"), 10)
        end = time.monotonic() + 5
        while time.monotonic() < end and not running():
            time.sleep(0.1)
        return running()

    idle = "return document.querySelector('.jp-Notebook-ExecutionIndicator[data-status=idle]') !== null"
    found.until("kernel", lambda: found.run(idle))
    found.until("running cell", ran)
