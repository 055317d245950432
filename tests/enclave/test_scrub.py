"""The scrub's logic, on stand-ins for devices. That a real device's memory is overwritten is for tests/gpu to show."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave import scrub as module
from enclave.messages import Scrub
from enclave.residue.gpu import parse, worst
from enclave.scrub import GRAIN, SPARE, DriverError, OutOfMemoryError, overwrite, scrub


class Device:
    """Free memory in pieces that do not hang together; `kept` bytes are never given out."""

    def __init__(self, pieces, kept: int = 0) -> None:
        self.pieces = list(pieces)
        self.kept = kept
        self.filled: list[int] = []
        self.broken = ""

    def free(self) -> int:
        return sum(self.pieces) + self.kept

    def allocate(self, size: int) -> int:
        for number, piece in enumerate(self.pieces):
            if piece >= size:
                self.pieces[number] -= size
                return size
        raise OutOfMemoryError("cuMemAlloc_v2: out of memory")

    def fill(self, address: int, size: int) -> None:
        if self.broken:
            raise DriverError(self.broken)
        assert address == size
        self.filled.append(size)


class Machine:
    """Devices, and which of them the calling thread works on."""

    def __init__(self, *devices: Device) -> None:
        import threading

        self.devices = devices
        self.here = threading.local()
        self.left: list[object] = []

    def count(self) -> int:
        return len(self.devices)

    def enter(self, device: int) -> object:
        self.here.device = self.devices[device]
        return device

    def leave(self, context: object) -> None:
        self.left.append(context)

    def free(self) -> int:
        return self.here.device.free()

    def allocate(self, size: int) -> int:
        return self.here.device.allocate(size)

    def fill(self, address: int, size: int) -> None:
        self.here.device.fill(address, size)


@given(st.lists(st.integers(0, 40).map(lambda pages: pages * GRAIN), max_size=6))
def test_whatever_the_pieces_all_of_them_are_overwritten_once(pieces):
    device = Device(pieces)
    assert overwrite(device) == sum(pieces) == sum(device.filled)


def test_every_device_is_done_and_left():
    machine = Machine(Device([10 * GRAIN, 3 * GRAIN]), Device([GRAIN]))
    outcomes = scrub(machine)
    assert [(each.device, each.outcome, each.overwritten) for each in outcomes] == [(0, "done", 13 * GRAIN), (1, "done", GRAIN)]
    assert sorted(machine.left) == [0, 1]


def test_memory_that_is_free_and_not_given_out_is_a_failure():
    (outcome,) = scrub(Machine(Device([4 * GRAIN], kept=SPARE + 1)))
    assert (outcome.outcome, outcome.overwritten) == ("failed", 4 * GRAIN)
    assert outcome.detail == f"{SPARE + 1} bytes stayed free"


def test_one_device_that_fails_does_not_keep_the_other_from_its_scrub():
    bad, good = Device([GRAIN]), Device([GRAIN])
    bad.broken = "cuCtxSynchronize: CUDA error 700"
    machine = Machine(bad, good)
    assert [(each.outcome, each.detail) for each in scrub(machine)] == [("failed", bad.broken), ("done", "")]
    assert sorted(machine.left) == [0, 1]


def test_no_device_is_a_failure():
    assert [each.outcome for each in scrub(Machine())] == ["failed"]


def test_without_a_driver_the_program_says_so(monkeypatch, capsys):
    monkeypatch.setattr(module.Cuda.__init__, "__defaults__", ("libcuda-that-is-not-there.so",))
    assert module.main([]) == 1
    (outcome,) = parse(capsys.readouterr().out.splitlines())
    assert outcome.outcome is Scrub.FAILED
    assert outcome.detail.startswith("no driver: ")


def test_the_program_needs_nothing_but_the_standard_library():
    answer = subprocess.run(
        ["/usr/bin/python3", "-I", "-S", module.__file__, "x"], capture_output=True, text=True, check=False, cwd="/"
    )
    assert (answer.returncode, answer.stderr) == (2, "usage: python -m enclave.scrub\n")
    assert sys.executable


@pytest.mark.parametrize(
    ("lines", "outcome"),
    [
        ([], Scrub.FAILED),
        (["bwrap: something"], Scrub.FAILED),
        ([json.dumps({"device": 0, "outcome": "done", "free": 5, "overwritten": 5, "detail": ""})], Scrub.DONE),
        ([json.dumps({"device": n, "outcome": o}) for n, o in ((0, "done"), (1, "failed"))], Scrub.FAILED),
    ],
)
def test_one_word_for_all_devices(lines, outcome):
    assert worst(parse(lines)) is outcome


@given(st.lists(st.text()))
def test_what_the_program_printed_may_be_anything(lines):
    assert worst(parse(lines)) is Scrub.FAILED
