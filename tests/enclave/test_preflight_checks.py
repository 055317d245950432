"""Facts in, findings out: what each check lets pass, and what it does not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave.messages import Check, FindingLevel
from enclave.preflight.checks import CHECKS, judge, runs
from enclave.preflight.facts import Expected, Facts, Inside, Told
from enclave.preflight.remedies import REMEDIES

NO_SWAP = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority"
NAMESPACES = {kind: f"{kind}:[1]" for kind in ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")}
SEEN = """\
100 99 0:50 / / ro,nosuid - tmpfs tmpfs ro,mode=755
101 100 0:51 / /proc rw,nosuid - proc proc rw
102 100 0:52 / /dev rw,nosuid - tmpfs tmpfs rw,mode=755
103 102 0:6 /null /dev/null rw,nosuid - devtmpfs udev rw
104 102 0:53 / /dev/pts rw,nosuid - devpts devpts rw
105 100 0:54 / /tmp rw,nosuid - tmpfs tmpfs rw
106 100 8:1 /usr /usr ro,nosuid - ext4 /dev/sda1 rw
"""
INSIDE = Inside(
    namespaces={kind: f"{kind}:[2]" for kind in NAMESPACES},
    interfaces=("lo",),
    mountinfo=SEEN,
    sockets=("/run/renkei/hub.sock",),
)
FIT = Facts(
    gpus=0,
    patience=630,
    fuse="",
    sshfs=Told(1, "read: Connection reset by peer\n"),
    ssh=Told(0, "user nobody\n"),
    certificates=Told(0, "ssh-ed25519-cert-v01@openssh.com\n"),
    swaps=NO_SWAP,
    swap_limit="",
    core_pattern="core",
    core_limit=0,
    exception_trace="0",
    timeouts={"default_request_timeout": "0", "max_request_timeout": "0"},
    namespaces=NAMESPACES,
    mountinfo="20 1 8:1 / / rw - ext4 /dev/sda1 rw\n21 20 0:30 / /dev/shm rw - tmpfs tmpfs rw\n",
    inside=INSIDE,
    expected=Expected(memory=("/tmp", "/dev/shm"), devices=("/dev/nvidia0",), sockets=("/run/renkei/hub.sock",)),
)


def found(facts: Facts = FIT, *lowered: Check, **changes: Any) -> dict[Check, str]:
    """Check to detail of each finding about `FIT`, but for `changes`."""
    return {each.check: each.detail for each in judge(msgspec.structs.replace(facts, **changes), lowered)}


def inside(**changes: Any) -> Inside:
    return msgspec.structs.replace(INSIDE, **changes)


def test_a_node_as_it_should_be_has_no_finding():
    assert found() == {}


def test_every_check_has_a_remedy_and_a_function_where_there_are_facts():
    assert set(REMEDIES) == set(Check)
    assert set(Check) - set(CHECKS) == {Check.NAMESPACES, Check.MECHANISM}


FAILING = [
    (Check.FUSE, {"fuse": "Permission denied"}, "/dev/fuse: Permission denied"),
    (Check.SSHFS, {"sshfs": Told(1, "fuse: unknown option(s): `-o contain_symlinks'\n")}, "contain_symlinks"),
    (Check.SSHFS, {"sshfs": Told(127, "/usr/bin/env: '/usr/bin/sshfs': No such file\n")}, "No such file"),
    (Check.SSHFS, {"sshfs": Told(0, "")}, "ended with 0"),
    (Check.SSH, {"ssh": Told(255, "line 17: Bad SSH2 cipher spec 'aes128-gcm@openssh.com'")}, "Bad SSH2 cipher"),
    (Check.SSH, {"certificates": Told(0, "ssh-rsa-cert-v01@openssh.com\n")}, "ssh-rsa-cert-v01"),
    (Check.TIMEOUTS, {"timeouts": {"max_request_timeout": "600"}}, "max_request_timeout is '600', needed: 0, or more than 630"),
    (Check.TIMEOUTS, {"timeouts": {"default_request_timeout": ""}}, "default_request_timeout"),
    (Check.SWAP, {"swaps": f"{NO_SWAP}\n/dev/dm-1   partition\t8388604\t0\t-2"}, "/dev/dm-1"),
    (Check.SWAP, {"swaps": ""}, "can't be read"),
    (Check.CORES, {"core_pattern": "|/usr/lib/systemd/systemd-coredump %P"}, "systemd-coredump"),
    (Check.CORES, {"core_pattern": "@/run/coredump.socket"}, "coredump.socket"),
    (Check.CORES, {"core_pattern": "/var/crash/core.%p", "core_limit": -1}, "/var/crash"),
    (Check.CORES, {"core_pattern": None}, "can't be read"),
    (Check.CRASHES, {"exception_trace": "1"}, "debug.exception-trace is 1"),
    (Check.CRASHES, {"exception_trace": None}, "can't be read"),
    (Check.SANDBOX, {"inside": None, "sandbox": "bwrap: No permissions to create new namespace"}, "No permissions"),
    (Check.SANDBOX, {"inside": None}, "nothing came out"),
    (Check.WALLS, {"inside": inside(interfaces=("lo", "eth0"))}, "interface eth0"),
    (Check.WALLS, {"inside": inside(namespaces={**INSIDE.namespaces, "net": "net:[1]"})}, "the net namespace is the node's"),
    (Check.WALLS, {"inside": inside(namespaces={})}, "the pid namespace is the node's"),
    (Check.WALLS, {"inside": inside(mountinfo=f"{SEEN}9 1 8:1 /home /home rw - ext4 /dev/sda1 rw\n")}, "writable: /home (ext4)"),
    (Check.WALLS, {"inside": inside(mountinfo=f"{SEEN}9 1 0:30 / /dev/shm rw - tmpfs tmpfs rw\n")}, "writable: /dev/shm"),
    (Check.WALLS, {"inside": inside(mountinfo=f"{SEEN}9 1 8:1 /x /dev/null rw - ext4 /dev/sda1 rw\n")}, "writable: /dev/null"),
    (Check.WALLS, {"inside": inside(mountinfo=f"{SEEN}9 1 0:6 /sda /dev/sda rw - devtmpfs udev rw\n")}, "writable: /dev/sda"),
    (Check.WALLS, {"inside": inside(mountinfo="")}, "can't be read"),
    (Check.WALLS, {"inside": inside(sockets=("/run/munge/munge.socket.2",))}, "socket /run/munge/munge.socket.2"),
    (Check.WALLS, {"inside": inside(vsock=True)}, "AF_VSOCK"),
    (Check.GPU, {"gpus": 1, "inside": inside(cuda="cuInit answers 100 (CUDA_ERROR_NO_DEVICE)")}, "cuInit answers 100"),
    (Check.GPU, {"gpus": 2, "inside": inside(cuda="", capabilities=((9, 0),))}, "2 GPUs were asked for, 1 open"),
    (Check.GPU, {"gpus": 1, "inside": inside(cuda="", capabilities=((9, 0), (9, 0)))}, "1 GPUs were asked for, 2 open"),
    (Check.GPU, {"gpus": 1}, "CUDA was not asked"),
    (
        Check.TORCH,
        {"gpus": 1, "inside": inside(cuda="", capabilities=((7, 0),), architectures=("sm_75", "sm_90", "compute_90"))},
        "torch is built for sm_75 sm_90 compute_90, not for 7.0",
    ),
    (Check.TORCH, {"gpus": 1, "inside": inside(cuda="", capabilities=((9, 0),), architectures=())}, "built for no GPU"),
]


@pytest.mark.parametrize(("check", "changes", "said"), FAILING, ids=[f"{each[0]}-{each[2][:25]}" for each in FAILING])
def test_what_is_wrong_is_found_and_nothing_else(check, changes, said):
    findings = found(**changes)

    assert set(findings) == {check}
    assert said in findings[check]


PASSING = [
    {"timeouts": {}},
    {"timeouts": {"default_request_timeout": "900", "max_request_timeout": "0"}},
    {"swaps": f"{NO_SWAP}\n/swapfile file 1 0 -2", "swap_limit": "0"},
    {"core_pattern": "/var/crash/core.%p"},
    {"sshfs": Told(1, "write: Broken pipe\n")},
    {"sshfs": Told(1, "remote host has disconnected\n")},
    {"inside": inside(mountinfo=f"{SEEN}9 1 0:6 /nvidia0 /dev/nvidia0 rw - devtmpfs udev rw\n")},
    {"inside": inside(mountinfo=f"{SEEN}9 1 8:1 /srv /srv rw - ext4 /dev/sda1 ro\n")},
    {"gpus": 1, "inside": inside(cuda="", capabilities=((9, 0),), architectures=("sm_90",))},
    {"gpus": 1, "inside": inside(cuda="", capabilities=((9, 0),))},
]


@pytest.mark.parametrize("changes", PASSING)
def test_what_is_as_good_passes(changes):
    assert found(**changes) == {}


def test_without_fuse_sshfs_is_not_accused():
    assert set(found(fuse="No such file or directory", sshfs=Told(1, "fuse: device not found"))) == {Check.FUSE}


@given(st.sets(st.sampled_from(Check)))
def test_a_finding_refuses_unless_its_check_is_lowered(lowered):
    everything = msgspec.structs.replace(FIT, swaps="", core_pattern="|x", timeouts={"max_request_timeout": "1"})

    levels = {each.check: each.level for each in judge(everything, lowered)}

    assert levels == {
        check: FindingLevel.BANNER if check in lowered else FindingLevel.REFUSE
        for check in (Check.TIMEOUTS, Check.SWAP, Check.CORES)
    }


@pytest.mark.parametrize(
    ("capability", "built", "expected"),
    [
        ((7, 0), ["sm_70"], True),
        ((8, 6), ["sm_80"], True),
        ((8, 0), ["sm_86"], False),
        ((9, 0), ["sm_80", "sm_86"], False),
        ((9, 0), ["sm_80", "compute_80"], True),
        ((7, 0), ["compute_75"], False),
        ((10, 0), ["sm_100"], True),
        ((12, 0), ["sm_90a", "nonsense", ""], False),
    ],
)
def test_which_code_runs_on_which_gpu(capability, built, expected):
    assert runs(capability, built) is expected


def test_a_detail_fits_into_its_message():
    (finding,) = judge(msgspec.structs.replace(FIT, core_pattern="|" + "x" * 100_000), ())

    assert len(finding.detail) == 2000
