"""A destination on this machine's loopback, without hosts or hub: OpenSSH's own server behind a forwarder that can break the line.

For what needs many mounts and many cuts, quickly: the mount is made with a session's own options (`enclave.mount`), the server is
the one that the testbed's destinations run, and it comes up in a tenth of a second. What it does not have is a real network:
`forwarder.py` says what that means.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from enclave import mount
from enclave.ground import Places
from enclave.messages import Destination
from testbed import programs
from testbed.host import STANDALONE, TestbedError

_FORWARDER = Path(__file__).with_name("forwarder.py")
_SOURCE = Path(__file__).resolve().parents[1]
_SSHD = """\
HostKey {folder}/host
TrustedUserCAKeys {folder}/ca.pub
AuthorizedKeysFile none
PermitRootLogin yes
StrictModes no
UsePAM no
UseDNS no
LogLevel ERROR
Subsystem sftp internal-sftp
"""
_AROUND = (
    'mount -t tmpfs none /run && mkdir -m 755 /run/sshd && mount --bind "$1/passwd" /etc/passwd && '
    'mount --bind "$1/shadow" /etc/shadow && shift && exec "$@"'
)
"""sshd wants an account of its own, an empty folder, and a root that is not locked; this machine need not have them."""


@dataclass
class Line:
    """The forwarder: orders in, `done` out."""

    process: subprocess.Popen[str]
    port: int

    def order(self, *words: object) -> list[str]:
        """Have it done; the words after `done`. Raises TestbedError when the forwarder is gone or does not know the order."""
        assert self.process.stdin is not None  # noqa: S101  (for the type checker: it was made with pipes)
        assert self.process.stdout is not None  # noqa: S101
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(" ".join(map(str, words)) + "\n")
            self.process.stdin.flush()
        said, *rest = self.process.stdout.readline().split() or ["nothing"]
        if said != "done":
            raise TestbedError(f"the forwarder says {said!r} to {words}")
        return rest


@dataclass
class Mount:
    """One sshfs."""

    process: subprocess.Popen[bytes]
    place: Path
    log: Path

    def forget(self, path: Path) -> None:
        """Nothing of the file stays in the page cache."""
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


@dataclass
class Nearby:
    """The destination: `folder` is what it serves, as its own disk has it."""

    run: Path
    line: Line
    _count: int = field(default=0)

    @property
    def folder(self) -> Path:
        """What is served."""
        return self.run / "served"

    @contextlib.contextmanager
    def mount(self, ssh_command: str | None = None, environment: Mapping[str, str] | None = None) -> Iterator[Mount]:
        """`folder`, mounted with a session's options; `ssh_command` is what sshfs starts in place of ssh.

        Raises TestbedError when it can't be mounted.
        """
        self._count += 1
        places = Places(self.run / f"mount-{self._count}")
        for each in (places.cloud, places.keys):
            each.mkdir(parents=True)
        for name in ("key", "key-cert.pub", "known_hosts"):
            (places.keys / name).write_bytes((self.run / name).read_bytes())
            (places.keys / name).chmod(0o600)
        here = Destination(
            name="destination", gateway="127.0.0.1", port=self.line.port, account="root",
            host_keys="", path=str(self.folder), folder=".",
        )  # fmt: skip
        (places.keys / "config").write_text(mount.ssh_config(here, places.keys))
        log = places.run / "log"
        settings = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "PYTHONPATH": str(_SOURCE), **(environment or {})}
        argv = with_program(mount.command(here, places, os.getuid(), os.getgid()), ssh_command)
        with log.open("wb") as stream:
            sshfs = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env=settings, cwd="/")
        try:
            end = time.monotonic() + 30
            while not os.path.ismount(places.cloud):
                if sshfs.poll() is not None or time.monotonic() > end:
                    raise TestbedError(f"not mounted: {log.read_text()[-2000:]}")
                time.sleep(0.01)
            yield Mount(sshfs, places.cloud, log)
        finally:
            # Killed first: whoever still waits in the mount is freed, and unmounting waits for nobody.
            sshfs.kill()
            sshfs.wait()
            subprocess.run(["umount", "--lazy", str(places.cloud)], check=False, capture_output=True)


def with_program(argv: Sequence[str], ssh_command: str | None) -> list[str]:
    """The command line of sshfs with another `ssh_command`: None leaves stock ssh."""
    words = list(argv)
    at = words.index("-o") + 1
    options = [each for each in words[at].split(",") if not each.startswith("ssh_command=")]
    words[at] = ",".join([*options, *([f"ssh_command={ssh_command}"] if ssh_command else [])])
    return words


def link_command() -> str:
    """The link as sshfs's `ssh_command`."""
    return shlex.join([sys.executable, "-S", "-P", "-m", "cloudlink"])


@contextlib.contextmanager
def nearby(folder: Path | None = None) -> Iterator[Nearby]:
    """A destination for as long as the block lasts; its files lie below `folder`, else in memory where there is /dev/shm.

    Raises TestbedError without root: sshd and mounts need it.
    """
    if os.geteuid() != 0:
        raise TestbedError("a destination on loopback needs root: it starts sshd and mounts")
    with contextlib.ExitStack() as stack:
        run = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nearby-", dir="/dev/shm")))
        (run / "served").mkdir()
        _make_keys(run)
        server = programs.outside("/usr/sbin/sshd")
        around = ["/usr/bin/unshare", "--mount", "sh", "-c", _AROUND, "sh", str(run)]
        argv = [*STANDALONE, str(_FORWARDER), "0", "--", *around, *server, "-i", "-e", "-f", str(run / "sshd_config")]
        pipe = subprocess.PIPE
        errors = stack.enter_context((run / "sshd.log").open("w"))
        process = stack.enter_context(subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=errors, text=True))
        stack.callback(process.kill)
        ready, port = (process.stdout.readline() if process.stdout else "").split() or ("nothing", "0")
        if ready != "ready":
            raise TestbedError(f"the forwarder did not start: {(run / 'sshd.log').read_text()}")
        yield Nearby(run, Line(process, int(port)))


def _make_keys(run: Path) -> None:
    """Host key, CA, and a certificate for root, as a session's."""
    for name in ("host", "ca", "key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(run / name)], check=True)
    certify(run)
    (run / "known_hosts").write_text(f"destination {(run / 'host.pub').read_text()}")
    (run / "sshd_config").write_text(_SSHD.format(folder=run))
    own = "sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin\n"
    (run / "passwd").write_text(Path("/etc/passwd").read_text() + own)
    (run / "shadow").write_text("root:*:19000:0:99999:7:::\nsshd:*:19000:0:99999:7:::\n")


def certify(run: Path, serial: int = 1) -> None:
    """A new certificate for the key in `run`."""
    argv = ["ssh-keygen", "-q", "-s", str(run / "ca"), "-I", "session=nearby", "-z", str(serial), "-n", "root", "-V", "-1m:+8h"]
    subprocess.run([*argv, str(run / "key.pub")], check=True)
