"""`python -m testbed [--name NAME] VERB`: a whole site on this machine, from the command line."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from testbed import net, processes
from testbed.build import Texts
from testbed.host import TestbedError
from testbed.layout import DESTINATIONS, HOSTS
from testbed.site import REPOSITORY, Testbed


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="testbed", description="A whole site on one machine; every verb may be said again.")
    parser.add_argument("--name", default="demo", help="several testbeds may be up at once")
    parser.add_argument("--source", type=Path, default=REPOSITORY, help="the checkout that the hosts run")
    parser.add_argument("--env", type=Path, default=Path(sys.prefix), help="the Python environment that the hosts run")
    verbs = parser.add_subparsers(dest="verb", required=True)
    up = verbs.add_parser("up", help="bring it up")
    up.add_argument("--no-hub", action="store_true", help="without authority, JupyterHub and page")
    up.add_argument("--site", type=Path, help="another site file")
    up.add_argument("--scheduler", choices=("slurm", "pjm"), default="slurm", help="which batch system, where no site file says")
    verbs.add_parser("down", help="take everything away")
    verbs.add_parser("status", help="what is there, and the accounts")
    delay = verbs.add_parser("delay", help="set the round trip between gateway and destination")
    delay.add_argument("milliseconds", type=float)
    delay.add_argument("destination", nargs="?", choices=[each.name for each in DESTINATIONS])
    verbs.add_parser("cut", help="drop every packet between nodes and gateway")
    verbs.add_parser("restore", help="end a cut")
    verbs.add_parser("reset", help="break every live connection to a destination")
    kept = verbs.add_parser("kept", help="what a host holds since it came up")
    kept.add_argument("host", choices=HOSTS)
    kept.add_argument("--everything", action="store_true", help="also what bringing it up wrote")
    inside = verbs.add_parser("exec", help="run a command on a host")
    inside.add_argument("host", choices=HOSTS)
    inside.add_argument("--user")
    inside.add_argument("command", nargs="+")
    return parser.parse_args()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _up(testbed: Testbed, options: argparse.Namespace) -> int:
    begun = time.monotonic()
    source = options.source.resolve()
    texts = Texts(site=options.site.read_text()) if options.site else Texts.on(options.scheduler, source)
    testbed.up(hub=not options.no_hub, texts=texts)
    _say(f"up after {time.monotonic() - begun:.1f} s")
    return _status(testbed)


def _status(testbed: Testbed) -> int:
    roles = sorted(processes.marked(testbed.name).values())
    if not testbed.complete:
        _say(f"{testbed.name}: not up" + (f", but there are {', '.join(roles)}" if roles else ""))
        return 1
    trips = ", ".join(f"{name} {value:g} ms" for name, value in testbed.round_trips.items())
    _say(f"{testbed.name}: up ({', '.join(roles)}); round trips: {trips}{'; cut' if net.is_cut(testbed.host('gw')) else ''}")
    if "page" in roles:
        _say(f"page: {testbed.url}")
    for person, password in testbed.passwords.items():
        _say(f"  {person:8} {password}")
    return 0


def _exec(testbed: Testbed, options: argparse.Namespace) -> int:
    command, environment = testbed.host(options.host).command(options.command, options.user)
    return subprocess.run(command, env=environment, check=False, cwd="/").returncode


def _act(testbed: Testbed, options: argparse.Namespace) -> int:
    if options.verb == "kept":
        for each in testbed.kept(options.host, everything=options.everything):
            _say(each.line())
    elif options.verb == "delay":
        testbed.delay(options.milliseconds, options.destination)
    else:
        {"down": testbed.down, "cut": testbed.cut, "restore": testbed.restore, "reset": testbed.reset}[options.verb]()
    return 0


def main() -> int:
    """Run one verb; 0 if it worked, 1 with a sentence on stderr if not."""
    options = _arguments()
    try:
        testbed = Testbed(options.name, options.source.resolve(), options.env.absolute(), _say)
        if options.verb == "up":
            return _up(testbed, options)
        if options.verb == "status":
            return _status(testbed)
        return _exec(testbed, options) if options.verb == "exec" else _act(testbed, options)
    except TestbedError as error:
        sys.stderr.write(f"testbed: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
