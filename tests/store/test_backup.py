"""`sites/backup`: a copy of the hub's state while somebody writes, and the way back."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import threading
from pathlib import Path

from sqlalchemy import text

from spawner.store.database import Database
from tests.house.test_layout import ROOT

PROGRAM = ROOT / "sites" / "backup"


def backup(state: Path, target: Path) -> subprocess.CompletedProcess[str]:
    command = ["/usr/bin/python3", "-I", str(PROGRAM), str(state), str(target)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def a_hub_s_state(folder: Path) -> Database:
    """With the hub's own tables, a secret and a statement, as a hub has it."""
    folder.mkdir(mode=0o700)
    database = Database(f"sqlite:///{folder}/renkei.sqlite")
    database.upgrade()
    with database.write() as session:
        session.execute(text("CREATE TABLE pages (number INTEGER, twin INTEGER)"))
    (folder / "cookie_secret").write_text("secret")
    (folder / "cookie_secret").chmod(0o600)
    (folder / "proxy.pid").write_text("7")
    (folder / "statements").mkdir()
    (folder / "statements" / "a.json").write_text("{}")
    return database


def test_the_copy_is_whole_while_somebody_writes_and_a_hub_goes_on_with_it(tmp_path):
    state, copies = tmp_path / "hub", tmp_path / "copies"
    database = a_hub_s_state(state)
    stop, written = threading.Event(), 0

    def write() -> None:
        nonlocal written
        while not stop.is_set():
            with database.write() as session:
                # Both or neither: a copy of half a transaction would show.
                session.execute(text("INSERT INTO pages VALUES (:n, NULL)"), {"n": written})
                session.execute(text("UPDATE pages SET twin = :n WHERE number = :n"), {"n": written})
            written += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while written < 5:
            pass
        done = backup(state, copies)
    finally:
        stop.set()
        writer.join()
        database.close()
    assert (done.returncode, done.stderr) == (0, "")
    (copy,) = copies.iterdir()
    assert Path(done.stdout.strip()) == copy
    assert not (copy / "proxy.pid").exists()
    assert (copy / "cookie_secret").stat().st_mode & 0o777 == 0o600

    # The way back, as the guide says it.
    state.rename(tmp_path / "hub.broken")
    subprocess.run(["/bin/cp", "-a", str(copy), str(state)], check=True)
    again = Database(f"sqlite:///{state}/renkei.sqlite")
    again.upgrade()
    with again.write() as session:
        rows = session.execute(text("SELECT number, twin FROM pages ORDER BY number")).all()
        session.execute(text("INSERT INTO pages VALUES (-1, -1)"))
    again.close()
    assert 5 <= len(rows) <= written
    assert [tuple(row) for row in rows] == [(number, number) for number in range(len(rows))]
    assert (state / "statements" / "a.json").read_text() == "{}"


def test_of_a_hub_that_is_down_a_copy_is_made_too(tmp_path):
    a_hub_s_state(tmp_path / "hub").close()

    assert backup(tmp_path / "hub", tmp_path / "copies").returncode == 0


def test_a_damaged_database_is_no_copy_and_nothing_older_goes(tmp_path):
    state, copies = tmp_path / "hub", tmp_path / "copies"
    a_hub_s_state(state).close()
    for number in range(20):
        (copies / f"20260101-0000{number:02}").mkdir(parents=True)
    with sqlite3.connect(state / "renkei.sqlite") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = bytearray((state / "renkei.sqlite").read_bytes())
    whole[4096 : 4096 + 3000] = os.urandom(3000)
    (state / "renkei.sqlite").write_bytes(whole)

    done = backup(state, copies)

    assert done.returncode != 0
    assert "No copy was made" in done.stderr
    assert len([each for each in copies.iterdir() if not each.name.endswith(".half")]) == 20
