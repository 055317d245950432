"""What axe finds fault with on the page that a browser shows."""

from __future__ import annotations

from axe_core_python.selenium import Axe

from tests.e2e.browser import Browser

RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}}


def faults(page: Browser) -> dict[str, list[str]]:
    """What axe finds: rule → the elements."""
    found = Axe().run(page.driver, options=RULES)
    return {each["id"]: [node["html"][:200] for node in each["nodes"]] for each in found["violations"]}
