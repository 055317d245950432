"""What nobody outside a centre knows for certain of its PJM, and what its administrators set: each can be turned."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Group:
    """A resource group."""

    nodes: tuple[str, ...]
    gpus: int = 0
    """GPUs of each node."""
    members: str = ""
    """Unix group whose members may use it; empty: everybody."""
    elapse: int = 86_400
    """Longest time of a job, in seconds."""
    disabled: bool = False
    cores: int = 0
    """Cores of each node, for `vnode-core`; 0: more than anybody asks for."""


@dataclass(frozen=True)
class Switches:
    """Read anew for every command."""

    heading_without_rows: bool = True
    """pjstat prints its heading also where it has no job to show."""
    linger_s: float = 0.0
    """How long plain pjstat still shows a job that is over, in seconds."""
    environment: str = "refused"
    """What pjsub does with -X: `refused`, `ignored` or `works`."""
    deletion: str = "KILL"
    """What pjdel sends a running job: `KILL`, or `TERM` with ten seconds before the kill."""
    again_code: int = 0
    """Exit code of pjdel for a job that was told to end before (0119)."""
    over_number: str = "0113"
    """What pjdel says of a job that is over but remembered: 0113 or 0112."""
    restart: bool = True
    """Whether a job is begun anew after its node was lost, where its script does not say."""
    output_name: str = "{name}.{job}.out"
    """What a job's output is called that does not say: so, or `{name}.o.{job}`."""
    cut_in_data: bool = True
    """Names are cut off with --data too, as they are in tables."""
    padded: bool = True
    """Columns chosen with --choose are as wide as always."""
    long_headings: bool = False
    """--data calls its columns by the long names that -s has."""
    wrapper: bool = False
    """A site's own program stands in the place of pjstat and prints another table (as at Wisteria/BDEC-01)."""
    sees_all: bool = False
    """-A shows everybody's jobs to everybody."""
    loading: bool = False
    """pjstat first says that it is loading."""
    outage: str = ""
    """`90`: the daemon is not present; `91`: an internal error, and pjsub has taken the job all the same."""
    outages: int = 0
    """How many commands that hits; 0: all."""
    site_text: str = ""
    """What the site's own check says to every pjsub (0079)."""
    accept_limit: int = 0
    """Jobs of one account that pjsub takes; 0: any number."""
    hold_queue: bool = False
    """Nothing is begun: the groups are stopped."""
    latency_s: float = 0.0
    """How long every command takes besides, in seconds."""
    prologue_s: float = 0.05
    """How long a job stays RNA and RNP, in seconds each."""
    epilogue_s: float = 0.05
    """How long a job stays RNE and RNO, in seconds each."""
    grace_s: float = 10.0
    """From SIGXCPU to the kill, in seconds."""
    history_days: int = 3
    """How far back -H goes that does not say."""
    groups: dict[str, Group] = field(default_factory=dict)


def load(path: Path) -> Switches:
    """The switches in the JSON file at `path`."""
    told = json.loads(path.read_text())
    groups = {name: Group(**{**each, "nodes": tuple(each["nodes"])}) for name, each in told.pop("groups", {}).items()}
    return Switches(**told, groups=groups)


def text(switches: Switches) -> str:
    """What `load` reads."""
    return json.dumps(dataclasses.asdict(switches), indent=1)
