"""A whole session on the testbed: Slurm's job, MUNGE, mount, walls, doorway, and what is left when it ends."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import ssl
import time
from pathlib import Path

import aiohttp
import pytest

from enclave.messages import Mechanism, Notice, Phase, Reason
from enclave.sandbox import SYSTEM_FOLDERS
from enclave.wire import CONTENT_SECURITY_POLICY
from testbed.layout import address
from tests.enclave.nodes import HIDDEN_ROOT, without_user_namespaces
from tests.enclave.sessions import on_node, ready
from tests.enclave.standin import BASE_URL, TOKEN

pytestmark = pytest.mark.site

NODE = "cx02"


@pytest.fixture(scope="module", params=Mechanism)
def session(request, site, tmp_path_factory):
    """One with each mechanism; the weaker one where users may make no namespaces and bubblewrap is setuid root."""
    # On a node of its own: elsewhere, tests count what is left.
    node = without_user_namespaces(site, NODE) if request.param is Mechanism.FUSERMOUNT else contextlib.nullcontext()
    with node, ready(site, tmp_path_factory.mktemp("session"), NODE, request.param) as found:
        yield found


def test_the_page_comes_through_the_doorway_under_the_policy(session):
    async def page(http, url):
        async with http.get(f"{url}lab") as answer:
            return answer.status, answer.headers, await answer.text()

    status, headers, text = session.hub.browse(page)
    assert (status, headers["Content-Security-Policy"], headers["Cache-Control"]) == (200, CONTENT_SECURITY_POLICY, "no-store")
    assert '"hubUser": "tanaka"' in text


def test_a_stranger_on_the_nodes_network_gets_no_answer(session):
    async def knock():
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=session.hub.browser(believed=False))) as http:
            with pytest.raises(aiohttp.ClientError):
                await http.get(f"https://{address(NODE)}:{session.hub.port}{BASE_URL}")
        with pytest.raises((ssl.SSLError, aiohttp.ClientError)):
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False)) as http:
                await http.get(f"https://{address(NODE)}:{session.hub.port}{BASE_URL}")

    session.hub.thread.do(knock())


def test_a_browser_without_a_token_is_sent_to_the_hub(session):
    async def page(http, url):
        async with http.get(f"{url}lab", headers={"Authorization": "token not-the-browsers"}, allow_redirects=False) as answer:
            return answer.status, answer.headers.get("Location", "")

    status, location = session.hub.browse(page)
    assert status == 302
    assert location.startswith("/hub/api/oauth2/authorize?client_id=jupyterhub-user-tanaka&")


def test_a_cell_reads_the_cloud_and_writes_to_the_own_folder(session):
    code = """
import os
own, mount = os.environ["CTLAB_WORK"], os.environ["RENKEI_MOUNT"]
with open(f"{own}/result.txt", "w") as stream:
    stream.write("written by a cell")
print(open(f"{own}/result.txt").read(), sorted(os.listdir(os.environ["CTLAB_DATA"])), os.getcwd() == own)
"""
    assert session.cell(code).strip() == "written by a cell ['phantom-chest', 'real-ct', 'society-jrs'] True"
    on_disk = session.site.host("cloud").path("/srv/cloud/people/jrs0017/result.txt")
    assert on_disk.read_text() == "written by a cell"
    assert on_disk.stat().st_uid == 6017


def test_a_module_beside_the_notebook_can_be_used_but_stands_for_no_other(session):
    # The cells run in the own folder; a folder that others write to would be no different.
    code = """
import pathlib, sys
pathlib.Path("numbers.py").write_text("raise SystemExit('not the library')")
pathlib.Path("beside.py").write_text("here = True")
sys.modules.pop("numbers", None)
import beside, numbers
print(beside.here, numbers.Number.__name__, sys.path.index(""), len(sys.path) - 1)
"""
    found = session.cell(code).split()
    assert found[:2] == ["True", "Number"]
    assert found[2] == found[3]


def test_a_cell_that_shows_much_still_gives_its_result(session):
    # 10 MB within a second, as a viewer's pictures: ten times what jupyter_server lets pass by default.
    code = """
