"""One host: start it, run commands in it, write files into it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed import processes

_PATH = "/opt/renkei/env/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_INIT = Path(__file__).with_name("init.py")
STANDALONE = ("/usr/bin/python3", "-I", "-S")
"""How programs run that need the standard library alone: quickly, and in no environment."""


class TestbedError(Exception):
    """The testbed can't do what it was asked; the text is one sentence for whoever asked."""

    __test__ = False


@dataclass(frozen=True)
class HostUser:
    """An account as a host's own account file has it."""

    name: str
    uid: int
    gid: int
    home: str


def launch(mark: str, order: Mapping[str, object]) -> None:
    """Start a first process (`init.py`) and return when it is ready.

    Raises TestbedError with what it could not do.
    """
    answer = subprocess.run(
        [*STANDALONE, str(_INIT), mark],
        input=json.dumps(order),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd="/",
        env={"PATH": _PATH},
    )
    if answer.returncode != 0:
        raise TestbedError(f"{mark} did not start: {(answer.stdout + answer.stderr).strip()}")


def background(argv: Sequence[str]) -> str:
    """Start a program that outlives this one and return its first line, without the line's end.

    Raises TestbedError with what it wrote on stderr when it ends without a line.
    """
    # setsid lets go of it, so that it is nobody's child and nobody has to wait for it.
    command = ["setsid", "--fork", *argv]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True, cwd="/") as starting:
        line, errors = starting.stdout, starting.stderr
        answer = line.readline().rstrip("\n") if line else ""
        if not answer:
            raise TestbedError(f"{Path(argv[-1]).name} did not start: {errors.read().strip() if errors else ''}")
    return answer


@dataclass(frozen=True)
class Host:
    """A running host, known by the machine's number for its first process."""

    name: str
    first: int

    @property
    def root(self) -> Path:
        """The host's root as the machine sees it. Absolute links in it lead elsewhere: name real folders."""
        return Path(f"/proc/{self.first}/root")

    def path(self, inside: str) -> Path:
        """The machine's path for the host's path `inside`."""
        return self.root / inside.lstrip("/")

    def user(self, name: str) -> HostUser:
        """The account `name` of this host.

        Raises TestbedError when it has none.
        """
        for line in self.path("/etc/passwd").read_text().splitlines():
            fields = line.split(":")
            if fields[0] == name:
                return HostUser(name, int(fields[2]), int(fields[3]), fields[5])
        raise TestbedError(f"{self.name} has no account {name!r}")

    def command(self, argv: Sequence[str], user: str | None = None, *, tied: bool = True) -> tuple[list[str], dict[str, str]]:
        """The command line and environment that run `argv` in this host; `tied`: it dies with whoever started it."""
        who = self.user(user or "root")
        identity = ["--reuid", str(who.uid), "--regid", str(who.gid), "--init-groups"] if user else []
        into = ["nsenter", "--target", str(self.first), "--mount", "--uts", "--ipc", "--net", "--pid"]
        as_whom = ["setpriv", *(["--pdeathsig", "KILL"] if tied else []), *identity, "--"]
        environment = {"PATH": _PATH, "HOME": who.home, "USER": who.name, "LOGNAME": who.name, "LANG": "C.UTF-8"}
        return [*into, "--", *(as_whom if len(as_whom) > 2 else []), *argv], environment

    def run(
        self,
        argv: Sequence[str],
        user: str | None = None,
        input: str | None = None,  # noqa: A002  (subprocess's own name)
        timeout: float = 60,
        *,
        check: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run `argv` to its end in this host, as root or as `user`, in the folder `/`.

        Raises subprocess.TimeoutExpired after `timeout` seconds, and TestbedError if `check` and it did not succeed.
        """
        command, environment = self.command(argv, user)
        answer = subprocess.run(
            command, input=input or "", capture_output=True, text=True, env=environment, timeout=timeout, check=False, cwd="/"
        )
        if check and answer.returncode != 0:
            said = (answer.stderr or answer.stdout).strip()
            raise TestbedError(f"{self.name}: {' '.join(argv)} ended with {answer.returncode}: {said}")
        return answer

    def popen(
        self, argv: Sequence[str], user: str | None = None, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start `argv` in this host with pipes for its three streams; it dies with the caller."""
        command, standard = self.command(argv, user)
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env={**standard, **(environment or {})}, cwd="/")

    def daemon(self, argv: Sequence[str], user: str | None, log: str, environment: Mapping[str, str] | None = None) -> None:
        """Start `argv` so that it lives until the host ends; both its outputs are appended to the host's file `log`."""
        # As a service manager would, with no signal ignored: whoever runs this in the background of a script ignores SIGINT, and a
        # service that hears none takes JupyterHub 30 s to end.
        command, standard = self.command(["setsid", "--fork", "env", "--default-signal", *argv], user, tied=False)
        with self.path(log).open("ab") as stream:
            subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                env={**standard, **(environment or {})},
                check=True,
                cwd="/",
                timeout=30,
            )

    def write(self, path: str, text: str, mode: int = 0o644, owner: str | None = None, group: str | None = None) -> None:
        """Write the host's file `path`; its folder is made if it is missing."""
        target = self.path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(text)
        target.chmod(mode)
        self._own(target, owner, group)

    def folder(self, path: str, mode: int = 0o755, owner: str | None = None, group: str | None = None) -> None:
        """Make the host's folder `path`."""
        target = self.path(path)
        target.mkdir(parents=True, exist_ok=True)
        target.chmod(mode)
        self._own(target, owner, group)

    def _own(self, target: Path, owner: str | None, group: str | None) -> None:
        if owner is not None:
            who = self.user(owner)
            os.chown(target, who.uid, who.gid)
        if group is not None:
            os.chown(target, -1, self._gid(group))

    def _gid(self, name: str) -> int:
        for line in self.path("/etc/group").read_text().splitlines():
            fields = line.split(":")
            if fields[0] == name:
                return int(fields[2])
        raise TestbedError(f"{self.name} has no group {name!r}")

    def processes(self) -> list[processes.Process]:
        """Everything that runs in this host, without its first process."""
        return processes.inside(self.first)
