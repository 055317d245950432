"""`python -m release`: write THIRD-PARTY.md and release/sbom.cdx.json anew from the pins and the installed packages."""

from __future__ import annotations

import sys

import spawner
from release import parts, texts


def main() -> None:
    """Write both files."""
    for name, text in made().items():
        (parts.ROOT / name).write_text(text)
        sys.stdout.write(f"{name}: written\n")


def made() -> dict[str, str]:
    """Path in the checkout → text."""
    found = parts.everything()
    return {
        "THIRD-PARTY.md": texts.notices(found),
        "release/sbom.cdx.json": texts.bill(found, parts.roots(), spawner.__version__),
    }


if __name__ == "__main__":
    main()
