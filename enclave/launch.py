"""The command line that every session starts with: the namespaces, where the mechanism has them, and the enclave."""

from __future__ import annotations

from enclave.messages import Mechanism

NAMESPACES = (
    "/usr/bin/unshare",
    "--user",
    "--map-current-user",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "--keep-caps",
)
"""An ordinary user's own user, mount and pid namespace. `--keep-caps` lets the enclave mount inside it; `--kill-child` and
the pid namespace make everything end with the first process, whatever ends that."""

IGNORED = "TERM,XCPU"
"""Signals by which a batch system tells every process of a job at once that it has to end: the enclave alone heeds them. As it has
handlers for them, what it starts would not ignore them by itself."""

NODE_PROC = 9
"""The descriptor of the node's /proc, which the job script opens before the namespaces: the residue report looks through it."""

EXIT_NO_NAMESPACES = 71
"""The job script's own exit code where NAMESPACES are refused: the enclave never ran."""
EXIT_BAD_ORDER = 72
EXIT_FAILED = 73


def command(python: str, mechanism: Mechanism) -> list[str]:
    """The argv that runs the enclave with the interpreter at `python`; its `Order` goes to stdin, one line of JSON.

    With `namespaces` it runs in NAMESPACES, with `fusermount` as an ordinary process.

    The caller sees to it that SIGTERM, and PJM's SIGXCPU, are ignored before (`unshare` would die of them, and take everything
    along before the enclave could end in order) and that the environment holds only PATH, LANG, SLURM_JOB_ID or PJM_JOBID, PYTHON*
    and, with GPUs, SLURM_JOB_GPUS and CUDA_VISIBLE_DEVICES; and that NODE_PROC is open.
    """
    before = NAMESPACES if mechanism is Mechanism.NAMESPACES else ()
    return [*before, python, "-m", "enclave", "run"]
