"""The audit record: appended, on the disk, private, by several processes; or the act does not happen."""

import datetime as dt
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from spawner.audit import Audit, AuditError
from spawner.audit.chain import Verdict, verify

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "audit.jsonl"


def events(path: Path) -> list[str]:
    return [json.loads(line)["event"] for line in path.read_text().splitlines()]


def test_a_line_says_when_what_and_the_rest(path):
    Audit(path).record("login", user="sato", ok=True, tries=2)
    entry = json.loads(path.read_text())
    when = dt.datetime.fromisoformat(entry.pop("time"))
    assert {"event": "login", "user": "sato", "ok": True, "tries": 2}.items() <= entry.items()
    assert (entry["seq"], entry["prev"]) == (1, "0" * 64)
    assert when.utcoffset() == dt.timedelta(0)
    assert abs((dt.datetime.now(dt.UTC) - when).total_seconds()) < 60


def test_earlier_lines_stay_and_nobody_else_reads_them(path):
    Audit(path).record("first")
    Audit(path).record("second", text='a line\nbreak and "quotes"')
    assert events(path) == ["first", "second"]
    for each in (path, path.with_name("audit.jsonl.head")):
        assert each.stat().st_mode & 0o777 == 0o600


def test_lines_of_many_threads_follow_each_other(path):
    audit = Audit(path)
    threads = [threading.Thread(target=audit.record, args=("tick",), kwargs={"text": "x" * 2000}) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert events(path) == ["tick"] * 16
    assert verify([path]).verdict is Verdict.WHOLE


WRITER = """
import sys
from spawner.audit import Audit
for number in range(50):
    Audit(sys.argv[1]).record("tick", who=sys.argv[2], number=number)
"""


def test_lines_of_many_processes_follow_each_other_also_while_the_file_is_moved_away(path, tmp_path):
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, path, str(who)], cwd=ROOT) for who in range(4)]
    while any(writer.poll() is None for writer in writers):
        if path.exists() and path.stat().st_size > 2000:
            Audit(path).rotate()
    assert [writer.returncode for writer in writers] == [0] * 4

    files = sorted(tmp_path.glob("audit-*.jsonl"))
    finding = verify([*files, path])
    assert files
    assert (finding.verdict, finding.where, finding.torn) == (Verdict.WHOLE, "", 0)
    assert finding.head.seq == 200 + len(files)


def test_the_chain_goes_on_in_the_next_file_whoever_moved_the_old_one(path, tmp_path):
    audit = Audit(path)
    audit.record("first")
    path.rename(tmp_path / "audit.jsonl.1")  # as logrotate does
    audit.record("second")
    path.rename(tmp_path / "audit.jsonl.2")
    path.touch(0o600)  # with its `create`
    audit.record("third")
    old = audit.rotate()
    audit.record("fourth")

    assert events(path) == ["audit-rotated", "fourth"]
    assert json.loads(path.read_text().splitlines()[0])["before"] == old.name
    finding = verify([tmp_path / "audit.jsonl.1", tmp_path / "audit.jsonl.2", old, path])
    assert (finding.verdict, finding.head.seq) == (Verdict.WHOLE, 5)


def test_a_line_that_its_writer_did_not_live_to_finish_is_no_break(path):
    audit = Audit(path)
    audit.record("first")
    whole = path.stat().st_size
    audit.record("second")
    os.truncate(path, path.stat().st_size - 7)
    # What the writer that was killed did not come to: the head beside it still names the line before.
    path.with_name("audit.jsonl.head").write_text(str(verify([path]).head))
    assert (verify([path]).verdict, verify([path]).head.seq) == (Verdict.TORN, 1)

    audit.record("third")
    finding = verify([path])
    assert (finding.verdict, finding.torn, finding.head.seq) == (Verdict.WHOLE, 1, 3)
    text = path.read_bytes()
    assert text[whole:].startswith(b'{"seq":2,')
    assert [json.loads(line)["event"] for line in text.splitlines() if line.endswith(b"}")] == ["first", "line-torn", "third"]


