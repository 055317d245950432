"""The job script for PJM: its options in the leading comments, no secret in them, no line too long, the same walls as Slurm's."""

import re
import subprocess

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclave.messages import Order, ProofKind, decode
from spawner.jobscript import render, resources
from spawner.schedulers.pjm import LINE_LIMIT
from spawner.site import Kind, PjmSite
from tests.spawner.test_jobscript import JOB, NODE
from tests.spawner.test_jobscript import ORDER as SLURM_ORDER

ORDER = msgspec.structs.replace(SLURM_ORDER, proof=ProofKind.TICKET, ticket="the-ticket-of-one-session")
PJM = msgspec.structs.replace(JOB, name="renkei-abcdefgh12345678", resources=("node=1", "gpu={gpus}", "jobenv=singularity"))


def script(order: Order = ORDER, **changes) -> str:
    return render(msgspec.structs.replace(PJM, **changes), order, NODE, Kind.PJM, PjmSite(output="/dev/null"))


def directives(text: str) -> list[str]:
    """The options that PJM reads: up to the first line that is no comment."""
    lines = text.splitlines()
    end = next(number for number, line in enumerate(lines) if line and not line.startswith("#"))
    return [line.removeprefix("#PJM ") for line in lines[:end] if line.startswith("#PJM ")]


def test_it_asks_for_what_the_job_asks_for():
    assert directives(script()) == [
        "-N rabcdefgh12345678",
        "-L rscgrp=ct-link,elapse=2:00:00,node=1,gpu=2,jobenv=singularity",
        "--norestart",
        "-j",
        "-o /dev/null",
    ]


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        ({"gpus": 0}, "rscgrp=ct-link,elapse=2:00:00,node=1,jobenv=singularity"),
        ({"resources": ("vnode=1", "vnode-core={cpus}", "vnode-mem={memory_mb}Mi")},
         "rscgrp=ct-link,elapse=2:00:00,vnode=1,vnode-core=8,vnode-mem=4096Mi"),
        ({"resources": ("vnode-mem={memory_mb}Mi",), "memory_mb": 0}, "rscgrp=ct-link,elapse=2:00:00"),
        ({"resources": (), "seconds": 336 * 3600 + 61}, "rscgrp=ct-link,elapse=336:01:01"),
    ],
)  # fmt: skip
def test_the_site_says_how_its_resources_are_called(changes, asked):
    assert resources(msgspec.structs.replace(PJM, **changes)) == asked


def test_no_option_holds_the_ticket_and_the_environment_none_of_the_order():
    text = script()
    assert not any(ORDER.ticket in line for line in text.splitlines() if line.startswith("#"))
    assert "export" not in text
    assert text.count(ORDER.ticket) == 1


@settings(max_examples=30)
@given(st.text(max_size=6000), st.lists(st.text(min_size=1, max_size=300), max_size=8))
def test_the_shell_gives_the_order_to_the_enclave_as_it_is(ca, software):
    order = msgspec.structs.replace(ORDER, callback_ca=ca, software=tuple(software))
    text = script(order)
    assert max(len(line.encode()) for line in text.splitlines()) < LINE_LIMIT

    harmless = re.sub(r'^"\$\{in_namespaces\[@\]\}" /usr/bin/true.*$', "", text, flags=re.MULTILINE)
    harmless = re.sub(r"^exec .*?<<<", "exec /usr/bin/cat <<<", harmless, flags=re.MULTILINE | re.DOTALL)
    answer = subprocess.run(["/bin/bash", "-c", harmless], capture_output=True, check=True, cwd="/", env={})

    assert decode(answer.stdout, Order) == order


def test_both_batch_systems_build_the_same_walls():
    walls = re.compile(r"^ulimit .*?exit 71$", re.MULTILINE | re.DOTALL)
    slurm = render(JOB, SLURM_ORDER, NODE)

    assert walls.search(script())[0] == walls.search(slurm)[0]
    assert ("trap '' TERM\n" in slurm, "trap '' TERM XCPU\n" in script()) == (True, True)
