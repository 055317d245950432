"""The order of all tests, and which need a machine that this one is not."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

from testbed import cloud, postgres, services
from testbed.build import Texts
from testbed.layout import NODES
from testbed.site import Testbed

# How long an example takes is the machine's business, which others use too.
hypothesis.settings.register_profile("renkei", hypothesis.settings.default, deadline=None)
hypothesis.settings.load_profile("renkei")

GPU_TESTS = Path(__file__).parent / "gpu"
LOGS = (
    *(("hub", services.HUB_LOG), ("hub", "/var/log/renkei/audit.jsonl")),
    *((destination, log) for destination in ("cloud", "kashiwa") for log in (cloud.LOG, "/var/log/renkei-owner.log")),
)


def gpu_present() -> bool:
    """Whether the driver of a GPU answers here."""
    command = shutil.which("nvidia-smi")
    return command is not None and subprocess.run([command, "-L"], capture_output=True, check=False, timeout=60).returncode == 0


def gpu_test_count() -> int:
    """How many test functions tests/gpu holds."""
    trees = (ast.parse(path.read_text()) for path in GPU_TESTS.rglob("test_*.py"))
    return sum(node.name.startswith("test_") for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pictures", metavar="DIR", help="keep the browser tests' screenshots in this folder")
    parser.addoption("--scheduler", choices=("slurm", "pjm"), default="slurm", help="which batch system the shared site has")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_GPU] = gpu_present()


_GPU = pytest.StashKey[bool]()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return True if collection_path == GPU_TESTS and not config.stash[_GPU] else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Quick tests first, then slow ones, then those with a site, then the browser: what fails, fails early."""

    def stage(item: pytest.Item) -> int:
        if "e2e" in item.path.parts:
            return 3
        return 2 if item.get_closest_marker("site") else 1 if item.get_closest_marker("slow") else 0

    items.sort(key=stage)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if not config.stash[_GPU]:
        terminalreporter.write_line(f"tests/gpu: no device here, {gpu_test_count()} tests not collected")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What the hosts wrote, beside a failure at a site: the site is gone by the time that somebody reads of it."""
    report = yield
    if report.failed:
        there = {each.name: each for each in getattr(item, "funcargs", {}).values() if isinstance(each, Testbed) and each.complete}
        for testbed in there.values():
            for host, path in LOGS:
                report.sections.append((f"{testbed.name}, {host}: {path}", services.tail(testbed.host(host), path, 6000)))
    return report


_SITE = pytest.StashKey[Testbed]()


@pytest.fixture(scope="session")
def site(request: pytest.FixtureRequest) -> Iterator[Testbed]:
    """One testbed for all tests that need a site, without JupyterHub; whoever changes it puts it back."""
    testbed = Testbed(f"t{os.getpid()}")
    try:
        testbed.up(hub=False, texts=Texts.on(request.config.getoption("--scheduler"), testbed.source))
        request.config.stash[_SITE] = testbed
        yield testbed
    finally:
        testbed.down()


@pytest.fixture(scope="module", autouse=True)
def _nothing_made_by_hand_stays(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a file's tests put on the nodes goes with them, and they leave the cloud as it was: others look at all of it."""
    yield
    testbed = request.config.stash.get(_SITE, None)
    if testbed is not None and testbed.complete:
        assert {path.name for path in testbed.host("cloud").path("/srv/cloud").iterdir()} == {"datasets", "people"}
        for node in (testbed.host(name) for name in NODES):
            for path in node.path("/tmp").iterdir():
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """One PostgreSQL for all tests that need one; whoever writes into its database clears what they wrote."""
    with postgres.cluster() as url:
        yield url


@pytest.fixture(scope="session")
def site_with_hub(site: Testbed) -> Testbed:
    """The same testbed, with authority, JupyterHub and page."""
    site.up()
    return site


@pytest.fixture(scope="session")
def site_on_pjm() -> Iterator[Testbed]:
    """One testbed for all tests that need PJM: one line of its site file is another; whoever changes it puts it back."""
    testbed = Testbed(f"t{os.getpid()}j")
    try:
        testbed.up(texts=Texts.on("pjm", testbed.source))
        yield testbed
    finally:
        testbed.down()