def test_a_torn_line_of_a_file_that_was_then_moved_away_is_no_break_either(path, tmp_path):
    audit = Audit(path)
    audit.record("first")
    with path.open("ab") as stream:
        stream.write(b'{"seq":2,"pr')
    old = audit.rotate()
    audit.record("second")
    finding = verify([old, path])
    assert (finding.verdict, finding.torn) == (Verdict.WHOLE, 1)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda text: text[: text.rindex(b"\n", 0, -1) + 1], "lines 3 to 3 are missing at its end"),
        (lambda text: text.replace(b"third", b"tHird"), "not to be believed"),
        (lambda text: text.replace(b"third", b"tHird")[:-1], "lines 3 to 3 are missing at its end"),
        (lambda text: b"x\n" * 200_000, "not to be believed"),
        (lambda text: b"x\n" * 200_000 + b"y", "none of its last"),
    ],
)
def test_a_record_whose_end_was_changed_is_not_continued(path, harm, said):
    audit = Audit(path)
    for event in ("first", "second", "third"):
        audit.record(event)
    path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(AuditError, match=said):
        audit.record("fourth")


@pytest.mark.parametrize("fields", [{"text": "x" * 20_000}, {"seq": 5}, {"text": "\ud800"}])
def test_what_is_no_event_is_refused_and_nothing_is_written(path, fields):
    audit = Audit(path)
    audit.record("first")
    with pytest.raises(AuditError):
        audit.record("second", **fields)
    audit.record("third")
    assert (events(path), verify([path]).verdict) == (["first", "third"], Verdict.WHOLE)


def test_a_folder_that_is_gone_is_an_error_and_counted(tmp_path):
    before = Audit.failures
    with pytest.raises(AuditError, match="nowhere"):
        Audit(tmp_path / "nowhere" / "audit.jsonl").record("login")
    assert Audit.failures == before + 1


def test_a_link_in_place_of_the_file_is_not_followed(path, tmp_path):
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AuditError):
        Audit(path).record("login")
    assert not (tmp_path / "elsewhere").exists()


def test_a_writer_that_stopped_with_the_lock_keeps_nobody_waiting_for_ever(path, monkeypatch):
    monkeypatch.setattr("spawner.audit.record.LOCK_S", 0.1)
    with Audit(path)._locked(), pytest.raises(AuditError, match="another process"):
        Audit(path).record("login")


FULL = """
import os, sys
from pathlib import Path
from spawner.audit import Audit, AuditError
from spawner.audit.chain import verify
folder = Path(sys.argv[1])
audit, filler = Audit(folder / "audit.jsonl"), folder / "filler"
audit.record("first")
filler.write_bytes(b"x" * (os.statvfs(folder).f_bavail * os.statvfs(folder).f_bsize))
refused = written = 0
for number in range(40):
    try:
        audit.record("while-full", text="x" * 300)
        written += 1
    except AuditError:
        refused += 1
assert refused > 10, refused
os.unlink(filler)
audit.record("last")
finding = verify([audit.path])
print(finding.verdict, finding.torn, finding.head.seq == 1 + written + finding.torn + 1)
"""


def test_a_disk_that_is_full_is_an_error_and_the_record_goes_on_when_there_is_room(tmp_path):
    mount = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    script = f'mount -t tmpfs -o size=64k tmpfs {tmp_path} && exec "$0" -c "$1" {tmp_path}'
    run = subprocess.run([*mount, script, sys.executable, FULL], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.stdout.split() == ["whole", "1", "True"], run


def test_a_disk_that_can_only_be_read_is_an_error(tmp_path):
    Audit(tmp_path / "audit.jsonl").record("first")
    mount = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    read_only = f"mount --bind {tmp_path} {tmp_path} && mount -o remount,bind,ro {tmp_path}"
    script = f'{read_only} && exec "$0" -c "$1" {tmp_path}/audit.jsonl 1'
    run = subprocess.run([*mount, script, sys.executable, WRITER], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "AuditError" in run.stderr, run
    assert "Read-only file system" in run.stderr
