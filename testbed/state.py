"""What a testbed remembers between two commands: files below /run, for root alone, gone with it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from testbed.host import TestbedError
from testbed.kept import Kept
from testbed.layout import DESTINATIONS, address

FOLDER = Path("/run/renkei-testbed")


class State:
    """The files of the testbed `name`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.folder = FOLDER / name

    @contextlib.contextmanager
    def alone(self, *, forget: bool = False) -> Iterator[None]:
        """One `up` or `down` of this testbed at a time; `forget`: nothing of it stays afterwards."""
        path = FOLDER / f"{self.name}.lock"
        while True:
            FOLDER.mkdir(mode=0o755, exist_ok=True)
            with contextlib.suppress(FileNotFoundError), path.open("w") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX)
                # Whoever held it before may have removed it: then it is no longer the lock.
                if path.exists() and path.samefile(f"/proc/self/fd/{stream.fileno()}"):
                    yield
                    if forget:
                        path.unlink(missing_ok=True)
                    break
        with contextlib.suppress(OSError):  # other testbeds are there
            FOLDER.rmdir()

    def make(self) -> None:
        """Start from nothing."""
        self.folder.mkdir(mode=0o700, parents=True)

    def remove(self) -> None:
        """Forget everything."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _read(self, name: str) -> str:
        try:
            return (self.folder / name).read_text()
        except FileNotFoundError:
            raise TestbedError(f"the testbed {self.name!r} is not up") from None

    def _write(self, name: str, text: str) -> None:
        making = self.folder / f"{name}.making"
        making.touch(mode=0o600)
        making.write_text(text)
        making.rename(self.folder / name)

    @property
    def complete(self) -> bool:
        """Whether `up` has come to its end."""
        return (self.folder / "complete").exists()

    def set_complete(self) -> None:
        """Say that `up` has come to its end."""
        self._write("complete", "")

    @property
    def passwords(self) -> dict[str, str]:
        """Person → password."""
        passwords: dict[str, str] = json.loads(self._read("passwords.json"))
        return passwords

    @passwords.setter
    def passwords(self, passwords: Mapping[str, str]) -> None:
        self._write("passwords.json", json.dumps(passwords))

    @property
    def port(self) -> int:
        """Where the page is on this machine."""
        return int(self._read("port"))

    @port.setter
    def port(self, port: int) -> None:
        self._write("port", str(port))

    @property
    def delays(self) -> Path:
        """The file that the delay line reads: address of a destination → round trip in milliseconds (JSON)."""
        return self.folder / "delays.json"

    @property
    def round_trips(self) -> dict[str, float]:
        """Destination → round trip in milliseconds."""
        by_address: dict[str, float] = json.loads(self._read("delays.json"))
        return {each.name: by_address[str(address(each.name))] for each in DESTINATIONS}

    @round_trips.setter
    def round_trips(self, round_trips: Mapping[str, float]) -> None:
        self._write("delays.json", json.dumps({str(address(name)): value for name, value in round_trips.items()}))

    def baseline(self, host: str) -> set[Kept]:
        """What `host` held when `up` was done."""
        return {Kept(**each) for each in json.loads(self._read(f"baseline-{host}.json"))}

    def set_baseline(self, host: str, held: set[Kept]) -> None:
        """Remember what `host` holds."""
        self._write(f"baseline-{host}.json", json.dumps([asdict(each) for each in held]))
