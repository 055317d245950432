"""The facts of this node: kernel files, the programs' own answers, and what the sandbox's probe sees."""

from __future__ import annotations

import os
import resource
import select
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from enclave import mount
from enclave.children import ask
from enclave.ground import Ground, Places
from enclave.messages import Destination, Order
from enclave.preflight.facts import Expected, Facts, Inside, Told
from enclave.sandbox import HUB_SOCKET, Sandbox

PROBE_SECONDS = 30.0
"""From the sandbox's start to what its probe tells: an interpreter's start; with GPUs, CUDA's and torch's too."""
_ASK_SECONDS = 10.0
_SETTINGS = Path("/proc/sys/fs/fuse")
_GROUPS = Path("/sys/fs/cgroup")
_SAMPLE = Destination(name="preflight", gateway="192.0.2.1", port=22, account="nobody", host_keys="", path="/", folder="")
"""Nobody is ever called there: an address for documentation (RFC 5737)."""


def look(
    order: Order, ground: Ground, box: Sandbox, *, namespaces: dict[str, str], reading: int, complaint: Callable[[], str]
) -> Facts:
    """Asks the node with the session's `ground` on it, and reads from `reading` what the sandbox `box` sees.

    `namespaces` are the enclave's own, `complaint` is what the sandbox's command wrote, if it fails. Takes as long as the slowest
    answer, PROBE_SECONDS at most. Closes `reading`.
    """
    with ThreadPoolExecutor(max_workers=4) as pool:
        sshfs, ssh = pool.submit(_sshfs, ground.places), pool.submit(_ssh, ground.places)
        certificates = pool.submit(_told, ["/usr/bin/ssh", "-Q", "key-cert"])
        inside = read_report(reading, PROBE_SECONDS)
        return Facts(
            gpus=order.gpus,
            patience=mount.patience(order.pause_s),
            fuse=_opens("/dev/fuse"),
            sshfs=sshfs.result(),
            ssh=ssh.result(),
            certificates=certificates.result(),
            swaps=_text(Path("/proc/swaps")) or "",
            swap_limit=_swap_limit(_text(Path("/proc/self/cgroup")) or ""),
            core_pattern=_text(Path("/proc/sys/kernel/core_pattern")),
            core_limit=resource.getrlimit(resource.RLIMIT_CORE)[0],
            exception_trace=_text(Path("/proc/sys/debug/exception-trace")),
            timeouts={each.name: _text(each) or "" for each in _SETTINGS.glob("*_request_timeout")},
            namespaces=namespaces,
            mountinfo=_text(Path("/proc/self/mountinfo")) or "",
            sandbox="" if inside else complaint(),
            inside=inside,
            expected=Expected(
                memory=box.memory,
                devices=tuple(each.target for each in box.binds if each.device),
                sockets=(HUB_SOCKET,),
                user_namespace=ground.user_namespace,
            ),
        )


def read_report(reading: int, seconds: float) -> Inside | None:
    """What the probe wrote, once it has closed its end; None when that is no report, or none within `seconds`."""
    raw, until = b"", time.monotonic() + seconds
    with os.fdopen(reading, "rb", buffering=0) as stream:
        while select.select([stream], [], [], max(0.0, until - time.monotonic()))[0]:
            piece = stream.read(65_536)
            if not piece:
                break
            raw += piece
    try:
        return msgspec.json.decode(raw, type=Inside)
    except msgspec.MsgspecError:
        return None


def _sshfs(places: Places) -> Told:
    """What sshfs says to a mount with a session's options: it mounts before it speaks with its ssh, and this one hangs up."""
    argv = mount.command(_SAMPLE, places, os.getuid(), os.getgid())
    argv[argv.index(str(places.cloud))] = str(places.trial)
    return _told([*argv, "-o", "ssh_command=/usr/bin/false"])


def _ssh(places: Places) -> Told:
    path = places.run / "trial-config"
    path.write_text(mount.ssh_config(_SAMPLE, places.keys), encoding="ascii")
    return _told(["/usr/bin/ssh", "-G", "-F", str(path), mount.ALIAS])


def _told(argv: list[str]) -> Told:
    try:
        code, output, errors = ask(argv, b"", _ASK_SECONDS)
    except OSError as error:
        return Told(127, f"{argv[0]}: {error.strerror}")
    except subprocess.TimeoutExpired:
        return Told(124, f"{argv[0]}: no answer within {_ASK_SECONDS:.0f} s")
    return Told(code, (output + errors).decode("utf-8", "replace"))


def _opens(path: str) -> str:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return error.strerror or repr(error)
    return ""


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def _swap_limit(groups: str) -> str:
    """`0` where one of the control groups (version 2) above this process may not swap; the others' limits help nobody."""
    own = next((line.removeprefix("0::/") for line in groups.splitlines() if line.startswith("0::/")), None)
    folders = [] if own is None else [_GROUPS / own, *(_GROUPS / own).parents]
    return "0" if any(_text(each / "memory.swap.max") == "0" for each in folders if each.is_relative_to(_GROUPS)) else ""
