"""What an owner is told to mend."""

from pathlib import Path

from dataowner import check
from tests.dataowner.owners import TABLE, OwnersSide


def test_a_host_that_keeps_no_log_of_sshds_is_told_so(side: OwnersSide, tmp_path: Path):
    log = tmp_path / "auth.log"
    side.places.settings.write_text(TABLE.replace("[owner]", f"[owner]\nlog = {log}"))

    before = [each for each in check.findings(side.places) if str(log) in each]
    log.touch()
    after = [each for each in check.findings(side.places) if str(log) in each]

    assert (len(before), after) == (1, [])
    assert "rsyslog" in before[0]
