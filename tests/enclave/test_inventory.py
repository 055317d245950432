"""What the enclave sees of its account on the node: by numbers, never by name, and nothing of the job's own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave.messages import Trace
from enclave.residue.inventory import Place, compare, files, ipc, mounts, parse_ipc, parse_process, processes, strays
from enclave.residue.node import local_folders, parse_mounts
from enclave.residue.traffic import Meter, parse_tcp_info

UID = os.getuid()
NODE_MOUNTS = """\
22 1 0:20 / / rw,relatime - overlay overlay rw,lowerdir=/
23 22 0:21 / /proc rw - proc proc rw
24 22 0:22 / /dev rw - devtmpfs dev rw
25 24 0:23 / /dev/shm rw - tmpfs tmpfs rw
26 24 0:24 / /dev/mqueue rw - mqueue mqueue rw
27 22 0:25 / /tmp rw - tmpfs tmpfs rw
28 22 0:26 / /home rw - nfs4 server:/home rw
29 22 8:1 / /local\\040scratch rw - xfs /dev/sda1 rw
30 22 8:2 / /opt ro - ext4 /dev/sda2 rw
31 22 0:27 / /run/x rw - tmpfs tmpfs rw
32 22 0:28 / /mnt/cloud rw - fuse.sshfs destination: rw,user_id=20101,group_id=20101
"""


def opened(folder):
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY)


def listed(folder):
    return files(opened(folder), UID, time.monotonic() + 10)


def difference(before, after):
    (look,) = compare([Place(Trace.FILES, "/x", before)], [Place(Trace.FILES, "/x", after)])
    return look


def test_a_file_that_came_a_file_that_changed_and_nothing_else_is_left(tmp_path):
    (tmp_path / "old").write_text("as it was")
    (tmp_path / "changed").write_text("short")
    before = listed(tmp_path)
    (tmp_path / "new folder").mkdir()
    (tmp_path / "new folder" / "new").write_bytes(b"x" * 1000)
    (tmp_path / "changed").write_text("a little longer")
    look = difference(before, listed(tmp_path))
    assert (look.seen, look.before, look.left) == (True, 2, 3)
    assert look.size >= 1015


def bury(folder, depth):
    """A folder in a folder, and so on: `depth` of them, which no path could name."""
    here = opened(folder)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


def test_folders_too_deep_to_follow_are_not_seen_and_stop_nothing(tmp_path):
    bury(tmp_path, 1200)
    try:
        assert listed(tmp_path) is None
        assert not difference({}, listed(tmp_path)).seen
    finally:
        subprocess.run(["/usr/bin/rm", "-rf", str(tmp_path / "d")], check=True)


def test_a_file_that_another_file_system_hides_is_still_seen(tmp_path):
    folder = opened(tmp_path)
    (tmp_path / "under").touch()
    subprocess.run(["/usr/bin/mount", "-t", "tmpfs", "none", tmp_path], check=True)
    try:
        assert list(tmp_path.iterdir()) == []
        assert len(files(folder, UID, time.monotonic() + 10)) == 1
    finally:
        subprocess.run(["/usr/bin/umount", tmp_path], check=True)


def test_links_are_not_followed_and_other_peoples_files_do_not_count(tmp_path):
    (tmp_path / "link").symlink_to("/usr")
    (tmp_path / "others").touch()
    os.chown(tmp_path / "others", 65534, 65534)
    assert len(listed(tmp_path)) == 1


@pytest.mark.parametrize(("mode", "seen"), [(0o755, True), (0o700, True), (0o733, False), (0o711, False)])
def test_a_folder_of_others_that_hides_what_is_put_there_was_not_looked_at(tmp_path, mode, seen):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs").chmod(mode)
    tmp_path.chmod(0o755)
    folder, alone = opened(tmp_path), os.fork()
    if not alone:
        os.setresuid(65534, 65534, 65534)
        os._exit(files(folder, 65534, time.monotonic() + 10) is None)
    assert (os.waitstatus_to_exitcode(os.waitpid(alone, 0)[1]) == 0) is seen


def test_a_walk_that_takes_too_long_says_nothing(tmp_path):
    (tmp_path / "file").touch()
    assert files(opened(tmp_path), UID, time.monotonic() - 1) is None


@pytest.mark.parametrize("before", [None, {}])
@pytest.mark.parametrize("after", [None, {}])
def test_what_was_not_seen_both_times_was_not_seen(before, after):
    assert difference(before, after).seen is (before is not None and after is not None)


def test_a_place_of_the_end_that_the_beginning_did_not_know_was_not_seen():
    (look,) = compare([], [Place(Trace.IPC, "", {})])
    assert not look.seen


@given(st.dictionaries(st.tuples(st.integers(0, 9), st.integers(0, 9)), st.integers(0, 99)), st.data())
def test_left_is_what_came_and_only_that(before, data):
    after = data.draw(st.dictionaries(st.tuples(st.integers(0, 9), st.integers(0, 9)), st.integers(0, 99)))
    look = difference(before, after)
    assert look.left == len(set(after) - set(before))
    assert look.size == sum(after[key] for key in set(after) - set(before))


def test_the_places_are_local_ones_that_an_account_may_write_to():
    found = local_folders(parse_mounts(NODE_MOUNTS), "/home/rs-tanaka", 20101)
    assert found == ("/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/run/lock", "/run/user/20101", "/local scratch")


def test_a_mount_of_the_account_that_the_node_sees_is_found():
    assert len(mounts(NODE_MOUNTS, 20101)) == 1
    assert len(mounts(NODE_MOUNTS, 2010)) == 0


@given(st.text())
def test_mountinfo_may_say_anything(text):
    assert isinstance(parse_mounts(text), tuple)
    assert isinstance(mounts(text, 1), dict)


def test_shared_memory_is_found_by_its_owner_and_its_creator():
    table = """\
       key      shmid perms       size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime   rss  swap
