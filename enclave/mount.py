"""The mount: sshfs through the gateway, outside the sandbox, with the session's key and certificate.

ssh's own words say what went wrong; `classify` turns them into a reason. A cut line is waited for: by the link (`cloudlink`), which
connects again under open files, or without it by ssh, which may not hang up, since that would break every open file.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
import time
from pathlib import Path

import cloudlink
from enclave.children import Child
from enclave.failure import SessionFailure
from enclave.ground import Places, mounted
from enclave.keys import SshKey
from enclave.launch import IGNORED
from enclave.messages import Destination, Reason

ALIAS = "destination"
"""What ssh_config calls the destination: no name or address of a person's or site's appears in a command line."""
CONNECT_SECONDS = 10
ALIVE_SECONDS, ALIVE_COUNT = 30, 20
PATIENCE_SECONDS = ALIVE_SECONDS * (ALIVE_COUNT + 1)
"""Silence before ssh gives up where nothing but ssh waits."""
NOTICE_SECONDS = 15
"""At most from a cut to the link's noticing it, when its own time begins, and from that time's end to everybody's error."""
_MOUNT_SECONDS = 25.0
_LAST_WORDS_SECONDS = 2.0
MEMORY = 2**30
"""Bytes that sshfs may hold. It keeps a folder's whole listing until the destination says that it is complete, and one that never
says so would fill the node; a million real names take a third of this."""

_WORD = re.compile(r"[A-Za-z0-9_.:\[\]%-]+")

_REASONS = (
    (r"host key verification failed|host identification has changed|no \S+ host key is known", Reason.HOST_KEY_CHANGED),
    (r"permission denied|too many authentication failures|certificate invalid", Reason.CERTIFICATE_REFUSED),
    (r"connection refused|network is unreachable|could not resolve hostname", Reason.GATEWAY_REFUSED),
    (
        r"timed out|no route to host|host is down|kex_exchange_identification|banner exchange|connection (closed|reset) by",
        Reason.DESTINATION_DOWN,
    ),
    (r"fuse: (device not found|failed to open|mount failed|failed to exec fusermount)|fusermount", Reason.SANDBOX_IMPOSSIBLE),
)
"""In the order in which they decide: the first that is found in the output. Every ending of ssh also makes sshfs say that the
connection was reset, so that comes late."""


def classify(output: str) -> Reason:
    """Why the mount did not come to be, by what ssh and sshfs wrote; mount-failed for anything that is not known."""
    # sshfs's own line about its end of the pipe says nothing about why.
    lines = [line for line in output.lower().splitlines() if line.strip() != "read: connection reset by peer"]
    text = "\n".join(lines)
    return next((reason for pattern, reason in _REASONS if re.search(pattern, text)), Reason.MOUNT_FAILED)


def ssh_config(destination: Destination, keys: Path) -> str:
    """The ssh_config of the session: this destination, the key and host key in `keys`, nothing of the node's or the person's.

    Raises SessionFailure (internal) for a value that ssh_config would not take as one word.
    """
    words = (destination.name, destination.gateway, destination.account)
    if not all(_WORD.fullmatch(word) for word in words) or destination.account.startswith("-"):
        raise SessionFailure(Reason.INTERNAL, "the destination holds a value that ssh_config can't")
    if not destination.path.startswith("/") or ".." in Path(destination.folder).parts or Path(destination.folder).is_absolute():
        raise SessionFailure(Reason.INTERNAL, "the destination's path or own folder is none")
    settings = {
        "HostName": destination.gateway,
        "Port": destination.port,
        "User": destination.account,
        # The gateway's port picks the host: the alias pins the host key to the destination, whatever address answers.
        "HostKeyAlias": destination.name,
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": keys / "known_hosts",
        "GlobalKnownHostsFile": "/dev/null",
        "UpdateHostKeys": "no",
        "IdentityFile": keys / "key",
        "CertificateFile": keys / "key-cert.pub",
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "PreferredAuthentications": "publickey",
        "BatchMode": "yes",
        "Ciphers": "aes128-gcm@openssh.com,aes256-gcm@openssh.com",
        "Compression": "no",
        "RekeyLimit": "default none",
        "ControlMaster": "no",
        "ControlPath": "none",
        "ConnectTimeout": CONNECT_SECONDS,
        "ServerAliveInterval": ALIVE_SECONDS,
        "ServerAliveCountMax": ALIVE_COUNT,
        "TCPKeepAlive": "no",
    }
    return f"Host {ALIAS}\n" + "".join(f"  {key} {value}\n" for key, value in settings.items())


def patience(pause_s: int) -> int:
    """Seconds that a program may have to wait in a cut and be right: the link's time where there is one, else ssh's."""
    return pause_s + NOTICE_SECONDS if pause_s else PATIENCE_SECONDS


