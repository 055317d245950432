"""Whatever is changed in a record is found; a line missing at its end only by a head that was kept elsewhere."""

from __future__ import annotations

import gzip
import json
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spawner.audit import Audit
from spawner.audit.__main__ import main
from spawner.audit.chain import Finding, Verdict, verify
from spawner.audit.line import START, BadLineError, compose, parse, parse_head


def record() -> bytes:
    """A record of seven events and one torn line."""
    with tempfile.TemporaryDirectory() as folder:
        audit = Audit(Path(folder, "audit.jsonl"))
        for number in range(4):
            audit.record("session-request", user="sato", number=number, text='"hash":"日本語\n')
        with audit.path.open("ab") as stream:
            stream.write(b'{"seq":5,"prev":"')
        for number in range(3):
            audit.record("session-end", user="sato", number=number)
        return audit.path.read_bytes()


RECORD = record()
LINES = RECORD.splitlines(keepends=True)
NUMBERS = st.integers(0, len(LINES) - 1)


def check(text: bytes, **more) -> Finding:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "audit.jsonl")
        path.write_bytes(text)
        return verify([path], **more)


HEAD = check(RECORD).head


def test_it_is_whole():
    assert check(RECORD) == Finding(verdict=Verdict.WHOLE, first=1, head=HEAD, torn=1, where="")
    assert HEAD.seq == 8
    assert check(RECORD, anchors=[HEAD]).verdict is Verdict.WHOLE


def test_any_byte_that_is_changed_is_found():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "audit.jsonl")
        for place in range(len(RECORD)):
            path.write_bytes(RECORD[:place] + bytes([RECORD[place] ^ 1 << place % 8]) + RECORD[place + 1 :])
            # Without its end the last line is one that was not finished.
            expected = Verdict.TORN if place == len(RECORD) - 1 else Verdict.BROKEN
            assert verify([path]).verdict is expected, place


@given(st.integers(0, len(RECORD) - 1), st.binary(min_size=1, max_size=80), st.integers(0, 80))
def test_any_piece_that_is_changed_put_in_or_taken_out_is_found(place, put, away):
    changed = RECORD[:place] + put + RECORD[place + away :]
    assert changed == RECORD or check(changed).verdict is not Verdict.WHOLE


@given(NUMBERS)
def test_a_line_that_is_taken_out_is_found(number):
    changed = b"".join(LINES[:number] + LINES[number + 1 :])
    if number < len(LINES) - 1:
        assert check(changed).verdict is Verdict.BROKEN
    else:
        assert check(changed).verdict is Verdict.WHOLE  # the end: see below


@given(NUMBERS, NUMBERS)
def test_lines_that_are_swapped_are_found(one, other):
    lines = LINES.copy()
    lines[one], lines[other] = lines[other], lines[one]
    assert check(b"".join(lines)).verdict is (Verdict.WHOLE if lines == LINES else Verdict.BROKEN)


@given(NUMBERS, st.integers(0, len(LINES)))
def test_a_line_that_is_put_in_again_is_found(number, place):
    lines = [*LINES[:place], LINES[number], *LINES[place:]]
    assert check(b"".join(lines)).verdict is Verdict.BROKEN


def test_a_line_that_somebody_made_in_the_right_form_is_found_where_another_follows():
    forged, _ = compose(parse(LINES[2][:-1]).head, "session-request", {"user": "nobody"})
    lines = [*LINES[:3], forged + b"\n", *LINES[4:]]
    assert check(b"".join(lines)).verdict is Verdict.BROKEN


@pytest.mark.parametrize("number", range(len(LINES)))
def test_lines_that_are_missing_at_the_end_show_only_against_an_anchored_head(number):
    text = b"".join(LINES[:number])
    alone = check(text).verdict
    # The one cut that even so is found: after a torn line, before the line that tells of it.
    assert alone is (Verdict.BROKEN if number == 5 else Verdict.WHOLE)
    assert check(text, anchors=[HEAD]).verdict is Verdict.BROKEN


def test_a_chain_that_was_made_anew_shows_only_against_an_anchored_head():
    head, forged = START, b""
    for line in LINES:
        if line.startswith(b'{"seq":') and line.endswith(b"}\n"):
            old = json.loads(line)
            text, head = compose(head, old["event"], {"user": "nobody"})
            forged += text + b"\n"
    assert check(forged).verdict is Verdict.BROKEN  # its `line-torn` has no torn line
    forged = forged.replace(b"line-torn", b"line-zorn")
    assert check(forged, anchors=[HEAD]).verdict is Verdict.BROKEN


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_whatever_stands_in_a_line_is_a_line_or_is_refused(text):
    try:
        parse(text)
    except BadLineError:
        return
    raise AssertionError(text)


