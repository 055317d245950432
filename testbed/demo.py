"""`python -m testbed.demo [--scheduler slurm|pjm] [NAME]`: bring the site up, say where it is and who may log in, stay."""

from __future__ import annotations

import argparse
import signal
import sys
import time

from testbed import services
from testbed.accounts import PEOPLE
from testbed.build import Texts
from testbed.host import TestbedError
from testbed.site import Testbed

WHO = {
    "tanaka": "a clinician with an area at both destinations and a society's data: start here",
    "suzuki": "a second clinician, at the cloud only",
    "sato": "has no account at the cloud, and is told so",
    "yamada": "may not use the CT nodes, and is told so",
    "mori": "has no account for sessions at the centre, and is told so",
    "admin": "administrator of the hub",
}
"""What each person of the demonstration is for."""


def welcome(url: str, passwords: dict[str, str]) -> str:
    """What somebody needs to know once the site stands."""
    lines = [f"  {name:8} {passwords[name]:14} {WHO[name]}" for name in PEOPLE]
    return "\n".join(
        (
            "",
            "The site is up. Open this page in a browser:",
            "",
            f"  {url}",
            "",
            "Log in with one of these names and passwords:",
            "",
            *lines,
            "",
            "Ctrl-C here, or `bin/demo down` elsewhere, takes everything away again.",
        )
    )


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def make_rules(testbed: Testbed) -> None:
    """Give the site some quotas, while nobody waits for them. Raises TestbedError, unless the site was taken away meanwhile."""
    try:
        services.make_rules(testbed.host("hub"))
    except TestbedError:
        if testbed.complete:
            raise


def stay(testbed: Testbed) -> None:
    """Return when the site was taken away from elsewhere; raises TestbedError when its hub died."""
    while testbed.complete:
        if not services.hub_processes(testbed.host("hub")) and testbed.complete:
            raise TestbedError(f"JupyterHub ended by itself:\n{services.tail(testbed.host('hub'), services.HUB_LOG)}")
        time.sleep(1)


def main() -> int:
    """Bring it up, stay, take it away."""
    # SIGINT too: whoever was started in the background of a script has it ignored.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    parser = argparse.ArgumentParser(prog="demo")
    parser.add_argument("--scheduler", choices=("slurm", "pjm"), default="slurm", help="which batch system the site has")
    parser.add_argument("name", nargs="?", default="demo")
    options = parser.parse_args()
    testbed = Testbed(options.name, progress=_say)
    try:
        testbed.up(texts=Texts.on(options.scheduler, testbed.source))
        _say(welcome(testbed.url, testbed.passwords))
        make_rules(testbed)
        stay(testbed)
    except KeyboardInterrupt:
        _say("Taking the site away…")
        testbed.down()
    except TestbedError as error:
        sys.stderr.write(f"{error}\n")
        testbed.down()
        return 1
    _say("The site is gone.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
