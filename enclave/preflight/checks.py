"""The checks: facts in, what is wrong out. Pure, and each of a few lines.

A check answers with a detail for the administrator where the node fails it, and with nothing where it passes. What can't be
told counts as failed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from enclave.failure import MechanismFailure, SessionFailure
from enclave.messages import Check, Finding, FindingLevel
from enclave.preflight.facts import Facts, Inside, mounts, swaps

_APART = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
"""Kinds of namespaces that the sandbox has for itself."""
_HUNG_UP = re.compile(r"^(read: |write: |remote host has disconnected)", re.MULTILINE)
"""What sshfs says once its file system was mounted and its ssh hung up."""
_DEVICES = {"/dev", "/dev/pts", *(f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty"))}
_DEVICE_KINDS = ("tmpfs", "devtmpfs", "devpts", "mqueue")
_DETAIL = 2000


def _fuse(facts: Facts) -> str:
    return facts.fuse and f"/dev/fuse: {facts.fuse}"


def _sshfs(facts: Facts) -> str:
    if facts.fuse or _HUNG_UP.search(facts.sshfs.text):
        return ""  # without /dev/fuse there is nothing to ask sshfs
    return facts.sshfs.text.strip() or f"sshfs ended with {facts.sshfs.code} and said nothing"


def _ssh(facts: Facts) -> str:
    if facts.ssh.code != 0:
        return facts.ssh.text.strip() or f"ssh -G ended with {facts.ssh.code}"
    known = facts.certificates.text.split()
    return "" if "ssh-ed25519-cert-v01@openssh.com" in known else f"ssh knows no Ed25519 certificates, only: {' '.join(known)}"


def _timeouts(facts: Facts) -> str:
    """0 is no limit; a kernel without these settings has none either."""
    short = {
        name: value
        for name, value in facts.timeouts.items()
        if not (value.isascii() and value.isdecimal() and (int(value) == 0 or int(value) > facts.patience))
    }
    needed = f"0, or more than {facts.patience}"
    return "; ".join(f"fs.fuse.{name} is {value!r}, needed: {needed}" for name, value in sorted(short.items()))


def _swap(facts: Facts) -> str:
    if facts.swap_limit == "0":
        return ""  # the job's control group may not swap, whatever the node may
    found = swaps(facts.swaps)
    if not found and not facts.swaps.startswith("Filename"):
        return "/proc/swaps can't be read"
    return f"swap is on: {', '.join(found)}" if found else ""


def _cores(facts: Facts) -> str:
    """A file's size is bound by the limit; a program or a socket that is handed a core heeds no limit."""
    if facts.core_pattern is None:
        return "kernel.core_pattern can't be read"
    if facts.core_pattern.startswith(("|", "@")):
        return f"kernel.core_pattern hands cores to a program: {facts.core_pattern}"
    return "" if facts.core_limit == 0 else f"RLIMIT_CORE is {facts.core_limit}, and cores go to {facts.core_pattern!r}"


def _crashes(facts: Facts) -> str:
    """The kernel's log gets the name of a program that crashes and the address that it touched, and a cell chooses both."""
    if facts.exception_trace is None:
        return "debug.exception-trace can't be read"
    return "" if facts.exception_trace == "0" else f"debug.exception-trace is {facts.exception_trace}, needed: 0"


def _sandbox(facts: Facts) -> str:
    return "" if facts.inside is not None else facts.sandbox.strip() or "nothing came out of the sandbox"


def _walls(facts: Facts) -> str:
    if facts.inside is None:
        return ""
    return "; ".join([*_shared(facts, facts.inside), *_writable(facts, facts.inside), *_reachable(facts, facts.inside)])


def _shared(facts: Facts, inside: Inside) -> list[str]:
    apart = [kind for kind in _APART if kind != "user" or facts.expected.user_namespace]
    found = [
        f"the {kind} namespace is the node's"
        for kind in apart
        if not inside.namespaces.get(kind) or inside.namespaces[kind] == facts.namespaces.get(kind)
    ]
    return found + [f"interface {name}" for name in inside.interfaces if name != "lo"]


