"""On a site for patients a node that lacks something gives no session: the page says so in time, and nothing is left.

Its own testbed: the demonstration's site file without what it lowers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import pytest

from enclave.messages import Check, Reason
from spawner import reasons
from testbed.build import Texts
from testbed.site import Testbed
from testbed.slurm import GPU_NODES
from tests.e2e import unfit
from tests.e2e.browser import Browser
from tests.e2e.nodes import held, left_behind, wait_until_empty

pytestmark = pytest.mark.site

KNOWABLE = 30
LAB_NOTICE = "const style = getComputedStyle(document.body, '::after'); return [style.content, style.width]"
AUDIT = "/var/log/renkei/audit.jsonl"


class Lacking(NamedTuple):
    """A node that lacks something, and a person who meets it."""

    check: Check
    broken: Callable[[unfit.Hosts], AbstractContextManager[None]]
    gpus: int = 0
    language: str = "en"


UNFIT = (
    Lacking(Check.NAMESPACES, unfit.without_namespaces),
    Lacking(Check.FUSE, unfit.without_fuse),
    Lacking(Check.SSHFS, unfit.with_old_sshfs),
    Lacking(Check.SWAP, unfit.with_swap),
    Lacking(Check.CORES, unfit.with_core_handler),
    Lacking(Check.GPU, unfit.as_it_is, gpus=1, language="ja"),
)


@pytest.fixture(scope="module")
def strict(site: Testbed) -> Iterator[Testbed]:
    """A site that lowers nothing but what the kernel's log keeps: that is one setting of the whole machine under the testbed."""
    text, _, _ = Texts().of(site.source)
    table = f'[preflight]\n{Check.CRASHES} = "banner"\n'
    lowers_nothing, tables = re.subn(r"^\[preflight\]\n(#.*\n|[a-z]+ = .*\n)*", table, text, flags=re.MULTILINE)
    assert tables == 1
    other = Testbed(f"{site.name}f", site.source, site.environment)
    try:
        other.up(texts=Texts(site=lowers_nothing))
        yield other
    finally:
        other.down()


@pytest.fixture(scope="module")
def page(strict: Testbed, pictures: Path) -> Iterator[Browser]:
    """Tanaka's browser."""
    browser = Browser(strict.url, "en", pictures)
    browser.log_in("tanaka", strict.passwords["tanaka"])
    yield browser
    browser.close()


def audited(site: Testbed) -> list[dict]:
    return [json.loads(line) for line in site.host("hub").path(AUDIT).read_text().splitlines()]


@pytest.mark.parametrize("lacking", UNFIT, ids=[str(each.check) for each in UNFIT])
def test_a_node_that_lacks_something_gives_no_session(strict, page, lacking):
    nodes = [strict.host(name) for name in GPU_NODES]
    page.open(f"/hub/lang/{lacking.language}?next=/hub/spawn")
    known = len(audited(strict))
    with lacking.broken(nodes):
        before = held(strict)
        page.choose(destination="kashiwa", gpus=lacking.gpus, hours=1)
        page.press_start()
        complaint = page.wait_for_complaint(KNOWABLE)
        wait_until_empty(strict)

        assert left_behind(strict, "tanaka", before) == set()
    assert complaint == reasons.sentence(Reason.NODE_UNFIT, lacking.language, lacking.check)
    told = audited(strict)[known:]
    findings = [(each["check"], each["level"], each["user"]) for each in told if each["event"] == "node-finding"]
    assert (str(lacking.check), "refuse", "tanaka") in findings
    # Before any certificate was made, so that there is none to take back.
    assert not [each for each in told if each["event"] in {"session-start", "certificate-renewed"}]
    assert [each["reason"] for each in told if each["event"] == "session-end"] == ["node-unfit"]


def test_a_node_that_lacks_nothing_does_and_a_demonstration_never_hides_that_it_is_one(page):
    page.open("/hub/lang/en?next=/hub/home")
    shown = [page.get(".demonstration").text]
    page.choose(destination="kashiwa", gpus=0, hours=1)
    shown.append(page.get(".demonstration").text)
    page.press_start()
    shown.append(page.get(".demonstration").text)
    page.wait_for_lab()
    said, width = page.driver.execute_script(LAB_NOTICE)
    page.picture("demonstration")
    page.stop()

    assert shown == [reasons.DEMONSTRATION] * 3
    assert (said, float(width.removesuffix("px")) > 100) == (f'"{reasons.DEMONSTRATION}"', True)


NODE = ("/usr/bin/env", "PYTHONPATH=/opt/renkei/src", "/opt/renkei/env/bin/python", "-m", "enclave", "preflight")
ENCLAVE = (*NODE, "--lowered", Check.CRASHES)


def test_a_node_whose_log_keeps_words_of_crashes_is_found(strict):
    node = strict.host("cx01")
    keeps = node.path("/proc/sys/debug/exception-trace").read_text().strip() != "0"

    said = json.loads(node.run([*NODE, "--json"], user="rs-tanaka").stdout)

    assert ([each["check"] for each in said["findings"]], said["fit"]) == ((["crashes"], False) if keeps else ([], True))


def test_an_administrator_sees_the_same_as_a_table(strict):
    node = strict.host("cx01")
    before = held(strict)

    fit = node.run(ENCLAVE, user="rs-tanaka")
    with unfit.with_old_sshfs([node]):
        old = node.run(ENCLAVE, user="rs-tanaka")
        as_json = node.run([*ENCLAVE, "--json"], user="rs-tanaka")
    with unfit.without_namespaces([node]):
        none = node.run(ENCLAVE, user="rs-tanaka")
    gpu = node.run([*ENCLAVE, "--gpus", "1", "--lowered", "gpu"], user="rs-tanaka")

    assert (fit.returncode, fit.stderr) == (0, "")
    passed = re.findall(r"^(\w+) +ok$", fit.stdout, flags=re.MULTILINE)
    assert [each for each in passed if each != Check.CRASHES] == [str(check) for check in Check if check is not Check.CRASHES]
    assert old.returncode == 1
    assert re.search(r"^sshfs +NOT OK \(refuse\)\n +fuse: unknown option.*contain_symlinks", old.stdout, flags=re.MULTILINE)
    answer = json.loads(as_json.stdout)
    assert (as_json.returncode, answer["fit"], [each["check"] for each in answer["findings"] if each["level"] == "refuse"]) == (
        1,
        False,
        ["sshfs"],
    )
    assert none.returncode == 1
    assert re.search(r"^namespaces +NOT OK \(refuse\)\n +unshare: .*not permitted", none.stdout, flags=re.MULTILINE)
    assert none.stdout.count("not checked") == len(Check) - 1
    assert gpu.returncode == 0
    assert "gpu          NOT OK (banner)" in gpu.stdout
    assert left_behind(strict, "tanaka", before) == set()
