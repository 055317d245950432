"""What a notebook's cell does with images, by design or by mistake: every place that it can write to gets every canary.

This file's text runs as a cell in the session's kernel (`cell`), so it needs nothing of the project's but ctlab. What a wall
stops is told as stopped, and the next path is tried.
"""

from __future__ import annotations

import ctypes
import gzip
import json
import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
import syslog
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Case:
    """What a cell holds of the planted case."""

    words: str
    """Its folder's and file's names and its header's text."""
    data: bytes
    """The same with the voxels, as int16 and as float32."""
    file: str
    own: Path


PATHS: dict[str, Callable[[Case], object]] = {}


def path(name: str) -> Callable[[Callable[[Case], object]], Callable[[Case], object]]:
    """Enter a function among PATHS."""

    def enter(work: Callable[[Case], object]) -> Callable[[Case], object]:
        PATHS[name] = work
        return work

    return enter


IN_MEMORY = (str(Path.home()), "/tmp", "/var/tmp", "/dev/shm", "/run", tempfile.gettempdir())
ELSEWHERE = ("/", "/home", "/root", "/var/lib", "/var/spool", "/var/log", "/opt/renkei", "/etc", "/usr/local", "/srv", "/mnt")
CACHES = ("XDG_CACHE_HOME", "TORCH_HOME", "HF_HOME", "MPLCONFIGDIR", "TRITON_CACHE_DIR", "CUDA_CACHE_PATH", "NUMBA_CACHE_DIR")


def _write(folder: Path, case: Case) -> None:
    (folder / case.file).mkdir()
    (folder / case.words.replace(" ", "-")).write_bytes(case.data)
    (folder / "packed.gz").write_bytes(gzip.compress(case.data))
    os.mkfifo(folder / f"{case.file}.pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / f"{case.file[:32]}.socket"))


for _folder in (*IN_MEMORY, *ELSEWHERE):
    path(f"files in {_folder}")(lambda case, folder=Path(_folder): _write(folder, case))


@path("framework caches")
def caches(case: Case) -> None:
    """Where libraries put what they want to find again, by their own variables or below the home."""
    import torch
    from matplotlib import pyplot as plt
    from monai.data import PersistentDataset

    for variable in CACHES:
        folder = Path(os.environ.get(variable) or Path.home() / ".cache" / variable)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cached.pickle").write_bytes(pickle.dumps(case.data))
    item = {"image": torch.frombuffer(bytearray(case.data), dtype=torch.uint8), "name": case.words}
    assert PersistentDataset([item], transform=lambda each: each, cache_dir=Path.home() / ".monai")[0]["name"]
    figure = plt.figure()
    figure.text(0, 0, case.words)
    figure.savefig(Path.home() / "figure.svg")


@path("shared memory")
def shared_memory(case: Case) -> None:
    """A SysV segment and a POSIX queue, neither taken away again."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.shmat.restype = ctypes.c_void_p
    number = libc.shmget(0x52454E4B, len(case.data), 0o1666)
    assert number >= 0, os.strerror(ctypes.get_errno())
    ctypes.memmove(libc.shmat(number, None, 0), case.data, len(case.data))
    queue = libc.mq_open(b"/renkei-leak", os.O_CREAT | os.O_RDWR, 0o666, None)
    assert queue >= 0, os.strerror(ctypes.get_errno())
    assert libc.mq_send(queue, case.words.encode(), len(case.words), 0) == 0


@path("a kernel's keyring")
def keyring(case: Case) -> None:
    """A key in the keyring that the job inherited, which outlives it where others hold that keyring."""
    number = {"x86_64": 248, "aarch64": 217}[os.uname().machine]
    libc = ctypes.CDLL(None, use_errno=True)
    kept = libc.syscall(number, b"user", case.file.encode(), case.words.encode(), len(case.words), -3)
    assert kept > 0, os.strerror(ctypes.get_errno())


@path("output and errors")
def output(case: Case) -> None:
    """Whatever writes to what used to be a terminal, and a traceback."""
    for descriptor in (1, 2):
        os.write(descriptor, case.data)
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        print(case.words, file=stream)
    logging.getLogger().error(case.words)
    syslog.syslog(case.words)
    raise RuntimeError(case.words)


@path("a child that stays")
def child(case: Case) -> None:
    """A process that leaves its parent and its group, with the names among its arguments and in its environment."""
    code = "import os, time; os.fork() and os._exit(0); time.sleep(600)"
    subprocess.Popen([sys.executable, "-c", code, case.words], env={**os.environ, "CASE": case.words}, start_new_session=True)


@path("core dump")
def core_dump(case: Case) -> str:
    """A crash with the names in memory, after taking back every limit that can be taken back."""
    code = "import os, resource, sys\ntry: resource.setrlimit(resource.RLIMIT_CORE, (-1, -1))\nexcept Exception: pass\n"
    code += "kept = sys.argv[1] * 1000\nos.abort()"
    ended = subprocess.run([sys.executable, "-c", code, case.words], cwd=Path.home(), check=False, capture_output=True)
    return signal.Signals(-ended.returncode).name


@path("batch system")
def batch_system(case: Case) -> None:
    """A job of the cell's own, named after the case."""
    subprocess.run(["/usr/bin/sbatch", f"--job-name={case.file}", "--wrap", case.words], check=True, capture_output=True)


@path("network")
def network(case: Case) -> None:
    """A datagram to everybody around."""
    for address in (("10.77.2.1", 2202), ("10.77.1.10", 8081), ("10.77.1.12", 6818), ("192.0.2.1", 53)):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as loose:
            loose.sendto(case.words.encode(), address)


@path("a name that is not there")
def missing(case: Case) -> None:
    """An error of the mount's that names a file."""
    Path(case.own, case.words).read_bytes()


@path("a checkpoint on the cloud")
def checkpoint(case: Case) -> None:
    """Where results belong."""
    import torch

    torch.save({"name": case.words, "sample": case.data}, case.own / "leak-checkpoint.pt")


def carried(case: Case, names: Sequence[str] = ()) -> dict[str, str]:
    """Take `case` through the paths called `names`, or through all; path → `done`, or what stopped it."""
    told = {}
    for name in names or PATHS:
        try:
            told[name] = str(PATHS[name](case) or "done")
        except Exception as error:  # noqa: BLE001  (any kind: it is what the caller asks for)
            told[name] = f"{type(error).__name__}: {error}"
    return told


def spread(file: str, own: str) -> str:
    """Take the case in `file` (NIfTI, on the mount) through every path; what was told of each, as JSON."""
    import ctlab
    import nibabel
    import numpy as np

    described = bytes(nibabel.load(file).header["descrip"]).rstrip(b"\0").decode()
    words = f"{Path(file).parent.name} {Path(file).name} {described}"
    voxels = np.ascontiguousarray(ctlab.load(file).voxels)
    data = words.encode() + voxels.tobytes() + voxels.astype(np.float32).tobytes()
    return json.dumps(carried(Case(words, data, Path(file).name, Path(own))))


def cell(file: str, own: str) -> str:
    """The source of a cell that spreads the case in `file`; `told` is then what it told, as JSON."""
    return f"{Path(__file__).read_text()}\n\ntold = spread({file!r}, {own!r})"


def short_cell(words: str, names: Sequence[str]) -> str:
    """The source of a cell that takes `words` alone through the paths called `names`, and prints what it told."""
    case = f"Case({words!r}, {words!r}.encode(), {words!r}, Path(os.environ['RENKEI_OWN']))"
    return f"{Path(__file__).read_text()}\n\nprint(json.dumps(carried({case}, {list(names)!r})))"