def _writable(facts: Facts, inside: Inside) -> list[str]:
    """Memory of its own, and devices; everything else has to be read-only, and no file system of the node's may be memory."""
    seen = mounts(inside.mountinfo)
    if not any(each.point == "/" for each in seen):
        return ["its mounts can't be read"]
    outside = {each.device for each in mounts(facts.mountinfo)}
    found = []
    for each in seen:
        memory = each.point in facts.expected.memory and each.kind == "tmpfs" and each.device not in outside
        device = each.point in {*_DEVICES, *facts.expected.devices} and each.kind in _DEVICE_KINDS
        process = each.point == "/proc" or each.point.startswith("/proc/")
        if each.writable and not (memory or device or (process and each.kind == "proc")):
            found.append(f"writable: {each.point} ({each.kind})")
    return found


def _reachable(facts: Facts, inside: Inside) -> list[str]:
    found = [f"socket {path}" for path in inside.sockets if path not in facts.expected.sockets]
    return found + (["sockets to the machine under the node (AF_VSOCK)"] if inside.vsock else [])


def _gpu(facts: Facts) -> str:
    if facts.gpus == 0 or facts.inside is None:
        return ""
    if facts.inside.cuda != "":
        return facts.inside.cuda or "CUDA was not asked"
    found = len(facts.inside.capabilities)
    # More than were asked for are another job's: its images would lie in memory that this session can read.
    return "" if found == facts.gpus else f"{facts.gpus} GPUs were asked for, {found} open in the sandbox"


def _torch(facts: Facts) -> str:
    if facts.gpus == 0 or facts.inside is None or facts.inside.architectures is None:
        return ""
    built = facts.inside.architectures
    lost = sorted({each for each in facts.inside.capabilities if not runs(each, built)})
    return f"torch is built for {' '.join(built) or 'no GPU'}, not for {' '.join(f'{a}.{b}' for a, b in lost)}" if lost else ""


def runs(capability: tuple[int, int], built: Collection[str]) -> bool:
    """Whether code built for the architectures `built` runs on a GPU of this compute capability.

    Machine code (`sm_86`) runs on the same major number from its minor number on; PTX (`compute_80`) on everything newer. CUDA C++
    Programming Guide, "Binary Compatibility" and "PTX Compatibility".
    """
    for name in built:
        found = re.fullmatch(r"(sm|compute)_(\d+)(\d)", name)
        if found is None:
            continue
        major, minor = int(found[2]), int(found[3])
        if (found[1] == "sm" and major == capability[0] and minor <= capability[1]) or (
            found[1] == "compute" and (major, minor) <= capability
        ):
            return True
    return False


CHECKS: dict[Check, Callable[[Facts], str]] = {
    Check.FUSE: _fuse,
    Check.SSHFS: _sshfs,
    Check.SSH: _ssh,
    Check.TIMEOUTS: _timeouts,
    Check.SWAP: _swap,
    Check.CORES: _cores,
    Check.CRASHES: _crashes,
    Check.SANDBOX: _sandbox,
    Check.WALLS: _walls,
    Check.GPU: _gpu,
    Check.TORCH: _torch,
}
"""Without namespaces and mechanism: where those are missing, nobody gets as far as facts."""


def judge(facts: Facts, lowered: Collection[Check]) -> tuple[Finding, ...]:
    """Everything that is wrong with a node of which `facts` are known; the findings of `lowered` checks pass with a banner."""
    details = {check: say(facts) for check, say in CHECKS.items()}
    return tuple(finding(check, detail, lowered) for check, detail in details.items() if detail)


def unprepared(failure: SessionFailure, lowered: Collection[Check]) -> Finding:
    """The finding of a node on which nothing could be prepared, so that nobody got as far as facts."""
    return finding(Check.MECHANISM if isinstance(failure, MechanismFailure) else Check.SANDBOX, failure.detail, lowered)


def finding(check: Check, detail: str, lowered: Collection[Check]) -> Finding:
    """The finding that `check` failed, with the level that it has here."""
    return Finding(check=check, level=FindingLevel.BANNER if check in lowered else FindingLevel.REFUSE, detail=detail[:_DETAIL])