1380273739          3   666       4096   100   101      0 20101 20101 20101 20101          0          0 1700000000  4096     0
         0          4   600         10   100   101      0     0     0     0     0          0          0 1700000000    10     0
         0          5   600         20   100   101      0     0     0 20101     0          0          0 1700000001    10     0
"""
    assert parse_ipc(table, 20101) == {(3, 1700000000): 4096, (5, 1700000001): 20}


def test_a_segment_of_this_account_is_seen():
    made = subprocess.run(["/usr/bin/ipcmk", "--shmem", "4096"], capture_output=True, text=True, check=True)
    number = int(made.stdout.split()[-1])
    try:
        assert any(identity[1] == number and size == 4096 for identity, size in ipc(UID).items())
    finally:
        subprocess.run(["/usr/bin/ipcrm", "--shmem-id", str(number)], check=True)


@given(st.text(), st.integers())
def test_the_table_of_shared_memory_may_say_anything(text, uid):
    assert isinstance(parse_ipc(text, uid), dict)


def table(*rows):
    """pid, parent, uid, and the job of a supervisor."""
    status = "Name:\tx\nState:\t{}\nPid:\t{}\nPPid:\t{}\nUid:\t{}\t0\t0\t0\n"
    found = {}
    for pid, parent, uid, job in rows:
        command = f"slurmstepd: [{job}.batch]\0" if job else "python\0"
        each = parse_process(status.format("S (sleeping)", pid, parent, uid), f"{pid} (a) b) S {' 0' * 18} 77 0", command)
        found[pid] = each
    return found


NODE_TREE = ((1, 0, 0, ""), (10, 1, 0, "5"), (11, 10, 7, ""), (12, 11, 7, ""))
"""A job's supervisor, its first process, and the enclave."""


def test_the_jobs_own_processes_are_no_strays():
    assert strays(table(*NODE_TREE, (13, 12, 7, "")), 12, 7) == {}


def test_a_process_that_has_left_the_job_is_a_stray():
    assert strays(table(*NODE_TREE, (20, 1, 7, ""), (21, 1, 8, "")), 12, 7) == {(20, 77): 0}


def test_nobody_can_tell_where_another_job_of_the_account_runs():
    assert strays(table(*NODE_TREE, (30, 1, 0, "6"), (31, 30, 7, "")), 12, 7) is None


def test_an_account_can_not_pass_for_a_supervisor():
    assert strays(table(*NODE_TREE, (30, 1, 7, "6"), (31, 30, 7, "")), 12, 7) == {(30, 77): 0, (31, 77): 0}


@pytest.mark.parametrize(("batch", "found"), [("SLURM_JOB_ID", {(20, 77): 0}), ("PJM_JOBID", None)])
def test_where_no_supervisor_has_the_jobs_number_a_stray_may_be_another_session(tmp_path, monkeypatch, batch, found):
    monkeypatch.setenv(batch, "5")
    status = "Name:\tx\nState:\tS (sleeping)\nPid:\t{}\nPPid:\t{}\nUid:\t{}\t0\t0\t0\n"
    for pid, parent, uid in ((1, 0, 0), (12, 1, 7), (20, 1, 7)):
        folder = tmp_path / str(pid)
        folder.mkdir()
        (folder / "status").write_text(status.format(pid, parent, uid))
        (folder / "stat").write_text(f"{pid} (a) S {' 0' * 18} 77 0")
        (folder / "cmdline").write_text("python\0")
    (tmp_path / "self").symlink_to("12")
    proc = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        assert processes(proc, 7) == found
        shutil.rmtree(tmp_path / "20")
        assert processes(proc, 7) == {}
    finally:
        os.close(proc)


@given(st.text(), st.text(), st.text())
def test_a_process_may_say_anything(status, stat, command):
    parse_process(status, stat, command)


def test_a_connection_is_counted_by_its_payload():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        code = f"import socket; s = socket.create_connection(('127.0.0.1', {port})); s.sendall(b'x' * 1000)\n"
        code += "print(len(s.recv(9)), flush=True); input()"
        child = subprocess.Popen(["/usr/bin/python3", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        with listening.accept()[0] as line:
            got = 0
            while got < 1000:
                got += len(line.recv(2000))
            line.sendall(b"123")
            assert child.stdout.readline() == b"3\n"
            meter = Meter(port)
            meter.look()
            child.communicate(b"\n")
    total = meter.total()
    assert (total.sent, total.received, total.connections) == (1000, 3, 1)


def test_without_a_connection_nothing_is_counted():
    meter = Meter(1)
    meter.look()
    assert meter.total() is None


@given(st.binary(max_size=300))
def test_tcp_info_may_be_short(raw):
    if len(raw) < 136:
        with pytest.raises(OSError, match="no byte counts"):
            parse_tcp_info(raw)
    else:
        assert min(parse_tcp_info(raw)) >= 0
