"""How the outage's figure is made: whoever errs, reads wrong bytes, gets stuck or leaves a wrong file is counted."""

from __future__ import annotations

import hashlib
import io
import threading
from collections import Counter

import pytest

from bench import steady
from bench.steady import Reader, Replacer, Writer
from bench.workers import Done, Worker


class Ended:
    """A process that has said its lines and gone."""

    def __init__(self, *lines: str) -> None:
        self.stdout, self.stdin, self.returncode = io.BytesIO("".join(f"{line}\n" for line in lines).encode()), None, 0

    def wait(self, _: float) -> int:
        return self.returncode


def heard(*lines: str, file=None) -> Worker:
    worker = Worker("writer", Ended(*lines), file)
    assert worker.end(1)
    return worker


def test_a_worker_has_gone_on_when_something_succeeded_after_the_fault():
    worker = heard("ok 1.0 1.5", "EIO 1.5 9.0", "ok 9.0 9.5", "ok 9.5 9.6", "left abc")

    assert worker.done[1] == Done("EIO", 1.5, 9.0)
    assert (worker.resumed(2.0), worker.resumed(9.6), worker.left) == (9.5, None, "abc")


def test_a_file_that_is_another_than_was_written_is_wrong(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    digest = hashlib.sha256(b"x").hexdigest()

    assert heard(f"left {digest}", file=tmp_path / "file").right()
    assert not heard("left 00", file=tmp_path / "file").right()
    assert not heard("left EIO", file=tmp_path / "file").right()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(steady.whole({}))
    return path


@pytest.mark.parametrize("kind", [Reader, Writer, Replacer])
def test_on_a_good_file_everything_is_right_and_what_is_left_is_there(file, kind):
    said: list[str] = []
    ended = threading.Event()

    def say(line: str) -> None:
        said.append(line)
        if len(said) == 40:
            ended.set()

    steady.steady(kind(str(file)), ended, say)

    assert Counter(line.split(maxsplit=1)[0] for line in said) == {"ok": 40, "left": 1}
    if kind is not Reader:
        assert said[-1].split()[1] == hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_wrong_byte_is_seen(file):
    reader = Reader(str(file))
    content = bytearray(file.read_bytes())
    file.write_bytes(bytes(byte ^ 1 for byte in content))

    assert not reader.once()
