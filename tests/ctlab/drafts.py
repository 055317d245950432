"""Processes that are in the middle of writing a file. They load `ctlab.files` alone: the whole library takes seconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ctlab import files

_WRITER = """
import pathlib, runpy, sys
with runpy.run_path(sys.argv[1])["whole"](pathlib.Path(sys.argv[2])) as draft:
    draft.write_bytes(b"half")
    print("written", flush=True)
    sys.stdin.read()
"""


def writer(path: Path) -> subprocess.Popen[bytes]:
    """A process that has written half of `path` and goes on when its input ends."""
    argv = [sys.executable, "-c", _WRITER, files.__file__, str(path)]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == b"written\n"
    return process


def killed_while_writing(path: Path) -> None:
    """Leaves what a process leaves that is killed between opening the file and renaming it."""
    with writer(path) as process:
        process.kill()
