"""The kernel's files as the checks read them, whatever stands in them."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave.ground import Places
from enclave.messages import Check
from enclave.preflight import look as node
from enclave.preflight.checks import judge
from enclave.preflight.facts import Inside, Mount, mounts, swaps
from enclave.preflight.look import read_report
from enclave.preflight.probe import look
from tests.enclave.samples import order

WORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="\\"), min_size=1, max_size=12)
NAMES = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=12)
HEADING = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"


def escaped(name: str) -> str:
    """As the kernel writes a name."""
    return "".join(f"\\{ord(each):03o}" if each in " \t\n\\" else each for each in name)


@given(point=NAMES, root=NAMES, kind=WORDS, writable=st.booleans(), optional=st.lists(WORDS.filter(lambda word: word != "-")))
def test_a_mount_is_read_whatever_it_is_called(point, root, kind, writable, optional):
    options = f"{'rw' if writable else 'ro'},noatime"
    words = ["36", "35", "98:0", escaped(root), escaped(point), options, *optional, "-", kind, "x", "rw"]

    assert mounts(" ".join(words)) == (Mount("98:0", root, point, writable, kind),)


@given(st.text())
def test_lines_that_are_no_mounts_break_nothing(text):
    assert isinstance(mounts(text), tuple)


@given(st.lists(NAMES.filter(lambda name: name.strip() == name)))
def test_swaps_are_read_whatever_they_are_called(names):
    lines = "".join(f"{escaped(name)}  file\t\t8\t\t0\t\t-2\n" for name in names)

    assert swaps(HEADING + lines) == tuple(names)


@given(st.text())
def test_rubbish_for_swaps_breaks_nothing(text):
    assert isinstance(swaps(text), tuple)


def test_this_process_sees_itself():
    seen = look(gpus=False)

    assert seen.namespaces["net"] == str(Path("/proc/self/ns/net").readlink())
    assert "lo" in seen.interfaces
    assert any(each.point == "/" for each in mounts(seen.mountinfo))
    assert seen.cuda is None


def told(*pieces: bytes) -> Inside | None:
    reading, writing = os.pipe()
    for piece in pieces:
        os.write(writing, piece)
    os.close(writing)
    return read_report(reading, 5)


def test_a_report_comes_through_in_pieces():
    seen = Inside(namespaces={}, interfaces=("lo",), mountinfo="", sockets=())
    raw = msgspec.json.encode(seen)

    assert told(raw[:10], raw[10:]) == seen


def test_what_is_no_report_is_none():
    assert told() is None
    assert told(b"{}") is None
    assert told(b"\xff") is None


def test_a_probe_that_never_ends_is_not_waited_for():
    reading, writing = os.pipe()

    assert read_report(reading, 0.05) is None
    os.close(writing)


@pytest.mark.parametrize(("pause_s", "limit", "fits"), [(0, 700, True), (0, 600, False), (1200, 700, False), (1200, 1300, True)])
def test_the_kernel_has_to_wait_for_as_long_as_the_session_does(tmp_path, monkeypatch, pause_s, limit, fits):
    """630 s where ssh alone waits; where the link does, its own time and a little more."""
    (tmp_path / "max_request_timeout").write_text(f"{limit}\n")
    monkeypatch.setattr(node, "_SETTINGS", tmp_path)
    places = Places(tmp_path)
    for folder in places.folders:
        folder.mkdir()
    reading, writing = os.pipe()
    os.close(writing)
    ground, box = SimpleNamespace(places=places, user_namespace=True), SimpleNamespace(memory=0, binds=())
    facts = node.look(order(pause_s=pause_s), ground, box, namespaces={}, reading=reading, complaint=lambda: "none was started")

    assert (Check.TIMEOUTS not in {each.check for each in judge(facts, ())}) is fits