@given(st.dictionaries(st.text(min_size=1), st.text(max_size=50) | st.integers(-(2**53), 2**53) | st.none(), max_size=5))
def test_a_line_that_is_written_is_read(fields):
    named = {f"f-{name}": value for name, value in fields.items()}
    try:
        text, head = compose(START, "event", named)
    except UnicodeEncodeError:
        return
    assert parse(text).head == head
    assert b"\n" not in text
    assert named.items() <= msgspec.json.decode(text).items()


def test_heads_as_text():
    assert parse_head(str(HEAD)) == HEAD
    for text in ("", "1", "x:y", f"-1:{'0' * 64}", f"1:{'0' * 63}"):
        with pytest.raises(ValueError, match="NUMBER:HASH"):
            parse_head(text)


@pytest.fixture
def files(tmp_path):
    """Three files of one record: the first packed, the second moved away, the last still written to."""
    audit = Audit(tmp_path / "audit.jsonl")
    audit.record("first")
    audit.record("second")
    old = audit.rotate()
    packed = tmp_path / f"{old.name}.gz"
    packed.write_bytes(gzip.compress(old.read_bytes()))
    old.unlink()
    middle = audit.rotate()
    audit.record("third")
    return packed, middle, audit.path


def test_the_command_reads_all_files_of_a_record(files, capsys):
    packed, middle, current = files
    assert main(["verify", str(current), str(packed), str(middle)]) == 0
    said = capsys.readouterr().out
    assert "every line follows the one before it" in said
    assert "only against a head that was kept elsewhere" in said
    head = said.split()[-1]
    assert main(["verify", "--head", head, *map(str, files)]) == 0
    assert "kept elsewhere" not in capsys.readouterr().out

    assert main(["verify", "--head", f"9{head}", *map(str, files)]) == 1
    assert "is not there" in capsys.readouterr().out
    assert main(["verify", str(middle), str(current)]) == 1
    assert f"{middle}, line 1: it is line 3 and does not follow line 0" in capsys.readouterr().out
    assert main(["verify", "--after", str(verify([packed]).head), str(middle), str(current)]) == 0
    assert main(["verify", str(packed), str(current)]) == 1


def test_the_command_says_the_first_line_that_does_not_follow(files, capsys):
    _, _, current = files
    lines = current.read_text().splitlines(keepends=True)
    current.write_text(lines[0] + lines[1].replace("third", "tHird"))
    assert main(["verify", *map(str, files)]) == 1
    said = capsys.readouterr().out
    assert f"{current}, line 2: its bytes do not have the hash that it says" in said
    assert "改変されています" in said


def test_the_command_takes_heads_from_residue_statements(files, tmp_path):
    folder = tmp_path / "statements"
    folder.mkdir()
    folder.joinpath("a.json").write_text(json.dumps({"session": "x", "hub": {"audit": str(verify(files).head)}}))
    folder.joinpath("b.json").write_text(json.dumps({"session": "y", "hub": {"job": "1"}}))
    command = ["verify", "--statements", str(folder), *map(str, files)]
    assert main(command) == 0
    files[2].write_text(files[2].read_text().splitlines(keepends=True)[0])
    assert main(command) == 1


def test_the_command_says_up_to_where_a_head_vouches_for_the_record(files, tmp_path, capsys):
    folder = tmp_path / "statements"
    folder.mkdir()
    held = verify(files[:2]).head
    folder.joinpath("a.json").write_text(json.dumps({"hub": {"audit": str(held)}}))
    files[2].write_text(files[2].read_text().splitlines(keepends=True)[0])

    assert main(["verify", "--statements", str(folder), *map(str, files)]) == 0
    assert f"Up to line {held.seq} nothing is missing; whether later lines are missing" in capsys.readouterr().out


def test_the_command_moves_the_file_away(files, capsys):
    assert main(["rotate", str(files[2])]) == 0
    moved = Path(capsys.readouterr().out.strip())
    assert json.loads(files[2].read_text())["before"] == moved.name


def test_what_can_not_be_read_is_no_record(tmp_path, capsys):
    assert main(["verify", str(tmp_path / "nothing")]) == 1
    assert "No such file" in capsys.readouterr().err
    assert main(["rotate", str(tmp_path / "nowhere" / "audit.jsonl")]) == 1
