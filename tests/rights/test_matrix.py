"""Who may do what through the mount is what they may on the cloud itself: each answer is asked for in both places."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from tests.guest import guest
from tests.rights.attempts import VERBS, program
from tests.rights.places import PLACES, ROOT, listing, make

pytestmark = pytest.mark.site

PEOPLE = {"tanaka": ("jrs0017", "jrs0023"), "suzuki": ("jrs0023", "jrs0017")}
"""Person → the own account, and the other one of two: jrs0017 is a member of the society, jrs0023 is not."""

LINKS = {"follow_out", "follow_up"}
"""What only the mount refuses, and shall: a link that leads out of its folder would be followed on the node."""
KNOWN = {
    "keep_owner": "sshfs passes the session's own numbers on, which are somebody else's at the cloud",
    "give_to_group": "the node's kernel doesn't know the cloud's numbers of groups in the session's user namespace",
    "touch": "SFTP always says which time, and that is the owner's right alone",
    "list": "SFTP's server leaves out what it may name but not look at: a folder that may be listed, not entered, is shown empty",
}
"""Verb → why the mount may refuse what the cloud allows. Never the other way."""


@dataclass(frozen=True)
class Answers:
    """To every attempt, and what lay there afterwards."""

    through: dict[str, list[object]]
    local: dict[str, list[object]]
    left_through: list[str]
    left_local: list[str]

    def differences(self) -> set[str]:
        """Attempts that were answered differently."""
        return {each for each in self.local if self.through.get(each) != self.local[each]}


@pytest.fixture(scope="module", params=PEOPLE)
def answers(request, site_with_hub):
    site, (account, other) = site_with_hub, PEOPLE[request.param]
    host, names = site.host("cloud"), " ".join(PLACES)
    mounted, local = (make(host, f"{request.param}-{copy}", account, other) for copy in ("mounted", "local"))
    with guest(site, request.param) as person:
        root = person.ask("import os\nos.environ['RENKEI_MOUNT']") + mounted.removeprefix("/srv/cloud")
        through = person.ask(program(root, names))
    script = program(local, names).rpartition("\n")[0]
    said = host.run(["/usr/bin/python3", "-I", "-S", "-", local, names], user=account, input=script, check=True)
    yield Answers(through, json.loads(said.stdout), listing(host, mounted), listing(host, local))
    host.run(["rm", "-r", ROOT], check=True)


def test_every_attempt_was_answered_in_both_places(answers):
    assert len(answers.through) == len(answers.local) == len(PLACES) * len(VERBS)


def test_every_verb_is_allowed_somewhere_and_refused_elsewhere(answers):
    """Otherwise the matrix would show nothing. Nobody but root may give a file to somebody else."""
    one_sided = {verb for verb in VERBS if not {"done", "refused"} <= {answers.local[f"{place} {verb}"][0] for place in PLACES}}

    assert one_sided <= {"give_away", "give_to_group"}
    assert answers.local["own give_away"] == ["refused"]


def test_the_mount_allows_nothing_that_the_cloud_refuses(answers):
    assert [each for each in answers.local if answers.through[each][0] == "done" and answers.local[each][0] != "done"] == []


def test_the_mount_refuses_nothing_that_the_cloud_allows_but_for_known_reasons(answers):
    assert {each.split()[1] for each in answers.differences()} - LINKS <= KNOWN.keys()
    assert {each for each in answers.differences() if each.endswith(" list")} <= {"listed-not-entered list"}


def test_a_link_that_leads_out_of_its_folder_is_followed_nowhere(answers):
    asked = [each for each in answers.local if each.split()[1] in LINKS]

    assert {answers.through[each][0] for each in asked} <= {"refused", "missing"}
    assert {answers.local[each][0] for each in asked} == {"done", "refused"}


def test_what_was_done_is_the_same_in_both_places(answers):
    assert answers.left_through == answers.left_local
    assert len(answers.left_local) > 5 * len(PLACES)


def test_society_data_is_for_members_alone(answers, request):
    member = request.node.callspec.params["answers"] == "tanaka"

    assert (answers.through["society-data read"][0] == "done") is member
    assert (answers.through["society-work create"][0] == "done") is member
    assert answers.through["society-data write"] == ["refused"]
