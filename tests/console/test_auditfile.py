"""The audit page's lines: from the newest back, over the files that were moved away, each once."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from spawner.audit import Audit
from spawner.console import auditfile
from spawner.console.auditfile import AuditQuery


def line(number, event="login", **fields):
    found = {"seq": number, "prev": "", "time": "2026-11-25T00:00:00+00:00", "event": event, **fields, "hash": ""}
    return json.dumps(found).encode()


def numbers(path, **query):
    """The numbers of all lines that the page shows when its link to older ones is followed to the end."""
    shown, before = [], 0
    while True:
        page = auditfile.page(path, AuditQuery(before=before, **query))
        shown += [each.seq for each in page.lines]
        if not page.older:
            return shown
        assert before == 0 or page.older < before
        before = page.older


def test_one_page_and_the_next(tmp_path):
    file = tmp_path / "audit.jsonl"
    file.write_bytes(b"".join(line(number, user="tanaka" if number % 2 else "sato") + b"\n" for number in range(1, 61)))
    page = auditfile.page(file, AuditQuery(event="login", user="tanaka", limit=3))
    assert [each.seq for each in page.lines] == [59, 57, 55]
    page = auditfile.page(file, AuditQuery(event="login", user="tanaka", limit=3, before=page.older))
    assert [each.seq for each in page.lines] == [53, 51, 49]
    assert numbers(file, user="nobody") == []
    assert auditfile.page(tmp_path / "none" / "audit.jsonl", AuditQuery()).lines == ()


def test_files_that_were_moved_away_are_read_whatever_they_are_called(tmp_path):
    path = tmp_path / "audit.jsonl"
    audit = Audit(path)
    for _ in range(3):
        audit.record("login", user="tanaka")
    audit.rotate()
    audit.record("login", user="sato")
    path.rename(tmp_path / "audit.jsonl.1")
    audit.record("login", user="suzuki")
    (tmp_path / "audit.jsonl.gz").write_bytes(b"\x1f\x8b")
    (tmp_path / "audit-of-another").symlink_to("/etc/passwd")

    page = auditfile.page(path, AuditQuery())
    assert [each.seq for each in page.lines] == [6, 5, 4, 3, 2, 1]
    assert [each.fields.get("user") for each in page.lines] == ["suzuki", "sato", None, *["tanaka"] * 3]


@given(
    st.lists(st.sampled_from([0, 200, 5_000, auditfile.BLOCK]), min_size=1, max_size=40),
    st.sets(st.integers(0, 40)),
    st.integers(1, 50),
    st.integers(0, 45),
)
def test_every_line_is_shown_once_wherever_files_and_pages_end(tmp_path_factory, sizes, ends, limit, before):
    folder = tmp_path_factory.mktemp("audit")
    files = [b""]
    for number, size in enumerate(sizes, 1):
        files[-1] += line(number, text="x" * size) + b"\n" + (b'{"seq":' if size == 200 else b"") + (b"\n" if size == 200 else b"")
        files += [b""] if number in ends else []
    for place, content in enumerate(reversed(files)):
        (folder / ("audit.jsonl" if place == 0 else f"audit.jsonl.{place}")).write_bytes(content)
    # A line of more than LINE_LIMIT is none.
    wanted = [number for number, size in enumerate(sizes, 1) if size < auditfile.LINE_LIMIT][::-1]

    assert numbers(folder / "audit.jsonl", limit=limit) == wanted
    page = auditfile.page(folder / "audit.jsonl", AuditQuery(limit=1000, before=before))
    assert [each.seq for each in page.lines] == [number for number in wanted if not before or number < before]


def test_one_question_reads_so_much_and_the_next_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(auditfile, "SCANNED", 1000)
    file = tmp_path / "audit.jsonl"
    file.write_bytes(b"".join(line(number) + b"\n" for number in range(1, 51)))
    page = auditfile.page(file, AuditQuery(event="none"))
    assert page.lines == ()
    assert 1 < page.older < 50
    assert numbers(file) == list(range(50, 0, -1))


@given(st.binary(max_size=200))
def test_any_line_of_the_audit_is_an_event_or_none(raw):
    found = auditfile.parse(raw)
    assert found is None or isinstance(found.fields, dict)
