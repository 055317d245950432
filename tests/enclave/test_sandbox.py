"""What is inside the sandbox, read off its description and its command line."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from enclave.failure import SessionFailure
from enclave.gpus import GPU_DEVICE
from enclave.ground import Places
from enclave.messages import Reason
from enclave.sandbox import Sandbox, argv, describe, etc_files
from tests.enclave.samples import NODE, order

COMMAND = ("/opt/renkei/env/bin/python", "-m", "enclave.inside", "3")


def described(**changes):
    return describe(order(**changes), NODE, {"HOME": "/home/rs-tanaka"}, COMMAND)


def pairs(words: list[str], option: str) -> list[tuple[str, str]]:
    return [(words[i + 1], words[i + 2]) for i, word in enumerate(words) if word == option]


def test_nothing_is_shared_but_what_is_bound():
    words = argv(described(), 4)
    for wall in ("--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session"):
        assert wall in words
    assert not [word for word in words if word.startswith("--share")]
    assert words[words.index("--seccomp") + 1] == "4"
    assert words[-len(COMMAND) :] == list(COMMAND)


def test_the_binds_are_the_allow_list_and_no_bind_is_writable():
    words = argv(described(), 4)
    assert pairs(words, "--ro-bind") == [
        ("/usr", "/usr"),
        ("/etc/ld.so.cache", "/etc/ld.so.cache"),
        ("/etc/localtime", "/etc/localtime"),
        ("/tmp/etc/group", "/etc/group"),
        ("/tmp/etc/hosts", "/etc/hosts"),
        ("/tmp/etc/nsswitch.conf", "/etc/nsswitch.conf"),
        ("/tmp/etc/passwd", "/etc/passwd"),
        ("/opt/renkei", "/opt/renkei"),
        ("/opt/renkei/src/kernels", "/run/renkei/kernels"),
        ("/tmp/sockets/hub.sock", "/run/renkei/hub.sock"),
        ("/tmp/cloud", "/home/rs-tanaka/cloud"),
    ]
    assert not {"--bind", "--bind-try", "--dev-bind", "--dev-bind-try", "--overlay"} & set(words)


def test_the_root_is_made_read_only_after_everything_is_in_place():
    words = argv(described(), 4)
    last = max(i for i, word in enumerate(words) if word in {"--ro-bind", "--tmpfs", "--symlink", "--proc", "--dev"})
    assert last < words.index("--remount-ro")
    assert words[words.index("--remount-ro") + 1] == "/"


def test_memory_lies_over_every_place_that_programs_write_to():
    words = argv(described(), 4)
    memory = {words[i + 1] for i, word in enumerate(words) if word == "--tmpfs"}
    assert memory == {"/tmp", "/var/tmp", "/home", "/dev/shm", "/run"}


def test_bubblewrap_starts_without_the_capabilities_that_the_enclave_mounts_with():
    words = argv(described(), 4)
    assert words.index("--inh-caps=-all") < words.index("/usr/bin/bwrap")
    assert words.index("--ambient-caps=-all") < words.index("/usr/bin/bwrap")


def test_no_secret_and_no_variable_stands_in_the_command_line():
    assert not [word for word in argv(described(), 4) if "env" in word.split("-") and word.startswith("--set")]


def test_gpus_are_devices_and_the_bus_is_read_only():
    node = msgspec.structs.replace(NODE, gpu_devices=("/dev/nvidia1", "/dev/nvidiactl"))
    words = argv(describe(order(), node, {}, COMMAND), 4)
    assert pairs(words, "--dev-bind") == [("/dev/nvidia1", "/dev/nvidia1"), ("/dev/nvidiactl", "/dev/nvidiactl")]
    assert ("/sys", "/sys") in pairs(words, "--ro-bind")
    assert ("/sys", "/sys") not in pairs(argv(described(), 4), "--ro-bind")


@pytest.mark.parametrize("name", ["nvidia0", "nvidia15", "nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-caps"])
def test_what_a_gpu_device_is_called(name):
    assert GPU_DEVICE.match(name)


@pytest.mark.parametrize("name", ["nvidia", "nvidia0x", "sda", "fuse", "nvidia-modeset2", "xnvidia0"])
def test_what_no_gpu_device_is_called(name):
    assert not GPU_DEVICE.match(name)


@pytest.mark.parametrize(
    "path",
    ["/", "/home", "/run", "/run/munge", "/var/run/slurm", "/var", "/etc", "/dev/shm", "opt/x", "/opt/../x", "/opt/", "//opt", ""],
)
def test_an_order_can_not_open_the_walls(path):
    with pytest.raises(SessionFailure) as caught:
        described(software=("/opt/renkei", path))
    assert caught.value.reason is Reason.INTERNAL


def test_inside_exists_one_account():
    files = etc_files(NODE)
    assert files["passwd"] == "rs-tanaka:x:20101:20101::/home/rs-tanaka:/bin/bash\n"
    assert files["group"].count("\n") == 1
    assert set(files) == {"passwd", "group", "hosts", "nsswitch.conf"}


BY_ROOT = msgspec.structs.replace(NODE, places=Places(Path("/dev/shm/renkei-7-x")), mounted=True, user_namespace=False)
"""A node whose bubblewrap is setuid, where the cloud is mounted before the sandbox is made."""


def test_a_setuid_bubblewrap_makes_every_namespace_but_the_user_s():
    words = argv(describe(order(), BY_ROOT, {}, COMMAND), 4)
    made = {word for word in words if word.startswith("--unshare")}
    assert made == {"--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"}
    assert "--disable-userns" not in words
    assert {"--die-with-parent", "--new-session"} <= set(words)


def test_a_cloud_that_is_mounted_before_is_the_one_writable_bind():
    words = argv(describe(order(), BY_ROOT, {}, COMMAND), 4)
    assert pairs(words, "--bind") == [("/dev/shm/renkei-7-x/cloud", "/home/rs-tanaka/cloud")]
    read_only = [source for source, _ in pairs(words, "--ro-bind") if source.startswith("/dev/")]
    assert {source.removeprefix("/dev/shm/renkei-7-x/") for source in read_only} == {
        "etc/group", "etc/hosts", "etc/nsswitch.conf", "etc/passwd", "sockets/hub.sock",
    }  # fmt: skip


def test_a_description_is_a_value():
    assert described() == described()
    assert isinstance(described(), Sandbox)
    with pytest.raises(AttributeError):
        described().home = "/root"  # type: ignore[misc]
