"""How a program on a node has the testbed's line cut: `linkcut.py FOLDER cut|restore`, which ends when it is done.

It asks by a file, because no host of the testbed may touch the gateway; whoever runs the measurement answers
(`bench/linkbench.py`). It needs the standard library alone.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

ASKED, DONE = "asked", "done"
_PATIENCE_S = 60.0


def main() -> int:
    """Ask, and wait; 0 when it was done."""
    folder, word = Path(sys.argv[1]), sys.argv[2]
    (folder / DONE).unlink(missing_ok=True)
    draft = folder / f"{ASKED}.new"
    draft.write_text(word)
    draft.replace(folder / ASKED)
    end = time.monotonic() + _PATIENCE_S
    while not (folder / DONE).exists():
        if time.monotonic() > end:
            return 1
        time.sleep(0.02)
    return 0


if __name__ == "__main__":
    sys.exit(main())
