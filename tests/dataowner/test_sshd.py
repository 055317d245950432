"""What sshd is told; sshd itself says what it would do with whom."""

import os
import socket
import subprocess
import threading
import time

import pytest

from dataowner import sockets, sshd, table
from testbed import programs
from tests.dataowner.owners import TABLE, make_key

AROUND = """
mount -t tmpfs none /run
mkdir -m 755 /run/sshd
{ grep -v '^sshd:' /etc/passwd; echo 'sshd:x:100:65534::/run/sshd:/usr/sbin/nologin'; } > /run/passwd
mount --bind /run/passwd /etc/passwd
exec "$@"
"""
"""Even to be asked, sshd wants its empty folder and its account."""


@pytest.fixture
def effective(side, tmp_path):
    """What sshd says that it would do with an account under the table's file."""
    key = make_key(tmp_path / "host")
    config = tmp_path / "sshd_config"
    config.write_text(f"HostKey {key}\n{sshd.text(table.parse(TABLE), side.places)}PermitTTY yes\n")

    def ask(account):
        argv = [*programs.outside(sshd.SSHD), "-T", "-f", str(config), "-C", f"user={account},host=gateway,addr=10.77.3.1"]
        around = ["/usr/bin/unshare", "--mount", "sh", "-ec", AROUND, "sh"]
        answer = subprocess.run([*around, *argv], capture_output=True, text=True, check=True)
        return dict(line.partition(" ")[::2] for line in answer.stdout.splitlines())

    return ask


def test_an_account_of_the_table_comes_by_certificate_alone_to_sftp_alone(side, effective):
    said = effective("jrs0017")

    assert said["trustedusercakeys"] == str(side.places.ca)
    assert said["revokedkeys"] == str(side.places.krl)
    assert said["authorizedprincipalscommand"].endswith("__main__.py principals %u %i %s")
    assert (said["authorizedkeysfile"], said["authenticationmethods"]) == ("none", "publickey")
    assert (said["permittty"], said["disableforwarding"], said["passwordauthentication"]) == ("no", "yes", "no")
    assert said["forcecommand"] == "internal-sftp -l INFO"


def test_read_only_is_what_nobody_has_to_be_named_for(effective):
    assert effective("jrs0023")["forcecommand"] == "internal-sftp -R -l INFO"


def test_whoever_is_not_in_the_table_is_touched_by_nothing(effective):
    said = effective("curator")

    assert (said["trustedusercakeys"], said["authorizedprincipalscommand"], said["forcecommand"]) == ("none", "none", "none")
    assert said["permittty"] == "yes"


def test_the_control_account_runs_one_program_and_nothing_else(side, effective):
    said = effective("renkei-control")

    assert said["forcecommand"].endswith("__main__.py control")
    assert (said["permittty"], said["disableforwarding"], said["maxsessions"]) == ("no", "yes", "1")
    assert said["authorizedkeysfile"] == str(side.places.control_keys)
    assert said["trustedusercakeys"] == "none"


def test_the_kernel_counts_a_connections_bytes_and_breaks_it_at_once():
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.create_connection(listening.getsockname()) as client:
        server, _ = listening.accept()
        with server:
            threading.Thread(target=server.sendall, args=(b"x" * 1000,), daemon=True).start()
            while len(client.recv(1000, socket.MSG_PEEK)) < 1000:
                time.sleep(0.01)
            client.recv(1000)
            client.sendall(b"y" * 10)
            server.recv(10)
            inode = os.fstat(server.fileno()).st_ino
            assert inode in sockets.of_process(os.getpid())

            found = sockets.traffic()[inode]
            assert (found.bytes_out, found.bytes_in) == (1000, 10)
            assert abs(time.time() - found.last_byte) < 2
            if os.geteuid() == 0:
                assert sockets.destroy(found)
                assert inode not in sockets.traffic()
                with pytest.raises(ConnectionError):
                    client.recv(1)
