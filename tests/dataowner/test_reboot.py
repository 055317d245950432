"""A start of the cloud's machine: what lay below /run is gone, and nobody installs anything anew."""

import os
import stat
import subprocess
import sys
import time

from tests.dataowner.owners import OwnersSide

WATCH = "import pathlib, sys; from dataowner import places, watcher; watcher.watch(places.Places(pathlib.Path(sys.argv[1])))"


def test_the_watcher_comes_up_on_a_machine_that_has_just_started(side: OwnersSide):
    places = side.places
    os.chown(places.sessions, 0, 65534)
    places.live.parent.rmdir()

    with subprocess.Popen([sys.executable, "-c", WATCH, str(places.root)], stderr=subprocess.PIPE, text=True) as watching:
        until = time.monotonic() + 20
        while not places.live.exists() and watching.poll() is None and time.monotonic() < until:
            time.sleep(0.02)
        watching.terminate()
        said = watching.stderr.read()

    assert places.live.exists(), said
    status = places.live.parent.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o750, 0, 65534)
