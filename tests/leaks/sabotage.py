"""Sessions with one wall missing, and which check has to notice: a check that finds nothing there would find nothing anywhere.

The product has no switch that takes a wall away. What is missing is missing in the source that the hosts run: a file of it is
mounted over with itself and some lines more (the sandbox is a value, so most of them change that value).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from testbed import services
from testbed.host import Host
from testbed.site import Testbed


@dataclass(frozen=True)
class Sabotage:
    """One wall less."""

    name: str
    rows: tuple[int, ...]
    """Of the table in docs/threat-model.md: whose tests these checks are."""
    source: dict[str, str] = field(default_factory=dict)
    """File of the project → lines at its end."""
    script: tuple[str, str] = ("", "")
    """What is replaced in the job script, and by what; NAME is a name that nobody may see."""
    node: Sequence[str] = ()
    """A command of the node's root, before the session."""
    paths: tuple[str, ...] = ()
    """Which paths a cell carries names through."""
    looks: tuple[str, ...] = ()
    """Looks (look.py) that have to find something."""
    around: tuple[str, ...] = ()
    """Checks (around.py) that have to find something."""
    refused: bool = False
    """Whether the preflight has to see it too: it would refuse the session, and lets it pass with a banner here."""
    left: bool = False
    """Whether the names have to be found on the node when all is over."""


def _box(change: str) -> dict[str, str]:
    """The sandbox's description, changed: `change` is what is given to msgspec's replace."""
    return {"enclave/sandbox.py": f"""
_whole = describe
def describe(*given):
    box = _whole(*given)
    return msgspec.structs.replace(box, {change})
"""}


def _shared(source: str, target: str) -> dict[str, str]:
    """A folder of the node that can be written, at `target` inside."""
    binds = f"Bind({source!r}, {target!r}, device=True)"
    return _box(f"memory=tuple(each for each in box.memory if each != {target!r}), binds=({binds}, *box.binds)")


def _argv(change: str) -> dict[str, str]:
    """bubblewrap's command line, changed: `change` is a list made of `words`."""
    return {"enclave/sandbox.py": f"\n_all = argv\ndef argv(*given):\n    words = _all(*given)\n    return {change}\n"}


def _without(namespace: str) -> dict[str, str]:
    """All namespaces but one."""
    kept = [f"--unshare-{each}" for each in ("ipc", "pid", "net", "uts", "cgroup-try") if each != namespace]
    return _argv(f"[each for word in words for each in ({kept!r} if word == '--unshare-all' else [word])]")


