"""Every way in which a session does not come to be, or is ended by others, has its reason; nothing is left on the node."""

from __future__ import annotations

import time

import pytest

from enclave.launch import EXIT_BAD_ORDER, EXIT_FAILED
from enclave.messages import Check, Finding, FindingLevel, Phase, Reason
from tests.enclave.sessions import on_node, ready

pytestmark = pytest.mark.site


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"port": 2299}, Reason.GATEWAY_REFUSED),
        ({"account": "jrs0023"}, Reason.CERTIFICATE_REFUSED),
        ({"host_keys": f"cloud ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{'A' * 43}"}, Reason.HOST_KEY_CHANGED),
        ({"port": 2202}, Reason.HOST_KEY_CHANGED),
        ({"path": "/srv/nowhere"}, Reason.MOUNT_FAILED),
        ({"folder": "people/nobody"}, Reason.MOUNT_FAILED),
    ],
)
def test_a_mount_that_can_not_be(site, tmp_path, change, reason):
    with on_node(site, tmp_path) as session:
        session.hub.destination_changes = change
        session.submit()
        event = session.hub.wait(Phase.READY, Phase.FAILED, seconds=30)
        assert (event.phase, event.reason) == (Phase.FAILED, reason), event.detail
        assert session.ended() == f"{EXIT_FAILED}:0"
        assert session.gone()
        assert session.kept() == []


def test_a_destination_that_does_not_answer(site, tmp_path):
    site.cut()
    try:
        with on_node(site, tmp_path) as session:
            session.submit()
            event = session.hub.wait(Phase.READY, Phase.FAILED, seconds=30)
            assert (event.phase, event.reason) == (Phase.FAILED, Reason.DESTINATION_DOWN), event.detail
    finally:
        site.restore()


def test_a_node_where_ordinary_users_may_not_mount(site, tmp_path):
    fuse = site.host("cx01").path("/dev/fuse")
    mode = fuse.stat().st_mode & 0o777
    fuse.chmod(0o600)
    try:
        with on_node(site, tmp_path) as session:
            session.submit()
            assert session.ended() == f"{EXIT_FAILED}:0"
            refusal = Finding(check=Check.FUSE, level=FindingLevel.REFUSE, detail="/dev/fuse: Permission denied")
            assert session.hub.refusals == (refusal,)
            assert session.hub.start is None
            assert session.gone()
            assert session.kept() == []
    finally:
        fuse.chmod(mode)


def test_software_that_is_not_there_stops_the_sandbox_and_is_named(site, tmp_path):
    with on_node(site, tmp_path) as session:
        session.submit(session.hub.order(software=("/opt/renkei", "/opt/nowhere")))
        assert session.ended() == f"{EXIT_FAILED}:0"
        (finding,) = session.hub.refusals
        assert (finding.check, finding.level) == (Check.SANDBOX, FindingLevel.REFUSE)
        assert "/opt/nowhere" in finding.detail
        assert session.hub.start is None


def test_a_server_that_can_not_start_says_why_to_the_administrator(site, tmp_path):
    with on_node(site, tmp_path) as session:
        session.hub.environment_changes = {"JUPYTERHUB_SINGLEUSER_APP": "notebook"}
        session.submit()
        event = session.hub.wait(Phase.READY, Phase.FAILED, seconds=30)
        assert (event.phase, event.reason) == (Phase.FAILED, Reason.SERVER_FAILED)
        assert "No module named 'notebook'" in event.detail


def test_a_hub_that_refuses_the_proof_hears_no_more(site, tmp_path):
    with on_node(site, tmp_path) as session:
        session.hub.refusal = Reason.PROOF_REFUSED
        session.submit()
        assert session.ended() == f"{EXIT_FAILED}:0"
        assert session.hub.events == []


def test_an_order_that_is_none(site):
    argv = ["/usr/bin/env", "PYTHONPATH=/opt/renkei/src", "/opt/renkei/env/bin/python", "-m", "enclave", "run"]
    for text in ("", "{}\n", "x" * 100_000):
        answer = site.run("cx01", argv, user="rs-tanaka", input=text)
        assert (answer.returncode, answer.stderr) == (EXIT_BAD_ORDER, "renkei: no order on standard input\n")


def test_outside_namespaces_of_its_own_it_touches_nothing(site, tmp_path):
    from enclave.messages import encode

    with on_node(site, tmp_path) as session:
        session.hub.refusal = Reason.PROOF_REFUSED
        argv = ["/usr/bin/env", "PYTHONPATH=/opt/renkei/src", "/opt/renkei/env/bin/python", "-m", "enclave", "run"]
        order = encode(session.hub.order()).decode() + "\n"
        assert site.run("cx01", argv, user="rs-tanaka", input=order).returncode != 0
        assert session.kept() == []


def test_a_crashed_server_ends_the_session(site, tmp_path):
    with ready(site, tmp_path) as session:
        session.cell("import os, signal; os.kill(int(os.environ['JPY_PARENT_PID']), signal.SIGKILL)", seconds=15)
        event = session.hub.wait(Phase.ENDED, Phase.FAILED, seconds=15)
        assert (event.phase, event.reason) == (Phase.FAILED, Reason.SERVER_FAILED)
        assert session.gone()


def test_certificates_are_renewed_and_a_revoked_one_ends_the_session(site, tmp_path):
    with ready(site, tmp_path, lifetime=25) as session:
        end = time.monotonic() + 20
        while session.hub.renewals == 0 and time.monotonic() < end:
            time.sleep(0.1)
        assert session.hub.renewals == 1
        session.hub.refusal = Reason.CANCELLED
        event = session.hub.wait(Phase.ENDED, Phase.FAILED, seconds=20)
        assert (event.phase, event.reason) == (Phase.ENDED, Reason.CANCELLED)
