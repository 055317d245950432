"""What the owner reads where something is missing: what it is, and what to do."""

from __future__ import annotations

import json

import pytest

from dataowner import check, verbs
from dataowner.places import UnusableError
from tests.dataowner.owners import TABLE, OwnersSide


def test_list_says_that_the_watcher_has_to_be_started(side: OwnersSide):
    side.places.live.unlink(missing_ok=True)

    with pytest.raises(UnusableError, match=r"watcher.*Start the service renkei-owner"):
        verbs.show(side.places)


def test_a_log_that_is_elsewhere_is_a_sentence_that_leads_to_check(side: OwnersSide):
    side.places.settings.write_text(TABLE.replace("10.77.3.1", f"10.77.3.1\nlog = {side.places.root}/nowhere.log"))
    side.places.live.write_text(json.dumps({"time": 1.0, "connections": []}))

    with pytest.raises(UnusableError, match=r"nowhere\.log.*check"):
        verbs.log(side.places)


def test_what_is_no_session_is_named_with_what_can_be_revoked(side: OwnersSide):
    with pytest.raises(UnusableError, match=r"^'no-such' is no session\b.*list"):
        verbs.revoke(side.places, "session", "no-such")


@pytest.mark.parametrize(
    ("found", "said"), [(["One."], "1 thing to mend"), (["One.", "Two."], "2 things to mend"), ([], "all is well")]
)
def test_findings_are_counted(side: OwnersSide, monkeypatch, capsys, found, said):
    monkeypatch.setattr(check, "findings", lambda _places: found)

    verbs.examine(side.places)

    assert capsys.readouterr().out.splitlines()[-1] == said
