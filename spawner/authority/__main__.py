"""`python -m spawner.authority CONFIG`: sign certificates until told to end."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from pathlib import Path

from spawner.authority.service import AlreadyRunningError, Authority
from spawner.authority.table import TableError


def main() -> None:
    """Run the authority; a file that can't be used ends it with one sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m spawner.authority", description="Sign certificates for session keys.")
    parser.add_argument("config", type=Path, help="the TOML file with keys and accounts")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    os.umask(0o077)
    try:
        authority = Authority(parser.parse_args().config)
        asyncio.run(_until_told(authority))
    except (TableError, AlreadyRunningError) as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"{error.filename or 'authority'}: {error.strerror}.")


async def _until_told(authority: Authority) -> None:
    task = asyncio.ensure_future(authority.run())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


if __name__ == "__main__":
    main()
