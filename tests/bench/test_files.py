"""The timed programs read and write what they say, and their digests tell a wrong byte."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path

import pytest

from bench import files
from testbed.host import STANDALONE


def said(*words: object) -> dict[str, object]:
    argv = [*STANDALONE, files.__file__, *map(str, words)]
    answer: dict[str, object] = json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)
    return answer


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(os.urandom(3 * 2**20 + 17))
    return path


@pytest.mark.parametrize("words", [(), (4, 1)], ids=["in order", "scattered"])
def test_a_file_is_read_as_it_is(large, words):
    answer = said("scattered" if words else "read", large, *words)

    assert answer["sha256"] == hashlib.sha256(large.read_bytes()).hexdigest()
    assert answer["size"] == large.stat().st_size


def test_an_order_of_reading_does_not_change_the_digest(tmp_path):
    for number in range(20):
        (tmp_path / f"{number:02}").write_bytes(os.urandom(100))
    wanted = files.digest(path.read_bytes() for path in sorted(tmp_path.iterdir())).hexdigest()

    assert {said("small", tmp_path, order, 3, 1)["sha256"] for order in ("listed", "shuffled")} == {wanted}


def test_what_is_written_is_there_and_is_new(tmp_path):
    answer = said("write", tmp_path / "fresh", 2, 1)

    assert answer["sha256"] == hashlib.sha256((tmp_path / "fresh").read_bytes()).hexdigest()
    assert said("write", tmp_path / "other", 2, 2)["sha256"] != answer["sha256"]
    with pytest.raises(subprocess.CalledProcessError):
        said("write", tmp_path / "fresh", 2, 1)
