"""The hub's logs name people, never what they look at."""

import logging
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spawner import proxy
from spawner.redact import Redact, redacted

ADDRESSES = [
    "302 GET /user/tanaka/api/contents/people/SECRET -> /hub/user/tanaka/api/contents/people/SECRET (@10.77.1.10) 0.2ms",
    "404 GET /user/tanaka/files/O'SECRET(SECRET)&SECRET=SECRET?SECRET (@10.77.1.10) 0.2ms",
    "200 GET /hub/login?next=%2Fhub%2Fuser%2Ftanaka%2Flab%2Ftree%2FSECRET.nii (@10.77.1.10) 0.2ms",
    '{"Referer": "http://127.0.0.1:8000/user/tanaka/lab/tree/SECRET%20SECRET.nii", "Host": "127.0.0.1:8000"}',
    "Failing suspected API request to not-running server: /hub/user/tanaka/lab/SECRET",
    "302 GET /hub/user-redirect/lab/tree/SECRET -> /hub/login?next=%2Fhub%2Fuser-redirect%2Flab%2Ftree%2FSECRET (tanaka@10.0.0.1)",
    "200 GET /hub/login?next=%2Fhub%2Flogin%3Fnext%3D%252Fuser%252Ftanaka%252FSECRET (@10.77.1.10) 0.2ms",
    "200 GET /hub/error/503?url=%2Fuser%2Ftanaka%40example%2Flab%2FSECRET (@10.77.1.10) 0.2ms",
    "302 GET /user/%E7%94%B0%E4%B8%AD-tanaka/lab/tree/SECRET (@10.77.1.10) 0.2ms",
]


@pytest.mark.parametrize("line", ADDRESSES)
def test_the_person_stays_and_the_file_goes(line):
    said = redacted(line)
    assert "tanaka" in said
    assert "SECRET" not in said


@pytest.mark.parametrize("line", ["302 GET /user/tanaka/ -> /hub/user/tanaka/ (x@10.0.0.1) 1ms", "User tanaka took 1.0 s to start"])
def test_everything_else_stays(line):
    assert redacted(line) == line


@given(st.text(st.characters(codec="ascii", exclude_characters="\" \t\r\n\v\f\x1c\x1d\x1e\x1f"), min_size=1))
def test_no_name_is_left_of_any_address(name):
    assert redacted(f"GET /user/tanaka/files/{name} done") == "GET /user/tanaka/… done"


def test_a_traceback_too():
    error = OSError("/user/tanaka/files/SECRET")
    record = logging.LogRecord("hub", logging.ERROR, "", 0, "failed at %s", ("/user/tanaka/lab/SECRET",), (OSError, error, None))
    assert Redact().filter(record)
    said = logging.Formatter().format(record)
    assert "SECRET" not in said
    assert "OSError: /user/tanaka/…" in said


@pytest.mark.parametrize("line", ADDRESSES)
def test_the_proxys_own_log_says_the_same(line):
    node = proxy.node_folder() / "bin" / "node"
    argv = [node, "--require", proxy.BEFORE[0], "-e", "console.log(process.argv[1]); console.error(process.argv[1])", line]
    answer = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert answer.stdout == answer.stderr == redacted(line) + "\n"