import sys, time
for _ in range(20):
    sys.stdout.write("x" * 500_000)
    sys.stdout.flush()
    time.sleep(0.03)
time.sleep(0.5)
print("the result")
"""
    shown = session.cell(code)
    assert shown.count("x") == 10_000_000
    assert shown.endswith("the result\n")


def test_the_hub_hears_what_goes_on_and_the_session_what_the_hub_has_to_say(session):
    async def left(http, url):
        async with http.get(f"{url}renkei/time") as answer:
            return await answer.json()

    # A pulse from before was answered without it.
    known = len(session.hub.pulses)
    session.hub.notices = (Notice(id="n1", text="The power goes off at six."),)
    enough = session.site.host("cloud").path("/srv/cloud/people/jrs0017/enough")
    busy = "import os, time\nend = time.time() + 90\nwhile time.time() < end and not os.path.exists('enough'): time.sleep(0.2)"
    with concurrent.futures.ThreadPoolExecutor() as pool:
        cell = pool.submit(session.cell, busy, 100)
        end = time.monotonic() + 90
        while not (heard := [each for each in session.hub.pulses[known:] if each.kernels_busy == 1]) and time.monotonic() < end:
            time.sleep(0.2)
        enough.touch()
        cell.result(60)
    enough.unlink()
    pulse = heard[0]
    assert pulse.gpu_busy is None, "the testbed's GPUs are stand-ins, of which nobody can tell"
    assert pulse.sent > 1000
    assert pulse.idle_s < 1
    assert session.hub.browse(left)["notices"] == [{"id": "n1", "text": "The power goes off at six."}]


def test_a_cell_can_ask_when_the_session_ends_and_can_not_put_it_off(session):
    code = """
import ctlab, http.client, os, socket
def ask(method, body=None):
    asking = http.client.HTTPConnection("session")
    asking.sock = socket.socket(socket.AF_UNIX)
    asking.sock.connect("/run/renkei/hub.sock")
    asking.request(method, "/renkei/time", body)
    return asking.getresponse()
print(ctlab.deadline(), ctlab.should_stop())
print([ask(method, '{"deadline": 9e9}').status for method in ("POST", "PUT", "DELETE")])
os.environ["RENKEI_DEADLINE"] = "9e9"
print(ctlab.deadline(), ask("GET").read().decode())
"""
    deadline = session.hub.deadline
    said = session.cell(code).splitlines()
    assert said == [f"{deadline} False", "[403, 403, 403]", f'{deadline} {{"deadline": {deadline}}}']


def test_the_destination_decides_who_may_do_what(session):
    code = """
import os
mount = os.environ["RENKEI_MOUNT"]
for work, where in ((os.listdir, "people/jrs0023"), (os.mkdir, "datasets/x"), (os.listdir, "datasets/society-jrs")):
    try:
        work(f"{mount}/{where}")
        print("done")
    except OSError as error:
        print(type(error).__name__)
"""
    # jrs0017 is a member of the society, and not jrs0023.
    assert session.cell(code).split() == ["PermissionError", "PermissionError", "done"]


def test_inside_there_is_no_network_but_lo_and_no_way_out(session):
    code = f"""
import socket
print([name for _, name in socket.if_nameindex()])
for host, port in (("{address("hub")}", 8443), ("{address("gw", "link")}", 2201), ("{address(NODE)}", 22), ("1.1.1.1", 443)):
    try:
        socket.create_connection((host, port), 2)
        print("reached", host)
    except OSError as error:
        print(error.strerror)
try:
    socket.getaddrinfo("hub", 80)
except OSError as error:
    print("no names")
"""
    assert session.cell(code).strip().splitlines() == ["['lo']", *["Network is unreachable"] * 4, "no names"]


def test_inside_there_is_nothing_of_the_node(session):
    code = """
