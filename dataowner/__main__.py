"""`python3 -m dataowner VERB`: the data owner's one command; see docs/dataowner.en.md."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if not __package__:  # run as a file, which is how sshd does it: there Python looks nowhere but in its own library
    sys.path.append(str(Path(__file__).resolve().parent.parent))

from dataowner.places import Places, UnusableError

USAGE = """\
Usage: renkei-owner VERB
  list                                  live sessions: who, since when, serial, bytes, state
  revoke session|serial|account NAME    end it now, for good
  restore account NAME                  let a revoked account come again
  log [SESSION|SERIAL]                  who came, which files, how many bytes, when
  check                                 what is wrong with this installation
  install                               accounts and folders; an example of the table
  apply                                 make sshd take up the table
  watch                                 the service: suspends, resumes, ends
"""


def main(arguments: list[str]) -> int:
    """Run one verb; 0 if it worked, 1 with a sentence on stderr if not, 2 for a verb that there is not."""
    os.umask(0o077)
    verb, rest, places = (arguments or [""])[0], arguments[1:], Places()
    try:
        # sshd waits for these two: nothing is imported that they don't need.
        if verb == "principals" and len(rest) == 3:
            return _principals(rest, places)
        if verb == "control" and not rest:
            from dataowner import control

            control.serve(sys.stdin.buffer, sys.stdout.buffer, places)
            return 0
        from dataowner import verbs

        if verb in verbs.VERBS and len(rest) in verbs.VERBS[verb][0]:
            return verbs.VERBS[verb][1](places, *rest)
    except (UnusableError, OSError) as error:
        sys.stderr.write(f"renkei-owner: {error}\n")
        return 1
    sys.stderr.write(USAGE)
    return 2


def _principals(rest: list[str], places: Places) -> int:
    import syslog

    from dataowner import principals

    syslog.openlog("renkei-owner", syslog.LOG_PID, syslog.LOG_AUTH)
    account, key_id, serial = rest
    try:
        sys.stdout.write(f"{principals.answer(account, key_id, serial, places)}\n")
    except (principals.RefusedError, UnusableError) as error:
        syslog.syslog(syslog.LOG_NOTICE, f"refused: {str(error)!a}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