def command(destination: Destination, places: Places, uid: int, gid: int) -> list[str]:
    """The argv of sshfs, in the foreground. It goes when its file system is unmounted, not when the batch system says so.

    Every file is shown as belonging to `uid` and `gid`: in a user namespace the kernel refuses to write to what belongs to a number
    that the namespace does not know, and the destination's numbers are others. Who may do what, the destination alone decides.
    """
    options = {
        # What a node's list of mounts says, which everybody may read: neither host nor path.
        "fsname": ALIAS,
        "uid": uid,
        "gid": gid,
        "max_read": 65536,
        "max_write": 65536,
        "attr_timeout": 1,
        "entry_timeout": 1,
        # sshfs' own cache can show a folder empty after a write to it (libfuse/sshfs issue 375).
        "dir_cache": "no",
    }
    # No link that leads out of its folder is followed: the presets are copied outside the sandbox, where one could lead to the
    # session's own key. An sshfs that is too old to know the word refuses to start.
    flags = ["reconnect", "auto_cache", "contain_symlinks", *(["ro"] if destination.read_only else [])]
    if destination.pause_s:
        options["ssh_command"] = " ".join(_link(destination.pause_s, places.state))
    words = ",".join([*flags, *(f"{key}={value}" for key, value in options.items())])
    return [
        *("/usr/bin/env", f"--ignore-signal={IGNORED}"),
        *("/usr/bin/prlimit", f"--data={MEMORY}"),
        # Without the enclave there is no mount, also where no pid namespace sees to that.
        *("/usr/bin/setpriv", "--pdeathsig", "KILL"),
        *("/usr/bin/sshfs", "-f", f"{ALIAS}:{destination.path}", str(places.cloud)),
        *("-F", str(places.keys / "config"), "-o", words),
    ]


def _link(pause_s: int, state: Path) -> list[str]:
    """What sshfs runs in place of ssh; it writes to `state` how it does.

    Raises SessionFailure (internal) for a Python, or a `state`, whose path sshfs would take apart.
    """
    python = sys.executable
    for path in (python, str(state)):
        if not _WORD.fullmatch(path.replace("/", "")):
            raise SessionFailure(Reason.INTERNAL, f"a path holds a character that sshfs does not take: {path}")
    return [python, "-S", "-P", "-m", "cloudlink", f"--budget={pause_s}", f"--state={state}", "--", "/usr/bin/ssh"]


def place_certificate(certificate: str, keys: Path) -> None:
    """Puts the certificate beside the key, at once or not at all: ssh reads it again whenever it connects."""
    fresh = keys / "key-cert.pub.new"
    fresh.write_text(certificate.rstrip("\n") + "\n", encoding="ascii")
    fresh.replace(keys / "key-cert.pub")


def start(destination: Destination, key: SshKey, certificate: str, places: Places) -> Child:
    """Writes what ssh needs into memory and starts sshfs, which ends with the thread that calls this."""
    key.write(places.keys / "key")
    (places.keys / "config").write_text(ssh_config(destination, places.keys), encoding="ascii")
    (places.keys / "known_hosts").write_text(destination.host_keys.rstrip("\n") + "\n", encoding="ascii")
    place_certificate(certificate, places.keys)
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "PYTHONPATH": str(Path(cloudlink.__file__).parents[1])}
    return Child(command(destination, places, os.getuid(), os.getgid()), environment=environment)


async def verified(sshfs: Child, destination: Destination, cloud: Path) -> Path:
    """Waits until `cloud` is mounted and the person's own folder is there; that folder, outside the sandbox.

    Raises SessionFailure with what stood in the way.
    """
    give_up = time.monotonic() + _MOUNT_SECONDS
    while not mounted(cloud):
        if not sshfs.running:
            raise SessionFailure(classify(sshfs.output()), sshfs.output())
        if time.monotonic() > give_up:
            raise SessionFailure(Reason.DESTINATION_DOWN, f"no mount after {_MOUNT_SECONDS:.0f} s; {sshfs.output()}")
        await asyncio.sleep(0.005)
    own = cloud / destination.folder
    try:
        there = await asyncio.wait_for(asyncio.to_thread(own.is_dir), _MOUNT_SECONDS)
    except TimeoutError as error:
        raise SessionFailure(Reason.DESTINATION_DOWN, f"the own folder: no answer in {_MOUNT_SECONDS:.0f} s") from error
    except OSError as error:
        raise await _unanswered(sshfs, repr(error)) from error
    if not mounted(cloud):
        # What was asked then was the empty folder below.
        raise await _unanswered(sshfs, "the mount was gone again")
    if not there:
        raise SessionFailure(Reason.MOUNT_FAILED, "the own folder does not exist at the destination")
    return own


async def _unanswered(sshfs: Child, detail: str) -> SessionFailure:
    """Why nobody answers: the file system is there before ssh has connected, and what ssh says comes at its end."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(sshfs.ended(), _LAST_WORDS_SECONDS)
    return SessionFailure(classify(sshfs.output()), f"the own folder can't be asked for: {detail}; {sshfs.output()}")
