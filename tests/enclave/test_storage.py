"""What people are told of the storage: out of a file of the link's, whatever has become of it."""

from __future__ import annotations

import json
import os
import stat
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave.ground import Places
from enclave.storage import LIMIT, UNKNOWN, Storage, Told, clock, parse, read, size, tell
from enclave.wording import StorageWords
from spawner.timing import storage_words
from testbed.nearby import link_command, nearby

WORDS = StorageWords()
STATE = {
    "version": 1, "line": "up", "paused_since": None, "read": 1_234_567_890, "written": 40_000_000, "read_rate": 85_000_000,
    "write_rate": 0, "cuts": 0, "unwritten": 0, "waiting": 0, "files": 1, "ahead": 0, "round_trip": 0.008, "connections": 1,
}  # fmt: skip


def told(now: float = 1000.0, **changes: object) -> Told:
    return tell(parse(json.dumps(STATE | changes).encode()), WORDS, now)


def test_bytes_and_rates_stand_there_quietly():
    assert told() == Told(line="up", text="Storage: 1.2 GB read, 85 MB/s; 40 MB written, 0 B/s")
    assert told(line="connecting") == Told(line="connecting")


def test_during_a_cut_people_read_for_how_long_and_that_their_work_is_kept():
    found = told(line="paused", paused_since=870.0, cuts=3)
    assert found == Told(line="paused", warning="Storage paused 2:10, your work is kept.", step="paused-3")


def test_after_the_budget_they_read_what_happened_and_what_to_do():
    found = told(5400.0 + 1000.0, line="given-up", paused_since=1000.0, cuts=3)
    assert found.warning.startswith("The storage has been away for 1:30:00: what waited for it got an error.")
    assert found.step == "given-up-3", "said aloud once more"


def test_they_read_it_in_their_language():
    found = tell(parse(json.dumps(STATE | {"line": "paused", "paused_since": 870.0}).encode()), storage_words("ja"), 1000.0)
    assert found.warning == "ストレージが一時停止しています（2:10 経過）。作業内容は保持されています。"
    assert tell(None, storage_words("ja"), 0.0).text == "現在、ストレージの状態を確認できません。"


@pytest.mark.parametrize(
    "text",
    [
        b"", b"{", b"null", b"[]", b'{"version": 1}', json.dumps(STATE).encode()[:-1], json.dumps(STATE | {"version": 2}).encode(),
        json.dumps(STATE | {"line": "fine"}).encode(), json.dumps(STATE | {"read": -1}).encode(), b"\xff\xfe", b"[" * 4000,
        json.dumps(STATE | {"paused_since": 1e300}).encode(), json.dumps(STATE | {"read": 10**400}).encode(),
        json.dumps(STATE | {"more": "x" * LIMIT}).encode(),
    ],
)  # fmt: skip
def test_what_is_no_whole_state_is_unknown(text):
    assert tell(parse(text), WORDS, 0.0) == Told(line=UNKNOWN, text=WORDS.unknown)


def test_what_is_no_file_is_unknown_and_holds_up_nobody(tmp_path):
    pipe, folder, link, real = (tmp_path / name for name in ("pipe", "folder", "link", "real"))
    os.mkfifo(pipe)
    folder.mkdir()
    real.write_text(json.dumps(STATE))
    link.symlink_to(real)

    assert [read(each) for each in (pipe, folder, link, tmp_path / "missing")] == [None] * 4
    assert read(real) is not None


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.integers() | st.floats() | st.text(), st.lists).map(json.dumps).map(str.encode)
)
def test_nothing_in_it_is_an_error(text):
    assert tell(parse(text), WORDS, 0.0).line == UNKNOWN


@given(
    st.sampled_from(("connecting", "up", "paused", "given-up")), st.none() | st.floats(0, 1e11), st.integers(0, 2**62),
    st.floats(0, 1e11),
)  # fmt: skip
def test_every_whole_state_is_a_sentence_without_a_gap(line, since, count, now):
    found = told(now, line=line, paused_since=since, read=count, write_rate=count)
    assert "{" not in found.text + found.warning
    assert bool(found.warning) == bool(found.step)


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (9_960, "10 kB"),
        (999_700, "1.0 MB"),
        (52_000_000, "52 MB"),
        (2**62, "4611686 TB"),
    ],
)
def test_sizes(count, said):
    assert size(count) == said


@pytest.mark.parametrize(("seconds", "said"), [(-5, "0:00"), (9.9, "0:09"), (130, "2:10"), (3600, "1:00:00"), (36_061, "10:01:01")])
def test_times(seconds, said):
    assert clock(seconds) == said


def test_a_real_link_says_when_it_is_paused_and_nobody_else_may_read_it(tmp_path):
    places = Places(tmp_path)
    places.link.mkdir()
    storage = Storage(places.state, WORDS)
    assert storage.told().line == UNKNOWN

    with nearby() as near, near.mount(f"{link_command()} --state={places.state} -- ssh") as mount:
        (mount.place / "file").write_bytes(b"x" * 100_000)
        wait_for(storage, "up")
        mode = stat.S_IMODE(places.state.stat().st_mode)
        near.line.order("refuse")
        near.line.order("reset")
        paused = wait_for(storage, "paused")
        near.line.order("calm")
        wait_for(storage, "up")

    assert mode == 0o600
    assert paused.startswith("Storage paused 0:0")


def wait_for(storage: Storage, line: str) -> str:
    """What is shown when it is `line`; up: and all was written, by what the link says twice a second."""
    end = time.monotonic() + 20
    while (found := storage.told()).line != line or (line == "up" and "; 100 kB written, " not in found.text):
        assert time.monotonic() < end, found
        time.sleep(0.05)
    return found.warning or found.text
