"""Slurm's text about nodes and their GPUs, read into typed values; pure."""

from __future__ import annotations

import re

from spawner.schedulers.base import NodeStatus

WIDTHS = {
    "NodeHost": 128,
    "Partition": 64,
    "StateLong": 32,
    "Available": 16,
    "Time": 24,
    "CPUsState": 32,
    "Gres": 256,
    "GresUsed": 256,
}
"""sinfo's fields and how many characters each gets: it cuts off what is longer, and knows no separator."""

FORMAT = ",".join(f"{name}:{width}" for name, width in WIDTHS.items())

UP = frozenset({"idle", "mixed", "allocated", "completing", "planned"})
"""States of a node that takes jobs, or will (`man sinfo`, NODE STATE CODES); every other word counts as down."""
SILENT = "*"
"""Behind a node's state: it does not respond."""

_GRES = re.compile(r"(?:gres[/:])?([A-Za-z]\w{0,31})(?::([A-Za-z][\w.-]{0,63}|\(null\)))?[:=](\d{1,6})", re.ASCII)
_BRACKETS = re.compile(r"\((?!null\))[^()]*\)")
_LIMIT = re.compile(r"(?:(\d{1,5})-)?(?:(\d{1,3}):)?(\d{1,5}):(\d{1,2})", re.ASCII)
_STATE = re.compile(r"([a-z]+)([-*~#!%$@^+]*)", re.ASCII)


def parse(text: str) -> tuple[NodeStatus, ...]:
    """The nodes of `sinfo --Node --Format=FORMAT`; a line that is none is left out."""
    found = []
    for line in text.splitlines():
        cells, at = {}, 0
        for name, width in WIDTHS.items():
            cells[name] = line[at : at + width].strip()
            at += width
        cpus = cells["CPUsState"].split("/")
        state = _STATE.fullmatch(cells["StateLong"])
        if state is None or not cells["NodeHost"] or len(cpus) != 4 or not all(_count(each) for each in cpus):
            continue
        found.append(
            NodeStatus(
                node=cells["NodeHost"],
                partition=cells["Partition"].rstrip("*"),
                up=state[1] in UP and SILENT not in state[2] and cells["Available"] == "up",
                cpus=int(cpus[3]),
                cpus_idle=int(cpus[1]),
                gres=gres(cells["Gres"]),
                gres_used=gres(cells["GresUsed"]),
                limit_s=limit(cells["Time"]),
            )
        )
    return tuple(found)


def gres(text: str) -> dict[str, int]:
    """How many there are of each resource in Slurm's `NAME[:TYPE]:NUMBER[(…)],…`: by name, and by name and type."""
    found: dict[str, int] = {}
    for part in _BRACKETS.sub("", text).split(","):
        read = _GRES.fullmatch(part.strip())
        if read is None:
            continue
        name, kind, number = read[1], read[2], int(read[3])
        for key in (name,) if kind in {None, "(null)"} else (name, f"{name}:{kind}"):
            found[key] = found.get(key, 0) + number
    return found


def gpus(text: str) -> int:
    """How many GPUs a job asked for by squeue's `%b`; 0 where it does not say (`--gpus` is not shown there)."""
    return gres(text).get("gpu", 0)


def limit(text: str) -> float | None:
    """Seconds in a time limit, `[DAYS-][HOURS:]MINUTES:SECONDS`; None where there is none, or no text of that kind."""
    read = _LIMIT.fullmatch(text)
    if read is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in read.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def _count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9