import json, os, pathlib, pwd, stat
sockets = []
for top in ("/run", "/tmp", "/var", "/home", "/dev", "/etc"):
    for folder, _, names in os.walk(top):
        if folder.startswith("/home/rs-tanaka/cloud"):
            continue
        sockets += [f"{folder}/{name}" for name in names if stat.S_ISSOCK(os.lstat(f"{folder}/{name}").st_mode)]
mounts = [line.split() for line in open("/proc/self/mountinfo")]
writable = {m[4]: m[m.index("-") + 1] for m in mounts if m[5].startswith("rw")}
print(json.dumps({
    "sockets": sockets,
    "accounts": [entry.pw_name for entry in pwd.getpwall()],
    "homes": os.listdir("/home"),
    "root": sorted(os.listdir("/")),
    "run": sorted(os.listdir("/run/renkei")),
    "processes": len([name for name in os.listdir("/proc") if name.isdigit()]),
    "writable": writable,
    "hostname": os.uname().nodename,
    "capabilities": [line.split()[1] for line in open("/proc/self/status") if line.startswith("Cap")],
    "core": pathlib.Path("/proc/self/coredump_filter").read_text().strip(),
}))
"""
    found = json.loads(session.cell(code))
    assert found["sockets"] == ["/run/renkei/hub.sock"]
    assert found["accounts"] == ["rs-tanaka"]
    assert found["homes"] == ["rs-tanaka"]
    made = {"dev", "etc", "home", "opt", "proc", "run", "sys", "tmp", "usr", "var"}
    assert set(found["root"]) <= made | {each.lstrip("/") for each in SYSTEM_FOLDERS}
    assert found["run"] == ["hub.sock", "kernels"]
    assert found["processes"] <= 6
    assert found["hostname"] == "renkei"
    assert set(found["capabilities"]) == {"0" * 16}
    assert found["core"] == "00000000"
    kinds = {path: kind for path, kind in found["writable"].items() if not path.startswith(("/dev/", "/proc"))}
    assert kinds.pop("/home/rs-tanaka/cloud") == "fuse.sshfs"
    assert set(kinds) == {"/dev", "/tmp", "/var/tmp", "/home", "/run"}
    assert set(kinds.values()) == {"tmpfs"}


def test_a_cell_can_not_make_namespaces_nor_move_what_it_stands_on(session):
    code = """
import os, subprocess
def tried(*argv):
    return subprocess.run(argv, capture_output=True).returncode != 0
print(tried("/usr/bin/unshare", "--user", "true"), tried("/usr/bin/umount", os.environ["RENKEI_MOUNT"]),
      tried("/usr/bin/rm", "/run/renkei/hub.sock"), tried("/usr/bin/touch", "/opt/renkei/x"), tried("/usr/bin/touch", "/x"))
"""
    assert session.cell(code).split() == ["True"] * 5


def test_no_secret_is_inside(session):
    # Said backwards, so that the question itself is not found.
    needles = [text[::-1] for text in (TOKEN, "PRIVATE KEY-----")]
    code = f"""
import os
needles = [text[::-1].encode() for text in {needles!r}]
places = [f"/proc/{{pid}}/{{name}}" for pid in os.listdir("/proc") if pid.isdigit() for name in ("environ", "cmdline")]
for top in ("/run/renkei", "/tmp", "/var", "/home", "/etc", "/dev/shm"):
    for folder, _, names in os.walk(top):
        if "/kernels" not in folder and "/cloud" not in folder:
            places += [f"{{folder}}/{{name}}" for name in names]
found = []
for place in places:
    try:
        text = open(place, "rb").read()
    except OSError:
        continue
    found += [place for needle in needles if needle in text]
print(len(places) > 10, found, os.environ["JUPYTERHUB_API_TOKEN"].startswith("not-a-token"))
"""
    assert session.cell(code).strip() == "True [] True"


def test_a_cell_asks_the_hub_for_nothing_but_what_the_server_may(session):
    code = """
