"""The job script: quoted words, no secret, and an order that its reader understands."""

import json
import re
import subprocess
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave.messages import Mechanism, Order, ProofKind, decode
from spawner import site
from spawner.jobscript import duration, render
from spawner.schedulers.base import Job

NODE = site.load(Path(__file__).parents[2] / "sites" / "demo.toml").node
JOB = Job(name="renkei-abc", partition="ct-link", gres="gpu", gpus=2, cpus=8, memory_mb=4096, seconds=7200, exclusive=False)
ORDER = Order(
    session="abcdefgh12345678",
    callback_url="https://10.77.1.10:8443",
    callback_ca="-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    proof=ProofKind.MUNGE,
    software=("/opt/renkei",),
)


def directives(script: str) -> set[str]:
    return {line.removeprefix("#SBATCH ") for line in script.splitlines() if line.startswith("#SBATCH ")}


def test_it_asks_for_what_the_job_asks_for():
    asked = directives(render(JOB, ORDER, NODE))

    assert asked >= {
        "--job-name=renkei-abc", "--partition=ct-link", "--gres=gpu:2", "--cpus-per-task=8", "--mem=4096", "--time=0-02:00:00",
        "--output=/dev/null", "--error=/dev/null", "--no-requeue", "--nodes=1",
    }  # fmt: skip
    assert "--exclusive" not in asked
    assert not any("get-user-env" in each for each in asked)


def test_it_asks_for_nothing_that_the_job_does_not():
    plain = msgspec.structs.replace(JOB, gpus=0, memory_mb=0, exclusive=True)
    asked = directives(render(plain, ORDER, NODE))

    assert "--exclusive" in asked
    assert not any(each.startswith(("--gres", "--mem")) for each in asked)


def test_the_shell_gives_the_order_to_the_enclave_as_it_is():
    script = render(JOB, ORDER, NODE)
    # Everything but the namespaces and the enclave itself, which need a node.
    harmless = re.sub(r'^"\$\{in_namespaces\[@\]\}" /usr/bin/true.*$', "", script, flags=re.MULTILINE)
    harmless = re.sub(r'^hold /.*?<<', "exec /usr/bin/cat <<", harmless, flags=re.MULTILINE | re.DOTALL)

    answer = subprocess.run(["/bin/bash", "-c", harmless], capture_output=True, text=True, check=True, cwd="/", env={})

    assert decode(answer.stdout, Order) == ORDER


def test_without_namespaces_the_enclave_is_the_job_s_own_process():
    order = msgspec.structs.replace(ORDER, mechanism=Mechanism.FUSERMOUNT)
    script = render(JOB, order, NODE)
    assert "unshare" not in script
    assert "in_namespaces=()\n" in script
    assert decode(script.splitlines()[-2], Order) == order


@given(st.text(max_size=300))
def test_no_text_of_an_order_leaves_the_here_document(text):
    order = msgspec.structs.replace(ORDER, callback_ca=text.encode(errors="replace").decode(), ticket="\nORDER\nid\n")

    *_, line, end, nothing = render(JOB, order, NODE).split("\n")  # as the shell splits: at nothing else

    assert (end, nothing) == ("ORDER", "")
    assert decode(line, Order) == order


def test_words_are_quoted():
    node = msgspec.structs.replace(NODE, python="/opt/a b/$(id)/python", source="/x; id")

    script = render(msgspec.structs.replace(JOB, partition="a b"), ORDER, node)

    assert "'/opt/a b/$(id)/python' -m enclave run" in script
    assert "PYTHONPATH='/x; id' " in script
    assert "--partition='a b'" in script


def test_without_a_checkout_there_is_no_python_path():
    assert "PYTHONPATH" not in render(JOB, ORDER, msgspec.structs.replace(NODE, source=None))


@pytest.mark.parametrize(("seconds", "text"), [(60, "0-00:01:00"), (90_061, "1-01:01:01"), (2_592_000, "30-00:00:00")])
def test_slurms_way_to_write_a_time(seconds, text):
    assert duration(seconds) == text


def test_the_order_holds_no_secret():
    order = json.loads(render(JOB, ORDER, NODE).splitlines()[-2])

    assert order["ticket"] == ""
    assert not {"key", "token", "user", "account"} & set(order)