_HOME = "/home/rs-tanaka"
SABOTAGES = (
    Sabotage("tmp on the node", (1,), _shared("/var/tmp", "/tmp"), paths=("files in /tmp",), left=True),
    Sabotage(
        "home on the node",
        (2, 3, 4, 5, 6, 7, 21),
        _shared(_HOME, _HOME),
        paths=(f"files in {_HOME}",),
        looks=("writable_places", "settings_in_memory"),
        around=("mount_and_memory",),
        left=True,
        refused=True,
    ),
    Sabotage(
        "histories kept",
        (5, 6),
        {"enclave/server_config.py": """
_calm = settings
def settings(*given):
    found = _calm(*given)
    files = {name: text for name, text in found.files.items() if "ipython" not in name}
    return msgspec.structs.replace(found, files=files)
"""},
        looks=("histories",),
    ),
    Sabotage(
        "core dumps",
        (8,),
        _box("command=('/bin/sh', '-c', 'echo 33 > /proc/self/coredump_filter; exec \"$0\" \"$@\"', *box.command)"),
        looks=("core_dumps",),
    ),
    Sabotage("shared memory of the node", (10,), _shared("/dev/shm", "/dev/shm"), paths=("files in /dev/shm",), left=True),
    Sabotage(
        "System V of the node",
        (10,),
        _without("ipc"),
        paths=("shared memory",),
        around=("mount_and_memory",),
        refused=True,
        left=True,
    ),
    Sabotage("what the server says, in a file", (14,), {"enclave/children.py": """
import sys
def _aloud(self, stream):
    for line in iter(stream.readline, b""):
        sys.stderr.write(line.decode("utf-8", "replace"))
        sys.stderr.flush()
Child._read = _aloud
"""}, script=("--error=/dev/null", "--error=/var/tmp/job.err"), left=True),
    Sabotage(
        "a name in the job's record",
        (15,),
        script=("#SBATCH --no-requeue", "#SBATCH --no-requeue\n#SBATCH --comment=NAME"),
        around=("batch_records",),
    ),
    Sabotage(
        "a name in the job script",
        (14, 15),
        script=("umask 077", "umask 077; export KEY=NAME"),
        around=("batch_records",),
    ),
    Sabotage(
        "arguments that all can read",
        (15,),
        node=("mount", "--no-mtab", "-o", "remount,hidepid=off", "/proc"),
        paths=("a child that stays",),
        around=("arguments_and_environment",),
    ),
    Sabotage(
        "a cache on the node",
        (16,),
        {"enclave/session.py": "\nimport builtins\n_kept = builtins.open('/var/tmp/cache', 'w')\n"},
        around=("open_files",),
    ),
    Sabotage(
        "the node's network",
        (19,),
        _argv("[*words[:words.index('--seccomp')], '--share-net', *words[words.index('--seccomp'):]]"),
        looks=("network",),
        refused=True,
    ),
    Sabotage(
        "calls past namespaces",
        (19, 41, 42),
        _argv("[*words[:words.index('--seccomp')], *words[words.index('--seccomp') + 2:]]"),
        looks=("network", "kernel_keyrings"),
        refused=True,
    ),
    Sabotage(
        "a socket of the node",
        (20,),
        _box("binds=(*box.binds, Bind('/run/munge', '/run/munge'))"),
        looks=("sockets", "batch_system"),
        refused=True,
    ),
    Sabotage(
        "the hub's token inside",
        (23,),
        {"enclave/server_config.py": """
_bare = settings
def settings(welcome, *given):
    found = _bare(welcome, *given)
    token = {"JUPYTERHUB_API_TOKEN": welcome.environment["JUPYTERHUB_API_TOKEN"]}
    return msgspec.structs.replace(found, environment=found.environment | token)
"""},
        looks=("secrets",),
    ),
    Sabotage("the keys inside", (24,), _box("binds=(*box.binds, Bind('/tmp/keys', '/run/renkei/keys'))"), looks=("secrets",)),
    Sabotage("the enclave's processes seen", (18, 24), _without("pid"), looks=("other_processes",), refused=True),
    Sabotage("a door for everybody", (25,), {"enclave/keys.py": """
_narrow = server_context
def server_context(*given):
    context = _narrow(*given)
    context.verify_mode = ssl.CERT_NONE
    return context
"""}, around=("the_door",)),
)  # fmt: skip

MOUNTPOINT = {
    **_box("binds=tuple(Bind(each.source, each.target, each.device or each.target.endswith('/cloud')) for each in box.binds)"),
    "enclave/namespace.py": """
_real = _mount
def _mount(source, target, kind, flags, options=None):
    _real(source, target, kind, flags & ~_MS_RDONLY, options)
""",
}
"""What lies under the mount can be written."""

NAMES_IN_LOGS = {"spawner/redact.py": "\ndef redacted(text):\n    return text\n"}


@contextlib.contextmanager
def changed(site: Testbed, host: Host, source: dict[str, str]) -> Iterator[None]:
    """While this lasts, `host` runs the project with the lines of `source` at the end of its files."""
    with contextlib.ExitStack() as undo:
        for name, lines in source.items():
            changed_file, place = f"/opt/{name.replace('/', '-')}", f"{services.SOURCE}/{name}"
            host.write(changed_file, (site.source / name).read_text() + lines)
            host.run(["mount", "--no-mtab", "--bind", changed_file, place], check=True)
            undo.callback(host.run, ["rm", changed_file])
            undo.callback(host.run, ["umount", "--no-mtab", "--lazy", place], check=True)
        yield
