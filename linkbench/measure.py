"""All experiments, one after the other, in folders of their own that are removed afterwards."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from ctlab.text import say

from linkbench import page
from linkbench.cut import Hook, under_cut
from linkbench.machine import machine
from linkbench.results import KIND, LinkbenchError, Report
from linkbench.settings import QUICK, Settings
from linkbench.training import CASES, make_cases, training
from linkbench.trips import Destination, trips
from linkbench.vision import Folders, vision
from phrases import N_


def measure(
    mount: str | Path,
    local: str | Path,
    out: str | Path,
    *,
    settings: Settings = QUICK,
    site: str = "",
    hosts: Sequence[Destination] = (),
    cut: Hook | None = None,
    tell: Callable[[str], object] = print,
) -> Report:
    """Measures the link under `mount` against `local`, and writes the report into `out`; `hosts` are further destinations.

    Without `cut` the inference under a cut is left out, and the report says so. Raises LinkbenchError (with one sentence) when a
    folder takes no files or a part can't be measured; what was written to both folders is removed then too.
    """
    begun, load = time.monotonic(), os.getloadavg()[0]
    date = datetime.now(UTC).isoformat(timespec="seconds")
    # Created before anything is measured: a folder that can't be written to shows now.
    Path(out).mkdir(parents=True, exist_ok=True)
    with _work(Path(mount), Path(local)) as folders:
        tell(say(N_("Round trips…")))
        asked = [Destination(side, folders[side]) for side in ("mount", "local")]
        found = trips([*asked, *hosts], settings.trips)
        seen = vision(folders, settings, tell)
        make_cases(folders, settings, tell)
        taught = training(folders, settings, tell)
        held = under_cut(folders["mount"] / CASES, settings, cut, tell) if cut else None
        on = machine(Path(mount), Path(local))
    report = Report(
        kind=KIND,
        site=site,
        date=date,
        took_s=time.monotonic() - begun,
        machine=on,
        load=(load, os.getloadavg()[0]),
        settings=settings,
        trips=found,
        vision=seen,
        training=taught,
        cut=held,
    )
    page.write(report, Path(out))
    return report


@contextlib.contextmanager
def _work(mount: Path, local: Path) -> Iterator[Folders]:
    """A folder on each side, removed with the block."""
    with contextlib.ExitStack() as stack:
        yield {"mount": stack.enter_context(_folder(mount)), "local": stack.enter_context(_folder(local))}


@contextlib.contextmanager
def _folder(parent: Path) -> Iterator[Path]:
    try:
        made = Path(tempfile.mkdtemp(prefix="linkbench-", dir=parent.resolve(strict=True)))
    except OSError as error:
        raise LinkbenchError(
            N_("{folder} takes no files: {error}. Name a folder of your own, for example below your own area on the mount."),
            folder=parent, error=error.strerror,
        ) from error  # fmt: skip
    try:
        yield made
    finally:
        try:
            shutil.rmtree(made)
        except OSError as error:
            raise LinkbenchError(
                N_("{folder} could not be removed: {error}. It holds phantoms alone. Remove it by hand."),
                folder=made, error=error.strerror,
            ) from error  # fmt: skip
