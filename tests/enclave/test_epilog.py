"""Whose jobs the nodes' epilog reports; what it finds is tried at a site (tests/spawner/test_residue_on_site.py)."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import subprocess
import time
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import pytest

LOADER = SourceFileLoader("epilog", str(Path(__file__).parents[2] / "sites" / "epilog"))


@pytest.fixture(scope="module")
def epilog():
    spec = spec_from_loader("epilog", LOADER)
    assert spec is not None
    module = module_from_spec(spec)
    LOADER.exec_module(module)
    return module


def test_an_account_whose_own_group_is_the_sessions_is_one_of_them_though_no_list_names_it(epilog):
    account = pwd.getpwnam("daemon")
    group = grp.getgrgid(account.pw_gid)

    assert account.pw_name not in group.gr_mem
    assert epilog.is_sessions(account, group.gr_name)


def test_another_account_is_none_of_them(epilog):
    assert not epilog.is_sessions(pwd.getpwnam("nobody"), "daemon")


def test_folders_too_deep_to_follow_are_not_seen_and_stop_nothing(epilog, tmp_path):
    (tmp_path / "file").write_text("x")
    assert epilog.files(str(tmp_path), os.getuid(), time.monotonic() + 10) == (1, 1)
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    try:
        assert epilog.files(str(tmp_path), os.getuid(), time.monotonic() + 10) is None
    finally:
        subprocess.run(["/usr/bin/rm", "-rf", str(tmp_path / "d")], check=True)


def test_a_link_in_the_place_of_a_folder_is_not_followed(epilog, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_text("x")
    top = tmp_path / "top"
    (top / "folder").mkdir(parents=True)
    seen = os.stat

    def swap(name, **how):
        """Somebody is quicker: what was a folder a moment ago is a link when it is entered."""
        found = seen(name, **how)
        if name == "folder" and not (top / "folder").is_symlink():
            shutil.move(top / "folder", tmp_path / "away")
            (top / "folder").symlink_to(tmp_path / "elsewhere")
        return found

    monkeypatch.setattr(epilog.os, "stat", swap)
    assert epilog.files(str(top), os.getuid(), time.monotonic() + 10) == (1, seen(tmp_path / "away").st_size)
