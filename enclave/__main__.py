"""`python -m enclave run`: the first process of a session's namespaces, with its `Order` on standard input.

`python -m enclave preflight`: whether this node is fit for sessions.
"""

from __future__ import annotations

import sys

_USAGE = """\
usage: python -m enclave run        (an order, one line of JSON, on standard input)
       python -m enclave preflight  (is this node fit for sessions? --help tells more)
"""


def main() -> int:
    """Runs the verb that was asked for; its exit code."""
    match sys.argv[1:]:
        case ["run"]:
            from enclave.run import run

            return run(sys.stdin.buffer)
        case ["preflight", *arguments]:
            from enclave.preflight import command

            return command.main(arguments)
    sys.stderr.write(_USAGE)
    return 2


if __name__ == "__main__":
    sys.exit(main())
