"""A site flips one line of its site file from Slurm to PJM, and every page says the same, but for what is named here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from phrases import translator
from spawner import reasons
from spawner.form import SILENT
from spawner.sessions import Step
from testbed.site import Testbed
from tests.e2e.browser import Browser
from tests.e2e.centre import delete, jobs, on_pjm, paused
from tests.e2e.nodes import wait_until_empty

pytestmark = [pytest.mark.site, pytest.mark.timeout(300)]

FREE, PLACE = "what is free", "place in the queue"
OTHERWISE = {FREE, PLACE}
"""All that PJM tells no ordinary account, so that no page can ("What is weaker than on Slurm" in docs/pjm.md)."""
PEOPLE = {"ja": "tanaka", "en": "suzuki"}
MOVING = re.compile(r"\d{4}/\d{1,2}/\d{1,2}|\d{1,2}/\d{1,2}/\d{4}|[A-Z][a-z]{2} \d{1,2}|\d{1,2}:\d{2}(?::\d{2})?(?:\s[AP]M)?")
"""Times and dates."""

Told = Callable[[str], str]
Pages = Iterator[tuple[str, str]]


def clear(page: Browser) -> None:
    """Take further sessions that the person once had off their page: other tests began some at one of the sites."""
    button = ".session[data-state=ended] button.quiet.stop"
    page.open("/hub/home")
    while (old := page.find(button)) is not None:
        server = old.get_attribute("data-server")
        page.get(f"{button}[data-server='{server}']:enabled").click()
        page.wait(20, "session gone", lambda server=server: not page.find(f"[data-server='{server}']"))
        page.open("/hub/home")


def form(page: Browser, told: Told) -> Pages:
    """The form, and apart from it what it says of what is free."""
    page.open("/hub/spawn")
    free, _, quota = (whole := page.get("#availability").text).partition("\n")
    yield FREE, free
    yield "form", page.text().replace(whole, quota)


def session(site: Testbed, page: Browser, told: Told) -> Pages:
    """From the queue to an end that the computing centre brings about."""
    by_the_clock = tuple(told(reasons.STEPS[step][1]) for step in (Step.QUEUED, Step.SCHEDULER_SILENT))
    why, place = told(reasons.waiting("PartitionDown")[0]), told(reasons.NEXT)
    page.choose(destination="cloud", gpus=1, hours=1)
    with paused(site):
        page.press_start()
        page.wait(30, "why it waits", lambda: why in page.get("#progress-message").text or None)
        page.get("#leave:enabled")
        told_so = page.get("#progress-message").text
        yield PLACE, place if place in told_so else "untold"
        yield "waiting", page.text().replace(place, "")
        page.open("/hub/home")
        page.get(".session[data-state=waiting] .stop:enabled")
        yield "home, waiting", page.text().replace(place, "")
        page.press("#start")
        page.get("#leave:enabled")
    shown = page.wait_for_lab()
    # Of a queue without nodes there is a page above; on its last seconds, and on who is slow to answer, the clock decides.
    yield "steps of the start", "\n".join(each for each in dict.fromkeys(shown) if not each.startswith(by_the_clock))
    page.open("/hub/home")
    page.get(".session[data-state=running] #stop:enabled")
    yield "home", page.text()
    [job] = jobs(site)
    delete(site, job)
    wait_until_empty(site)
    page.wait(60, "an end", lambda: page.open("/hub/home") or page.find(".session[data-state=ended] .ending"), every=1.0)
    yield "home, ended", page.text()


def refused(page: Browser, told: Told) -> Pages:
    """What somebody reads whom the centre does not let in."""
    page.choose(destination="cloud", gpus=1, hours=1)
    page.press_start()
    yield "refused", page.wait_for_complaint()


def walk(site: Testbed, language: str, pictures: Path) -> dict[str, str]:
    """Name of a page → what it says but for times, on the way of a person and of one who may not use the nodes."""
    found: dict[str, str] = {}
    told = translator(language)
    ways = {
        PEOPLE[language]: lambda page: (*form(page, told), *session(site, page, told)),
        "yamada": lambda page: refused(page, told),
    }
    for person, way in ways.items():
        page = Browser(site.url, language, pictures)
        try:
            page.log_in(person, site.passwords[person])
            clear(page)
            found.update((name, " ".join(MOVING.sub("…", text).split())) for name, text in way(page))
            page.leave()
        finally:
            page.close()
    return found


@pytest.mark.parametrize("language", ["ja", "en"])
def test_what_people_read_is_the_same_on_slurm_and_on_pjm(site_with_hub, site_on_pjm, language, tmp_path):
    slurm, pjm = (walk(site, language, tmp_path) for site in (site_with_hub, site_on_pjm))

    assert on_pjm(site_on_pjm)
    assert {name: (slurm[name], pjm[name]) for name in slurm if slurm[name] != pjm[name] and name not in OTHERWISE} == {}
    assert (pjm[FREE], pjm[PLACE]) == (translator(language)(SILENT), "untold")
    assert all(slurm.values())
