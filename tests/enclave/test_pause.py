"""A session whose mount goes through the link."""

from __future__ import annotations

import concurrent.futures
import re
import time

import pytest

from enclave.messages import Phase
from tests.enclave.sessions import on_node

pytestmark = pytest.mark.site

WRITING_ON = """
import os, time
with open("across", "wb") as kept:
    kept.write(b"before")
    kept.flush()
    os.fsync(kept.fileno())
    open("half", "w").close()
    while not os.path.exists("go"): time.sleep(0.2)
    kept.write(b" and after")
print(open("across").read())
import ct_startup
print(ct_startup.storage())
"""


def test_where_the_site_says_so_a_broken_line_is_a_pause_and_the_end_is_in_order(site, tmp_path):
    own = site.host("cloud").path("/srv/cloud/people/jrs0017")
    with on_node(site, tmp_path) as session, concurrent.futures.ThreadPoolExecutor() as pool:
        session.hub.destination_changes = {"pause_s": 600}
        session.submit()
        assert session.hub.wait(Phase.READY, Phase.FAILED).phase is Phase.READY
        cell = pool.submit(session.cell, WRITING_ON)
        end = time.monotonic() + 60
        while not (own / "half").exists():
            assert time.monotonic() < end, "the cell did not begin to write"
            time.sleep(0.1)
        site.reset()
        (own / "go").touch()

        said = cell.result(60)
        # The link writes twice a second how it does: so shortly after the break it may still say the one or already the other.
        assert re.fullmatch(r"before and after\nStorage( paused \d:\d\d, your work is kept\.|: .+ read, .+ written, .+)\n", said)
        site.run("hub", ["scancel", session.job], user="rs-tanaka", check=True)
        assert session.hub.wait(Phase.ENDED, Phase.FAILED, seconds=20).phase is Phase.ENDED
        assert session.gone(5), session.processes()
        assert session.kept() == []
    for name in ("across", "half", "go"):
        (own / name).unlink()
