"""What somebody meets who starts the demonstration."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from testbed import processes
from testbed.accounts import PEOPLE
from testbed.demo import WHO, welcome
from testbed.site import Testbed

ROOT = Path(__file__).parents[2]


def test_the_welcome_names_the_page_and_everybody():
    text = welcome("http://127.0.0.1:8000", {name: f"secret-of-{name}" for name in PEOPLE})

    assert "  http://127.0.0.1:8000\n" in text
    for name in PEOPLE:
        assert re.search(rf"^  {name} +secret-of-{name} +{re.escape(WHO[name])}$", text, re.MULTILINE)


def test_an_unknown_verb_is_told_the_known_ones():
    asked = subprocess.run([str(ROOT / "bin" / "demo"), "dance"], capture_output=True, text=True, check=False)

    assert asked.returncode == 2
    assert "bin/demo down" in asked.stderr


@pytest.mark.site
@pytest.mark.parametrize("end", ["ctrl-c", "down"])
def test_it_stays_until_it_is_to_go_and_leaves_nothing(end):
    testbed = Testbed(f"d{os.getpid()}")
    with subprocess.Popen([sys.executable, "-m", "testbed.demo", testbed.name], stdout=subprocess.PIPE, text=True) as demo:
        try:
            lines = []
            for line in demo.stdout:
                lines.append(line)
                if "Ctrl-C" in line:
                    break
            url = re.search(r"http://127\.0\.0\.1:\d+", "".join(lines)).group()
            assert testbed.complete
            assert 'name="password"' in requests.get(url, timeout=30).text
            if end == "ctrl-c":
                demo.send_signal(signal.SIGINT)
            else:
                testbed.down()
            assert demo.wait(30) == 0
            assert not testbed.complete
            assert processes.marked(testbed.name) == {}
        finally:
            demo.kill()
            testbed.down()
