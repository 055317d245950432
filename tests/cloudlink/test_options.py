"""What the link is told, by sshfs and by people."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudlink.options import MEBI, parse

SSHFS = ["-x", "-a", "-oClearAllForwardings=yes", "-2", "-s", "--", "cloud", "sftp"]


def test_alone_it_is_sshs_place_that_it_takes():
    assert parse(SSHFS, {}).command == ("ssh", *SSHFS)


def test_own_words_come_first():
    found = parse(["--budget=60", "--names=yes", "--", "/opt/ssh", *SSHFS], {})

    assert (found.command, found.budget, found.names) == (("/opt/ssh", *SSHFS), 60, True)
    assert parse(["--budget=60", *SSHFS], {}).command == ("ssh", *SSHFS)


def test_the_environment_says_what_the_words_do_not():
    environment = {"CLOUDLINK_BUDGET": "7", "CLOUDLINK_WRITE_BUFFER": "2", "CLOUDLINK_STATE": "/run/state", "PATH": "/bin"}
    found = parse(["--budget=60", "--", "ssh", "cloud"], environment)

    assert (found.budget, found.write_buffer, found.state) == (60, 2 * MEBI, Path("/run/state"))


@pytest.mark.parametrize(
    "wrong", [["--budget=-1", *SSHFS], ["--budget=soon", *SSHFS], ["--what", *SSHFS], [], ["--budget=1", "--"]]
)
def test_what_makes_no_sense_is_refused(wrong, capsys):
    with pytest.raises(SystemExit) as ended:
        parse(wrong, {})

    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_files_are_not_named_unless_that_is_asked_for():
    assert "yamada" not in parse(SSHFS, {}).shown(b"/patients/yamada.nii")
    assert parse(["--names=yes", *SSHFS], {}).shown(b"/a.nii") == "/a.nii"
