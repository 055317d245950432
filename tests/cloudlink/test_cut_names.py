"""An open file whose renaming was under way when the line broke is found under whichever name it has then."""

from __future__ import annotations

import pytest

from cloudlink import responses
from cloudlink.wire import POSIX_RENAME, Kind, Open, Status, string
from tests.cloudlink.peer import text
from tests.cloudlink.test_session import CREATE

BOTH = pytest.mark.parametrize("when", ["before", "after"])
WAYS = pytest.mark.parametrize("extension", [b"", POSIX_RENAME], ids=["rename", "posix-rename"])


def rename(link, extension, old, new) -> int:
    """Asks for it; the number of the request."""
    words = [string(extension)] if extension else []
    return link.send(Kind.EXTENDED if extension else Kind.RENAME, *words, text(old), text(new))


@BOTH
@WAYS
def test_a_file(link, orders, cloud, when, extension):
    (cloud / "f").write_text("content")
    handle = link.open(cloud / "f", Open.READ | Open.WRITE)
    orders.lose(Kind.EXTENDED if extension else Kind.RENAME, when)

    number = rename(link, extension, cloud / "f", cloud / ".hidden")

    assert responses.parse_status(link.answer(number)[1]) == Status.OK
    assert orders.connections == 2
    assert link.write(handle, 0, b"C") == Status.OK
    assert link.read(handle, 0, 7) == (cloud / ".hidden").read_bytes() == b"Content"


@BOTH
def test_a_folder_with_an_open_file(link, orders, cloud, when):
    (cloud / "d").mkdir()
    (cloud / "d" / "f").write_text("content")
    handle = link.open(cloud / "d" / "f")
    orders.lose(Kind.RENAME, when)

    number = rename(link, b"", cloud / "d", cloud / "e")

    assert responses.parse_status(link.answer(number)[1]) == Status.OK
    assert link.read(handle, 0, 7) == b"content"


def test_another_file_under_the_new_name_is_not_taken_for_it(link, orders, cloud):
    handle = link.open(cloud / "f", CREATE | Open.READ)
    assert link.write(handle, 0, b"content") == Status.OK
    (cloud / "g").write_text("other and longer")
    (cloud / "f").unlink()
    orders.lose(Kind.RENAME, "after")

    number = rename(link, b"", cloud / "f", cloud / "g")

    link.answer(number)
    assert link.read(handle, 0, 7) == Status.UNSAID
