"""What a cell finds when it looks for ways out: each look returns what it found, and finds nothing where the walls stand.

This file's text runs as a cell in the session's kernel (`cell`), so it needs the standard library alone. The same looks run where
a wall was taken away (tests/leaks/sabotage.py): there the one that guards it has to find something.
"""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
import json
import os
import resource
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

LOOKS: dict[str, Callable[[dict[str, list[str]]], list[str]]] = {}
"""Name → a look; it is given what the test knows: `secrets` (said backwards, so that the question is not found) and `addresses`."""
MEMORY = {"tmpfs", "proc", "devpts", "mqueue"}
SETTINGS = (
    *("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "MPLCONFIGDIR", "TORCH_HOME", "TORCHINDUCTOR_CACHE_DIR"),
    *("TRITON_CACHE_DIR", "CUDA_CACHE_PATH", "NUMBA_CACHE_DIR", "HF_HOME"),
    *("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"),
)
MOUNT = Path(os.environ.get("RENKEI_MOUNT", "/nowhere"))
STREAMS = ("stdin", "stdout", "stderr")
PATIENCE = 1.0
"""Seconds for a connection that nobody refuses."""


def look(work: Callable[[dict[str, list[str]]], list[str]]) -> Callable[[dict[str, list[str]]], list[str]]:
    """Enter a function among LOOKS."""
    LOOKS[work.__name__] = work
    return work


def mounts() -> list[tuple[str, str, bool]]:
    """Each mount: path, kind, whether it can be written."""
    lines = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [(words[4], words[words.index("-") + 1], words[5].split(",")[0] == "rw") for words in lines]


@look
def writable_places(_: dict[str, list[str]]) -> list[str]:
    """Every mount and every folder that can be written is memory, or the cloud."""
    kinds = [(path, kind) for path, kind, writable in mounts() if writable and kind not in MEMORY]
    found = [f"{path} is {kind} and writable" for path, kind in kinds if (path, kind) != (str(MOUNT), "fuse.sshfs")]
    devices = {Path(path).stat().st_dev for path, kind, _ in mounts() if kind in MEMORY}
    for folder, folders, _names in os.walk("/"):
        if folder in {"/proc", "/sys", str(MOUNT)}:
            folders.clear()
        elif os.access(folder, os.W_OK) and Path(folder).stat().st_dev not in devices:
            found.append(f"{folder} can be written and is not in memory")
    return found


@look
def pipes_and_sockets_on_the_cloud(_: dict[str, list[str]]) -> list[str]:
    """A pipe or socket on a file system that others see would be a way to them."""
    own = Path(os.environ["RENKEI_OWN"])
    found = []
    for name, make in (("pipe", os.mkfifo), ("socket", lambda path: socket.socket(socket.AF_UNIX).bind(str(path)))):
        with contextlib.suppress(OSError):
            make(own / f"leak.{name}")
            found.append(f"a {name} on the cloud")
    return found


@look
def settings_in_memory(_: dict[str, list[str]]) -> list[str]:
    """Where libraries and Jupyter keep things by themselves."""
    kinds = {path: kind for path, kind, _ in mounts()}

    def kind(path: Path) -> str:
        return kinds.get(str(path)) or kind(path.parent)

    where = {name: os.environ.get(name) for name in SETTINGS}
    found = [f"{name} is not set" for name, value in where.items() if not value]
    return found + [f"{name} is on {kind(Path(value))}" for name, value in where.items() if value and kind(Path(value)) != "tmpfs"]


@look
def histories(_: dict[str, list[str]]) -> list[str]:
    """IPython's history, the list of trusted notebooks, a store of edits, a bin for what was deleted."""
    names = {"history.sqlite", "nbsignatures.db", ".jupyter_ystore.db", "Trash", ".Trash"}
    home = Path.home()
    return [str(Path(folder, name)) for folder, folders, files in _walk(home) for name in (*folders, *files) if name in names]


def _walk(top: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    for folder, folders, files in os.walk(top):
        if folder == str(MOUNT):
            folders.clear()
        else:
            yield folder, folders, files


@look
def core_dumps(_: dict[str, list[str]]) -> list[str]:
    """A crash leaves nothing: neither by size nor by what a dump holds, for every process here; no GPU's dump either."""
    limits = resource.getrlimit(resource.RLIMIT_CORE)
    found = [f"RLIMIT_CORE {limits}"] if limits != (0, 0) else []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            # Empty where a process has just ended and holds no memory any more.
            if int((process / "coredump_filter").read_text().strip() or "0", 16):
                found.append(f"process {process.name} would be dumped")
    crash = Path.home() / "crash"
    crash.mkdir(exist_ok=True)
    subprocess.run([sys.executable, "-c", "import os; os.abort()"], cwd=crash, check=False, capture_output=True)
    found += [f"a dump: {path}" for path in crash.iterdir()]
    return found + [name for name in ("CUDA_ENABLE_COREDUMP_ON_EXCEPTION",) if os.environ.get(name) != "0"]


@look
def network(known: dict[str, list[str]]) -> list[str]:
    """No interface but lo, and nobody answers: TCP, UDP, IPv6, raw, netlink's list of neighbours, the machine below."""
    found = [f"interface {name}" for _, name in socket.if_nameindex() if name != "lo"]
    for address in known["addresses"]:
        host, _, port = address.rpartition(":")
        family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with contextlib.suppress(OSError), socket.socket(family, kind) as outward:
                outward.settimeout(PATIENCE)
                outward.connect((host, int(port)))
                found.append(f"{address} by {kind.name}")
    for family, kind in (("PACKET", "RAW"), ("INET", "RAW"), ("VSOCK", "STREAM"), ("TIPC", "RDM"), ("ALG", "SEQPACKET")):
        with contextlib.suppress(OSError), socket.socket(getattr(socket, f"AF_{family}"), getattr(socket, f"SOCK_{kind}")):
            found.append(f"{family} opens")
    with contextlib.suppress(OSError):
        found.append(f"hub is {socket.gethostbyname('hub')}")
    return found


@look
def tools_fail_fast(_: dict[str, list[str]]) -> list[str]:
    """What people try in a notebook ends within seconds, and says that there is no network."""
    words = ("resolve host", "Name or service not known", "unable to resolve", "There is no network here")
    tries = (
        [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", "/tmp", "renkei-does-not-exist"],
        ["git", "ls-remote", "https://github.com/example/example"],
        ["git", "ls-remote", "git@github.com:example/example.git"],
        ["curl", "--silent", "--show-error", "https://example.org/"],
        ["conda", "install", "--yes", "zlib"],
        ["wget", "https://example.org/"],
    )
    found = []
    for argv in tries:
        if shutil.which(argv[0]) is None:
            continue
        begun = time.monotonic()
        try:
            done = subprocess.run(argv, cwd=Path.home(), capture_output=True, text=True, check=False, timeout=10)
        except subprocess.TimeoutExpired:
            found.append(f"{' '.join(argv)} does not end")
            continue
        said = done.stdout + done.stderr
        if done.returncode == 0 or time.monotonic() - begun > 5 or not any(word in said for word in words):
            found.append(f"{' '.join(argv)}: {done.returncode} after {time.monotonic() - begun:.1f} s: {said[-300:]}")
    return found


@look
def sockets(_: dict[str, list[str]]) -> list[str]:
    """The one unix socket here is the doorway's; no other file is one, and no abstract one answers."""
    allowed = {"/run/renkei/hub.sock"}
    found = []
    for folder, _folders, names in os.walk("/"):
        if folder == "/" or not folder.startswith(("/proc", "/sys", "/usr", str(MOUNT))):
            for name in names:
                with contextlib.suppress(OSError):
                    if stat.S_ISSOCK(os.lstat(f"{folder}/{name}").st_mode) and f"{folder}/{name}" not in allowed:
                        found.append(f"{folder}/{name}")
    listening = [line.split()[-1] for line in Path("/proc/net/unix").read_text().splitlines() if line.split()[-1].startswith("@")]
    return found + [f"abstract {name}" for name in listening]


@look
def batch_system(_: dict[str, list[str]]) -> list[str]:
    """A job of the cell's own would run outside the walls."""
    found = []
    for argv in (["sbatch", "--wrap", "true"], ["srun", "true"], ["squeue"], ["munge", "--no-input"], ["scancel", "--user=x"]):
        if shutil.which(argv[0]) is not None:
            done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=20)
            found += [f"{argv[0]} works: {done.stdout}"] if done.returncode == 0 else []
    return found


@look
def other_processes(_: dict[str, list[str]]) -> list[str]:
    """Nothing runs here but bubblewrap, the server, its kernels and their children; nothing of the enclave's is seen."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            line = (process / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
            if any(word in line for word in ("sshfs", "/usr/bin/ssh ", "enclave run", "slurm", "munged")):
                found.append(f"{process.name}: {line}")
    return found


@look
def secrets(known: dict[str, list[str]]) -> list[str]:
    """No key, certificate or token in a file, an environment, an argument or an open descriptor."""
    needles = [text[::-1].encode() for text in known["secrets"]]
    places = [Path(folder, name) for top in ("/run", "/tmp", "/var", "/home", "/etc", "/dev/shm", "/root", "/srv")
              for folder, _, names in _walk(Path(top)) if "/kernels" not in folder for name in names]  # fmt: skip
    for process in Path("/proc").glob("[0-9]*"):
        places += [process / "environ", process / "cmdline"]
        with contextlib.suppress(OSError):
            places += list((process / "fd").iterdir())
    found = []
    for place in places:
        with contextlib.suppress(OSError):
            if place.is_file() and any(needle in place.read_bytes() for needle in needles):
                found.append(str(place))
    for name in ("SSH_AUTH_SOCK", "SSH_AGENT_PID"):
        found += [name] if name in os.environ else []
    return found


@look
def kernel_keyrings(_: dict[str, list[str]]) -> list[str]:
    """A keyring that the job inherited would keep what is put there, for the next job too."""
    numbers = {"x86_64": 248, "aarch64": 217}
    libc = ctypes.CDLL(None, use_errno=True)
    rings = {"session": -3, "user": -4, "user session": -5}
    number = numbers[os.uname().machine]
    return [name for name, ring in rings.items() if libc.syscall(number, b"user", b"leak", b"leak", 4, ring) > 0]


@look
def powers(_: dict[str, list[str]]) -> list[str]:
    """No capability, no new namespace, nothing gained by a set-user-id program, no device but those that everybody has."""
    status = dict(line.split(":\t") for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    found = [f"{name} {status[name]}" for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb") if int(status[name], 16)]
    found += [] if status["NoNewPrivs"] == "1" else ["set-user-id programs work"]
    for option in ("--user", "--net", "--mount"):
        done = subprocess.run(["/usr/bin/unshare", option, "/usr/bin/true"], capture_output=True, check=False)
        found += [f"unshare {option} works"] if done.returncode == 0 else []
    names = {"null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "shm", "core", "console", "fd", *STREAMS}
    return found + [str(each) for each in Path("/dev").iterdir() if each.name not in names and not each.name.startswith("nvidia")]


def findings(names: list[str], known: dict[str, list[str]]) -> str:
    """What the looks called `names` found, as JSON: name → findings. A look that fails has found that it can't look."""
    told = {}
    for name in names:
        try:
            told[name] = LOOKS[name](known)
        except Exception as error:  # noqa: BLE001  (any kind: it must not pass for nothing found)
            told[name] = [f"{type(error).__name__}: {error}"]
    return json.dumps(told)


def cell(names: list[str], known: dict[str, list[str]]) -> str:
    """The source of a cell that looks, and prints what it found as JSON."""
    return f"{Path(__file__).read_text()}\n\nprint(findings({names!r}, {known!r}))"
