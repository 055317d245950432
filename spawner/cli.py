"""`renkei`: which version this is, and whether a site file is one that the hub would take."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import spawner
from spawner import site


def main(argv: list[str] | None = None) -> None:
    """Answer, and end with exit code 0; 1 when the site file is none, after the sentence that the hub would stop with."""
    parser = argparse.ArgumentParser(prog="renkei", description="JupyterHub for CT segmentation beside a medical-image cloud.")
    parser.add_argument("--version", action="version", version=f"renkei {spawner.__version__}")
    verbs = parser.add_subparsers(required=True, metavar="site")
    check = verbs.add_parser("site", help="say whether the hub would take a site file")
    check.add_argument("file", type=Path)
    try:
        here = parser.parse_args(argv).file
        found = site.load(here)
    except site.SiteFileError as error:
        sys.exit(str(error))
    groups = ", ".join(group.name for group in found.resource_group)
    destinations = ", ".join(each.name for each in found.destination)
    sys.stdout.write(f"{here}: the hub takes it. Resource groups: {groups}. Destinations: {destinations}.\n")


if __name__ == "__main__":
    main()
