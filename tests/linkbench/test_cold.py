"""Files that are dropped from the page cache, and what the machine says of itself."""

from __future__ import annotations

import mmap
from pathlib import Path

import pytest

from linkbench import cold
from linkbench.machine import file_system

MOUNTS = r"""22 1 8:1 / / rw - ext4 /dev/sda1 rw
30 22 0:50 / /cloud rw - fuse.sshfs destination rw
31 22 0:51 / /cloud/with\040space rw - nfs4 server:/x rw
32 22 0:52 / /twice rw - ext4 a rw
33 22 0:53 / /twice rw - tmpfs b rw
no line at all
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [("/home", "ext4"), ("/cloud/x", "fuse.sshfs"), ("/cloudy", "ext4"), ("/cloud/with space/y", "nfs4"), ("/twice", "tmpfs")],
)
def test_the_kind_of_file_system_is_that_of_the_nearest_mount(folder, kind):
    assert file_system(MOUNTS, Path(folder)) == kind


def test_nothing_known_is_nothing_said():
    assert file_system("", Path("/")) == ""


def test_what_is_written_is_dropped_where_it_can_be(tmp_path):
    data = bytes(range(256)) * 400
    left = cold.write_all((tmp_path / "some" / f"{number}", data) for number in range(5))
    assert [each.read_bytes() for each in sorted((tmp_path / "some").iterdir())] == [data] * 5
    assert left.all == 5 * -(-len(data) // mmap.PAGESIZE)
    in_memory = file_system(Path("/proc/self/mountinfo").read_text(), tmp_path.resolve()) in ("tmpfs", "ramfs")
    assert left.share == (1.0 if in_memory else 0.0)
    # They were read just now.
    assert cold.drop(tmp_path).resident == (left.all if in_memory else 0)


def test_an_empty_file_has_no_pages(tmp_path):
    assert cold.write(tmp_path / "empty", b"").share is None


def test_a_file_that_is_there_is_not_written_over(tmp_path):
    (tmp_path / "mine").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        cold.write(tmp_path / "mine", b"other")
    assert (tmp_path / "mine").read_bytes() == b"mine"
