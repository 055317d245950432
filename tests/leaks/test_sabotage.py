"""Where a wall is missing, the check that guards it finds something: the test of the tests."""

from __future__ import annotations

import pytest

from enclave.messages import Check
from testbed.layout import PAGE_PORT, address
from tests.enclave.sessions import ready
from tests.leaks.around import AROUND, without_its_mount
from tests.leaks.places import leaks
from tests.leaks.sabotage import MOUNTPOINT, NAMES_IN_LOGS, SABOTAGES, Sabotage, changed
from tests.leaks.scan import Canary
from tests.leaks.session import carry_names, looked, new_names

pytestmark = pytest.mark.site

NODE = "cx02"
LOWERED = {'"lowered":[': '"lowered":["walls",'}
"""In the order: the preflight, which sees some of it, tells it and lets it pass. No site file may say so."""


def noticed(site, folder, sabotage: Sabotage) -> dict[str, list[str]]:
    """What each check that guards the missing wall found in a session without it, and after that session."""
    host = site.host(NODE)
    found = {}
    if sabotage.node:
        host.run(sabotage.node, check=True)
    names = new_names()
    old, new = sabotage.script
    replaced = {old: new.replace("NAME", names[0]), **LOWERED} if old else LOWERED

    def script(text: str) -> str:
        for each, other in replaced.items():
            assert each in text
            text = text.replace(each, other)
        return text

    with changed(site, host, sabotage.source), ready(site, folder, NODE, change=script) as session:
        if any(each.check is Check.WALLS for each in session.hub.findings):
            found["refused"] = ["by the preflight"]
        carry_names(session, names, sabotage.paths)
        if sabotage.looks:
            found |= looked(session, sabotage.looks)
        found |= {name: AROUND[name](session, names) for name in sabotage.around}
    if sabotage.left:
        found["left"] = leaks(site, tuple(Canary("name", each.encode()) for each in names), [NODE])
    return found


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda each: each.name)
def test_a_missing_wall_is_noticed(site, tmp_path, sabotage):
    try:
        found = noticed(site, tmp_path, sabotage)
    finally:
        clean(site)
    outside = {name for name in ("left", "refused") if getattr(sabotage, name)}
    assert found.keys() == {*sabotage.looks, *sabotage.around, *outside}
    assert [name for name, findings in found.items() if not findings] == []


def test_a_mountpoint_that_can_be_written_is_noticed(site, tmp_path):
    with changed(site, site.host(NODE), MOUNTPOINT), ready(site, tmp_path, NODE) as session:
        assert "done" in without_its_mount(session)


def test_logs_of_the_hub_that_name_files_are_noticed(site_with_hub):
    site = site_with_hub
    names = new_names()
    with changed(site, site.host("hub"), NAMES_IN_LOGS):
        site.restart_hub()
        site.run("hub", ["curl", "--silent", f"http://{address('hub')}:{PAGE_PORT}/user/tanaka/api/contents/{'/'.join(names)}"])
    found = leaks(site, tuple(Canary("name", each.encode()) for each in names), ["hub"])
    site.restart_hub()
    assert any("/hub.log" in each for each in found), found


CLEAN = """
mount --no-mtab -o remount,hidepid=invisible /proc
rm -rf /var/tmp/* /dev/shm/* /home/rs-tanaka/* /home/rs-tanaka/.[a-z]*
ipcrm --all
mount --no-mtab -t mqueue none /mnt && rm -f /mnt/* && umount /mnt
"""


def clean(site) -> None:
    """Put the node back as it was."""
    site.run(NODE, ["sh", "-ec", CLEAN], check=True)
