"""Round trips without any right."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkbench.results import LinkbenchError
from linkbench.trips import Destination, destination, trips


@pytest.mark.parametrize(
    ("text", "name", "place"),
    [
        ("tokyo=gw.example:2201", "tokyo", ("gw.example", 2201)),
        ("six=[2001:db8::1]:22", "six", ("2001:db8::1", 22)),
        ("cloud=/home/me/cloud", "cloud", Path("/home/me/cloud")),
    ],
)
def test_a_destination_is_a_host_with_a_port_or_a_folder(text, name, place):
    assert destination(text) == Destination(name, place)


@pytest.mark.parametrize(
    "text", ["", "gw", "gw:22", "=gw:22", "a=gw", "a=gw:", "a=:22", "a=gw:0", "a=gw:65536", "a=gw:२२", "a=gw:-1"]
)
def test_anything_else_is_refused_in_a_sentence(text):
    with pytest.raises(LinkbenchError, match="names no destination"):
        destination(text)


@given(st.text())
def test_no_text_does_more_than_be_refused(text):
    try:
        found = destination(text)
    except LinkbenchError:
        return
    assert found.name


def test_who_listens_answers_and_who_does_not_is_counted(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        here = ("127.0.0.1", listener.getsockname()[1])
        nobody = ("127.0.0.1", silent.getsockname()[1])
        asked = [Destination("here", here), Destination("nobody", nobody), Destination("folder", tmp_path)]
        near, none, folder = trips(asked, 4)
    assert (near.answered, near.failed, near.by) == (3, 0, "tcp")
    assert 0 < near.least <= near.mean <= near.most < 1000
    assert (none.answered, none.failed, none.mean) == (0, 3, None)
    assert (folder.answered, folder.by) == (3, "stat")


def test_a_name_that_nobody_knows_is_said():
    with pytest.raises(LinkbenchError, match="no name or address"):
        trips([Destination("a", ("no.such.host.invalid", 22))], 1)
