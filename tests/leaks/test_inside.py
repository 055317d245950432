"""What a cell finds when it looks for ways out of its session, and what others see of it meanwhile: nothing.

tests/leaks/test_sabotage.py shows that each of these finds something where its wall is missing.
"""

from __future__ import annotations

import pytest

from tests.enclave.sessions import ready
from tests.leaks.around import AROUND, page_cache_after, without_its_mount
from tests.leaks.look import LOOKS
from tests.leaks.session import carry_names, looked, new_names

pytestmark = pytest.mark.site

NODE = "cx02"
"""Elsewhere, tests count what is left."""


@pytest.fixture(scope="module")
def session(site, tmp_path_factory):
    with ready(site, tmp_path_factory.mktemp("session"), NODE) as found:
        yield found


@pytest.fixture(scope="module")
def found(session):
    return looked(session, list(LOOKS))


@pytest.mark.parametrize("name", LOOKS)
def test_a_cell_finds_no_way_out(found, name):
    assert found[name] == []


@pytest.fixture(scope="module")
def words(session):
    names = new_names()
    carry_names(session, names, ["a child that stays"])
    return names


@pytest.mark.parametrize("name", AROUND)
def test_nobody_around_sees_it(session, words, name):
    assert AROUND[name](session, words) == []


def test_without_its_mount_nothing_can_be_written_in_its_place(site, tmp_path):
    with ready(site, tmp_path) as session:
        assert without_its_mount(session) == []
        assert session.gone()
        assert session.kept() == []


def test_pages_that_were_read_go_with_the_mount_even_when_all_is_killed(site, tmp_path):
    with ready(site, tmp_path) as session:
        session.cell("import os, pathlib\nfor each in pathlib.Path(os.environ['CTLAB_DATA']).rglob('*.nii.gz'): each.read_bytes()")
        assert page_cache_after(session, session.kill_first) == []
