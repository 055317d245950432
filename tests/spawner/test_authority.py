"""The authority: who may ask, what is signed, what is refused, what is written down."""

import asyncio
import base64
import contextlib
import json
import os
import pwd
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spawner.authority import table as tables
from spawner.authority.client import AuthorityClient, AuthorityDownError, AuthorityRefusedError
from spawner.authority.protocol import LINE_LIMIT, Account, Refused
from spawner.authority.service import AlreadyRunningError, Authority, Serials
from spawner.authority.signing import SSH_KEYGEN, BadKeyError, checked_public_key

ME = pwd.getpwuid(os.geteuid()).pw_name
SESSION = "abcdefgh12345678"
ROOT = Path(__file__).parents[2]

TABLE = """
socket = "{folder}/authority.sock"
client = "{client}"
lifetime = 900
log = "{folder}/signed.jsonl"

[[destination]]
name = "cloud"
ca_key = "{folder}/cloud"
source = ["10.77.3.1/32", "10.77.9.0/24"]

[[account]]
user = "sato"
destination = "cloud"
account = "c-sato"
folder = "people/c-sato"
"""


def make_key(path: Path) -> str:
    """A new key pair at `path`; the public half without its comment."""
    subprocess.run([SSH_KEYGEN, "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)], check=True)
    return path.with_suffix(".pub").read_text().strip()


@pytest.fixture(scope="session")
def public_key(tmp_path_factory):
    return make_key(tmp_path_factory.mktemp("key") / "session")


@pytest.fixture
def table(tmp_path):
    """A table of one destination and one person, for this test's own account."""
    make_key(tmp_path / "cloud")
    path = tmp_path / "authority.toml"
    path.write_text(TABLE.format(folder=tmp_path, client=ME))
    path.chmod(0o600)
    return path


@contextlib.asynccontextmanager
async def serving(table: Path):
    """An authority that listens, and a client of it."""
    authority = Authority(table)
    task = asyncio.create_task(authority.run())
    client = AuthorityClient(authority.socket)
    for _ in range(100):
        with contextlib.suppress(AuthorityDownError, AuthorityRefusedError):
            await client.accounts("nobody")
            break
        await asyncio.sleep(0.005)
    try:
        yield client
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        os.close(authority._lock)


def described(certificate: str, folder: Path) -> str:
    """What ssh-keygen says about `certificate`."""
    path = folder / "described-cert.pub"
    path.write_text(certificate)
    shown = subprocess.run([SSH_KEYGEN, "-L", "-f", str(path)], check=True, capture_output=True, text=True, env={"TZ": "UTC"})
    return shown.stdout


async def test_a_certificate_permits_one_account_files_only_from_the_gateway_for_minutes(table, public_key, tmp_path):
    before = time.time()
    async with serving(table) as client:
        signed = await client.sign(user="sato", destination="cloud", session=SESSION, public_key=public_key)
    text = described(signed.certificate, tmp_path)
    assert f'Key ID: "session={SESSION}"' in text
    assert f"Serial: {signed.serial}" in text
    assert re.search(r"Principals: \n +c-sato\n +Critical Options", text)
    assert re.search(r"force-command internal-sftp\n +source-address 10\.77\.3\.1/32,10\.77\.9\.0/24\n +Extensions: \(none\)", text)
    assert before + 895 < signed.expires < before + 905
    assert f"to {time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(signed.expires))}" in text


async def test_what_was_signed_is_in_the_log_before_it_is_answered(table, public_key, tmp_path):
    async with serving(table) as client:
        signed = await client.sign(user="sato", destination="cloud", session=SESSION, public_key=public_key)
    (line,) = (tmp_path / "signed.jsonl").read_text().splitlines()
    entry = json.loads(line)
    assert entry["serial"] == signed.serial
    assert (entry["session"], entry["user"], entry["account"], entry["destination"]) == (SESSION, "sato", "c-sato", "cloud")
    assert entry["valid_from"] < entry["valid_to"]
    assert (tmp_path / "signed.jsonl").stat().st_mode & 0o777 == 0o600


async def test_a_log_that_cannot_be_written_lets_no_certificate_out(table, public_key, tmp_path):
    async with serving(table) as client:
        (tmp_path / "signed.jsonl").mkdir()
        with pytest.raises(AuthorityDownError, match=r"signed\.jsonl"):
            await client.sign(user="sato", destination="cloud", session=SESSION, public_key=public_key)


async def test_accounts_are_the_rows_of_that_person(table):
    async with serving(table) as client:
        assert await client.accounts("sato") == (Account(destination="cloud", account="c-sato", folder="people/c-sato"),)
        assert await client.accounts("nobody-here") == ()


@pytest.mark.parametrize(("user", "destination"), [("mori", "cloud"), ("sato", "kashiwa"), ("Sato", "cloud"), ("sato;x", "cloud")])
async def test_without_a_row_there_is_no_certificate(table, public_key, user, destination):
    async with serving(table) as client:
        with pytest.raises(AuthorityRefusedError):
            await client.sign(user=user, destination=destination, session=SESSION, public_key=public_key)


@pytest.mark.parametrize("session", ["short", "ABCDEFGH12345678", 'abcdefgh1234567"', "abcdefgh12345678\n"])
async def test_a_session_is_sixteen_plain_characters(table, public_key, session):
    async with serving(table) as client:
        with pytest.raises(AuthorityRefusedError, match="session"):
            await client.sign(user="sato", destination="cloud", session=session, public_key=public_key)


async def test_only_the_client_account_may_ask(table, public_key, tmp_path):
    table.write_text(TABLE.format(folder=tmp_path, client="daemon" if ME != "daemon" else "nobody"))
    async with serving(table) as client:
        with pytest.raises(AuthorityRefusedError, match="not for this account"):
            await client.accounts("sato")


async def test_many_at_once_get_different_serials(table, public_key):
    async with serving(table) as client:
        ask = [client.sign(user="sato", destination="cloud", session=SESSION, public_key=public_key) for _ in range(24)]
        serials = [signed.serial for signed in await asyncio.gather(*ask)]
    assert len(set(serials)) == 24
    assert all(0 < serial < 2**64 for serial in serials)


def test_a_clock_set_back_gives_no_serial_twice(tmp_path):
    future = time.time_ns() + 10**18
    log = tmp_path / "signed.jsonl"
    log.write_text(f'cut off"}}\n{{"event":"signed","serial":{future}}}\n{{"event":"other"}}\n')
    assert Serials(log).next() == future + 1


async def test_a_new_row_counts_at_once_and_a_broken_table_stops_everything(table, public_key, tmp_path):
    whole = table.read_text()
    async with serving(table) as client:
        table.write_text(whole + '[[account]]\nuser = "mori"\ndestination = "cloud"\naccount = "c-mori"\nfolder = "c-mori"\n')
        assert [each.account for each in await client.accounts("mori")] == ["c-mori"]
        table.write_text(whole + "[[account]]\nuser = 5\n")
        with pytest.raises(AuthorityDownError, match="can't be used now"):
            await client.accounts("sato")
        with pytest.raises(AuthorityDownError):
            await client.sign(user="sato", destination="cloud", session=SESSION, public_key=public_key)
        table.write_text(whole)
        assert await client.accounts("mori") == ()
        assert len(await client.accounts("sato")) == 1


async def test_rubbish_and_too_much_of_it_end_one_connection_only(table):
    async with serving(table) as client:
        for line in (b"rubbish\n", b"{}\n", b'{"ask":"keys"}\n', b"\xff\xfe\n"):
            reader, writer = await asyncio.open_unix_connection(client.socket)
            writer.write(line)
            assert isinstance(msgspec.json.decode(await reader.readline(), type=Refused), Refused)
            writer.close()
        reader, writer = await asyncio.open_unix_connection(client.socket)
        writer.write(b"x" * (LINE_LIMIT * 3))
        assert await reader.read() == b""
        writer.close()
        assert await client.accounts("mori") == ()


async def test_an_authority_that_is_away_is_named_so(tmp_path):
    with pytest.raises(AuthorityDownError):
        await AuthorityClient(str(tmp_path / "nothing.sock")).accounts("sato")


async def test_an_authority_that_hangs_is_left_in_time(tmp_path):
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(tmp_path / "mute.sock"))
        mute.listen()
        with pytest.raises(AuthorityDownError, match=r"within 0\.2 s"):
            await AuthorityClient(str(tmp_path / "mute.sock"), timeout=0.2).accounts("sato")


async def test_a_signature_is_quick(table, public_key):
    async with serving(table) as client:
        times = []
        for _ in range(9):
            start = time.perf_counter()
            await client.sign(user="sato", destination="cloud", session=SESSION, public_key=public_key)
            times.append(time.perf_counter() - start)
    assert sorted(times)[4] < 0.2  # some 20 ms where nothing else runs


def test_two_authorities_do_not_share_a_log(table):
    first = Authority(table)
    with pytest.raises(AlreadyRunningError):
        Authority(table)
    os.close(first._lock)


WRONG = [
    ('client = "{client}"', "client = 5", r"client"),
    ("lifetime = 900", "lifetime = 7200", r"lifetime"),
    ("lifetime = 900", "lifetime = 900\nlifetimes = 1", r"lifetimes"),
    ('client = "{client}"', 'client = "no-such-account-here"', r"client"),
    ('source = ["10.77.3.1/32", "10.77.9.0/24"]', "source = []", r"source"),
    ('source = ["10.77.3.1/32", "10.77.9.0/24"]', 'source = ["10.77.3.1/24"]', r"source.*10\.77\.3\.1/24|10\.77\.3\.1/24.*source"),
    ('destination = "cloud"', 'destination = "clod"', r"clod.*account\[0\]"),
    ('account = "c-sato"', 'account = "c-sato,root"', r"account"),
    ('folder = "people/c-sato"', 'folder = "../c-other"', r"folder"),
    ('folder = "people/c-sato"', 'folder = "/etc"', r"folder"),
    ('ca_key = "{folder}/cloud"', 'ca_key = "{folder}/nowhere"', r"nowhere"),
    ("[[destination]]", "[[destination", r"authority\.toml"),
]


@pytest.mark.parametrize(("right", "wrong", "named"), WRONG)
def test_a_wrong_table_stops_the_start_with_the_place(table, tmp_path, right, wrong, named):
    assert right in TABLE
    table.write_text(TABLE.replace(right, wrong).format(folder=tmp_path, client=ME))
    with pytest.raises(tables.TableError, match=named) as caught:
        Authority(table)
    assert str(caught.value).startswith(str(table))


def test_a_key_that_others_can_read_stops_the_start(table, tmp_path):
    (tmp_path / "cloud").chmod(0o640)
    with pytest.raises(tables.TableError, match=r"mode 0600, got 0640"):
        tables.load(table)


def test_a_table_that_others_can_write_stops_the_start(table):
    table.chmod(0o664)
    with pytest.raises(tables.TableError, match="writable by its owner only"):
        tables.load(table)


def key_text(kind: bytes, body: bytes) -> str:
    blob = struct.pack(">I", len(kind)) + kind + struct.pack(">I", len(body)) + body
    return f"ssh-ed25519 {base64.b64encode(blob).decode()}"


def test_the_key_of_a_session_is_taken(public_key):
    assert checked_public_key(public_key) == public_key
    assert checked_public_key(key_text(b"ssh-ed25519", bytes(32)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ssh-ed25519",
        "ssh-ed25519 ",
        key_text(b"ssh-ed25519", bytes(31)),
        key_text(b"ssh-ed25519", bytes(33)),
        key_text(b"ssh-rsa", bytes(32)),
        key_text(b"ssh-ed25519", bytes(32)) + " comment",
        key_text(b"ssh-ed25519", bytes(32)) + "\n",
        key_text(b"ssh-ed25519", bytes(32)) + "\n" + key_text(b"ssh-ed25519", bytes(32)),
        'command="sh" ' + key_text(b"ssh-ed25519", bytes(32)),
        key_text(b"ssh-ed25519", bytes(32)).replace("ssh-ed25519 ", "ssh-ed25519  "),
        key_text(b"ssh-ed25519", bytes(32)) + "AAAA",
        key_text(b"ssh-ed25519", bytes(32)).replace("ssh-ed25519 ", "ssh-rsa "),
    ],
)
def test_anything_else_than_one_bare_key_is_refused(text):
    with pytest.raises(BadKeyError):
        checked_public_key(text)


@given(st.one_of(st.text(), st.binary().map(lambda raw: "ssh-ed25519 " + base64.b64encode(raw).decode())))
def test_whatever_is_taken_is_one_line_of_the_one_length(text):
    try:
        key = checked_public_key(text)
    except BadKeyError:
        return
    assert key == text
    assert len(base64.b64decode(key.split(" ")[1])) == 51
    assert "\n" not in key


def start(table: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", "spawner.authority", str(table)], cwd=ROOT, stderr=subprocess.PIPE, text=True)


async def test_the_process_signs_and_ends_when_told(table, public_key, tmp_path):
    process = start(table)
    try:
        client = AuthorityClient(str(tmp_path / "authority.sock"))
        for _ in range(100):
            with contextlib.suppress(AuthorityDownError):
                assert await client.accounts("sato")
                break
            await asyncio.sleep(0.05)
        signed = await client.sign(user="sato", destination="cloud", session=SESSION, public_key=public_key)
        assert signed.certificate.startswith("ssh-ed25519-cert-v01@openssh.com ")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    finally:
        process.kill()
        process.communicate()


def test_the_process_says_what_is_wrong_in_one_line(table, tmp_path):
    (tmp_path / "cloud").chmod(0o644)
    process = start(table)
    _out, said = process.communicate(timeout=20)
    assert process.returncode == 1
    assert said.count("\n") == 1
    assert "ca_key" in said
