"""The start of the CT kernel: tells ctlab where data and results are, and becomes an ordinary IPython kernel."""  # noqa: INP001  (a script)

from __future__ import annotations

import http.client
import importlib
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

NOTICES = "/run/renkei/hub.sock"
"""Where a session answers what the person should know by now (enclave/hubdoor.py)."""


TIME = "/renkei/time"
STORAGE = "/renkei/storage"
STORAGE_S = 2.0
"""Seconds for which an answer about the storage counts."""
ASK_S = 10.0
"""Seconds for which an answer about the time counts: who asks at each step of a training must not wait at each step."""
FOLDER = "RENKEI_FOLDER"
"""Where the kernel works: the server can't wait for the mount, so the kernel itself goes there (enclave/kernelstart.py)."""
NAME = "ct_startup"
"""What this program is called as a module; IPython takes `__main__` for the notebook's own names."""


def settings(session: Mapping[str, str]) -> dict[str, str]:
    """The settings of ctlab for the environment of a session: the only place that knows both.

    Outside a session there is nothing to translate, and ctlab's own defaults hold.
    """
    found = {}
    if "RENKEI_MOUNT" in session:
        found["CTLAB_DATA"] = f"{session['RENKEI_MOUNT']}/datasets"
    if "RENKEI_OWN" in session:
        found["CTLAB_WORK"] = session["RENKEI_OWN"]
    if "JUPYTERHUB_USER" in session:
        found["CTLAB_PERSON"] = session["JUPYTERHUB_USER"]
    if "RENKEI_DEADLINE" in session:
        found["CTLAB_DEADLINE"] = f"{NAME}:deadline"
    if "RENKEI_STILL_PICTURES" in session:
        found["CTLAB_STILL_PICTURES"] = session["RENKEI_STILL_PICTURES"]
    if "RENKEI_MOUNT" in session:
        found["CTLAB_STORAGE"] = f"{NAME}:storage"
    return found


def _ask(path: str, address: str) -> dict[str, object]:
    """What the session answers at `address`; nothing where nobody answers."""
    asking = http.client.HTTPConnection("session", timeout=1)
    try:
        asking.sock = socket.socket(socket.AF_UNIX)
        asking.sock.settimeout(1)
        asking.sock.connect(path)
        asking.request("GET", address)
        answer = json.load(asking.getresponse())
    except (OSError, http.client.HTTPException, ValueError):
        return {}
    finally:
        asking.close()
    return answer if isinstance(answer, dict) else {}


def ask_for_notice(path: str = NOTICES) -> str:
    """What the person should know by now; nothing where nobody answers."""
    return str(_ask(path, "/renkei/notice").get("notice", ""))


class Deadline:
    """When the session ends, in seconds since the epoch. It may move: so the session is asked."""

    def __init__(self, first: float, path: str = NOTICES, clock: Callable[[], float] = time.monotonic) -> None:
        self._known, self._path, self._clock = first, path, clock
        self._asked = -ASK_S

    def __call__(self) -> float:
        """The latest that is known; asks once in ASK_S."""
        if (now := self._clock()) - self._asked >= ASK_S:
            self._asked = now
            said = _ask(self._path, TIME).get("deadline")
            self._known = float(said) if isinstance(said, int | float) else self._known
        return self._known


deadline = Deadline(float(os.environ.get("RENKEI_DEADLINE", "inf")))


class Storage:
    """What people should know about the storage: the session is asked, which never touches the mount."""

    def __init__(self, path: str = NOTICES, clock: Callable[[], float] = time.monotonic) -> None:
        self._said, self._path, self._clock = "", path, clock
        self._asked = -STORAGE_S

    def __call__(self) -> str:
        """A sentence in the person's language; nothing where nobody answers. Asks once in STORAGE_S."""
        if (now := self._clock()) - self._asked >= STORAGE_S:
            self._asked = now
            told = _ask(self._path, STORAGE)
            self._said = str(told.get("warning") or told.get("text") or "")
        return self._said


storage = Storage()


class Notices:
    """After a cell: says each new sentence once, below the cell's own output."""

    def __init__(self, ask: Callable[[], str] = ask_for_notice) -> None:
        self._ask = ask
        self._said = ""

    def look(self, *_: object) -> None:
        """What IPython calls when a cell has run."""
        if (sentence := self._ask()) and sentence != self._said:
            self._said = sentence
            print(sentence, file=sys.stderr)


def look_again(*_: object) -> None:
    """Before a cell: modules that came to be since the last look are found.

    Python believes what it knows of a folder while the folder's time stays, and a cloud's folders have times of whole seconds.
    """
    importlib.invalidate_caches()


def enter(folder: Path) -> None:
    """Goes to `folder`, or to what is there above it. While the storage is paused, this waits."""
    for place in (folder, *folder.parents):
        try:
            os.chdir(place)
        except OSError:
            continue
        return


def main() -> None:
    """Runs the kernel; `-f FILE` among the arguments says how to reach it."""
    if folder := os.environ.pop(FOLDER, ""):
        enter(Path(folder))
    os.environ.update(settings(os.environ))
    sys.modules[NAME] = sys.modules[__name__]
    # Torch's threads wait for each other by spinning. Where the node's cores are shared, by a second session or the notebook server
    # itself, that takes the very time they wait for: a training step on two busy cores took 5 s, and 3 s without.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # In place of this script's folder, the one that holds ctlab in a checkout; an installed ctlab comes first.
    sys.path.pop(0)
    sys.path.append(str(Path(__file__).parent.parent))
    # Modules beside the notebook can be imported, but come last (the session's settings keep IPython from putting them first).
    sys.path.append("")
    from ipykernel import kernelapp

    app = kernelapp.IPKernelApp.instance()
    app.initialize()
    app.shell.events.register("pre_run_cell", look_again)
    if Path(NOTICES).exists():
        app.shell.events.register("post_run_cell", Notices().look)
    app.start()


if __name__ == "__main__":
    main()
