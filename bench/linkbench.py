"""`bin/bench linkbench`: `python -m linkbench` on a node of the testbed, the cloud mounted through the link at 8 ms.

The local folder is the node's own, which lies in memory: quicker than any disk, so that the ratios are strict. Value: the time of a
whole pass over the images, mount ÷ local, geometric mean of the 17 networks. Arguments beside these are linkbench's own.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import threading
from pathlib import Path

import msgspec

from bench import linkcut, mounts
from bench.distance import FAR_MS, Ends, ends
from bench.mounts import LINK, UNIX_ACCOUNT
from bench.report import Report, say
from linkbench.figures import figures
from linkbench.results import read
from testbed import services
from testbed.host import Host, TestbedError
from testbed.layout import address

OTHER_MS = 3.0
"""The other destination's distance, so that two can be told apart."""
_LOCAL, _OUT, _CUT = "/var/tmp/linkbench-local", "/var/tmp/linkbench-report", "/var/tmp/linkbench-cut"  # noqa: S108  (on a host)


def answered(here: Ends, ended: threading.Event) -> None:
    """Cuts and restores as `bench/linkcut.py` on the node asks, until `ended`."""
    asked = here.node.path(f"{_CUT}/{linkcut.ASKED}")
    while not ended.wait(0.02):
        if not asked.exists():
            continue
        word = asked.read_text()
        asked.unlink()
        # No other word comes to anything: the file is the node's.
        {"cut": here.testbed.cut, "restore": here.testbed.restore}[word]()
        here.node.write(f"{_CUT}/{linkcut.DONE}", "", owner=UNIX_ACCOUNT)


def program(node: Host, argv: list[str]) -> None:
    """Runs it on `node`, its progress passed on. Raises TestbedError when it fails."""
    path = f"{services.SOURCE}:{services.SOURCE}/kernels"
    settings = ["MPLCONFIGDIR=/tmp/matplotlib", "OMP_WAIT_POLICY=PASSIVE", "PYTHONDONTWRITEBYTECODE=1"]
    command = [
        "sh",
        "-c",
        'exec "$@" 2>&1',
        "sh",
        "env",
        f"PYTHONPATH={path}",
        *settings,
        services.PYTHON,
        "-m",
        "linkbench",
        *argv,
    ]
    with node.popen(command, UNIX_ACCOUNT) as process:
        try:
            assert process.stdin is not None and process.stderr is not None  # noqa: S101, PT018  (popen makes pipes)
            process.stdin.close()
            # What it says on stdout, at its end, is less than a pipe holds.
            for line in process.stderr:
                say(line.decode(errors="replace").rstrip())
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        raise TestbedError(f"linkbench ended with {process.returncode}; what it said stands above")


def measure(here: Ends, options: argparse.Namespace, words: list[str]) -> Report:
    """In a testbed, the cloud mounted as a session has it."""
    here.testbed.delay(FAR_MS)
    here.testbed.delay(OTHER_MS, "kashiwa")
    for folder in (_LOCAL, _OUT, _CUT):
        here.node.folder(folder, 0o700, UNIX_ACCOUNT)
    ended = threading.Event()
    helper = threading.Thread(target=answered, args=(here, ended), daemon=True)
    helper.start()
    gateway = address("gw", "link")
    with mounts.mounted(here.testbed, here.node, "/var/tmp/bench-linkbench", here.session, LINK) as mount:  # noqa: S108
        form = "--full" if options.full else "--quick"
        hosts = ["--hosts", f"cloud={gateway}:2201", f"kashiwa={gateway}:2202"]
        hook = ["--cut-hook", f"{services.PYTHON} -I -S {services.SOURCE}/bench/linkcut.py {_CUT}"]
        try:
            program(here.node, [mount.own, _LOCAL, "--out", _OUT, form, "--site", "testbed, 8 ms", *hosts, *hook, *words])
        finally:
            ended.set()
            helper.join()
    found = read(here.node.path(_OUT))
    if options.out:
        shutil.copytree(here.node.path(_OUT), options.out, dirs_exist_ok=True)
    cut = found.cut
    detail: dict[str, object] = {
        "figures": [{"what": each.what, "ours": each.ours, "paper": each.paper} for each in figures(found)],
        "networks": {each.name: round(each.whole.median, 4) for each in found.vision.networks},
        "compute": round(found.vision.compute, 4),
        "readings": {f"{each.what}, {each.readers}": round(each.ratio.median, 3) for each in found.vision.readings},
        "cut_errors": None if cut is None else len(cut.errors) + cut.different,
        "delay_ms": FAR_MS,
        "settings": msgspec.to_builtins(found.settings),
        "took_s": round(found.took_s),
        "load": [round(each, 1) for each in found.load],
    }
    unit = "mount at 8 ms ÷ local (time of a whole pass, geometric mean of 17 networks)"
    return Report(bench="linkbench", value=round(found.vision.value, 4), unit=unit, better="lower", detail=detail)


def main() -> int:
    """Measure, and print; 0 when it was possible."""
    parser = argparse.ArgumentParser(prog="bin/bench linkbench", description=__doc__)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--quick", action="store_true", help="minutes (the default)")
    form.add_argument("--full", action="store_true", help="hours")
    parser.add_argument("--out", type=Path, help="folder for the report itself")
    options, words = parser.parse_known_args()
    say(f"load {os.getloadavg()[0]:.1f}")
    try:
        with ends("linkbench") as here:
            measure(here, options, words).print()
    except TestbedError as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
