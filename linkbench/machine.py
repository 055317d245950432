"""What a figure was measured on."""

from __future__ import annotations

import os
import platform
import re
from importlib import metadata
from pathlib import Path

import torch

_ESCAPED = re.compile(r"\\([0-7]{3})")


def machine(mount: Path, local: Path) -> dict[str, str]:
    """Processor, memory, device, versions, and the kinds of both folders' file systems; no name of a host or a person."""
    cuda = torch.cuda.is_available()
    mounts = _text("/proc/self/mountinfo")
    return {
        "processor": _field(_text("/proc/cpuinfo"), "model name") or platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "GPU": f"{torch.cuda.device_count()} × {torch.cuda.get_device_name(0)}" if cuda else "–",
        "kernel": platform.release(),
        "software": ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "monai", "pillow")),
        "mount": file_system(mounts, mount.resolve()),
        "local": file_system(mounts, local.resolve()),
    }


def file_system(mountinfo: str, folder: Path) -> str:
    """The kind of file system that `folder` (resolved) lies on, "" if unknown, by the text of /proc/self/mountinfo.

    Its form: proc_pid_mountinfo(5).
    """
    found, depth = "", -1
    for line in mountinfo.splitlines():
        before, separator, after = line.partition(" - ")
        fields = before.split()
        if not separator or len(fields) < 5 or not after:
            continue
        place = Path(_ESCAPED.sub(lambda each: chr(int(each[1], 8)), fields[4]))
        # Of two at one place the later one hides the other.
        if folder.is_relative_to(place) and len(place.parts) >= depth:
            found, depth = after.split()[0], len(place.parts)
    return found


def _text(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", "replace")
    except OSError:
        return ""


def _field(text: str, name: str) -> str:
    return next((line.partition(":")[2].strip() for line in text.splitlines() if line.startswith(name)), "")
