"""Inference while the line is cut: what the program sees, and what comes over the link, second by second."""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ctlab.cohort import Cohort
from ctlab.errors import CtlabError
from ctlab.inference import Model, predict
from ctlab.network import PRESETS, build, device
from ctlab.readers import load
from ctlab.text import say

from linkbench import cold
from linkbench.results import Cut, LinkbenchError
from linkbench.settings import Settings
from phrases import N_

CUT, RESTORE = "cut", "restore"
Hook = Callable[[str], object]
"""Told CUT it cuts the site's line, told RESTORE it makes it whole again."""
PATIENCE_S = 180.0
"""After the cut; TCP's own retransmissions may lie 120 s apart."""
_PIECE = 2**20
_TICK_S = 0.1
"""Between two points of the curve, at least."""


def command_hook(text: str) -> Hook:
    """A command that is run with CUT and with RESTORE as its last argument."""
    argv = shlex.split(text)

    def hook(word: str) -> None:
        try:
            subprocess.run([*argv, word], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        except (OSError, subprocess.CalledProcessError) as error:
            raise LinkbenchError(
                N_("The cut's command failed at {word}: {error}. Look whether the line is whole."), word=word, error=error
            ) from error

    return hook


@dataclass
class Inference:
    """A network over the cases of a folder, again and again, every byte read anew and every label image compared with its first."""

    paths: Sequence[Path]
    model: Model
    begun: float = field(default_factory=time.monotonic)
    ended: threading.Event = field(default_factory=threading.Event)
    points: list[tuple[float, int]] = field(default_factory=lambda: [(0.0, 0)])
    done: list[tuple[float, float]] = field(default_factory=list)
    """When each case was begun and ready, seconds since `begun`."""
    errors: list[str] = field(default_factory=list)
    different: int = 0
    _first: dict[Path, tuple[str, str]] = field(default_factory=dict)

    @property
    def now(self) -> float:
        """Seconds since its begin."""
        return time.monotonic() - self.begun

    def run(self) -> None:
        """Until it is `ended`."""
        while not self.ended.is_set():
            for path in self.paths:
                if self.ended.is_set():
                    return
                self._case(path)

    def _case(self, path: Path) -> None:
        begun = self.now
        try:
            cold.drop_file(path)
            bytes_seen = self._read(path)
            found = hashlib.sha256(predict(self.model, load(path)).voxels.tobytes()).hexdigest()
        except (OSError, CtlabError) as error:
            self.errors.append(f"{self.now:.1f} s: {error}")
            self.ended.wait(1)
            return
        self.different += self._first.setdefault(path, (bytes_seen, found)) != (bytes_seen, found)
        self.done.append((begun, self.now))

    def _read(self, path: Path) -> str:
        digest, descriptor = hashlib.sha256(), os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            while data := os.read(descriptor, _PIECE):
                digest.update(data)
                self._came(len(data))
        finally:
            os.close(descriptor)
        return digest.hexdigest()

    def _came(self, size: int) -> None:
        now, total = self.now, self.points[-1][1] + size
        if len(self.points) > 1 and now - self.points[-2][0] < _TICK_S:
            self.points[-1] = (now, total)
        else:
            self.points.append((now, total))


def under_cut(folder: Path, settings: Settings, hook: Hook, tell: Callable[[str], object]) -> Cut:
    """Inference on the cohort in `folder` before, in and after a cut by `hook`, which is undone whatever happens."""
    cohort = Cohort(folder)
    paths = [case.files()[0] for case in (*cohort.train, *cohort.val)]
    # Its answers mean nothing; that they stay the same does.
    preset = replace(PRESETS["unet"], name="linkbench", spacing_mm=settings.spacing_mm, patch=settings.patch, augment=False)
    work = Inference(paths, Model(build(2, preset.kind).to(device()).eval(), preset, {1: "lung"}))
    thread = threading.Thread(target=work.run, daemon=True)
    thread.start()
    went_on = False
    try:
        if not _wait(lambda: work.now >= settings.before_s and bool(work.done or work.errors), PATIENCE_S + settings.before_s):
            raise LinkbenchError(
                N_("Inference did not finish one case, so the line was not cut. Measure again with smaller cases (--size).")
            )
        tell(say(N_("The line is cut for {seconds:.0f} s…"), seconds=settings.cut_s))
        begun = work.now
        try:
            hook(CUT)
            time.sleep(settings.cut_s)
        finally:
            hook(RESTORE)
        over = work.now
        went_on = _wait(
            lambda: work.now >= over + settings.after_s and any(start >= over for start, _ in work.done),
            settings.after_s + PATIENCE_S,
        )
    finally:
        work.ended.set()
        # A thread that waits for a line that stays away can't be ended; it goes with the process.
        thread.join(PATIENCE_S if went_on else 10)
    if not went_on:
        work.errors.append(say(N_("no case was finished within {seconds:.0f} s after the cut"), seconds=PATIENCE_S))
    later = [seconds for seconds, _ in work.points if seconds >= over]
    return Cut(
        seconds=tuple(round(seconds, 2) for seconds, _ in work.points),
        received=tuple(received for _, received in work.points),
        begun_s=begun,
        ended_s=over,
        resumed_s=later[0] - over if later else None,
        errors=tuple(work.errors),
        cases=len(work.done),
        different=work.different,
    )


def _wait(ready: Callable[[], bool], seconds: float) -> bool:
    """Whether it was `ready` within `seconds`."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True
