#!/usr/bin/python3 -IS
"""pjsub, pjstat and the others, by the name it is called: asks the daemon, and prints what that says."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

BLOCKS = {"pjsub": "00", "pjdel": "01", "pjstat": "02", "pjhold": "03", "pjrls": "04", "pjsig": "07"}


def files(arguments: list[str]) -> dict[str, str]:
    """What the files hold that arguments name, as far as this account may read them: one may be the script."""
    found = {}
    for word in arguments:
        try:
            if Path(word).is_file():
                found[word] = Path(word).read_text()
        except OSError:
            continue
    return found


def main() -> int:
    """One question, one answer."""
    name, arguments = Path(sys.argv[0]).name, sys.argv[1:]
    question = {"argv": [name, *arguments], "folder": str(Path.cwd()), "environment": dict(os.environ), "script": "", "files": {}}
    if name == "pjsub":
        question["files"] = files(arguments)
        question["script"] = "" if sys.stdin.isatty() else sys.stdin.read()
    with socket.socket(socket.AF_UNIX) as line:
        try:
            line.connect("/run/pjm/socket")
        except OSError:
            sys.stderr.write(f"[ERR.] PJM {BLOCKS.get(name, '09')}90 {name} PJM daemon is not present.\n")
            return 1
        line.sendall(json.dumps(question).encode())
        line.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := line.recv(65_536):
            answer += piece
    said = json.loads(answer)
    sys.stdout.write(said["out"])
    sys.stderr.write(said["err"])
    return int(said["code"])


if __name__ == "__main__":
    sys.exit(main())
