"""Programs that only the testbed's hosts have: installed on this machine, or unpacked for the hosts alone (`testbed/install`)."""

from __future__ import annotations

import sys
from pathlib import Path

LAYER = Path("share", "renkei", "hosts")
"""In an environment: a link to what was unpacked."""


def layer(environment: Path = Path(sys.prefix)) -> Path:
    """The folder that lies between this machine's root and the hosts'; empty where everything is installed."""
    return (environment / LAYER).resolve()


def outside(path: str, environment: Path = Path(sys.prefix)) -> list[str]:
    """The beginning of a command line that runs the hosts' program `path` on this machine itself."""
    if Path(path).exists():
        return [path]
    unpacked = layer(environment)
    libraries = sorted({str(each.parent) for each in (unpacked / "usr" / "lib").glob("*/lib*.so.*")})
    return ["/usr/bin/env", f"LD_LIBRARY_PATH={':'.join(libraries)}", f"{unpacked}{path}"]
