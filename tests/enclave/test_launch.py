"""The command line that every session starts with: one in the function, the template and the page that explains it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from enclave.launch import EXIT_BAD_ORDER, EXIT_FAILED, EXIT_NO_NAMESPACES, NAMESPACES, command
from enclave.messages import Mechanism

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs" / "architecture.md").read_text()
TEMPLATES = REPOSITORY / "spawner" / "templates"
WALLS = (TEMPLATES / "walls.sh.j2").read_text().replace("{{ signals }}", "TERM")
TEMPLATE = (TEMPLATES / "job.sh.j2").read_text().replace('{% include "walls.sh.j2" %}\n', WALLS)
SCRIPT = re.search(r"## The job script.*?```bash\n(.*?)```", PAGE, re.DOTALL)


def lines(text: str, mechanism: Mechanism = Mechanism.NAMESPACES) -> list[str]:
    """The script from its first wall on, without comments, and with the template's own words as it has them on the page."""
    text = text[text.index("trap ''") :]
    chosen = r"\1" if mechanism is Mechanism.NAMESPACES else r"\2"
    text = re.sub(r'{% if mechanism == "namespaces" %}\n(.*){% else %}\n(.*){% endif %}\n', chosen, text, flags=re.DOTALL)
    text = re.sub(r"\{% if source %\}(.*?) \{% endif %\}", r"\1 ", text)
    text = re.sub(r"\{\{ (\w+)[^}]*\}\}", r"{{ \1 }}", text)
    return [line.partition(" # ")[0].rstrip() for line in text.strip().splitlines() if not line.startswith("#")]


def test_the_function_starts_python_in_the_namespaces():
    assert command("/opt/python", Mechanism.NAMESPACES) == [*NAMESPACES, "/opt/python", "-m", "enclave", "run"]
    assert command("/opt/python", Mechanism.FUSERMOUNT) == ["/opt/python", "-m", "enclave", "run"]


def test_page_and_template_say_the_same():
    assert SCRIPT is not None
    assert lines(SCRIPT[1]) == lines(TEMPLATE)


def test_without_namespaces_one_line_is_another():
    with_them, without = lines(TEMPLATE), lines(TEMPLATE, Mechanism.FUSERMOUNT)
    changed = [new for old, new in zip(with_them, without, strict=True) if old != new]
    assert changed == ["in_namespaces=()"]
    assert "one line is another: `in_namespaces=()`." in PAGE


def test_both_name_the_function_s_namespaces():
    assert f"in_namespaces=({' '.join(NAMESPACES)})" in lines(TEMPLATE)


def test_the_page_explains_every_exit_code():
    for code in (EXIT_NO_NAMESPACES, EXIT_BAD_ORDER, EXIT_FAILED):
        assert re.search(rf"^\| {code} \|", PAGE, re.MULTILINE)
    assert f"|| exit {EXIT_NO_NAMESPACES}" in TEMPLATE


@pytest.mark.site
def test_a_node_that_refuses_the_namespaces_says_so_by_the_exit_code(site):
    # What --disable-userns leaves is a place where nobody can make a user namespace any more.
    refusing = ["bwrap", "--unshare-user", "--disable-userns", "--dev-bind", "/", "/", "--"]
    script = "\n".join(lines(TEMPLATE))
    lines_until_exec = script[: script.index("hold /usr/bin/env")]
    answer = site.run("cx01", [*refusing, "/bin/bash", "-c", lines_until_exec], user="rs-tanaka")
    assert answer.returncode == EXIT_NO_NAMESPACES, answer.stderr
    assert site.run("cx01", ["/bin/bash", "-c", lines_until_exec], user="rs-tanaka").returncode == 0
