"""The job script: a template, filled with checked values only."""

from __future__ import annotations

import functools
import shlex
from pathlib import Path

import jinja2
from msgspec import structs

from enclave.messages import Order, encode
from spawner.schedulers.base import Job
from spawner.schedulers.pjm import job_name
from spawner.site import Kind, Node, PjmSite

SLURM, PJM = "job.sh.j2", "job-pjm.sh.j2"

PIECE = 1000
"""Characters of the order in one line of a script for PJM, which takes none longer than 4096; quoting may make them more."""


def render(job: Job, order: Order, node: Node, kind: Kind = Kind.SLURM, pjm: PjmSite | None = None) -> str:
    """The script that `sbatch` or `pjsub` reads on stdin. Nothing in it is a person's text, and every word is quoted all the same.

    Raises jinja2.UndefinedError when the template names what is not there, ValueError when the order can't stand in a
    here-document.
    """
    line = encode(order).decode()
    if "\n" in line or line == "ORDER":
        raise ValueError("an order is one line of JSON")
    common = {"source": node.source or "", "python": node.python, "mechanism": order.mechanism}
    if kind is Kind.SLURM:
        template = _environment().get_template(SLURM)
        return template.render(job=job, time=duration(job.seconds), signals="TERM", order=line, **common)
    return (
        _environment()
        .get_template(PJM)
        .render(
            job=structs.replace(job, name=job_name(job.name)),
            resources=resources(job),
            output=(pjm or PjmSite()).output,
            # At its limit PJM tells every process so, and kills them ten seconds later: only the enclave heeds it.
            signals="TERM XCPU",
            pieces=[line[at : at + PIECE] for at in range(0, len(line), PIECE)],
            **common,
        )
    )


def resources(job: Job) -> str:
    """What `job` asks for, as PJM's `-L` reads it: `rscgrp=…,elapse=H:MM:SS,…`."""
    numbers = {"gpus": job.gpus, "cpus": job.cpus, "memory_mb": job.memory_mb}
    minutes, second = divmod(job.seconds, 60)
    words = [f"rscgrp={job.partition}", f"elapse={minutes // 60}:{minutes % 60:02}:{second:02}"]
    for resource in job.resources:
        name, _, value = resource.partition("=")
        if not any(f"{{{key}}}" in value and not number for key, number in numbers.items()):
            words.append(f"{name}={value.format(**numbers)}")
    return ",".join(words)


def duration(seconds: int) -> str:
    """`seconds` as Slurm reads a time limit: days-hours:minutes:seconds."""
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    day, hour = divmod(hours, 24)
    return f"{day}-{hour:02}:{minute:02}:{second:02}"


@functools.cache
def _environment() -> jinja2.Environment:
    """Made once: to read and compile the template for every start would hold up the hub's loop."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701  (a shell script, not HTML; the filter `sh` quotes for the shell)
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["sh"] = shlex.quote
    return environment