import http.client, socket
class Hub(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("/run/renkei/hub.sock")
for call in ("GET ", "GET /users", "DELETE /users/tanaka/server", "POST /users/tanaka/tokens"):
    method, path = call.split(" ")
    hub = Hub("hub")
    hub.request(method, f"/hub/api{path}", headers={"Authorization": "token whatever"})
    print(hub.getresponse().status)
"""
    assert session.cell(code).split() == ["200", "403", "403", "403"]
    assert not [call for call in session.hub.calls if "tokens" in call[1] or call[0] == "DELETE"]


def test_the_own_activity_reaches_the_hub_with_the_token_that_the_doorway_adds(session):
    assert ("POST", "/hub/api/users/tanaka/activity", f"token {TOKEN}") in session.hub.calls


def test_what_the_node_sees_of_a_session(session):
    mounts = [line.split()[4] for line in session.mounts()]
    kept = {line.split()[-1] for line in session.kept()}
    if session.mechanism is Mechanism.NAMESPACES:
        assert (mounts, kept) == ([], set())
    else:
        (folder,) = [path for path in kept if path.count("/") == 3]
        assert folder.startswith(f"/dev/shm/renkei-{session.job}-")
        assert all(path.startswith(folder) for path in kept)
        assert [path.removeprefix(HIDDEN_ROOT) for path in mounts] == [f"{folder}/cloud"]
        assert "/srv/cloud" not in "".join(session.mounts())


@pytest.mark.parametrize("account", ["tanaka", "rs-suzuki"])
def test_what_the_node_sees_is_the_session_s_account_s_alone(session, account):
    node = session.site.host(NODE)
    for mount in (Path(line.split()[4]) for line in session.mounts()):
        for path in (mount, mount.parent, mount.parent / "keys", mount.parent / "keys" / "key", mount / "people"):
            assert node.run(["ls", str(path)], user="rs-tanaka").returncode == 0, path
            assert "Permission denied" in node.run(["ls", str(path)], user=account).stderr, path
        assert node.run(["ls", str(mount)]).returncode != 0


@pytest.mark.parametrize("account", ["tanaka", "rs-suzuki"])
def test_another_account_on_the_node_does_not_get_in(session, account):
    node = session.site.host(NODE)
    inner = [line.split() for line in node.run(["ps", "-eo", "pid,uid,args"]).stdout.splitlines()]
    pids = [words[0] for words in inner if words[1] == str(node.user("rs-tanaka").uid)]
    assert len(pids) > 4
    for pid in pids:
        for argv in (
            ["nsenter", "--target", pid, "--user", "--preserve-credentials", "--mount", "true"],
            ["nsenter", "--target", pid, "--mount", "true"],
            ["ls", f"/proc/{pid}/root/"],
            ["cat", f"/proc/{pid}/environ"],
            ["strace", "-e", "trace=none", "-p", pid],
        ):
            assert node.run(argv, user=account, timeout=5).returncode != 0, argv


def test_everything_goes_with_the_first_process(site, tmp_path):
    with ready(site, tmp_path) as session:
        session.cell("open('left.txt', 'w').write('x' * 10**6)")
        before = session.processes()
        assert any("sshfs" in line for line in before.values())
        assert any("enclave.inside" in line for line in before.values())
        session.kill_first()
        assert session.gone(5), session.processes()
        assert session.mounts() == []
        assert session.kept() == []
        session.ended()
    assert site.host("cloud").path("/srv/cloud/people/jrs0017/left.txt").stat().st_size == 10**6


def test_a_cancelled_job_ends_in_order(site, tmp_path):
    with ready(site, tmp_path) as session:
        session.cell("open('kept.txt', 'w').write('y' * 10**6)")
        site.run("hub", ["scancel", session.job], user="rs-tanaka", check=True)
        assert session.hub.wait(Phase.ENDED, Phase.FAILED, seconds=15).phase is Phase.ENDED
        assert session.gone(5), session.processes()
        assert [event.phase for event in session.hub.events][-2:] == [Phase.ENDING, Phase.ENDED]
        assert session.kept() == []
    assert site.host("cloud").path("/srv/cloud/people/jrs0017/kept.txt").stat().st_size == 10**6


def test_the_session_ends_when_its_time_is_up(site, tmp_path):
    with ready(site, tmp_path, seconds=20) as session:
        # What a training's loop asks at each step; then it writes what it has.
        session.cell("import ctlab\nwhile not ctlab.should_stop(): pass\nopen('checkpoint', 'wb').write(bytes(10**6))")
        event = session.hub.wait(Phase.ENDED, Phase.FAILED, seconds=33)
        late = time.time() - session.hub.deadline
        assert (event.phase, event.reason) == (Phase.ENDED, Reason.TIME_UP)
        # Told after everything was taken down, and well before Slurm would lose its patience (KillWait, 30 s).
        assert late < 15
        assert session.hub.residue is not None
        assert session.hub.residue.unmounted is not None
        assert session.ended() == "0:0"
        assert session.kept() == []
    assert site.host("cloud").path("/srv/cloud/people/jrs0017/checkpoint").stat().st_size == 10**6


def test_a_session_in_which_nothing_goes_on_ends_and_says_why(site, tmp_path):
    with on_node(site, tmp_path) as session:
        session.hub.idle_s = 1.0
        session.submit()
        event = session.hub.wait(Phase.ENDED, Phase.FAILED)
        assert (event.phase, event.reason) == (Phase.ENDED, Reason.IDLE)
        assert session.hub.pulses[-1].idle_s >= 1.0
        assert session.ended() == "0:0"
        assert session.kept() == []


def test_the_session_ends_when_the_server_ends_by_itself(site, tmp_path):
    with ready(site, tmp_path) as session:
        session.cell("import os, signal, threading; threading.Timer(1, os.kill, (os.getppid(), signal.SIGTERM)).start()")
        event = session.hub.wait(Phase.ENDED, Phase.FAILED, seconds=15)
        assert (event.phase, event.reason) == (Phase.ENDED, None)
        assert session.ended() == "0:0"


def test_the_session_ends_also_while_the_line_is_cut_and_a_cell_waits_for_it(site, tmp_path):
    reading = "import os, time\\nwhile True: time.sleep(0.2); os.listdir(os.environ['CTLAB_DATA'])"
    with ready(site, tmp_path) as session:
        session.cell(f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', \"{reading}\"], start_new_session=True)")
        site.cut()
        try:
            time.sleep(3)
            assert any("listdir" in line for line in session.processes().values())
            site.run("hub", ["scancel", session.job], user="rs-tanaka", check=True)
            assert session.hub.wait(Phase.ENDED, Phase.FAILED, seconds=20).phase is Phase.ENDED
            assert session.gone(5), session.processes()
            assert session.kept() == []
        finally:
            site.restore()


def test_a_folder_that_takes_no_presets_keeps_nobody_out(site, tmp_path):
    """A cell can leave anything in the own folder: who could not get in any more could not take it away again either."""
    tutorials = site.host("cloud").path("/srv/cloud/people/jrs0017/tutorials")
    there = tutorials.exists()
    if there:
        tutorials.rename(tutorials.with_name("aside"))
    tutorials.symlink_to("..")
    try:
        with ready(site, tmp_path) as session:
            said = [event.detail for event in session.hub.events if event.phase is Phase.SERVER]
            assert any(detail.startswith("the presets can't be written") for detail in said)
            assert session.cell("import os; os.remove(os.environ['RENKEI_OWN'] + '/tutorials'); print('done')").strip() == "done"
    finally:
        tutorials.unlink(missing_ok=True)
        if there:
            tutorials.with_name("aside").rename(tutorials)
