"""`python -m bench.viewer_link`: how soon a CT is seen that lies behind the link, on loopback at 8 ms; JSON.

A packed case and a DICOM series of 600 slices in a folder that is mounted with a session's own options, by the link and by plain
sshfs in turns; each opened by `bench.viewer_first`, and nothing of it was read through that mount before.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.report import say
from bench.viewer_cases import packed, series
from testbed.nearby import link_command, nearby

FAR_MS = 8.0


def main() -> int:
    """Measure; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.viewer_link", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    rounds = parser.parse_args().rounds
    found: dict[str, list[dict[str, object]]] = {}
    with tempfile.TemporaryDirectory(prefix="renkei-viewer-") as name, nearby(Path(name)) as here:
        cases = [write(here.folder).name for write in (packed, series)]
        here.line.order("delay", FAR_MS)
        for arm, command in (("link", link_command()), ("plain", None)) * rounds:
            for case in cases:
                with here.mount(command) as mount:
                    argv = [sys.executable, "-m", "bench.viewer_first", "--as-it-is", str(mount.place / case)]
                    told = subprocess.run(argv, check=True, stdout=subprocess.PIPE).stdout
                found.setdefault(f"{arm}, {case}", []).append(json.loads(told) | {"load": round(os.getloadavg()[0], 1)})
                say(f"{arm}, {case}: {found[f'{arm}, {case}'][-1]}")
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
