"""The pages as a site: built by one command, every page reachable, nothing dead, nothing from another host."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from docs import sitekeys
from tests.house.test_layout import ROOT

VOID = {"href", "src", "srcset", "poster", "action"}


def build(root: Path, target: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "properdocs", "build", "--strict", "--site-dir", str(target)]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("docs") / "site"
    done = build(ROOT, target)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.language, self.ids, self.scripts = None, set(), 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.addresses += [value or "" for name, value in attrs if name in VOID]
        self.ids |= {named["id"]} if "id" in named else set()
        self.scripts += tag == "script"
        self.language = named.get("lang") if tag == "html" else self.language


def pages(site: Path) -> dict[str, Page]:
    return {str(path.relative_to(site)): Page(path.read_text()) for path in site.rglob("*.html")}


def test_every_page_of_docs_is_a_page_of_the_site_in_its_own_language(site):
    found = pages(site)

    assert set(found) == {str(path.relative_to(ROOT / "docs").with_suffix(".html")) for path in (ROOT / "docs").rglob("*.md")}
    assert {name for name, page in found.items() if page.language == "ja"} == {name for name in found if name.endswith(".ja.html")}


def test_every_address_on_every_page_leads_somewhere(site):
    found = pages(site)
    for name, page in found.items():
        for address in page.addresses:
            if re.match(r"https?:", address):
                continue
            path, _, anchor = address.partition("#")
            target = ((site / name).parent / path).resolve() if path else site / name
            assert target.is_file(), f"{name}: {address}"
            assert not anchor or anchor in found[str(target.relative_to(site))].ids, f"{name}: {address}"


def test_a_page_loads_nothing_from_another_host_and_runs_nothing(site):
    for name, page in pages(site).items():
        assert page.scripts == 0, name
    loaded = [
        address
        for path in site.rglob("*.html")
        for address in re.findall(r'<(?:link|img)[^>]*(?:href|src)="([^"]+)"', path.read_text())
    ]
    assert loaded
    assert [address for address in loaded if ":" in address] == []
    assert "url(" not in (site / "style.css").read_text()


@pytest.mark.parametrize("wrong", ["[x](nowhere.md)", "[x](link.md#nowhere)", "[x](../sites/nowhere)"])
def test_a_dead_link_stops_the_build(tmp_path, wrong):
    left_out = shutil.ignore_patterns("pictures", "tutorials", "__pycache__", "browser.*")
    shutil.copytree(ROOT / "docs", tmp_path / "docs", ignore=left_out)
    shutil.copy(ROOT / "properdocs.yml", tmp_path)
    for page in (tmp_path / "docs").glob("*.md"):
        page.write_text("# A page\n")
    (tmp_path / "properdocs.yml").write_text(re.sub(r"(?s)nav:.*", "", (ROOT / "properdocs.yml").read_text()))
    assert build(tmp_path, tmp_path / "site").returncode == 0

    (tmp_path / "docs" / "link.md").write_text(f"# A page\n\n{wrong}\n")

    assert build(tmp_path, tmp_path / "site").returncode != 0


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_administrators_table_has_every_key_of_the_model(site, language):
    text = (site / f"site-file.{language}.html").read_text()

    for table in sitekeys.tables():
        assert f"<code>{table.heading}</code>" in text
        for key in table.keys:
            assert f"<td><code>{key.path.rpartition('.')[2]}</code></td>" in text
